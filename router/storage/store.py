"""`Store`: what every store does, whatever is behind it."""

from collections.abc import Collection, Sequence
from typing import Protocol

from router.catalog.book import PriceRow
from router.keys import KeyStore
from router.ledger import Ledger


class PriceStore(Protocol):
    """Where the price book is kept. Implementations block: call them from a thread."""

    def prices(self) -> list[PriceRow]:
        """Every row of the price book, by name, oldest first."""

    def keep_prices(self, prices: Sequence[PriceRow]) -> None:
        """Append the rows that are not there; of those that are, only `last_seen` moves on. All or none."""


class Store(Ledger, KeyStore, PriceStore, Protocol):
    """Ledger, keys and prices together. Every method raises StoreUnavailable if they cannot be reached now."""

    def booked(self, call_ids: Collection[str]) -> set[str]:
        """Those of the calls (`request id.number`) that the ledger has."""

    def close(self) -> None:
        """Give back what the store holds on to. Nothing may be asked of it afterwards."""
