"""What the server's rooms are tested on: a real store and a clock that stands still."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from router.storage.sqlite import SqliteStore

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "penstock.sqlite")
