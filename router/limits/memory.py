"""The gate of a single process: counters in memory, recovered from the ledger at start.

No method awaits anything, so each runs without interruption and is atomic on the event loop.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from router.errors import BudgetExhausted, RateLimited
from router.keys import TeamName
from router.limits.gate import Quota, Reservation
from router.quotas import Budget, BudgetState, Per, WhenSpent, Window, window
from router.units import usd_text

_MINUTE_S = 60.0


@dataclass(slots=True)
class _Account:
    """One budget window of one team. Invariant: spent + held never exceeds the limit by a new hold."""

    window: Window
    spent_nano_usd: int = 0
    held_nano_usd: int = 0


@dataclass(slots=True)
class _Pace:
    """What a team did in the last minute, and is doing now."""

    admitted: deque[tuple[float, int]]  # when, how many tokens
    tokens: int = 0
    concurrent: int = 0


class MemoryGate:
    """Holds and limits of every team, in this process."""

    def __init__(self, *, now: Callable[[], datetime], monotonic_s: Callable[[], float]) -> None:
        self._now = now
        self._monotonic_s = monotonic_s
        self._accounts: dict[tuple[TeamName, Per, datetime], _Account] = {}
        self._current: dict[tuple[TeamName, Per], _Account] = {}
        self._limits: dict[tuple[TeamName, Per], int] = {}
        self._open: dict[str, Reservation] = {}
        self._paces: dict[TeamName, _Pace] = {}

    def recover(self, quotas: Iterable[Quota], spent_since: Callable[[datetime], dict[TeamName, int]]) -> None:
        """Take up what the ledger says was spent in the windows that are open now."""
        now = self._now()
        for quota in quotas:
            for budget in quota.budgets:
                account = self._account(quota, budget, now)
                account.spent_nano_usd = spent_since(account.window.starts).get(quota.team, 0)

    async def admit(self, quota: Quota, *, tokens: int) -> None:
        pace, limits = self._pace(quota.team), quota.limits
        now_s = self._monotonic_s()
        while pace.admitted and pace.admitted[0][0] <= now_s - _MINUTE_S:
            pace.tokens -= pace.admitted.popleft()[1]
        wait_s = pace.admitted[0][0] + _MINUTE_S - now_s if pace.admitted else 1.0
        if limits.concurrent is not None and pace.concurrent >= limits.concurrent:
            raise RateLimited(
                f"Team {quota.team} has {pace.concurrent} requests under way and may have {limits.concurrent}. "
                "Wait for one to end.",
                retry_after_s=1.0,
            )
        if limits.requests_per_minute is not None and len(pace.admitted) >= limits.requests_per_minute:
            raise RateLimited(
                f"Team {quota.team} made {len(pace.admitted)} requests within a minute and may make "
                f"{limits.requests_per_minute}. Slow down.",
                retry_after_s=wait_s,
            )
        if limits.tokens_per_minute is not None and pace.tokens + tokens > limits.tokens_per_minute:
            raise RateLimited(
                f"Team {quota.team} used {pace.tokens} tokens within a minute; {tokens} more exceed its "
                f"{limits.tokens_per_minute}. Slow down.",
                retry_after_s=wait_s,
            )
        pace.concurrent += 1
        if limits.requests_per_minute is not None or limits.tokens_per_minute is not None:
            pace.admitted.append((now_s, tokens))
            pace.tokens += tokens

    async def leave(self, quota: Quota) -> None:
        self._pace(quota.team).concurrent -= 1

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        now = self._now()
        accounts = [(budget, self._account(quota, budget, now)) for budget in quota.budgets]
        for budget, account in accounts:
            left = budget.limit_nano_usd - account.spent_nano_usd - account.held_nano_usd
            if nano_usd > left:
                raise _exhausted(quota, budget, account, asked=nano_usd, left=left, now=now)
        for _, account in accounts:
            account.held_nano_usd += nano_usd
        reservation = Reservation(
            id=reservation_id,
            team=quota.team,
            held_nano_usd=nano_usd,
            windows=tuple((budget.per, account.window.starts) for budget, account in accounts),
        )
        self._open[reservation_id] = reservation
        return reservation

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        if self._open.pop(reservation.id, None) is None:
            return
        for per, starts in reservation.windows:
            account = self._accounts[reservation.team, per, starts]
            account.held_nano_usd -= reservation.held_nano_usd
            account.spent_nano_usd += nano_usd
            self._forget_if_over(reservation.team, per, account)

    def states(self) -> list[BudgetState]:
        return [
            BudgetState(
                team=team,
                per=per,
                limit_nano_usd=self._limits[team, per],
                spent_nano_usd=account.spent_nano_usd,
                held_nano_usd=account.held_nano_usd,
            )
            for (team, per), account in self._current.items()
        ]

    def _account(self, quota: Quota, budget: Budget, now: datetime) -> _Account:
        """The account of the window that holds `now`; the window is worked out only when the last one is over."""
        key = (quota.team, budget.per)
        self._limits[key] = budget.limit_nano_usd
        current = self._current.get(key)
        if current is not None and current.window.starts <= now < current.window.ends:
            return current
        fresh = window(budget.per, now, quota.zone)
        account = self._accounts.setdefault((*key, fresh.starts), _Account(fresh))
        self._current[key] = account
        if current is not None:
            self._forget_if_over(*key, current)
        return account

    def _forget_if_over(self, team: TeamName, per: Per, account: _Account) -> None:
        """Drop a window that is not the current one and carries no hold any more."""
        if account is not self._current.get((team, per)) and account.held_nano_usd == 0:
            self._accounts.pop((team, per, account.window.starts), None)

    def _pace(self, team: TeamName) -> _Pace:
        pace = self._paces.get(team)
        if pace is None:
            pace = self._paces[team] = _Pace(admitted=deque())
        return pace


def _exhausted(
    quota: Quota, budget: Budget, account: _Account, *, asked: int, left: int, now: datetime
) -> BudgetExhausted:
    return BudgetExhausted(
        f"This request may cost ${usd_text(asked)} and team {quota.team} has ${usd_text(max(left, 0))} left of its "
        f"${usd_text(budget.limit_nano_usd)} per {budget.per}; the window ends at {account.window.ends.isoformat()}. "
        "Send a smaller `max_tokens`, or ask the team's owner to raise the budget.",
        asked_nano_usd=asked,
        left_nano_usd=max(left, 0),
        resets_in_s=(account.window.ends - now).total_seconds(),
        may_downgrade=budget.when_spent is WhenSpent.DOWNGRADE,
    )
