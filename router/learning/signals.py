"""How far the signals behind labels can be trusted, as far as use has shown: `Signals`.

A score of a person's is taken at its word but for the error of its kind. What a check says, or that nobody asked again,
is good evidence of which answers are better and poor evidence of how good they are: nine of ten answers that parse are
not nine of ten good ones. So these are read against how they usually turn out for the team, and teach differences only.

Signals about one answer measure each other: how often a check passes what a person calls good, and how often a person
calls good what has failed a check.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from router.catalog.catalog import Task
from router.learning.quality_ridge import probability
from router.quality.labels import PRIOR_ACCURACY, Label, Signal, SignalAccuracy, Verdict, debiased, weight

_PRIOR_LABELS = 40.0  # how many answers the prior of an accuracy is worth
_LEVEL_LABELS = 50.0  # and that of a level
_LEVEL_MEMORY = 2_000.0  # labels


class CheckAccuracy(NamedTuple):
    """What is known of a check of answers of one kind."""

    sensitivity: float  # of the good answers, the share that passes
    specificity: float  # of the bad ones, the share that fails
    labels: int  # answers with a score behind it; 0: this is the prior


class Lecture(NamedTuple):
    """A label as it is learned."""

    score: float  # debiased; may lie beyond 0 and 1
    weight: float  # in perfect labels


_NOTHING = Lecture(0.0, 0.0)


class Signals:
    """All signals of all teams."""

    def __init__(self) -> None:
        # By team, check and kind of task: good and passed, good and failed, bad and passed, bad and failed.
        self._counts: dict[tuple[str, str, str], list[int]] = {}
        self._levels: dict[tuple[str, str], list[float]] = {}  # by team and signal: weight, mean score, mean forecast

    def check_accuracy(self, team: str, check: str, task: Task, prior: SignalAccuracy) -> CheckAccuracy:
        """From the scores of answers that were checked, leaning on the prior."""
        counts = self._counts.get((team, check, task.value))
        if counts is None:
            return CheckAccuracy(prior.sensitivity, prior.specificity, 0)
        good_passed, good_failed, bad_passed, bad_failed = counts
        return CheckAccuracy(
            _mean(prior.sensitivity, good_passed, good_failed),
            _mean(prior.specificity, bad_failed, bad_passed),
            sum(counts),
        )

    def lecture(self, label: Label) -> Lecture:
        """What the label teaches. The level of its signal moves on with it."""
        accuracy = self.accuracy(label)
        worth = weight(accuracy) / label.share
        if not worth:
            return _NOTHING
        if label.signal is Signal.FEEDBACK:
            self._compare(label)
            return Lecture(debiased(label.score, accuracy), worth)
        usual, expected = self._level(label)
        return Lecture(expected + (label.score - usual) / accuracy.informedness, worth)

    def as_data(self) -> Iterator[list[Any]]:
        for (team, check, task), counts in self._counts.items():
            yield ["check", team, [check, task], counts]
        for (team, signal), level in self._levels.items():
            yield ["level", team, signal, level]

    def take(self, piece: list[Any]) -> None:
        """A piece from `as_data`. Raises ValueError if it is none."""
        kind, first, second, numbers = piece
        if kind == "check":
            if len(numbers) != 4:
                raise ValueError("not the counts of a check")
            check, task = second
            self._counts[str(first), str(check), str(task)] = [int(each) for each in numbers]
        else:
            if len(numbers) != 3:
                raise ValueError("not the level of a signal")
            self._levels[str(first), str(second)] = [float(each) for each in numbers]

    def accuracy(self, label: Label) -> SignalAccuracy:
        """How far the signal is trusted with this answer."""
        prior = PRIOR_ACCURACY[label.signal]
        if label.signal is Signal.FEEDBACK or label.signal is Signal.RETRY:
            return prior
        # Of several checks that all passed none is known to be the one that matters: the best of them speaks.
        measured = [self.check_accuracy(label.team, check, label.task, prior) for check in label.checks]
        best = max(measured, key=lambda each: each.sensitivity + each.specificity, default=None)
        return prior if best is None else SignalAccuracy(best.sensitivity, best.specificity)

    def _compare(self, label: Label) -> None:
        """Count what the checks of the answer said beside what a person says."""
        if label.verdict is Verdict.MIXED:
            return
        for check, has_passed in label.checks.items():
            counts = self._counts.setdefault((label.team, check, label.task.value), [0, 0, 0, 0])
            counts[(0 if label.verdict is Verdict.GOOD else 2) + (0 if has_passed else 1)] += 1

    def _level(self, label: Label) -> tuple[float, float]:
        """How the signal usually turns out for the team, before this label, and what was forecast of those answers."""
        group = Signal.VERIFIER if label.signal is Signal.ESCALATION else label.signal
        forecast = probability(label.prior_logit)
        level = self._levels.get((label.team, group.value))
        if level is None:
            level = self._levels[label.team, group.value] = [_LEVEL_LABELS, _usual(group, forecast), forecast]
        total, usual, expected = level
        worth = 1.0 / label.share
        total = min(total + worth, _LEVEL_MEMORY)
        level[:] = [
            total,
            usual + (label.score - usual) * worth / total,
            expected + (forecast - expected) * worth / total,
        ]
        return usual, expected


def _usual(signal: Signal, forecast: float) -> float:
    """How often the signal speaks well of answers of which so many are good."""
    accuracy = PRIOR_ACCURACY[signal]
    return forecast * accuracy.sensitivity + (1.0 - forecast) * (1.0 - accuracy.specificity)


def _mean(prior: float, hits: int, misses: int) -> float:
    return (prior * _PRIOR_LABELS + hits) / (_PRIOR_LABELS + hits + misses)
