"""Whether what was learned of a team's answers may speak: `Replay` of its labels, judged into a `Refit`.

The labels are gone through in the order they came in, each first foretold and then learned, exactly as in production:
so every one of them tests what was known before it. What was learned may speak if it foretold the newest fifth of each
model's labels better than the forecast alone, all of them by more than chance explains, and no kind of task worse.

The newest fifth is taken of each model: of all together, what was learned would argue itself away. It sends requests
from a model that was believed too much to another, and of that the newest labels say that the forecast is right.
"""

from collections.abc import Iterator, Sequence
from math import sqrt

import msgspec

from router.catalog.catalog import ModelName, Task
from router.learning.quality_features import unnamed
from router.learning.quality_ridge import Corrections, probability
from router.learning.signals import Signals
from router.quality.labels import Label

LEAST_LABELS = 500  # new ones, before the question is put again
# Of the Brier score, on the newest fifth: a level that is off by a tenth. With 0.002, which such schemes are published
# with, requests were moved between models for next to nothing, and windows of 1,000 lost by chance (docs/learning.md).
LEAST_GAIN = 0.01
_WORSE = 0.002  # the same, of a kind of task that is foretold worse
_NEWEST = 0.2
_SURE = 4.0  # standard errors, over all labels that were foretold
_OF_A_KIND = 30  # labels of a kind of task among the newest before it can speak against all
_SOLVED_EVERY = 25  # labels; in production it is every few seconds
_OF_ALL = 20  # or a twentieth of them, where that is more
MEMORY = 2_000.0  # labels of a model until they have faded to a third


class Refit(msgspec.Struct, frozen=True):
    """What came of it, kept for whoever wants to know why."""

    team: str
    labels: int
    is_promoted: bool
    why: str  # one of the words in docs/learning.md
    brier_prior: float  # on the newest fifth of each model's labels
    brier_learned: float
    gain: float  # over all labels, per label
    gain_error: float  # its standard error
    worse: list[str] = []  # kinds of task that were foretold worse
    models: dict[str, float] = {}  # labels of each model, as weighted and faded


class Replay:
    """The labels of one team, oldest first, learned anew."""

    def __init__(self, labels: Sequence[Label]) -> None:
        self.corrections = Corrections(memory=MEMORY)
        self.signals = Signals()
        self._labels = labels
        self._told: list[_Told] = []

    def run(self) -> Iterator[None]:
        """Learn, in steps of some tenth of a millisecond."""
        for label in self._labels:
            lecture = self.signals.lecture(label)
            if not lecture.weight:
                continue
            features, prior = unnamed(label.features), label.prior_logit
            shift = self.corrections.shift(label.model, features)
            self._told.append(_told(label, *lecture, learned_logit=prior + shift))
            self.corrections.learn(label.model, features, prior_logit=prior, score=lecture.score, weight=lecture.weight)
            yield
            if self.corrections.unsolved >= max(_SOLVED_EVERY, len(self._told) // _OF_ALL):
                yield from self.corrections.solving(variances=False)
        yield from self.corrections.solving()

    def judged(self, team: str) -> Refit:
        """Whether it may speak. To be asked when it has run."""
        newest = _newest(self._told)
        worse = _foretold_worse(newest)
        gain, error = _mean_and_error(self._told)
        prior, learned = _brier(newest, learned=False), _brier(newest, learned=True)
        if prior - learned < LEAST_GAIN:
            why = "not_better"
        elif gain < _SURE * error:
            why = "not_sure"
        else:
            why = "kind_worse" if worse else "better"
        return Refit(
            team=team,
            labels=len(self._told),
            is_promoted=why == "better",
            why=why,
            brier_prior=round(prior, 5),
            brier_learned=round(learned, 5),
            gain=round(gain, 5),
            gain_error=round(error, 5) if self._told[1:] else 0.0,
            worse=worse,
            models={model: round(arm.labels, 1) for model, arm in self.corrections.arms.items()},
        )


def _newest(told: Sequence["_Told"]) -> "list[_Told]":
    """The newest fifth of each model's."""
    by_model: dict[ModelName, list[_Told]] = {}
    for each in told:
        by_model.setdefault(each.model, []).append(each)
    return [each for those in by_model.values() for each in those[len(those) - round(len(those) * _NEWEST) :]]


def _foretold_worse(told: Sequence["_Told"]) -> list[str]:
    """The kinds of task that were."""
    by_kind: dict[Task, list[_Told]] = {}
    for each in told:
        by_kind.setdefault(each.task, []).append(each)
    return sorted(
        task.value
        for task, those in by_kind.items()
        if len(those) >= _OF_A_KIND and _mean_and_error(those)[0] < -_WORSE
    )


class _Told(msgspec.Struct, frozen=True, gc=False):
    """A label, and what was foretold of it."""

    model: ModelName
    task: Task
    weight: float
    gain: float  # in squared error, by what was learned
    prior_error: float  # squared
    learned_error: float  # squared


def _told(label: Label, score: float, weight: float, *, learned_logit: float) -> _Told:
    return _Told(
        label.model,
        label.task,
        weight,
        brier_gain(score, label.prior_logit, learned_logit),
        (score - probability(label.prior_logit)) ** 2,
        (score - probability(learned_logit)) ** 2,
    )


def brier_gain(score: float, prior_logit: float, learned_logit: float) -> float:
    """By how much the learned forecast was nearer to the score than the prior, in squared error."""
    prior, learned = probability(prior_logit), probability(learned_logit)
    return (learned - prior) * (2.0 * score - prior - learned)


def _brier(told: Sequence[_Told], *, learned: bool) -> float:
    total = sum([each.weight for each in told])
    if not total:
        return 0.0
    return sum([each.weight * (each.learned_error if learned else each.prior_error) for each in told]) / total


def _mean_and_error(told: Sequence[_Told]) -> tuple[float, float]:
    """The mean gain, and its standard error; nothing is as sure as infinitely uncertain."""
    total = sum([each.weight for each in told])
    if len(told) < 2 or not total:
        return 0.0, float("inf")
    mean = sum([each.weight * each.gain for each in told]) / total
    spread = sum([(each.weight * (each.gain - mean)) ** 2 for each in told])
    return mean, sqrt(spread) / total
