"""Budgets of single keys, which no configuration names: they outlive reloads and restarts as every other does."""

import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from router.assembly.with_redis import redis_client
from router.errors import BudgetExhausted
from router.limits.functions import BudgetFunctions
from router.limits.gate import Gate, Quota, Scope
from router.limits.memory import MemoryGate
from router.limits.redis import RedisGate
from router.quotas import NO_LIMITS, Budget, Per, ScopeId, ScopeKind
from tests.limits.books import Books
from tests.limits.clock import MovableClock
from tests.limits.redis_server import RedisServer

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
TEAM = ScopeId.of_team("search")
KEY = ScopeId("search", ScopeKind.KEY, "00c0ffee00c0ffee")
EVERY_KEY = ScopeId("search", ScopeKind.KEY, "")
OWN = Budget(100, Per.DAY)
UTC_ZONE, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")


def own_budgets(key_id: str) -> tuple[Budget, ...]:
    return (OWN,) if key_id == KEY.name else ()


def quota(*of_each: Budget, zone: ZoneInfo = UTC_ZONE) -> Quota:
    """Of a request with the key."""
    return Quota((Scope(TEAM, (), NO_LIMITS), Scope(KEY, (*of_each, OWN), NO_LIMITS)), zone)


def known(*of_each: Budget, zone: ZoneInfo = UTC_ZONE, names_key: bool = True) -> Quota:
    """What the configuration and the keys tell beforehand."""
    scopes = [Scope(TEAM, (), NO_LIMITS), Scope(EVERY_KEY, of_each, NO_LIMITS)]
    return Quota((*scopes, *([Scope(KEY, (*of_each, OWN), NO_LIMITS)] if names_key else [])), zone)


def spent(nano_usd: int) -> Callable[[datetime], dict[ScopeId, int]]:
    return lambda _: {KEY: nano_usd}


def standing(gate: Gate) -> dict[Per, tuple[int, int, int]]:
    return {
        each.per: (each.limit_nano_usd, each.spent_nano_usd, each.held_nano_usd)
        for each in gate.states()
        if each.scope == KEY
    }


async def pay(gate: Gate, its: Quota, nano_usd: int) -> None:
    hold = await gate.reserve(its, reservation_id=secrets.token_hex(4), nano_usd=nano_usd)
    await gate.settle(hold, nano_usd=nano_usd)


class TestOneProcess:
    @pytest.fixture
    def clock(self) -> MovableClock:
        return MovableClock(NOW)

    @pytest.fixture
    def gate(self, clock: MovableClock) -> MemoryGate:
        return MemoryGate(now=clock.now, monotonic_s=clock.monotonic_s, own_budgets=own_budgets)

    async def test_a_restart_takes_up_what_a_key_has_spent(self, gate: MemoryGate) -> None:
        gate.recover([known()], spent(70))

        assert standing(gate) == {Per.DAY: (100, 70, 0)}
        with pytest.raises(BudgetExhausted, match=r"key 00c0ffee00c0ffee of team search"):
            await gate.reserve(quota(), reservation_id="r.1", nano_usd=31)

    @pytest.mark.parametrize(
        "of_each", [(), (Budget(60, Per.DAY),), (Budget(60, Per.MONTH),)], ids=["none", "a day", "a month"]
    )
    @pytest.mark.parametrize("names_key", [True, False], ids=["known at the start", "made since"])
    async def test_a_reload_loses_nothing_of_it(
        self, gate: MemoryGate, of_each: tuple[Budget, ...], *, names_key: bool
    ) -> None:
        gate.recover([known(*of_each, names_key=names_key)], spent(0))
        await pay(gate, quota(*of_each), 40)
        await gate.reserve(quota(*of_each), reservation_id="r.1", nano_usd=5)

        read = {each: spent(40)(each) for each in gate.windows_to_read([known()])}
        gate.reconfigured([known()], read)

        assert standing(gate) == {Per.DAY: (100, 40, 5)}

    async def test_a_reload_forgets_nothing_of_a_key_that_has_not_asked_yet(self, gate: MemoryGate) -> None:
        gate.recover([known()], spent(70))

        gate.reconfigured([known()], _read(gate, [known()], 70))

        assert standing(gate) == {Per.DAY: (100, 70, 0)}

    async def test_another_time_zone_loses_nothing_of_it(self, gate: MemoryGate) -> None:
        gate.recover([known()], spent(10))
        await pay(gate, quota(), 20)

        gate.reconfigured([known(zone=BERLIN)], _read(gate, [known(zone=BERLIN)], 30))

        assert standing(gate) == {Per.DAY: (100, 30, 0)}

    async def test_a_new_day_is_a_new_budget(self, gate: MemoryGate, clock: MovableClock) -> None:
        gate.recover([known()], spent(100))
        clock.advance(timedelta(days=1))

        await pay(gate, quota(), 100)

        assert standing(gate) == {Per.DAY: (100, 100, 0)}


def _read(gate: MemoryGate, quotas: Sequence[Quota], nano_usd: int) -> Mapping[datetime, dict[ScopeId, int]]:
    return {each: {KEY: nano_usd} for each in gate.windows_to_read(quotas)}


class TestSeveralProcesses:
    @asynccontextmanager
    async def gate(self, server: RedisServer, root: str, *quotas: Quota) -> AsyncIterator[RedisGate]:
        gate = RedisGate(
            BudgetFunctions(redis_client(server.url), root=root),
            Books(),
            quotas=quotas,
            monotonic_s=MovableClock(NOW).monotonic_s,
            new_id=lambda: secrets.token_hex(8),
            process=secrets.token_hex(8),
            quarantine_s=0,
            own_budgets=own_budgets,
        )
        await gate.beat()
        yield gate
        await gate.aclose()

    async def test_a_key_has_one_budget_in_all_of_them_also_after_a_reload(self, clocked_redis: RedisServer) -> None:
        root = f"{{{secrets.token_hex(4)}}}"
        async with (
            self.gate(clocked_redis, root, known()) as one,
            self.gate(clocked_redis, root, known(names_key=False)) as other,
        ):
            await pay(one, quota(), 40)
            await pay(other, quota(), 40)
            for gate in (one, other):
                gate.reconfigured([known(names_key=False)])
                await gate.refresh()

            with pytest.raises(BudgetExhausted):
                await one.reserve(quota(), reservation_id="r.1", nano_usd=21)
            assert standing(one) == standing(other) == {Per.DAY: (100, 80, 0)}
