"""The gate of a single process: counters in memory, recovered from the ledger at start.

No method awaits anything, so each runs without interruption and is atomic on the event loop.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from router.errors import BudgetExhausted, RateLimited
from router.keys import TeamName
from router.limits.gate import Admission, Quota, Reservation, TooManyTokens
from router.quotas import Budget, BudgetState, Per, WhenSpent, Window, window
from router.units import usd_text

_MINUTE_S = 60.0


@dataclass(slots=True)
class _Account:
    """One budget window of one team. Invariant: spent + held never exceeds the limit by a new hold."""

    window: Window
    spent_nano_usd: int = 0
    held_nano_usd: int = 0
    holds: int = 0  # reservations that are not settled; a hold of a free model is one of nothing


@dataclass(slots=True)
class _Admitted:
    """A request of the last minute: at first what it was expected to use, in the end what it used."""

    at_s: float
    tokens: int


@dataclass(slots=True)
class _Pace:
    """What a team did in the last minute, and is doing now."""

    admitted: deque[_Admitted] = field(default_factory=deque)  # oldest first
    tokens: int = 0  # of all that is in `admitted`
    under_way: dict[Admission, _Admitted] = field(default_factory=dict)

    def forget_until(self, until_s: float) -> None:
        while self.admitted and self.admitted[0].at_s <= until_s:
            self.tokens -= self.admitted.popleft().tokens


class MemoryGate:
    """Holds and limits of every team, in this process."""

    def __init__(self, *, now: Callable[[], datetime], monotonic_s: Callable[[], float]) -> None:
        self._now = now
        self._monotonic_s = monotonic_s
        self._accounts: dict[tuple[TeamName, Per, datetime], _Account] = {}
        self._current: dict[tuple[TeamName, Per], _Account] = {}
        self._quotas: dict[TeamName, Quota] = {}
        self._open: dict[str, Reservation] = {}
        self._paces: dict[TeamName, _Pace] = {}

    def recover(self, quotas: Iterable[Quota], spent_since: Callable[[datetime], dict[TeamName, int]]) -> None:
        """Take up what the ledger says was spent in the windows that are open now."""
        now = self._now()
        spent: dict[datetime, dict[TeamName, int]] = {}  # asked once per window, however many teams share it
        for quota in quotas:
            self._quotas[quota.team] = quota
            for per in _windows(quota):
                account = self._account(quota, per, now)
                starts = account.window.starts
                if starts not in spent:
                    spent[starts] = spent_since(starts)
                account.spent_nano_usd = spent[starts].get(quota.team, 0)

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        pace = self._pace(quota.team)
        now_s = self._monotonic_s()
        pace.forget_until(now_s - _MINUTE_S)
        _check_concurrent(quota, pace)
        _check_requests(quota, pace, now_s)
        _check_tokens(quota, pace, now_s, tokens=tokens)
        admission, admitted = Admission(quota.team, tokens), _Admitted(now_s, tokens)
        pace.under_way[admission] = admitted
        pace.admitted.append(admitted)
        pace.tokens += tokens
        return admission

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        pace = self._pace(admission.team)
        pace.forget_until(self._monotonic_s() - _MINUTE_S)
        admitted = pace.under_way.pop(admission, None)
        if admitted is None:
            return
        if pace.admitted and admitted.at_s >= pace.admitted[0].at_s:  # still of the last minute
            pace.tokens += tokens - admitted.tokens
        admitted.tokens = tokens

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        now = self._now()
        self._quotas[quota.team] = quota
        # By window: two budgets of one window, the one that downgrades and the one that rejects, watch the same sum.
        accounts = {per: self._account(quota, per, now) for per in _windows(quota)}
        lefts = [_left(budget, accounts[budget.per]) for budget in quota.budgets]
        if lefts and nano_usd > min(lefts):
            tightest = quota.budgets[lefts.index(min(lefts))]
            raise _exhausted(
                quota, tightest, accounts[tightest.per].window, asked=nano_usd, left=max(min(lefts), 0), now=now
            )
        for account in accounts.values():
            account.held_nano_usd += nano_usd
            account.holds += 1
        reservation = Reservation(
            id=reservation_id,
            team=quota.team,
            held_nano_usd=nano_usd,
            windows=tuple((per, account.window.starts) for per, account in accounts.items()),
        )
        self._open[reservation_id] = reservation
        return reservation

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        if self._open.pop(reservation.id, None) is None:
            return
        for per, starts in reservation.windows:
            account = self._accounts[reservation.team, per, starts]
            account.held_nano_usd -= reservation.held_nano_usd
            account.holds -= 1
            account.spent_nano_usd += nano_usd
            self._forget_if_over(reservation.team, per, account)

    def states(self) -> list[BudgetState]:
        now = self._now()
        return [
            BudgetState(
                team=quota.team,
                per=per,
                limit_nano_usd=min(budget.limit_nano_usd for budget in quota.budgets if budget.per is per),
                spent_nano_usd=account.spent_nano_usd,
                held_nano_usd=account.held_nano_usd,
            )
            for quota in self._quotas.values()
            for per in _windows(quota)
            for account in (self._account(quota, per, now),)
        ]

    def _account(self, quota: Quota, per: Per, now: datetime) -> _Account:
        """The account of the window that holds `now`; the window is worked out only when the last one is over."""
        key = (quota.team, per)
        current = self._current.get(key)
        if current is not None and current.window.starts <= now < current.window.ends:
            return current
        fresh = window(per, now, quota.zone)
        account = self._accounts.setdefault((*key, fresh.starts), _Account(fresh))
        self._current[key] = account
        if current is not None:
            self._forget_if_over(*key, current)
        return account

    def _forget_if_over(self, team: TeamName, per: Per, account: _Account) -> None:
        """Drop a window that is not the current one and carries no hold any more."""
        if account is not self._current.get((team, per)) and account.holds == 0:
            self._accounts.pop((team, per, account.window.starts), None)

    def _pace(self, team: TeamName) -> _Pace:
        pace = self._paces.get(team)
        if pace is None:
            pace = self._paces[team] = _Pace()
        return pace


def _windows(quota: Quota) -> Iterable[Per]:
    """The kinds of window that the team's budgets are counted in, each once."""
    return dict.fromkeys(budget.per for budget in quota.budgets)


def _left(budget: Budget, account: _Account) -> int:
    return budget.limit_nano_usd - account.spent_nano_usd - account.held_nano_usd


def _exhausted(
    quota: Quota, budget: Budget, within: Window, *, asked: int, left: int, now: datetime
) -> BudgetExhausted:
    return BudgetExhausted(
        f"This request may cost ${usd_text(asked)} and team {quota.team} has ${usd_text(left)} left of its "
        f"${usd_text(budget.limit_nano_usd)} per {budget.per}; the window ends at {within.ends.isoformat()}. "
        "Send a smaller `max_tokens`, or ask the team's owner to raise the budget.",
        asked_nano_usd=asked,
        left_nano_usd=left,
        resets_in_s=(within.ends - now).total_seconds(),
        may_downgrade=budget.when_spent is WhenSpent.DOWNGRADE,
    )


def _check_concurrent(quota: Quota, pace: _Pace) -> None:
    limit = quota.limits.concurrent
    if limit is not None and len(pace.under_way) >= limit:
        raise RateLimited(
            f"Team {quota.team} has {len(pace.under_way)} requests under way and may have {limit}. "
            "Wait for one to end.",
            retry_after_s=1.0,  # a guess: nobody knows when one will end
        )


def _check_requests(quota: Quota, pace: _Pace, now_s: float) -> None:
    limit = quota.limits.requests_per_minute
    if limit is not None and len(pace.admitted) >= limit:
        raise RateLimited(
            f"Team {quota.team} made {len(pace.admitted)} requests within a minute and may make {limit}. Slow down.",
            retry_after_s=pace.admitted[0].at_s + _MINUTE_S - now_s,
        )


def _check_tokens(quota: Quota, pace: _Pace, now_s: float, *, tokens: int) -> None:
    limit = quota.limits.tokens_per_minute
    if limit is None or pace.tokens + tokens <= limit:
        return
    if tokens > limit:
        raise TooManyTokens(
            f"This request may use {tokens} tokens and team {quota.team} may use {limit} per minute, so waiting does "
            "not help. Send a smaller `max_tokens` or prompt, or ask the team's owner to raise the limit."
        )
    raise RateLimited(
        f"Team {quota.team} used {pace.tokens} tokens within a minute; {tokens} more exceed its {limit}. Slow down.",
        retry_after_s=_room_at_s(pace, tokens, limit) - now_s,
    )


def _room_at_s(pace: _Pace, tokens: int, limit: int) -> float:
    """When enough of the last minute's tokens are a minute old for `tokens`, at most `limit`, to fit."""
    used = pace.tokens
    at_s = 0.0
    for admitted in pace.admitted:
        if used + tokens <= limit:
            break
        used -= admitted.tokens
        at_s = admitted.at_s + _MINUTE_S
    return at_s
