"""More requests than can be answered, from a process of their own. Orders and what came back are files of JSON.

Requests leave when they are due, however many are unanswered, on connections that are kept. Every answer is looked at;
times run from the writing of a request to the last byte of its answer.

    python -m tests.torture.crush ORDERS FOUND
"""

import asyncio
import json
import sys
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import msgspec
import uvloop

from tests.benchmarks.http1 import MessageReader

_TICK_S = 0.002
_MOST_CONNECTIONS = 3_000  # of one crowd
_CONNECTED_S, _CONNECTED = 0.1, 8  # connections that there are at first: for so many seconds of requests, and some more
_FIRST_S = 3.0
_LATE_S = 15.0  # after the last request: who has no answer by then has none


class Crowd(msgspec.Struct, frozen=True):
    """Those who ask the same thing, so often."""

    name: str
    port: int
    head: str  # of each request, without content-length
    body: str  # `NUMBER` in it is the number of the request; empty: none
    per_s: float  # open loop; 0: closed loop, with so many
    at_once: int = 0  # connections


class Orders(msgspec.Struct, frozen=True):
    lasts_s: float
    crowds: tuple[Crowd, ...]


@dataclass(slots=True)
class Came:
    """What one crowd got."""

    asked: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    answered_s: "array[float]" = field(default_factory=lambda: array("d"))
    refused_s: "array[float]" = field(default_factory=lambda: array("d"))
    begun: int = 0  # of those that were refused, in the first seconds
    without_retry_after: int = 0


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._reader = MessageReader()
        self._transport: asyncio.Transport | None = None
        self._sent_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._run.free(self)

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._sent_s = perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self._reader.feed(data) and self._sent_s is not None:
            took_s, self._sent_s = perf_counter() - self._sent_s, None
            self._run.note(self._reader.head, self._reader.tail, took_s)
            is_last = b"\r\nconnection: close\r\n" in self._reader.head
            self._reader.reset()
            if not is_last:
                self._run.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._sent_s is not None:
            self._run.came.statuses["lost"] += 1
            self._sent_s = None
        self._run.lost(self)


class _Run:
    """One crowd at work."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.came = Came()
        self._head, self._body = crowd.head.encode(), crowd.body.encode()
        self._idle: list[_Connection] = []
        self._open = 0
        self._waiting = 0  # requests that are due and have no connection yet
        self._is_over = False
        self._started_s = 0.0
        self.connecting: set[asyncio.Task[Any]] = set()

    async def connect(self) -> None:
        """Open as many connections as will be wanted, a few at a time: how fast they are accepted is no subject."""
        wanted = self.crowd.at_once or int(self.crowd.per_s * _CONNECTED_S) + _CONNECTED
        for _ in range(wanted):
            self._connect()
            if len(self.connecting) >= _CONNECTED:
                await asyncio.wait(self.connecting)
        if self.connecting:
            await asyncio.wait(self.connecting)

    async def run(self, lasts_s: float) -> None:
        self._started_s = perf_counter()
        if not self.crowd.per_s:
            while self._idle:
                self._send(self._idle.pop())
            await asyncio.sleep(lasts_s)
            self._is_over = True
            return
        due = 0.0
        while (now_s := perf_counter() - self._started_s) < lasts_s:
            while due <= now_s:
                due += 1 / self.crowd.per_s
                self._ask()
            await asyncio.sleep(_TICK_S)
        self._is_over = True

    def _ask(self) -> None:
        if self._idle:
            self._send(self._idle.pop())
            return
        self._waiting += 1
        if self._open < _MOST_CONNECTIONS:
            self._connect()

    def _connect(self) -> None:
        self._open += 1
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.crowd.port))
        self.connecting.add(task)
        task.add_done_callback(self._connected)

    def _connected(self, task: "asyncio.Task[Any]") -> None:
        self.connecting.discard(task)
        if task.cancelled() or task.exception() is not None:
            self._open -= 1
            self.came.statuses["not connected"] += 1

    def free(self, connection: _Connection) -> None:
        if self._waiting:
            self._waiting -= 1
            self._send(connection)
        elif self.crowd.at_once and self.came.asked and not self._is_over:
            self._send(connection)
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)

    def _send(self, connection: _Connection) -> None:
        self.came.asked += 1
        body = self._body.replace(b"NUMBER", b"%d" % self.came.asked)
        length = b"content-length: %d\r\n" % len(body) if body else b""
        connection.send(b"%b%b\r\n%b" % (self._head, length, body))

    def note(self, head: bytes, tail: bytes, took_s: float) -> None:
        came = self.came
        status = head[9:12].decode()
        if status == "503":
            lowered = head.lower()
            came.without_retry_after += b"\r\nretry-after:" not in lowered or b"x-should-retry: true" not in lowered
            if perf_counter() - self._started_s < _FIRST_S:
                came.begun += 1
            came.refused_s.append(took_s)
            status = "503 overloaded" if b'"overloaded"' in tail else "503"
        elif status == "200":
            came.answered_s.append(took_s)
        came.statuses[status] += 1

    @property
    def unanswered(self) -> int:
        return self.came.asked - self.came.statuses.total() + self._waiting


async def crushed(orders: Orders) -> dict[str, Any]:
    runs = [_Run(crowd) for crowd in orders.crowds]
    async with asyncio.TaskGroup() as tasks:
        for run in runs:
            tasks.create_task(run.connect())
    busy_s, started_s = time.process_time(), perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for run in runs:
            tasks.create_task(run.run(orders.lasts_s))
    lasted_s = perf_counter() - started_s
    busy_s = time.process_time() - busy_s
    deadline_s = perf_counter() + _LATE_S
    while any(run.unanswered for run in runs) and perf_counter() < deadline_s:  # noqa: ASYNC110 - a client
        await asyncio.sleep(0.02)
    for run in runs:
        run.came.statuses["none"] += run.unanswered
    crowds = {run.crowd.name: _told(run.came) for run in runs}
    return {"lasted_s": lasted_s, "busy": busy_s / lasted_s, "crowds": crowds}


def _told(came: Came) -> dict[str, Any]:
    return {
        "asked": came.asked,
        "statuses": dict(came.statuses),
        "answered_s": sorted(came.answered_s),
        "refused_s": sorted(came.refused_s[came.begun :]),
        "refused_at_first_s": sorted(came.refused_s[: came.begun]),
        "without_retry_after": came.without_retry_after,
    }


def part(ordered: Sequence[float], share: float) -> float:
    """The value below which that share is; 0 of nothing."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


if __name__ == "__main__":
    orders, found = Path(sys.argv[1]), Path(sys.argv[2])
    came = uvloop.run(crushed(msgspec.json.decode(orders.read_bytes(), type=Orders)))
    found.write_text(json.dumps(came))
