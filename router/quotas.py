"""What a team may spend and how fast: `Budget` and `Limits`, and the calendar windows budgets are counted in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo


class ScopeKind(StrEnum):
    """Whose money a budget watches."""

    TEAM = "team"
    KEY = "key"  # one API key of a team
    PROJECT = "project"  # a tag that the team has given money of its own


class ScopeId(NamedTuple):
    """Whose money: a team as a whole, or one key or project of it. A tuple, because it is hashed for every request."""

    team: str
    kind: ScopeKind
    name: str  # the team's own name, the key's id, or the tag

    @classmethod
    def of_team(cls, team: str) -> "ScopeId":
        return cls(team, ScopeKind.TEAM, team)

    @property
    def as_configured(self) -> "ScopeId":
        """By what it is configured: no file names keys, what holds for one holds for each of a team's."""
        return self._replace(name="") if self.kind is ScopeKind.KEY else self


_SHADOW_MARK = "@shadow/"  # no client can send such a tag, and no file can define one as a project


def shadow_tag(policy: str) -> str:
    """The tag, and the project, that copies of a policy's requests to its shadow are booked under."""
    return f"{_SHADOW_MARK}{policy}"


def shadowed_policy(tag: str) -> str | None:
    """The policy behind a shadow's tag; None if the tag is an ordinary one."""
    return tag.removeprefix(_SHADOW_MARK) if tag.startswith(_SHADOW_MARK) else None


def charged_to(team: str, key_id: str, tags: Sequence[str]) -> tuple[ScopeId, ...]:
    """Every scope whose money a request with these tags is, whether it has a budget or not."""
    if tags and shadowed_policy(tags[0]) is not None:
        return (ScopeId(team, ScopeKind.PROJECT, tags[0]),)  # its own budget, and nobody else's
    projects = (ScopeId(team, ScopeKind.PROJECT, tag) for tag in tags)
    return (ScopeId.of_team(team), ScopeId(team, ScopeKind.KEY, key_id), *projects)


class Per(StrEnum):
    """The window a budget is counted in."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"  # starts on Monday
    MONTH = "month"


class WhenSpent(StrEnum):
    REJECT = "reject"
    DOWNGRADE = "downgrade"  # the policy's cheapest eligible models are tried before the request is refused


@dataclass(frozen=True, slots=True)
class Budget:
    limit_nano_usd: int
    per: Per
    when_spent: WhenSpent = WhenSpent.REJECT


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of the calendar, from `starts` until before `ends`, both aware UTC."""

    starts: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class BudgetState:
    """Where a budget stands in its current window."""

    scope: ScopeId
    per: Per
    limit_nano_usd: int
    spent_nano_usd: int  # settled
    held_nano_usd: int  # set aside for calls under way
    window: Window  # the one that is open


@dataclass(frozen=True, slots=True)
class Limits:
    """None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None  # as expected at admission, corrected when the request is over
    concurrent: int | None = None
    queue: int = 0  # requests that may wait, in each process, until there are fewer than `concurrent`
    queue_s: float = 5.0  # so long at most


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a key or a project may spend, and how fast, within its team's own."""

    budgets: tuple[Budget, ...] = ()
    limits: Limits = NO_LIMITS


NO_ALLOWANCE = Allowance()


@dataclass(frozen=True, slots=True)
class OutageAllowance:
    """What each process sets aside of every budget, to go on with while the shared counters are out of reach."""

    per_mille: int  # of the budget's limit
    at_most_nano_usd: int

    def slice_of(self, limit_nano_usd: int) -> int:
        return min(limit_nano_usd * self.per_mille // 1_000, self.at_most_nano_usd)


def window(per: Per, now: datetime, zone: ZoneInfo) -> Window:
    """The window of kind `per` that holds `now`, its edges drawn in the team's time zone.

    Edges are wall-clock midnights of that zone, so a day may last 23 or 25 hours where clocks change.
    """
    if per is Per.MINUTE:
        starts = now.astimezone(UTC).replace(second=0, microsecond=0)
        return Window(starts, starts + timedelta(minutes=1))
    local = now.astimezone(zone)
    if per is Per.HOUR:
        # Arithmetic in UTC: the local hour that is repeated in autumn is two windows, not one of two hours.
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        starts = now.astimezone(UTC) - into
        ends = starts + timedelta(hours=1)
        # Lord Howe moves its clocks by half an hour, on the hour: then the hour shown began with the change.
        minutes_of_the_hour_before = starts.astimezone(zone).minute
        if minutes_of_the_hour_before:
            starts += timedelta(minutes=60 - minutes_of_the_hour_before)
        return Window(starts, ends)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if per is Per.DAY:
        first, following = midnight, midnight + timedelta(days=1)
    elif per is Per.WEEK:
        first = midnight - timedelta(days=midnight.weekday())
        following = first + timedelta(days=7)
    else:
        first = midnight.replace(day=1)
        following = (first + timedelta(days=32)).replace(day=1)
    return Window(first.astimezone(UTC), following.astimezone(UTC))
