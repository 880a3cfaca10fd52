"""A gate of one process, on a clock that the test moves."""

from datetime import UTC, datetime

import pytest

from router.limits.memory import MemoryGate
from tests.limits.clock import MovableClock


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC))


@pytest.fixture
def gate(clock: MovableClock) -> MemoryGate:
    return MemoryGate(now=clock.now, monotonic_s=clock.monotonic_s)
