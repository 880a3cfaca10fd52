"""JSON in and out of the sandbox; decimals are written as exact numbers, never through a float."""

from typing import Any, TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, Any]
"""Foreign JSON: whatever the client sent, or a body being built for it."""

_encoder = msgspec.json.Encoder(decimal_format="number")
_sorted_encoder = msgspec.json.Encoder(order="sorted")


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON; `Decimal` becomes a JSON number with every digit it has."""
    return _encoder.encode(value)


def canonical(value: object) -> bytes:
    """JSON with sorted keys: equal values give equal bytes, which makes it fit for hashing."""
    return _sorted_encoder.encode(value)


def decode(text: bytes | str) -> object:
    """The parsed value. Raises ValueError (msgspec.DecodeError) when `text` is not JSON."""
    return msgspec.json.decode(text)
