"""A split carried out: every prompt scored by a head that never saw it, and what the scores are worth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from router.errors import BadOutcomes
from router.evaluation.metrics import Curve, calibration_error, curve_of, interval
from router.evaluation.routers import (
    KindTable,
    TableAndText,
    lots,
    probabilities_of,
    scores_of,
    told_kinds,
)
from router.evaluation.splits import Split
from router.quality.text_head import TextHead
from router.training.logistic import Line
from router.training.matrix import matrix_of
from router.training.outcomes import Floats
from router.training.pairs import Pairs, repeats
from router.training.recipe import (
    PairHeads,
    Recipe,
    difficulty_head,
    heads_for_new_subjects,
    pair_heads,
    recipe_for,
    shifted,
)

TEXT = "text head"
TEXT_AND_SUBJECT = "text head, subject given"
SUBJECTS = "table of subjects"
FILES = "table of files"
TOLD = "table of told kinds"
RANDOM = "random"
ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class RouterLine:
    """One router's result."""

    name: str
    curve: Curve
    apgr_interval: tuple[float, float] | None = None  # 95 %, by bootstrap


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a split."""

    split: str
    names: dict[str, tuple[str, str]]  # by file: the cheap and the strong model
    prompts: int
    lines: tuple[RouterLine, ...]
    calibration: tuple[float, float] | None  # expected calibration error of the cheap and of the strong head
    by_file: dict[str, float]  # APGR of the text head within each file

    def line(self, name: str) -> RouterLine:
        """That router's line; StopIteration if it was not judged here."""
        return next(each for each in self.lines if each.name == name)


def judge(
    pairs: Pairs,
    split: Split,
    *,
    also: Pairs | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Judgement:
    """Trains and judges, fold by fold. Raises BadOutcomes if the files cannot be divided so.

    A difficulty head is learned from `also`, less what it repeats of the prompts judged, and lent to the pair's heads.
    Where whole files are left out, the head is one of difficulty, and the pair's mean on the file judged is taken as
    known, as the prior table knows it.
    """
    matrix = matrix_of(pairs.prompts)
    told = told_kinds(pairs.prompts)
    gains = pairs.strong - pairs.cheap
    prior = None if also is None else _lent(also, pairs)
    count = len(pairs)
    found = {name: np.zeros(count) for name in (TEXT, TEXT_AND_SUBJECT, SUBJECTS, FILES, TOLD)}
    cheap, strong = np.zeros(count), np.zeros(count)
    for number, fold in enumerate(split.folds(pairs), start=1):
        train, test = fold.train, fold.test
        if len(train) < 2:
            raise BadOutcomes(
                f"{split.name}: nothing is left to learn from in fold {number}: prompts that ask the same as one "
                "that is judged are not learned from, and those are all; give more prompts that differ."
            )
        progress(f"{split.name}: fold {number}, {len(train)} prompts to learn from, {len(test)} to judge")
        for name, kinds in ((SUBJECTS, pairs.subjects), (FILES, pairs.datasets), (TOLD, told)):
            found[name][test] = KindTable(kinds[train], gains[train]).scores(kinds[test])
        if split.leaves_files_out:
            difficulty = difficulty_head(pairs.at(train), matrix[train]).logits(matrix[test])
            levels = float(pairs.cheap[test].mean()), float(pairs.strong[test].mean())
            cheap[test], strong[test] = shifted(levels, difficulty - difficulty.mean())
            found[TEXT][test] = strong[test] - cheap[test]
            continue
        heads = _heads(pairs.at(train), matrix[train], split, recipe, prior)
        cheap[test], strong[test] = heads.probabilities(matrix[test])
        found[TEXT][test] = heads.scores(matrix[test])
        low, high = heads.probabilities(matrix[train])
        both = TableAndText(pairs.subjects[train], gains[train], high - low)
        found[TEXT_AND_SUBJECT][test] = both.scores(pairs.subjects[test], strong[test] - cheap[test])
    names = [TEXT]
    if split.kinds_recur and pairs.has_subjects:
        names += [TEXT_AND_SUBJECT, SUBJECTS]
    if split.kinds_recur and len(pairs.names) > 1:
        names.append(FILES)
    if len(set(told)) > 1:
        names.append(TOLD)
    return _judgement(pairs, split.name, {name: found[name] for name in names}, probabilities=(cheap, strong))


def _heads(pairs: Pairs, matrix: csr_matrix, split: Split, recipe: Recipe | None, prior: Line | None) -> PairHeads:
    if recipe is None and not split.kinds_recur:
        return heads_for_new_subjects(pairs, matrix, prior=prior)
    return pair_heads(pairs, matrix, recipe or recipe_for(len(pairs)), prior=prior)


def _lent(also: Pairs, pairs: Pairs) -> Line:
    rows = np.arange(len(also))
    fresh = also.at(rows[~repeats(also, pairs)])
    return difficulty_head(fresh, matrix_of(fresh.prompts))


def judge_head(pairs: Pairs, head: TextHead) -> Judgement:
    """A trained head, as it is; whether it has seen these prompts in training is not known here."""
    return _judgement(
        pairs,
        f"head {head.version}",
        {TEXT: scores_of(head, pairs.prompts)},
        probabilities=probabilities_of(head, pairs.prompts),
    )


def _judgement(
    pairs: Pairs, split: str, scores: dict[str, Floats], *, probabilities: tuple[Floats, Floats] | None
) -> Judgement:
    gains = pairs.strong - pairs.cheap
    lines = [
        RouterLine(
            name,
            curve_of(each, pairs.cheap, pairs.strong),
            interval(each, pairs.cheap, pairs.strong) if name in (TEXT, TEXT_AND_SUBJECT) else None,
        )
        for name, each in scores.items()
    ]
    lines.append(RouterLine(RANDOM, curve_of(lots(len(pairs)), pairs.cheap, pairs.strong)))
    lines.append(RouterLine(ORACLE, curve_of(gains + 1e-6 * lots(len(pairs)), pairs.cheap, pairs.strong)))
    text = scores[TEXT]
    files = {name: np.flatnonzero(pairs.datasets == name) for name in pairs.names}
    return Judgement(
        split,
        pairs.names,
        len(pairs),
        tuple(lines),
        None
        if probabilities is None
        else (
            calibration_error(probabilities[0], pairs.cheap),
            calibration_error(probabilities[1], pairs.strong),
        ),
        {name: curve_of(text[rows], pairs.cheap[rows], pairs.strong[rows]).apgr for name, rows in files.items()},
    )
