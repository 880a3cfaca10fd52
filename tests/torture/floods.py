"""floods: one connection cannot make the proxy take more than a request may have, and what is no request costs little.

Each flood is sent as fast as it is taken, until the connection is closed or all is sent.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.torture.load import Ask, chat, send
from tests.torture.plant import AMPLE, Plant, running_plant
from tests.torture.result import Figure, Result, at_most, equal, told
from tests.torture.setting import Setting

TITLE = "floods are refused early, and leave nothing behind"

_PIECE = 256 * 1024
_PATIENCE_S = 60.0
_MOST_MIB = 2.0
_MOST_CPU_S = 0.05
_WARM_UP = 30
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Flood:
    name: str
    status: int
    pieces: Callable[[], Iterator[bytes]]


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    with running_plant(setting, name="flooded", teams={"ample": AMPLE}, time_scale=0.0, replicas=1) as plant:
        figures = [figure async for figure in _figures(setting, plant)]
    return Result("floods", TITLE, command, tuple(figures), time.monotonic() - started_s)


async def _figures(setting: Setting, plant: Plant) -> AsyncIterator[Figure]:
    [replica] = plant.replicas
    key = plant.keys["ample"][0]
    honest = Ask(key, chat("stops", "Say something.", is_stream=False, max_tokens=5))
    for _ in range(_WARM_UP):
        await send(honest, replica.port)
    for flood in _floods(setting, key.text):
        await _flooded(replica.port, flood.pieces())  # the allocator keeps what it needed once
        before, cpu_s = _rss_anew(replica.pid), _cpu_s(replica.pid)
        status, sent = await _flooded(replica.port, flood.pieces())
        cpu_s = _cpu_s(replica.pid) - cpu_s
        grown = (_rss_bytes(replica.pid) - before) / _MIB
        yield equal(f"{flood.name}: the answer", status, flood.status)
        yield at_most(f"{flood.name}: RSS afterwards, MiB more", grown, _MOST_MIB)
        yield told(
            f"{flood.name}: RSS at its height, MiB more", round((_rss_bytes(replica.pid, "VmHWM") - before) / _MIB, 1)
        )
        yield told(f"{flood.name}: sent, MiB", round(sent / _MIB, 1))
        if flood.status == 400:
            yield at_most(f"{flood.name}: CPU of the whole request, s", cpu_s, _MOST_CPU_S)
    answer = await send(honest, replica.port)
    yield equal("an honest request afterwards", answer.status or 0, 200)


def _floods(setting: Setting, key: str) -> Sequence[_Flood]:
    authorized = f"Host: h\r\nAuthorization: Bearer {key}\r\n".encode()
    start = b"POST /v1/chat/completions HTTP/1.1\r\n" + authorized
    chunked = start + b"Transfer-Encoding: chunked\r\n\r\n"
    stranger = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (_PIECE, b"x" * _PIECE)
    mib = setting.scaled(100, 4)

    def whole(body: bytes) -> Callable[[], Iterator[bytes]]:
        return lambda: iter((start + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body), body))

    keys = {f"k{number}": 1 for number in range(1_000_000)}
    return (
        _Flood("headers, 100 MB", 431, lambda: _flood(start, b"X: " + b"x" * 1000 + b"\r\n", mib * _MIB)),
        _Flood("one header, 100 MB", 431, lambda: _flood(start + b"X: ", b"x" * _PIECE, mib * _MIB)),
        _Flood("URL, 50 MB", 414, lambda: _flood(b"GET /", b"x" * _PIECE, mib * _MIB // 2)),
        _Flood("chunked body of a stranger, 10 GB", 401, lambda: _flood(stranger, chunk, mib * 100 * _MIB)),
        _Flood("chunked body, 10 GB", 413, lambda: _flood(chunked, chunk, mib * 100 * _MIB)),
        _Flood("extensions of chunks", 400, lambda: _flood(chunked, b"1;" + b"x" * 16000 + b"\r\nx\r\n", mib * _MIB)),
        _Flood("trailers", 400, lambda: _flood(chunked + b"0\r\n", b"X: " + b"x" * 1000 + b"\r\n", mib * _MIB)),
        _Flood("arrays, 100,000 deep", 400, whole(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
        _Flood("1,000,000 members", 400, whole(json.dumps(keys, separators=(",", ":")).encode())),
        _Flood("an integer of 5,000 digits", 400, whole(b'{"max_tokens":' + b"9" * 5000 + b"}")),
        _Flood("requests one after the other, 100,000", 401, lambda: _pipelined(setting.scaled(100_000, 2_000))),
    )


def _flood(start: bytes, piece: bytes, size: int) -> Iterator[bytes]:
    yield start
    pieces = piece * max(1, _PIECE // len(piece))
    for _ in range(size // len(pieces)):
        yield pieces


def _pipelined(count: int) -> Iterator[bytes]:
    request = b"GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n"
    for _ in range(count // 1000):
        yield request * 1000


async def _flooded(port: int, pieces: Iterator[bytes]) -> tuple[int, int]:
    """The status of the first answer, 0 without one, and what was sent until the connection ended."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    async with asyncio.TaskGroup() as tasks:
        answer = tasks.create_task(_first_line(reader))
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    sent += len(piece)
    line = answer.result()
    writer.close()
    return (int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0), sent


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    """And takes all that follows, as a client that reads."""
    line = b""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            line = await reader.readline()
            while await reader.read(65536):
                pass
    return line


def _rss_bytes(pid: int, figure: str = "VmRSS") -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{figure}:"))


def _rss_anew(pid: int) -> int:
    """And its height is counted from here (proc(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _rss_bytes(pid)


def _cpu_s(pid: int) -> float:
    """Of the process with all its threads: its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
