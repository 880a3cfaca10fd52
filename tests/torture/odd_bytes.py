"""bytes: whatever bytes come on a connection, cut and merged in whatever way, the proxy answers or hangs up, and lives.

Each connection gets what a grammar of HTTP draws from the seed and its number: requests that are right, several in a
row, and then damaged; chunks that are none; other protocols; noise. Between them healthy requests are made.
"""

import asyncio
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tests.server.openapi import operations
from tests.torture.books import LedgerReader
from tests.torture.fuzz import HANG_S, Stand, at_the_end, naming, settled, standing
from tests.torture.hostile_values import HEADERS, TARGETS
from tests.torture.result import Figure, Result, at_least, at_most, none, told
from tests.torture.setting import Setting

TITLE = "any bytes at all on a connection"

_AT_ONCE = 24
_SILENCE_S = 0.05  # after which nothing more is expected of a connection that is still open
_CLOSES_WITHIN_S = 20.0
_HEALTHY_EVERY = 100

_METHODS = (
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"PRI",
    b"get",
    b"G\0T",
    b"M" * 400,
    b"",
)
_VERSIONS = (
    b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 x", b"http/1.1", b"HTTP/1.", b"HTTP/11", b"",
    b"RTSP/1.0",
)  # fmt: skip
_FIELDS = (
    b"transfer-encoding: chunked", b"transfer-encoding: gzip, chunked", b"transfer-encoding : chunked",
    b"transfer-encoding: x",
    b"Transfer-Encoding:\tchunked", b"transfer-encoding: chunked, identity", b"content-length: 0",
    b"content-length: 5, 5",
    b"content-length: -1", b"content-length: 0x5", b"content-length: +5", b"content-length: 18446744073709551616",
    b"content-length:", b"content-length: 1e3", b"host: a", b"host:", b"host: a b", b"host: \xff", b"no colon",
    b": no name",
    b" folded: x", b"\tx", b"x\0y: z", b"x: a\0b", b"x y: z", b"connection: close",
    b"connection: keep-alive, te, upgrade",
    b"connection: \xff",
    b"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: eA==\r\nsec-websocket-version: 13",
    b"upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk", b"expect: 100-continue",
    b"expect: x",
    b"te: trailers", b"trailer: content-length", b"content-encoding: gzip", b"x: " + b"y" * 70_000,
    b"proxy-connection: close",
    b"authorization: Bearer x", b"x-penstock-dry-run: 1", b"keep-alive: timeout=0", b"content-type: x\r\n\r\n", b"\r",
    b"x:\ry",
)  # fmt: skip
_CHUNKS = (
    b"5\r\nhello\r\n", b"5\nhello\n", b"-1\r\n", b"ffffffffffffffff\r\n", b"fffffffffffffffff\r\nx",
    b"0x5\r\nhello\r\n",
    b"5;ext=" + b"e" * 5_000 + b"\r\nhello\r\n", b"5\r\nhelloworld\r\n", b" 5\r\nhello\r\n", b"\r\n", b"g\r\n",
    b"0\r\n\r\n",
    b"0\r\nx: y\r\n\r\n", b"0\r\n" + b"x: y\r\n" * 5_000 + b"\r\n", b"00000000000000000005\r\nhello\r\n",
    b"1\r\n\0\r\n",
)  # fmt: skip
_PROTOCOLS = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"EHLO x\r\n",
    b"SSH-2.0-x\r\n", b"*1\r\n$4\r\nPING\r\n", b"\x05\x01\x00", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"\0" * 100,
    b"\r\n" * 50,
    b"GET / HTTP/0.9\n\n", b"\x80\0\0\x28\x72\xfe\x1d\x13", b"a" * 200_000, b"GET /" + b"a" * 200_000, b"\n",
    b"\xff" * 10,
)  # fmt: skip


@dataclass(slots=True)
class _Tally:
    connections: int = 0
    sent_bytes: int = 0
    answered: int = 0
    closed: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    own_5xx: list[str] = field(default_factory=list)
    no_http: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    slowest_healthy_s: float = 0.0
    unhealthy: list[str] = field(default_factory=list)


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    with standing(setting) as stand:
        figures = [*await tormented(setting, stand), *await asyncio.to_thread(at_the_end, stand)]
    return Result("bytes", TITLE, command, tuple(figures), time.monotonic() - started_s)


async def tormented(setting: Setting, stand: Stand) -> list[Figure]:
    tally, asked_before = _Tally(), len(stand.upstream.obliging.asked)
    began_s = time.monotonic()
    await _torment(setting, stand.replica.port, stand.key, tally)
    seconds = time.monotonic() - began_s
    await asyncio.to_thread(settled, stand.fuzzer)
    booked = LedgerReader(stand.plant).calls()
    return [
        at_least("connections", tally.connections, setting.scaled(20_000, 100)),
        told("  megabytes sent", round(tally.sent_bytes / 2**20, 1)),
        told("  answers", tally.answered),
        told("  of these 200", tally.statuses[200]),
        told("  requests that reached the provider", len(stand.upstream.obliging.asked) - asked_before),
        told("seconds", round(seconds)),
        none(naming("answers of 5xx but 501 and 505", tally.own_5xx), len(tally.own_5xx)),
        none(naming("answers that are no HTTP", tally.no_http), len(tally.no_http)),
        none(naming("connections left open when their client had said all", tally.late), len(tally.late)),
        none(naming("healthy requests that failed meanwhile", tally.unhealthy), len(tally.unhealthy)),
        at_most("slowest healthy request, s", tally.slowest_healthy_s, HANG_S),
        none("calls booked above their hold", sum(call.cost_nano_usd > call.held_nano_usd for call in booked)),
    ]  # fmt: skip


async def _torment(setting: Setting, port: int, key: str, tally: _Tally) -> None:
    numbers = iter(range(setting.scaled(20_000, 120)))

    async def client() -> None:
        for number in numbers:
            await _connection(port, segments(setting.seed, number, key), number, tally)
            if number % _HEALTHY_EVERY == 0:
                await _healthy(port, key, tally)

    await asyncio.gather(*(client() for _ in range(_AT_ONCE)))


def segments(seed: int, number: int, key: str) -> list[bytes]:
    """What is sent on the connection of that number, a write each."""
    chance = random.Random(f"{seed}/bytes/{number}")
    said = b"".join(_request(chance, key) for _ in range(chance.choice((1, 1, 1, 2, 3, 8))))
    for _ in range(chance.choice((0, 1, 1, 2, 5))):
        said = _DAMAGES[chance.randrange(len(_DAMAGES))](said, chance)
    if chance.random() < 0.1:
        said = chance.choice(_PROTOCOLS) + said
    cuts = sorted(chance.randrange(len(said) + 1) for _ in range(chance.choice((0, 0, 1, 3, 20))))
    pieces = [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True) if a < b]
    match chance.randrange(12):
        case 0:
            chance.shuffle(pieces)
        case 1 if pieces:
            pieces.insert(chance.randrange(len(pieces)), chance.choice(pieces))
        case 2 if pieces:
            del pieces[chance.randrange(len(pieces))]
        case _:
            pass
    return pieces


def _request(chance: random.Random, key: str) -> bytes:
    """A request that is right, or nearly."""
    operation = chance.choice([each for each in operations() if "data" in each.ports])
    body = b"" if not operation.bodies else operation.encoded(chance.choice(list(operation.bodies.values())))
    method = chance.choice(_METHODS) if chance.random() < 0.08 else operation.method.encode()
    target = operation.target({}).encode()
    if chance.random() < 0.1:
        target = chance.choice((*TARGETS, b"http://127.0.0.1" + target, b"*", b"a:1", b"", b" ", b"//x", b"\x7f"))
    version = chance.choice(_VERSIONS) if chance.random() < 0.08 else b"HTTP/1.1"
    lines = [b"%b %b %b" % (method, target, version), b"host: x", b"authorization: Bearer " + key.encode()]
    lines += [chance.choice(_FIELDS) for _ in range(chance.choice((0, 0, 0, 1, 2)))]
    if chance.random() < 0.1:
        lines.append(b"x-penstock-tags: " + chance.choice(list(HEADERS.values())))
    if body and chance.random() < 0.3:
        lines.append(b"transfer-encoding: chunked")
        body = _chunked(body, chance)
    elif body:
        lines.append(b"content-length: %d" % (len(body) + chance.choice((0, 0, 0, 0, 0, -1, 1, 5))))
    end = chance.choice((b"\n", b"\r", b"\r\r\n")) if chance.random() < 0.05 else b"\r\n"
    return end.join(lines) + end + end + body


def _chunked(body: bytes, chance: random.Random) -> bytes:
    parts: list[bytes] = []
    at = 0
    while at < len(body):
        size = chance.randrange(1, 200)
        piece = body[at : at + size]
        parts.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        at += size
    if chance.random() < 0.3:
        parts.insert(chance.randrange(len(parts) + 1), chance.choice(_CHUNKS))
    return b"".join(parts) + chance.choice((b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b""))


def _flipped(said: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(said)) if said else 0
    return said[:at] + bytes([chance.randrange(256)]) + said[at + 1 :]


def _inserted(said: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(said) + 1)
    return (
        said[:at] + chance.choice((b"\r\n", b"\n", b"\0", b" ", b"\r\n\r\n", chance.randbytes(9), *_CHUNKS)) + said[at:]
    )


def _shortened(said: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(said) + 1)
    return said[:at] + said[at + chance.randrange(1, 40) :]


def _doubled(said: bytes, chance: random.Random) -> bytes:
    lines = said.split(b"\r\n")
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return b"\r\n".join(lines)


def _ended(said: bytes, chance: random.Random) -> bytes:
    return said[: chance.randrange(len(said) + 1)]


def _swapped(said: bytes, chance: random.Random) -> bytes:
    lines = said.split(b"\r\n")
    a, b = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\r\n".join(lines)


_DAMAGES: Sequence[Callable[[bytes, random.Random], bytes]] = (
    _flipped, _inserted, _shortened, _doubled, _ended, _swapped,
)  # fmt: skip


async def _connection(port: int, pieces: Sequence[bytes], number: int, tally: _Tally) -> None:
    """Send it, hear what comes, say that nothing more is sent, and wait for the end."""
    tally.connections += 1
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        for piece in pieces:
            writer.write(piece)
            tally.sent_bytes += len(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0)
        heard, is_closed = await _heard(reader, _SILENCE_S)
        if not is_closed and number % 2:  # the others are reset
            with suppress(OSError):
                writer.write_eof()
            more, is_closed = await _heard(reader, _CLOSES_WITHIN_S)
            heard += more
            if not is_closed:
                tally.late.append(f"{number}: {b''.join(pieces)[:300]!r}")
        tally.closed += is_closed
    except OSError:
        tally.closed += 1
    finally:
        with suppress(OSError):
            raw: socket.socket = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
    _count(heard, number, pieces, tally)


async def _heard(reader: asyncio.StreamReader, silence_s: float) -> tuple[bytes, bool]:
    """What comes until that long nothing does; whether that was the end."""
    heard = b""
    while True:
        try:
            more = await asyncio.wait_for(reader.read(65_536), silence_s)
        except TimeoutError:
            return heard, False
        except OSError:
            return heard, True
        if not more:
            return heard, True
        heard += more


def _count(heard: bytes, number: int, pieces: Sequence[bytes], tally: _Tally) -> None:
    statuses = [int(part[:3]) for part in heard.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
    tally.answered += len(statuses)
    tally.statuses.update(statuses)
    where = f"{number}: {b''.join(pieces)[:400]!r} -> {heard[:300]!r}"
    if heard and not heard.startswith(b"HTTP/1.1 "):
        tally.no_http.append(where)
    tally.own_5xx += [where for status in statuses if status >= 500 and status not in (501, 505)]


async def _healthy(port: int, key: str, tally: _Tally) -> None:
    """A machine that does something else for a second does not do so three times in a row."""
    took_s = await _healthy_s(port, key, tally)
    for _ in range(2):
        if took_s > HANG_S:
            took_s = min(took_s, await _healthy_s(port, key, tally))
    tally.slowest_healthy_s = max(tally.slowest_healthy_s, took_s)


async def _healthy_s(port: int, key: str, tally: _Tally) -> float:
    body = json.dumps({"model": "stops", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
    began_s = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    heard, is_closed = await _heard(reader, _CLOSES_WITHIN_S)
    writer.close()
    took_s = time.monotonic() - began_s
    if not heard.startswith(b"HTTP/1.1 200") or not is_closed:
        tally.unhealthy.append(repr(heard[:200]))
    return took_s
