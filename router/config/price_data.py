"""Published prices: those of the genai-prices package, from a file made of it, as our own dated price entries.

The file, `published_prices.json`, has what genai-prices says of the providers whose prices are looked up; `genai_file`
writes it, and a test holds it to the package. So no server needs the package, which brings httpx2 with it, and takes
9 MB and 0.2 s of the start. None of its arithmetic is used: one function (`catalog.prices.cost`) prices everything.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib import resources
from typing import Literal

import msgspec

from router.catalog.catalog import ProviderKind
from router.catalog.prices import Origin, Price, PriceEntry, Rates, Tier, one_hour_write

_ANY_DAY = date(2026, 1, 1)  # to subtract an offset from a time of day

PROVIDER_ID: Mapping[ProviderKind, str] = {"openrouter": "openrouter", "deepseek": "deepseek"}


class TieredFigure(msgspec.Struct, frozen=True, gc=False):
    """A rate that changes with the length of the input; tiers by ascending threshold."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...]  # from so many input tokens on


Figure = Decimal | TieredFigure


class Figures(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """USD per million tokens, as published; None: not told."""

    input: Figure | None = None
    output: Figure | None = None
    reasoning: Figure | None = None
    cached_input: Figure | None = None
    cache_write: Figure | None = None
    cache_write_1h: Figure | None = None


class DatedFigures(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Figures from a day on, or within hours of the day; neither: before any other."""

    figures: Figures
    starts: date | None = None
    daily: tuple[time, time] | None = None


class NamePart(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A way to tell a model by its name, in lower case."""

    how: Literal["equals", "starts_with", "regex"]
    text: str


class PublishedModel(msgspec.Struct, frozen=True, gc=False):
    names: tuple[NamePart, ...]  # any of them
    prices: tuple[DatedFigures, ...]


class PublishedPrices(msgspec.Struct, frozen=True, gc=False):
    """The whole file."""

    genai_prices: str  # the version
    providers: dict[str, tuple[PublishedModel, ...]]  # of models that share a name the first counts


_PUBLISHED = msgspec.json.decode(
    resources.files("router.config").joinpath("published_prices.json").read_bytes(), type=PublishedPrices
)
GENAI_PRICES_VERSION = _PUBLISHED.genai_prices

# `gpt-5.2-20251211` stands for `gpt-5.2-2025-12-11`, as genai-prices has it.
_COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def published(kind: ProviderKind, upstream_model: str) -> tuple[PriceEntry, ...]:
    """The dated prices of a model at a kind of provider, oldest first; empty if they are not published completely."""
    model = published_model(PROVIDER_ID.get(kind, ""), upstream_model)
    if model is None:
        return ()
    entries = list(_entries(model.prices, upstream_model))
    complete = [entry for entry in entries if entry is not None]
    # An entry without input or output rate would let an older price shine through where the true one is not known.
    return tuple(complete) if len(complete) == len(entries) else ()


def published_model(provider: str, name: str) -> PublishedModel | None:
    """What is published of the model that a provider, by genai-prices' name for it, calls so."""
    models, name = _PUBLISHED.providers.get(provider, ()), name.lower()
    found = next((model for model in models if _is_called(model, name)), None)
    if found is None and (dashed := _COMPACT_DATE.sub(_dashed, name)) != name:
        found = next((model for model in models if _is_called(model, dashed)), None)
    return found


def _is_called(model: PublishedModel, name: str) -> bool:
    return any(_fits(part, name) for part in model.names)


def _fits(part: NamePart, name: str) -> bool:
    match part.how:
        case "equals":
            return name == part.text
        case "starts_with":
            return name.startswith(part.text)
        case "regex":
            return re.search(part.text, name) is not None


def _dashed(found: re.Match[str]) -> str:
    year, month, day = int(found[2]), int(found[3]), int(found[4])
    try:
        date(year, month, day)
    except ValueError:  # 31 February
        return found[0]
    return f"{found[1]}{year:04d}-{month:02d}-{day:02d}"


def price_of(prices: Figures, upstream_model: str) -> Price | None:
    """A published price with a tier for each threshold of any of its rates; None without an input and output rate."""
    if prices.input is None or prices.output is None:
        return None
    figures = (prices.input, prices.output, prices.cached_input, prices.cache_write)
    starts = {start for figure in figures if isinstance(figure, TieredFigure) for start, _ in figure.tiers}
    return Price(
        base=_rates(prices, upstream_model, above=None),
        tiers=tuple(Tier(start, _rates(prices, upstream_model, above=start)) for start in sorted(starts)),
    )


def _entries(dated: Sequence[DatedFigures], upstream_model: str) -> Iterator[PriceEntry | None]:
    """One entry for each published price, None for an incomplete one.

    An undated first price is the one before the first dated. A daily window is published without a date, because the
    package's format has room for only one condition; it belongs to the dated price it follows and starts with it, lest
    calls from before a provider knew peak hours be repriced.
    """
    since: datetime | None = None
    for item in dated:
        daily: tuple[time, time] | None = None
        if item.starts is not None:
            since = datetime.combine(item.starts, time(), tzinfo=UTC)
        elif item.daily is not None:
            daily = (_utc(item.daily[0]), _utc(item.daily[1]))
        price = price_of(item.figures, upstream_model)
        source = f"genai-prices {GENAI_PRICES_VERSION}"
        if price is None:
            yield None
        else:
            yield PriceEntry(price=price, source=source, starts=since, daily=daily, origin=Origin.PUBLISHED)


def _rates(prices: Figures, upstream_model: str, *, above: int | None) -> Rates:
    input_usd = _figure(prices.input, above)
    output_usd = _figure(prices.output, above)
    reasoning_usd = _figure(prices.reasoning, above)
    assert input_usd is not None
    assert output_usd is not None
    rates = Rates.per_mtok(
        input_usd=input_usd,
        # Reasoning tokens are counted as output tokens; where they have a price of their own the dearer one is taken.
        output_usd=output_usd if reasoning_usd is None else max(output_usd, reasoning_usd),
        cached_input_usd=_figure(prices.cached_input, above),
        cache_write_usd=_figure(prices.cache_write, above),
        cache_write_1h_usd=_figure(prices.cache_write_1h, above),
    )
    return rates if prices.cache_write_1h is not None else one_hour_write(upstream_model, rates)


def _figure(figure: Figure | None, above: int | None) -> Decimal | None:
    """One rate in USD per million tokens for a call of more than `above` input tokens."""
    if not isinstance(figure, TieredFigure):
        return figure
    reached = [usd for start, usd in figure.tiers if above is not None and start <= above]
    return reached[-1] if reached else figure.base


def _utc(moment: time) -> time:
    """A time of day as a naive UTC time; genai-prices means UTC where it gives no zone."""
    if moment.tzinfo is None:
        return moment
    offset = moment.utcoffset()
    # Only fixed offsets occur: a zone with changing ones could not be converted without a date.
    assert offset is not None
    return (datetime.combine(_ANY_DAY, moment.replace(tzinfo=None)) - offset).time()
