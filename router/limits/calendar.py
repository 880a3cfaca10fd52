"""Windows by the clock of Redis: every process draws them from the same time, whatever its own clock says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from router.limits.gate import Held, Quota
from router.quotas import Budget, Per, ScopeId, ScopeKind, Window, window

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def from_us(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def to_us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


class Span(NamedTuple):
    """A window of one scope as Redis is told of it."""

    scope: str
    per: str
    starts_us: int
    ends_us: int

    @classmethod
    def of(cls, scope: ScopeId, per: Per, its: Window) -> "Span":
        return cls(scope_text(scope), per.value, to_us(its.starts), to_us(its.ends))

    def held(self) -> Held:
        return Held(scope_from(self.scope), Per(self.per), from_us(self.starts_us))


def scope_text(scope: ScopeId) -> str:
    return f"{scope.kind.value}|{scope.team}|{scope.name}"  # no name may hold a `|`


def purse_text(scope: ScopeId, per: Per) -> str:
    """A budget that a scope of this kind could have: the keys of a team have one together, for no list names them."""
    return f"{scope_text(scope.as_configured)}|{per.value}"


def scope_from(text: str) -> ScopeId:
    kind, team, name = text.split("|")
    return ScopeId(team, ScopeKind(kind), name)


@dataclass(frozen=True, slots=True)
class Watched:
    """A budget of one scope, and its window that is open now."""

    scope: ScopeId
    budget: Budget
    window: Window

    @property
    def span(self) -> Span:
        return Span.of(self.scope, self.budget.per, self.window)


class ServerClock:
    """The time of Redis as far as it is known here: last told, and a stopwatch since."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._told_us = 0
        self._told_at_s = monotonic_s()

    def set(self, us: int) -> None:
        self._told_us = us
        self._told_at_s = self._monotonic_s()

    def now(self) -> datetime:
        return from_us(self._told_us) + timedelta(seconds=self._monotonic_s() - self._told_at_s)


class Calendar:
    """The open window of every kind and zone, worked out again only when it is over."""

    def __init__(self) -> None:
        self._current: dict[tuple[Per, str], Window] = {}

    def watched(self, quota: Quota, now: datetime) -> Iterator[Watched]:
        """Every budget of every scope with the window that holds `now`."""
        for scope in quota.scopes:
            for budget in scope.budgets:
                yield Watched(scope.id, budget, self.window(budget.per, now, quota.zone))

    def window(self, per: Per, now: datetime, zone: ZoneInfo) -> Window:
        current = self._current.get((per, zone.key))
        if current is None or not current.starts <= now < current.ends:
            current = self._current[per, zone.key] = window(per, now, zone)
        return current
