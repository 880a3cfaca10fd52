"""The gate of a single process: counters in memory, recovered from the ledger at start.

No method awaits anything, so each runs without interruption and is atomic on the event loop.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from router.limits.gate import Admission, Held, Quota, Reservation, Scope
from router.limits.paces import Paces
from router.limits.refusals import exhausted
from router.quotas import Budget, BudgetState, Per, ScopeId, Window, window


@dataclass(slots=True)
class _Account:
    """One window of one scope. Invariant: spent + held never exceeds the limit by a new hold."""

    window: Window
    spent_nano_usd: int = 0
    held_nano_usd: int = 0
    holds: int = 0  # reservations that are not settled; a hold of a free model is one of nothing


class _Watched(msgspec.Struct, frozen=True):
    """A budget, and the account that it watches."""

    scope: Scope
    budget: Budget
    account: _Account

    @property
    def left_nano_usd(self) -> int:
        return self.budget.limit_nano_usd - self.account.spent_nano_usd - self.account.held_nano_usd


class MemoryGate:
    """Holds and limits of every scope, in this process."""

    outlives_process = False

    def __init__(self, *, now: Callable[[], datetime], monotonic_s: Callable[[], float]) -> None:
        self._clock = now
        self._latest: datetime | None = None
        self._recovered: dict[datetime, dict[ScopeId, int]] = {}  # what was spent since then, when this process began
        self._accounts: dict[Held, _Account] = {}
        self._current: dict[tuple[ScopeId, Per], _Account] = {}
        self._scopes: dict[ScopeId, tuple[Scope, ZoneInfo]] = {}  # seen so far
        self._open: dict[str, Reservation] = {}
        self._paces = Paces(monotonic_s)

    def recover(self, quotas: Iterable[Quota], spent_since: Callable[[datetime], dict[ScopeId, int]]) -> None:
        """Take up what the ledger says was spent in the windows that are open now.

        `quotas` hold every scope that is known beforehand, and one with an empty name for those that are not (keys).
        Blocks for one read of the ledger per window.
        """
        now = self._moment()
        for quota in quotas:
            for per in dict.fromkeys(budget.per for scope in quota.scopes for budget in scope.budgets):
                starts = window(per, now, quota.zone).starts
                if starts not in self._recovered:
                    self._recovered[starts] = spent_since(starts)
            known = tuple(scope for scope in quota.scopes if scope.id.name)
            self._watched(Quota(known, quota.zone), now)

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        return self._paces.admit(quota, tokens=tokens)

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        self._paces.leave(admission, tokens=tokens)

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        known = self._open.get(reservation_id)
        if known is not None:
            return known
        now = self._moment()
        watched = self._watched(quota, now)
        tightest = None
        for each in watched:
            if tightest is None or each.left_nano_usd < tightest.left_nano_usd:
                tightest = each
        if tightest is not None and nano_usd > tightest.left_nano_usd:
            raise exhausted(
                tightest.scope.id,
                tightest.budget,
                asked_nano_usd=nano_usd,
                left_nano_usd=tightest.left_nano_usd,
                ends=tightest.account.window.ends,
                now=now,
            )
        # By window: two budgets of one window, the one that downgrades and the one that rejects, watch the same sum.
        accounts = {Held(each.scope.id, each.budget.per, each.account.window.starts): each.account for each in watched}
        for account in accounts.values():
            account.held_nano_usd += nano_usd
            account.holds += 1
        reservation = Reservation(id=reservation_id, held_nano_usd=nano_usd, windows=tuple(accounts), held_at=now)
        self._open[reservation_id] = reservation
        return reservation

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        if self._open.pop(reservation.id, None) is None:
            return
        for held in reservation.windows:
            account = self._accounts[held]
            account.held_nano_usd -= reservation.held_nano_usd
            account.holds -= 1
            account.spent_nano_usd += nano_usd
            self._forget_if_over(held, account)

    def still_holds(self, reservation: Reservation) -> bool:
        return reservation.id in self._open

    async def resolve(self, reservation_id: str, *, nano_usd: int) -> None:
        """Holds in memory end with their process: what it owed is recovered from the ledger."""

    async def adopt(self, quota: Quota, *, reservation_id: str, at: datetime, nano_usd: int) -> None:
        """The same."""

    async def bury(self, process: str) -> None:
        """The same."""

    async def correct(self, quota: Quota, *, at: datetime, nano_usd: int) -> None:
        accounts = {id(each.account): each.account for each in self._watched(quota, self._moment())}
        for account in accounts.values():
            if account.window.starts <= at < account.window.ends:
                account.spent_nano_usd += nano_usd

    def states(self) -> list[BudgetState]:
        now = self._moment()
        tightest: dict[tuple[ScopeId, Per], _Watched] = {}
        for scope, zone in self._scopes.values():
            for each in self._watched(Quota((scope,), zone), now):
                known = tightest.setdefault((scope.id, each.budget.per), each)
                if each.budget.limit_nano_usd < known.budget.limit_nano_usd:
                    tightest[scope.id, each.budget.per] = each
        return [
            BudgetState(
                scope=scope_id,
                per=per,
                limit_nano_usd=each.budget.limit_nano_usd,
                spent_nano_usd=each.account.spent_nano_usd,
                held_nano_usd=each.account.held_nano_usd,
                window=each.account.window,
            )
            for (scope_id, per), each in tightest.items()
        ]

    def _moment(self) -> datetime:
        """The time, which never goes back here: a clock that is set back must not open a window anew."""
        now = self._clock()
        if self._latest is None or now > self._latest:
            self._latest = now
        return self._latest

    def _watched(self, quota: Quota, now: datetime) -> list[_Watched]:
        """Every budget of every scope with its account of the window that holds `now`."""
        watched: list[_Watched] = []
        for scope in quota.scopes:
            if scope.budgets:
                self._scopes[scope.id] = (scope, quota.zone)
            watched += [
                _Watched(scope, budget, self._account(scope.id, budget.per, now, quota.zone))
                for budget in scope.budgets
            ]
        return watched

    def _account(self, scope: ScopeId, per: Per, now: datetime, zone: ZoneInfo) -> _Account:
        """The account of the window that holds `now`; the window is worked out only when the last one is over."""
        current = self._current.get((scope, per))
        if current is not None and current.window.starts <= now < current.window.ends:
            return current
        fresh = window(per, now, zone)
        held = Held(scope, per, fresh.starts)
        account = self._accounts.get(held)
        if account is None:
            spent_nano_usd = self._recovered.get(fresh.starts, {}).get(scope, 0)
            account = self._accounts[held] = _Account(fresh, spent_nano_usd)
        self._current[scope, per] = account
        if current is not None:
            self._forget_if_over(Held(scope, per, current.window.starts), current)
        return account

    def _forget_if_over(self, held: Held, account: _Account) -> None:
        """Drop a window that is not the current one and carries no hold any more."""
        if account is not self._current.get((held.scope, held.per)) and account.holds == 0:
            self._accounts.pop(held, None)
