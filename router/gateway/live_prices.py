"""The prices in force: providers' own lists, read while requests go on, and put into the catalog whole.

Requests keep the catalog they began with. What was read outlives the process in the price book; other processes with
the same store take it up from there.
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import anyio
import anyio.to_thread

from router.catalog.book import Doubt, Name, PriceBook, PriceRow, name_of, published_tariff, review, with_book
from router.catalog.catalog import Catalog, Deployment, ModelName, ProviderName
from router.catalog.listing import Listed
from router.catalog.tariffs import Tariff, described
from router.config.snapshot import PriceRefresh
from router.errors import PenstockError
from router.storage.store import PriceStore

log = logging.getLogger("penstock.prices")

# What other processes have written lately is looked at again, since clocks differ and a write takes its time.
_OVERLAP = timedelta(hours=1)
# Requests ask for prices from their own moment on. A day more is for a wall clock that is put back.
_KEPT = timedelta(days=1)
_LOOK_S = 15.0  # how often the book is looked at for what other processes have written

Reader = Callable[[ProviderName, Collection[str]], Awaitable[tuple[Listed, ...]]]


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told of changes, by the model's catalog id."""

    price_changed: Callable[[ModelName], None]
    repointed: Callable[[ModelName], None]
    # Whoever has learned about a model: it has become another one under the same name, and must be forgotten.
    forget: Sequence[Callable[[ModelName], None]] = ()


class PricedCatalog:
    """The catalog of one configuration at the prices in force.

    Once another configuration has taken its place it stays as it is, for the requests that began under it.
    """

    __slots__ = ("catalog", "readings")

    def __init__(self, catalog: Catalog, *, readings: int = 0) -> None:
        self.catalog = catalog  # replaced whole, never changed
        self.readings = readings  # of prices, that it takes into account


class LivePrices:
    """The catalog at the prices in force, and the task that keeps it so."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        providers: Collection[ProviderName],
        read: Reader,
        store: PriceStore,
        times: PriceRefresh,
        now: Callable[[], datetime],
        listeners: Listeners,
    ) -> None:
        """`providers` have a list of their own that may be read."""
        self.priced = PricedCatalog(catalog)  # what requests are planned with
        self._base = catalog  # of the configuration
        self.providers = tuple(providers)
        self._read = read
        self._store = store
        self._times = times
        self._now = now
        self._listeners = listeners
        self._begun = now()
        self._book = PriceBook()
        self._looked_until: datetime | None = None  # what was last seen in the book before has been taken up
        self._doubts: dict[Name, Doubt] = {}
        self._read_at: dict[ProviderName, datetime] = {}  # by this process
        self._unkept: dict[tuple[Name, datetime], PriceRow] = {}  # rows that the store has not taken yet
        self._reported: dict[Name, str | None] = {}  # what was last complained of
        self._due_s = 0.0  # by the loop's clock, when lists are read next
        self._readings = 0  # that have changed prices, or may have
        self._deployments = _by_name(catalog)

    @property
    def catalog(self) -> Catalog:
        """Of the configuration in force, at the prices in force."""
        return self.priced.catalog

    def priced_anew(self, base: Catalog) -> PricedCatalog:
        """Another configuration's catalog at the prices in force. Takes milliseconds; may be asked in a thread."""
        readings = self._readings
        return PricedCatalog(self._with_prices(base), readings=readings)

    def reconfigured(
        self, base: Catalog, priced: PricedCatalog, *, providers: Collection[ProviderName], times: PriceRefresh
    ) -> None:
        """Another configuration's catalog is in force, `priced_anew` a moment ago. All that was read stays.

        Where it has names that were not there before, their prices are looked up soon.
        """
        before = self._deployments
        self._base, self.priced, self._deployments = base, priced, _by_name(base)
        self.providers, self._times = tuple(providers), times
        if priced.readings != self._readings:  # one came meanwhile
            self._price()
        if self._deployments.keys() - before.keys():
            self._looked_until = None  # what others wrote of these was passed over
            self._due_s = 0.0

    @property
    def book(self) -> PriceBook:
        return self._book

    @property
    def doubts(self) -> Mapping[Name, Doubt]:
        """What was read and waits to be confirmed."""
        return dict(self._doubts)

    def ages_s(self) -> dict[str, float]:
        """For every provider, how long ago its prices were last read; since the start, if that is not known."""
        now = self._now()
        return {name: max((now - self._last_read(name)).total_seconds(), 0.0) for name in self.providers}

    def load(self) -> None:
        """Begin with the book: the last good prices, and all that were before. Blocks. Raises StoreUnavailable."""
        self._book = PriceBook().with_rows(self._store.prices())
        self._price()

    async def run(self) -> None:
        """Read anew, now and then, until cancelled. The first time at once; without `every_s` only the book."""
        while True:
            await self._look()
            if self._times.every_s is not None and anyio.current_time() >= self._due_s:
                self._due_s = anyio.current_time() + self._times.every_s
                for provider in self.providers:
                    await self._try_to_refresh(provider)
                await self._try_to_keep()
            await anyio.sleep(_LOOK_S if self._times.every_s is None else min(_LOOK_S, self._times.every_s))

    async def refresh(self, provider: ProviderName) -> None:
        """Read one provider's list, and put into force what it says; `keep` writes it down.

        Raises UpstreamError or PricingError if there is nothing to be read; then all stays as it is.
        """
        names = {name for owner, name in self._deployments if owner == provider}
        listed = await self._read(provider, names)
        self._take(provider, names, listed)

    async def keep(self) -> None:
        """Write into the book what it does not have yet. Raises StoreUnavailable."""
        unkept = dict(self._unkept)
        if unkept:
            await anyio.to_thread.run_sync(self._store.keep_prices, list(unkept.values()))
        for key, row in unkept.items():
            if self._unkept.get(key) == row:
                del self._unkept[key]

    async def _try_to_refresh(self, provider: ProviderName) -> None:
        if provider not in self.providers:  # not any more
            return
        try:
            await self.refresh(provider)
        except PenstockError as error:
            age_s = self.ages_s().get(provider, 0.0)
            log.warning("prices of %s could not be read (%s), those of %.0f s ago stay", provider, error.code, age_s)

    async def _try_to_keep(self) -> None:
        try:
            await self.keep()
        except PenstockError as error:
            log.warning("the price book could not be written (%s); it will be tried again", error.code)

    def _take(self, provider: ProviderName, names: set[str], listed: Sequence[Listed]) -> None:
        now = self._now()
        rows = []
        for each in listed:
            name = (provider, each.name)
            result = review(
                each,
                provider=provider,
                newest=self._book.newest(name),
                published=self._shipped(name),
                yardsticks=self._book.yardsticks(name, now),
                doubt=self._doubts.get(name),
                now=now,
                confirm_after=timedelta(seconds=self._times.confirm_s),
            )
            if result.row is not None:
                rows.append(result.row)
            self._doubt(name, result.doubt)
            self._complain(name, each.problem)
        for missing in names - {each.name for each in listed}:
            self._complain((provider, missing), "the provider does not list it, so that what was known stays")
        self._read_at[provider] = now
        self._unkept.update({(row.name, row.starts): row for row in rows})
        self._adopt(rows)

    def _doubt(self, name: Name, doubt: Doubt | None) -> None:
        if doubt is None:
            self._doubts.pop(name, None)
            return
        if self._doubts.get(name) != doubt:
            change = described(self._known(name), doubt.tariff)
            log.warning(
                "price of %s:%s leaps (%s): not believed before it is read again; holds cover both", *name, change
            )
        self._doubts[name] = doubt

    def _complain(self, name: Name, problem: str | None) -> None:
        """Once, until it changes: a list is read every few minutes."""
        if self._reported.get(name) != problem and problem is not None:
            log.error("%s:%s: %s", *name, problem)
        self._reported[name] = problem

    def _adopt(self, rows: Sequence[PriceRow]) -> None:
        """Put the rows into force, and tell whoever listens what they change."""
        before, self._book = self._book, self._book.with_rows(rows)
        self._price()
        for name in {row.name for row in rows}:
            old, new = before.newest(name), self._book.newest(name)
            assert new is not None
            if old is None or old.starts != new.starts:
                self._announce(name, old, new)

    def _announce(self, name: Name, old: PriceRow | None, new: PriceRow) -> None:
        deployments = self._deployments.get(name, [])
        known = old.tariff if old else self._shipped(name)
        if new.tariff != known and (old is not None or known is not None):
            log.warning("price of %s:%s changed: %s (USD per million tokens)", *name, described(known, new.tariff))
            for deployment in deployments:
                self._listeners.price_changed(deployment.model.name)
        if old is not None and old.version is not None and old.version != new.version:
            log.warning("%s:%s was re-pointed from %s to %s", *name, old.version, new.version)
            for deployment in deployments:
                self._listeners.repointed(deployment.model.name)
                for forget in self._listeners.forget:
                    forget(deployment.model.name)

    async def _look(self) -> None:
        """Take up what other processes have written into the book."""
        try:
            rows = await anyio.to_thread.run_sync(self._store.prices, self._looked_until)
        except PenstockError as error:
            log.warning("the price book could not be read (%s); prices stay as they are", error.code)
            return
        newest = max((row.last_seen for row in rows), default=None)
        if newest is not None:
            self._looked_until = min(newest, self._now()) - _OVERLAP
        known = {(row.name, row.starts): row for each in self._book.rows.values() for row in each}
        fresh = [row for row in rows if row.name in self._deployments and known.get((row.name, row.starts)) != row]
        if fresh:
            self._adopt(fresh)

    def _known(self, name: Name) -> Tariff | None:
        row = self._book.newest(name)
        return row.tariff if row else self._shipped(name)

    def _shipped(self, name: Name) -> Tariff | None:
        """What the shipped price list says: it counts until the book has a row."""
        return published_tariff(self._deployments[name][0], self._now()) if name in self._deployments else None

    def _price(self) -> None:
        """Put into force what was read, for requests that come."""
        self._readings += 1
        self.priced.catalog, self.priced.readings = self._with_prices(self._base), self._readings

    def _with_prices(self, base: Catalog) -> Catalog:
        return with_book(base, self._book, dict(self._doubts), since=self._now() - _KEPT)

    def _last_read(self, provider: ProviderName) -> datetime:
        seen = (self._read_at.get(provider), self._book.last_seen(provider))
        return max((moment for moment in seen if moment is not None), default=self._begun)


def _by_name(catalog: Catalog) -> dict[Name, list[Deployment]]:
    """Deployments by what their provider calls them."""
    named: dict[Name, list[Deployment]] = {}
    for deployment in catalog:
        named.setdefault(name_of(deployment), []).append(deployment)
    return named
