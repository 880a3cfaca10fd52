"""Published prices as our own dated entries."""

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, TieredPrices
from genai_prices.types import Tier as PublishedTier

from router.catalog.catalog import ProviderKind
from router.catalog.prices import Price, PriceList, Rates, Tier
from router.config.genai_file import FILE, figures_of, written
from router.config.price_data import price_of, published, published_model


def per_mtok(input_usd: str, output_usd: str, cached_usd: str | None = None) -> Rates:
    return Rates.per_mtok(
        input_usd=Decimal(input_usd),
        output_usd=Decimal(output_usd),
        cached_input_usd=None if cached_usd is None else Decimal(cached_usd),
    )


def test_an_undated_price_is_the_one_before_the_first_dated() -> None:
    first, *dated = published("openrouter", "deepseek/deepseek-v4-flash")

    assert first.starts is None
    assert [entry.starts for entry in dated[:3]] == [
        datetime(2026, 10, 19, tzinfo=UTC),
        datetime(2026, 11, 3, tzinfo=UTC),
        datetime(2026, 11, 9, tzinfo=UTC),
    ]


@pytest.mark.parametrize(
    ("now", "rates"),
    [
        (datetime(2026, 11, 2, 23, 59, 59, tzinfo=UTC), per_mtok("0.091", "0.182", "0.0182")),
        (datetime(2026, 11, 3, tzinfo=UTC), per_mtok("0.14", "0.28", "0.03")),
        (datetime(2026, 11, 8, 23, 59, 59, tzinfo=UTC), per_mtok("0.14", "0.28", "0.03")),
        (datetime(2026, 11, 9, tzinfo=UTC), per_mtok("0.105", "0.21", "0.021")),
    ],
)
def test_a_dated_price_begins_at_midnight_utc(now: datetime, rates: Rates) -> None:
    prices = PriceList(published("openrouter", "deepseek/deepseek-v4-flash"))

    assert prices.at(now) == Price(rates)


def test_long_context_rates_become_a_tier() -> None:
    [entry] = published("openrouter", "openai/gpt-5.4")

    assert entry.price == Price(
        base=per_mtok("2.5", "15", "0.25"), tiers=(Tier(272_000, per_mtok("5", "22.5", "0.5")),)
    )


def test_rates_with_different_thresholds_become_a_tier_for_each() -> None:
    published_price = ModelPrice(
        input_mtok=TieredPrices(base=Decimal(1), tiers=[PublishedTier(start=200, price=Decimal(2))]),
        output_mtok=TieredPrices(base=Decimal(10), tiers=[PublishedTier(start=100, price=Decimal(20))]),
    )

    assert price_of(figures_of(published_price), "a/model") == Price(
        base=per_mtok("1", "10"), tiers=(Tier(100, per_mtok("1", "20")), Tier(200, per_mtok("2", "20")))
    )


def test_an_incomplete_price_is_no_price() -> None:
    assert price_of(figures_of(ModelPrice(input_mtok=Decimal(1))), "a/model") is None
    assert price_of(figures_of(ModelPrice(output_mtok=Decimal(1))), "a/model") is None


def test_reasoning_tokens_with_a_dearer_price_of_their_own_set_the_output_rate() -> None:
    dearer = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(2), output_reasoning_mtok=Decimal(3))

    assert price_of(figures_of(dearer), "a/model") == Price(per_mtok("1", "3"))


def test_an_hour_long_cache_write_at_anthropic_costs_twice_the_input() -> None:
    [entry] = published("openrouter", "anthropic/claude-opus-4.7")

    assert entry.price is not None
    assert entry.price.base == Rates.per_mtok(
        input_usd=Decimal(5),
        output_usd=Decimal(25),
        cached_input_usd=Decimal("0.5"),
        cache_write_usd=Decimal("6.25"),
        cache_write_1h_usd=Decimal(10),
    )


@pytest.mark.parametrize(
    ("hour", "minute", "input_usd"),
    [(0, 59, "0.15"), (1, 0, "0.3"), (3, 59, "0.3"), (4, 0, "0.15"), (6, 0, "0.3"), (9, 59, "0.3"), (10, 0, "0.15")],
)
def test_deepseek_itself_is_dearer_in_its_peak_hours(hour: int, minute: int, input_usd: str) -> None:
    price = PriceList(published("deepseek", "deepseek-v4-flash")).at(datetime(2026, 11, 23, hour, minute, tzinfo=UTC))

    assert price is not None
    assert price.base.input == Decimal(input_usd).scaleb(-6)


def test_peak_hours_do_not_reprice_the_time_before_there_were_any() -> None:
    prices = PriceList(published("deepseek", "deepseek-v4-pro"))

    before = prices.at(datetime(2026, 8, 16, 2, tzinfo=UTC))
    after = prices.at(datetime(2026, 8, 17, 2, tzinfo=UTC))

    assert before == Price(per_mtok("0.435", "0.87", "0.003625"))
    assert after == Price(per_mtok("1.32", "3.96", "0.044"))


def test_windows_are_utc_times_without_a_zone_of_their_own() -> None:
    windows = {entry.daily for entry in published("deepseek", "deepseek-v4-pro")}

    assert windows == {None, (time(1), time(4)), (time(6), time(10))}


@pytest.mark.parametrize(
    ("kind", "model"), [("openai_compatible", "gpt-5.4"), ("openrouter", "nobody/knows-this"), ("deepseek", "gpt-5.4")]
)
def test_what_nobody_publishes_has_no_price(kind: ProviderKind, model: str) -> None:
    assert published(kind, model) == ()


def test_every_entry_says_where_it_was_read() -> None:
    assert {entry.source for entry in published("deepseek", "deepseek-v4-pro")} == {"genai-prices 0.2.3"}


def test_the_file_says_what_the_package_says() -> None:
    assert FILE.read_bytes() == written(), "python -m router.config.genai_file writes it anew"


@pytest.mark.parametrize("provider", ["openrouter", "deepseek"])
def test_a_name_means_the_model_that_it_means_to_the_package(provider: str) -> None:
    theirs = next(each for each in providers if each.id == provider)
    ours = [published_model(provider, model.id) for model in theirs.models]
    named = {id(model): found for model, found in zip(theirs.models, ours, strict=True)}
    spelled = [
        spelling
        for model in theirs.models
        for spelling in (model.id.upper(), f"{model.id}:free", f"{model.id}-20251211", f"{model.id}-20260231")
    ]

    for spelling in spelled:
        meant = theirs.find_model(spelling)
        first = None if meant is None else named[id(meant)]
        assert published_model(provider, spelling) == first, spelling
    assert None not in ours
