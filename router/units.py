"""What everything is counted in: tokens and dollars.

Dollars are `Decimal` in the core and integer nano-dollars (1e-9 USD) in stores, metrics and counters; never float.
"""

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from enum import StrEnum

import msgspec

NANO_USD_PER_USD = 10**9
_NANO = Decimal(1).scaleb(9)


class CostSource(StrEnum):
    """How we know what a call cost, best first."""

    REPORTED = "reported"  # the provider's own figure in the reply
    COMPUTED = "computed"  # reported tokens at our price
    RECORD = "record"  # the provider's generation record, asked afterwards
    HELD = "held"  # nothing is known: the sum held stays booked until it is reconciled


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens of one call as a provider reports them."""

    input_tokens: int  # all input, cached and cache-written tokens included
    output_tokens: int  # all output, reasoning tokens included
    cached_tokens: int = 0  # input read from the provider's prompt cache
    cache_write_tokens: int = 0  # input written to it
    reasoning_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )


NO_USAGE = Usage(input_tokens=0, output_tokens=0)


def nano_usd(usd: Decimal) -> int:
    """A cost in nano-dollars, rounded half to even, as every store books it."""
    return int((usd * _NANO).to_integral_value(ROUND_HALF_EVEN))


def nano_usd_ceiling(usd: Decimal) -> int:
    """An upper bound in nano-dollars: a hold may never be rounded below what it must cover."""
    return int((usd * _NANO).to_integral_value(ROUND_CEILING))


def usd(nano: int) -> Decimal:
    """Nano-dollars as exact dollars."""
    return Decimal(nano).scaleb(-9)


def usd_text(nano: int) -> str:
    """Nano-dollars as a plain decimal figure without exponent or trailing zeros, at least two places: `0.0000134`."""
    whole, fraction = divmod(abs(nano), NANO_USD_PER_USD)
    digits = f"{fraction:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{whole}.{digits}"
