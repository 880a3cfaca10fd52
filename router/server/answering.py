"""The answer to one request as it goes out: `Answering`, uvicorn's own cycle but that it is written with less ado, and
that one which comes before its request has ended is not lost to a reset (`Lingering`).

uvicorn 0.54 looks at each header with two regular expressions and writes head and body apart.
"""

import asyncio
from collections.abc import Iterable
from typing import cast

from starlette.types import Scope
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

# Up to here copying head and body together costs a few us, and is one write.
_MAX_JOINED_WRITE_BYTES = 64 * 1024

_CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])  # all but the tab
_NOT_IN_NAMES = bytes([*range(0x21), *b'()<>@,;:\\[]={}"', 0x7F])

SEND_NOW = "penstock.send_now"  # where the `send_now` of an answer stands in the ASGI scope of its request

# How long, and how much of, what follows is taken and thrown away: the rest of a request that was answered before its
# end. Twice the longest body that is taken unless configured otherwise: who is told that his is too long has mostly
# sent all of it by then.
_LINGER_S = 2.0
_LINGER_BYTES = 64 * 1024 * 1024


class Answering(RequestResponseCycle):
    """The answer to one request, with uvicorn's rules. The head leaves with the first of the body, as ASGI has it."""

    _head = b""  # until it has left

    async def receive(self) -> ASGIReceiveEvent:
        """uvicorn's, but that nothing is asked of a transport that is closing and has not said so: uvloop's raise."""
        if self.transport.is_closing():
            self.disconnected = True
        if self.waiting_for_100_continue and not self.disconnected:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

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
        if not self.chunked_encoding or not data or self.transport.is_closing():
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def hung_up(self) -> None:
        """The client is gone."""
        self.disconnected = True
        self.message_event.set()
        self._break_circle()

    def _break_circle(self) -> None:
        cast("Scope", self.scope).pop(SEND_NOW, None)  # it leads back to here

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
            self._break_circle()
            if not self.keep_alive:
                if self.more_body and not self.transport.is_closing():
                    Lingering.on(self.transport)
                else:
                    self.transport.close()
            self.on_response()

    def _write(self, data: bytes) -> None:
        if self.transport.is_closing():  # for what came behind the request: uvloop's then raise
            return
        if self._head:
            head, self._head = self._head, b""
            if len(data) > _MAX_JOINED_WRITE_BYTES:
                self.transport.write(head)
            else:
                data = head + data
        if data:
            self.transport.write(data)


class Lingering(asyncio.Protocol):
    """What follows an answer that came before its request had ended: the rest is thrown away, for a while.

    A connection that is closed with something unread is reset, and the reset may overtake the answer: nginx makes 502
    of it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._connection = cast("asyncio.Protocol", transport.get_protocol())
        self._timer = asyncio.get_running_loop().call_later(_LINGER_S, transport.close)
        self._left_bytes = _LINGER_BYTES

    @classmethod
    def on(cls, transport: asyncio.Transport) -> None:
        """Say that nothing more comes from here, and close when nothing more comes from there, or when that lasts."""
        transport.set_protocol(cls(transport))
        transport.write_eof()
        if not transport.is_reading():
            transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._connection.connection_lost(exc)
