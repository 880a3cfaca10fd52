"""The gate of a single process: counters in memory, recovered from the ledger at start.

No method awaits anything, so each runs without interruption and is atomic on the event loop.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from router.limits.gate import Admission, Held, OwnBudgets, Quota, Reservation, Scope, no_own_budgets
from router.limits.paces import Paces
from router.limits.refusals import exhausted
from router.quotas import Budget, BudgetState, Per, ScopeId, ScopeKind, Window, window


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
    waits = False

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        own_budgets: OwnBudgets = no_own_budgets,
    ) -> None:
        self._clock = now
        self._own_budgets = own_budgets
        self._latest: datetime | None = None
        self._recovered: dict[datetime, dict[ScopeId, int]] = {}  # what was spent since then, by the ledger
        self._configured: dict[ScopeId, Quota] = {}  # one for each scope; that of a team's keys has an empty name
        self._accounts: dict[Held, _Account] = {}
        self._current: dict[tuple[ScopeId, Per], _Account] = {}
        self._scopes: dict[ScopeId, tuple[Scope, ZoneInfo]] = {}  # seen so far
        self._open: dict[str, tuple[Reservation, Quota]] = {}
        self._paces = Paces(monotonic_s)

    def recover(self, quotas: Iterable[Quota], spent_since: Callable[[datetime], dict[ScopeId, int]]) -> None:
        """Take up what the ledger says was spent in the windows that are open now.

        `quotas` hold every scope that is known beforehand, keys with budgets of their own included, and one with an
        empty name for those that are not (all other keys).
        Blocks for one read of the ledger per window.
        """
        quotas = tuple(quotas)
        self.reconfigured(quotas, {starts: spent_since(starts) for starts in self.windows_to_read(quotas)})

    def windows_to_read(self, quotas: Iterable[Quota]) -> Sequence[datetime]:
        """When the windows began that these quotas have a budget for, and that nobody has counted in till now."""
        now = self._moment()
        return tuple(
            dict.fromkeys(
                window(budget.per, now, quota.zone).starts
                for quota in quotas
                for scope in quota.scopes
                for budget in scope.budgets
                if not self._counts(scope.id, budget.per, quota.zone)
            )
        )

    def reconfigured(self, quotas: Iterable[Quota], spent: Mapping[datetime, dict[ScopeId, int]]) -> None:
        """These are the budgets from now on. What was counted stays; budgets that are gone are not shown any more.

        `spent` has, for all `windows_to_read`, what was booked since they began. Calls under way are held in the
        windows of new budgets too: what they cost will be booked there.
        """
        now = self._moment()
        quotas, before = tuple(quotas), self._configured
        fresh: defaultdict[ScopeId, list[tuple[Per, Window]]] = defaultdict(list)
        windows: dict[tuple[Per, str], Window] = {}  # a hundred teams have a handful of them, at 10 us each
        for quota in quotas:
            for scope in quota.scopes:
                for per in dict.fromkeys(budget.per for budget in scope.budgets):
                    its = windows.get((per, quota.zone.key))
                    if its is None:
                        its = windows[per, quota.zone.key] = window(per, now, quota.zone)
                    if not self._counts(scope.id, per, quota.zone):
                        fresh[scope.id].append((per, its))
        needed = {its.starts for its in windows.values()}
        self._recovered = {each: sums for each, sums in {**self._recovered, **spent}.items() if each in needed}
        self._configured = {scope.id: Quota((scope,), quota.zone) for quota in quotas for scope in quota.scopes}
        self._scopes = {each: known for each in self._scopes if (known := self._known(each)) is not None}
        self._begin_anew(fresh)
        self._drop_gone(before)
        for quota in quotas:
            self._watched(Quota(tuple(scope for scope in quota.scopes if scope.id.name), quota.zone), now)

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        return self._paces.admit(quota, tokens=tokens)

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        self._paces.leave(admission, tokens=tokens)

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        known = self._open.get(reservation_id)
        if known is not None:
            return known[0]
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
        self._open[reservation_id] = (reservation, quota)
        return reservation

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        known = self._open.pop(reservation.id, None)
        if known is None:
            return
        for held in known[0].windows:
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
            if scope.budgets and scope.id not in self._scopes:
                self._show(scope, quota.zone)
            watched += [
                _Watched(scope, budget, self._account(scope.id, budget.per, now, quota.zone))
                for budget in scope.budgets
            ]
        return watched

    def _show(self, scope: Scope, zone: ZoneInfo) -> None:
        """Have the scope among the states: as it is configured now, whichever configuration the request has."""
        known = self._known(scope.id) if self._configured else (scope, zone)
        if known is not None:
            self._scopes[scope.id] = known

    def _known(self, scope: ScopeId) -> tuple[Scope, ZoneInfo] | None:
        """The scope as it is configured; None if it has no budget there."""
        quota = self._configured.get(scope.as_configured)
        if quota is None:
            return None
        [its] = quota.scopes
        budgets = (*its.budgets, *self._own(scope))
        return (Scope(scope, budgets, its.limits), quota.zone) if budgets else None

    def _own(self, scope: ScopeId) -> tuple[Budget, ...]:
        return self._own_budgets(scope.name) if scope.kind is ScopeKind.KEY and scope.name else ()

    def _counts(self, scope: ScopeId, per: Per, zone: ZoneInfo) -> bool:
        """Whether the configuration till now has such a budget, so that all that is spent of it was counted."""
        quota = self._configured.get(scope)
        return quota is not None and quota.zone == zone and any(each.per is per for each in quota.scopes[0].budgets)

    def _begin_anew(self, fresh: Mapping[ScopeId, Sequence[tuple[Per, Window]]]) -> None:
        """Begin these windows with what was booked in them; calls under way are held in them as well."""
        if not fresh:
            return
        for held, account in self._accounts.items():  # of a budget that was there before, and away meanwhile
            if (held.per, account.window) in _fresh_of(fresh, held.scope):
                account.spent_nano_usd = self._recovered.get(held.starts, {}).get(held.scope, 0)
                account.held_nano_usd = account.holds = 0
        for reservation, quota in list(self._open.values()):
            windows = dict.fromkeys(reservation.windows)
            for scope in quota.scopes:
                for per, its in _fresh_of(fresh, scope.id):
                    account = self._account_of(scope.id, per, its)
                    account.held_nano_usd += reservation.held_nano_usd
                    account.holds += 1
                    windows[Held(scope.id, per, its.starts)] = None
            self._open[reservation.id] = (replace(reservation, windows=tuple(windows)), quota)

    def _drop_gone(self, before: Mapping[ScopeId, Quota]) -> None:
        """Drop the accounts of budgets that are gone, and were before: nobody began under these any more."""
        for (scope, per), account in list(self._current.items()):
            configured = (each.get(scope.as_configured) for each in (before, self._configured))
            budgets = [budget for quota in configured if quota for budget in quota.scopes[0].budgets]
            if not any(budget.per is per for budget in (*budgets, *self._own(scope))):
                del self._current[scope, per]
                self._forget_if_over(Held(scope, per, account.window.starts), account)

    def _account(self, scope: ScopeId, per: Per, now: datetime, zone: ZoneInfo) -> _Account:
        """The account of the window that holds `now`; the window is worked out only when the last one is over."""
        current = self._current.get((scope, per))
        if current is not None and current.window.starts <= now < current.window.ends:
            return current
        return self._account_of(scope, per, window(per, now, zone))

    def _account_of(self, scope: ScopeId, per: Per, its: Window) -> _Account:
        """The account of that window, which is open now."""
        current = self._current.get((scope, per))
        held = Held(scope, per, its.starts)
        account = self._accounts.get(held)
        if account is None:
            spent_nano_usd = self._recovered.get(its.starts, {}).get(scope, 0)
            account = self._accounts[held] = _Account(its, spent_nano_usd)
        self._current[scope, per] = account
        if current is not None and current is not account:
            self._forget_if_over(Held(scope, per, current.window.starts), current)
        return account

    def _forget_if_over(self, held: Held, account: _Account) -> None:
        """Drop a window that is not the current one and carries no hold any more."""
        if account is not self._current.get((held.scope, held.per)) and account.holds == 0:
            self._accounts.pop(held, None)


def _fresh_of(fresh: Mapping[ScopeId, Sequence[tuple[Per, Window]]], scope: ScopeId) -> Collection[tuple[Per, Window]]:
    """The windows that are new for the scope itself, or for all of its kind; each once."""
    return dict.fromkeys((*fresh.get(scope, ()), *fresh.get(scope.as_configured, ())))
