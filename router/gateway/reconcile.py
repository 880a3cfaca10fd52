"""What is made good afterwards: entries that dead processes left in their journals, and calls booked at the sum held
whose provider still has a record of them."""

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from router.errors import PenstockError, Unavailable
from router.gateway.in_force import InForce
from router.gateway.settlement import is_believed
from router.keys import Caller
from router.ledger import DoubtfulCall, LedgerEntry
from router.storage.journal import Left, left_by_the_dead
from router.storage.store import Store

log = logging.getLogger("penstock.reconcile")

_SETTLING = timedelta(seconds=2)  # a call younger than this may still be asked about by its own request
_FRESH = timedelta(hours=1)  # a record that is not there by then hardly comes: older calls are asked about now and then
_GIVEN_UP = timedelta(days=3)  # an older call stays booked as held; how long records are kept is documented nowhere
_PAGE = 200  # calls read from the ledger at a time
_HEARD_AT_ONCE = 200  # calls counted as held, of which the ledger is asked in one pass what has become of them
_AT_ONCE = 8  # of these at the same time; one after the other, a thousand calls took 20 s
_PAUSE_S = 5.0
_LONGEST_PAUSE_S = 300.0  # while nothing comes of asking


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one pass has done."""

    asked: int
    resolved: tuple[tuple[DoubtfulCall, int], ...]  # the call, and what it cost by its record, in nano-dollars

    @property
    def drift_nano_usd(self) -> int:
        """What was booked too much."""
        return sum(call.held_nano_usd - cost for call, cost in self.resolved)


class Reconciler:
    """Runs beside the gateway of a process, whichever is in force."""

    def __init__(
        self,
        in_force: InForce,
        ledger: Store,
        *,
        journals: Path,
        now: Callable[[], datetime],
        booked: Callable[[LedgerEntry], None],
        corrected: Callable[[str, int], None],
        has_counted: Callable[[str, str, bool], bool] = lambda *_: False,
        held: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Of what is counted beside the ledger: `booked` is told what a dead process left, unless it `has_counted` it
        (telemetry/metrics.py); `corrected` what a call (`request id.number`) cost after all, for those that are `held`.
        """
        self._in_force = in_force
        self._ledger = ledger
        self._journals = journals
        self._now = now
        self._booked = booked
        self._corrected = corrected
        self._has_counted = has_counted
        self._held = held
        self._heard_of = 0  # calls that are held: where the next pass begins
        self._replaying = anyio.Lock()  # a second replay would take the first one's journals for a living process's

    async def replay(self) -> int:
        """Book what dead processes have left; how many entries there were that nobody had booked before.

        Raises StoreUnavailable, or Unavailable if the gate cannot be told now: then the journals stay, and what has
        been booked already is not booked again.
        """
        async with self._replaying:
            with left_by_the_dead(self._journals) as left:
                return await self._replayed(left)

    async def book_the_dead(self) -> Collection[str]:
        """The same, for whoever is about to read the ledger's sums; the names of the processes that are dead.

        The gate, which is closed then, may not hear of it: it takes these calls from the sums. Raises StoreUnavailable.
        """
        async with self._replaying:
            with suppress(Unavailable), left_by_the_dead(self._journals) as left:
                await self._replayed(left)
        return left.processes

    async def _replayed(self, left: Left) -> int:
        fresh = await self._booked_anew(left)
        await self._tell_gate(left, fresh={entry.request_id for entry in fresh})
        return len(fresh)

    async def _booked_anew(self, left: Left) -> list[LedgerEntry]:
        """Put entries into the ledger: those that it did not have."""
        entries = list(left.entries.values())
        if not entries:
            return []
        call_ids = [attempt.id for entry in entries for attempt in entry.attempts]
        known = await anyio.to_thread.run_sync(self._ledger.booked, call_ids) if call_ids else set()
        await anyio.to_thread.run_sync(self._ledger.write, entries)
        fresh = [entry for entry in entries if not any(attempt.id in known for attempt in entry.attempts)]
        for entry in fresh:
            done = left.done.get(entry.request_id)
            if done is None or not self._has_counted(done[0], entry.request_id, done[1]):
                self._booked(entry)
        if fresh:
            log.warning("booked %d requests that a killed process had left in its journal", len(fresh))
        return fresh

    async def _tell_gate(self, left: Left, *, fresh: set[str]) -> None:
        """A call that the ledger had before counts in the gate already, unless its hold is still there."""
        gateway = self._in_force.current
        gate = gateway.gate
        for entry in left.entries.values():
            quota = gateway.quotas.of(Caller(entry.team, entry.key_id), entry.tags)
            for each in entry.attempts:
                if entry.request_id in fresh:
                    await gate.adopt(
                        quota, reservation_id=each.id, at=each.held_at or entry.at, nano_usd=each.cost_nano_usd
                    )
                else:
                    await gate.resolve(each.id, nano_usd=each.cost_nano_usd)
        for call_id in left.unsent:
            await gate.resolve(call_id, nano_usd=0)
        for process in left.processes:
            await gate.bury(process)

    async def reconcile(self, *, only_fresh: bool = False) -> Reconciled:
        """Ask providers about calls in doubt, and book what their records say. Raises StoreUnavailable.

        All calls of the last three days, or of the last hour.
        """
        now = self._now()
        since, before = now - (_FRESH if only_fresh else _GIVEN_UP), now - _SETTLING
        asked, resolved = 0, list[tuple[DoubtfulCall, int]]()
        after: DoubtfulCall | None = None
        while calls := await anyio.to_thread.run_sync(
            partial(self._ledger.doubtful, since=since, before=before, after=after, limit=_PAGE)
        ):
            resolved += await self._resolve_some(calls)
            asked += len(calls)
            after = calls[-1]
        return Reconciled(asked=asked, resolved=tuple(resolved))

    async def _resolve_some(self, calls: Sequence[DoubtfulCall]) -> list[tuple[DoubtfulCall, int]]:
        resolved: list[tuple[DoubtfulCall, int]] = []
        failures: list[PenstockError] = []
        waiting = iter(calls)

        async def resolve() -> None:
            for call in waiting:
                try:
                    cost_nano_usd = await self._resolved(call)
                except PenstockError as error:
                    failures.append(error)
                    return
                if cost_nano_usd is not None:
                    resolved.append((call, cost_nano_usd))

        async with anyio.create_task_group() as tasks:
            for _ in range(_AT_ONCE):
                tasks.start_soon(resolve)
        if failures:
            raise failures[0]
        return resolved

    async def hear_of_corrections(self) -> None:
        """Calls that were counted as held here, and whose cost somebody else has booked since: another process, or
        `penstock reconcile`. Raises StoreUnavailable."""
        held = self._held()
        if not held:
            return
        begin = self._heard_of if self._heard_of < len(held) else 0
        some = held[begin : begin + _HEARD_AT_ONCE]
        costs = await anyio.to_thread.run_sync(self._ledger.recorded_costs, some)
        for call_id, cost_nano_usd in costs.items():
            self._corrected(call_id, cost_nano_usd)
        self._heard_of = begin + len(some) - len(costs)

    async def run(self) -> None:
        """Replay and reconcile, now and then, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._replay_for_ever)
            tasks.start_soon(self._reconcile_for_ever)

    async def _replay_for_ever(self) -> None:
        while True:
            await anyio.sleep(_PAUSE_S)
            try:
                await self.replay()
                await self.hear_of_corrections()
            except PenstockError as error:
                log.warning("replaying journals put off (%s)", error.code)

    async def _reconcile_for_ever(self) -> None:
        """Later and later while nothing comes of asking; about old calls as seldom as that."""
        pause_s, old_asked_s = _PAUSE_S, 0.0  # the latter: since old calls were asked about
        while True:
            await anyio.sleep(pause_s)
            old_asked_s += pause_s
            only_fresh = old_asked_s < _LONGEST_PAUSE_S
            try:
                done = await self.reconcile(only_fresh=only_fresh)
            except PenstockError as error:
                log.warning("reconciliation put off (%s)", error.code)
                continue
            if not only_fresh:
                old_asked_s = 0.0
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S) if done.asked and not done.resolved else _PAUSE_S

    async def _resolved(self, call: DoubtfulCall) -> int | None:
        """Book the call at what its record says; None if there is no record (yet) or somebody else was faster."""
        client = self._in_force.current.client
        if not client.keeps_records(call.provider):
            return None
        bill = await client.record(call.provider, call.generation_id)
        if bill is None or bill.nano_usd is None:
            return None
        if not is_believed(bill.nano_usd, held_nano_usd=call.held_nano_usd):
            log.error(
                "the record of call %s.%d says %d nano-dollars, and %d were held: it stays booked as held",
                call.request_id,
                call.number,
                bill.nano_usd,
                call.held_nano_usd,
            )
            return None
        usage, cost_nano_usd = bill.usage, bill.nano_usd
        is_amended = await anyio.to_thread.run_sync(
            lambda: self._ledger.amend(call, usage=usage, cost_nano_usd=cost_nano_usd)
        )
        if not is_amended:
            return None
        gateway = self._in_force.current
        quota = gateway.quotas.of(Caller(call.team, call.key_id), call.tags)
        await gateway.gate.correct(quota, at=call.held_at, nano_usd=cost_nano_usd - call.held_nano_usd)
        self._corrected(f"{call.request_id}.{call.number}", cost_nano_usd)
        return cost_nano_usd
