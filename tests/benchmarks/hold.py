"""Opens streams and keeps them: each has had its first chunk, and then nothing more comes until this process is ended.

    python -m tests.benchmarks.hold --port 8000 --streams 1000

Prints `holding N` when all have their first chunk, or when only N of them have and no other came for `--patience-s`.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
from typing import cast

import uvloop

from tests.benchmarks.prompts import PromptSeries

_SILENCE_MS = 3_600_000  # longer than anyone measures
_AT_A_TIME = 64  # streams being opened; a crowd that comes at once is another question


class Held(asyncio.Protocol):
    """One stream; `began` is set with its first chunk, or with the loss of its connection."""

    def __init__(self, request: bytes) -> None:
        self.began = asyncio.Event()
        self.is_held = False
        self._request = request
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.is_held:
            return
        self._received += data
        if b'"choices"' in self._received:  # a comment is no chunk: it comes while the upstream is still waited for
            self.is_held = True
            self._received = self._request = b""
            self.began.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_held = False
        self.began.set()


async def hold(port: int, streams: int, *, patience_s: float, prompts: PromptSeries) -> None:
    """Opens the streams, says how many are held, and waits to be ended."""
    loop = asyncio.get_running_loop()
    turns = asyncio.Semaphore(_AT_A_TIME)
    held: list[Held] = []

    async def open_one(number: int) -> None:
        async with turns:
            stream = Held(prompts.request(number))
            held.append(stream)
            await loop.create_connection(lambda: stream, "127.0.0.1", port)
            await stream.began.wait()
            patience.reschedule(loop.time() + patience_s)  # each that comes may be followed by others

    try:
        async with asyncio.timeout(patience_s) as patience, asyncio.TaskGroup() as tasks:
            for number in range(streams):
                tasks.create_task(open_one(number))
    except TimeoutError:
        pass  # the line below says how many there are
    print(f"holding {sum(stream.is_held for stream in held)}", flush=True)
    await loop.create_future()


def raise_open_files_limit() -> int:
    """Lets this process and those it starts open as many files as the machine allows; that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main() -> None:
    """Reads the command line and holds."""
    parser = argparse.ArgumentParser(description="Opens streams that say nothing after their first chunk.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--patience-s", type=float, default=5.0)
    parser.add_argument("--api-key", default="bench")
    parser.add_argument("--path", default="/v1/chat/completions")
    options = parser.parse_args()
    raise_open_files_limit()
    prompts = PromptSeries(
        prompt_bytes=600, is_streamed=True, gap_ms=_SILENCE_MS, api_key=options.api_key, path=options.path
    )
    uvloop.run(hold(options.port, options.streams, patience_s=options.patience_s, prompts=prompts))


if __name__ == "__main__":
    main()
