"""JSON that others wrote, of which nothing is expected: what has an unexpected type is taken for absent."""

from typing import Any

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding foreign bytes can raise."""


def decoded(data: bytes) -> object:
    """What the JSON holds; None if it is none."""
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return None


def as_text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_objects(value: object) -> list[dict[str, Any]]:
    """The objects in an array."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
