"""Whether bill, ledger and budgets agree at the end of an experiment with budgets that bind."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping

from tests.torture.books import BookedCall, Comparison, LedgerReader, bill, compared, nano_usd
from tests.torture.plant import Plant
from tests.torture.result import Figure, equal, none, told

_AT_REST_WITHIN_S = 20.0

Scope = tuple[str, str]  # kind, name


def read(plant: Plant) -> tuple[list[BookedCall], Comparison]:
    ledger = LedgerReader(plant)
    calls = ledger.calls()
    return calls, compared(bill(plant), calls, ledger.requests())


def spent_by_scope(calls: Iterable[BookedCall]) -> Counter[Scope]:
    """What the ledger says for every scope, by kind and name."""
    spent = Counter[Scope]()
    for call in calls:
        for scope in (("team", call.team), ("key", call.key_id), *(("project", tag) for tag in call.tags)):
            spent[scope] += call.cost_nano_usd
    return spent


async def budgets_at_rest(plant: Plant) -> dict[Scope, tuple[int, int]]:
    """Spent and held of every budget, once nothing is held any more, or it is too late for that."""
    deadline_s = time.monotonic() + _AT_REST_WITHIN_S
    while True:
        await asyncio.sleep(plant.budgets_lag_s)
        answer = await asyncio.to_thread(plant.replicas[0].admin, "/admin/budgets")
        told_ = {
            (each["kind"], each["name"]): (nano_usd(each["spent_usd"]), nano_usd(each["held_usd"]))
            for each in answer["budgets"]
        }
        if not any(held for _, held in told_.values()) or time.monotonic() > deadline_s:
            return told_


def agreement(budgets: Mapping[Scope, tuple[int, int]], spent: Mapping[Scope, int]) -> tuple[Figure, ...]:
    unequal = {scope: sum_ - spent.get(scope, 0) for scope, (sum_, _) in budgets.items() if sum_ != spent.get(scope, 0)}
    return (
        none("held in the end, nano-USD", sum(held for _, held in budgets.values())),
        none(f"of {len(budgets)} budgets, settled sum is not the ledger's", len(unequal)),
        *(told(f"    {kind}, settled - ledger, nano-USD", by) for (kind, _), by in unequal.items()),
    )


def money(comparison: Comparison, has_settled: bool) -> tuple[Figure, ...]:
    return (
        equal("everything settled", int(has_settled), 1),
        none("ledger rows lost", len(comparison.missing)),
        none("duplicates", comparison.duplicates),
        none("billed calls with another cost in the ledger", len(comparison.different)),
        none("ledger - bill, nano-USD", comparison.ledger_nano_usd - comparison.bill_nano_usd),
    )
