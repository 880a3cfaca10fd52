"""Prices of deployments: what the config says, else what genai-prices knows, as entries of models.yaml.

Keys of prices are those of `CustomPricingLiteLLMParams` in LiteLLM 1.110.2 (`types/utils.py`, read 2026-11-30). They
are dollars per token there and per million tokens here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

from genai_prices.data import providers
from genai_prices.types import ModelInfo

from router.catalog.prices import Rates
from router.cli.new_config import quoted
from router.config.genai_file import figures_of
from router.config.price_data import GENAI_PRICES_VERSION, price_of

_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Usd:
    """Dollars per million tokens; None: as plain input, or not known."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """An entry of `prices`."""

    base: Usd
    source: str
    tiers: tuple[tuple[int, Usd], ...] = ()  # above so many input tokens


# What the keys are called here. Those of a tier have the threshold at the end.
RATES: Mapping[str, str] = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}
_ABOVE: Mapping[str, int] = {
    "_above_128k_tokens": 128_000,
    "_above_200k_tokens": 200_000,
    "_above_272k_tokens": 272_000,
}


def rate_and_threshold(key: str) -> tuple[str, int] | None:
    """Which rate a key of the config is, and above how many input tokens; None if it is no rate per token."""
    for ending, threshold in _ABOVE.items():
        if key.endswith(ending) and key.removesuffix(ending) in RATES:
            return RATES[key.removesuffix(ending)], threshold
    return (RATES[key], 0) if key in RATES else None


def from_config(rates: Mapping[tuple[str, int], Decimal], *, source: str, writes_text: bool) -> OwnPrice | None:
    """The price that a config says in dollars per token; None unless it is complete."""
    known = {key: value * _TOKENS for key, value in rates.items() if value >= 0}
    if not writes_text:
        known.setdefault(("output", 0), Decimal(0))
    base = _usd(known, 0, None)
    if base is None:
        return None
    thresholds = sorted({above for _, above in known if above})
    tiers = [(above, _usd(known, above, base)) for above in thresholds]
    return OwnPrice(base, source, tuple((above, usd) for above, usd in tiers if usd is not None))


def _usd(known: Mapping[tuple[str, int], Decimal], above: int, base: Usd | None) -> Usd | None:
    figures = {rate: known.get((rate, above)) for rate in RATES.values()}
    if base is not None:  # what a tier does not say stays as it was
        own = {rate: figure for rate, figure in figures.items() if figure is not None}
        return replace(base, **own)
    if figures["input"] is None or figures["output"] is None:
        return None
    return Usd(
        input=figures["input"],
        output=figures["output"],
        cached_input=figures["cached_input"],
        cache_write=figures["cache_write"],
        cache_write_1h=figures["cache_write_1h"],
    )


def published(provider: str, model: str, *, today: date, writes_text: bool) -> OwnPrice | None:
    """What genai-prices knows of a model at a provider, as of today; None unless it is complete."""
    info = model_at(provider, model)
    if info is None:
        return None
    prices = info.get_prices(datetime.combine(today, time(12), tzinfo=UTC))
    source = f"genai-prices {GENAI_PRICES_VERSION}, {provider}"
    if not writes_text and prices.output_mtok is None and isinstance(prices.input_mtok, Decimal):
        return OwnPrice(Usd(prices.input_mtok, Decimal(0)), source)
    price = price_of(figures_of(prices), model)
    if price is None:
        return None
    return OwnPrice(
        _told(price.base),
        source,
        tuple((tier.above_input_tokens, _told(tier.rates)) for tier in price.tiers),
    )


def model_at(provider: str, model: str) -> ModelInfo | None:
    known = next((each for each in providers if each.id == provider), None)
    return known.find_model(model) if known is not None else None


def free(source: str) -> OwnPrice:
    return OwnPrice(Usd(Decimal(0), Decimal(0)), source)


def _told(rates: Rates) -> Usd:
    return Usd(
        input=rates.input * _TOKENS,
        output=rates.output * _TOKENS,
        cached_input=rates.cached_input * _TOKENS,
        cache_write=rates.cache_write * _TOKENS,
        cache_write_1h=rates.cache_write_1h * _TOKENS,
    )


def price_lines(price: OwnPrice, *, today: date) -> list[str]:
    """The entry, to be indented as far as its place wants."""
    lines = [f"- from: {today}", *(f"  {line}" for line in _rate_lines(price.base))]
    if price.tiers:
        lines.append("  tiers:")
    for above, usd in price.tiers:
        lines += [f"    - above_input_tokens: {above}", *(f"      {line}" for line in _rate_lines(usd))]
    return [*lines, f"  source: {quoted(price.source)}", f"  checked: {today}"]


def _rate_lines(usd: Usd) -> list[str]:
    plain = usd.input
    write = plain if usd.cache_write is None else usd.cache_write
    told: list[tuple[str, Decimal | None, Decimal | None]] = [
        ("input", usd.input, None),
        ("output", usd.output, None),
        ("cached_input", usd.cached_input, plain),
        ("cache_write", usd.cache_write, plain),
        ("cache_write_1h", usd.cache_write_1h, write),
    ]
    return [
        f"{rate}_usd_per_mtok: {_figure(figure)}"
        for rate, figure, usual in told
        if figure is not None and figure != usual
    ]


def _figure(usd: Decimal) -> str:
    return f"{usd.normalize():f}"
