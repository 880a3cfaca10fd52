"""One client's connection, as uvicorn's own but for three things: a client that takes nothing is not waited for, an
answer is written with less ado, and one that comes before its request has ended is not lost to a reset.

uvicorn 0.54 looks at each header with two regular expressions and writes head and body apart.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

import uvicorn
from starlette.types import Scope
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

# What may wait for a client before whoever writes to it is made to wait. The kernel's own buffer comes on top.
_HIGH_WATER_BYTES, _LOW_WATER_BYTES = 32 * 1024, 8 * 1024

# Up to here copying head and body together costs a few us, and is one write.
_MAX_JOINED_WRITE_BYTES = 64 * 1024

_CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])  # all but the tab
_NOT_IN_NAMES = bytes([*range(0x21), *b'()<>@,;:\\[]={}"', 0x7F])

SEND_NOW = "penstock.send_now"  # where the `send_now` of an answer stands in the ASGI scope of its request

UNREAD_S = 300.0

# How long the rest of a request is taken and thrown away that was answered before its end.
_LINGER_S = 2.0


class ServerConfig(uvicorn.Config):
    """uvicorn's, and how long a client may take nothing of what waits for it."""

    unread_s: float = UNREAD_S


class Answering(RequestResponseCycle):
    """The answer to one request, with uvicorn's rules. The head leaves with the first of the body, as ASGI has it."""

    _head = b""  # until it has left

    async def send(self, message: ASGISendEvent) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_complete:
            raise RuntimeError(f"Unexpected ASGI message {message['type']!r} sent, after response already completed.")
        if message["type"] == "http.response.start" and not self.response_started:
            self.response_started = True
            self.waiting_for_100_continue = False
            self._head = self._head_of(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body" and self.response_started:
            self._send_body(message.get("body", b""), more_body=message.get("more_body", False))
        else:
            raise RuntimeError(f"Unexpected ASGI message {message['type']!r}.")

    def send_now(self, data: bytes) -> bool:
        """Send a piece of a body that goes on, if its head has left and nothing waits for the client; else False.

        `send` is awaited, which needs a task that has been woken.
        """
        if self._head or self.flow.write_paused or self.disconnected or self.response_complete:
            return False
        if not self.chunked_encoding or not data:
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def _head_of(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Raises RuntimeError for a head that would not be one line per header."""
        names: list[bytes] = []
        lines: list[bytes] = []
        is_closed = False
        if self.more_body:
            # Answered before the request was read to its end, such as one without a key. Its sender may never send the
            # rest: HAProxy 2.6 then goes on with the next request, whose head would be taken for the missing body.
            self.keep_alive = False
        for each, value in (*self.default_headers, *headers):
            name = each.lower()
            if name == b"content-length" and self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"transfer-encoding" and value.lower() == b"chunked":
                self.expected_content_length = 0
                self.chunked_encoding = True
            elif name == b"connection" and b"close" in [token.strip() for token in value.lower().split(b",")]:
                self.keep_alive = False
                is_closed = True
            names.append(name)
            lines.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive and not is_closed:
            lines.append(b"connection: close\r\n")
        has_no_body = self.scope["method"] == "HEAD" or status in (204, 304)
        if self.chunked_encoding is None and not has_no_body:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        head = b"%b%b\r\n" % (STATUS_LINE[status], b"".join(lines))
        # The head is looked at once, as a whole: its only controls are the ends of the lines that were put there.
        all_names = b"".join(names)
        if len(all_names.translate(None, _NOT_IN_NAMES)) != len(all_names):
            raise RuntimeError("Invalid HTTP header name.")
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * (len(lines) + 2):
            raise RuntimeError("Invalid HTTP header value.")
        return head

    def _send_body(self, body: bytes, *, more_body: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            data = b""
        elif self.chunked_encoding:
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more_body:
                data += b"0\r\n\r\n"
        else:
            if len(body) > self.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            self.expected_content_length -= len(body)
            data = body
        self._write(data)
        if not more_body:
            if self.expected_content_length:
                raise RuntimeError("Response content shorter than Content-Length")
            self.response_complete = True
            self.message_event.set()
            cast("Scope", self.scope).pop(SEND_NOW, None)  # it leads back to here, in a circle
            if not self.keep_alive:
                if self.more_body:
                    _Lingering.on(self.transport)
                else:
                    self.transport.close()
            self.on_response()

    def _write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) > _MAX_JOINED_WRITE_BYTES:
                self.transport.write(head)
            else:
                data = head + data
        if data:
            self.transport.write(data)


class PatientConnection(HttpToolsProtocol):
    """Closed when none of what waits for the client has been taken for `unread_s`, while or after it is written.

    uvicorn waits for ever: for room in the buffer while an answer is written, and then for the buffer to empty.
    """

    _timer: asyncio.TimerHandle | None = None
    _unread_bytes = 0  # when they were last counted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES, low=_LOW_WATER_BYTES)

    def on_headers_complete(self) -> None:
        """uvicorn makes its own cycle in the midst of this; it is ours before its task has begun.

        A cycle is always made: no request is upgraded to a websocket (listen.py).
        """
        super().on_headers_complete()
        self.cycle.__class__ = Answering
        cast("Scope", self.scope)[SEND_NOW] = cast("Answering", self.cycle).send_now

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:  # also when the connection is lost
        super().resume_writing()
        self._cancel_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch_reader()

    def _watch_reader(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        if self._timer is None and unread_bytes:
            self._unread_bytes = unread_bytes
            self._timer = self.loop.call_later(cast("ServerConfig", self.config).unread_s, self._timer_rang)

    def _timer_rang(self) -> None:
        self._timer = None
        is_taken = self.transport.get_write_buffer_size() < self._unread_bytes
        if is_taken:
            self._watch_reader()
        elif self.flow.write_paused or self.cycle.response_complete:
            self.transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Lingering(asyncio.Protocol):
    """What follows an answer that came before its request had ended: the rest is thrown away, for a while.

    A connection that is closed with something unread is reset, and the reset may overtake the answer: nginx makes 502
    of it.
    """

    def __init__(self, connection: asyncio.Protocol, timer: asyncio.TimerHandle) -> None:
        self._connection = connection
        self._timer = timer

    @classmethod
    def on(cls, transport: asyncio.Transport) -> None:
        """Say that nothing more comes from here, and close when nothing more comes from there, or when that lasts."""
        connection = cast("asyncio.Protocol", transport.get_protocol())
        timer = asyncio.get_running_loop().call_later(_LINGER_S, transport.close)
        transport.set_protocol(cls(connection, timer))
        transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._connection.connection_lost(exc)
