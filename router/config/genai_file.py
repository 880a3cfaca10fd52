"""`published_prices.json`, made of the genai-prices package: `python -m router.config.genai_file` writes it anew.

It needs the package, which is among the development tools and in the extra `litellm`; nothing that serves imports this.
"""

from collections.abc import Iterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import msgspec
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ConditionalPrice,
    MatchLogic,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from router.config.price_data import (
    PROVIDER_ID,
    DatedFigures,
    Figure,
    Figures,
    NamePart,
    PublishedModel,
    PublishedPrices,
    TieredFigure,
)

FILE = Path(__file__).with_name("published_prices.json")


def written() -> bytes:
    """The file as it should be; a model to a line."""
    wanted = set(PROVIDER_ID.values())
    content = PublishedPrices(
        version("genai-prices"),
        {each.id: tuple(map(_model, each.models)) for each in providers if each.id in wanted},
    )
    return msgspec.json.encode(content).replace(b'{"names":', b'\n{"names":') + b"\n"


def figures_of(prices: ModelPrice) -> Figures:
    return Figures(
        input=_figure(prices.input_mtok),
        output=_figure(prices.output_mtok),
        reasoning=_figure(prices.output_reasoning_mtok),
        cached_input=_figure(prices.cache_read_mtok),
        cache_write=_figure(prices.cache_write_mtok),
        cache_write_1h=_figure(prices.cache_write_1h_mtok),
    )


def _figure(figure: Decimal | TieredPrices | None) -> Figure | None:
    if not isinstance(figure, TieredPrices):
        return figure
    return TieredFigure(figure.base, tuple((tier.start, tier.price) for tier in figure.tiers))


def _model(model: ModelInfo) -> PublishedModel:
    prices = [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices
    return PublishedModel(tuple(_names(model.match)), tuple(map(_dated, prices)))


def _names(match: MatchLogic) -> Iterator[NamePart]:
    match match:
        case ClauseOr(or_=several):
            for each in several:
                yield from _names(each)
        case ClauseEquals(equals=text):
            yield NamePart("equals", text.lower())
        case ClauseStartsWith(starts_with=text):
            yield NamePart("starts_with", text.lower())
        case ClauseRegex(regex=text):
            yield NamePart("regex", text)
        case _:
            raise ValueError(f"a way to tell models that price_data.py does not know: {match}")


def _dated(item: ConditionalPrice) -> DatedFigures:
    match item.constraint:
        case StartDateConstraint(start_date=starts):
            return DatedFigures(figures_of(item.prices), starts=starts)
        case TimeOfDateConstraint(start_time=begins, end_time=ends):
            return DatedFigures(figures_of(item.prices), daily=(begins, ends))
        case None:
            return DatedFigures(figures_of(item.prices))
        case other:
            raise ValueError(f"a condition that price_data.py does not know: {other}")


if __name__ == "__main__":
    FILE.write_bytes(written())
