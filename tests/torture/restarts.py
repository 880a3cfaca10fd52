"""r: two instances behind the shipped HAProxy file are restarted one after the other, and no client notices."""

import asyncio
import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.torture.books import LedgerReader, bill, compared, is_settled
from tests.torture.load import Answer, Ask, End, chat, counted, in_parallel, p99_s, send
from tests.torture.plant import AMPLE, CHECKOUT, Key, Plant, running_plant
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun, free_port, wait_for_port

TITLE = "rolling restarts behind a load balancer"

_INSTANCES = 2
_MOST_PER_S = 200.0
_WORKERS = 48
_TIME_SCALE = 0.2  # answers of some seconds take half a second, so that each stop finds some under way
_NOTICE_S = 5.0  # as shipped
_CHECKED_AGAIN_S = 2.5  # until the balancer has seen an instance ready twice, a second apart
_SETTLED_WITHIN_S = 60.0
_REDIS_LATE = "Redis does not answer"  # in the log (router/limits/link.py)
_SDK_RETRIES, _SDK_PAUSE_S = 2, 1.0  # openai-python 3.54; the pause is our Retry-After
_DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class _Progress:
    begun: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)  # set whenever another has begun
    answers: list[tuple[Ask, Answer]] = field(default_factory=list)
    asked_again: list[Answer] = field(default_factory=list)  # what was said before that
    exits: list[int | None] = field(default_factory=list)
    found_under_way: int = 0
    stop_s: list[float] = field(default_factory=list)


async def run(setting: Setting, command: str) -> Result:
    """One process on SQLite has no second one to take over: Redis and PostgreSQL only."""
    if setting.stores != "shared":
        raise CannotRun("one process on SQLite has nobody to take over; run with --stores shared")
    started_s = time.monotonic()
    requests, restarts = setting.scaled(50_000, 1_000), setting.scaled(10, 2)
    progress = _Progress()
    with (
        running_plant(
            setting,
            name="r",
            teams={"ample": AMPLE},
            time_scale=_TIME_SCALE,
            stop_notice_s=_NOTICE_S,
            replicas=_INSTANCES,
            redis_options=", when_unreachable: allowance",  # a busy moment of Redis is not what is tried here
        ) as plant,
        _balancer(plant) as port,
    ):
        asks = _asks(setting.chance("asks"), plant.keys["ample"][0], requests)
        asking_s = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_restart(plant, progress, restarts, requests))
            await _load(asks, port, progress)
            asking_s = time.monotonic() - asking_s
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        ledger = LedgerReader(plant)
        booked = ledger.requests()
        logs = [replica.log.read_text() for replica in plant.replicas]
        comparison = compared(bill(plant), ledger.calls(), booked)
    answers = [answer for _, answer in progress.answers]
    lost = [each for each in answers if each.status == 200 and each.request_id not in booked]
    figures = (
        told("requests", len(answers)),
        told("their ends", counted(answers)),
        told("requests a second", round(len(answers) / asking_s, 1)),
        told("answered within (p99), s", round(p99_s(answers), 2)),
        equal("restarts in order, exit code 0", progress.exits.count(0), restarts),
        at_least("requests under way in the instances when they were stopped", progress.found_under_way, 1),
        told("longest stop, s", round(max(progress.stop_s), 1)),
        told("times that Redis was too late for an instance", sum(log.count(_REDIS_LATE) for log in logs)),
        told("asked again, as the official SDKs do", len(progress.asked_again)),
        *[told("  said", _said(answer)) for answer in progress.asked_again][:2],
        none("failed", sum(answer.status != 200 for answer in answers)),
        *[told("  said", _said(answer)) for answer in answers if answer.status != 200][:3],
        none("cut", sum(answer.status == 200 and not _is_whole(ask, answer) for ask, answer in progress.answers)),
        none("ledger rows lost", len(lost)),
        equal("ledger rows", sum(booked.values()), len(answers) + len(progress.asked_again)),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
        none("duplicates", comparison.duplicates),
        none("missing", len(comparison.missing)),
        equal("everything settled", int(has_settled), 1),
    )
    return Result("r", TITLE, command, figures, time.monotonic() - started_s)


@contextmanager
def _balancer(plant: Plant) -> Iterator[int]:
    """HAProxy under the file that is shipped; its port."""
    program = shutil.which("haproxy", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
    if program is None:
        raise CannotRun("haproxy is not installed (Debian: apt-get install haproxy)")
    port = free_port()
    first, second = plant.replicas
    environment = {
        "PENSTOCK_BIND": f"127.0.0.1:{port}",
        "PENSTOCK_A": f"127.0.0.1:{first.port}",
        "PENSTOCK_B": f"127.0.0.1:{second.port}",
    }
    arguments = [program, "-db", "-f", str(CHECKOUT / "deploy" / "haproxy" / "haproxy.cfg")]
    with (plant.directory / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
    try:
        wait_for_port(port, process=process)
        time.sleep(_CHECKED_AGAIN_S)
        yield port
    finally:
        process.kill()
        process.wait()


def _asks(chance: random.Random, key: Key, count: int) -> list[Ask]:
    """Half of them streamed."""
    asks: list[Ask] = []
    for number in range(count):
        text = f"Tell me about rain, number {number}-{chance.getrandbits(32):08x}."
        body = chat(
            chance.choice(("stops", "runs")), text, is_stream=number % 2 == 0, max_tokens=chance.choice((20, 60, 200))
        )
        asks.append(Ask(key, body))
    return asks


async def _load(asks: list[Ask], port: int, progress: _Progress) -> None:
    """At most so many a second: who is late is not made up for."""
    due_s = time.monotonic()

    async def one(number: int, _: int) -> None:
        nonlocal due_s
        due_s = max(due_s + 1 / _MOST_PER_S, time.monotonic())
        await asyncio.sleep(due_s - time.monotonic())
        progress.begun += 1
        progress.more.set()
        progress.answers.append((asks[number], await _sent(asks[number], port, progress)))

    await in_parallel(len(asks), workers=_WORKERS, work=one)


async def _sent(ask: Ask, port: int, progress: _Progress) -> Answer:
    """Asked again, at most twice, where the answer says that this may help: as the official SDKs do."""
    for _ in range(_SDK_RETRIES):
        answer = await send(ask, port)
        if answer.status == 200 or b"\r\nx-should-retry: true" not in answer.head.lower():
            return answer
        progress.asked_again.append(answer)
        await asyncio.sleep(_SDK_PAUSE_S)
    return await send(ask, port)


async def _restart(plant: Plant, progress: _Progress, restarts: int, requests: int) -> None:
    """Each instance in turn, spread evenly over the requests."""
    for number in range(restarts):
        moment = requests * (number + 1) // (restarts + 2)
        while progress.begun < moment:
            await progress.more.wait()
            progress.more.clear()
        replica = plant.replicas[number % _INSTANCES]
        progress.found_under_way += int(await asyncio.to_thread(replica.metric, "penstock_in_flight_requests") or 0)
        started_s = time.monotonic()
        await asyncio.to_thread(replica.stop)
        progress.stop_s.append(time.monotonic() - started_s)
        assert replica.process is not None
        progress.exits.append(replica.process.returncode)
        await asyncio.to_thread(replica.start)
        await asyncio.sleep(_CHECKED_AGAIN_S)


def _said(answer: Answer) -> str:
    return f"{answer.kind}: {answer.content[:120].decode(errors='replace')}"


def _is_whole(ask: Ask, answer: Answer) -> bool:
    if answer.end is not End.ANSWERED:
        return False
    if b'"stream": true' in ask.body:
        # HAProxy passes the chunks on as they are: the last one has no length.
        return _DONE in answer.content and b'"error"' not in answer.content and answer.content.endswith(b"0\r\n\r\n")
    return answer.content.endswith(b"}")
