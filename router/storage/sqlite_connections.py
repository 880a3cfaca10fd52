"""Connections to one SQLite file, kept open between calls and shared by threads: `SqliteConnections`."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_BUSY_S = 10.0  # how long a writer waits for another process's transaction
_MOST_IDLE = 2  # the ledger's writer and one more; each may hold 2 MB of pages, and others are rare


@dataclass(frozen=True, slots=True)
class _Open:
    connection: sqlite3.Connection
    file: tuple[int, int] | None  # device and inode at the path when it was opened; None: there was none yet


class SqliteConnections:
    """Opened when they are needed. They may not be carried into a forked process.

    Opening one reads the schema, and closing the last one copies all of the WAL into the file and waits for the disk.
    Together that was half of what a batch of 70 entries cost.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()  # of what follows
        self._idle: list[_Open] = []  # the one used last is used first
        self._is_closed = False

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for the caller alone, outside of any transaction. An error closes it, which rolls back."""
        its = self._idle_one() or self._opened()
        with ExitStack() as undo:
            undo.callback(its.connection.close)
            yield its.connection
            undo.pop_all()
        self._keep(its)

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        with self._guard:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for each in idle:
            each.connection.close()

    def _idle_one(self) -> _Open | None:
        """A connection to the file that is at the path now: one that was removed would swallow what is written."""
        file = self._file()
        while True:
            with self._guard:
                if not self._idle:
                    return None
                its = self._idle.pop()
            if file is not None and its.file == file:
                return its
            its.connection.close()

    def _opened(self) -> _Open:
        # Used by one thread at a time, but not always by the same.
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        with ExitStack() as undo:
            undo.callback(connection.close)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            undo.pop_all()
        return _Open(connection, self._file())

    def _keep(self, its: _Open) -> None:
        with self._guard:
            if len(self._idle) < _MOST_IDLE and not self._is_closed:
                self._idle.append(its)
                return
        its.connection.close()

    def _file(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino
