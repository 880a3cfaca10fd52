"""What may happen to the bytes of an answer between its author and the wire: packed, cut, padded, garbled."""

import zlib
from collections.abc import Iterator

from router.sandbox.faults import Fault, Spoil

_SPOILT_EVENT = 3
"""Which event of a stream it happens to: not the first, so that the client has believed it already."""
_NOISE = b"retry: 10\n\nid: 7\n\nevent: noise\n\nnonsense without a colon\n\n: \n\n"
_HALF_A_CHUNK = b'data: {"id":"gen-1","choices":[{"index":0,"del\n\n'
_SPACES = b"\n         " * 5
"""What OpenRouter sends to keep the connection of a long whole answer alive; JSON parsers skip it."""
_PROMISED_BYTES = {Spoil.LENGTH_TOO_LONG: 10_000_000, Spoil.LENGTH_TOO_SHORT: 400}
"""The content-length of a stream."""


class Spoiling:
    """How one answer is treated. Without a spoil everything passes as it is."""

    def __init__(self, fault: Fault | None = None) -> None:
        self._spoil = None if fault is None else fault.spoils
        self._padding_bytes = 0 if fault is None or self._spoil is not Spoil.LONG_LINE else fault.number
        self._events = 0
        self._packer = zlib.compressobj(wbits=31) if self._spoil is Spoil.GZIP else None

    @property
    def headers(self) -> dict[str, str]:
        """Headers this adds."""
        return {"content-encoding": "gzip"} if self._spoil in (Spoil.GZIP, Spoil.BAD_GZIP) else {}

    def promised_bytes(self, content: bytes | None) -> int | None:
        """The untrue content-length of a body, or of a stream (None); None if no lie is to be told."""
        if self._spoil not in _PROMISED_BYTES:
            return None
        if content is None:
            return _PROMISED_BYTES[self._spoil]
        return len(content) + 100 if self._spoil is Spoil.LENGTH_TOO_LONG else len(content) // 2

    def parts(self, data: bytes) -> Iterator[bytes]:
        """What is written in place of the next part of a stream, one write each."""
        is_event = data.startswith((b"data: {", b"event: "))
        self._events += is_event
        is_its_turn = self._events == _SPOILT_EVENT and is_event
        match self._spoil:
            case Spoil.GZIP if self._packer is not None:
                yield self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
            case Spoil.CRLF:
                yield data.replace(b"\n", b"\r\n")
            case Spoil.ONE_BYTE_WRITES:
                yield from (data[position : position + 1] for position in range(len(data)))
            case Spoil.FOREIGN_FIELDS if is_its_turn:
                yield _NOISE + data
            case Spoil.BAD_CHUNK if is_its_turn:
                yield _HALF_A_CHUNK + data
            case Spoil.LONG_LINE if is_its_turn:
                yield data.rstrip(b"\n}") + _closing(data) + b',"padding":"' + b"x" * self._padding_bytes + b'"}\n\n'
            case Spoil.BAD_UTF8 if is_its_turn:
                yield _garbled(data)
            case _:
                yield data

    def last(self) -> bytes:
        """What has to follow the last part of a stream."""
        return b"" if self._packer is None else self._packer.flush()

    def whole(self, content: bytes) -> bytes:
        """What is sent in place of a whole body."""
        match self._spoil:
            case Spoil.GZIP if self._packer is not None:
                return self._packer.compress(content) + self._packer.flush()
            case Spoil.WHITESPACE:
                return _SPACES + content
            case Spoil.LONG_LINE:
                return b" " * self._padding_bytes + content
            case Spoil.BAD_CHUNK:
                return content[: len(content) // 2]
            case Spoil.BAD_UTF8:
                return _garbled(content)
        return content


def _closing(event: bytes) -> bytes:
    """The braces of an event's end but the last one."""
    stripped = event.rstrip(b"\n")
    return stripped[len(stripped.rstrip(b"}")) : -1]


def _garbled(data: bytes) -> bytes:
    """With two bytes that no UTF-8 text has, in the answer's text if it has any."""
    for mark in (b'"content":"', b'"delta":"', b'"text":"', b'"id":"'):
        if mark in data:
            return data.replace(mark, mark + b"\xff\xfe", 1)
    return data
