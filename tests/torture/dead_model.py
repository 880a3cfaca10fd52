"""o: one of three models is dead for a while, in each of three ways, and no client notices."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.torture.books import LedgerReader, is_settled
from tests.torture.load import Answer, Ask, End, at_a_rate, chat, counted, p99_s, send
from tests.torture.moody_upstream import Asked, Mood, MoodyUpstream, moody_upstream
from tests.torture.plant import Plant, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting

TITLE = "one of three models is dead"

_PER_S = 200.0
_WELL_S = 2.0  # before it dies, and after it has come back
_DEAD_S, _DEAD_SHORT_S = 8.0, 3.0  # so that the second probe comes when it lives again; the first
_MOST_FAILURES, _WITHIN_S = 5, 1.0
_OPEN_S = 5.0  # the first time, then twice as long (docs/failover.md)
_AT_ONCE_S = 0.5
_SHARE_WHEN_BACK = 0.95
_SETTLED_WITHIN_S = 30.0
_FIRST, _OTHERS = "deepseek/deepseek-v4-flash", ("deepseek/deepseek-v4-pro", "openai/gpt-5.4")

_TEAM = f"""
team: three
time_zone: UTC
budgets:
  - {{limit_usd: 100000, per: month}}
aliases:
  auto: {{policy: three}}
policies:
  three:
    candidates: [{", ".join((_FIRST, *_OTHERS))}]
    objective: cheapest
    first_token_timeout_s: 0.5
"""


@dataclass(frozen=True, slots=True)
class _Death:
    """What was seen of one."""

    answers: Sequence[Answer]
    failures: Sequence[Asked]  # calls that met it before it was left alone
    probes: Sequence[Asked]  # and after that, with the first one that was answered
    probes_due: int
    closed_gap_s: float  # between the probe that was answered and the next request it got
    share_when_back: float
    rate_per_s: float


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    moods: tuple[Mood, ...] = ("503",) if setting.is_short else ("503", "reset", "silent")
    figures: list[Figure] = []
    for mood in moods:
        figures += await _tried(setting, mood)
    return Result("o", TITLE, command, tuple(figures), time.monotonic() - started_s)


async def _tried(setting: Setting, mood: Mood) -> list[Figure]:
    """Everything anew for each: a model that dies again within a minute is left alone for longer."""
    async with moody_upstream() as upstream:
        with running_plant(
            setting,
            name=f"o-{mood}",
            teams={"three": _TEAM},
            time_scale=0,
            upstream_port=upstream.port,
            has_breakers=True,
            replicas=1,
        ) as plant:
            death = await _death(setting, plant, upstream, mood)
            await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
            ledger_nano_usd = sum(call.cost_nano_usd for call in LedgerReader(plant).calls())
    # Calls whose connection broke may be billed, so their holds stay. This provider bills none of them.
    missing = at_most("  billed, not in the ledger, nano-USD", upstream.billed_nano_usd - ledger_nano_usd, 0)
    return [*_figures(mood, death), missing]


def _figures(mood: Mood, death: _Death) -> list[Figure]:
    failed = [each for each in death.answers if each.status != 200 or each.end is not End.ANSWERED]
    took_s = death.failures[-1].at_s - death.failures[0].at_s if death.failures else 0.0
    is_quick = len(death.failures) <= _MOST_FAILURES or took_s <= _WITHIN_S
    return [
        told(f"dead by {mood}: requests; a second", f"{len(death.answers):,}; {death.rate_per_s:.0f}"),
        none("  client errors", len(failed)),
        *[told("    said", counted(failed))][: len(failed)],
        told("  answered within (p99), s", round(p99_s(death.answers), 2)),
        told("  calls that met it before it was left alone; within, s", f"{len(death.failures)}; {took_s:.2f}"),
        equal(f"  that is ≤ {_MOST_FAILURES} or ≤ {_WITHIN_S:g} s", int(is_quick), 1),
        equal("  probes, the last one answered", len(death.probes), death.probes_due),
        at_most("  from that one to the next request, s", death.closed_gap_s, _AT_ONCE_S),
        at_least("  its share of the requests from then on", death.share_when_back, _SHARE_WHEN_BACK),
    ]


async def _death(setting: Setting, plant: Plant, upstream: MoodyUpstream, mood: Mood) -> _Death:
    # It opens at once for 5 s, fails the probe, opens for 10 s, and is back.
    length_s = _WELL_S + (_OPEN_S if setting.is_short else 3 * _OPEN_S) + _WELL_S
    asks = _asks(plant, setting, mood, round(length_s * _PER_S))
    answers: list[Answer] = []
    started_s = time.monotonic()

    async def one(number: int) -> None:
        answers.append(await send(asks[number], plant.replicas[0].port))

    async def die() -> tuple[float, float]:
        await asyncio.sleep(_WELL_S)
        upstream.moods[_FIRST], died_s = mood, time.monotonic()
        await asyncio.sleep(_DEAD_SHORT_S if setting.is_short else _DEAD_S)
        upstream.moods[_FIRST] = "well"
        return died_s, time.monotonic()

    async with asyncio.TaskGroup() as tasks:
        dying = tasks.create_task(die())
        await at_a_rate(len(asks), per_s=_PER_S, work=one)
        rate_per_s = len(asks) / (time.monotonic() - started_s)
    died_s, revived_s = dying.result()
    calls = upstream.asked_of(_FIRST, since_s=died_s)
    failures = [call for call in calls if call.at_s < died_s + _OPEN_S]
    probes = [call for call in calls if died_s + _OPEN_S <= call.at_s < revived_s]
    after = [call for call in calls if call.at_s >= revived_s]
    gap_s = after[1].at_s - after[0].at_s if len(after) > 1 else float("inf")
    back_s = after[0].at_s if after else float("inf")
    others = sum(call.model != _FIRST and call.at_s > back_s + _AT_ONCE_S for call in upstream.asked)
    mine = sum(call.at_s > back_s + _AT_ONCE_S for call in after)
    share = mine / max(mine + others, 1)
    return _Death(
        answers,
        failures,
        probes=[*probes, *after[:1]],
        probes_due=setting.scaled(2, 1),
        closed_gap_s=gap_s,
        share_when_back=share,
        rate_per_s=rate_per_s,
    )


def _asks(plant: Plant, setting: Setting, mood: Mood, count: int) -> list[Ask]:
    """Half of them streamed; all where it is the first token that does not come in time."""
    key, chance = plant.keys["three"][0], setting.chance(f"asks {mood}")
    return [
        Ask(
            key,
            chat(
                "auto",
                f"Tell me about rain, number {number}-{chance.getrandbits(32):08x}.",
                is_stream=mood == "silent" or number % 2 == 0,
                max_tokens=50,
            ),
        )
        for number in range(count)
    ]
