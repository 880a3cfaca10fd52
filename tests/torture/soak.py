"""soak: after twenty minutes of everything that clients do, the proxy holds no more than before.

Clients give up, ask for models that there are not, and send prompts of two megabytes. Memory is looked at from outside
(/proc), open files too; what tasks there are is told by the process itself (opened.py). What it remembers of prompts, a
hundred thousand beginnings at most, is filled before by long conversations: else that takes most of the time, and looks
like a leak.
"""

import asyncio
import json
import os
import random
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.torture.books import LedgerReader, bill, compared, is_settled
from tests.torture.load import Answer, Ask, End, at_a_rate, chat, in_parallel, send
from tests.torture.plant import AMPLE, Key, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import free_port

TITLE = "a soak: memory, files and tasks after much of everything"

_PER_S = 200  # requests
_LONG_S, _SHORT_S = 1_200, 4
_WARM_S = 300  # caches, pools and what is learned fill meanwhile
_CUT, _JUNK, _HUGE = 0.2, 0.05, 0.01  # shares of the requests
_HUGE_BYTES = 2_000_000
_SAMPLE_S = 5.0
_TIME_SCALE = 0.05
_FIRST = 60  # requests before anything is compared
_CONVERSATIONS, _MESSAGES = 5_000, 29  # of each 28 beginnings are remembered
_BACK_WITHIN_S = (
    120.0  # idle connections to the provider are closed after half a minute, records asked for some seconds
)
_BACK_WITHIN = 5  # files, and tasks
_SLOPE_MIB = 1.0  # in ten minutes
_LEAST_OF_S = (
    30.0  # prompts of two megabytes under way move the memory by 30 MiB: of so long the least says what is kept
)
_IN_CIRCLES = 1_000  # some fifteen requests would be as many
_SLOPE_OVER_S = 600.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_WORDS = (
    "water",
    "gate",
    "turbine",
    "river",
    "valve",
    "level",
    "reservoir",
    "spring",
    "canal",
    "lock",
    "basin",
    "weir",
)


@dataclass(slots=True)
class _Held:
    """What the process has at a moment."""

    files: int
    tasks: int
    rss_mib: float
    objects: Counter[str]
    in_circles: int  # objects that were, since the last look or the last garbage collection


@dataclass(slots=True)
class _Soaked:
    ends: Counter[str] = field(default_factory=Counter)
    rss: list[tuple[float, float]] = field(default_factory=list)  # seconds since the beginning, MiB
    is_over: bool = False


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    lasts_s = setting.scaled(_LONG_S, _SHORT_S)
    looked_into = free_port()
    with running_plant(
        setting, name="soak", teams={"ample": AMPLE}, time_scale=_TIME_SCALE, is_started=False
    ) as plant:  # fmt: skip
        [replica] = plant.replicas
        replica.program = ("tests.torture.opened", str(looked_into))
        await asyncio.to_thread(replica.start)
        asks = _asks(setting.chance("soak"), plant.keys["ample"][0], has_huge=not setting.is_short)
        soaked = _Soaked()

        async def one(_: int, __: int = 0) -> None:
            answer = await send(next(asks), replica.port)
            soaked.ends[_kind(answer)] += 1

        await in_parallel(_FIRST, workers=4, work=one)
        await asyncio.to_thread(is_settled, plant, within_s=_BACK_WITHIN_S)
        before = await asyncio.to_thread(_held, replica.pid, looked_into)
        if not setting.is_short:
            conversations = _conversations(plant.keys["ample"][0])

            async def converse(_: int, __: int = 0) -> None:
                await send(next(conversations), replica.port)

            await in_parallel(_CONVERSATIONS, workers=4, work=converse)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_sample(replica.pid, soaked))
            await at_a_rate(lasts_s * _PER_S, per_s=_PER_S, work=one)
            soaked.is_over = True
        in_circles = (await asyncio.to_thread(_held, replica.pid, looked_into)).in_circles
        is_drained = await asyncio.to_thread(is_settled, plant, within_s=_BACK_WITHIN_S)
        after, back_s = await _back(lambda: _held(replica.pid, looked_into), before)
        ledger = LedgerReader(plant)
        comparison = compared(bill(plant), ledger.calls(), ledger.requests())
        _keep(setting.directory, before, after, soaked)
    figures = (
        told("requests; a second", f"{soaked.ends.total():,}; {_PER_S}"),
        told("their ends", ", ".join(f"{kind} {count}" for kind, count in soaked.ends.most_common())),
        at_least("given up", soaked.ends["hung up"], lasts_s * _PER_S * _CUT / 2),
        at_least("of models that there are not", soaked.ends["404"], lasts_s * _PER_S * _JUNK / 2),
        told("turned away, 503", soaked.ends["503"]),
        none("broken, unanswered or 500", sum(soaked.ends[each] for each in ("broken", "not connected", "500"))),
        *_memory(soaked.rss, is_short=setting.is_short),
        told(
            "files before; after; tasks before; after", f"{before.files}; {after.files}; {before.tasks}; {after.tasks}"
        ),
        at_most("files more than before", after.files - before.files, _BACK_WITHIN),
        at_most("tasks more than before", after.tasks - before.tasks, _BACK_WITHIN),
        told("they were back after, s", round(back_s, 1)),
        at_most("objects in circles, at the end", in_circles, _IN_CIRCLES),
        equal("drained", int(is_drained), 1),
        none("duplicates", comparison.duplicates),
        none("missing", len(comparison.missing)),
        none("billed calls with another cost in the ledger", len(comparison.different) - comparison.doubtful_calls),
    )
    return Result("soak", TITLE, command, figures, time.monotonic() - started_s)


def _asks(chance: random.Random, key: Key, *, has_huge: bool) -> Iterator[Ask]:
    huge = [" ".join(chance.choices(_WORDS, k=_HUGE_BYTES // 6))[:_HUGE_BYTES] for _ in range(3)] if has_huge else []
    number = 0
    while True:
        number += 1
        text = f"Tell me about tea, number {number}-{chance.getrandbits(32):08x}."
        if huge and chance.random() < _HUGE:
            text += chance.choice(huge)
        model = f"junk-{chance.getrandbits(40)}" if chance.random() < _JUNK else chance.choice(("stops", "runs"))
        body = chat(model, text, is_stream=chance.random() < 0.5, max_tokens=chance.choice((20, 60, 200)))
        cut_after_bytes = chance.choice((0, 1, 200, 700, 3_000)) if chance.random() < _CUT else None
        yield Ask(key, body, cut_after_bytes=cut_after_bytes, is_reset=chance.random() < 0.5)


def _conversations(key: Key) -> Iterator[Ask]:
    number = 0
    while True:
        number += 1
        said = [
            f"Turn {turn} of conversation {number}: is the {_WORDS[turn % len(_WORDS)]} open?"
            for turn in range(_MESSAGES)
        ]
        messages = [{"role": ("user", "assistant")[turn % 2], "content": text} for turn, text in enumerate(said)]
        yield Ask(key, json.dumps({"model": "stops", "messages": messages, "max_tokens": 20}).encode())


def _kind(answer: Answer) -> str:
    return answer.kind if answer.end is not End.HUNG_UP else "hung up"


async def _sample(pid: int, soaked: _Soaked) -> None:
    started_s = time.monotonic()
    while not soaked.is_over:
        soaked.rss.append((time.monotonic() - started_s, _rss_mib(pid)))
        await asyncio.sleep(_SAMPLE_S)


def _memory(samples: Sequence[tuple[float, float]], *, is_short: bool) -> tuple[Figure, ...]:
    warm = [(at_s, mib) for at_s, mib in samples if at_s >= _WARM_S]
    all_told = told("memory at first; at last, MiB", f"{samples[0][1]:.1f}; {samples[-1][1]:.1f}")
    if is_short:
        return (all_told,)
    growth, of_all = (_slope(each) * _SLOPE_OVER_S for each in (_least(warm), warm))
    return (
        all_told,
        told("memory when warm; at most after that, MiB", f"{warm[0][1]:.1f}; {max(mib for _, mib in warm):.1f}"),
        at_most("growth of memory when warm, MiB in ten minutes", growth, _SLOPE_MIB),
        told("  with what is under way", round(of_all, 2)),
    )


def _least(samples: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The sample with the least memory of each span of time."""
    spans: dict[int, tuple[float, float]] = {}
    for at_s, mib in samples:
        span = int(at_s / _LEAST_OF_S)
        if span not in spans or mib < spans[span][1]:
            spans[span] = (at_s, mib)
    return list(spans.values())


def _slope(samples: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that is nearest, by least squares."""
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / sum((x - mean_x) ** 2 for x, _ in samples)


async def _back(look: Callable[[], _Held], before: _Held) -> tuple[_Held, float]:
    """What is held once it is as little as before, or when patience ends; and how long that took."""
    started_s = time.monotonic()
    while True:
        held = await asyncio.to_thread(look)
        lasted_s = time.monotonic() - started_s
        is_back = held.files - before.files <= _BACK_WITHIN and held.tasks - before.tasks <= _BACK_WITHIN
        if is_back or lasted_s > _BACK_WITHIN_S:
            return held, lasted_s
        await asyncio.sleep(1.0)


def _held(pid: int, port: int) -> _Held:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as reply:
        seen: dict[str, Any] = json.loads(reply.read())
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return _Held(files, seen["tasks"], _rss_mib(pid), Counter(seen["objects"]), seen["in_circles"])


def _rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 2**20


def _keep(directory: Path, before: _Held, after: _Held, soaked: _Soaked) -> None:
    """For whoever looks for what grows: which objects there are more of, and the memory over time."""
    more = {kind: count - before.objects[kind] for kind, count in after.objects.most_common()}
    told_more = {"more": dict(Counter(more).most_common(30)), "rss": soaked.rss}
    (directory / "soaked.json").write_text(json.dumps(told_more))
