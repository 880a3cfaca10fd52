"""A few connections to PostgreSQL, shared by threads, none of which waits for ever: `ConnectionPool`.

Limits on waiting stand on both sides. The server gives up a statement after the caller's patience; a server that has
fallen silent cannot, so a little later the socket is shut down on our side. psycopg itself waits without limit.
"""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus

from router.keys import Secret
from router.storage.errors import StoreUnavailable

_CONNECT_S = 2  # to reach the server and log in; libpq knows whole seconds, and no fewer than two
_UNACKNOWLEDGED_MS = 5_000  # after that without an acknowledgement of what was sent, TCP takes the peer for lost
_GRACE_S = 2.0  # how much later than the server we give up


class ConnectionPool:
    """At most `size` connections, opened when they are needed. They may not be carried into a forked process."""

    def __init__(self, conninfo: Secret, *, size: int) -> None:
        self._conninfo = conninfo
        self._room = threading.Semaphore(size)
        self._guard = threading.Lock()  # of what follows
        self._idle: list[psycopg.Connection] = []  # the one used last is used first, so that the rest may rest
        self._is_closed = False

    @contextmanager
    def transaction(self, *, patience_s: float) -> Iterator[psycopg.Connection]:
        """A connection within a transaction that is committed at the end, or rolled back by an error.

        Raises StoreUnavailable if every connection stays in use for `patience_s`; otherwise psycopg's errors.
        """
        if not self._room.acquire(timeout=patience_s):
            raise StoreUnavailable(f"All connections to PostgreSQL were in use for {patience_s:g} s.")
        try:
            connection = self._live() or self._connected()
            try:
                with _shut_down_after(connection, patience_s + _GRACE_S), connection.transaction():
                    connection.execute(
                        "SELECT set_config('statement_timeout', %s, true)", (str(round(patience_s * 1000)),)
                    )
                    yield connection
            finally:
                self._keep(connection)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close what is idle now, and the rest when it is given back."""
        with self._guard:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _live(self) -> psycopg.Connection | None:
        """An idle connection that the server has not ended meanwhile, or None."""
        while True:
            with self._guard:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not _has_been_ended(connection):
                return connection
            connection.close()

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(
            self._conninfo.reveal(),
            autocommit=True,
            connect_timeout=_CONNECT_S,
            tcp_user_timeout=_UNACKNOWLEDGED_MS,
            fallback_application_name="penstock",
        )

    def _keep(self, connection: psycopg.Connection) -> None:
        is_usable = connection.info.transaction_status is TransactionStatus.IDLE
        with self._guard:
            if is_usable and not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()


def _has_been_ended(connection: psycopg.Connection) -> bool:
    """Whether the server has sent anything unasked for: its farewell, the end of the stream, or a changed setting."""
    poll = select.poll()  # `select` itself fails for a descriptor beyond 1,023, of which a busy process has many
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def _shut_down_after(connection: psycopg.Connection, patience_s: float) -> Iterator[None]:
    """Shut the connection's socket down if the block takes longer, whereupon psycopg raises OperationalError."""
    # A descriptor of our own: the connection's may be closed, and its number given to another file, at any moment.
    with socket.socket(fileno=os.dup(connection.fileno())) as twin:
        timer = threading.Timer(patience_s, _shut_down, (twin,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut_down(connected: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        connected.shutdown(socket.SHUT_RDWR)
