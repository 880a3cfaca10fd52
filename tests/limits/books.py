"""A ledger in a dictionary: what it is asked when counters are rebuilt."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from router.errors import Unavailable
from router.quotas import ScopeId


@dataclass(frozen=True)
class Booked:
    """One call as the ledger has it."""

    scopes: tuple[ScopeId, ...]
    at: datetime
    nano_usd: int


@dataclass
class Books:
    """Calls by reservation."""

    calls: dict[str, Booked] = field(default_factory=dict)
    is_readable: bool = True

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
