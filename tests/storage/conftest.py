"""Stores of the test's own: a SQLite file, a schema on a PostgreSQL server of this session, or each in turn."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from tests.storage.places import Places, new_file, opened
from tests.storage.postgres_server import PostgresServer, programs, running_server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "penstock.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(path)) as store:
        yield store


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    found = programs()
    if found is None:
        reason = "PostgreSQL is not installed (Debian: postgresql)"
        if os.environ.get("CI") == "true":  # noqa: TID251 - of the tests, not of the package
            pytest.fail(reason)
        pytest.skip(reason)
    with running_server(found) as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def places(request: pytest.FixtureRequest) -> Places:
    """Makes empty places for a store; whatever uses it runs once for each kind of store."""
    if request.param == "sqlite":
        return new_file
    server = request.getfixturevalue("postgres_server")
    assert isinstance(server, PostgresServer)
    return server.new_schema


@pytest.fixture
def place(places: Places) -> Iterator[str]:
    with places() as place:
        yield place


@pytest.fixture
def any_store(place: str) -> Iterator[Store]:
    """An empty store of each kind in turn."""
    with opened(place) as store:
        yield store
