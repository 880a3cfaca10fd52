"""What only the gate of one process does: it recovers from the ledger by itself, and needs no leases."""

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest

from router.errors import BudgetExhausted, RateLimited
from router.keys import TeamName
from router.limits.gate import Quota, Scope
from router.limits.memory import MemoryGate
from router.quotas import NO_LIMITS, Budget, BudgetState, Limits, Per, ScopeId, ScopeKind, window
from tests.limits.clock import MovableClock

pytestmark = pytest.mark.anyio

T = TypeVar("T")

SEARCH = TeamName("search")
ADS = TeamName("ads")
BEGIN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)  # tests/limits/conftest.py
TEAM = ScopeId.of_team(SEARCH)


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC))


@pytest.fixture
def gate(clock: MovableClock) -> MemoryGate:
    return MemoryGate(now=clock.now, monotonic_s=clock.monotonic_s)


def quota(*budgets: Budget, limits: Limits = NO_LIMITS, team: TeamName = SEARCH) -> Quota:
    return Quota((Scope(ScopeId.of_team(team), budgets, limits),), ZoneInfo("Europe/Berlin"))


def state(per: Per, limit: int, *, spent: int, team: TeamName = SEARCH) -> BudgetState:
    """Of the window that is open when a test begins."""
    return BudgetState(
        scope=ScopeId.of_team(team),
        per=per,
        limit_nano_usd=limit,
        spent_nano_usd=spent,
        held_nano_usd=0,
        window=window(per, BEGIN, ZoneInfo("Europe/Berlin")),
    )


async def test_no_method_suspends_its_caller_as_the_gate_says(gate: MemoryGate) -> None:
    asked = quota(Budget(100, Per.DAY))

    admission = _at_once(gate.admit(asked, tokens=1))
    reservation = _at_once(gate.reserve(asked, reservation_id="r.1", nano_usd=5))
    _at_once(gate.settle(reservation, nano_usd=3))
    _at_once(gate.correct(asked, at=BEGIN, nano_usd=1))
    _at_once(gate.leave(admission, tokens=1))

    assert not gate.waits


def _at_once(asked: Coroutine[Any, Any, T]) -> T:
    """The answer of what does not suspend."""
    with pytest.raises(StopIteration) as ended:
        asked.send(None)
    answer: T = ended.value.value
    return answer


async def test_a_restart_takes_up_what_the_ledger_says_of_the_open_windows(gate: MemoryGate) -> None:
    asked: list[datetime] = []

    def spent_since(since: datetime) -> dict[ScopeId, int]:
        asked.append(since)
        spent = 70 if since.day == 1 or since.month == 10 else 5
        return {ScopeId.of_team(SEARCH): spent}

    gate.recover(
        [
            quota(Budget(100, Per.DAY), Budget(100, Per.MONTH)),
            quota(Budget(100, Per.DAY), Budget(100, Per.MONTH), team=ADS),
        ],
        spent_since,
    )

    assert gate.states() == [
        state(Per.DAY, 100, spent=5),
        state(Per.MONTH, 100, spent=70),
        state(Per.DAY, 100, spent=0, team=ADS),
        state(Per.MONTH, 100, spent=0, team=ADS),
    ]
    # Midnight in Berlin of the 23rd and of the 1st; each asked once, not once per team.
    assert asked == [datetime(2026, 11, 22, 23, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC)]


async def test_time_alone_does_not_end_a_request_under_way(gate: MemoryGate, clock: MovableClock) -> None:
    one = quota(limits=Limits(concurrent=1))
    await gate.admit(one, tokens=1)
    clock.advance(timedelta(hours=1))

    with pytest.raises(RateLimited):
        await gate.admit(one, tokens=1)


async def test_a_clock_that_is_set_back_does_not_open_a_budget_anew(gate: MemoryGate, clock: MovableClock) -> None:
    hourly = quota(Budget(100, Per.HOUR))
    await gate.settle(await gate.reserve(hourly, reservation_id="r.1", nano_usd=100), nano_usd=100)
    clock.advance(timedelta(hours=1))
    await gate.settle(await gate.reserve(hourly, reservation_id="r.2", nano_usd=100), nano_usd=100)
    clock.advance(timedelta(hours=-1))

    with pytest.raises(BudgetExhausted):
        await gate.reserve(hourly, reservation_id="r.3", nano_usd=100)


# Another configuration


def spent_of(nano_usd: int, scope: ScopeId = TEAM) -> Callable[[datetime], dict[ScopeId, int]]:
    return lambda _: {scope: nano_usd}


def reconfigure(gate: MemoryGate, *quotas: Quota, ledger: Callable[[datetime], dict[ScopeId, int]]) -> list[datetime]:
    """As a reload does it; the windows for which the ledger was asked."""
    starts = gate.windows_to_read(quotas)
    gate.reconfigured(quotas, {each: ledger(each) for each in starts})
    return list(starts)


async def test_a_changed_limit_keeps_what_was_counted_and_asks_no_ledger(gate: MemoryGate) -> None:
    before, after = quota(Budget(100, Per.DAY)), quota(Budget(60, Per.DAY))
    gate.recover([before], spent_of(10))
    held = await gate.reserve(before, reservation_id="r.1", nano_usd=40)

    assert reconfigure(gate, after, ledger=spent_of(999)) == []
    with pytest.raises(BudgetExhausted):
        await gate.reserve(after, reservation_id="r.2", nano_usd=11)
    await gate.settle(held, nano_usd=30)

    assert gate.states() == [state(Per.DAY, 60, spent=40)]


async def test_what_a_new_budget_begins_with_is_the_ledgers_sum_and_what_is_held_now(gate: MemoryGate) -> None:
    before, after = quota(), quota(Budget(100, Per.DAY))
    gate.recover([before], spent_of(0))
    held = await gate.reserve(before, reservation_id="r.1", nano_usd=40)

    assert len(reconfigure(gate, after, ledger=spent_of(50))) == 1
    with pytest.raises(BudgetExhausted):
        await gate.reserve(after, reservation_id="r.2", nano_usd=11)
    await gate.settle(held, nano_usd=7)

    assert gate.states() == [state(Per.DAY, 100, spent=57)]


async def test_a_budget_that_was_away_begins_anew_and_calls_from_before_are_still_settled_once(
    gate: MemoryGate,
) -> None:
    with_day, without = quota(Budget(100, Per.DAY)), quota(Budget(100, Per.MONTH))
    gate.recover([with_day], spent_of(0))
    held = await gate.reserve(with_day, reservation_id="r.1", nano_usd=40)

    reconfigure(gate, without, ledger=spent_of(0))
    shown = [each.per for each in gate.states()]
    reconfigure(gate, with_day, ledger=spent_of(20))
    await gate.settle(held, nano_usd=5)
    await gate.settle(held, nano_usd=5)

    assert shown == [Per.MONTH]
    assert gate.states() == [state(Per.DAY, 100, spent=25)]


async def test_a_request_from_before_neither_brings_back_its_budget_nor_its_limit(gate: MemoryGate) -> None:
    before, after = quota(Budget(100, Per.DAY)), quota(Budget(60, Per.DAY))
    other = quota(Budget(100, Per.DAY), team=ADS)
    gate.recover([before, other], spent_of(0))

    reconfigure(gate, after, ledger=spent_of(0))
    for number, old in enumerate((before, other)):
        await gate.settle(await gate.reserve(old, reservation_id=f"r.{number}", nano_usd=61), nano_usd=1)

    assert gate.states() == [state(Per.DAY, 60, spent=1)]


async def test_accounts_of_budgets_that_come_and_go_do_not_pile_up(gate: MemoryGate, clock: MovableClock) -> None:
    for number in range(50):
        clock.advance(timedelta(minutes=1))
        reconfigure(gate, quota(Budget(100, Per.MINUTE), team=TeamName(f"team{number}")), ledger=spent_of(0))

    assert len(gate._accounts) <= 2
    assert len(gate._recovered) == 1


async def test_a_new_allowance_of_keys_begins_with_what_each_has_spent(gate: MemoryGate) -> None:
    key = ScopeId(SEARCH, ScopeKind.KEY, "8f3a0b6cd1e2f495")

    def of_keys(name: str, *budgets: Budget) -> Quota:
        return Quota((Scope(key._replace(name=name), budgets, NO_LIMITS),), ZoneInfo("UTC"))

    gate.recover([of_keys("")], spent_of(0))
    held = await gate.reserve(of_keys(key.name), reservation_id="r.1", nano_usd=5)
    reconfigure(gate, of_keys("", Budget(100, Per.DAY)), ledger=spent_of(30, key))
    await gate.settle(held, nano_usd=4)
    await gate.reserve(of_keys(key.name, Budget(100, Per.DAY)), reservation_id="r.2", nano_usd=66)

    today = window(Per.DAY, BEGIN, ZoneInfo("UTC"))
    assert gate.states() == [BudgetState(key, Per.DAY, 100, spent_nano_usd=34, held_nano_usd=66, window=today)]
