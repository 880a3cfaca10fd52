"""A gate of one process and one of many, each on a clock that the test moves."""

import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from router.assembly.with_redis import redis_client
from router.limits.functions import BudgetFunctions
from router.limits.gate import Gate
from router.limits.memory import MemoryGate
from router.limits.redis import RedisGate
from tests.limits.books import Books
from tests.limits.clock import MovableClock, SharedClock
from tests.limits.redis_server import RedisServer

Kind = Literal["memory", "redis"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    return chosen


@pytest.fixture(scope="session")
def clocked_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis whose time stands until a `SharedClock` moves it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that only this test has, not started yet, with the real time."""
    server = RedisServer(tmp_path)
    yield server
    server.close()


@pytest.fixture
def clock(kind: Kind, request: pytest.FixtureRequest) -> MovableClock:
    start = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    if kind == "memory":
        return MovableClock(start)
    return SharedClock(start, request.getfixturevalue("clocked_redis"))


@pytest.fixture
async def gate(kind: Kind, clock: MovableClock, request: pytest.FixtureRequest) -> AsyncIterator[Gate]:
    if kind == "memory":
        yield MemoryGate(now=clock.now, monotonic_s=clock.monotonic_s)
        return
    gate = RedisGate(
        BudgetFunctions(redis_client(request.getfixturevalue("clocked_redis").url), root=f"{{{secrets.token_hex(4)}}}"),
        Books(),
        quotas=(),
        monotonic_s=clock.monotonic_s,
        new_id=lambda: secrets.token_hex(8),
        process=secrets.token_hex(8),
        quarantine_s=0,
    )
    await gate.beat()
    yield gate
    await gate.aclose()
