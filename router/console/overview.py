"""What a look tells: spend and savings, budgets with where they are heading, providers, requests as they come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from router.catalog.catalog import Catalog, Deployment
from router.config.snapshot import Snapshot
from router.console.asking import Answer, Asked
from router.console.drawing import Bar, bars
from router.console.off_loop import OffLoop
from router.console.rendering import colours
from router.console.sources import Sources
from router.keys import TeamName
from router.quotas import BudgetState, Per, ScopeKind, shadowed_policy, window
from router.storage.browsing import Browser, Listing, Sought, Sum, Totals
from router.upstream.breaker import BreakerState

_LATEST = 12
_EARLY = 0.02  # of a window: before that a projection is a guess
_BAR = 200.0
_MOST_MODELS = 7  # with a line of their own in the chart

Span = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class Range:
    """What the chart shows."""

    name: str
    told: str
    span: Span
    length: timedelta

    @property
    def step(self) -> timedelta:
        return timedelta(hours=1) if self.span == "hour" else timedelta(days=1)

    def since(self, now: datetime) -> datetime:
        """The beginning of its first hour or day."""
        last = now.replace(minute=0, second=0, microsecond=0)
        if self.span == "day":
            last = last.replace(hour=0)
        return last - self.length + self.step

    def moments(self, now: datetime) -> list[datetime]:
        since = self.since(now)
        return [since + number * self.step for number in range(self.length // self.step)]


RANGES = (
    Range("24h", "24 hours", "hour", timedelta(hours=24)),
    Range("7d", "7 days", "hour", timedelta(days=7)),
    Range("30d", "30 days", "day", timedelta(days=30)),
)


def range_named(name: str | None) -> Range:
    return next((each for each in RANGES if each.name == name), RANGES[0])


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A budget in its window, and where it is heading."""

    state: BudgetState
    whose: str
    ends: datetime
    elapsed: float  # share of the window that is over
    projected_nano_usd: int | None  # at its end, if it goes on as it went; None: too early to say
    spent: Bar
    held: Bar
    now_at: float  # where the elapsed share lies in the drawing
    is_shadow: bool

    @property
    def used(self) -> float:
        limit = self.state.limit_nano_usd
        return (self.state.spent_nano_usd + self.state.held_nano_usd) / limit if limit else 1.0

    @property
    def verdict(self) -> str:
        """`spent`, `over` (it will be spent before the window ends), `near` or `fine`."""
        if self.used >= 1:
            return "spent"
        if self.projected_nano_usd is None:
            return "fine"
        share = self.projected_nano_usd / self.state.limit_nano_usd if self.state.limit_nano_usd else 0.0
        return "over" if share > 1 else "near" if share > 0.9 else "fine"

    @property
    def left_nano_usd(self) -> int:
        return max(self.state.limit_nano_usd - self.state.spent_nano_usd - self.state.held_nano_usd, 0)


def budget_lines(states: Sequence[BudgetState], snapshot: Snapshot, now: datetime) -> list[BudgetLine]:
    """Of every budget of a team that is configured: whole teams first, within a team the longest window first."""
    found = []
    for state in states:
        team = snapshot.teams.get(TeamName(state.scope.team))
        if team is None or (state.scope.kind is ScopeKind.KEY and not state.scope.name):
            continue
        its = window(state.per, now, team.zone)
        elapsed = (now - its.starts) / (its.ends - its.starts)
        projected = round(state.spent_nano_usd / elapsed) if elapsed >= _EARLY else None
        spent, held = bars([state.spent_nano_usd, state.held_nano_usd], whole=max(state.limit_nano_usd, 1), length=_BAR)
        shadow = shadowed_policy(state.scope.name) if state.scope.kind is ScopeKind.PROJECT else None
        whose = "team" if state.scope.kind is ScopeKind.TEAM else f"{state.scope.kind.value} {state.scope.name}"
        found.append(
            BudgetLine(
                state=state,
                whose=whose if shadow is None else f"shadow of {shadow}",
                ends=its.ends,
                elapsed=elapsed,
                projected_nano_usd=projected,
                spent=spent,
                held=held,
                now_at=round(elapsed * _BAR, 1),
                is_shadow=shadow is not None,
            )
        )
    return sorted(
        found,
        key=lambda line: (
            line.state.scope.team,
            line.state.scope.kind is not ScopeKind.TEAM,
            line.state.scope.name,
            _LENGTHS.index(line.state.per),
        ),
    )


_LENGTHS = (Per.MONTH, Per.WEEK, Per.DAY, Per.HOUR, Per.MINUTE)


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """A provider's health at a glance."""

    name: str
    deployments: int
    open: int  # left alone, because they fail
    trying: int  # being tried again
    paused: int  # have said "not now"
    lacks_key: bool
    price_age_s: float | None  # None: its prices are not read while serving

    @property
    def health(self) -> str:
        if self.lacks_key:
            return "off"
        if self.open + self.paused >= self.deployments:
            return "down"
        return "degraded" if self.open or self.trying or self.paused else "up"


def provider_lines(sources: Sources, catalog: Catalog) -> list[ProviderLine]:
    """In the order of the configuration, those that serve something."""
    breakers, paused, lacking = sources.live.breakers(), sources.live.paused(), sources.unavailable()
    ages = sources.price_ages_s()
    by_name: dict[str, list[Deployment]] = {}
    for deployment in catalog:
        by_name.setdefault(deployment.provider.name, []).append(deployment)
    return [
        ProviderLine(
            name=name,
            deployments=len(its),
            open=sum(breakers.get(each.id) == BreakerState.OPEN for each in its),
            trying=sum(breakers.get(each.id) == BreakerState.HALF_OPEN for each in its),
            paused=sum(each.id in paused for each in its),
            lacks_key=all(each.id in lacking for each in its),
            price_age_s=ages.get(name),
        )
        for name, its in by_name.items()
    ]


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read of the ledger."""

    month: list[Sum]  # by day and team
    latest: Listing


class Overview:
    """`GET /`, and of it what is refreshed."""

    def __init__(self, sources: Sources, off_loop: OffLoop) -> None:
        self._sources = sources
        self._browser = Browser(sources.store)
        self._off_loop = off_loop

    async def page(self, asked: Asked) -> Answer:
        now, shown = self._sources.now(), range_named(asked.query.get("range"))
        catalog = self._sources.catalog()
        chart = await self._off_loop(lambda: self._chart(shown, now, colours(catalog)))
        return Answer(
            "overview.html",
            {
                **await self._live(),
                "chart": chart,
                "range": shown,
                "ranges": RANGES,
                "path": "/",
            },
        )

    async def live(self, _: Asked) -> Answer:
        """What changes by itself."""
        return Answer("overview_live.html", await self._live(), is_live=True)

    async def _live(self) -> dict[str, Any]:
        sources = self._sources
        now, snapshot, catalog = sources.now(), sources.snapshot(), sources.catalog()
        found = await self._off_loop(lambda: self._found(now))
        ages = sources.price_ages_s()
        return {
            "today": _added(found.month, lambda day: day == f"{now:%Y-%m-%d}"),
            "month": _added(found.month, lambda _: True),
            "month_name": f"{now:%B}",
            "in_flight": sources.live.in_flight(),
            "budgets": budget_lines(sources.budgets(), snapshot, now),
            "providers": provider_lines(sources, catalog),
            "requests": found.latest.requests,
            "price_age_s": max(ages.values(), default=None),
            "colours": colours(catalog),
        }

    def _chart(self, shown: Range, now: datetime, colour_of: Mapping[str, int]) -> "Chart":
        sums = self._browser.totals(shown.span, shown.since(now), by=("starts", "model"))
        return spend_chart(sums, shown, now, colour_of)

    def _found(self, now: datetime) -> _Found:
        month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return _Found(
            month=self._browser.totals("day", month, by=("starts", "team")),
            latest=self._browser.page(Sought(), after=None, limit=_LATEST),
        )


def _added(sums: Sequence[Sum], is_in: Callable[[str], bool]) -> Totals:
    kept = [each.totals for each in sums if is_in(each.group[0][:10])]
    return Totals(*(sum(getattr(each, name) for each in kept) for name in Totals.__struct_fields__))


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    colour: int
    values: list[float]  # dollars
    total_nano_usd: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Spend over time; dearest model first."""

    times: list[int]  # seconds since 1970
    labels: list[str]  # the same, to be read
    series: list[Series]
    unit: str = "usd"  # or `count`

    def data(self) -> dict[str, Any]:
        """As console.js takes it."""
        return {
            "times": self.times,
            "series": [{"name": each.name, "colour": each.colour, "values": each.values} for each in self.series],
            "unit": self.unit,
        }


def spend_chart(sums: Sequence[Sum], shown: Range, now: datetime, colour_of: Mapping[str, int]) -> Chart:
    """Of sums by start and model. What does not have a line of its own is put together."""
    moments = shown.moments(now)
    places = {f"{moment.astimezone(UTC):%Y-%m-%dT%H}": place for place, moment in enumerate(moments)}
    by_model: dict[str, list[int]] = {}
    for each in sums:
        starts, model = each.group
        place = places.get(starts[:13])
        if place is not None and each.totals.cost_nano_usd:
            by_model.setdefault(model, [0] * len(moments))[place] += each.totals.cost_nano_usd
    ordered = sorted(by_model.items(), key=lambda item: (-sum(item[1]), item[0]))
    lines = ordered[:_MOST_MODELS]
    if rest := ordered[_MOST_MODELS:]:
        lines.append((f"{len(rest)} others", [sum(values) for values in zip(*(each for _, each in rest), strict=True)]))
    form = "%H:00" if shown.length <= timedelta(days=1) else "%d %b %H:00" if shown.span == "hour" else "%d %b"
    return Chart(
        times=[int(moment.timestamp()) for moment in moments],
        labels=[moment.astimezone(UTC).strftime(form) for moment in moments],
        series=[
            Series(name or "none", colour_of.get(name, 7), [value / 1e9 for value in values], sum(values))
            for name, values in lines
        ],
    )
