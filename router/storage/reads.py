"""`Reads`: a store as it is asked by whoever only looks, and may not keep it busy."""

from collections.abc import Sequence
from typing import Any, Protocol

Value = str | int | float


class Reads(Protocol):
    """What both kinds of store can be asked alike; `?` stands for a value."""

    def read(self, query: str, values: Sequence[Value], *, patience_s: float) -> list[tuple[Any, ...]]:
        """The rows that a query finds. Raises StoreUnavailable, also if it takes longer than that. Blocks."""
