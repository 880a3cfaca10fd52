"""b: a crowd on budgets that hold a few requests each, at every scope at once."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.torture.books import BookedCall, LedgerReader, bill, compared, is_settled, nano_usd
from tests.torture.load import Answer, Ask, chat, in_parallel, send
from tests.torture.plant import STOPS_AT_CANCEL, Plant, running_plant
from tests.torture.result import Figure, Result, at_least, equal, none, told
from tests.torture.setting import Setting

TITLE = "a crowd on tiny budgets of team, key and project"

_WORKERS = 64  # for each replica
_REQUESTS_PER_TEAM = 2_000
_KEYS = 4
_SAMPLE_S = 0.1
_DRAINED_WITHIN_S = 30.0

# Nano-dollars. One request holds 50,000 to 150,000 and costs about a third of it. In all teams each scope binds at some
# time: the keys together may spend more than the team, and so may the projects.
_LIMITS = {"team": 4_000_000, "key": 1_500_000, "project": 1_200_000}
_PROJECTS = ("red", "green", "blue", "a/b:c=d")

Scope = tuple[str, str, str]  # team, kind, name


@dataclass(slots=True)
class _Seen:
    statuses: Counter[str] = field(default_factory=Counter)
    wrong_refusals: int = 0  # refused although what was asked fits into what is said to be left
    samples: int = 0
    over_limit: int = 0  # samples in which a budget had more spent and held than it allows
    is_over: bool = False


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    teams = setting.scaled(50, 2)
    requests = _REQUESTS_PER_TEAM if not setting.is_short else 400
    files = {f"crowd{number:02d}": _team_file(f"crowd{number:02d}") for number in range(teams)}
    seen = _Seen()
    with running_plant(setting, name="b", teams=files, time_scale=0, keys_per_team=_KEYS) as plant:
        chance = setting.chance("crowd")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_watch(plant, seen))
            for team in files:
                await _storm(plant, _asks(chance, plant, team, requests), seen)
            is_drained = await asyncio.to_thread(is_settled, plant, within_s=_DRAINED_WITHIN_S)
            seen.is_over = True
        ledger = LedgerReader(plant)
        calls = ledger.calls()
        comparison = compared(bill(plant), calls, ledger.requests())
        spent = _spent(calls)
        await asyncio.sleep(plant.budgets_lag_s)
        told_budgets = _budgets(plant)
        false_blocks = await _false_blocks(plant, files, spent)
    figures = (
        equal("requests", seen.statuses.total(), teams * requests),
        told("their answers", ", ".join(f"{status} {count}" for status, count in seen.statuses.most_common())),
        at_least("refused for want of money", seen.statuses["429 insufficient_quota"], teams * requests // 4),
        told("bill, nano-USD", comparison.bill_nano_usd),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
        *(_overspent(kind, spent) for kind in _LIMITS),
        told("samples of spent + held ≤ limit, every budget", seen.samples),
        none("  that failed", seen.over_limit),
        equal("drained", int(is_drained), 1),
        none("held after the drain, nano-USD", sum(held for _, held in told_budgets.values())),
        none("budgets whose settled sum is not the ledger's", _unequal(told_budgets, spent)),
        none("refusals of what would have fitted", seen.wrong_refusals),
        none("false blocks: left as told is not limit - ledger", false_blocks),
    )
    return Result("b", TITLE, command, figures, time.monotonic() - started_s)


def _team_file(team: str) -> str:
    def budget(kind: str) -> str:
        return f"{{limit_usd: {_LIMITS[kind] / 10**9:.9f}, per: month}}"

    projects = "".join(f'  "{name}": {{budgets: [{budget("project")}]}}\n' for name in _PROJECTS)
    return (
        f"team: {team}\nbudgets: [{budget('team')}]\neach_key: {{budgets: [{budget('key')}]}}\nprojects:\n{projects}"
        f"aliases: {{auto: {{model: {STOPS_AT_CANCEL}}}}}\n"
    )


def _asks(chance: random.Random, plant: Plant, team: str, count: int) -> list[Ask]:
    asks: list[Ask] = []
    for number in range(count):
        text = f"Tell me about tea, number {number}-{chance.getrandbits(32):08x}."
        body = chat("auto", text, is_stream=chance.random() < 0.3, max_tokens=chance.randint(100, 500))
        tags = ",".join(chance.sample((*_PROJECTS, "unbudgeted"), chance.choice((0, 1, 1, 2))))
        asks.append(Ask(chance.choice(plant.keys[team]), body, tags=tags))
    return asks


async def _storm(plant: Plant, asks: list[Ask], seen: _Seen) -> None:
    async def one(number: int, worker: int) -> None:
        answer = await send(asks[number], plant.replicas[worker % len(plant.replicas)].port)
        seen.statuses[_name(answer)] += 1
        if answer.status == 429:
            error = answer.error()
            seen.wrong_refusals += error["asked_nano_usd"] <= error["left_nano_usd"]

    await in_parallel(len(asks), workers=_WORKERS * len(plant.replicas), work=one)


def _name(answer: Answer) -> str:
    return f"429 {answer.error()['code']}" if answer.status == 429 else answer.kind


async def _watch(plant: Plant, seen: _Seen) -> None:
    while not seen.is_over:
        for replica in plant.replicas:
            answer = await asyncio.to_thread(replica.admin, "/admin/budgets")
            if answer is not None:
                seen.samples += 1
                seen.over_limit += any(_is_over_limit(budget) for budget in answer["budgets"])
        await asyncio.sleep(_SAMPLE_S)


def _is_over_limit(budget: Mapping[str, Any]) -> bool:
    return nano_usd(budget["spent_usd"]) + nano_usd(budget["held_usd"]) > nano_usd(budget["limit_usd"])


def _spent(calls: Iterable[BookedCall]) -> Counter[Scope]:
    """What the ledger says for every scope that has a budget."""
    spent: Counter[Scope] = Counter()
    for call in calls:
        for scope in _scopes(call.team, call.key_id, call.tags):
            spent[scope] += call.cost_nano_usd
    return spent


def _scopes(team: str, key_id: str, tags: Iterable[str]) -> Iterator[Scope]:
    yield (team, "team", team)
    yield (team, "key", key_id)
    for tag in tags:
        if tag in _PROJECTS:
            yield (team, "project", tag)


def _overspent(kind: str, spent: Mapping[Scope, int]) -> Figure:
    """By how much the scopes of a kind have spent more than they may, together."""
    excess = sum(max(sum_ - _LIMITS[kind], 0) for scope, sum_ in spent.items() if scope[1] == kind)
    return none(f"overspent by budgets of a {kind}, nano-USD", excess)


def _budgets(plant: Plant) -> dict[Scope, tuple[int, int]]:
    """Spent and held of every budget, as the first replica tells them."""
    answer = plant.replicas[0].admin("/admin/budgets")
    return {
        (each["team"], each["kind"], each["name"]): (nano_usd(each["spent_usd"]), nano_usd(each["held_usd"]))
        for each in answer["budgets"]
    }


def _unequal(budgets: Mapping[Scope, tuple[int, int]], spent: Mapping[Scope, int]) -> int:
    """How many scopes have one sum in their budget and another in the ledger."""
    return sum(1 for scope in budgets.keys() | spent.keys() if budgets.get(scope, (0, 0))[0] != spent.get(scope, 0))


async def _false_blocks(plant: Plant, teams: Iterable[str], spent: Mapping[Scope, int]) -> int:
    """Ask for more than any budget has, of every key and project: what is said to be left must be what is left."""
    wrong = 0
    body = chat("auto", "Tell me everything about tea.", is_stream=False, max_tokens=60_000)
    for team in teams:
        for key in plant.keys[team]:
            for tag in ("", *_PROJECTS):
                answer = await send(Ask(key, body, tags=tag), plant.replicas[0].port)
                left = min(
                    _LIMITS[kind] - spent.get((team, kind, name), 0) for _, kind, name in _scopes(team, key.id, [tag])
                )
                wrong += answer.status != 429 or answer.error()["left_nano_usd"] != left
    return wrong
