"""How long the console's pages take on a large ledger: `python -m tests.benchmarks.console [--entries 1000000]`.

Both kinds of store are filled first, which takes minutes. Exits with 1 if a page takes longer than 300 ms.
"""

import argparse
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from starlette.types import ASGIApp

from router.assembly.clock import utc_now
from router.assembly.house import assemble
from router.assembly.stores import open_store
from router.config.loader import load
from router.config.snapshot import Server, Snapshot
from router.keys import Secret
from tests.console.million import fill
from tests.server.asgi import get
from tests.storage.postgres_server import programs, running_server

BOUND_MS = 300.0
_ROUNDS = 3
_CONFIG = Path(__file__).resolve().parents[2] / "config"

# Paths and queries; `req_…` is a request of `million`.
PAGES = (
    ("/", ""),
    ("/", "range=7d"),
    ("/", "range=30d"),
    ("/live", ""),
    ("/requests", ""),
    ("/requests", "team=team-03"),
    ("/requests", "team=team-03&model=openai/gpt-5.5"),
    ("/requests", "model=google/gemini-3-flash-preview"),
    ("/requests", "outcome=failed"),
    ("/requests", "outcome=failed&team=search&model=openai/gpt-5.5"),
    ("/requests", "outcome=ok&model=nobody"),
    ("/requests", "period=24h"),
    ("/requests", "until=2026-11-20T00:00"),
    ("/requests", "id=req_00000000"),
    ("/requests", "sort=dearest"),
    ("/requests", "sort=slowest&model=openai/gpt-5.5"),
    ("/requests", "sort=saved&team=search"),
    ("/requests/req_000000000000000000000061", ""),
    ("/explain", "request=req_000000000000000000000061"),
    ("/replay", ""),
    ("/models", ""),
    ("/teams", ""),
    ("/teams/search", ""),
    ("/feedback", ""),
    ("/feedback", "team=search"),
)


def filled(snapshot: Snapshot, entries: int) -> None:
    with closing(open_store(snapshot.settings)) as store:
        fill(store, entries, until=utc_now())


def measured(snapshot: Snapshot) -> dict[str, float]:
    """Milliseconds of each page, the best of a few: the machine is shared."""
    return anyio.run(_measured, snapshot)


async def _measured(snapshot: Snapshot) -> dict[str, float]:
    house = assemble(snapshot)
    try:
        return {f"{path}?{query}".rstrip("?"): await _best_ms(house.admin, path, query) for path, query in PAGES}
    finally:
        await house.close()


async def _best_ms(admin: ASGIApp, path: str, query: str) -> float:
    took = []
    for _ in range(_ROUNDS):
        begun_s = time.perf_counter()
        answer = await get(admin, path, query=query)
        took.append((time.perf_counter() - begun_s) * 1_000)
        assert answer.status == 200, (path, query, answer.status, answer.body[-600:])
    return min(took)


def shipped(state: Path, postgres: str | None = None) -> Snapshot:
    """The shipped configuration with its books there."""
    snapshot = load(_CONFIG, environment={"OPENROUTER_API_KEY": "sk-or-test"})
    server = None if postgres is None else Server(Secret(postgres), "")
    return replace(snapshot, settings=replace(snapshot.settings, state_dir=state, postgres=server))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    count = parser.parse_args().entries
    columns: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        columns["SQLite"] = _timed(shipped(directory / "sqlite"), count, "SQLite")
        found = programs()
        if found is None:
            print("PostgreSQL is not installed")
        else:
            server = stack.enter_context(running_server(found))
            address = stack.enter_context(server.new_schema())
            columns["PostgreSQL"] = _timed(shipped(directory / "postgres", address), count, "PostgreSQL")
    print(f"{'page, ms':<62}" + "".join(f"{name:>12}" for name in columns))
    for page in columns["SQLite"]:
        print(f"{page:<62}" + "".join(f"{column[page]:12.1f}" for column in columns.values()))
    slow = [page for column in columns.values() for page, took_ms in column.items() if took_ms > BOUND_MS]
    if slow:
        print(f"longer than {BOUND_MS:.0f} ms: {', '.join(slow)}")
        sys.exit(1)


def _timed(snapshot: Snapshot, count: int, name: str) -> dict[str, float]:
    begun_s = time.perf_counter()
    filled(snapshot, count)
    print(f"{name}: {count} entries in {time.perf_counter() - begun_s:.0f} s", flush=True)
    return measured(snapshot)


if __name__ == "__main__":
    main()
