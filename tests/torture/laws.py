"""f: tens of thousands of drawn steps on a gate and a real ledger behind it, each compared with a small model.

The machine and the model are those of tests/limits/gate_machine.py. SQLite: the gate in memory before a SQLite file.
Shared: two gates, as of two processes, in one Redis before one PostgreSQL.
"""

import asyncio
import logging
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from itertools import count

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.limits.books import StoredBooks
from tests.limits.gate_machine import GateAgainstModel, ManyProcesses, OneProcess, World
from tests.limits.redis_server import RedisServer
from tests.storage import places
from tests.storage.postgres_server import programs, running_server
from tests.torture.result import Result, at_least, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "laws of gate and ledger, by a state machine"

_LIVES_PER_ROUND = 100
_STEPS_PER_LIFE = 50

NewWorld = Callable[[], AbstractContextManager[World]]


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    required, steps = setting.scaled(50_000, 2_000), Counter[str]()
    with ExitStack() as opened:
        new_world = opened.enter_context(_in_memory(setting) if setting.stores == "sqlite" else _in_redis(setting))
        with _silence():
            violations = await asyncio.to_thread(_violations, setting, new_world, steps, required)
    figures = (
        told("pair", "memory, SQLite" if setting.stores == "sqlite" else "Redis, PostgreSQL"),
        at_least("steps, each followed by the comparison", steps.total(), required),
        *(told(f"  {name}", number) for name, number in sorted(steps.items())),
        none("violations", violations),
    )
    return Result("f", TITLE, command, figures, time.monotonic() - started_s)


def _violations(setting: Setting, new_world: NewWorld, steps: Counter[str], required: int) -> int:
    """Rounds with a seed of their own, until there were enough steps; 1 if one of them has ended in a violation."""
    for number in count():
        if steps.total() >= required:
            return 0
        try:
            _play(setting.seed + number, new_world, steps)
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            sys.stderr.write(traceback.format_exc())
            return 1
    raise AssertionError("counting never ends")


def _play(round_seed: int, new_world: NewWorld, steps: Counter[str]) -> None:
    @seed(round_seed)
    class Machine(GateAgainstModel):
        def __init__(self) -> None:
            super().__init__(new_world(), steps)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=_LIVES_PER_ROUND,
            stateful_step_count=_STEPS_PER_LIFE,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=tuple(HealthCheck),
        ),
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Gates warn of every state that they have lost."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@contextmanager
def _in_memory(setting: Setting) -> Iterator[NewWorld]:
    """Worlds of the gate in memory, each with the same SQLite file, emptied."""
    place = str(setting.directory / "ledger.sqlite")
    with places.opened(place) as store:

        def new_world() -> AbstractContextManager[World]:
            places.run(place, "DELETE FROM attempts", "DELETE FROM entries")
            return closing(OneProcess(StoredBooks(store)))

        yield new_world


@contextmanager
def _in_redis(setting: Setting) -> Iterator[NewWorld]:
    """Worlds of two gates in one Redis, each with the same PostgreSQL database, emptied."""
    found = programs()
    if found is None or (shutil.which("redis-server") or shutil.which("valkey-server")) is None:
        raise CannotRun("redis-server or PostgreSQL is not installed (Debian: redis-server, postgresql)")
    with closing(RedisServer(setting.directory)) as redis, running_server(found) as server:
        redis.start()
        with server.new_schema() as place, places.opened(place) as store:

            def new_world() -> AbstractContextManager[World]:
                places.run(place, "TRUNCATE attempts, entries")
                redis.wipe()
                return closing(ManyProcesses(redis, StoredBooks(store)))

            yield new_world
