"""Clients: what each of them asks, when it hangs up, and what came back. Plain sockets, so that hanging up is exact."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from tests.torture.plant import Key, Replica

_PATIENCE_S = 60.0  # a client that gets nothing for so long gives up
_RETRY_S = 0.05  # between attempts at a replica that is being restarted
_PAUSE_S = 0.05  # of a client, between two requests
_SPENDERS = 16
_SPENT_WITHIN_S = 60.0


class End(Enum):
    """How a request ended for its client."""

    ANSWERED = auto()
    HUNG_UP = auto()  # by us, at the byte that was planned
    BROKEN = auto()  # the connection broke, or fell silent: the replica was killed, most likely
    NOT_CONNECTED = auto()  # nothing was sent


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    key: Key
    body: bytes
    tags: str = ""  # comma-separated, for x-penstock-tags
    cut_after_bytes: int | None = None  # hang up once so much of the answer has come, head included; None: stay
    is_reset: bool = False  # hang up with RST rather than FIN

    def head(self) -> bytes:
        tags = f"X-Penstock-Tags: {self.tags}\r\n" if self.tags else ""
        return (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: torture\r\nAuthorization: Bearer {self.key.text}\r\n{tags}"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\nConnection: close\r\n\r\n"
        ).encode()


@dataclass(frozen=True, slots=True)
class Answer:
    end: End
    status: int | None  # None if not even that came
    head: bytes
    content: bytes
    duration_s: float

    @property
    def kind(self) -> str:
        """The status, or how it ended without one."""
        return str(self.status) if self.end is End.ANSWERED else self.end.name.lower().replace("_", " ")

    @property
    def has_retry_after(self) -> bool:
        return b"\r\nretry-after:" in self.head.lower()

    @property
    def request_id(self) -> str | None:
        """What the ledger calls the request, if the answer says so."""
        lines = (line.partition(b": ") for line in self.head.lower().split(b"\r\n"))
        return next((value.decode() for name, _, value in lines if name == b"x-request-id"), None)

    def error(self) -> dict[str, Any]:
        """The error of an answer that is one."""
        found: dict[str, Any] = json.loads(self.content)["error"]
        return found


def chat(model: str, text: str, *, is_stream: bool, max_tokens: int) -> bytes:
    """The body of a chat request."""
    fields = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens}
    return json.dumps({**fields, "stream": is_stream}).encode()


async def send(ask: Ask, port: int, *, patience_s: float = _PATIENCE_S) -> Answer:
    """Make the request once. Never raises for what the network does."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return Answer(End.NOT_CONNECTED, None, b"", b"", loop.time() - started_s)
    received = b""
    end = End.BROKEN
    try:
        async with asyncio.timeout(patience_s):
            writer.write(ask.head() + ask.body)
            received, is_cut = await _received(reader, ask.cut_after_bytes)
            end = End.HUNG_UP if is_cut else End.ANSWERED
    except (OSError, TimeoutError):
        pass  # `end` says so
    finally:
        if ask.is_reset and end is End.HUNG_UP:
            writer.transport.abort()
        writer.close()
    head, _, content = received.partition(b"\r\n\r\n")
    status = int(head[9:12]) if len(head) >= 12 else None
    if end is End.ANSWERED and status is None:
        end = End.BROKEN
    return Answer(end, status, head, content, loop.time() - started_s)


async def send_to_any(ask: Ask, replicas: Sequence[Replica], *, first: int) -> Answer:
    """Make the request at the first replica that takes connections; while none does, wait."""
    turn = first
    while True:
        answer = await send(ask, replicas[turn % len(replicas)].port)
        if answer.end is not End.NOT_CONNECTED:
            return answer
        turn += 1
        await asyncio.sleep(_RETRY_S)


async def send_all(asks: Sequence[Ask], replicas: Sequence[Replica], *, workers: int) -> list[Answer]:
    """Make every request once, so many at a time, in turn at all replicas; the answers as they came."""
    answers: list[Answer] = []

    async def one(number: int, worker: int) -> None:
        answers.append(await send(asks[number], replicas[worker % len(replicas)].port))

    await in_parallel(len(asks), workers=workers, work=one)
    return answers


@asynccontextmanager
async def asking(
    asks: Iterator[Ask], replicas: Sequence[Replica], answers: list[Answer], *, workers: int
) -> AsyncIterator[None]:
    """Clients that ask as long as the context is open; answers that come after it are kept too."""
    is_over = False

    async def client(me: int) -> None:
        while not is_over:
            answers.append(await send(next(asks), replicas[me % len(replicas)].port))
            await asyncio.sleep(_PAUSE_S)

    async with asyncio.TaskGroup() as tasks:
        for me in range(workers):
            tasks.create_task(client(me))
        yield
        is_over = True


async def spend_to_the_end(asks: Iterator[Ask], replicas: Sequence[Replica], answers: list[Answer]) -> None:
    """Ask until there is no money any more, or it takes too long: several refusals, as holds are given back."""
    found: list[Answer] = []
    deadline_s = time.monotonic() + _SPENT_WITHIN_S
    async with asking(asks, replicas, found, workers=_SPENDERS):
        while sum(each.status == 429 for each in found) < _SPENDERS:
            await asyncio.sleep(0.1)
            if time.monotonic() > deadline_s:
                break
    answers += found


def counted(answers: Iterable[Answer]) -> str:
    """How many answers there were of each kind, for people."""
    counts = Counter(answer.kind for answer in answers)
    return ", ".join(f"{kind} {count}" for kind, count in counts.most_common())


def p99_s(answers: Iterable[Answer]) -> float:
    """The time within which 99 in 100 were answered."""
    ordered = sorted(answer.duration_s for answer in answers)
    return ordered[len(ordered) * 99 // 100] if ordered else 0.0


async def in_parallel(count: int, *, workers: int, work: Callable[[int, int], Awaitable[None]]) -> None:
    """Call `work(number, worker)` for the numbers below `count`, so many at a time, in order."""
    numbers = iter(range(count))

    async def worker(me: int) -> None:
        for number in numbers:
            await work(number, me)

    async with asyncio.TaskGroup() as tasks:
        for me in range(workers):
            tasks.create_task(worker(me))


async def at_a_rate(count: int, *, per_s: float, work: Callable[[int], Awaitable[None]]) -> None:
    """Call `work(number)` for the numbers below `count`, each when it is due, however many are still under way."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await asyncio.sleep(max(started_s + number / per_s - loop.time(), 0))
            tasks.create_task(_awaited(work(number)))


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _received(reader: asyncio.StreamReader, cut_after_bytes: int | None) -> tuple[bytes, bool]:
    """All that came, and whether it was cut. Raises OSError."""
    parts: list[bytes] = []
    size = 0
    while cut_after_bytes is None or size < cut_after_bytes:
        most = 65_536 if cut_after_bytes is None else min(65_536, cut_after_bytes - size)
        data = await reader.read(most)
        if not data:
            return b"".join(parts), False
        parts.append(data)
        size += len(data)
    return b"".join(parts), True
