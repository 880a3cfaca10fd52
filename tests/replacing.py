"""`replace` for both kinds of values, dataclasses and msgspec's structs, as `copy.replace` is in Python 3.13."""

import dataclasses
from typing import TypeVar

import msgspec

Value = TypeVar("Value")


def replace(value: Value, **changes: object) -> Value:
    """The value with these fields changed."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]  # it is one of the two
