"""How likely a model's answer is good: `Forecast`, from the catalog's figures and what has been learned."""

from math import exp
from typing import NamedTuple, Protocol

import msgspec

from router.catalog.catalog import TASK_FALLBACKS, Effort, Model, Task
from router.quality.signals import TextSignals

_FURTHEST = 30.0  # log-odds: beyond it nothing changes that anybody could tell


class Asked(Protocol):
    """What a forecast is made from, of a request: no text."""

    @property
    def team(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def difficulty(self) -> float: ...
    @property
    def signals(self) -> TextSignals: ...


class Lesson(NamedTuple):
    """What use has taught of a model's answers to such requests, against what was expected beforehand."""

    shift: float  # in log-odds, to be added to the prior's
    variance: float  # of the shift, in squared log-odds
    labels: float  # how many answers stand behind it, each weighted by how far its label can be trusted


NO_LESSON = Lesson(0.0, 0.0, 0.0)


class Part(NamedTuple):
    """One of the things that a forecast was moved by."""

    name: str
    log_odds: float


class Forecast(msgspec.Struct, frozen=True, gc=False):
    """The probability that an answer is good."""

    probability: float
    low: float  # it is likely between these two
    high: float
    is_known: bool  # it rests on a figure for this very kind of task, or on enough answers; not on a fallback
    parts: tuple[Part, ...] = ()


class QualityPredictor(Protocol):
    """What ranking and the quality floor ask. Pure: the same answer for the same catalog."""

    def forecast(self, model: Model, effort: Effort | None, asked: Asked, lesson: Lesson, /) -> Forecast:
        """How likely this model's answer, at that effort, to such a request is good. `effort` None: its default."""
        ...


class TablePredictor:
    """The catalog's own scores, moved by what has been learned.

    Where a model has no score for a task, that of the related task stands in (`TASK_FALLBACKS`). Where it lacks that
    too, or there is none, its lowest score does, and where it has none at all, 0: what nobody has measured must not win
    a request by being unmeasured.
    """

    def forecast(self, model: Model, _: Effort | None, asked: Asked, lesson: Lesson) -> Forecast:
        own = model.quality.get(asked.task)
        score = own or model.quality.get(TASK_FALLBACKS.get(asked.task, asked.task))
        if score is not None:
            prior = score.value
        else:
            prior = min((known.value for known in model.quality.values()), default=0.0)
        probability = moved(prior, lesson.shift)
        return Forecast(probability, probability, probability, is_known=own is not None)


def moved(probability: float, shift: float) -> float:
    """The probability, `shift` further in log-odds, by thirty at most. What is certain stays so."""
    if not shift:
        return probability
    weight = probability * exp(min(max(shift, -_FURTHEST), _FURTHEST))
    return weight / (1.0 - probability + weight)
