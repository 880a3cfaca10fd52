"""What keeping the money costs for one request, in memory mode: CPU of limits, hold, journal and settlement, and of the
ledger's thread.

python -m tests.benchmarks.money      prints microseconds of CPU per request
"""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, process_time, thread_time
from zoneinfo import ZoneInfo

from router.ledger import LedgerEntry, Outcome
from router.limits.gate import Quota, Scope
from router.limits.memory import MemoryGate
from router.quotas import Budget, Limits, Per, ScopeId
from router.storage.journal import Head, Journal, Sent
from router.storage.sqlite import SqliteStore
from router.units import CostSource
from tests.replacing import replace
from tests.storage.entries import attempt, entry

_ROUNDS = 5
_REQUESTS = 5_000
_TARGET_US = 60.0
_LEDGER_TARGET_US = 50.0
_LEDGER_BATCH = 70  # what comes together in the 0.1 s that entries wait for each other, at 700 requests a second
_QUOTA = Quota(
    (
        Scope(
            ScopeId.of_team("search"),
            (Budget(500 * 10**9, Per.MONTH), Budget(40 * 10**9, Per.DAY)),
            Limits(requests_per_minute=10**9, tokens_per_minute=10**12, concurrent=10**6),
        ),
    ),
    ZoneInfo("Europe/Berlin"),
)


async def _one(gate: MemoryGate, journal: Journal, finished: LedgerEntry) -> None:
    """The money's part of one request that goes well, in the order of `Exchange`."""
    request_id = finished.request_id
    admission = await gate.admit(_QUOTA, tokens=600)
    call_id = f"{request_id}.1"
    reservation = await gate.reserve(_QUOTA, reservation_id=call_id, nano_usd=2_000_000)
    in_doubt = replace(finished.attempts[0], outcome="lost", source=CostSource.HELD)
    journal.write(Sent(replace(finished, outcome=Outcome.LOST, attempts=(in_doubt,))), request_id=request_id)
    journal.write(Head(call_id, "gen-1795458773-1U0EMVYjyVzo1EI5nINO"), request_id=request_id)
    await gate.settle(reservation, nano_usd=147_000)
    await gate.leave(admission, tokens=700)
    journal.done(finished)


async def _round(directory: Path, number: int) -> float:
    gate = MemoryGate(now=lambda: datetime(2026, 11, 23, 9, 30, tzinfo=UTC), monotonic_s=monotonic)
    journal = Journal(directory, name=f"round-{number}")
    journal.start()
    entries = [entry(f"req_{number}_{index:024d}", attempt()) for index in range(_REQUESTS)]
    began_s = process_time()
    for finished in entries:
        await _one(gate, journal, finished)
    spent_s = process_time() - began_s
    journal.kept([finished.request_id for finished in entries])
    journal.close()
    return spent_s / _REQUESTS * 1e6


def _ledger_round(store: SqliteStore, number: int) -> float:
    """What the ledger's thread does for an entry, beside waiting for the disk."""
    entries = [entry(f"req_{number:08x}{index:016x}", attempt()) for index in range(_REQUESTS)]
    began_s = thread_time()
    for start in range(0, _REQUESTS, _LEDGER_BATCH):
        store.write(entries[start : start + _LEDGER_BATCH])
    return (thread_time() - began_s) / _REQUESTS * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        _report(
            "limits, hold, journal and settlement",
            [asyncio.run(_round(Path(directory), number)) for number in range(_ROUNDS)],
            target_us=_TARGET_US,
        )
        with closing(SqliteStore(Path(directory) / "ledger.sqlite")) as store:
            _report(
                "the ledger's thread, SQLite",
                [_ledger_round(store, number) for number in range(_ROUNDS)],
                target_us=_LEDGER_TARGET_US,
            )


def _report(what: str, rounds_us: Sequence[float], *, target_us: float) -> None:
    lowest_us, *_, highest_us = ordered_us = sorted(rounds_us)
    median_us = ordered_us[len(ordered_us) // 2]
    verdict = "met" if median_us <= target_us else "missed"
    print(
        f"{what}: {median_us:.1f} µs of CPU per request ({lowest_us:.1f}…{highest_us:.1f}); "
        f"target ≤ {target_us:.0f}: {verdict}"
    )


if __name__ == "__main__":
    main()
