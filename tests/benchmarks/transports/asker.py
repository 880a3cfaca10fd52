"""One contender at work, in a process of its own that does nothing else: asks, reads to the end, counts what it costs.

    python -m tests.benchmarks.transports.asker --factory contenders:own --origin http://127.0.0.1:9000 ...

prints one JSON object. CPU is the process's, every thread's included.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from router.server.interpreter import prepare_to_serve
from router.upstream.client import Transport
from router.upstream.connection import Timeouts
from router.upstream.transport import Origin, PreparedHead
from tests.benchmarks.scenarios import CHUNKS_PER_STREAM

_WARM_UP_S = 0.25
_TIMEOUTS = Timeouts(connect_s=5.0, read_s=60.0, write_s=60.0, pool_s=5.0)
_SYSTEM = "Answer briefly. "
_TAIL_BYTES = 64  # of a body, by which it is told that it is whole
_END = b"data: [DONE]"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run came to."""

    answers: int
    pieces: int  # in which the bodies came
    cpu_s: float
    connections: int  # open at the end


class Asker:
    """So many callers at one transport, each asking again when it has its answer."""

    def __init__(self, transport: Transport, head: PreparedHead, body: bytes, *, is_streamed: bool) -> None:
        self.answers = self.pieces = 0
        self._transport = transport
        self._head = head
        self._body = body
        self._is_streamed = is_streamed

    async def run(self, callers: int, duration_s: float) -> None:
        deadline_s = time.perf_counter() + duration_s
        async with asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(self._ask_until(deadline_s))

    async def _ask_until(self, deadline_s: float) -> None:
        while time.perf_counter() < deadline_s:
            await self._ask()

    async def _ask(self) -> None:
        answer = await self._transport.ask(self._head, self._body, _TIMEOUTS)
        assert answer.status == 200, f"status {answer.status}"
        last = b""

        def sink(piece: bytes) -> bool:
            nonlocal last
            self.pieces += 1
            last = (last + piece)[-_TAIL_BYTES:]
            return True

        if self._is_streamed:
            await answer.pump(sink)
        else:
            while (piece := await answer.read_chunk()) is not None:
                sink(piece)
        await answer.aclose()
        assert (_END if self._is_streamed else b"}") in last, f"cut short: {last[-80:]!r}"
        self.answers += 1


async def measured(
    make: Callable[[], Transport],
    head: PreparedHead,
    body: bytes,
    *,
    is_streamed: bool,
    callers: int,
    duration_s: float,
) -> Asked:
    sockets_before = _open_sockets()
    transport = make()
    await Asker(transport, head, body, is_streamed=is_streamed).run(callers, _WARM_UP_S)
    asker = Asker(transport, head, body, is_streamed=is_streamed)
    before_s = time.process_time()
    await asker.run(callers, duration_s)
    cpu_s = time.process_time() - before_s
    return Asked(asker.answers, asker.pieces, cpu_s, _open_sockets() - sockets_before)


def _open_sockets() -> int:
    """The process's own TCP connections; what it has for itself, such as a pair to wake a loop by, is not TCP."""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link)[8:-1] in inodes for link in links if os.path.islink(link))


def request_body(*, is_streamed: bool, gap_ms: int) -> bytes:
    """A chat request of about 1 KB, that tells the mock what to answer."""
    marker = f"[chunks={CHUNKS_PER_STREAM}][gap={gap_ms}ms] " if is_streamed else ""
    messages = [
        {"role": "system", "content": _SYSTEM * 15},
        {"role": "user", "content": marker + "What keeps the gate from letting all of the water through? " * 10},
    ]
    request = {"model": "deepseek/deepseek-v4-flash", "messages": messages, "stream": is_streamed, "max_tokens": 64}
    return json.dumps(request).encode()


def main() -> None:
    """Reads the command line, asks, prints what it cost."""
    parser = argparse.ArgumentParser(description="One upstream transport under load.")
    parser.add_argument("--factory", required=True, metavar="MODULE:FUNCTION")
    parser.add_argument("--origin", required=True, metavar="URL")
    parser.add_argument("--trusted", type=Path)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--duration-s", type=float, default=1.0)
    parser.add_argument("--is-streamed", action="store_true")
    parser.add_argument("--gap-ms", type=int, default=0)
    options = parser.parse_args()
    module, _, function = options.factory.partition(":")
    factory = getattr(importlib.import_module(f"tests.benchmarks.transports.{module}"), function)
    url = urlsplit(options.origin)
    assert url.hostname is not None
    assert url.port is not None
    head = PreparedHead(
        Origin(url.scheme, url.hostname, url.port),
        b"POST",
        b"/api/v1/chat/completions",
        [
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"user-agent", b"penstock"),
            (b"authorization", b"Bearer sk-or-bench"),
        ],
    )
    body = request_body(is_streamed=options.is_streamed, gap_ms=options.gap_ms)
    prepare_to_serve()
    asked = uvloop.run(
        measured(
            lambda: factory(options.trusted),
            head,
            body,
            is_streamed=options.is_streamed,
            callers=options.callers,
            duration_s=options.duration_s,
        )
    )
    print(json.dumps(asdict(asked)))


if __name__ == "__main__":
    main()
