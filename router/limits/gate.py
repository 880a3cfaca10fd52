"""Admission: money is set aside before a call and settled after it, exactly once, on every budget at the same time.

`Gate` is the protocol that the gateway calls. Denials are errors: `BudgetExhausted`, `TooFast`, `TooManyTokens`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec

from router.errors import CallerError, RateLimited
from router.quotas import Budget, BudgetState, Limits, Per, ScopeId


class Left(NamedTuple):
    """What is left of a limit per minute."""

    limit: int
    left: int
    reset_s: float  # until all of it is there again, or enough of it for what was refused


class PaceLeft(msgspec.Struct, frozen=True, gc=False):
    """What may come within a minute after a request, by the limits of whichever scope has the least left."""

    requests: Left | None  # None: nobody limits them
    tokens: Left | None


class TooFast(RateLimited):
    """Too many requests or tokens within a minute, or too many requests at once; waiting helps."""

    def __init__(self, message: str, *, retry_after_s: float, left: PaceLeft) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.left = left


class TooManyUnderWay(TooFast):
    """As many requests of the scope are under way as may be: it helps to wait for one to end."""

    def __init__(self, message: str, *, retry_after_s: float, scope: "Scope") -> None:
        super().__init__(message, retry_after_s=retry_after_s, left=NOTHING_LIMITED)
        self.scope = scope


class TooManyTokens(CallerError):
    """One request alone exceeds what its team may use in a minute: unlike RateLimited, no waiting helps."""

    status = 429  # as OpenAI answers it
    type = "rate_limit_error"
    code = "request_exceeds_tokens_per_minute"


MINUTE_S = 60.0
NOTHING_LIMITED = PaceLeft(None, None)


def least(first: Left | None, limit: int | None, used: int) -> Left | None:
    """The one of both that has less left: what is known of other scopes, and a limit of which so much is used."""
    if limit is None:
        return first
    left = max(limit - used, 0)
    return first if first is not None and first.left <= left else Left(limit, left, MINUTE_S)


@dataclass(frozen=True, slots=True)
class Scope:
    """One purse: whose it is, and what holds for it."""

    id: ScopeId
    budgets: tuple[Budget, ...]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Quota:
    """Every scope that one request is charged to: its team, its key, its projects."""

    scopes: tuple[Scope, ...]
    zone: ZoneInfo  # where days and months begin


OwnBudgets = Callable[[str], tuple[Budget, ...]]
"""What a key may spend by its own record, beside what the configuration gives each key of its team."""


def no_own_budgets(_: str) -> tuple[Budget, ...]:
    return ()


class Admission(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One request let in. It is known by identity: two alike are still two."""

    scopes: tuple[ScopeId, ...]
    tokens: int  # what it was expected to use
    left: PaceLeft | None = None  # None: not told


class Held(msgspec.Struct, frozen=True, gc=False):
    """The window of one scope that carries a hold."""

    scope: ScopeId
    per: Per
    starts: datetime


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """Money held for one call, in the windows it was admitted in."""

    id: str
    held_nano_usd: int
    windows: tuple[Held, ...]
    held_at: datetime | None = None  # by the gate's clock, which draws the windows; None: nobody watches this money


class Gate(Protocol):
    """Counters of one or many processes. Each call is atomic over all scopes and budgets."""

    @property
    def outlives_process(self) -> bool:
        """Whether a hold stays when the process that made it dies, until somebody resolves it."""

    @property
    def waits(self) -> bool:
        """Whether a method may suspend its caller; if not, each is done within the step of the loop that calls it."""

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        """Count one request, expected to use that many tokens, against the rate limits of every scope.

        Raises TooFast or TooManyTokens, and then counts nothing anywhere.
        """

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        """The request is over and used that many tokens: it counts for these, and as concurrent no more."""

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        """Set the sum aside on every budget of every scope, or on none. Raises BudgetExhausted.

        Asked again for a reservation that is held, it answers with that one.
        """

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        """Replace the hold by what was really spent. A second call for the same reservation changes nothing."""

    def still_holds(self, reservation: Reservation) -> bool:
        """Whether the sum is surely set aside yet: asked right before a call leaves. Asks nobody.

        False if this process slept so long that others may have lost its holds, and given the money away.
        """

    async def resolve(self, reservation_id: str, *, nano_usd: int) -> None:
        """Settle a hold that another process made and did not live to settle; an unknown one changes nothing."""

    async def adopt(self, quota: Quota, *, reservation_id: str, at: datetime, nano_usd: int) -> None:
        """Count a call whose process is dead, in the windows that hold `at`: in place of its hold, wherever that is.

        The ledger must have been told of it before. A second call for the same reservation changes nothing.
        """

    async def bury(self, process: str) -> None:
        """That process is dead: what it held beforehand, for no call yet, is let go."""

    async def correct(self, quota: Quota, *, at: datetime, nano_usd: int) -> None:
        """Add to what was spent in the windows that hold `at`, where they are still open; less than zero takes away."""

    def states(self) -> list[BudgetState]:
        """Every budget that is known, for metrics."""
