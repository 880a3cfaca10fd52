"""What is special about the embedded store: its file, and others at the same file."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from router.storage.sqlite_connections import SqliteConnections
from tests.storage.entries import entry


def descriptors(path: Path) -> int:
    """How many of this process's descriptors are of the file."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            found += os.readlink(each) == str(path)
        except FileNotFoundError:  # the one that the directory was read by
            continue
    return found


def test_a_reader_is_not_kept_waiting_by_a_writer(store: SqliteStore, path: Path) -> None:
    store.write([entry("req_1")])
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")

        assert len(store.latest(10)) == 1


def test_a_file_that_is_no_store_is_reported_with_its_name(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is not a database, however long it may be" * 100, encoding="utf-8")

    with pytest.raises(StoreUnavailable, match=r"penstock\.sqlite cannot be used: file is not a database"):
        SqliteStore(path)


def test_a_store_whose_file_is_lost_says_so_at_the_next_use(store: SqliteStore, path: Path) -> None:
    path.unlink()
    path.mkdir()

    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        store.write([entry()])
    with pytest.raises(StoreUnavailable):
        store.all()


def test_a_store_whose_file_is_removed_writes_nothing_into_what_nobody_can_find(store: SqliteStore, path: Path) -> None:
    store.write([entry("req_1")])
    path.unlink()

    with pytest.raises(StoreUnavailable, match="no such table"):
        store.write([entry("req_2")])


def test_the_file_stays_open_between_calls_until_the_store_is_closed(store: SqliteStore, path: Path) -> None:
    store.write([entry()])
    assert descriptors(path) == 1
    assert store.latest(1)
    assert descriptors(path) == 1

    store.close()

    assert descriptors(path) == 0
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # the WAL has been copied into it


def test_who_asks_for_a_connection_has_it_alone_and_few_are_kept(path: Path) -> None:
    SqliteStore(path).close()
    connections, all_have_one = SqliteConnections(path), Barrier(8)

    def use() -> int:
        with connections.connection() as connection:
            all_have_one.wait(20)
            return id(connection)

    with ThreadPoolExecutor(8) as threads:
        used = [each.result() for each in [threads.submit(use) for _ in range(8)]]

    assert len(set(used)) == 8
    assert len(connections._idle) == 2
    connections.close()
    assert descriptors(path) == 0


def test_a_connection_given_back_after_the_store_was_closed_is_closed(path: Path) -> None:
    SqliteStore(path).close()
    connections = SqliteConnections(path)

    with connections.connection():
        connections.close()

    assert descriptors(path) == 0


def test_an_error_rolls_back_and_leaves_the_file_to_others(store: SqliteStore, path: Path) -> None:
    connections = SqliteConnections(path)

    def drop(*tables: str) -> None:
        with connections.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in tables:
                connection.execute(f"DROP TABLE {table}")

    with pytest.raises(sqlite3.OperationalError, match="no such table: none_such"):
        drop("keys", "none_such")

    assert store.all() == []
    store.write([entry()])
    connections.close()
