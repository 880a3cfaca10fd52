"""`Store`: what every store does, whatever is behind it."""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from router.keys import KeyStore
from router.ledger import History, Ledger


class Store(Ledger, History, KeyStore, Protocol):
    """Ledger, keys and what has been learned. Every method raises StoreUnavailable if they cannot be reached now."""

    def booked(self, call_ids: Collection[str]) -> set[str]:
        """Those of the calls (`request id.number`) that the ledger has."""

    def learned(self, name: str) -> bytes | None:
        """What was kept last under that name, or None."""

    def keep_learned(self, name: str, content: bytes, at: datetime) -> None:
        """Keep it in the place of what was there. Of two that write at once the later counts."""

    def close(self) -> None:
        """Give back what the store holds on to. Nothing may be asked of it afterwards."""
