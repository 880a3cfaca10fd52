"""What only the gate of one process does: it recovers from the ledger by itself, and needs no leases."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from router.errors import BudgetExhausted, RateLimited
from router.keys import TeamName
from router.limits.gate import Quota, Scope
from router.limits.memory import MemoryGate
from router.quotas import NO_LIMITS, Budget, BudgetState, Limits, Per, ScopeId, window
from tests.limits.clock import MovableClock

pytestmark = pytest.mark.anyio

SEARCH = TeamName("search")
ADS = TeamName("ads")
BEGIN = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)  # tests/limits/conftest.py


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
