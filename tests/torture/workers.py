"""w: workers of one parent are killed and stopped under load, and their metrics tell the ledger's sum exactly."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.torture.agreement import read
from tests.torture.books import is_settled
from tests.torture.load import Answer, Ask, asking, chat, counted
from tests.torture.plant import AMPLE, Key, Plant, Replica, running_plant
from tests.torture.result import Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "workers are killed and stopped, and metrics, ledger and bill agree"

_WORKERS = 2
_CLIENTS = 24
_TIME_SCALE = 0.05
_ASLEEP_S = 30.0
_PAUSES_S = (0.3, 5.0)  # between two kills
_BACK_WITHIN_S = 60.0
_SETTLED_WITHIN_S = 90.0
_LIMIT_NANO_USD = 6_000_000
_SMALL = f"""
team: small
time_zone: UTC
budgets: [{{limit_usd: {_LIMIT_NANO_USD / 10**9:.9f}, per: month}}]
aliases: {{stops: {{model: deepseek/deepseek-v4-flash}}, runs: {{model: google/gemini-3.1-flash-lite}}}}
"""


async def run(setting: Setting, command: str) -> Result:
    if setting.stores != "shared":
        raise CannotRun("several workers need Redis and PostgreSQL; run with --stores shared")
    started_s = time.monotonic()
    answers: list[Answer] = []
    with running_plant(
        setting,
        name="w",
        teams={"ample": AMPLE, "small": _SMALL},
        time_scale=_TIME_SCALE,
        replicas=1,
        options=("--workers", str(_WORKERS)),
    ) as plant:
        (parent,) = plant.replicas
        keys = [key for each in plant.keys.values() for key in each]
        async with asking(_asks(keys, setting.chance("asks")), plant.replicas, answers, workers=_CLIENTS):
            kills = await _killed(parent, setting.chance("kills"), lasts_s=setting.scaled(90, 15))
            if not setting.is_short:
                await _slept(parent)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        calls, comparison = read(plant)
        booked = sum(call.cost_nano_usd for call in calls)
        counted_nano_usd = await _counted(plant, booked)
        spent = sum(call.cost_nano_usd for call in calls if call.team == "small")
        restarts = parent.metric("penstock_worker_restarts_total") or 0
    figures = (
        told("answers", counted(answers)),
        at_least("workers killed", kills, 3),
        equal("workers started in their place", round(restarts), kills),
        told("spent, nano-USD", booked),
        none("sum(penstock_spend_usd_total) - ledger, nano-USD", counted_nano_usd - booked),
        at_most("spent of a budget that was spent, nano-USD", spent, _LIMIT_NANO_USD),
        equal("everything settled", int(has_settled), 1),
        none("ledger rows lost", len(comparison.missing)),
        none("duplicates", comparison.duplicates),
        none("billed calls with another cost in the ledger", len(comparison.different)),
        none("calls with an id still in doubt", comparison.doubtful_calls),
        none("ledger - bill without killed-before-id calls, nano-USD", comparison.imbalance_nano_usd),
        told("killed before an id was known, so still held: calls", comparison.unnamed_calls),
    )
    return Result("w", TITLE, command, figures, time.monotonic() - started_s)


async def _counted(plant: Plant, booked: int) -> int:
    """What the metrics say once they say what the ledger does, or after patience: what is in doubt is asked about."""
    deadline_s = time.monotonic() + 15
    while True:
        found = await asyncio.to_thread(plant.replicas[0].metric, "penstock_spend_usd_total")
        nano_usd = round((found or 0) * 1e9)
        if nano_usd == booked or time.monotonic() > deadline_s:
            return nano_usd
        await asyncio.sleep(0.5)


async def _killed(parent: Replica, chance: random.Random, *, lasts_s: float) -> int:
    """Kill one or all of them again and again; how many. Returns when all serve again."""
    kills = 0
    deadline_s = time.monotonic() + lasts_s
    while time.monotonic() < deadline_s:
        alive = _pids(parent)
        for pid in alive if chance.random() < 0.2 else [chance.choice(alive)] if alive else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                kills += 1
        await asyncio.sleep(chance.uniform(*_PAUSES_S))
    await _all_back(parent)
    return kills


async def _slept(parent: Replica) -> None:
    """One of them is stopped for a while."""
    pid = _pids(parent)[0]
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(_ASLEEP_S)
    os.kill(pid, signal.SIGCONT)
    await asyncio.sleep(2)


async def _all_back(parent: Replica) -> None:
    deadline_s = time.monotonic() + _BACK_WITHIN_S
    while time.monotonic() < deadline_s:
        if await asyncio.to_thread(parent.metric, "penstock_workers") == _WORKERS:
            return
        await asyncio.sleep(0.1)


def _pids(parent: Replica) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]


def _asks(keys: list[Key], chance: random.Random) -> Iterator[Ask]:
    """Without end; half of them streams, some of which are hung up on."""
    while True:
        is_stream = chance.random() < 0.5
        text = f"Tell me about water, number {chance.getrandbits(32):08x}."
        body = chat(chance.choice(("stops", "runs")), text, is_stream=is_stream, max_tokens=chance.choice((40, 400)))
        is_cut = is_stream and chance.random() < 0.25
        yield Ask(chance.choice(keys), body, cut_after_bytes=chance.choice((0, 200, 3_000)) if is_cut else None)
