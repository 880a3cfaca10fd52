"""How likely a model's answer is good: `Forecast`, from the table of priors, the words of the prompt, and what was
learned."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

import msgspec

from router.catalog.catalog import Effort, Model, Named, Score, Task, arm_of
from router.quality.prior import Prior, log_odds, moved, prior_of
from router.quality.signals import TextSignals

# What a trained head's log-odds of failure count for, of a prompt whose words it knows. It orders prompts well only
# among those it was trained on: left out, the same head has an area of .43 to .60 under its curve (.50 is chance) and
# the levels are wrong, so that most of what it says must not be believed (docs/quality.md). Our judgement.
_TEXT_WEIGHT = 0.25
_UNFAMILIAR = 0.5**2  # what is added to the variance where a head knows none of the words

# Standard deviations from the middle to either end of an interval that holds the truth four times in five.
_EIGHTY_PERCENT = 1.2816

_ENOUGH_LABELS = 100.0  # so many answers of a team's own say more than any published figure; our judgement
_MOST_KEPT = 20_000  # cells: a hundred models at every effort and kind of task; catalogs come and go


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

    name: str  # prior, text, learned
    log_odds: float
    words: str


class Forecast(msgspec.Struct, frozen=True, gc=False):
    """The probability that an answer is good. What only an explanation asks is worked out when it is asked."""

    probability: float
    is_known: bool  # it rests on a figure for this very kind of task, or on enough answers; not on a fallback
    prior: Prior
    text: float = 0.0  # what the words of the prompt add, in log-odds
    unfamiliar: float = 0.0  # 0 to 1: how many of them are not known to the head that said so
    lesson: Lesson = NO_LESSON

    @property
    def variance(self) -> float:
        """Of the log-odds. The table and the lesson are two sources of the same: their precisions add up."""
        variance, lesson = self.prior.variance, self.lesson
        if lesson.labels:
            variance = variance * lesson.variance / (variance + lesson.variance)
        return variance + _UNFAMILIAR * self.unfamiliar

    @property
    def low(self) -> float:
        """The truth is between this and `high` four times in five."""
        return self.at_least(_EIGHTY_PERCENT)

    @property
    def high(self) -> float:
        return self.at_least(-_EIGHTY_PERCENT)

    def at_least(self, deviations: float) -> float:
        """So many standard deviations below the middle: what the truth exceeds as often as a normal variate does."""
        return moved(self.probability, -deviations * self.variance**0.5)

    @property
    def parts(self) -> tuple[Part, ...]:
        """What moved it, in log-odds, the most first. The prior is always one of them."""
        parts = [Part("prior", log_odds(self.prior.probability), f"prior {self.prior.words}")]
        if self.text:
            looks = "hard" if self.text < 0 else "easy"
            parts.append(Part("text", self.text, f"the words look {looks} {self.text:+.2f}"))
        if self.lesson.labels:
            shift, labels = self.lesson.shift, self.lesson.labels
            parts.append(Part("learned", shift, f"learned from {labels:.0f} answers of this team {shift:+.2f}"))
        return tuple(sorted(parts, key=lambda part: -abs(part.log_odds)))


class QualityPredictor(Protocol):
    """What ranking and the quality floor ask. Pure: the same answer for the same catalog."""

    def forecast(self, model: Model, effort: Effort | None, asked: Asked, lesson: Lesson, /) -> Forecast:
        """How likely this model's answer, at that effort, to such a request is good. `effort` None: its default."""
        ...


Scores = Mapping[Task, Score]
Overrides = Mapping[str, Mapping[Named, Scores]]  # a team's own figures in place of the catalog's, by its name


class TablePredictor:
    """The table of priors, moved by what the prompt's words say and by what has been learned."""

    def __init__(self, overrides: Overrides | None = None) -> None:
        self._overrides = overrides or {}
        # A decision asks for many cells and few of them change: each is made once. Models are kept with them, so that
        # the number of one is not another's a moment later.
        self._cells: dict[tuple[str, int, Effort | None, Task], Forecast] = {}
        self._models: dict[int, Model] = {}

    def forecast(self, model: Model, effort: Effort | None, asked: Asked, lesson: Lesson) -> Forecast:
        team = asked.team if asked.team in self._overrides else ""
        cell = self._cells.get((team, id(model), effort, asked.task))
        if cell is None:
            cell = self._made(team, model, effort, asked.task)
        signals = asked.signals
        if lesson is NO_LESSON and not signals.head:
            return cell
        prior = cell.prior
        text = -_TEXT_WEIGHT * signals.familiarity * signals.difficulty_logit
        return Forecast(
            moved(prior.probability, text + lesson.shift),
            prior.is_known or lesson.labels >= _ENOUGH_LABELS,
            prior,
            text,
            1.0 - signals.familiarity if signals.head else 0.0,
            lesson,
        )

    def _made(self, team: str, model: Model, effort: Effort | None, task: Task) -> Forecast:
        if len(self._cells) >= _MOST_KEPT:
            self._cells.clear()
            self._models.clear()
        own = _with_own(model, self._overrides[team]) if team else model
        prior = prior_of(own, effort, task)
        cell = Forecast(prior.probability, prior.is_known, prior)
        self._models[id(model)] = model
        self._cells[team, id(model), effort, task] = cell
        return cell


def _with_own(model: Model, figures: Mapping[Named, Scores]) -> Model:
    """The model with a team's figures in place of the catalog's."""
    quality, quality_at = dict(model.quality), {task: dict(scores) for task, scores in model.quality_at.items()}
    for arm, scores in ((arm_of(name), scores) for name, scores in figures.items()):
        if arm.model != model.name:
            continue
        effort = arm.effort or model.default_effort
        for task, score in scores.items():
            if effort is None:
                quality[task] = score
            else:
                quality_at.setdefault(task, {})[effort] = score
    return replace(model, quality=quality, quality_at=quality_at)
