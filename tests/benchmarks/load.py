"""The load generator: sends chat requests over keep-alive connections and counts the complete answers.

Closed loop by default: each connection sends its next request when the last one is answered. With `--rate-per-s`
open loop: a request leaves on schedule whether or not earlier ones were answered, on a connection of its own; finding
no free connection counts as a failure. Latency runs from the write of the request to the last byte of the answer. An
answer counts only with status 200 and a whole body.

    python -m tests.benchmarks.load --port 8000 --connections 32 --duration-s 2      prints one JSON object
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter  # loop.time() of uvloop is rounded to milliseconds
from typing import cast

import uvloop

from tests.benchmarks.http1 import MessageReader
from tests.benchmarks.prompts import PromptSeries

GRACE_S = 10.0  # how long answers may still arrive after the last request was sent
RECONNECT_PAUSE_S = 0.05  # a proxy that refuses connections is not hammered


@dataclass(frozen=True, slots=True)
class Workload:
    """What to send, and how hard."""

    port: int
    connections: int
    duration_s: float  # no new requests after this
    request_limit: int | None = None  # closed loop only: stop after so many
    rate_per_s: float | None = None  # open loop when given
    prompt_bytes: int = 600  # with the system message and the fields around it, a body of about 1 KB
    is_streamed: bool = False
    gap_ms: int = 0  # between the chunks of a stream
    api_key: str = "bench"
    path: str = "/v1/chat/completions"
    history_bytes: int = 0  # of conversation before each prompt, the same every time
    history_seed: int = 0  # which conversation
    headers: tuple[str, ...] = ()  # lines to send as well, "name: value"


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came back."""

    successes: int
    failures: dict[str, int]  # by kind
    duration_s: float
    latency_p50_ms: float
    latency_p99_ms: float
    first_byte_p50_ms: float


class LoadRun:
    """The state all connections of one run share: what was sent, answered, failed, and when to stop."""

    def __init__(self, workload: Workload, prompts: PromptSeries, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_streamed = workload.is_streamed
        self.latencies_s = array("d")
        self.first_bytes_s = array("d")
        self.failures: Counter[str] = Counter()
        self.idle: list[Connection] = []
        self.has_connected = asyncio.Event()  # until then there is nothing to keep a schedule with
        self._prompts = prompts
        self._is_paced = workload.rate_per_s is not None
        self._request_limit = workload.request_limit
        self._deadline_s = perf_counter() + workload.duration_s
        self._sent = 0

    @property
    def is_over(self) -> bool:
        """Whether no further request may be sent."""
        return perf_counter() >= self._deadline_s or self._sent == self._request_limit

    def next_request(self) -> bytes:
        """The next request, counted as sent."""
        self._sent += 1
        return self._prompts.request(self._sent)

    def became_free(self, connection: Connection) -> None:
        """A connection has nothing to do: give it the next request, shelve it, or close it."""
        self.has_connected.set()
        if self.is_over:
            connection.close()
        elif self._is_paced:
            self.idle.append(connection)
        else:
            connection.send()


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self, run: LoadRun) -> None:
        self.closed: asyncio.Future[None] = run.loop.create_future()
        self._run = run
        self._reader = MessageReader()
        self._transport: asyncio.Transport | None = None
        self._sent_at_s: float | None = None
        self._first_byte_at_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is one in all but inheritance
        self._run.became_free(self)

    def send(self) -> None:
        """Sends the run's next request."""
        assert self._transport is not None
        self._sent_at_s = perf_counter()
        self._first_byte_at_s = None
        self._transport.write(self._run.next_request())

    def close(self) -> None:
        """Closes the connection; `closed` follows."""
        assert self._transport is not None
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._first_byte_at_s is None:
            self._first_byte_at_s = perf_counter()
        if self._reader.feed(data):
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent_at_s is not None:
            self._run.failures["connection lost"] += 1
        if self in self._run.idle:
            self._run.idle.remove(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def _finish(self) -> None:
        if self._sent_at_s is None or self._first_byte_at_s is None:
            self._run.failures["unasked answer"] += 1
            self.close()
            return
        problem = answer_problem(self._reader, is_streamed=self._run.is_streamed)
        if problem is None:
            self._run.latencies_s.append(perf_counter() - self._sent_at_s)
            self._run.first_bytes_s.append(self._first_byte_at_s - self._sent_at_s)
        else:
            self._run.failures[problem] += 1
        self._sent_at_s = None
        self._reader.reset()
        self._run.became_free(self)


def answer_problem(answer: MessageReader, *, is_streamed: bool) -> str | None:
    """Why a finished answer does not count, or None."""
    status = answer.head[9:12]
    if status != b"200":
        return f"status {status.decode('latin-1')}"
    is_whole = b"data: [DONE]\n\n" in answer.tail if is_streamed else b"}" in answer.tail
    return None if is_whole else "incomplete body"


async def run_workload(workload: Workload) -> LoadResult:
    """Runs the workload to its end and says what came back."""
    loop = asyncio.get_running_loop()
    prompts = PromptSeries(
        prompt_bytes=workload.prompt_bytes,
        is_streamed=workload.is_streamed,
        gap_ms=workload.gap_ms,
        api_key=workload.api_key,
        path=workload.path,
        history_bytes=workload.history_bytes,
        history_seed=workload.history_seed,
        headers=workload.headers,
    )
    started_s = perf_counter()
    run = LoadRun(workload, prompts, loop)
    try:
        async with asyncio.timeout(workload.duration_s + GRACE_S), asyncio.TaskGroup() as tasks:
            for _ in range(workload.connections):
                tasks.create_task(_keep_connected(run, workload.port))
            if workload.rate_per_s is not None:
                tasks.create_task(_pace(run, workload.rate_per_s))
    except TimeoutError:
        run.failures["no answer in time"] += 1
    return LoadResult(
        successes=len(run.latencies_s),
        failures=dict(run.failures),
        duration_s=perf_counter() - started_s,
        latency_p50_ms=percentile_ms(run.latencies_s, 50),
        latency_p99_ms=percentile_ms(run.latencies_s, 99),
        first_byte_p50_ms=percentile_ms(run.first_bytes_s, 50),
    )


async def _keep_connected(run: LoadRun, port: int) -> None:
    while not run.is_over:
        try:
            _, connection = await run.loop.create_connection(lambda: Connection(run), "127.0.0.1", port)
        except OSError:
            run.failures["connect"] += 1
            await asyncio.sleep(RECONNECT_PAUSE_S)
            continue
        await connection.closed


async def _pace(run: LoadRun, rate_per_s: float) -> None:
    """Sends on schedule; a late wake-up is this process's fault and delays the request, not its latency."""
    await run.has_connected.wait()
    due_s = perf_counter()
    while not run.is_over:
        due_s += 1 / rate_per_s
        await asyncio.sleep(due_s - perf_counter())
        if run.idle:
            run.idle.pop(0).send()
        else:
            run.failures["no free connection"] += 1
    for connection in tuple(run.idle):
        connection.close()


def percentile_ms(seconds: Sequence[float], percent: int) -> float:
    """The percentile in milliseconds; 0 when there is nothing to tell."""
    if len(seconds) < 2:
        return 1000 * sum(seconds)
    return 1000 * statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1]


def arguments(workload: Workload) -> list[str]:
    """The command-line arguments that `main` turns back into `workload`."""
    fields = asdict(workload)
    headers = [f"--header={line}" for line in fields.pop("headers")]
    options = [f"--{name.replace('_', '-')}={value}" for name, value in fields.items() if value not in (None, False)]
    return ["--is-streamed" if option == "--is-streamed=True" else option for option in options] + headers


def main() -> None:
    """Reads the command line, runs the workload, prints the result as JSON."""
    parser = argparse.ArgumentParser(description="Sends chat requests and counts the answers.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--duration-s", type=float, default=2.0)
    parser.add_argument("--request-limit", type=int)
    parser.add_argument("--rate-per-s", type=float)
    parser.add_argument("--prompt-bytes", type=int, default=600)
    parser.add_argument("--is-streamed", action="store_true")
    parser.add_argument("--gap-ms", type=int, default=0)
    parser.add_argument("--api-key", default="bench")
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--history-bytes", type=int, default=0)
    parser.add_argument("--history-seed", type=int, default=0)
    parser.add_argument("--header", dest="headers", action="append", default=[], metavar="LINE")
    options = vars(parser.parse_args())
    workload = Workload(**options | {"headers": tuple(options["headers"])})
    gc.disable()  # nothing here makes cycles worth collecting, and a collection would look like the proxy's latency
    print(json.dumps(asdict(uvloop.run(run_workload(workload)))))


if __name__ == "__main__":
    main()
