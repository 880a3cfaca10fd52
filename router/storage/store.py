"""`Store`: what every store does, whatever is behind it."""

from collections.abc import Collection
from typing import Protocol

from router.keys import KeyStore
from router.ledger import Ledger


class Store(Ledger, KeyStore, Protocol):
    """Ledger and keys together. Every method raises StoreUnavailable if they cannot be reached now."""

    def booked(self, call_ids: Collection[str]) -> set[str]:
        """Those of the calls (`request id.number`) that the ledger has."""

    def close(self) -> None:
        """Give back what the store holds on to. Nothing may be asked of it afterwards."""
