"""Who may come in when not everybody can: `Shares` divides what there is among the teams that want some of it.

The division is max-min fair by weight: nobody gets more than he asks for, and what he leaves goes to the others. A team
that asks for less than its share always has it; those above theirs are refused first. There are two things to divide:

- requests under way, of which a process bears so many (memory, open files). Others' are never ended for a team's sake,
  so a part is kept back for teams below their share: those above may fill all but that part;
- requests a second, where a process is saturated (overload.py says how many). Each team has a bucket that fills at its
  share, and holds a tenth of a second of it.

What is done for a request takes the same time however many teams there are, some tenths of a microsecond.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

KEPT_BACK = 0.125  # of the requests that may be under way: an eighth, a judgement
_SOON = 0.75  # of that: more may come within one turn of the event loop
_BUCKET_S = 0.1
_LEAST_BUCKET = 2.0  # requests; so that a share below ten a second lets anybody in at all
_GRANT = 64.0  # what all teams together begin with: as many as one client may well send at once
_SMOOTHING = 0.3  # of what teams ask for, from one look to the next


class Shed(StrEnum):
    """Why a request was not let in."""

    LOOP_LAG = "loop_lag"  # more came than can be worked off
    MEMORY = "memory"
    UNDER_WAY = "under_way"  # as many are under way as may be


def fair_level(amount: float, wanted: Iterable[tuple[float, float]]) -> float:
    """The level at which `amount` is used up, where each gets the level times his weight but no more than he wants.

    `wanted` holds, of each, what he wants and his weight. Infinite if there is enough for all.
    """
    left = amount
    ordered = sorted(wanted, key=lambda each: each[0] / each[1])
    weights = sum(weight for _, weight in ordered)
    for want, weight in ordered:
        if want * weights > left * weight:
            return max(left, 0.0) / weights
        left -= want
        weights -= weight
    return float("inf")


@dataclass(slots=True)
class _Team:
    weight: float
    under_way: int = 0
    promised: int = 0
    asked: int = 0  # since the last look, let in or not
    wants_per_s: float = 0.0
    # While what comes in is limited:
    per_s: float = 0.0
    credit: float = 0.0
    credited_s: float = 0.0
    shed: dict[Shed, int] = field(default_factory=dict)  # not yet told


class Shares:
    """Requests under way, by team, and who may add to them."""

    def __init__(
        self, *, most_under_way: int, weight_of: Callable[[str], float], monotonic_s: Callable[[], float]
    ) -> None:
        self.most_under_way = most_under_way
        self.under_way = 0
        self._promised = 0
        self.ended = 0  # ever
        self.per_s: float | None = None  # what all together may begin; None: no limit
        self.pace = 1.0  # of that, the part for the moment
        self._weight_of = weight_of
        self._monotonic_s = monotonic_s
        self._teams: dict[str, _Team] = {}
        self._weights = 0.0  # of the teams that have requests under way
        self._fill = 0  # requests under way beyond which nobody may be above his share
        self._why = Shed.UNDER_WAY
        self.limit_under_way(most_under_way)

    def limit_under_way(self, most: int, why: Shed = Shed.UNDER_WAY) -> None:
        """So many may be under way from now on, for that reason; those that are stay."""
        self.most_under_way = most
        self._fill = most - int(most * KEPT_BACK)
        self._why = why

    @property
    def is_limiting(self) -> bool:
        """Whether some team may be refused now, or soon."""
        return self.per_s is not None or self.under_way >= self._fill * _SOON

    def enter(self, name: str) -> Shed | None:
        """Count a request of the team as under way; or the reason why it is not let in, and then it is not counted."""
        team = self._teams.get(name) or self._met(name)
        team.asked += 1
        if team.promised:
            team.promised -= 1
            self._promised -= 1
        else:
            if self.under_way >= self._fill and self._is_above(team):
                return _shed(team, self._why)
            if self.per_s is not None:
                if not self._has_credit(team):
                    return _shed(team, Shed.LOOP_LAG)
                team.credit -= 1.0
        if not team.under_way:
            self._weights += team.weight
        team.under_way += 1
        self.under_way += 1
        return None

    def leave(self, name: str) -> None:
        """A request that was let in is over."""
        team = self._teams[name]
        team.under_way -= 1
        if not team.under_way:
            self._weights -= team.weight
        self.under_way -= 1
        self.ended += 1

    def turns_away(self, name: str) -> Shed | None:
        """Why `enter` would not let a request of the team in now; counted as not let in. None if it might."""
        team = self._teams.get(name) or self._met(name)
        if self.per_s is not None and not self._has_credit(team):
            reason = Shed.LOOP_LAG
        elif self.under_way + self._promised >= self._fill and self._is_above(team):
            reason = self._why
        else:
            return None
        team.asked += 1
        return _shed(team, reason)

    def promise(self, name: str) -> None:
        """One request of the team, which `turns_away` did not, may enter soon: others are asked about with it in mind.

        Of those who come within one turn of the event loop all would be let past the door for one place else, and be
        turned away behind it, where that costs much more.
        """
        team = self._teams.get(name) or self._met(name)
        team.promised += 1
        self._promised += 1
        if self.per_s is not None:
            team.credit -= 1.0

    def turn_away(self, name: str, reason: Shed) -> Shed:
        """Count a request that is not let in for a reason of somebody else's."""
        team = self._teams.get(name) or self._met(name)
        team.asked += 1
        return _shed(team, reason)

    def limit_rate(self, per_s: float | None) -> None:
        """So many requests a second may begin from now on, divided by what the teams want; None: any number."""
        if per_s is not None and self.per_s is None:
            now_s = self._monotonic_s()
            for team in self._teams.values():
                team.credit, team.credited_s = self._grant(), now_s
        self.per_s = per_s
        if per_s is None:
            return
        wanting = [team for team in self._teams.values() if team.wants_per_s > 0 or team.under_way]
        level = fair_level(per_s, [(team.wants_per_s, team.weight) for team in wanting])
        weights = sum(team.weight for team in wanting)
        for team in self._teams.values():
            # Where there is enough for all each may come up to what would be his if he wanted more than the others.
            others = weights if team.wants_per_s > 0 or team.under_way else weights + team.weight
            least = per_s * team.weight / others
            team.per_s = per_s if level == float("inf") else max(level * team.weight, least)

    def look(self, since_s: float) -> int:
        """Take note of what every team has asked for in the last `since_s` seconds; how many were asked for in all."""
        asked = 0
        for team in self._teams.values():
            asked += team.asked
            team.wants_per_s += _SMOOTHING * (team.asked / since_s - team.wants_per_s)
            if team.wants_per_s < 0.01:
                team.wants_per_s = 0.0
            team.asked = 0
        return asked

    def forget_promises(self) -> None:
        """Whoever has not come for his place by now, while nobody waits for his turn to come, does not: he hung up."""
        for team in self._teams.values():
            team.promised = 0
        self._promised = 0

    def renew_weights(self) -> None:
        """Take the weights from the configuration anew, and forget teams that are idle: to be called now and then."""
        idle = [name for name, team in self._teams.items() if not (team.under_way or team.wants_per_s or team.shed)]
        if self.per_s is None:
            for name in idle:
                del self._teams[name]
        for name, team in self._teams.items():
            team.weight = self._weight_of(name)
        self._weights = sum(team.weight for team in self._teams.values() if team.under_way)

    def untold(self) -> Iterator[tuple[str, Shed, int]]:
        """How many requests of each team were not let in, by reason, since this was last asked."""
        for name, team in self._teams.items():
            if team.shed:
                for reason, count in team.shed.items():
                    yield name, reason, count
                team.shed = {}

    def by_team(self) -> Mapping[str, int]:
        """Requests under way."""
        return {name: team.under_way for name, team in self._teams.items()}

    def _met(self, name: str) -> _Team:
        team = self._teams[name] = _Team(self._weight_of(name), credit=self._grant(), credited_s=self._monotonic_s())
        team.per_s = 0.0 if self.per_s is None else self.per_s * team.weight / (self._weights + team.weight)
        return team

    def _grant(self) -> float:
        return max(_GRANT / max(len(self._teams), 1), _LEAST_BUCKET)

    def _is_above(self, team: _Team) -> bool:
        if self.under_way + self._promised >= self.most_under_way:
            return True
        weights = self._weights if team.under_way else self._weights + team.weight
        return (team.under_way + team.promised) * weights >= self._fill * team.weight

    def _has_credit(self, team: _Team) -> bool:
        now_s = self._monotonic_s()
        most = max(team.per_s * _BUCKET_S, _LEAST_BUCKET)
        if team.credit < most:
            team.credit = min(team.credit + (now_s - team.credited_s) * team.per_s * self.pace, most)
        team.credited_s = now_s
        return team.credit >= 1.0


def _shed(team: _Team, reason: Shed) -> Shed:
    team.shed[reason] = team.shed.get(reason, 0) + 1
    return reason
