"""What finished requests say of earlier answers and of their own: `Labeller` makes labels of ledger entries.

A check of the policy speaks at once. Whether the client asked the same turn again is known later: the ends of prompts
answered lately are remembered, by their digests, in bounded memory, with their entries as bytes: as objects five
thousand took 30 MB, a hundred for each. Of those that were not asked again, nearly all, one in sixteen is kept and
stands for the others.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import log
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from router.catalog.catalog import Catalog
from router.decision.effort import effort_asked, effort_in_force
from router.decision.facts import NO_TIGHTENING, RequestProfile
from router.decision.policy import Policy
from router.decision.recorded import read_profile
from router.keys import TeamName
from router.learning.quality_features import features_of, named
from router.learning.rates import Rates
from router.ledger import FAILED_VERIFICATION, Attempt, LedgerEntry, Outcome
from router.quality.labels import Label, Signal
from router.quality.predictor import NO_LESSON, QualityPredictor

_AGAIN = timedelta(minutes=10)  # what is asked again later is asked anew
_SOONEST = timedelta(seconds=1)  # after the answer: nobody reads faster, programs ask in parallel
_MOST_REMEMBERED = 5_000  # answers, of 1 to 3 KB each
_ONE_IN = 16
_MOST_TIMES = 2  # a turn that is asked more often is asked by a program, which may want several answers
_LEAST_ODDS = 0.001  # a prior that is certain could never be moved
_NOT_CHECKED = frozenset({"unknown"})


class _Answered(NamedTuple):
    """An answer that may be asked for again."""

    entry: bytes  # as `_encode` wrote it; empty where nothing will be told of it
    stands_for_others: bool
    ended_at: datetime
    times: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(LedgerEntry).decode


class Labeller:
    """Makes the labels of one process. Not to be used from two threads at once."""

    def __init__(
        self,
        *,
        learns: Callable[[TeamName], bool],
        policies: Callable[[TeamName], Mapping[str, Policy]],
        catalog: Callable[[], Catalog],
        quality: Callable[[], QualityPredictor],
        rates: Rates,
        put: Callable[[Label], None],
    ) -> None:
        """Without `learns` no label is made but of feedback. `put` takes what is to be kept and learned."""
        self._learns = learns
        self._policies = policies
        self._catalog = catalog
        self._quality = quality
        self._rates = rates
        self._put = put
        self._answered: OrderedDict[int, _Answered] = OrderedDict()

    def observe(self, entry: LedgerEntry, profile: RequestProfile) -> None:
        """Make the labels that a request which has just ended gives rise to."""
        served = entry.served_by
        if served is None or entry.outcome is Outcome.SHADOW:
            return
        if not self._learns(entry.team):
            return
        escalated = False
        for number, call in enumerate(entry.attempts, start=1):
            if call.verification is not None and call.verification not in _NOT_CHECKED:
                escalated = escalated or call.outcome == FAILED_VERIFICATION
                self._checked(entry, profile, number, call)
        self._rates.answered(entry.team, entry.at.date(), escalated=escalated)
        if profile.prefix:
            self._turn(entry, profile)

    def label(
        self,
        entry: LedgerEntry,
        profile: RequestProfile,
        number: int,
        *,
        signal: Signal,
        score: float,
        at: datetime,
        share: float = 1.0,
        reason: str | None = None,
        propensity: float | None = None,
    ) -> Label | None:
        """A label about one of the request's calls; None if its model has left the catalog."""
        call = entry.attempts[number - 1]
        deployments = self._catalog().of(call.model)
        if not deployments:
            return None
        # Of the effort that the decision asked for too: else nothing that is learned of it would be asked.
        effort = effort_in_force(call.effort, effort_asked(profile), deployments[0].model)
        forecast = self._quality().forecast(deployments[0].model, effort, profile, NO_LESSON).probability
        odds = min(max(forecast, _LEAST_ODDS), 1.0 - _LEAST_ODDS)
        return Label(
            request_id=entry.request_id,
            number=number,
            signal=signal,
            team=entry.team,
            model=call.model,
            effort=effort,
            version=call.version,
            task=profile.task,
            asked_at=entry.at,
            at=at,
            score=score,
            prior_logit=round(log(odds / (1.0 - odds)), 5),
            features=named(features_of(profile, effort)),
            checks=self._checks(entry, profile, call),
            share=share,
            reason=reason,
            propensity=propensity,
        )

    def _checked(self, entry: LedgerEntry, profile: RequestProfile, number: int, call: Attempt) -> None:
        has_failed = call.verification != "passed"
        was_replaced = call.outcome == FAILED_VERIFICATION and number < len(entry.attempts)
        self._keep(
            self.label(
                entry,
                profile,
                number,
                signal=Signal.ESCALATION if was_replaced else Signal.VERIFIER,
                score=0.0 if has_failed else 1.0,
                at=entry.at,
            )
        )

    def _turn(self, entry: LedgerEntry, profile: RequestProfile) -> None:
        """Remember the turn, and tell of the earlier one that it asks again or goes on from."""
        answered, prefix = self._answered, profile.prefix
        digest, times = prefix[-1].digest, 1
        earlier = answered.pop(digest, None)
        if earlier is not None and _SOONEST <= entry.at - earlier.ended_at <= _AGAIN:
            times = earlier.times + 1
            if times <= _MOST_TIMES:
                self._rates.retried(entry.team, entry.at.date())
                self._tell(earlier, was_asked_again=True, at=entry.at)
        for mark in prefix[-4:-1]:
            before = answered.pop(mark.digest, None)
            if before is not None:
                self._tell(before, was_asked_again=False, at=entry.at)
        kept = b""
        if times == 1 and entry.outcome is Outcome.OK:
            kept = _encode(replace(entry, conditions_json=b""))  # kilobytes that nobody will need
        # The last bits of the name are chance: the same sixteenth in every process.
        stands_for_others = entry.request_id[-1:] == "0"
        ended_at = entry.at + timedelta(seconds=entry.duration_s)
        answered[digest] = _Answered(kept, stands_for_others, ended_at, times)
        while answered:
            oldest = next(iter(answered.values()))
            if entry.at - oldest.ended_at <= _AGAIN and len(answered) <= _MOST_REMEMBERED:
                break
            answered.popitem(last=False)
            self._tell(oldest, was_asked_again=False, at=entry.at)

    def _tell(self, answered: _Answered, *, was_asked_again: bool, at: datetime) -> None:
        if not answered.entry or not (was_asked_again or answered.stands_for_others):
            return
        entry = _decode(answered.entry)
        profile = read_profile(entry.profile_json)
        if profile is None:
            return
        number = next((each for each, call in enumerate(entry.attempts, start=1) if call is entry.served_by), None)
        if number is not None:
            share = 1.0 if was_asked_again else 1.0 / _ONE_IN
            score = 0.0 if was_asked_again else 1.0
            self._keep(self.label(entry, profile, number, signal=Signal.RETRY, score=score, at=at, share=share))

    def _keep(self, label: Label | None) -> None:
        if label is not None:
            self._put(label)

    def _checks(self, entry: LedgerEntry, profile: RequestProfile, call: Attempt) -> dict[str, bool]:
        """What is known of the checks of the answer: which one failed, or that all of them passed."""
        if call.verification is None or call.verification in _NOT_CHECKED:
            return {}
        if call.verification != "passed":
            return {call.verification: False}
        policy = self._policies(entry.team).get(entry.policy)
        if policy is None:
            return {}
        checks = policy.terms_for(profile, NO_TIGHTENING, entry.at).checks_for(profile)
        return {check.kind.value: True for check in checks}
