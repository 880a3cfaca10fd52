"""s: Redis frozen, killed, emptied and absent at the start, and PostgreSQL stopped, under load.

Nothing with a budget may be let in while Redis cannot say what is left; whatever is refused is refused at once. The
ledger waits in the journals until PostgreSQL is back.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.torture.books import Comparison, LedgerReader, bill, compared, is_settled
from tests.torture.load import Answer, Ask, chat, counted, p99_s, send
from tests.torture.plant import STOPS_AT_CANCEL, Key, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, equal, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun, SharedStores

TITLE = "outages of Redis and PostgreSQL"

_WORKERS = 16
_ANSWER_P99_S = 0.3
_RECOVERED_WITHIN_S = 2.0
_LATE_ATTACH_WITHIN_S = 5.0
_SETTLED_WITHIN_S = 60.0

_REFUSING = ("frozen", "killed", "absent")  # while these last nothing with a budget may be let in

# Each outage has a team of its own, whose budget is spent in the middle of it, if it can be overspent at all.
_LIMIT_NANO_USD = 60_000_000
_TEAM = """
team: {team}
budgets: [{{limit_usd: {limit_usd:.9f}, per: month}}]
aliases: {{auto: {{model: {model}}}}}
"""


@dataclass(slots=True)
class _Phase:
    """What clients saw while something was wrong, and how long it took until one was served again."""

    answers: list[Answer] = field(default_factory=list)
    recovered_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Outage:
    name: str
    begin: Callable[[SharedStores], None]
    end: Callable[[SharedStores], None] | None  # None: it is over at once


_OUTAGES = (
    _Outage("frozen", lambda stores: stores.redis.freeze(), lambda stores: stores.redis.thaw()),
    _Outage("killed", lambda stores: stores.redis.kill(), lambda stores: stores.redis.start()),
    _Outage("wiped", lambda stores: stores.redis.wipe(), None),
    _Outage("nopostgres", lambda stores: stores.postgres.stop(), lambda stores: stores.postgres.start()),
)


async def run(setting: Setting, command: str) -> Result:
    if setting.stores != "shared":
        raise CannotRun("one process on SQLite has neither Redis nor PostgreSQL; run with --stores shared")
    started_s = time.monotonic()
    outage_s = setting.scaled(30, 3)
    names = [outage.name for outage in _OUTAGES] + ["absent"]
    teams = {name: _TEAM.format(team=name, limit_usd=_LIMIT_NANO_USD / 10**9, model=STOPS_AT_CANCEL) for name in names}
    phases: dict[str, _Phase] = {}
    with running_plant(setting, name="s", teams=teams, time_scale=0.05, is_started=False) as plant:
        phases["absent"], late_s = await _absent_at_start(plant, setting)
        for outage in _OUTAGES:
            phases[outage.name] = await _suffered(plant, outage, setting, outage_s)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        ledger = LedgerReader(plant)
        calls = ledger.calls()
        comparison = compared(bill(plant), calls, ledger.requests())
        spent = Counter[str]()
        for call in calls:
            spent[call.team] += call.cost_nano_usd
    figures = (
        *_seen(phases),
        at_most("absent at start: served after Redis came, s", late_s, _LATE_ATTACH_WITHIN_S),
        *(none(f"{name}: overspent, nano-USD", max(spent[name] - _LIMIT_NANO_USD, 0)) for name in names),
        equal("everything settled", int(has_settled), 1),
        *_money(comparison),
    )
    return Result("s", TITLE, command, figures, time.monotonic() - started_s)


async def _absent_at_start(plant: Plant, setting: Setting) -> tuple[_Phase, float]:
    """The replicas begin while there is no Redis; what they answer, and how long it takes them once there is."""
    assert plant.shared is not None
    phase = _Phase()
    plant.shared.redis.kill()
    for replica in plant.replicas:
        await asyncio.to_thread(replica.start, is_awaited=False)
    for replica in plant.replicas:
        await asyncio.to_thread(replica.wait_until_listening)
    async with _clients(plant, plant.keys["absent"][0], setting.chance("absent"), phase):
        await asyncio.sleep(1)
    await asyncio.to_thread(plant.shared.redis.start)
    return phase, await _served_after_s(plant, plant.keys["absent"][0], limit_s=4 * _LATE_ATTACH_WITHIN_S)


async def _suffered(plant: Plant, outage: _Outage, setting: Setting, outage_s: float) -> _Phase:
    """Load before, during and after; only what was asked during the outage is kept."""
    assert plant.shared is not None
    key, chance = plant.keys[outage.name][0], setting.chance(outage.name)
    phase, before = _Phase(), _Phase()
    async with _clients(plant, key, chance, before):
        await asyncio.sleep(0.5)
        await asyncio.to_thread(outage.begin, plant.shared)
    if outage.end is not None:
        async with _clients(plant, key, chance, phase):
            await asyncio.sleep(outage_s)
        await asyncio.to_thread(outage.end, plant.shared)
    phase.recovered_s = await _served_after_s(plant, key, limit_s=4 * _RECOVERED_WITHIN_S)
    return phase


@asynccontextmanager
async def _clients(plant: Plant, key: Key, chance: random.Random, phase: _Phase) -> AsyncIterator[None]:
    """Clients that ask as long as the context is open; answers that come after it are kept too."""
    is_over = False

    async def client(me: int) -> None:
        while not is_over:
            answer = await send(_ask(key, chance), plant.replicas[me % len(plant.replicas)].port)
            phase.answers.append(answer)
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as tasks:
        for me in range(_WORKERS):
            tasks.create_task(client(me))
        yield
        is_over = True


async def _served_after_s(plant: Plant, key: Key, *, limit_s: float) -> float:
    """How long until a request is let in or refused for want of money: either way the budget is known again."""
    started_s, chance = time.monotonic(), random.Random(0)
    while (passed_s := time.monotonic() - started_s) < limit_s:
        answers = [await send(_ask(key, chance), replica.port) for replica in plant.replicas]
        if all(answer.status in (200, 429) for answer in answers):
            return passed_s
        await asyncio.sleep(0.02)
    return passed_s


def _ask(key: Key, chance: random.Random) -> Ask:
    text = f"Tell me about tea, number {chance.getrandbits(32):08x}."
    return Ask(key, chat("auto", text, is_stream=chance.random() < 0.5, max_tokens=200))


def _seen(phases: dict[str, _Phase]) -> tuple[Figure, ...]:
    figures: list[Figure] = []
    for name, phase in phases.items():
        refused = [answer for answer in phase.answers if answer.status == 503]
        figures.append(told(f"{name}: answers", counted(phase.answers)))
        if name in _REFUSING:
            figures.append(at_least(f"{name}: refused with 503", len(refused), 1))
            figures.append(
                none(f"{name}: of these without Retry-After", sum(not each.has_retry_after for each in refused))
            )
        figures.append(at_most(f"{name}: refusal p99, s", p99_s(refused), _ANSWER_P99_S))
        if name != "absent":
            figures.append(at_most(f"{name}: served again after, s", phase.recovered_s, _RECOVERED_WITHIN_S))
    return tuple(figures)


def _money(comparison: Comparison) -> tuple[Figure, ...]:
    return (
        none("ledger rows lost", len(comparison.missing)),
        none("duplicates", comparison.duplicates),
        none("billed calls with another cost in the ledger", len(comparison.different)),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
    )
