"""A new epoch: what was spent is taken from the ledger, what is held from the processes that hold it.

One process leads. By now every process has registered its holds and what it has settled lately; the leader finds out
which of these the ledger has already, so that nothing counts twice and nothing is left out.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Protocol

import anyio.to_thread

from router.limits.asking import Functions, Reply
from router.limits.calendar import from_us, scope_text, to_us
from router.quotas import ScopeId

_log = logging.getLogger("penstock.redis")

_MOST_TRIES = 5  # a judgement: the ledger is written meanwhile, and each try must find it unchanged
_TIMEOUT_S = 5.0  # many holds take Redis a while


class SpendingBooks(Protocol):
    """What the rebuilding asks the ledger. Both block, and raise a PenstockError if the ledger cannot be read."""

    def spent_since(self, since: datetime) -> dict[ScopeId, int]:
        """Nano-dollars of every request that money was last held for at or after `since`, per scope."""

    def booked(self, reservation_ids: Collection[str]) -> set[str]:
        """Those of the reservations whose cost the ledger has."""


class Peers:
    """The processes that lived when Redis was heard last: what they hold is missing until they have registered it.

    One that was killed is found by its journal, on its own machine. One that stays away for longer than the patience
    is taken for dead; should it live, its calls are counted when it is back.
    """

    def __init__(self, functions: Functions, *, monotonic_s: Callable[[], float], patience_s: float) -> None:
        self._functions = functions
        self._monotonic_s = monotonic_s
        self._patience_s = patience_s
        self._living: tuple[str, ...] = ()
        self._awaited_since_s: float | None = None

    def seen(self, living: Iterable[str]) -> None:
        """The counters are open, and these processes live."""
        self._living = tuple(living)
        self._awaited_since_s = None

    async def are_awaited(self, epoch: str) -> bool:
        """Whether the counters should stay closed for somebody's sake. Raises NoAnswer."""
        absent = (await self._functions.call("absent", epoch, *self._living))[1:] if self._living else ()
        if not absent:
            return False
        now_s = self._monotonic_s()
        if self._awaited_since_s is None:
            self._awaited_since_s = now_s
            _log.warning("budgets stay closed until these have told what they hold: %s", ", ".join(map(str, absent)))
        if now_s - self._awaited_since_s <= self._patience_s:
            return True
        _log.error("budgets are opened without what these hold, for nothing is heard of them: %s", absent)
        return False


class Rebuild:
    """What the leader of a new epoch does."""

    def __init__(self, functions: Functions, books: SpendingBooks) -> None:
        self._functions = functions
        self._books = books

    async def open(self, epoch: str, starts: Iterable[datetime]) -> bool:
        """Open the epoch, whose windows began at `starts`; False if that has to be tried again.

        Raises NoAnswer, or a PenstockError if the ledger cannot be read.
        """
        wanted = set(starts)
        for tries_left in reversed(range(_MOST_TRIES)):
            reply = await self._call("registered", epoch)
            if reply[0] != "rebuilding":
                return reply[0] == "open"
            version, reservations = reply[1], [str(each) for each in reply[2:]]
            booked = await self.booked(reservations)
            for each in sorted(wanted):
                await self.tell_sums(epoch, each)
            if await self.booked(reservations) != booked:
                # Calls were booked while the sums were read: whether the sums hold them is not known.
                if tries_left:
                    continue
                _log.warning("the ledger is written too fast to be read; calls booked just now may count twice")
            reply = await self._call("open", epoch, version, *booked)
            if reply[0] == "sums":
                wanted.add(from_us(int(reply[1])))
            elif reply[0] != "again":
                return reply[0] == "open"
        return False

    async def tell_sums(self, epoch: str, starts: datetime, *, after_us: int = 0) -> None:
        """Tell Redis what the ledger says was spent since then; it is read after the moment that Redis has named.

        Raises as `open`.
        """
        sums = await anyio.to_thread.run_sync(self._books.spent_since, starts)
        told = [item for scope, nano_usd in sums.items() for item in (scope_text(scope), nano_usd)]
        await self._call("sums", epoch, to_us(starts), after_us, *told)

    async def booked(self, reservations: Collection[str]) -> set[str]:
        """Those of the reservations that are in the ledger."""
        if not reservations:
            return set()
        return await anyio.to_thread.run_sync(self._books.booked, reservations)

    async def _call(self, function: str, *arguments: str | int) -> Reply:
        return await self._functions.call(function, *arguments, timeout_s=_TIMEOUT_S)
