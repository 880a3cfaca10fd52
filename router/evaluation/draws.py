"""What a ledger with scores knows of two models: `read_draws`, the scored requests whose model was drawn.

A ledger knows the outcome of the model that answered. What the other would have answered nobody knows, and it cannot
be told from requests that were sent where they looked easy: those of the cheap model differ from those of the strong.
Only where a lot decided (`explore` or `weights` in a policy) are the two alike but for the model, and the lot's
probabilities are kept. So these alone are used; all others are counted, with the reason.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from msgspec.structs import replace

from router.catalog.catalog import Named
from router.decision.decide import ENOUGH_JUDGED
from router.decision.facts import RequestProfile
from router.decision.recorded import Answers, DecisionRecord
from router.gateway.past import CannotDecideAgain, Past, called, named
from router.keys import TeamName
from router.learning.quality_features import Sparse, features_of
from router.ledger import FAILED_VERIFICATION, History, LedgerEntry, Outcome, Period, pages
from router.quality.labels import Label, Signal
from router.units import CostSource

_AT_ONCE = 5_000  # labels read in one go
_EXPLORED_BELOW = 0.5  # of a probability: at most a fifth of all conversations is sent to the second choice


class Labels(Protocol):
    """Where labels are kept. Blocks, and raises PenstockError if it cannot be reached."""

    def labels_after(self, number: int, limit: int) -> list[tuple[int, Label | None]]: ...


class Unused(StrEnum):
    """Why a scored request says nothing of what the other model would have answered."""

    NOT_DRAWN = "not_drawn"  # the decision was certain
    OTHER_ANSWERED = "other_answered"  # the model drawn failed, or was not paid for, and another one answered
    ALTERNATIVE_UNKNOWN = "alternative_unknown"  # which other model it was drawn against is not kept
    IN_DOUBT = "in_doubt"  # what the call cost is not known yet
    UNREADABLE = "unreadable"  # kept by another version
    OTHER_PAIR = "other_pair"  # drawn between other models than those that are judged


@dataclass(frozen=True, slots=True)
class Draw:
    """A scored request whose model was drawn."""

    team: TeamName
    seed: int  # of its conversation, all of which was drawn at once
    went: Named
    among: Mapping[Named, float]  # how likely each was, `went` too
    score: float  # of the answer of `went`, 0 to 1
    nano_usd: int  # what its call cost
    features: Sparse
    profile: RequestProfile  # without the marks of its prompt
    answers: Answers | None  # what had been learned then

    @property
    def conversation(self) -> tuple[TeamName, int]:
        return self.team, self.seed

    def probability(self, one: Named, other: Named) -> float:
        """Of `went`, where one of the two has been drawn."""
        return self.among[self.went] / (self.among[one] + self.among[other])


@dataclass(slots=True)
class Draws:
    """What a period of the ledger knows."""

    requests: int = 0  # that a model answered
    scored: int = 0
    shadows: int = 0  # copies of requests, whose answers nobody has seen, so that nobody has scored them
    escalated: int = 0  # scored, and an earlier answer had failed a check: both outcomes are known, if only of these
    draws: list[Draw] = field(default_factory=list)
    drawn: Counter[tuple[Named, Named]] = field(default_factory=Counter)  # `went`, another of `among`: scored or not
    unused: Counter[Unused] = field(default_factory=Counter)


def read_draws(
    history: History, labels: Labels, period: Period, *, progress: Callable[[int], None] = lambda _: None
) -> Draws:
    """The period's scored requests. `progress` is told how many entries have been read. Blocks. Raises PenstockError.

    Of an escalated request the score is that of the better model's answer; the one drawn is taken to be bad, as the
    check said.
    """
    scores = _scores(labels, period)
    found = Draws()
    for entries in pages(history, period, progress):
        for entry in entries:
            if entry.outcome is Outcome.SHADOW:
                found.shadows += 1
            elif entry.served_by is not None:
                _add(found, entry, scores.get(entry.request_id))
    return found


def _scores(labels: Labels, period: Period) -> dict[str, Label]:
    """What clients said, by request."""
    scores: dict[str, Label] = {}
    number = 0
    while True:
        some = labels.labels_after(number, _AT_ONCE)
        for number, label in some:  # noqa: B007 - the last one is where to go on
            if label is not None and label.signal is Signal.FEEDBACK and _is_in(period, label):
                scores[label.request_id] = label
        if len(some) < _AT_ONCE:
            return scores


def _is_in(period: Period, label: Label) -> bool:
    since, team = period.since, period.team
    return (since is None or label.asked_at >= since) and label.asked_at < period.until and team in (None, label.team)


def _add(found: Draws, entry: LedgerEntry, label: Label | None) -> None:
    found.requests += 1
    found.scored += label is not None
    if label is not None and any(each.outcome == FAILED_VERIFICATION for each in entry.attempts[: label.number - 1]):
        found.escalated += 1
    drawn = _drawn(entry)
    if isinstance(drawn, Unused):
        found.unused[drawn] += label is not None
        return
    past, went, among = drawn
    for other in among:
        if other != went:
            found.drawn[went, other] += 1
    if label is None:
        return
    first = past.entry.attempts[0]
    found.draws.append(
        Draw(
            team=entry.team,
            seed=past.record.seed,
            went=went,
            among=among,
            score=label.score if label.number == 1 else 0.0,
            nano_usd=first.cost_nano_usd,
            features=features_of(past.profile, None),
            profile=replace(past.profile, prefix=()),
            answers=past.record.answers,
        )
    )


def _drawn(entry: LedgerEntry) -> tuple[Past, Named, Mapping[Named, float]] | Unused:
    """The arm drawn, and the probabilities of all that might have been."""
    try:
        past = Past.of(entry)
    except CannotDecideAgain:
        return Unused.UNREADABLE
    record = past.record
    if record.propensity is None:
        return Unused.NOT_DRAWN
    first = past.entry.attempts[0]
    answered = first is past.entry.served_by or first.outcome == FAILED_VERIFICATION
    if not answered or past.propensity is None:
        return Unused.OTHER_ANSWERED
    among = record.drawn_from or _drawn_from(record, record.propensity)
    if not among:
        return Unused.ALTERNATIVE_UNKNOWN
    if first.source is CostSource.HELD:
        return Unused.IN_DOUBT
    return past, called(first), among


def _drawn_from(record: DecisionRecord, propensity: float) -> Mapping[Named, float]:
    """The same of a record that has the first one's probability alone; empty where it does not tell whose the rest was.

    Who was explored went before the usual first, which is then the second. Who was not was drawn against the next arm
    in the order; but where a policy has new work start strong, against whom it would choose for work that it knows.
    """
    arms = list(dict.fromkeys(named(each) for each in record.ranked))
    judged = None if record.answers is None else record.answers.judged
    is_new_work = judged is not None and judged < ENOUGH_JUDGED
    is_told = len(arms) == 2 or (len(arms) > 2 and (propensity < _EXPLORED_BELOW or not is_new_work))
    return {arms[0]: propensity, arms[1]: 1.0 - propensity} if is_told else {}


def draws_between(found: Draws, one: Named, other: Named) -> Sequence[Draw]:
    """Those of the two that might as well have gone to the other, in the ledger's order."""
    return [each for each in found.draws if each.went in (one, other) and one in each.among and other in each.among]
