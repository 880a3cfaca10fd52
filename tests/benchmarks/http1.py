"""Where an HTTP/1.1 message ends: just enough framing for the mock, the load generator and the bare relay.

Hand-written because a real parser's callbacks would cost more than the rest of these programs together. It trusts its
peers (all on loopback, no pipelining, no trailers) and is no example for code that faces clients.
"""

from __future__ import annotations

TAIL_BYTES = 256  # enough to hold `data: [DONE]` and the last-chunk marker, however the bytes were cut
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class MessageReader:
    """Follows one direction of a connection, message after message; bodies are neither kept nor decoded."""

    __slots__ = ("_is_chunked", "_missing_bytes", "_partial_head", "head", "tail")

    def __init__(self) -> None:
        self.head = b""  # start line and fields of the current message, empty until complete
        self.tail = b""  # its last body bytes as they came, at most TAIL_BYTES
        self._partial_head = b""
        self._is_chunked = False
        self._missing_bytes = 0

    def feed(self, data: bytes) -> bool:
        """True when `data` completes the message; call `reset` before the next one."""
        if not self.head:
            self._partial_head += data
            end = self._partial_head.find(b"\r\n\r\n") + 4
            if end < 4:
                return False
            self.head, data = self._partial_head[:end], self._partial_head[end:]
            self._begin_body()
        self.tail = data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self.tail + data)[-TAIL_BYTES:]
        if self._is_chunked:
            return self.tail.endswith(_LAST_CHUNK)
        self._missing_bytes -= len(data)
        return self._missing_bytes <= 0

    def reset(self) -> None:
        """Forgets the finished message."""
        self.head = self.tail = self._partial_head = b""

    def _begin_body(self) -> None:
        fields = self.head.lower()
        start = fields.find(b"\r\ncontent-length:")
        self._is_chunked = start < 0 and b"\r\ntransfer-encoding: chunked" in fields
        self._missing_bytes = 0 if start < 0 else int(fields[start + 17 : fields.index(b"\r\n", start + 2)])
        self.tail = b"\r\n"  # so that a body of nothing but the last chunk is recognised too
