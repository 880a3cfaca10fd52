"""Which rows a head is trained on and which it is judged on: every row is judged once, by a head that never saw it.

Nor did it see another row that asks the same question: benchmarks repeat one another, and themselves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.errors import BadOutcomes
from router.training.pairs import Pairs, Rows

_SEED = 20_261_130  # of every split: the same rows on every machine
FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Rows to learn from, and rows to be judged on."""

    train: Rows
    test: Rows


@dataclass(frozen=True, slots=True)
class Split:
    """A way to divide, as it is written on the command line."""

    name: str
    kinds_recur: bool  # the kinds of the judged rows are among those trained on

    @property
    def leaves_files_out(self) -> bool:
        """Whether the prompts judged are of another origin than those learned from."""
        return self.name == "leave-one-dataset-out"

    def folds(self, pairs: Pairs) -> Iterator[Fold]:
        """The folds. Raises BadOutcomes if the files do not have what it divides by."""
        word, _, number = self.name.partition(":")
        groups = _GROUPS[word](pairs, int(number) if number and word != "labels" else FOLDS)
        random = np.random.default_rng(_SEED)
        for group in np.unique(groups):
            test = np.flatnonzero(groups == group)
            train = np.flatnonzero(groups != group)
            train = train[~pairs.repeated(train, test)]
            if word == "labels":
                if len(train) < int(number):
                    raise BadOutcomes(
                        f"--split {self.name}: beside a fold there are {len(train)} prompts to learn from."
                    )
                train = np.sort(random.permutation(train)[: int(number)])
            yield Fold(train, test)


def split_named(text: str) -> Split:
    """`folds`, `folds:10`, `labels:1500`, `leave-subjects-out`, `leave-subjects-out:10`, `leave-one-subject-out`,
    `leave-one-dataset-out`. Raises BadOutcomes for anything else."""
    word, colon, number = text.partition(":")
    takes_number = word in ("folds", "labels", "leave-subjects-out")
    good = word in _GROUPS and (number.isdecimal() and int(number) >= 2 if colon else word != "labels")
    if not good or (colon and not takes_number):
        raise BadOutcomes(
            f"--split {text}: write folds, folds:N, labels:N, leave-subjects-out, leave-subjects-out:N, "
            "leave-one-subject-out or leave-one-dataset-out, with N of 2 or more."
        )
    return Split(text, kinds_recur=word in ("folds", "labels"))


def _at_random(pairs: Pairs, count: int) -> NDArray[np.intp]:
    if len(pairs) < count:
        raise BadOutcomes(
            f"{len(pairs)} prompts with an outcome of both models cannot be divided into {count} folds; give more, or "
            "name two models that were asked the same with --cheap and --strong."
        )
    groups = np.empty(len(pairs), dtype=np.intp)
    groups[np.random.default_rng(_SEED).permutation(len(pairs))] = np.arange(len(pairs)) % count
    return groups


def _by_subjects(pairs: Pairs, count: int) -> NDArray[np.intp]:
    """Whole subjects together, drawn at random; the same number of subjects in each group, give or take one."""
    return _dealt(pairs.subjects, count, "subjects")


def _by_subject(pairs: Pairs, _: int) -> NDArray[np.intp]:
    return _dealt(pairs.subjects, len(set(pairs.subjects)), "subjects")


def _by_dataset(pairs: Pairs, _: int) -> NDArray[np.intp]:
    return _dealt(pairs.datasets, len(set(pairs.datasets)), "files")


def _dealt(names: Sequence[str] | NDArray[np.str_], count: int, what: str) -> NDArray[np.intp]:
    found, numbers = np.unique(np.asarray(names), return_inverse=True)
    if len(found) < 2:
        raise BadOutcomes(f"All prompts are of one of the {what}, so none can be left out{_HINTS[what]}.")
    places = np.empty(len(found), dtype=np.intp)
    places[np.random.default_rng(_SEED).permutation(len(found))] = np.arange(len(found)) % min(count, len(found))
    return np.asarray(places[numbers], dtype=np.intp)


_HINTS = {"subjects": '; lines say theirs by "subject": "…"', "files": "; name two files or more"}
_GROUPS = {
    "folds": _at_random,
    "labels": _at_random,
    "leave-subjects-out": _by_subjects,
    "leave-one-subject-out": _by_subject,
    "leave-one-dataset-out": _by_dataset,
}
