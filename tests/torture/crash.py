"""a: replicas are killed in the middle of everything, and not a nano-dollar may be lost or counted twice."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from tests.torture.books import (
    BookedOnDisk,
    Comparison,
    LedgerReader,
    bill,
    booked_in_budget_nano_usd,
    compared,
    shortfall_nano_usd,
)
from tests.torture.load import Ask, chat, in_parallel, send_to_any
from tests.torture.plant import AMPLE, Key, Plant, Replica, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting

TITLE = "crash ledger: SIGKILL at seeded moments"

_WORKERS = 32  # for each replica
_SAMPLE_S = 0.1
_RECONCILED_WITHIN_S = 30.0
_TIME_SCALE = 0.05  # answers of some seconds take some tenths, so that a kill always finds some under way
# What a provider may do wrong while our own process dies; each tells its cost somehow, at once or in its record.
_FAULTS = ("503", "429", "no-usage", "no-cost", "mid-stream-error", "drop-mid-stream", "no-done")


@dataclass(slots=True)
class _Samples:
    taken: int = 0
    failed: int = 0
    largest_shortfall_nano_usd: int = 0


@dataclass(slots=True)
class _Progress:
    begun: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)  # set whenever another has begun
    is_over: bool = False
    kills: int = 0
    on_disk: _Samples = field(default_factory=_Samples)
    in_budget: _Samples = field(default_factory=_Samples)
    ends: Counter[str] = field(default_factory=Counter)


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    requests, kills = setting.scaled(20_000, 400), setting.scaled(200, 5)
    with running_plant(setting, name="a", teams={"ample": AMPLE}, time_scale=_TIME_SCALE) as plant:
        asks = _asks(setting.chance("asks"), plant.keys["ample"][0], requests)
        progress = _Progress()
        async with asyncio.TaskGroup() as tasks:
            on_disk = BookedOnDisk(plant)
            tasks.create_task(_watch(on_disk.nano_usd, plant, progress, progress.on_disk))
            in_budget = partial(booked_in_budget_nano_usd, plant, "ample")
            tasks.create_task(_watch(in_budget, plant, progress, progress.in_budget))
            killer = tasks.create_task(_kill(plant, setting.chance("kills"), progress, kills, requests))
            await _load(plant, asks, progress)
            await killer
            await asyncio.to_thread(_wait_until_up, plant)
            reconciled_s = await asyncio.to_thread(_reconciled_after_s, plant)
            progress.is_over = True
        ledger = LedgerReader(plant)
        comparison = compared(bill(plant), ledger.calls(), ledger.requests())
    figures = _figures(comparison, progress, reconciled_s=reconciled_s, kills=kills)
    return Result("a", TITLE, command, figures, time.monotonic() - started_s)


def _asks(chance: random.Random, key: Key, count: int) -> list[Ask]:
    """Half of them streamed, a quarter of these hung up on, a tenth going wrong at the provider."""
    asks: list[Ask] = []
    for number in range(count):
        is_stream = chance.random() < 0.5
        faults = _FAULTS if is_stream else tuple(fault for fault in _FAULTS if fault != "drop-mid-stream")
        fault = f"[sandbox:fault={chance.choice(faults)}] " if chance.random() < 0.1 else ""
        text = f"{fault}Tell me about water, number {number}-{chance.getrandbits(32):08x}."
        model = chance.choice(("stops", "runs"))
        body = chat(model, text, is_stream=is_stream, max_tokens=chance.choice((40, 150, 400)))
        is_cut = is_stream and chance.random() < 0.25
        cut_after_bytes = chance.choice((0, 1, 200, 700, 3_000, 9_000)) if is_cut else None
        asks.append(Ask(key, body, cut_after_bytes=cut_after_bytes, is_reset=chance.random() < 0.5))
    return asks


async def _load(plant: Plant, asks: list[Ask], progress: _Progress) -> None:
    async def one(number: int, worker: int) -> None:
        progress.begun += 1
        progress.more.set()
        answer = await send_to_any(asks[number], plant.replicas, first=worker)
        progress.ends[answer.kind] += 1

    await in_parallel(len(asks), workers=_WORKERS * len(plant.replicas), work=one)


async def _kill(plant: Plant, chance: random.Random, progress: _Progress, kills: int, requests: int) -> None:
    """Each kill comes when so many requests have begun and a little later, at a replica that was up."""
    moments = sorted(chance.sample(range(_WORKERS, requests), kills))
    for moment in moments:
        victim = chance.choice(list(plant.replicas))
        delay_s = chance.uniform(0, 0.1)
        while progress.begun < moment:
            await progress.more.wait()
            progress.more.clear()
        await asyncio.to_thread(victim.wait_until_ready)
        await asyncio.sleep(delay_s)
        await asyncio.to_thread(_kill_and_restart, victim)
        progress.kills += 1
        if len(plant.replicas) == 1:
            await asyncio.to_thread(victim.wait_until_ready)


def _kill_and_restart(victim: Replica) -> None:
    victim.kill()
    victim.start(is_awaited=False)


async def _watch(booked_nano_usd: Callable[[], int | None], plant: Plant, progress: _Progress, seen: _Samples) -> None:
    """Ten times a second, where that can be told so often: is everything on the bill booked?"""
    due_s = time.monotonic()
    while not progress.is_over:
        shortfall = await asyncio.to_thread(shortfall_nano_usd, plant, booked_nano_usd)
        if shortfall is not None:
            seen.taken += 1
            seen.failed += shortfall > 0
            seen.largest_shortfall_nano_usd = max(seen.largest_shortfall_nano_usd, shortfall)
        due_s = max(due_s + _SAMPLE_S, time.monotonic())
        await asyncio.sleep(due_s - time.monotonic())


def _wait_until_up(plant: Plant) -> None:
    for replica in plant.replicas:
        replica.wait_until_ready()


def _reconciled_after_s(plant: Plant) -> float:
    """How long until nothing is under way, the ledger has everything, and no call with a name is in doubt.

    Gives up after twice the limit.
    """
    ledger, on_disk, started_s = LedgerReader(plant), BookedOnDisk(plant), time.monotonic()
    while True:
        passed_s = time.monotonic() - started_s
        in_doubt = any(call.source == "held" and call.generation_id is not None for call in ledger.calls())
        is_done = plant.is_idle() and not in_doubt and not on_disk.only_in_journals()
        if is_done or passed_s > 2 * _RECONCILED_WITHIN_S:
            return passed_s
        time.sleep(0.25)


def _figures(comparison: Comparison, progress: _Progress, *, reconciled_s: float, kills: int) -> tuple[Figure, ...]:
    requests = sum(progress.ends.values())
    return (
        told("requests", requests),
        told("their ends", ", ".join(f"{end} {count}" for end, count in progress.ends.most_common())),
        equal("SIGKILLs", progress.kills, kills),
        at_least("calls billed", comparison.billed_calls, requests // 2),
        told("bill, nano-USD", comparison.bill_nano_usd),
        none("duplicates", comparison.duplicates),
        none("missing", len(comparison.missing)),
        none("billed calls with another cost in the ledger", len(comparison.different)),
        none("calls with a cost that are not on the bill", len(comparison.unbilled)),
        at_most("reconciled after, s", reconciled_s, _RECONCILED_WITHIN_S),
        none("calls with an id still in doubt then", comparison.doubtful_calls),
        none("ledger - bill without killed-before-id calls, nano-USD", comparison.imbalance_nano_usd),
        told("killed before an id was known, so still held: calls", comparison.unnamed_calls),
        told("  held for them, nano-USD", comparison.unnamed_nano_usd),
        told("  of that on the bill, nano-USD", comparison.unknown_nano_usd),
        *_samples("on disk", progress.on_disk),
        *_samples("in the budget", progress.in_budget),
    )


def _samples(where: str, seen: _Samples) -> tuple[Figure, ...]:
    return (
        at_least(f"samples of bill ≤ settled + held, {where}", seen.taken, 1),
        none("  that failed", seen.failed),
        told("  largest shortfall, nano-USD", seen.largest_shortfall_nano_usd),
    )
