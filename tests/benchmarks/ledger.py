"""How long each store takes over a large ledger: `python -m tests.benchmarks.ledger [--entries 1000000]`."""

import argparse
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from router.keys import KeyId, Secret
from router.ledger import LedgerEntry
from router.storage.postgres import PostgresStore
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from router.units import CostSource
from tests.replacing import replace
from tests.storage.entries import AT, FLASH, GPT, attempt, entry
from tests.storage.postgres_server import programs, running_server

_BATCH = 500
_SPACING = timedelta(seconds=2)
_ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    count = parser.parse_args().entries
    with TemporaryDirectory() as directory:
        measure("SQLite", SqliteStore(Path(directory) / "ledger.sqlite"), count)
    found = programs()
    if found is None:
        print("PostgreSQL is not installed")
        return
    with ExitStack() as stack:
        server = stack.enter_context(running_server(found))
        store = PostgresStore(Secret(stack.enter_context(server.new_schema())))
        stack.callback(store.close)
        measure("PostgreSQL", store, count)


def measure(name: str, store: Store, count: int) -> None:
    start_s = time.perf_counter()
    for batch in batches(count):
        store.write(batch)
    took_s = time.perf_counter() - start_s
    print(f"{name}: {count} entries written at {count / took_s:,.0f}/s in batches of {_BATCH}")
    middle = AT + count // 2 * _SPACING
    questions: dict[str, Callable[[], object]] = {
        "spend by team, model": lambda: store.spend(("team", "model"), None),
        "spend by team, model of the later half": lambda: store.spend(("team", "model"), middle),
        "spend by team, model, day, source": lambda: store.spend(("team", "model", "day", "source"), None),
        "spend by key": lambda: store.spend(("key",), None),
        "spend by tag": lambda: store.spend(("tag",), None),
        "spent since the beginning": lambda: store.spent_since(AT),
        "spent since the last hour": lambda: store.spent_since(AT + count * _SPACING - timedelta(hours=1)),
        "latest 50": lambda: store.latest(50),
        "doubtful, 100 of them": lambda: store.doubtful(since=AT, before=middle, after=None, limit=100),
    }
    for question, ask in questions.items():
        print(f"  {question:<40} {min(timed(ask) for _ in range(_ROUNDS)):7.3f} s (best of {_ROUNDS})", flush=True)


def timed(ask: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    ask()
    return time.perf_counter() - start_s


def batches(count: int) -> Iterator[list[LedgerEntry]]:
    """One request in ten falls back, one in a thousand is in doubt, one in three has tags, as seeded."""
    chance = random.Random(20261123)
    models = [FLASH, GPT, FLASH]
    profile = b'{"input_tokens":980,"modalities":["text"],"task":"code","difficulty":0.4}' * 5
    for start in range(0, count, _BATCH):
        batch = []
        for number in range(start, min(start + _BATCH, count)):
            source = CostSource.HELD if chance.random() < 0.001 else CostSource.REPORTED
            answer = attempt(model=chance.choice(models), cost_nano_usd=chance.randrange(10**6), source=source)
            failed = (attempt(model=GPT, outcome="upstream_503", usage=None, cost_nano_usd=0),)
            made = entry(
                f"req_{chance.getrandbits(96):024x}",
                *(failed if chance.random() < 0.1 else ()),
                answer,
                at=AT + number * _SPACING,
                team=f"team-{chance.randrange(20)}",
                tags=(f"app=app-{chance.randrange(30)}", "env=prod") if chance.random() < 0.33 else (),
            )
            batch.append(replace(made, key_id=KeyId(f"{chance.randrange(100):016x}"), profile_json=profile))
        yield batch


if __name__ == "__main__":
    main()
