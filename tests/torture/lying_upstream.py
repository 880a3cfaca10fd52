"""A provider that answers in every way but the right one: `LyingUpstream`. What it says follows from the number in the
prompt and the seed, so that each answer can be had again. Prompts without a number are answered well, and noted."""

import asyncio
import gzip
import json
import random
import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cache, partial
from typing import Any

from tests.torture.fuzzed_requests import Change, changed
from tests.torture.hostile_values import HEADERS, VALUES, Literal, places, written
from tests.torture.obliging_upstream import ObligingUpstream, answer_parts

BOMB_BYTES = 32 * 2**20  # unpacked
STALL = b""  # among pieces: from here on nothing comes
RESET = None  # among pieces: the connection is reset

_NUMBER = re.compile(rb"\bNo(\d{1,9})\b")
_RECORD = b'{"data":{"total_cost":0.000001}}'
_PIECE_PAUSE_S = 0.002
_COMMENTS_S = 0.2

_STATUS_LINES = (
    b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 " + b"O" * 5_000, b"HTTP/1.1 200 \xff\xfe", b"HTTP/1.0 200 OK",
    b"HTTP/2 200", b"HTTP/1.1 2000 OK", b"HTTP/1.1 -200 OK", b"HTTP/1.1 abc OK", b"HTTP/1.1", b"ICY 200 OK", b"200 OK",
    b"", b"\0", b"HTTP/1.1 099 Odd", b"HTTP/1.1 199 Odd", b"HTTP/1.1 999 Odd", b"HTTP/1.1 600 Odd", b"HTTP/9.9 200 OK",
    b"\r\n\r\nHTTP/1.1 200 OK", b"http/1.1 200 ok", b"\x16\x03\x01\x02\x00", b"220 smtp.example ESMTP",
)  # fmt: skip
_STATUSES = (
    201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 407, 408,
    409,
    410, 411, 413, 415, 418, 421, 422, 425, 426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 507, 511, 520, 524,
    529,
    598, 599,
)  # fmt: skip
_LENGTHS = (
    b"0", b"-1", b"+5", b"0x10", b"5, 5", b"5, 6", b"99999999", b"18446744073709551616", b"1e3", b"", b"abc", b"07",
    b"3.0",
)  # fmt: skip
_CODINGS = (
    b"gzip",
    b"deflate",
    b"br",
    b"zstd",
    b"gzip, gzip",
    b"x-gzip",
    b"identity, gzip",
    b"compress",
    b"\xff",
    b"none",
)
_TRANSFERS = (
    b"identity", b"gzip, chunked", b"chunked, chunked", b"chunked, gzip", b"Chunked", b"xchunked", b"\x0bchunked", b"",
)  # fmt: skip
_KINDS = (
    b"application/json", b"text/event-stream", b"text/html", b"", b"text/event-stream; charset=utf-16", b"\xff",
    b"application/octet-stream", b"multipart/x-mixed-replace; boundary=x", b"application/json; charset=utf-7",
)  # fmt: skip
_CHUNK_SIZES = (
    b"-1",
    b"ffffffffffffffff",
    b"ffffffffffffffffff",
    b"0x5",
    b"5 ",
    b" 5",
    b"g",
    b"",
    b"+5",
    b"5;" + b"x" * 5_000,
)
_INTERIM = (b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Odd", b"101 Switching Protocols")
_COSTS: tuple[object, ...] = (
    -1, -0.000001, 0, 1e-12, 0.000001, 1, 1e308, 2**70, 10**400, "0.000001", "1e-6", "NaN", "", None, True, [], {}, [1],
    {"total": 1}, Literal(b"NaN"), Literal(b"1e400"), Literal(b"-1e400"), Literal(b"1e-400"), Literal(b"0e999999"),
    Literal(b"0.0000000000000000000000000000000000001"), Literal(b"1e-99999999"), 0.00000049999999,
)  # fmt: skip
_COUNTS: tuple[object, ...] = (
    -1, 0, 1, 5, 10**6, 10**9, 2**63, 2**70, 1.5, 5.0, "5", None, True, [], {}, Literal(b"1e3"), Literal(b"-0"),
    Literal(b"1e400"), Literal(b"9" * 5_000),
)  # fmt: skip
_BETWEEN_EVENTS = (
    b": OPENROUTER PROCESSING\n\n", b":\n", b"\n\n\n\n", b"id: 1\nretry: 0\n\n", b"event: ping\ndata: {}\n\n",
    b"data:\n\n",
    b"data\n\n", b"data: \xff\xfe\n\n", b"data: \0\n\n", b"\0\0\0\n\n", b"\xef\xbb\xbf", b"data: [DONE]\n\n",
    b"data: null\n\n",
    b"data: []\n\n", b"data: 1\n\n", b'data: {"choices":\ndata: []}\n\n', b"data: {}\n\n",
    b"event: error\ndata: {}\n\n",
    b'data: {"error":{"code":"x","message":{}}}\n\n', b"event: \xff\ndata: {}\n\n", b"unknown: x\n\n",
    b"data: " + b"{" * 5_000 + b"\n\n",
    b"data: " + b"[" * 100_000 + b"]" * 100_000 + b"\n\n", b'data: {"type":"error"}\n\n',
    b'data: {"type":"response.failed"}\n\n',
    b'data: {"type":"response.completed"}\n\n', b'data: {"type":"message_stop"}\n\n',
    b'data: {"type":"message_start"}\n\n',
)  # fmt: skip

Piece = bytes | None


@dataclass(frozen=True, slots=True)
class Told:
    """What one answer said of its cost, where nothing else of it was wrong."""

    cost_usd: Decimal | None  # None: nothing that is an amount


@dataclass(slots=True)
class LyingUpstream:
    seed: int
    port: int = 0
    asked: int = 0
    told: dict[str, Told] = field(default_factory=dict)  # by the name of the generation
    kinds: dict[str, int] = field(default_factory=dict)  # how often it lied in which way
    calls: dict[int, int] = field(default_factory=dict)  # how often each number was asked about
    only: Sequence[str] = ()  # ways to lie; nothing: all
    keeps_records: bool = False  # of what calls cost; without them the proxy asks for some twenty seconds
    obliging: ObligingUpstream = field(default_factory=ObligingUpstream)  # to whoever has no number

    def answer(self, path: str, body: bytes) -> list[Piece]:
        """What is said, piece by piece."""
        found = _NUMBER.search(body)
        if found is None:
            return [self.obliging.answer(path, body)]
        self.asked += 1
        number = int(found[1])
        call = self.calls[number] = self.calls.get(number, 0) + 1
        chance = random.Random(f"{self.seed}/{number}/{call}")
        api = path.removeprefix("/api/v1/").removeprefix("/v1/")
        members = json.loads(body)
        generation = f"gen-{number}-{call}"
        way = chance.choice(self.only or list(WAYS))
        self.kinds[way] = self.kinds.get(way, 0) + 1
        parts = answer_parts(api, generation, members)
        saying = Saying(api, generation, parts, members.get("stream") is True, chance)
        pieces = WAYS[way](saying)
        if saying.told is not None:
            self.told[generation] = saying.told
        return pieces


@dataclass(slots=True)
class Saying:
    """One answer in the making. `parts` are its events, or the whole as the only one."""

    api: str
    generation: str
    parts: list[dict[str, Any]]
    is_stream: bool
    chance: random.Random
    told: Told | None = None

    @property
    def kind(self) -> bytes:
        return b"text/event-stream" if self.is_stream else b"application/json"

    def content(self, parts: Sequence[object] | None = None) -> bytes:
        parts = self.parts if parts is None else parts
        if not self.is_stream:
            return written(parts[0])
        return b"".join(map(self.event, parts)) + (b"" if self.api == "messages" else b"data: [DONE]\n\n")

    def event(self, part: object) -> bytes:
        named = b""
        if self.api == "messages" and isinstance(part, dict):
            named = b"event: %b\n" % str(part.get("type")).encode("utf-8", "replace").replace(b"\n", b"")
        return named + b"data: %b\n\n" % written(part)

    def head(
        self,
        *lines: bytes,
        status: bytes = b"HTTP/1.1 200 OK",
        kind: bytes | None = None,
        generation: bytes | None = None,
    ) -> bytes:
        named = generation if generation is not None else self.generation.encode()
        kept = [status, b"content-type: " + (self.kind if kind is None else kind), b"x-generation-id: " + named, *lines]
        return b"\r\n".join(kept) + b"\r\n\r\n"

    def message(self, content: bytes, *lines: bytes, **head: bytes) -> list[Piece]:
        return [self.head(*lines, b"content-length: %d" % len(content), **head) + content]

    def cut(self, message: bytes, most: int = 12) -> list[Piece]:
        """The same bytes in pieces."""
        places = sorted(self.chance.randrange(len(message) + 1) for _ in range(self.chance.randrange(1, most)))
        return [message[a:b] for a, b in zip([0, *places], [*places, len(message)], strict=True) if a < b]


def _usage(saying: Saying) -> list[Piece]:
    """All is well but for the figures: nothing else is wrong with the answer."""
    chance = saying.chance
    usage: dict[str, object] = {}
    counted = (
        ("input_tokens", "output_tokens")
        if saying.api in ("responses", "messages")
        else ("prompt_tokens", "completion_tokens")
    )
    for name in counted:
        if chance.random() < 0.85:
            usage[name] = chance.choice(_COUNTS)
    if chance.random() < 0.7:
        usage["cost"] = chance.choice(_COSTS)
    if chance.random() < 0.3:
        usage[chance.choice(("prompt_tokens_details", "input_tokens_details"))] = {
            "cached_tokens": chance.choice(_COUNTS), "cache_write_tokens": chance.choice(_COUNTS),
        }  # fmt: skip
        usage["cache_read_input_tokens"] = chance.choice(_COUNTS)
    if chance.random() < 0.3:
        usage["completion_tokens_details"] = {"reasoning_tokens": chance.choice(_COUNTS)}
    whole: object = (
        usage if chance.random() < 0.9 else chance.choice([None, [], "", 0, True, [usage], {"usage": usage}])
    )
    parts = [_with_usage(part, whole) for part in saying.parts]
    saying.told = Told(_amount(usage.get("cost")) if whole is usage and "cost" in usage else None)
    return saying.message(saying.content(parts))


def _with_usage(part: Any, usage: object) -> Any:  # noqa: ANN401 - JSON
    if not isinstance(part, dict):
        return part
    return {
        name: usage if name == "usage" and part.get("type") != "message_start" else _with_usage(value, usage)
        for name, value in part.items()
    }


def _amount(cost: object) -> Decimal | None:
    """What JSON says it is, or None if that is no amount of money."""
    try:
        text = written(cost).decode()
        amount = Decimal(text.strip('"')) if not isinstance(cost, bool | list | dict) and cost is not None else None
    except (InvalidOperation, UnicodeDecodeError):
        return None
    return amount if amount is not None and amount.is_finite() and amount >= 0 else None


def _members(saying: Saying) -> list[Piece]:
    """Some members of the answer are something else."""
    chance = saying.chance
    parts: list[Any] = list(saying.parts)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(parts))
        how = chance.choice(("replace", "replace", "delete", "twice", "insert", "wrap", "again"))
        member = chance.choice(
            ("error", "usage", "choices", "id", "type", "delta", "index", "content", "output", "code", "")
        )
        change = Change(chance.randrange(len(places(parts[at])) + 1), how, chance.choice(list(VALUES)), member)
        parts[at] = changed(parts[at], [change])
    return saying.cut(b"".join(each or b"" for each in saying.message(saying.content(parts))))


def _events(saying: Saying) -> list[Piece]:
    """Events between the events, in another order, doubled, missing, after the end."""
    chance = saying.chance
    events = [saying.event(part) for part in saying.parts] if saying.is_stream else [saying.content()]
    for _ in range(chance.randrange(1, 5)):
        match chance.randrange(5):
            case 0:
                events.insert(chance.randrange(len(events) + 1), chance.choice(_BETWEEN_EVENTS))
            case 1 if events:
                events.insert(chance.randrange(len(events)), chance.choice(events))
            case 2 if events:
                del events[chance.randrange(len(events))]
            case 3:
                chance.shuffle(events)
            case _:
                events.append(chance.choice((b"data: [DONE]\n\n", b"data: {}\n\n", b"x", *events)))
    content = b"".join(events)
    match chance.randrange(5):
        case 0:
            content = content.replace(b"\n", b"\r\n")
        case 1:
            content = content.replace(b"\n", b"\r")
        case 2:
            content = content.replace(b"data: ", b"data:")
        case _:
            pass
    return saying.cut(b"".join(each or b"" for each in saying.message(content, kind=b"text/event-stream")), 40)


def _bytes(saying: Saying) -> list[Piece]:
    """Some bytes of the content are others."""
    chance = saying.chance
    content = bytearray(saying.content())
    for _ in range(chance.randrange(1, 8)):
        at = chance.randrange(len(content)) if content else 0
        match chance.randrange(4):
            case 0 if content:
                content[at] = chance.randrange(256)
            case 1:
                content[at:at] = chance.randbytes(chance.randrange(1, 20))
            case 2:
                del content[at : at + chance.randrange(1, 60)]
            case _:
                content[at:at] = chance.choice((b"\0", b"\n\n", b"\xff", b"\r", b'"', b"}", b"\xed\xa0\x80", b"data: "))
    return saying.cut(b"".join(each or b"" for each in saying.message(bytes(content))))


def _status_line(saying: Saying) -> list[Piece]:
    return saying.message(saying.content(), status=saying.chance.choice(_STATUS_LINES))


def _status(saying: Saying) -> list[Piece]:
    """An error, or something that is none, with a body of any kind."""
    chance = saying.chance
    status = chance.choice(_STATUSES)
    error: object = {
        "code": chance.choice([status, str(status), None, [], 2**70]),
        "message": chance.choice(list(VALUES.values())),
    }
    if chance.random() < 0.3:
        error = {
            "message": "x",
            "metadata": {
                "raw": chance.choice(list(VALUES.values())),
                "headers": {"Retry-After": chance.choice(_COUNTS)},
            },
        }
    if chance.random() < 0.2:
        error = chance.choice(list(VALUES.values()))
    content = chance.choice(
        [written({"error": error}), written(error), saying.content(), b"", b"<html>", b"\xff" * 100, b"x" * 200_000]
    )
    lines = [b"retry-after: " + chance.choice([*HEADERS.values(), b"1", b"86400", b"Fri, 31 Dec 9999 23:59:59 GMT"])]
    lines += [b"location: http://127.0.0.1:1/", b"date: x"] if chance.random() < 0.5 else []
    message = saying.message(content, *lines, status=b"HTTP/1.1 %d Odd" % status)
    return message if chance.random() < 0.8 else [*message[:0], (message[0] or b"")[:-5], STALL]


def _headers(saying: Saying) -> list[Piece]:
    """A head that is too long, malformed, contradicts itself, or says what is not so."""
    chance = saying.chance
    content = saying.content()
    odd = [_odd_header(chance) for _ in range(chance.randrange(1, 4))]
    generation = chance.choice([None, *HEADERS.values()])
    kind = chance.choice((None, *_KINDS))
    lines = [*odd] if chance.random() < 0.5 else [*odd, b"content-length: %d" % len(content)]
    head = {} if kind is None else {"kind": kind}
    if generation is not None:
        head["generation"] = generation
    return [saying.head(*lines, **head) + content, RESET if chance.random() < 0.3 else STALL]


def _odd_header(chance: random.Random) -> bytes:
    return chance.choice(
        (
            b"x-filler: " + b"x" * chance.choice((1_000, 60_000, 70_000, 300_000)),
            b"\r\n".join(b"x-%d: y" % each for each in range(chance.choice((100, 3_000)))),
            b"no colon", b": no name", b"x-nul: a\0b", b"x y: z", b" folded: x", b"x-\xff: \xff", b"x-cr: a\rb",
            b"connection: close", b"connection: keep-alive, upgrade", b"upgrade: h2c", b"trailer: content-length",
            b"set-cookie: a=b", b"x-request-id: req_other", b"x-penstock-cost-usd: 0", b"content-length: 5",
            b"content-length: " + chance.choice(_LENGTHS), b"transfer-encoding: " + chance.choice(_TRANSFERS),
            b"content-encoding: " + chance.choice(_CODINGS), b"content-type: " + chance.choice(_KINDS),
            b"x-generation-id: " + chance.choice(list(HEADERS.values())), b'alt-svc: h3=":443"', b"refresh: 0",
        )
    )  # fmt: skip


def _length(saying: Saying) -> list[Piece]:
    """An announced length that is not that of the body."""
    content, chance = saying.content(), saying.chance
    announced = chance.choice(
        (*_LENGTHS, b"%d" % (len(content) + 1), b"%d" % (len(content) - 1), b"%d" % (len(content) // 2))
    )
    return [
        saying.head(b"content-length: " + announced) + content,
        chance.choice((STALL, RESET, b"HTTP/1.1 200 OK\r\n\r\n")),
    ]


def _chunks(saying: Saying) -> list[Piece]:
    """Chunks of all sizes, some of which are none; trailers; no end."""
    chance = saying.chance
    pieces: list[bytes] = [saying.head(b"transfer-encoding: chunked")]
    pieces += [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in saying.cut(saying.content(), 30) if piece]
    if chance.random() < 0.6:
        at = chance.randrange(1, len(pieces) + 1)
        pieces.insert(at, chance.choice(_CHUNK_SIZES) + b"\r\n" + b"x" * 5 + b"\r\n")
    pieces.append(
        chance.choice(
            (
                b"0\r\n\r\n",
                b"0\r\nx: y\r\n\r\n",
                b"0\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
                b"",
                b"0\r\n",
                b"0\r\ncontent-length: 9\r\n\r\n",
            )
        )
    )
    return [*pieces, chance.choice((STALL, RESET))]


def _interim(saying: Saying) -> list[Piece]:
    """Answers before the answer, some, thousands, or without end."""
    chance = saying.chance
    one = b"HTTP/1.1 " + chance.choice(_INTERIM) + b"\r\nlink: </x>\r\n\r\n"
    pieces: list[Piece] = [one * chance.choice((1, 3, 100, 5_000))]
    return [*pieces, *saying.message(saying.content())] if chance.random() < 0.7 else [*pieces, STALL]


def _pace(saying: Saying) -> list[Piece]:
    """What is right, up to somewhere: then nothing, or the end."""
    message = saying.message(saying.content())[0] or b""
    cut = saying.chance.randrange(len(message))
    return [*saying.cut(message[:cut] or b"H"), saying.chance.choice((STALL, RESET))]


def _split(saying: Saying) -> list[Piece]:
    """All is right, in many pieces."""
    saying.told = Told(Decimal("1e-9"))
    return saying.cut(saying.message(saying.content())[0] or b"", 200)


@cache
def _packed(window_bits: int) -> bytes:
    packer = zlib.compressobj(9, wbits=window_bits)
    plain = b'{"choices":[' + b" " * 2**20
    return b"".join(packer.compress(plain) for _ in range(BOMB_BYTES // 2**20)) + packer.flush()


def _bomb(saying: Saying) -> list[Piece]:
    """Compressed although nobody asked for that."""
    chance = saying.chance
    bomb = _packed(chance.choice((31, 15, -15)))
    if chance.random() < 0.3:
        bomb = gzip.compress(bomb)
    where = chance.choice((b"content-encoding", b"transfer-encoding"))
    coding = chance.choice(_CODINGS[:6])
    if where == b"transfer-encoding":
        return [saying.head(b"%b: %b, chunked" % (where, coding)) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(bomb), bomb), STALL]
    return saying.message(bomb, b"%b: %b" % (where, coding))


def _nonsense(saying: Saying) -> list[Piece]:
    return [
        saying.chance.randbytes(saying.chance.choice((1, 10, 1_000, 100_000))),
        saying.chance.choice((STALL, RESET)),
    ]


def _other(saying: Saying) -> list[Piece]:
    """The answer of another API, or a whole one in place of a stream and the reverse."""
    chance = saying.chance
    api = chance.choice(("chat/completions", "responses", "messages", "completions", "embeddings", "moderations"))
    is_stream = chance.random() < 0.5
    parts = answer_parts(api, saying.generation, {"model": "m", "stream": is_stream})
    other = Saying(api, saying.generation, parts, is_stream, chance)
    return saying.message(other.content(), kind=chance.choice(_KINDS[:2]))


def _large(saying: Saying) -> list[Piece]:
    """Megabytes without the end of a line."""
    start = b"data: " if saying.is_stream else b""
    megabytes: list[Piece] = [b"x" * 2**20] * saying.chance.choice((1, 3))
    return [saying.head(b"connection: close") + start, *megabytes, RESET]


def _comments(saying: Saying) -> list[Piece]:
    """Signs of life, and nothing else."""
    return [saying.head(b"connection: close", kind=b"text/event-stream"), *[b": still here\n\n"] * 400, RESET]


WAYS: Mapping[str, Callable[[Saying], list[Piece]]] = {
    "usage": _usage,
    "members": _members,
    "events": _events,
    "bytes": _bytes,
    "status line": _status_line,
    "status": _status,
    "headers": _headers,
    "length": _length,
    "chunks": _chunks,
    "interim": _interim,
    "pace": _pace,
    "split": _split,
    "bomb": _bomb,
    "nonsense": _nonsense,
    "other": _other,
    "large": _large,
    "comments": _comments,
}


class _Connection:
    """One of the proxy's connections."""

    def __init__(self, upstream: LyingUpstream) -> None:
        self._upstream = upstream

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answered(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        length = next((int(each[15:]) for each in lines if each.lower().startswith(b"content-length:")), 0)
        body = await reader.readexactly(length)
        method, path, _ = first.decode("latin-1").split(" ")
        if method != "POST":
            is_kept = self._upstream.keeps_records and "/generation" in path
            status, content = (b"200 OK", _RECORD) if is_kept else (b"404 Not Found", b"{}")
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, len(content), content))
            return True
        pieces = self._upstream.answer(path, body)
        for piece in pieces:
            if piece is RESET:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return False
            if piece == STALL:
                await reader.read()  # until the proxy gives up
                return False
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(_COMMENTS_S if piece.startswith(b": still") else _PIECE_PAUSE_S)
        return True


@contextmanager
def lying_upstream(seed: int) -> Iterator[LyingUpstream]:
    """It serves, in a thread of its own, while the context is open."""
    upstream = LyingUpstream(seed)
    started = threading.Event()
    stop: list[Callable[[], object]] = []

    async def served() -> None:
        stopping = asyncio.Event()
        stop.append(partial(asyncio.get_running_loop().call_soon_threadsafe, stopping.set))
        server = await asyncio.start_server(_Connection(upstream).serve, "127.0.0.1", 0, limit=2**26, backlog=1_024)
        upstream.port = server.sockets[0].getsockname()[1]
        started.set()
        await stopping.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(served()))
    thread.start()
    started.wait()
    try:
        yield upstream
    finally:
        stop[0]()
        thread.join()
