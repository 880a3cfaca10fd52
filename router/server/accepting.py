"""Accepts the connections that wait at a socket, many in one turn of the event loop: `Acceptor`.

uvloop accepts one connection in each turn of its loop (libuv since 1.45). A loop that has much to do turns a few dozen
times a second: those who connect then wait for seconds, whoever asks for its health too, and when 4,096 wait the kernel
lets nobody else in. So whenever uvloop has accepted one, whoever waits behind it is accepted as well.
"""

import asyncio
import logging
import socket
from collections.abc import Callable

log = logging.getLogger("penstock.server")

_AT_ONCE = 256  # in one turn: some 30 ms of it


class Acceptor:
    """Of one listening socket, which does not block."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._is_due = False
        self._entering: set[asyncio.Task[object]] = set()

    def one_came(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """A connection was accepted: accept those behind it, soon. `protocol` makes the protocol of each."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._accept, protocol)

    def _accept(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody waits; or the server stops; or too many files are open, which uvloop tells
                self._is_due = False
                return
            connection.setblocking(False)
            entering = loop.create_task(self._enter(loop, protocol, connection))
            self._entering.add(entering)
            entering.add_done_callback(self._entering.discard)
        loop.call_soon(self._accept, protocol)

    async def _enter(
        self, loop: asyncio.AbstractEventLoop, protocol: Callable[[], asyncio.Protocol], connection: socket.socket
    ) -> None:
        try:
            await loop.connect_accepted_socket(protocol, connection)
        except OSError as error:  # it is gone again
            log.debug("a connection was lost as it came (%s)", error.strerror)
            connection.close()
