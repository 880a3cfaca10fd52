"""One attempt at a provider while it is under way: what was held for it, what it told, what it is booked at."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import anyio

from router.catalog.catalog import ModelName
from router.decision.eligibility import Candidate
from router.errors import UpstreamError
from router.gateway.settlement import NOTHING_OWED, Charge, charge_for, is_believed, version_served
from router.ledger import FAILED_VERIFICATION, SECOND_OPINION, Attempt
from router.limits.gate import Reservation
from router.quality.verify import Verdict
from router.telemetry.tracing import NO_HEADERS
from router.units import CostSource, Usage
from router.upstream.client import UpstreamClient
from router.wire.replies import Bill

# When to ask for a provider's record of a call that told no cost: it may appear some seconds late (openrouter.md §5;
# the delay is not documented, so this doubles up to 16 s in all).
RECORD_WAITS_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_RECORD_PATIENCE_S = 20.0  # for all of it: a provider that does not answer must not keep the hold


log = logging.getLogger("penstock.money")

LOST = "lost"  # the outcome of a call whose process died


class Call:
    """The one mutable thing about an attempt. Booked exactly once: `charge` is set when that has happened."""

    __slots__ = (
        "bill",
        "candidate",
        "charge",
        "ended_s",
        "error",
        "finish_reason",
        "first_token_s",
        "generation_id",
        "is_answered",
        "is_opinion",
        "is_sent",
        "reservation",
        "served_model",
        "started_s",
        "trace_headers",
        "verdict",
    )

    def __init__(self, candidate: Candidate, reservation: Reservation, *, started_s: float) -> None:
        self.candidate = candidate
        self.reservation = reservation
        self.started_s = started_s
        self.ended_s: float | None = None
        self.generation_id: str | None = None
        self.served_model: str | None = None
        self.first_token_s: float | None = None  # of a stream: from the call to its first event
        self.finish_reason: str | None = None
        self.bill: Bill | None = None
        self.error: UpstreamError | None = None
        self.is_sent = False  # from here on the provider may have it, and bill it
        self.is_answered = False  # the client got this call's answer, or the beginning of it
        self.is_opinion = False  # its answer was only to be compared with that of another
        self.charge: Charge | None = None
        self.verdict: Verdict | None = None  # of the policy's checks, if its answer was put to them
        self.trace_headers = NO_HEADERS  # by which its provider is told of the trace

    @property
    def id(self) -> str:
        return self.reservation.id

    @property
    def outcome(self) -> str:
        if self.error is not None:
            return self.error.outcome
        if self.verdict is not None and self.verdict.failed is not None:
            return FAILED_VERIFICATION
        if self.verdict is not None and not self.verdict.passed and not self.is_answered:
            return FAILED_VERIFICATION  # it could not be verified, and had to be
        if self.is_opinion:
            return SECOND_OPINION
        return "ok" if self.is_answered else "abandoned"

    def charge_told(self, at: datetime, *, images: int, one_hour_cache: bool = False) -> Charge | None:
        """What to book by what is known already; None if the provider's record has to be asked."""
        if self.bill is not None:
            its = self.candidate.deployment
            charge = charge_for(self.bill, its, at=at, images=images, one_hour_cache=one_hour_cache)
            if charge is not None and self._is_believed(charge.nano_usd):
                return charge
        refused = self.error is not None and not self.error.may_be_owed and not self.is_answered
        return NOTHING_OWED if refused or not self.is_sent else None

    async def charge_recorded(self, client: UpstreamClient, sleep: Callable[[float], Awaitable[None]]) -> Charge:
        """What the provider's own record says, else the sum held: a call in doubt stays counted."""
        provider = self.candidate.deployment.provider.name
        if self.generation_id is not None and client.keeps_records(provider):
            with anyio.move_on_after(_RECORD_PATIENCE_S):
                for wait_s in RECORD_WAITS_S:
                    await sleep(wait_s)
                    bill = await client.record(provider, self.generation_id)
                    if bill is not None and bill.nano_usd is not None and self._is_believed(bill.nano_usd):
                        self.bill = bill
                        return Charge(bill.nano_usd, CostSource.RECORD)
        return self.charge_held()

    def charge_so_far(self) -> Charge:
        """What is booked, else what is held: what the request must be taken to have cost by now."""
        return self.charge or self.charge_held()

    def charge_held(self) -> Charge:
        return Charge(self.reservation.held_nano_usd, CostSource.HELD)

    def _is_believed(self, nano_usd: int) -> bool:
        """Whether to book a cost that is told: if not, the record is asked, else the hold booked."""
        held = self.reservation.held_nano_usd
        if nano_usd > held:
            log.error("call %s is told to cost %d nano-dollars, and %d were held", self.id, nano_usd, held)
        return is_believed(nano_usd, held_nano_usd=held)

    def attempt(self) -> Attempt:
        """The call as the ledger keeps it, once it is booked."""
        assert self.charge is not None
        assert self.ended_s is not None
        return self._attempt(self.charge, self.outcome, ended_s=self.ended_s)

    def attempt_if_lost(self, now_s: float) -> Attempt:
        """The call as the ledger keeps it if its process dies before it is booked: it may cost all that is held."""
        return self._attempt(self.charge_held(), LOST, ended_s=now_s)

    def _attempt(self, charge: Charge, outcome: str, *, ended_s: float) -> Attempt:
        deployment = self.candidate.deployment
        return Attempt(
            id=self.id,
            model=deployment.model.name,
            provider=deployment.provider.name,
            outcome=outcome,
            served_model=self.served_model,
            generation_id=self.generation_id,
            usage=self.bill.usage if self.bill else None,
            held_nano_usd=self.reservation.held_nano_usd,
            cost_nano_usd=charge.nano_usd,
            source=charge.source,
            duration_s=ended_s - self.started_s,
            first_token_s=self.first_token_s,
            finish_reason=self.finish_reason,
            version=version_served(deployment, self.served_model),
            verification=None if self.verdict is None else self.verdict.word,
            effort=self.candidate.effort,
            held_at=self.reservation.held_at,
        )


def last_usage(calls: Sequence[Call]) -> tuple[ModelName, Usage] | None:
    """What the last call used that is booked and told it, and which model that was; None if none did.

    A second opinion is left out: without us nobody would have asked for one.
    """
    for call in reversed(calls):
        if call.charge is not None and call.bill is not None and not call.is_opinion:
            return call.candidate.deployment.model.name, call.bill.usage
    return None
