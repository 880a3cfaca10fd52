"""What is special about the embedded store: its file, and others at the same file."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from tests.storage.entries import entry


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
