"""Published prices: the data of the genai-prices package as our dated price entries.

Only the package's data is used, never its arithmetic, so that one function (`catalog.prices.cost`) prices everything.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version

from genai_prices.data import providers
from genai_prices.types import (
    ConditionalPrice,
    ModelPrice,
    Provider,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from router.catalog.catalog import ProviderKind
from router.catalog.prices import Origin, Price, PriceEntry, Rates, Tier, one_hour_write

GENAI_PRICES_VERSION = version("genai-prices")

_ANY_DAY = date(2026, 1, 1)  # to subtract an offset from a time of day

_PROVIDER_ID: dict[ProviderKind, str] = {"openrouter": "openrouter", "deepseek": "deepseek"}


def published(kind: ProviderKind, upstream_model: str) -> tuple[PriceEntry, ...]:
    """The dated prices of a model at a kind of provider, oldest first; empty if they are not published completely."""
    provider = _provider(kind)
    model = provider.find_model(upstream_model) if provider else None
    if model is None:
        return ()
    if isinstance(model.prices, ModelPrice):
        entries = list(_entries([ConditionalPrice(prices=model.prices)], upstream_model))
    else:
        entries = list(_entries(model.prices, upstream_model))
    complete = [entry for entry in entries if entry is not None]
    # An entry without input or output rate would let an older price shine through where the true one is not known.
    return tuple(complete) if len(complete) == len(entries) else ()


def price_of(prices: ModelPrice, upstream_model: str) -> Price | None:
    """A published price with a tier for each threshold of any of its rates; None without an input and output rate."""
    if prices.input_mtok is None or prices.output_mtok is None:
        return None
    figures = (prices.input_mtok, prices.output_mtok, prices.cache_read_mtok, prices.cache_write_mtok)
    starts = {tier.start for figure in figures if isinstance(figure, TieredPrices) for tier in figure.tiers}
    return Price(
        base=_rates(prices, upstream_model, above=None),
        tiers=tuple(Tier(start, _rates(prices, upstream_model, above=start)) for start in sorted(starts)),
    )


def _provider(kind: ProviderKind) -> Provider | None:
    wanted = _PROVIDER_ID.get(kind)
    return next((provider for provider in providers if provider.id == wanted), None)


def _entries(conditional: Sequence[ConditionalPrice], upstream_model: str) -> Iterator[PriceEntry | None]:
    """One entry for each published price, None for an incomplete one.

    An undated first price is the one before the first dated. A daily window is published without a date, because the
    package's format has room for only one condition; it belongs to the dated price it follows and starts with it, lest
    calls from before a provider knew peak hours be repriced.
    """
    since: datetime | None = None
    for item in conditional:
        daily: tuple[time, time] | None = None
        if isinstance(item.constraint, StartDateConstraint):
            since = datetime.combine(item.constraint.start_date, time(), tzinfo=UTC)
        elif isinstance(item.constraint, TimeOfDateConstraint):
            daily = (_utc(item.constraint.start_time), _utc(item.constraint.end_time))
        price = price_of(item.prices, upstream_model)
        source = f"genai-prices {GENAI_PRICES_VERSION}"
        if price is None:
            yield None
        else:
            yield PriceEntry(price=price, source=source, starts=since, daily=daily, origin=Origin.PUBLISHED)


def _rates(prices: ModelPrice, upstream_model: str, *, above: int | None) -> Rates:
    input_usd = _figure(prices.input_mtok, above)
    output_usd = _figure(prices.output_mtok, above)
    reasoning_usd = _figure(prices.output_reasoning_mtok, above)
    assert input_usd is not None
    assert output_usd is not None
    rates = Rates.per_mtok(
        input_usd=input_usd,
        # Reasoning tokens are counted as output tokens; where they have a price of their own the dearer one is taken.
        output_usd=output_usd if reasoning_usd is None else max(output_usd, reasoning_usd),
        cached_input_usd=_figure(prices.cache_read_mtok, above),
        cache_write_usd=_figure(prices.cache_write_mtok, above),
        cache_write_1h_usd=_figure(prices.cache_write_1h_mtok, above),
    )
    return rates if prices.cache_write_1h_mtok is not None else one_hour_write(upstream_model, rates)


def _figure(figure: Decimal | TieredPrices | None, above: int | None) -> Decimal | None:
    """One rate in USD per million tokens for a call of more than `above` input tokens."""
    if not isinstance(figure, TieredPrices):
        return figure
    reached = [tier.price for tier in figure.tiers if above is not None and tier.start <= above]
    return reached[-1] if reached else figure.base


def _utc(moment: time) -> time:
    """A time of day as a naive UTC time; genai-prices means UTC where it gives no zone."""
    if moment.tzinfo is None:
        return moment
    offset = moment.utcoffset()
    # Only fixed offsets occur: a zone with changing ones could not be converted without a date.
    assert offset is not None
    return (datetime.combine(_ANY_DAY, moment.replace(tzinfo=None)) - offset).time()
