"""Feedback: what answers turned out to be worth, by whom it was said, and what has been learned of it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from router.console.asking import Answer, Asked
from router.console.drawing import Bar, bars
from router.console.off_loop import OffLoop
from router.console.overview import Chart, Series
from router.console.rendering import colours
from router.console.sources import Sources
from router.keys import TeamName
from router.learning.rates import Week
from router.learning.teaching import Event, quality_events
from router.quality.labels import Label, Verdict
from router.storage.browsing import Browser

LOOKED_AT = 4_000  # labels: some 100 ms, where a team's lie far apart
_MOST_EVENTS = 30
_BAR = 160.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Labels of one group."""

    name: str
    good: int
    mixed: int
    bad: int
    bars: list[Bar]

    @property
    def all(self) -> int:
        return self.good + self.mixed + self.bad


@dataclass(frozen=True, slots=True)
class TeamLearning:
    """Whether a team's labels move its forecasts."""

    name: TeamName
    learns: bool
    speaks: bool
    week: Week
    last: Event | None


class Feedback:
    """`GET /feedback`, `GET /feedback?team=NAME`."""

    def __init__(self, sources: Sources, off_loop: OffLoop) -> None:
        self._sources = sources
        self._browser = Browser(sources.store)
        self._off_loop = off_loop

    async def page(self, asked: Asked) -> Answer:
        sources = self._sources
        snapshot, catalog = sources.snapshot(), sources.catalog()
        team = asked.query.get("team")
        counted, events = await self._off_loop(lambda: (self._counted(team), quality_events(sources.store)))
        kept = [each for each in reversed(events) if team is None or each.team == team]
        newest = {each.team: each for each in events}
        return Answer(
            "feedback.html",
            {
                "path": "/feedback",
                "team": team,
                "team_names": list(snapshot.teams),
                **counted,
                "events": kept[:_MOST_EVENTS],
                "learning": [
                    TeamLearning(
                        name=name,
                        learns=snapshot.settings.learning.is_on and its.learns_quality,
                        speaks=sources.live.speaks_for(name),
                        week=sources.live.week(name),
                        last=newest.get(name),
                    )
                    for name, its in snapshot.teams.items()
                    if team is None or name == team
                ],
                "colours": colours(catalog),
            },
        )

    def _counted(self, team: str | None) -> dict[str, Any]:
        labels = self._labels(team)
        return {
            "labels": len(labels),
            "is_all": len(labels) < LOOKED_AT,
            "oldest": labels[-1].at if labels else None,
            "by_model": tallies(labels, lambda label: label.model),
            "by_task": tallies(labels, lambda label: label.task.value),
            "by_team": tallies(labels, lambda label: label.team),
            "by_signal": tallies(labels, lambda label: label.signal.value),
            "chart": verdict_chart(labels),
            "reasons": Counter(label.reason for label in labels if label.reason is not None).most_common(8),
        }

    def _labels(self, team: str | None) -> list[Label]:
        """Newest first."""
        if team is None:
            return self._browser.labels(LOOKED_AT)
        return [label for _, label in reversed(self._sources.store.last_labels(TeamName(team), LOOKED_AT))]


def tallies(labels: Iterable[Label], by: Callable[[Label], str]) -> list[Tally]:
    """Most labels first."""
    counts: defaultdict[str, Counter[Verdict]] = defaultdict(Counter)
    for label in labels:
        counts[by(label)][label.verdict] += 1
    found = []
    for name, each in sorted(counts.items(), key=lambda item: (-item[1].total(), item[0])):
        parts = (each[Verdict.GOOD], each[Verdict.MIXED], each[Verdict.BAD])
        found.append(Tally(name, *parts, bars(parts, whole=sum(parts), length=_BAR)))
    return found


def verdict_chart(labels: list[Label]) -> Chart:
    """Labels by the day they came, or by the hour if all came within two days; good ones first."""
    if not labels:
        return Chart([], [], [])
    is_short = (labels[0].at - min(each.at for each in labels)).total_seconds() < 2 * 86_400

    def start(moment: datetime) -> datetime:
        hour = moment.replace(minute=0, second=0, microsecond=0)
        return hour if is_short else hour.replace(hour=0)

    counts: defaultdict[datetime, Counter[Verdict]] = defaultdict(Counter)
    for label in labels:
        counts[start(label.at)][label.verdict] += 1
    moments = sorted(counts)
    return Chart(
        times=[int(moment.timestamp()) for moment in moments],
        labels=[f"{moment:%d %b %H:00}" if is_short else f"{moment:%d %b}" for moment in moments],
        series=[
            Series(verdict.value, colour, [float(counts[moment][verdict]) for moment in moments], 0)
            for verdict, colour in ((Verdict.GOOD, 8), (Verdict.MIXED, 9), (Verdict.BAD, 10))
        ],
        unit="count",
    )
