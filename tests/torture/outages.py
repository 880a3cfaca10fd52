"""s: Redis frozen, killed, emptied, restarted from an old snapshot and absent at the start; PostgreSQL stopped.

Nothing with a budget may be let in while Redis cannot say what is left, but what was set aside beforehand; whatever is
refused is refused at once; whatever has no budget is served. After each outage its team spends what it has to the end.
The ledger waits in the journals until PostgreSQL is back.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.torture.agreement import agreement, budgets_at_rest, money, read, spent_by_scope
from tests.torture.books import is_settled, nano_usd
from tests.torture.load import Answer, Ask, asking, chat, counted, p99_s, send, spend_to_the_end
from tests.torture.plant import STOPS_AT_CANCEL, Key, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, at_most, none, told
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun, SharedStores

TITLE = "outages of Redis and PostgreSQL"

_WORKERS = 16
_FREE_WORKERS = 4
_TIME_SCALE = 0.05
_ANSWER_P99_S = 0.3
_RECOVERED_WITHIN_S = 2.0
_LATE_ATTACH_WITHIN_S = 5.0
_SETTLED_WITHIN_S = 60.0

# Each outage has a team of its own. A request holds 50,000 to 100,000 and costs about a third of it.
_LIMIT_NANO_USD = 20_000_000
_TEAM = """
team: {team}
budgets: [{{limit_usd: {limit_usd:.9f}, per: month}}]
aliases: {{auto: {{model: {model}}}}}
"""
_FREE = f"""
team: free
aliases: {{auto: {{model: {STOPS_AT_CANCEL}}}}}
"""

# With an allowance a process holds a twentieth of each budget, as long as more than half is left.
_ALLOWANCE = ", when_unreachable: allowance, allowance: {per_mille: 50}"
_KEYS = 3
_PROJECT = "red"
_ALLOWED = """
team: allowed
budgets: [{team}]
each_key: {{budgets: [{key}]}}
projects: {{{name}: {{budgets: [{project}]}}}}
aliases: {{auto: {{model: {model}}}}}
"""
# In the end so little of each is left that nothing is set aside any more: the last key finds 40,000,000 of its team's.
_ALLOWANCE_LIMITS = {"team": 160_000_000, "key": 60_000_000, "project": 50_000_000}
_SLICES_WITHIN_S = 20.0


@dataclass(slots=True)
class _Phase:
    """What clients saw while something was wrong and until it was right again, and how long that took."""

    during: list[Answer] = field(default_factory=list)
    recovering: list[Answer] = field(default_factory=list)
    free: list[Answer] = field(default_factory=list)  # of the team without budgets and limits, all the time
    afterwards: list[Answer] = field(default_factory=list)  # until there was no money any more
    recovered_s: float = 0.0

    @property
    def refused(self) -> list[Answer]:
        return [answer for answer in (*self.during, *self.recovering) if answer.status == 503]


@dataclass(frozen=True, slots=True)
class _Outage:
    name: str
    begin: Callable[[SharedStores], None]
    end: Callable[[SharedStores], None] | None  # None: it is over at once
    prepare: Callable[[SharedStores], None] = lambda _: None  # under load, before more is spent
    is_refused: bool = True  # nothing with a budget may be let in


_OUTAGES = (
    _Outage("frozen", lambda stores: stores.redis.freeze(), lambda stores: stores.redis.thaw()),
    _Outage("killed", lambda stores: stores.redis.kill(), lambda stores: stores.redis.start()),
    _Outage("wiped", lambda stores: stores.redis.wipe(), None),
    _Outage(
        "old snapshot",
        lambda stores: stores.redis.kill(),
        lambda stores: stores.redis.start(),
        prepare=lambda stores: stores.redis.save(),
    ),
    _Outage("no ledger", lambda s: s.postgres.stop(), lambda s: s.postgres.start(), is_refused=False),
)


async def run(setting: Setting, command: str) -> Result:
    if setting.stores != "shared":
        raise CannotRun("one process on SQLite has neither Redis nor PostgreSQL; run with --stores shared")
    started_s = time.monotonic()
    figures = (*await _closed(setting), *await _with_allowance(setting))
    return Result("s", TITLE, command, figures, time.monotonic() - started_s)


# Closed: what has a budget waits for Redis


async def _closed(setting: Setting) -> tuple[Figure, ...]:
    outage_s = setting.scaled(30, 3)
    names = [*(outage.name for outage in _OUTAGES), "absent"]
    teams = {
        _team(name): _TEAM.format(team=_team(name), limit_usd=_LIMIT_NANO_USD / 10**9, model=STOPS_AT_CANCEL)
        for name in names
    }
    phases: dict[str, _Phase] = {}
    with running_plant(
        setting, name="s", teams={**teams, "free": _FREE}, time_scale=_TIME_SCALE, is_started=False
    ) as plant:  # fmt: skip
        phases["absent"] = await _absent_at_start(plant, setting, outage_s)
        for outage in _OUTAGES:
            phases[outage.name] = await _suffered(plant, outage, setting, outage_s)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        calls, comparison = read(plant)
        budgets = await budgets_at_rest(plant)
    spent = spent_by_scope(calls)
    figures: list[Figure] = []
    for name, phase in phases.items():
        figures += _seen(name, phase, is_refused=all(outage.is_refused or outage.name != name for outage in _OUTAGES))
        figures.append(none("  overspent, nano-USD", max(spent["team", _team(name)] - _LIMIT_NANO_USD, 0)))
    return (*figures, *money(comparison, has_settled), *agreement(budgets, spent))


def _team(outage: str) -> str:
    return outage.replace(" ", "-")


async def _absent_at_start(plant: Plant, setting: Setting, outage_s: float) -> _Phase:
    """The replicas begin while there is no Redis."""
    assert plant.shared is not None
    plant.shared.redis.kill()
    for replica in plant.replicas:
        await asyncio.to_thread(replica.start, is_awaited=False)
    for replica in plant.replicas:
        await asyncio.to_thread(replica.wait_until_listening)
        # What a process loads for its first request would be measured else.
        await send(_ask(plant.keys["free"][0], random.Random(0)), replica.port)
    return await _suffered(plant, _Outage("absent", lambda _: None, lambda s: s.redis.start()), setting, outage_s)


async def _suffered(plant: Plant, outage: _Outage, setting: Setting, outage_s: float) -> _Phase:
    """Load before, during and after; what was asked before the outage is not kept."""
    assert plant.shared is not None
    keys, chance, phase = plant.keys[_team(outage.name)], setting.chance(outage.name), _Phase()
    if outage.name != "absent":
        async with asking(_asks(keys, chance), plant.replicas, [], workers=_WORKERS):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(outage.prepare, plant.shared)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(outage.begin, plant.shared)
    async with asking(_asks(plant.keys["free"], chance), plant.replicas, phase.free, workers=_FREE_WORKERS):
        if outage.end is not None:
            async with asking(_asks(keys, chance), plant.replicas, phase.during, workers=_WORKERS):
                await asyncio.sleep(outage_s)
            await asyncio.to_thread(outage.end, plant.shared)
        async with asking(_asks(keys, chance), plant.replicas, phase.recovering, workers=_WORKERS):
            phase.recovered_s = await _served_after_s(plant, keys[0])
    await spend_to_the_end(_asks(keys, chance), plant.replicas, phase.afterwards)
    return phase


def _seen(name: str, phase: _Phase, *, is_refused: bool) -> Iterable[Figure]:
    yield told(f"{name}: answers meanwhile", counted(phase.during) or "over at once")
    yield told("  and until it was right again", counted(phase.recovering))
    if is_refused and phase.during:
        yield at_least("  refused with 503 meanwhile", sum(each.status == 503 for each in phase.during), 1)
        yield none("  let in meanwhile", sum(each.status == 200 for each in phase.during))
    if not is_refused:
        yield none("  refused", len(phase.refused))
    yield none("  refused without Retry-After", sum(not each.has_retry_after for each in phase.refused))
    yield at_most("  refusal p99, s", p99_s(phase.refused), _ANSWER_P99_S)
    limit_s = _LATE_ATTACH_WITHIN_S if name == "absent" else _RECOVERED_WITHIN_S
    yield at_most("  budgets known again after, s", phase.recovered_s, limit_s)
    yield at_least("  without budget and limit: asked", len(phase.free), 1)
    yield none("  of these not served", sum(each.status != 200 for each in phase.free))
    yield at_least("  refused for want of money in the end", sum(each.status == 429 for each in phase.afterwards), 1)


# Allowance: what was set aside beforehand is spent


async def _with_allowance(setting: Setting) -> tuple[Figure, ...]:
    outage_s = setting.scaled(30, 3)
    limits = {kind: f"{{limit_usd: {limit / 10**9:.9f}, per: month}}" for kind, limit in _ALLOWANCE_LIMITS.items()}
    teams = {"allowed": _ALLOWED.format(**limits, model=STOPS_AT_CANCEL, name=_PROJECT)}
    chance, served, phase = setting.chance("allowance"), Counter[str](), _Phase()
    with running_plant(
        setting,
        name="s-allowance",
        teams=teams,
        time_scale=_TIME_SCALE,
        keys_per_team=_KEYS,
        redis_options=_ALLOWANCE,
    ) as plant:
        assert plant.shared is not None
        keys = plant.keys["allowed"]
        for name, leave, come_back in (
            ("killed", plant.shared.redis.kill, plant.shared.redis.start),
            ("frozen", plant.shared.redis.freeze, plant.shared.redis.thaw),
        ):
            during: list[Answer] = []
            await _until_slices_are_held(plant, keys, chance)
            await asyncio.to_thread(leave)
            async with asking(_asks(keys, chance, tags=("", _PROJECT)), plant.replicas, during, workers=_WORKERS):
                await asyncio.sleep(outage_s)
            await asyncio.to_thread(come_back)
            await _served_after_s(plant, keys[0])
            served[name] = sum(answer.status == 200 for answer in during)
            phase.during += during
        for key in keys:
            for tag in (_PROJECT, ""):
                await spend_to_the_end(_asks([key], chance, tags=[tag]), plant.replicas, phase.afterwards)
        has_settled = await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
        calls, comparison = read(plant)
        budgets = await budgets_at_rest(plant)
    spent = spent_by_scope(calls)
    return (
        told("with an allowance: answers meanwhile", counted(phase.during)),
        *(at_least(f"  served while Redis was {name}", number, 1) for name, number in served.items()),
        at_most("  refusal p99, s", p99_s(phase.refused), _ANSWER_P99_S),
        at_least("  refused for want of money in the end", sum(each.status == 429 for each in phase.afterwards), 1),
        *(none(f"  overspent by budgets of a {kind}, nano-USD", _overspent(kind, spent)) for kind in _ALLOWANCE_LIMITS),
        *money(comparison, has_settled),
        *agreement(budgets, spent),
    )


async def _until_slices_are_held(plant: Plant, keys: Sequence[Key], chance: random.Random) -> None:
    """Every replica has seen every key and the project, and had the time to set something aside of each."""
    for replica in plant.replicas:
        for key in keys:
            await send(_ask(key, chance, _PROJECT), replica.port)
    limits = sum(limit * (_KEYS if kind == "key" else 1) for kind, limit in _ALLOWANCE_LIMITS.items())
    wanted, held, deadline_s = len(plant.replicas) * limits // 20, 0, time.monotonic() + _SLICES_WITHIN_S
    while held != wanted:
        if time.monotonic() > deadline_s:
            raise CannotRun(f"{held} nano-USD are set aside after {_SLICES_WITHIN_S:.0f} s, and should be {wanted}")
        await asyncio.sleep(0.2)
        answer = await asyncio.to_thread(plant.replicas[0].admin, "/admin/budgets")
        held = sum(nano_usd(each["held_usd"]) for each in answer["budgets"])


def _overspent(kind: str, spent: Mapping[tuple[str, str], int]) -> int:
    limit = _ALLOWANCE_LIMITS[kind]
    return sum(max(sum_ - limit, 0) for scope, sum_ in spent.items() if scope[0] == kind)


async def _served_after_s(plant: Plant, key: Key) -> float:
    """How long until a request is let in or refused for want of money: either way the budget is known again."""
    started_s, chance = time.monotonic(), random.Random(0)
    while (passed_s := time.monotonic() - started_s) < 4 * _LATE_ATTACH_WITHIN_S:
        answers = [await send(_ask(key, chance), replica.port) for replica in plant.replicas]
        if all(answer.status in (200, 429) for answer in answers):
            break
        await asyncio.sleep(0.02)
    return passed_s


def _asks(keys: Sequence[Key], chance: random.Random, *, tags: Sequence[str] = ("",)) -> Iterator[Ask]:
    """Without end."""
    while True:
        yield _ask(chance.choice(keys), chance, chance.choice(tags))


def _ask(key: Key, chance: random.Random, tags: str = "") -> Ask:
    text = f"Tell me about tea, number {chance.getrandbits(32):08x}."
    return Ask(key, chat("auto", text, is_stream=chance.random() < 0.5, max_tokens=200), tags=tags)
