"""Prices in force while lists change, vanish, leap, and names move; with a real book in SQLite."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from router.catalog.book import PriceRow
from router.catalog.catalog import Catalog, ModelName, ProviderName
from router.catalog.listing import Listed, Pricing
from router.catalog.prices import Origin, Price, PriceEntry, PriceList, Rates, Stretch
from router.config.snapshot import PriceRefresh
from router.errors import PricingError, UpstreamUnreachable
from router.gateway.live_prices import Listeners, LivePrices
from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from router.storage.store import PriceStore
from tests.replacing import replace
from tests.upstream.deployments import deployment

pytestmark = pytest.mark.anyio

OPENROUTER = ProviderName("openrouter")
NAME = "deepseek-chat"
MODEL = ModelName("deepseek/deepseek-v4-flash")
DAY = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Market:
    """A provider's list, a clock, and what listeners have heard."""

    usd_per_mtok: str | None = "0.1"
    version: str = "v4"
    is_down: bool = False
    is_listed: bool = True
    is_readable: bool = True
    moment: datetime = DAY
    changed: list[ModelName] = field(default_factory=list)
    repointed: list[ModelName] = field(default_factory=list)
    forgotten: list[ModelName] = field(default_factory=list)
    reads: int = 0

    def now(self) -> datetime:
        return self.moment

    async def read(self, provider: ProviderName, names: Collection[str]) -> tuple[Listed, ...]:
        assert (provider, set(names)) == (OPENROUTER, {NAME})
        self.reads += 1
        self.moment += timedelta(minutes=5)
        if self.is_down:
            raise UpstreamUnreachable("openrouter could not be reached.", provider=provider)
        if not self.is_readable:
            raise PricingError("The list of models of openrouter is empty.")
        if not self.is_listed:
            return ()
        if self.usd_per_mtok is None:
            return (Listed(NAME, self.version, pricing=None, problem="its price for `prompt` is -1"),)
        prompt = Decimal(self.usd_per_mtok).scaleb(-6)
        return (Listed(NAME, self.version, Pricing(NAME, {"prompt": prompt, "completion": 2 * prompt})),)


def price(usd_per_mtok: str) -> Price:
    return Price(Rates.per_mtok(input_usd=Decimal(usd_per_mtok), output_usd=2 * Decimal(usd_per_mtok)))


SHIPPED = PriceEntry(price("0.12"), source="shipped", origin=Origin.PUBLISHED)


def live(market: Market, store: PriceStore, *entries: PriceEntry, every_s: float | None = 300.0) -> LivePrices:
    one = replace(deployment(), prices=PriceList(entries or (SHIPPED,)))
    prices = LivePrices(
        Catalog({one.model.name: (one,)}, version="of the files"),
        providers=[OPENROUTER],
        read=market.read,
        store=store,
        times=PriceRefresh(every_s=every_s, confirm_s=60),
        now=market.now,
        listeners=Listeners(
            price_changed=market.changed.append,
            repointed=market.repointed.append,
            forget=(market.forgotten.append,),
        ),
    )
    prices.load()
    return prices


def in_force(prices: LivePrices, market: Market) -> list[Price | None]:
    """The price now, and those that a hold covers beside it."""
    [one] = prices.catalog
    return list(one.prices.in_force(Stretch(market.moment, timedelta(minutes=15))))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def market() -> Market:
    return Market()


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "penstock.sqlite")


async def test_a_change_is_in_force_once_read_and_requests_keep_the_catalog_they_began_with(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)
    before = prices.catalog

    market.usd_per_mtok = "0.2"
    await prices.refresh(OPENROUTER)

    assert in_force(prices, market) == [price("0.2")]
    assert [each.prices.at(market.moment) for each in before] == [price("0.1")]
    assert market.changed == [MODEL, MODEL]  # the first reading differs from the shipped list


async def test_a_restart_knows_the_last_good_prices_and_those_before(market: Market, store: SqliteStore) -> None:
    first = live(market, store)
    await first.refresh(OPENROUTER)
    early = market.moment
    market.usd_per_mtok = "0.2"
    await first.refresh(OPENROUTER)
    await first.keep()

    again = live(market, store)

    assert in_force(again, market) == [price("0.2")]
    [one] = again.catalog
    assert one.prices.at(early) == price("0.1")
    assert one.prices.at(DAY) == price("0.12")
    assert market.changed == [MODEL, MODEL]  # taking up what was known is no change


async def test_a_leap_is_held_for_and_not_believed_before_a_second_reading(
    market: Market, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)

    market.usd_per_mtok = "0.3"
    with caplog.at_level(logging.WARNING):
        await prices.refresh(OPENROUTER)
    doubted = in_force(prices, market)
    await prices.refresh(OPENROUTER)

    assert doubted == [price("0.1"), price("0.3")]
    assert "leaps (input 0.1 -> 0.3, output 0.2 -> 0.6" in caplog.text
    assert in_force(prices, market) == [price("0.3")]
    assert prices.doubts == {}


async def test_while_the_provider_is_down_the_last_good_prices_stay_and_grow_old(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)
    fresh_s = prices.ages_s()

    market.is_down = True
    for _ in range(3):
        with pytest.raises(UpstreamUnreachable):
            await prices.refresh(OPENROUTER)

    assert in_force(prices, market) == [price("0.1")]
    assert (fresh_s, prices.ages_s()) == ({"openrouter": 0.0}, {"openrouter": 900.0})


async def test_the_age_of_prices_is_known_after_a_restart(market: Market, store: SqliteStore) -> None:
    first = live(market, store)
    await first.refresh(OPENROUTER)
    await first.refresh(OPENROUTER)
    await first.keep()
    market.moment += timedelta(hours=2)

    assert live(market, store).ages_s() == {"openrouter": 7_200.0}


async def test_a_name_that_moves_is_logged_told_and_forgotten_even_if_it_moved_while_nobody_looked(
    market: Market, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    first = live(market, store)
    await first.refresh(OPENROUTER)
    await first.keep()

    market.version = "v4.1"
    again = live(market, store)
    with caplog.at_level(logging.WARNING):
        await again.refresh(OPENROUTER)
        await again.refresh(OPENROUTER)

    assert (market.repointed, market.forgotten) == ([MODEL], [MODEL])
    assert "openrouter:deepseek-chat was re-pointed from v4 to v4.1" in caplog.text
    assert [each.version for each in again.catalog] == ["v4.1"]


async def test_a_price_that_is_gone_makes_the_model_ineligible_at_once_and_is_complained_of_once(
    market: Market, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)

    market.usd_per_mtok = None
    await prices.refresh(OPENROUTER)
    at_first = in_force(prices, market)
    await prices.refresh(OPENROUTER)

    assert None in at_first
    assert in_force(prices, market) == [None]
    assert caplog.text.count("its price for `prompt` is -1") == 1


async def test_a_price_that_climbs_little_by_little_is_doubted_once_the_day_has_seen_it_leap(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)

    for figure in ("0.25", "0.6", "1.5", "3.7"):  # 2.5 times as much each time
        market.usd_per_mtok = figure
        await prices.refresh(OPENROUTER)

    assert in_force(prices, market) == [price("0.25"), price("3.7")]  # believed, and held for


async def test_a_price_that_has_climbed_in_small_steps_is_believed_when_it_is_confirmed(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)

    for figure in ("0.2", "0.4", "0.4", "0.4", "0.5"):
        market.usd_per_mtok = figure
        await prices.refresh(OPENROUTER)

    assert in_force(prices, market) == [price("0.5")]  # 0.4 was confirmed, so that 0.5 is measured by it
    assert prices.doubts == {}


async def test_days_apart_a_price_may_double_and_double_again(market: Market, store: SqliteStore) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)

    for figure in ("0.2", "0.4", "0.8"):
        market.moment += timedelta(days=1)
        market.usd_per_mtok = figure
        await prices.refresh(OPENROUTER)

    assert in_force(prices, market) == [price("0.8")]


async def test_a_price_that_was_gone_and_comes_back_is_measured_by_what_it_was(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)
    for figure in (None, None, "9"):
        market.usd_per_mtok = figure
        await prices.refresh(OPENROUTER)
    at_first = in_force(prices, market)

    await prices.refresh(OPENROUTER)

    assert None in at_first
    assert in_force(prices, market) == [price("9")]

    market.usd_per_mtok = None
    await prices.refresh(OPENROUTER)
    await prices.refresh(OPENROUTER)
    market.usd_per_mtok = "9"
    await prices.refresh(OPENROUTER)
    assert in_force(prices, market) == [price("9")]


async def test_of_the_book_only_what_was_seen_lately_is_read_again(market: Market, store: SqliteStore) -> None:
    asked: list[datetime | None] = []

    class Asked(FailingStore):
        def prices(self, since: datetime | None = None) -> list[PriceRow]:
            asked.append(since)
            return super().prices(since)

    first = live(market, store)
    await first.refresh(OPENROUTER)
    await first.keep()
    second = live(market, Asked(store), every_s=None)
    await while_running(second, lambda: len(asked) > 1)
    moment = market.moment

    market.usd_per_mtok = "0.2"
    await first.refresh(OPENROUTER)
    await first.keep()
    await while_running(second, lambda: in_force(second, market) == [price("0.2")])

    assert asked == [None, None, moment - timedelta(hours=1)]


async def test_a_model_that_is_not_listed_any_more_keeps_its_last_good_price(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)

    market.is_listed = False
    await prices.refresh(OPENROUTER)

    assert in_force(prices, market) == [price("0.1")]


async def test_what_the_operator_wrote_wins_over_what_is_read(market: Market, store: SqliteStore) -> None:
    prices = live(market, store, SHIPPED, PriceEntry(price("0.05"), source="a contract"))

    await prices.refresh(OPENROUTER)

    assert in_force(prices, market) == [price("0.05")]


class FailingStore:
    """A store that can be out of reach."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.is_reachable = True

    def prices(self, since: datetime | None = None) -> list[PriceRow]:
        return self._store.prices(since)

    def keep_prices(self, prices: Sequence[PriceRow]) -> None:
        if not self.is_reachable:
            raise StoreUnavailable("The disk is full.")
        self._store.keep_prices(prices)


async def test_what_the_store_does_not_take_is_kept_for_later(market: Market, store: SqliteStore) -> None:
    failing = FailingStore(store)
    prices = live(market, failing)
    failing.is_reachable = False
    for usd_per_mtok in ("0.1", "0.2"):
        market.usd_per_mtok = usd_per_mtok
        await prices.refresh(OPENROUTER)
        with pytest.raises(StoreUnavailable):
            await prices.keep()

    failing.is_reachable = True
    await prices.keep()

    assert [row.tariff.at(time()) for row in store.prices() if row.tariff] == [price("0.1"), price("0.2")]


async def while_running(prices: LivePrices, is_so: Callable[[], bool]) -> None:
    """Let the task run until the condition holds."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prices.run)
        with anyio.fail_after(10):
            while not is_so():  # noqa: ASYNC110 - it is another task's work that is waited for
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()


async def test_the_task_reads_at_once_and_again_and_survives_a_provider_that_is_down(
    market: Market, store: SqliteStore
) -> None:
    market.is_down = True
    prices = live(market, store, every_s=0.02)

    await while_running(prices, lambda: market.reads >= 2)
    market.is_down = False
    await while_running(prices, lambda: bool(store.prices()))

    assert in_force(prices, market) == [price("0.1")]


async def test_without_an_interval_nothing_is_read_but_the_book_which_others_may_write(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store, every_s=None)
    other = live(market, store)
    await other.refresh(OPENROUTER)
    await other.keep()
    market.changed.clear()

    await while_running(prices, lambda: in_force(prices, market) == [price("0.1")])

    assert (market.reads, market.changed) == (1, [MODEL])


async def test_a_list_that_cannot_be_read_changes_nothing(market: Market, store: SqliteStore) -> None:
    prices = live(market, store)
    before = prices.catalog

    market.is_readable = False
    with pytest.raises(PricingError):
        await prices.refresh(OPENROUTER)

    assert prices.catalog is before


async def test_another_configuration_has_the_prices_that_were_read_and_requests_from_before_keep_theirs(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    await prices.refresh(OPENROUTER)
    before = prices.priced
    one = replace(deployment(), prices=PriceList((SHIPPED,)))
    base = Catalog({one.model.name: (one,)}, version="of other files")

    anew = prices.priced_anew(base)
    market.usd_per_mtok = "0.2"
    await prices.refresh(OPENROUTER)  # while the other configuration is being made
    prices.reconfigured(base, anew, providers=[OPENROUTER], times=PriceRefresh())
    at_once = in_force(prices, market)
    of_before = before.catalog
    market.usd_per_mtok = "0.25"
    await prices.refresh(OPENROUTER)

    assert (at_once, in_force(prices, market)) == ([price("0.2")], [price("0.25")])
    assert prices.catalog is anew.catalog
    assert before.catalog is of_before
    assert [each.prices.at(market.moment) for each in of_before] == [price("0.2")]


async def test_a_provider_that_is_configured_no_more_is_not_asked_for_its_prices(
    market: Market, store: SqliteStore
) -> None:
    prices = live(market, store)
    nothing = Catalog({}, version="without it")
    prices.reconfigured(nothing, prices.priced_anew(nothing), providers=[], times=PriceRefresh())

    await prices._try_to_refresh(OPENROUTER)

    assert (market.reads, prices.ages_s(), list(prices.catalog)) == (0, {}, [])
