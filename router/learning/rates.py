"""How often a team's answers had to be bought again, or were asked for again, in the last seven days: `Rates`."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple

from router.keys import TeamName

DAYS = 7


class Week(NamedTuple):
    """The last seven days, today included."""

    answered: int
    escalated: int  # a check failed, so that a better model was asked
    retried: int  # the same turn was asked again

    @property
    def escalated_share(self) -> float:
        return self.escalated / self.answered if self.answered else 0.0

    @property
    def retried_share(self) -> float:
        return self.retried / self.answered if self.answered else 0.0


class Rates:
    """Of the requests that this process answered, and those that whoever wrote before it did."""

    def __init__(self) -> None:
        self._days: dict[TeamName, dict[date, list[int]]] = {}

    def answered(self, team: TeamName, day: date, *, escalated: bool) -> None:
        counts = self._of(team, day)
        counts[0] += 1
        counts[1] += escalated

    def retried(self, team: TeamName, day: date) -> None:
        self._of(team, day)[2] += 1

    def week(self, team: TeamName, today: date) -> Week:
        days = self._days.get(team, {})
        counts = [days[day] for day in days if today - timedelta(days=DAYS) < day <= today]
        return Week(*(sum(each[place] for each in counts) for place in range(3)))

    def teams(self) -> list[TeamName]:
        return list(self._days)

    def as_data(self) -> Iterator[list[Any]]:
        for team, days in self._days.items():
            for day, counts in days.items():
                yield [team, day.isoformat(), counts]

    def take(self, piece: list[Any]) -> None:
        """A piece from `as_data`. Raises ValueError or TypeError if it is none."""
        team, day, (answered, escalated, retried) = piece
        self._of(TeamName(team), date.fromisoformat(day))[:] = [int(answered), int(escalated), int(retried)]

    def _of(self, team: TeamName, day: date) -> list[int]:
        days = self._days.get(team)
        if days is None:
            days = self._days[team] = {}
        counts = days.get(day)
        if counts is None:
            counts = days[day] = [0, 0, 0]
            for old in [each for each in days if each <= day - timedelta(days=DAYS)]:
                del days[old]
        return counts
