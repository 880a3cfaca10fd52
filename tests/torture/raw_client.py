"""A client that sends bytes as they are, and reads HTTP/1.1 answers strictly: `RawClient`."""

import socket
import time
from dataclasses import dataclass

from tests.server.openapi import Answer

PATIENCE_S = 20.0
_READ_BYTES = 256 * 1024
_MOST_HEAD_BYTES = 64 * 1024


class Cut(Exception):
    """The connection ended where an answer should have come, or gone on."""


class NoAnswer(Exception):
    """Nothing came for as long as we wait."""


class NoHttp(Exception):
    """What came is no answer of HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Timed:
    answer: Answer
    took_s: float  # from when all was sent to when all had come
    stays_open: bool


class RawClient:
    """One connection at a time to one port; a new one whenever the last was closed."""

    def __init__(self, port: int, *, patience_s: float = PATIENCE_S) -> None:
        self._port = port
        self._patience_s = patience_s
        self._socket: socket.socket | None = None
        self._received = b""
        self.connections = 0

    def ask(self, request: bytes, *, is_head: bool = False) -> Timed:
        """The answer to one request. Raises Cut, NoAnswer, NoHttp; then the next request has a new connection.

        A connection that was closed while it was idle is none of its faults: the request is sent over another.
        """
        was_open = self._socket is not None
        try:
            return self._asked(request, is_head=is_head)
        except Cut:
            if not was_open or self._received:
                raise
            return self._asked(request, is_head=is_head)

    def send(self, data: bytes) -> None:
        """No more than that. Raises Cut if nobody takes it."""
        try:
            self._open().sendall(data)
        except OSError as error:
            self.close()
            raise Cut(str(error)) from error

    def read(self, *, is_head: bool = False) -> Answer:
        """The next answer; informational ones are skipped. Raises as `ask`."""
        return self._read(is_head=is_head)[0]

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._received = None, b""

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._patience_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._received = b""
            self.connections += 1
        return self._socket

    def _asked(self, request: bytes, *, is_head: bool) -> Timed:
        try:
            self._open().sendall(request)
        except TimeoutError:
            self.close()
            raise NoAnswer("nobody takes the request") from None
        except OSError:
            pass  # answered before its end, perhaps: then the answer is there to be read
        began_s = time.monotonic()
        answer, stays_open = self._read(is_head=is_head)
        return Timed(answer, time.monotonic() - began_s, stays_open)

    def _read(self, *, is_head: bool) -> tuple[Answer, bool]:
        try:
            status, headers = self._head()
            while 100 <= status < 200:
                status, headers = self._head()
            fields = dict(headers)
            body = b"" if is_head or status in (204, 304) else self._body(fields)
        except (Cut, NoAnswer, NoHttp):
            self.close()
            raise
        stays_open = "close" not in fields.get("connection", "")
        if not stays_open:
            self.close()
        return Answer(status, headers, body), stays_open

    def _head(self) -> tuple[int, list[tuple[str, str]]]:
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            if len(self._received) > _MOST_HEAD_BYTES:
                raise NoHttp(repr(self._received[:100]))
            self._more()
        first, *lines = self._received[:end].decode("latin-1").split("\r\n")
        self._received = self._received[end + 4 :]
        version, _, rest = first.partition(" ")
        status = rest[:3]
        if version != "HTTP/1.1" or not (status.isascii() and status.isdigit()):
            raise NoHttp(repr(first[:100]))
        headers: list[tuple[str, str]] = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or any(each < " " for each in value):
                raise NoHttp(repr(line[:100]))
            headers.append((name.lower(), value.strip()))
        return int(status), headers

    def _body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding") == "chunked":
            return self._chunked()
        if "content-length" in fields:
            return self._exactly(int(fields["content-length"]))
        parts = [self._received]
        try:
            while True:
                self._received = b""
                self._more()
                parts.append(self._received)
        except Cut:
            return b"".join(parts)

    def _chunked(self) -> bytes:
        parts: list[bytes] = []
        while True:
            while (end := self._received.find(b"\r\n")) < 0:
                self._more()
            line, self._received = self._received[:end], self._received[end + 2 :]
            try:
                size = int(line, 16)
            except ValueError:
                raise NoHttp(f"no chunk begins with {line[:60]!r}") from None
            chunk = self._exactly(size + 2)
            if not chunk.endswith(b"\r\n"):
                raise NoHttp(f"no chunk ends with {chunk[-20:]!r}")
            if not size:
                return b"".join(parts)
            parts.append(chunk[:-2])

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._more()
        data, self._received = self._received[:size], self._received[size:]
        return data

    def _more(self) -> None:
        if self._socket is None:
            raise Cut("the connection is closed")
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            raise NoAnswer(f"nothing for {self._patience_s:g} s") from None
        except OSError as error:
            raise Cut(str(error)) from error
        if not data:
            raise Cut("closed")
        self._received += data
