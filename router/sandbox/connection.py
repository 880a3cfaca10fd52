"""The client's end of one HTTP exchange: writing to it, noticing that it has gone, and hanging up on it."""

import os
import socket
import struct
from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol, runtime_checkable

import anyio
from starlette.types import Receive, Send

from router.sandbox.json_text import encode
from router.sandbox.spoiling import Spoiling


@runtime_checkable
class _Transport(Protocol):
    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def is_closing(self) -> bool: ...
    def get_extra_info(self, name: str) -> object: ...


@runtime_checkable
class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


class Connection:
    """Writes go nowhere once the client has gone; they never raise for it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone = anyio.Event()
        self._spoiling = Spoiling()
        self._raw: _Transport | None = None  # set while the answer goes past the server, its framing being untrue

    def spoil(self, spoiling: Spoiling) -> None:
        """From now on what is written is treated so."""
        self._spoiling = spoiling

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up (or has been hung up on)."""
        return self._gone.is_set()

    async def watch(self) -> None:
        """Waits until the client has gone. The request body must have been read before."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def wait_until_gone(self) -> None:
        """Returns when the client has gone; needs `watch` running beside it."""
        await self._gone.wait()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the status line and headers of a stream."""
        promised = self._spoiling.promised_bytes(None)
        if promised is not None:
            self._start_raw(status, headers, promised)
            return
        await self._start(status, dict(headers) | self._spoiling.headers)

    async def write(self, data: bytes) -> None:
        """Sends a part of a stream."""
        if self.is_gone or not data:
            return
        for part in self._spoiling.parts(data):
            if self._raw is not None:
                _write(self._raw, part)
            else:
                await self._send({"type": "http.response.body", "body": part, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Sends the last part of a stream."""
        await self.write(data)
        if self._raw is not None:
            await self.drop()
        elif not self.is_gone:
            await self._send({"type": "http.response.body", "body": self._spoiling.last(), "more_body": False})

    async def respond(self, status: int, body: object, headers: Mapping[str, str]) -> None:
        """Sends a whole JSON response."""
        content = encode(body)
        fixed = {"content-type": "application/json"}
        promised = self._spoiling.promised_bytes(content)
        if promised is not None:
            _write(self._start_raw(status, fixed | dict(headers), promised), content)
            await self.drop()
            return
        await self.send_content(status, self._spoiling.whole(content), fixed | self._spoiling.headers | dict(headers))

    async def send_content(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        """Sends a whole response of any kind, as it is."""
        await self._start(status, dict(headers) | {"content-length": str(len(content))})
        if not self.is_gone:
            await self._send({"type": "http.response.body", "body": content, "more_body": False})

    async def drop(self) -> None:
        """Closes the connection under the client, mid-response or before it; what was written is still delivered."""
        self._transport().close()
        await self.wait_until_gone()

    async def reset(self) -> None:
        """Resets the connection (RST): the client loses even what it was sent and has not read."""
        transport = self._transport()
        connected = transport.get_extra_info("socket")
        assert isinstance(connected, _HasDescriptor)
        # Through a socket object of our own: the transport's is a stand-in that cannot do this under uvloop.
        with socket.socket(fileno=os.dup(connected.fileno())) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await self.wait_until_gone()

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    def _start_raw(self, status: int, headers: Mapping[str, str], content_length: int) -> _Transport:
        """The server would not let an untrue content-length pass, so this goes past it."""
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"content-length: {content_length}", "connection: close", "", ""]
        self._raw = self._transport()
        _write(self._raw, "\r\n".join(lines).encode("latin-1"))
        return self._raw

    def _transport(self) -> _Transport:
        """What the server writes to.

        ASGI has no message for what is done with it. Under uvicorn `send` is a method of the object that owns the
        transport, which is reached through it; anything that wraps `send` takes this away, hence the error.
        """
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if not isinstance(transport, _Transport):
            raise RuntimeError("to drop connections the sandbox must run directly under uvicorn, without middleware")
        return transport


def _write(transport: _Transport, data: bytes) -> None:
    """Past the server nobody keeps us from writing to a client that has gone, which uvloop takes amiss."""
    if not transport.is_closing():
        transport.write(data)
