"""A TCP server on loopback that does exactly what a script says, byte by byte, right or wrong."""

import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from router.upstream.transport import Origin


class Peer:
    """One accepted connection, from the server's side. It is closed when the script returns."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._raw = stream.extra(SocketAttribute.raw_socket)
        self._received = b""

    async def request(self) -> bytes:
        """The next request, head and body, as it came; b"" if the client has closed."""
        while b"\r\n\r\n" not in self._received:
            if not await self._receive():
                return b""
        head, _, _ = self._received.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        end = len(head) + 4 + length
        while len(self._received) < end:
            if not await self._receive():
                return b""
        request, self._received = self._received[:end], self._received[end:]
        return request

    async def send(self, *pieces: bytes) -> None:
        """Writes each piece alone and lets the client's side of the loop see it before the next."""
        for piece in pieces:
            await self._stream.send(piece)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()

    async def until_closed(self) -> None:
        """Returns when the client has closed its side."""
        while await self._receive():
            pass

    def reset(self) -> None:
        """Makes the end of the connection a RST rather than a FIN."""
        with self._same_socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def hang_up(self, last_words: bytes = b"") -> None:
        """Sends `last_words` and a FIN this instant, without giving the loop a chance to notice."""
        with self._same_socket() as raw:
            raw.send(last_words)
            raw.shutdown(socket.SHUT_RDWR)

    def _same_socket(self) -> socket.socket:
        """A second descriptor, for uvloop's own socket object refuses most calls."""
        return socket.socket(fileno=os.dup(self._raw.fileno()))

    async def _receive(self) -> bool:
        try:
            self._received += await self._stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
        return True


DEADLINE_S = 20.0  # for all a test does with one server; never reached unless it fails

Script = Callable[[Peer], Awaitable[None]]


class FaultyServer:
    """Where the server listens and how many connections it was asked for."""

    def __init__(self, script: Script, port: int, *, is_tls: bool) -> None:
        scheme, host = ("https", "localhost") if is_tls else ("http", "127.0.0.1")
        self.origin = Origin(scheme, host, port, is_private=True)
        self.connections = 0
        self._script = script

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        # OSError: an option set on a socket that the client has already closed.
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
            async with stream:
                await self._script(Peer(stream))


@asynccontextmanager
async def faulty_server(script: Script, *, ssl_context: ssl.SSLContext | None = None) -> AsyncIterator[FaultyServer]:
    """Runs `script` for every connection. What a script raises fails the test, and so does waiting in vain."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server = FaultyServer(script, listener.extra(SocketAttribute.local_port), is_tls=ssl_context is not None)
    with anyio.fail_after(DEADLINE_S):
        async with listener, anyio.create_task_group() as tasks:
            if ssl_context is None:
                tasks.start_soon(listener.serve, server.serve)
            else:
                tasks.start_soon(TLSListener(listener, ssl_context, standard_compatible=False).serve, server.serve)
            yield server
            tasks.cancel_scope.cancel()


def answer(body: bytes = b"ok", *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """A well-formed answer with a Content-Length."""
    return b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(body), body)


def chunked(*pieces: bytes) -> bytes:
    """`pieces` in chunked transfer coding, with the last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
