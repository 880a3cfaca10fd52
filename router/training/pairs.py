"""A cheap and a strong model side by side: `Pairs`, the rows that heads are trained on and routers are judged by."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.errors import BadOutcomes, printable
from router.training.outcomes import Floats, Outcomes

Rows = NDArray[np.intp]

# Benchmarks repeat one another's questions, with other options and another frame. What stands before the options,
# letters and digits only, tells a repeated one; this much of it.
_KEY_LETTERS = 120
_OPTIONS = re.compile(r"\n\(?A[.)]\s")
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Prompts with the outcomes of two models, from one or more files."""

    prompts: Sequence[str]
    datasets: NDArray[np.str_]  # the file each came from
    subjects: NDArray[np.str_]  # with the file's name before it; without one, the file's name alone
    cheap: Floats  # score of the cheap model, 0 to 1
    strong: Floats
    others: Floats  # mean score of the file's other models; nan where there are none
    names: dict[str, tuple[str, str]]  # by file: who is cheap and who strong

    def __len__(self) -> int:
        return len(self.prompts)

    def at(self, rows: Rows) -> "Pairs":
        """Only these rows."""
        return Pairs(
            [self.prompts[row] for row in rows],
            self.datasets[rows],
            self.subjects[rows],
            self.cheap[rows],
            self.strong[rows],
            self.others[rows],
            self.names,
        )

    @property
    def has_subjects(self) -> bool:
        """Whether subjects tell more than the file's name."""
        return len(set(self.subjects)) > len(set(self.datasets))

    def repeated(self, rows: Rows, among: Rows) -> NDArray[np.bool_]:
        """Which of `rows` ask what one of `among` asks: the same prompt, or in another file the same question.

        Within a file many prompts begin with the same words and ask something else; across files, options differ.
        """
        prompts = {self.prompts[row] for row in among}
        several = len(set(self.datasets)) > 1
        questions = {(self.datasets[row], question_key(self.prompts[row])) for row in among} if several else set()
        keys = {key for _, key in questions}

        def is_repeated(row: int) -> bool:
            if self.prompts[row] in prompts:
                return True
            if not keys:
                return False
            key = question_key(self.prompts[row])
            return key in keys and any((name, key) in questions for name in self.names if name != self.datasets[row])

        return np.array([is_repeated(row) for row in rows], dtype=bool)


def repeats(these: Pairs, others: Pairs) -> NDArray[np.bool_]:
    """Which of `these` ask the same question as one of `others`, in whatever frame."""
    keys = {question_key(prompt) for prompt in others.prompts}
    return np.array([question_key(prompt) in keys for prompt in these.prompts], dtype=bool)


def question_key(prompt: str) -> str:
    """The question without options, spaces and signs."""
    return _NOT_LETTERS.sub("", _OPTIONS.split(prompt, maxsplit=1)[0].lower())[:_KEY_LETTERS]


def paired(files: Iterable[Outcomes], *, cheap: str | None = None, strong: str | None = None) -> Pairs:
    """The files' rows that have both outcomes.

    `cheap` and `strong` may name several models, separated by commas: in each file the first that it has counts, since
    benchmarks name one model in many ways. Without them the strong one is who is right most often, and the cheap one
    who comes nearest to the middle between it and the weakest. Raises BadOutcomes.
    """
    return joined([_part(each, cheap, strong) for each in files])


def joined(parts: Sequence[Pairs]) -> Pairs:
    """All rows, in order."""
    return Pairs(
        [prompt for part in parts for prompt in part.prompts],
        np.concatenate([part.datasets for part in parts]),
        np.concatenate([part.subjects for part in parts]),
        np.concatenate([part.cheap for part in parts]),
        np.concatenate([part.strong for part in parts]),
        np.concatenate([part.others for part in parts]),
        {name: pair for part in parts for name, pair in part.names.items()},
    )


def _part(file: Outcomes, cheap: str | None, strong: str | None) -> Pairs:
    names = _cheap_of(file, cheap, strong), _strong_of(file, strong)
    if names[0] == names[1]:
        raise BadOutcomes(printable(f"{file.name}: the cheap and the strong model are both {names[0]}; name two."))
    low, high = file.column(names[0]), file.column(names[1])
    kept = np.flatnonzero(~(np.isnan(low) | np.isnan(high)))
    numbers = [int(row) for row in kept]
    if not numbers:
        raise BadOutcomes(printable(f"{file.name}: no prompt has outcomes of both {names[0]} and {names[1]}."))
    rest = np.array([number for number, model in enumerate(file.models) if model not in names], dtype=np.intp)
    return Pairs(
        [file.prompts[row] for row in numbers],
        np.full(len(kept), file.name),
        np.array([f"{file.name}/{file.subjects[row]}" if file.subjects[row] else file.name for row in numbers]),
        low[kept],
        high[kept],
        _means(file.scores[np.ix_(kept, rest)]),
        {file.name: names},
    )


def _means(scores: Floats) -> Floats:
    recorded = ~np.isnan(scores)
    count = recorded.sum(axis=1)
    total = np.where(recorded, scores, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _named(file: Outcomes, wanted: str) -> str:
    names = [name.strip() for name in wanted.split(",")]
    found = next((name for name in names if name in file.models), None)
    if found is None:
        raise BadOutcomes(printable(f"{file.name} has none of {wanted}; it has: {', '.join(file.models)}."))
    return found


def _strong_of(file: Outcomes, strong: str | None) -> str:
    if strong is not None:
        return _named(file, strong)
    return file.models[int(np.nanargmax(_levels(file)))]


def _cheap_of(file: Outcomes, cheap: str | None, strong: str | None) -> str:
    if cheap is not None:
        return _named(file, cheap)
    levels = _levels(file)
    top = list(file.models).index(_strong_of(file, strong))
    middle = (levels[top] + np.nanmin(levels)) / 2
    distance = np.abs(levels - middle)
    distance[top] = np.inf
    return file.models[int(np.nanargmin(distance))]


def _levels(file: Outcomes) -> Floats:
    if len(file.models) < 2:
        raise BadOutcomes(f"{file.name} has outcomes of {len(file.models)} model; two are needed.")
    levels = _means(file.scores.T)
    if np.isnan(levels).all():
        raise BadOutcomes(f"{file.name} has no outcomes: every score is null or -.")
    return levels
