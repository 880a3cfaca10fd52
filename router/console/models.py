"""Models: what each costs now and has cost, how good it is at what, and how its deployments are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from router.catalog.book import PriceBook, name_of
from router.catalog.catalog import Catalog, Deployment, DeploymentId, Model, ModelName, Task
from router.catalog.prices import Origin, Price, PriceEntry, Rates
from router.console.asking import Answer, Asked
from router.console.drawing import Point, steps
from router.console.off_loop import OffLoop
from router.console.rendering import colours
from router.console.sources import Sources
from router.decision.facts import Latency
from router.quality.prior import prior_of
from router.storage.browsing import Browser, Totals
from router.upstream.breaker import BreakerState

_WIDTH, _HEIGHT = 120.0, 28.0  # of the line of prices
_LOOKED_BACK = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Quality:
    task: Task
    probability: float
    is_known: bool
    told: str

    @property
    def step(self) -> int:
        """Of six shades, from a half up."""
        return max(0, min(int((self.probability - 0.4) * 10), 5))


@dataclass(frozen=True, slots=True)
class History:
    """The price of output tokens, as the book has it."""

    path: str
    points: list[Point]
    changes: list[tuple[datetime, Rates | None]]  # oldest first


@dataclass(frozen=True, slots=True)
class DeploymentShown:
    deployment: Deployment
    entry: PriceEntry | None
    price: Price | None
    checked: str | None
    history: History | None
    health: str  # up, trying, down, paused, off
    why: str | None
    pace: Latency | None


@dataclass(frozen=True, slots=True)
class ModelShown:
    model: Model
    deployments: list[DeploymentShown]
    qualities: list[Quality]
    totals: Totals  # of the last days


class Models:
    """`GET /models`."""

    def __init__(self, sources: Sources, off_loop: OffLoop) -> None:
        self._sources = sources
        self._browser = Browser(sources.store)
        self._off_loop = off_loop

    async def page(self, _: Asked) -> Answer:
        sources = self._sources
        now, catalog, book = sources.now(), sources.catalog(), sources.book()
        # Asked here, on the loop whose they are; what is made of it takes milliseconds.
        healths = Healths(sources.live.breakers(), sources.live.paused(), sources.unavailable())
        paces = {each.id: sources.live.pace(each.id) for each in catalog}
        models = await self._off_loop(lambda: self._models(now, catalog, book, healths, paces))
        return Answer(
            "models.html",
            {
                "path": "/models",
                "models": models,
                "colours": colours(catalog),
                "tasks": list(Task),
                "days": _LOOKED_BACK.days,
            },
        )

    def _models(
        self,
        now: datetime,
        catalog: Catalog,
        book: PriceBook,
        healths: "Healths",
        paces: Mapping[DeploymentId, Latency | None],
    ) -> list[ModelShown]:
        since = (now - _LOOKED_BACK).replace(hour=0, minute=0, second=0, microsecond=0)
        used = {each.group[0]: each.totals for each in self._browser.totals("day", since, by=("model",))}

        def shown(deployment: Deployment) -> DeploymentShown:
            entry = deployment.prices.entry_at(now)
            health, why = healths.of(deployment.id)
            return DeploymentShown(
                deployment=deployment,
                entry=entry,
                price=entry.price if entry else None,
                checked=_checked(deployment, entry, book),
                history=_history(deployment, book, now),
                health=health,
                why=why,
                pace=paces[deployment.id],
            )

        return [
            ModelShown(
                model=deployments[0].model,
                deployments=[shown(each) for each in deployments],
                qualities=_qualities(deployments[0].rated),
                totals=used.get(name, Totals()),
            )
            for name, deployments in _most_used_first(catalog.deployments, used)
        ]


@dataclass(frozen=True, slots=True)
class Healths:
    """What this process knows of each deployment."""

    breakers: Mapping[DeploymentId, int]
    paused: Mapping[DeploymentId, str]
    lacking: Mapping[DeploymentId, str]

    def of(self, deployment: DeploymentId) -> tuple[str, str | None]:
        """In a word, and why."""
        if deployment in self.lacking:
            return "off", self.lacking[deployment]
        if deployment in self.paused:
            return "paused", self.paused[deployment]
        state = self.breakers.get(deployment, BreakerState.CLOSED)
        if state == BreakerState.OPEN:
            return "down", "it failed too often lately, and is left alone"
        if state == BreakerState.HALF_OPEN:
            return "trying", "it failed too often lately, and is being tried again"
        return "up", None


def _most_used_first(
    deployments: Mapping[ModelName, tuple[Deployment, ...]], used: Mapping[str, Totals]
) -> list[tuple[ModelName, tuple[Deployment, ...]]]:
    """Those with calls by their number, then the others in the order of the configuration."""
    return sorted(
        ((name, its) for name, its in deployments.items() if its),
        key=lambda item: -used[item[0]].calls if item[0] in used else 0,
    )


def _qualities(model: Model) -> list[Quality]:
    if not model.quality and not model.quality_at:
        return []
    found = []
    for task in Task:
        prior = prior_of(model, None, task)
        found.append(Quality(task, prior.probability, prior.is_known, prior.words))
    return found


def _checked(deployment: Deployment, entry: PriceEntry | None, book: PriceBook) -> str | None:
    newest = book.newest(name_of(deployment))
    if entry is not None and entry.origin is Origin.LIVE and newest is not None:
        return f"{newest.last_seen:%Y-%m-%d %H:%M}"
    return entry.checked.isoformat() if entry is not None and entry.checked is not None else None


def _history(deployment: Deployment, book: PriceBook, now: datetime) -> History | None:
    """None: its provider's list has never been read."""
    rows = book.rows.get(name_of(deployment), ())
    if not rows:
        return None
    # The book tells when a reading was believed; before its first one the shipped list held.
    changes = [(row.starts, None if row.tariff is None else row.tariff.at(now.timetz()).base) for row in rows]
    figures = [(at.timestamp(), float(rates.output)) for at, rates in changes if rates is not None]
    path, points = steps(figures, width=_WIDTH, height=_HEIGHT, until=now.timestamp())
    return History(path, points, changes)
