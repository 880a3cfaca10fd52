"""Migrations: from nothing, again, at the same time, and from the future."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from router.storage.errors import StoreTooNew
from router.storage.schema import MIGRATIONS, migrate
from router.storage.sqlite import SqliteStore
from tests.storage.entries import entry


def described(path: Path) -> tuple[int, list[str]]:
    """The version of a file and the statements that made its tables."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master ORDER BY name")]


def test_an_empty_file_is_brought_to_the_newest_version(path: Path) -> None:
    SqliteStore(path)

    version, tables = described(path)

    assert version == len(MIGRATIONS)
    assert len(tables) > 3


def test_opening_a_store_again_changes_nothing_and_keeps_what_is_in_it(path: Path) -> None:
    SqliteStore(path).write([entry()])
    before = described(path)

    again = SqliteStore(path)

    assert described(path) == before
    assert len(again.latest(10)) == 1


def test_a_new_file_may_be_opened_by_several_at_the_same_time(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: SqliteStore(path), range(8)))

    for number, store in enumerate(stores):
        store.write([entry(f"req_{number}")])
    assert len(stores[0].latest(100)) == 8


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SqliteStore(path)
    before = described(path)
    broken = (*MIGRATIONS, "CREATE TABLE later (id INTEGER) STRICT; CREATE TABLE entries (id INTEGER) STRICT;")
    monkeypatch.setattr("router.storage.schema.MIGRATIONS", broken)

    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        pytest.raises(sqlite3.OperationalError, match="already exists"),
    ):
        migrate(connection)

    assert described(path) == before


def test_a_file_of_a_newer_penstock_is_refused_with_the_reason(path: Path) -> None:
    SqliteStore(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")

    with pytest.raises(StoreTooNew, match=r"schema version 99 .* knows versions up to 1"):
        SqliteStore(path)


def test_only_its_owner_may_read_the_store(path: Path) -> None:
    SqliteStore(path).write([entry()])

    assert path.stat().st_mode & 0o777 == 0o600
