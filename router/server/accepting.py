"""Accepts the connections that wait at a socket, many in one turn of the event loop: `Acceptor`.

uvloop accepts one connection in each turn of its loop (libuv since 1.45). A loop that has much to do turns a few dozen
times a second: those who connect then wait for seconds, whoever asks for its health too, and when 4,096 wait the kernel
lets nobody else in. So whenever uvloop has accepted one, whoever waits behind it is accepted as well.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sized

log = logging.getLogger("penstock.server")

_AT_ONCE = 256  # in one turn: some 30 ms of it
# Where there is no room for so many: each of them takes the place of another, or is told that there is none.
_LEAST_AT_ONCE = 16


class Acceptor:
    """Of one listening socket, which does not block."""

    def __init__(self, listener: socket.socket, *, most: int) -> None:
        """`most` is how many connections there may be."""
        self._listener = listener
        self._most = most
        self._is_due = False
        self._entering: set[asyncio.Task[object]] = set()

    def one_came(self, protocol: Callable[[], asyncio.Protocol], connections: Sized) -> None:
        """A connection was accepted: accept those behind it, soon. `protocol` makes the protocol of each, `connections`
        are those that there are."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._accept, protocol, connections)

    def _accept(self, protocol: Callable[[], asyncio.Protocol], connections: Sized) -> None:
        loop = asyncio.get_running_loop()
        # Those that are entering are counted by nobody else, and they are files already.
        room = self._most - len(connections) - len(self._entering)
        for _ in range(min(max(room, _LEAST_AT_ONCE), _AT_ONCE)):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody waits; or the server stops; or too many files are open, which uvloop tells
                self._is_due = False
                return
            connection.setblocking(False)
            entering = loop.create_task(self._enter(loop, protocol, connection))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)
        loop.call_soon(self._accept, protocol, connections)

    async def _enter(
        self, loop: asyncio.AbstractEventLoop, protocol: Callable[[], asyncio.Protocol], connection: socket.socket
    ) -> None:
        try:
            await loop.connect_accepted_socket(protocol, connection)
        except OSError as error:  # it is gone again
            log.debug("a connection was lost as it came (%s)", error.strerror)
            connection.close()
