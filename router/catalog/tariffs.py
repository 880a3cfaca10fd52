"""What a provider's own list says a model costs: `Tariff`, one price or several by the hour; and changes of it.

Also a tariff as plain data and back, which is how the price book is kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal
from itertools import islice
from typing import Any

from router.catalog.prices import Origin, Price, PriceEntry, Rates, Tier, is_within

# A rate that grows or shrinks by this factor between two readings is not believed before it has been read again. Real
# changes within a week went up to 3x (openrouter.md §4.3); a slip of the decimal point is 10x.
SUDDEN_FACTOR = Decimal(3)

_RATE_NAMES = (
    "input",
    "output",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "request",
    "image",
    "web_search",
)
_FEE_NAMES = _RATE_NAMES[-3:]


@dataclass(frozen=True, slots=True)
class Window:
    daily: tuple[time, time] | None  # UTC, half-open, may wrap midnight; None: around the clock
    price: Price


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price for every hour of the day: one window around the clock, or several that cover it without overlap."""

    windows: tuple[Window, ...]

    @classmethod
    def all_day(cls, price: Price) -> "Tariff":
        return cls((Window(None, price),))

    def at(self, moment: time) -> Price:
        """The price at that time of the UTC day."""
        for window in self.windows:
            if window.daily is None or is_within(window.daily, moment):
                return window.price
        raise AssertionError("the windows of a tariff cover the day")

    def entries(self, *, source: str, starts: datetime | None = None) -> tuple[PriceEntry, ...]:
        """The tariff as price entries that hold from `starts` on."""
        return tuple(
            PriceEntry(window.price, source=source, starts=starts, daily=window.daily, origin=Origin.LIVE)
            for window in self.windows
        )

    def edges(self) -> Iterator[time]:
        """When the price may change within a day."""
        for window in self.windows:
            yield from window.daily or ()


def is_sudden(old: Tariff, new: Tariff, *, with_fees: bool = True, factor: Decimal = SUDDEN_FACTOR) -> bool:
    """Whether any rate that we pay, at any hour and length of input, changes by `factor` or more, up or down.

    From nothing to something, and back, is a change without measure, and sudden. `with_fees` is False where the old
    tariff is from a list that knows no fees for calls and images.
    """
    rates = len(_RATE_NAMES) - len(_FEE_NAMES) if not with_fees else len(_RATE_NAMES) - 1  # nobody pays for searches
    moments = {time(), *old.edges(), *new.edges()}
    return any(_leaps(old.at(moment), new.at(moment), rates, factor) for moment in moments)


def _leaps(old: Price, new: Price, rates: int, factor: Decimal) -> bool:
    lengths = {0, *(tier.above_input_tokens + 1 for price in (old, new) for tier in price.tiers)}
    return any(
        _is_leap(*pair, factor)
        for length in lengths
        for pair in islice(_pairs(old.rates(length), new.rates(length)), rates)
    )


def _pairs(old: Rates, new: Rates) -> Iterator[tuple[Decimal, Decimal]]:
    return zip(old.figures(), new.figures(), strict=True)


def _is_leap(old: Decimal, new: Decimal, factor: Decimal) -> bool:
    return old != new and (old * factor <= new or new * factor <= old)


def described(old: Tariff | None, new: Tariff | None) -> str:
    """A change in words: every rate that differs, in USD per million tokens, old and new."""
    if old is None or new is None:
        return f"{_summary(old)} -> {_summary(new)}"
    moments = sorted({time(), *old.edges(), *new.edges()})
    lines = [line for moment in moments for line in _differences(old.at(moment), new.at(moment), moment)]
    return ", ".join(dict.fromkeys(lines)) or "only its hours or tiers"


def _summary(tariff: Tariff | None) -> str:
    if tariff is None:
        return "no price"
    base = tariff.windows[0].price.base
    return f"input {_per_mtok(base.input)}, output {_per_mtok(base.output)}"


def _differences(old: Price, new: Price, moment: time) -> Iterator[str]:
    thresholds = {tier.above_input_tokens for price in (old, new) for tier in price.tiers}
    for length in (0, *(threshold + 1 for threshold in sorted(thresholds))):
        place = f" above {length - 1} tokens" if length else ""
        place += f" from {moment:%H:%M}" if moment != time() else ""
        for name, (before, after) in zip(_RATE_NAMES, _pairs(old.rates(length), new.rates(length)), strict=True):
            if before != after:
                yield f"{name}{place} {_shown(name, before)} -> {_shown(name, after)}"


def _shown(name: str, rate: Decimal) -> str:
    return _plain(rate) if name in _FEE_NAMES else _per_mtok(rate)


def _per_mtok(rate: Decimal) -> str:
    return _plain(rate.scaleb(6))


def _plain(figure: Decimal) -> str:
    return f"{figure.normalize():f}"


# The tariff as plain data: strings for exact figures, in USD per token or per piece; times as HH:MM.


def as_data(tariff: Tariff) -> list[dict[str, Any]]:
    """The tariff as JSON-ready data; `from_data` reads it back."""
    return [
        {
            "daily": None if window.daily is None else [f"{edge:%H:%M}" for edge in window.daily],
            "rates": _rates_as_data(window.price.base),
            "tiers": [
                {"above_input_tokens": tier.above_input_tokens, "rates": _rates_as_data(tier.rates)}
                for tier in window.price.tiers
            ],
        }
        for window in tariff.windows
    ]


def from_data(windows: list[dict[str, Any]]) -> Tariff:
    """The tariff that `as_data` was given. Raises KeyError, ValueError or TypeError for anything else."""
    return Tariff(
        tuple(
            Window(
                daily=None if window["daily"] is None else _daily(window["daily"]),
                price=Price(
                    base=_rates(window["rates"]),
                    tiers=tuple(Tier(tier["above_input_tokens"], _rates(tier["rates"])) for tier in window["tiers"]),
                ),
            )
            for window in windows
        )
    )


def canonical(rates: Rates) -> Rates:
    """The same rates, without trailing zeros: as the book has them, so that dollars are written alike from either."""
    return _rates(_rates_as_data(rates))


def _rates_as_data(rates: Rates) -> dict[str, str]:
    return {name: _plain(figure) for name, figure in zip(_RATE_NAMES, rates.figures(), strict=True)}


def _rates(figures: Mapping[str, str]) -> Rates:
    return Rates(*(Decimal(figures[name]) for name in _RATE_NAMES))


def _daily(edges: list[str]) -> tuple[time, time]:
    start, end = edges
    return time.fromisoformat(start), time.fromisoformat(end)
