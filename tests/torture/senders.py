"""senders: who sends slowly is not waited for, and nobody else has to wait for him.

The slow ones are another process (`python -m tests.torture.senders`), so that the time of the others is the proxy's.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from tests.torture.load import Answer, Ask, at_a_rate, chat, p99_s, send
from tests.torture.plant import AMPLE, CHECKOUT, Plant, running_plant
from tests.torture.result import Figure, Result, at_most, equal, none, told
from tests.torture.setting import Setting

TITLE = "slow senders are closed, and nobody else waits for them"

KINDS = ("empty", "head", "body", "long body")
_MOST_S = 15.0
_PATIENCE_S = 30.0  # of the slow ones, until they tell that they were not closed
_MOST_RATIO = 1.5
_PER_S = 20.0
_BYTE_EVERY_S = 1.0
_LONG_BYTES = 40_000


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    with running_plant(setting, name="slow", teams={"ample": AMPLE}, time_scale=0.0, replicas=1) as plant:
        figures = [figure async for figure in _figures(setting, plant)]
    return Result("senders", TITLE, command, tuple(figures), time.monotonic() - started_s)


async def _figures(setting: Setting, plant: Plant) -> AsyncIterator[Figure]:
    [replica] = plant.replicas
    count, rounds = setting.scaled(2_000, 50), setting.scaled(2, 1)
    kinds = ("empty", "head", "long body") if setting.is_short else KINDS
    quiet: list[Answer] = []
    beside: list[Answer] = []
    # The proxy has a core of its own, of which slow senders take only what they ask of the proxy.
    os.sched_setaffinity(replica.pid, {min(os.sched_getaffinity(0))})
    await _asked(plant, seconds=2, answers=[])
    latest_s: dict[str, float] = dict.fromkeys(kinds, 0.0)
    left = dict.fromkeys(kinds, 0)
    for _ in range(rounds):
        if setting.is_short:  # all at once, as there is no time for one after the other
            found = await asyncio.gather(*(_slow(plant, kind, count) for kind in kinds))
        else:
            found = []
            for kind in kinds:  # the quiet and the loud time of each follow each other
                await _asked(plant, seconds=12, answers=quiet)
                async with asyncio.TaskGroup() as tasks:
                    slow = tasks.create_task(_slow(plant, kind, count))
                    await _asked(plant, seconds=12, answers=beside)
                found.append(slow.result())
        for kind, (unclosed, last_s) in zip(kinds, found, strict=True):
            latest_s[kind] = max(latest_s[kind], last_s)
            left[kind] += unclosed
    for kind in kinds:
        yield none(f"{kind}: of {count:,} connections, left open", left[kind])
        yield at_most(f"{kind}: the last is closed after, s", latest_s[kind], _MOST_S)
    if quiet:
        for name, answers in (("in quiet", quiet), ("beside slow senders", beside)):
            yield equal(f"answers of 200 {name}", sum(each.status == 200 for each in answers), len(answers))
            yield told(f"p99 {name}, ms", round(p99_s(answers) * 1000, 1))
        yield at_most("p99 beside them : p99 in quiet", p99_s(beside) / p99_s(quiet), _MOST_RATIO)
    refused = replica.metric("penstock_connections_refused_total")
    yield equal("connections refused, as the metric has it", round(refused or 0), count * len(kinds) * rounds)


async def _asked(plant: Plant, *, seconds: float, answers: list[Answer]) -> None:
    key, port = plant.keys["ample"][0], plant.replicas[0].port

    async def one(number: int) -> None:
        answers.append(await send(Ask(key, chat("stops", f"Say {number}.", is_stream=False, max_tokens=5)), port))

    await at_a_rate(int(seconds * _PER_S), per_s=_PER_S, work=one)


async def _slow(plant: Plant, kind: str, count: int) -> tuple[int, float]:
    """How many of them were not closed, and when the last one was."""
    arguments = [str(plant.replicas[0].port), kind, str(count), plant.keys["ample"][0].text]
    child = await asyncio.create_subprocess_exec(
        *("nice", "-n", "15"),  # who asks honestly is on the same machine, and is not to wait for them either
        *(sys.executable, "-m", "tests.torture.senders", *arguments),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    os.sched_setaffinity(child.pid, {max(os.sched_getaffinity(0))})
    said, _ = await child.communicate()
    seen: Mapping[str, float] = json.loads(said)
    return round(seen["left"]), seen["last_s"]


async def _all_slow(port: int, kind: str, count: int, key: str) -> None:
    closed_s = await asyncio.gather(*(_sender(port, kind, key, number / count) for number in range(count)))
    times_s = [each for each in closed_s if each is not None]
    sys.stdout.write(json.dumps({"left": count - len(times_s), "last_s": max(times_s, default=0.0)}))


async def _sender(port: int, kind: str, key: str, begins_s: float) -> float | None:
    """After how long it was closed from the other side; None: it was not. Their beginnings are spread over a second."""
    await asyncio.sleep(begins_s)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    started_s = time.monotonic()
    writer.write(_beginning(kind, key))
    async with asyncio.TaskGroup() as tasks:
        closed = tasks.create_task(_closed(reader))
        while not closed.done() and time.monotonic() < started_s + _PATIENCE_S:
            await asyncio.wait([closed], timeout=_BYTE_EVERY_S)
            if kind != "empty" and not closed.done():
                writer.write(b"x")
        is_closed = closed.done()
        closed.cancel()
    took_s = time.monotonic() - started_s
    writer.close()
    return took_s if is_closed else None


async def _closed(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        await reader.read()


def _beginning(kind: str, key: str) -> bytes:
    if kind == "empty":
        return b""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {key}\r\n".encode()
    if kind == "head":
        return head + b"X: "
    return head + b"Content-Length: 1000000\r\n\r\n" + b"x" * (_LONG_BYTES if kind == "long body" else 1)


if __name__ == "__main__":
    given_port, given_kind, given_count, given_key = sys.argv[1:]
    asyncio.run(_all_slow(int(given_port), given_kind, int(given_count), given_key))
