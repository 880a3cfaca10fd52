"""What Redis must still be told, and is told in the background until it has confirmed it: `Deliveries`."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from itertools import islice

from router.errors import Unavailable
from router.limits.calendar import from_us
from router.limits.holdings import Correction, Holdings
from router.limits.link import Link
from router.limits.rebuild import Rebuild

_BATCH = 200


class Deliveries:
    """Settlements, corrections and departures of one process. Nothing here fails: what is not confirmed is kept."""

    def __init__(self, link: Link, holdings: Holdings, rebuild: Rebuild) -> None:
        self._link = link
        self._holdings = holdings
        self._rebuild = rebuild
        self._untold: dict[datetime, int] = {}  # starts of windows that Redis wants the ledger's sums of, read after

    async def settle(self, reservation_ids: list[str]) -> None:
        told = [item for each in reservation_ids for item in (each, self._holdings.to_settle[each])]
        with suppress(Unavailable):
            reply = await self._link.ask("settle", self._link.require_open(), *told)
            if reply[0] != "ok":
                self._link.attach_again()
                return
            for reservation_id, outcome in zip(reservation_ids, reply[1:], strict=True):
                self._holdings.settled(reservation_id, is_known=outcome != "unknown", now_s=self._link.monotonic_s())
                if outcome == "unknown":
                    await self.adopt(reservation_id)

    async def adopt(self, reservation_id: str) -> None:
        """Count a call that Redis may know no hold of."""
        await self._tell("adopt", self._holdings.adoptions, reservation_id)

    async def correct(self, correction_id: str) -> None:
        await self._tell("correct", self._holdings.corrections, correction_id)

    async def depart(self, ids: Iterable[str]) -> None:
        for each in ids:
            departure = self._holdings.departures.get(each)
            if departure is None:  # delivered meanwhile
                continue
            with suppress(Unavailable):
                await self._link.ask(
                    "leave", each, departure.expected_tokens, departure.used_tokens, *departure.under_way.scopes
                )
                self._holdings.departures.pop(each, None)
            if not self._link.is_open:
                return

    async def catch_up(self) -> None:
        """Tell everything that is to be told. Raises NoAnswer, or a PenstockError if the ledger cannot be read."""
        holdings = self._holdings
        while self._link.is_open and holdings.to_settle:
            await self.settle(list(islice(holdings.to_settle, _BATCH)))
        for starts, after_us in list(self._untold.items()):
            await self._rebuild.tell_sums(self._link.require_open(), starts, after_us=after_us)
            if self._untold[starts] == after_us:
                del self._untold[starts]
        for each in list(holdings.adoptions):
            await self.adopt(each)
        for each in list(holdings.corrections):
            await self.correct(each)
        await self.depart(list(holdings.departures))

    async def _tell(self, function: str, waiting: dict[str, Correction], one: str) -> None:
        correction = waiting.get(one)
        if correction is None:  # delivered meanwhile
            return
        told = [item for span in correction.spans for item in span]
        with suppress(Unavailable):
            reply = await self._link.ask(function, self._link.require_open(), one, correction.nano_usd, *told)
            if reply[0] in ("ok", "again"):
                waiting.pop(one, None)
            elif reply[0] == "sums":
                self._untold[from_us(int(reply[1]))] = int(reply[2])
                self._link.wake()
            else:
                self._link.attach_again()
