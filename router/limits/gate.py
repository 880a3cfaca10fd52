"""Admission: money is set aside before a call and settled after it, exactly once, on every budget at the same time.

`Gate` is the protocol that the gateway calls. Denials are errors: `BudgetExhausted`, `RateLimited`, `TooManyTokens`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from router.errors import CallerError
from router.keys import TeamName
from router.quotas import Budget, BudgetState, Limits, Per


class TooManyTokens(CallerError):
    """One request alone exceeds what its team may use in a minute: unlike RateLimited, no waiting helps."""

    status = 429  # as OpenAI answers it
    type = "rate_limit_error"
    code = "request_exceeds_tokens_per_minute"


@dataclass(frozen=True, slots=True)
class Quota:
    """What holds for one team."""

    team: TeamName
    budgets: tuple[Budget, ...]
    limits: Limits
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, eq=False)
class Admission:
    """One request let in. It is known by identity: two alike are still two."""

    team: TeamName
    tokens: int  # what it was expected to use


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money held for one attempt, in the windows it was admitted in."""

    id: str
    team: TeamName
    held_nano_usd: int
    windows: tuple[tuple[Per, datetime], ...]  # kind and start of each window that carries the hold


class Gate(Protocol):
    """Counters of one or many processes. Each call is atomic over all budgets of the team."""

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        """Count one request, expected to use that many tokens, against the rate limits.

        Raises RateLimited or TooManyTokens, and then counts nothing.
        """

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        """The request is over and used that many tokens: it counts for these, and as concurrent no more."""

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        """Set the sum aside on every budget, or on none. Raises BudgetExhausted."""

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        """Replace the hold by what was really spent. A second call for the same reservation changes nothing."""

    def states(self) -> list[BudgetState]:
        """Every budget that is known, for metrics."""
