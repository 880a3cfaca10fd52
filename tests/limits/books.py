"""Ledgers that counters are rebuilt from: one in a dictionary, and a real store behind the same face."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from router.errors import Unavailable
from router.keys import KeyId, TeamName
from router.ledger import Attempt, LedgerEntry, Outcome
from router.limits.rebuild import SpendingBooks
from router.quotas import ScopeId, ScopeKind
from router.storage.store import Store
from router.units import CostSource
from tests.storage.entries import FLASH, OPENROUTER


@dataclass(frozen=True)
class Booked:
    """One call as the ledger has it."""

    scopes: tuple[ScopeId, ...]
    at: datetime
    nano_usd: int


class WritableBooks(SpendingBooks, Protocol):
    """What a gate asks, and what is written meanwhile."""

    def write(self, reservation_id: str, call: Booked) -> None:
        """Keep the call; one that is kept already is left as it is."""


@dataclass
class Books:
    """Calls by reservation."""

    calls: dict[str, Booked] = field(default_factory=dict)
    is_readable: bool = True

    def write(self, reservation_id: str, call: Booked) -> None:
        self.calls.setdefault(reservation_id, call)

    def spent_since(self, since: datetime) -> dict[ScopeId, int]:
        self._check()
        spent: dict[ScopeId, int] = {}
        for call in self.calls.values():
            for scope in call.scopes if call.at >= since else ():
                spent[scope] = spent.get(scope, 0) + call.nano_usd
        return spent

    def booked(self, reservation_ids: Collection[str]) -> set[str]:
        self._check()
        return {each for each in reservation_ids if each in self.calls}

    def _check(self) -> None:
        if not self.is_readable:
            raise Unavailable("The test says that the ledger cannot be read.")


class StoredBooks:
    """Entries in a real store. Reservations must be named `request.1`, as those of a request's first call are."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, reservation_id: str, call: Booked) -> None:
        self._store.write([_entry(reservation_id, call)])

    def spent_since(self, since: datetime) -> dict[ScopeId, int]:
        return self._store.spent_since(since)

    def booked(self, reservation_ids: Collection[str]) -> set[str]:
        return self._store.booked(reservation_ids)


def _entry(reservation_id: str, call: Booked) -> LedgerEntry:
    names = {kind: tuple(scope.name for scope in call.scopes if scope.kind is kind) for kind in ScopeKind}
    attempt = Attempt(
        id=reservation_id,
        model=FLASH,
        provider=OPENROUTER,
        outcome="ok",
        served_model=None,
        generation_id=None,
        usage=None,
        held_nano_usd=call.nano_usd,
        cost_nano_usd=call.nano_usd,
        source=CostSource.REPORTED,
        duration_s=1.0,
    )
    return LedgerEntry(
        request_id=reservation_id.removesuffix(".1"),
        at=call.at,
        team=TeamName(names[ScopeKind.TEAM][0]),
        key_id=KeyId((*names[ScopeKind.KEY], "without budget")[0]),
        alias="auto",
        policy="balanced",
        rule=None,
        outcome=Outcome.OK,
        attempts=(attempt,),
        rejected=(),
        profile_json=b"{}",
        counted_input_tokens=0,
        expected_nano_usd=0,
        baseline=None,
        baseline_nano_usd=None,
        config_version="0123456789ab",
        is_stream=False,
        overhead_s=0.0,
        first_token_s=None,
        duration_s=1.0,
        tags=names[ScopeKind.PROJECT],
    )
