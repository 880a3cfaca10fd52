"""p: a process is stopped in the middle of everything (SIGSTOP) while Redis loses its counters and others spend.

What is guaranteed: as long as it sleeps for less than a minute, the counters stay closed for its sake, and nothing is
overspent. If it sleeps longer it is taken for dead, and others may be given the money that it holds: then no more is
overspent than what the calls cost that it had sent before. What it had not sent yet it gives up when it wakes.
"""

import asyncio
import random
import time
from collections.abc import Iterator

from tests.torture.agreement import agreement, budgets_at_rest, money, read, spent_by_scope
from tests.torture.books import is_settled
from tests.torture.load import Answer, Ask, asking, chat, counted, send, spend_to_the_end
from tests.torture.plant import STOPS_AT_CANCEL, Key, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

TITLE = "a process sleeps while Redis is restarted and others spend"

_TIME_SCALE = 0.3
_STREAMS = 12  # each takes some seconds
_SHORT_ONES = 40
_WORKERS = 16
_SETTLED_WITHIN_S = 60.0
_PATIENCE_S = 300.0  # of those who asked the process that sleeps

_BRIEFLY_S = 10.0  # longer than the quarantine
_LONG_S = 90.0  # longer than the minute for which others wait for it
_WAITED_FOR_S = 60.0

_LIMIT_NANO_USD = 12_000_000  # the others spend what is left of it before the long sleep ends
_TEAM = f"""
team: sleepy
budgets: [{{limit_usd: {_LIMIT_NANO_USD / 10**9:.9f}, per: month}}]
aliases: {{auto: {{model: {STOPS_AT_CANCEL}}}}}
"""


async def run(setting: Setting, command: str) -> Result:
    if setting.stores != "shared":
        raise CannotRun("one process on SQLite shares nothing with others; run with --stores shared")
    started_s = time.monotonic()
    figures: list[Figure] = []
    for asleep_s in (_BRIEFLY_S,) if setting.is_short else (_BRIEFLY_S, _LONG_S):
        figures += await _slept(setting, asleep_s)
    return Result("p", TITLE, command, tuple(figures), time.monotonic() - started_s)


async def _slept(setting: Setting, asleep_s: float) -> tuple[Figure, ...]:
    chance = setting.chance(f"asleep {asleep_s}")
    meanwhile: list[Answer] = []
    afterwards: list[Answer] = []
    with running_plant(
        setting, name=f"p-{asleep_s:.0f}", teams={"sleepy": _TEAM}, time_scale=_TIME_SCALE
    ) as plant:  # fmt: skip
        assert plant.shared is not None
        key, sleeper, others = plant.keys["sleepy"][0], plant.replicas[0], plant.replicas[1:]
        async with asyncio.TaskGroup() as tasks:
            asked = await _asked(tasks, plant, key, chance)
            sleeper.pause()
            caught = [task for task in asked if not task.done()]
            await asyncio.to_thread(plant.shared.redis.kill)
            await asyncio.to_thread(plant.shared.redis.start)
            async with asking(_short_ones(key, chance), others, meanwhile, workers=_WORKERS):
                await asyncio.sleep(asleep_s)
                sleeper.wake()
                await asyncio.sleep(2)
        await spend_to_the_end(_short_ones(key, chance), plant.replicas, afterwards)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        calls, comparison = read(plant)
        budgets = await budgets_at_rest(plant)
    spent = spent_by_scope(calls)
    overspent = max(spent["team", "sleepy"] - _LIMIT_NANO_USD, 0)
    answers = [task.result() for task in caught]
    ids = {answer.request_id for answer in answers}
    sent = sum(call.cost_nano_usd for call in calls if call.request_id in ids)
    return (
        told(f"asleep for {asleep_s:.0f} s: under way in the process", len(caught)),
        at_least("  of these sent before: calls", sum(call.request_id in ids for call in calls), 1),
        told("  that cost, nano-USD", sent),
        told("  their answers when it woke", counted(answers)),
        told("  answers of the others meanwhile", counted(meanwhile)),
        at_least("  of these refused for want of money", sum(each.status == 429 for each in meanwhile), 1)
        if asleep_s > _WAITED_FOR_S
        else told("  of these refused for want of money", sum(each.status == 429 for each in meanwhile)),
        none("  overspent, nano-USD", overspent)
        if asleep_s < _WAITED_FOR_S
        else at_most("  overspent, nano-USD: no more than it had sent", overspent, sent),
        at_least("  refused for want of money in the end", sum(each.status == 429 for each in afterwards), 1),
        *money(comparison, has_settled),
        *agreement(budgets, spent),
    )


async def _asked(tasks: asyncio.TaskGroup, plant: Plant, key: Key, chance: random.Random) -> list[asyncio.Task[Answer]]:
    """Some streams under way in the process, and short requests at every point of theirs."""
    port = plant.replicas[0].port
    asks = [_ask(key, chance, "Write a long essay about tea", max_tokens=2_000) for _ in range(_STREAMS)]
    asked = [tasks.create_task(send(ask, port, patience_s=_PATIENCE_S)) for ask in asks]
    await asyncio.sleep(1.5)
    for ask, _ in zip(_short_ones(key, chance), range(_SHORT_ONES), strict=False):
        asked.append(tasks.create_task(send(ask, port, patience_s=_PATIENCE_S)))
        await asyncio.sleep(0.005)
    return asked


def _short_ones(key: Key, chance: random.Random) -> Iterator[Ask]:
    """Without end."""
    while True:
        yield _ask(key, chance, "Tell me about tea", max_tokens=200)


def _ask(key: Key, chance: random.Random, wish: str, *, max_tokens: int) -> Ask:
    text = f"{wish}, number {chance.getrandbits(32):08x}."
    return Ask(key, chat("auto", text, is_stream=True, max_tokens=max_tokens))
