"""What keeping the money costs: CPU of limits, hold, journal and settlement for one request, in memory mode.

python -m tests.benchmarks.money      prints microseconds of CPU per request
"""

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, process_time
from zoneinfo import ZoneInfo

from router.ledger import LedgerEntry, Outcome
from router.limits.gate import Quota, Scope
from router.limits.memory import MemoryGate
from router.quotas import Budget, Limits, Per, ScopeId
from router.storage.journal import Head, Intent, Journal, Sent
from router.units import CostSource
from tests.replacing import replace
from tests.storage.entries import attempt, entry

_ROUNDS = 5
_REQUESTS = 5_000
_TARGET_US = 60.0
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
    journal.write(Intent(call_id), request_id=request_id)
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


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        rounds_us = sorted(asyncio.run(_round(Path(directory), number)) for number in range(_ROUNDS))
    median_us = rounds_us[len(rounds_us) // 2]
    verdict = "met" if median_us <= _TARGET_US else "missed"
    print(
        f"limits, hold, journal and settlement: {median_us:.1f} µs of CPU per request "
        f"({rounds_us[0]:.1f}…{rounds_us[-1]:.1f}); target ≤ {_TARGET_US:.0f}: {verdict}"
    )


if __name__ == "__main__":
    main()
