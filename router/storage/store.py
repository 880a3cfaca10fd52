"""`Store`: what every store does, whatever is behind it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from router.catalog.book import PriceRow
from router.keys import KeyStore
from router.ledger import History, Ledger


class PriceStore(Protocol):
    """Where the price book is kept. Implementations block: call them from a thread."""

    def prices(self, since: datetime | None = None) -> list[PriceRow]:
        """Every row of the price book, or those last seen then or later, by name, oldest first."""

    def keep_prices(self, prices: Sequence[PriceRow]) -> None:
        """Append the rows that are not there; of those that are, only `last_seen` moves on. All or none."""


class Store(Ledger, History, KeyStore, PriceStore, Protocol):
    """Ledger, keys, prices and what has been learned. Every method raises StoreUnavailable if it is out of reach."""

    def booked(self, call_ids: Collection[str]) -> set[str]:
        """Those of the calls (`request id.number`) that the ledger has."""

    def learned(self, name: str) -> bytes | None:
        """What was kept last under that name, or None."""

    def keep_learned(self, name: str, content: bytes, at: datetime) -> None:
        """Keep it in the place of what was there. Of two that write at once the later counts."""

    def close(self) -> None:
        """Give back what the store holds on to. Nothing may be asked of it afterwards."""
