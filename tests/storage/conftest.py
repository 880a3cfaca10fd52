"""A store in a file of the test's own."""

from pathlib import Path

import pytest

from router.storage.sqlite import SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "penstock.sqlite"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    return SqliteStore(path)
