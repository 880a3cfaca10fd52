"""While Redis is away: what was held beforehand is spent and nothing else, and it is all told when Redis is back."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import anyio
import pytest

from router.assembly.with_redis import redis_client
from router.errors import BudgetExhausted, RateLimited, Unavailable
from router.limits.asking import NoAnswer, Reply
from router.limits.functions import BudgetFunctions
from router.limits.gate import Quota, Reservation, Scope
from router.limits.redis import RedisGate
from router.quotas import NO_LIMITS, Budget, Limits, OutageAllowance, Per, ScopeId, ScopeKind
from tests.limits import processes
from tests.limits.books import Booked, Books
from tests.limits.clock import MovableClock, SharedClock
from tests.limits.processes import running, until
from tests.limits.redis_server import RedisServer
from tests.replacing import replace

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
TEAM = ScopeId.of_team("search")
KEY = ScopeId("search", ScopeKind.KEY, "8f3a0b6c")
MONTHLY = Scope(TEAM, (Budget(10_000, Per.MONTH),), NO_LIMITS)
OF_TEAM = Quota((MONTHLY,), BERLIN)
OF_KEY = Quota((MONTHLY, Scope(KEY, (Budget(2_000, Per.DAY),), NO_LIMITS)), BERLIN)
ALLOWANCE = OutageAllowance(per_mille=20, at_most_nano_usd=10**9)  # 200 of the team's, 40 of the key's
gate_on = partial(processes.gate_on, quotas=(OF_TEAM,), quarantine_s=0.5, allowance=ALLOWANCE)


def standing(gate: RedisGate, scope: ScopeId) -> tuple[int, int]:
    """Spent and held, as of a second ago."""
    state = next(each for each in gate.states() if each.scope == scope)
    return state.spent_nano_usd, state.held_nano_usd


async def stands(gate: RedisGate, scope: ScopeId = TEAM) -> tuple[int, int]:
    await gate.refresh()
    return standing(gate, scope)


async def hold(gate: RedisGate, name: str, nano_usd: int, quota: Quota = OF_TEAM) -> Reservation:
    return await gate.reserve(quota, reservation_id=name, nano_usd=nano_usd)


async def with_a_slice(gate: RedisGate, *, nano_usd: int = 200, scope: ScopeId = TEAM) -> None:
    await until(lambda: gate.is_open and any(s.scope == scope for s in gate.states()) and standing(gate, scope)[1] > 0)
    assert standing(gate, scope)[1] == nano_usd


def freeze(server: RedisServer) -> None:
    server.freeze()


def kill(server: RedisServer) -> None:
    server.kill()


def thaw(server: RedisServer) -> None:
    server.thaw()


def start(server: RedisServer) -> None:
    server.start()


@pytest.mark.parametrize(("leave", "come_back"), [(freeze, thaw), (kill, start)])
async def test_an_outage_is_paid_from_the_slice_and_told_when_redis_is_back(
    own_redis: RedisServer, leave: Callable[[RedisServer], None], come_back: Callable[[RedisServer], None]
) -> None:
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books)) as gate:
        await until(lambda: gate.is_open)
        # So much that no second slice is taken afterwards, which would hide that the first was let go too early.
        await gate.settle(await hold(gate, "before", 7_790), nano_usd=7_790)
        books.calls["before"] = Booked((TEAM,), datetime.now(UTC), 7_790)  # noqa: TID251 - as the real server's
        await with_a_slice(gate)
        leave(own_redis)

        over = await hold(gate, "over before it is back", 80)
        still = await hold(gate, "still under way then", 90)
        with pytest.raises(Unavailable):
            await hold(gate, "does not fit", 31)
        await gate.settle(over, nano_usd=50)
        last = await hold(gate, "fits what the first left", 60)
        await gate.settle(last, nano_usd=60)
        books.calls["over before it is back"] = Booked((TEAM,), datetime.now(UTC), 50)  # noqa: TID251 - the same

        come_back(own_redis)
        await until(lambda: gate.is_open)
        for _ in range(3):
            gate._due_s = dict.fromkeys(gate._due_s, 0.0)  # everything that is done now and then is done now
            await gate.beat()
            spent, held = await stands(gate)
            assert spent == 7_900
            assert held >= 90  # what is still under way
        await gate.settle(still, nano_usd=7)

        await until(lambda: standing(gate, TEAM) == (7_907, 0))


async def test_a_slice_is_taken_from_every_purse_that_pays(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await with_a_slice(gate)
        await gate.settle(await hold(gate, "the key is seen", 1, OF_KEY), nano_usd=1)
        await with_a_slice(gate, scope=KEY, nano_usd=40)
        own_redis.kill()

        await gate.settle(await hold(gate, "by key", 30, OF_KEY), nano_usd=30)
        with pytest.raises(Unavailable):
            await hold(gate, "the team has enough and the key has not", 11, OF_KEY)
        await hold(gate, "the team's own", 100)

        own_redis.start()
        await until(lambda: gate.is_open and standing(gate, KEY) == (31, 40))
        assert standing(gate, TEAM)[0] == 31


async def test_a_process_can_pay_while_redis_is_away_as_long_as_something_is_left_in_a_slice(
    own_redis: RedisServer,
) -> None:
    """Its readiness once hung on Redis alone, so that a balancer dropped whoever could have gone on."""
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        assert not gate.can_pay
        await with_a_slice(gate)
        own_redis.kill()

        paid = await hold(gate, "all but one", 199)
        assert (gate.is_open, gate.can_pay) == (False, True)
        last = await hold(gate, "the last", 1)
        assert not gate.can_pay
        for each in (paid, last):
            await gate.settle(each, nano_usd=each.held_nano_usd)


async def test_without_an_allowance_nothing_can_be_paid_while_redis_is_away(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books(), allowance=None)) as gate:
        await until(lambda: gate.is_open)
        own_redis.kill()

        with pytest.raises(Unavailable):
            await hold(gate, "in vain", 1)

        assert not gate.can_pay


async def test_a_call_paid_from_a_slice_is_relied_on_however_long_the_outage_lasts(own_redis: RedisServer) -> None:
    own_redis.start()
    clock = MovableClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC))
    gate = gate_on(own_redis, Books(), monotonic_s=clock.monotonic_s, quarantine_s=0)
    await gate.beat()
    by_redis = await hold(gate, "by Redis", 1)
    own_redis.kill()
    by_slice = await hold(gate, "by the slice", 1)
    assert gate.still_holds(by_redis)

    clock.advance(timedelta(seconds=1))

    assert (gate.still_holds(by_redis), gate.still_holds(by_slice)) == (False, True)
    await gate.aclose()


async def test_a_purse_without_a_slice_pays_nothing_in_an_outage(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await with_a_slice(gate)
        own_redis.kill()

        with pytest.raises(Unavailable):
            await hold(gate, "a key never seen", 1, OF_KEY)

        assert gate._slices.of(TEAM) is not None  # nothing was taken from the team's either
        await hold(gate, "all of it", 200)


async def test_without_an_allowance_nothing_is_held_and_nothing_let_through(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books(), allowance=None)) as gate:
        await until(lambda: gate.is_open)
        await gate.beat()
        assert await stands(gate) == (0, 0)
        own_redis.kill()

        with pytest.raises(Unavailable):
            await hold(gate, "r.1", 1)
        with pytest.raises(Unavailable):
            await gate.admit(Quota((Scope(TEAM, (), Limits(concurrent=5)),), BERLIN), tokens=1)


async def test_a_process_that_never_met_redis_has_nothing_to_spend(own_redis: RedisServer) -> None:
    async with running(gate_on(own_redis, Books())) as gate:
        with pytest.raises(Unavailable):
            await hold(gate, "r.1", 1)


async def test_slices_are_let_go_where_little_is_left(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await with_a_slice(gate)

        await gate.settle(await hold(gate, "most of it", 7_801), nano_usd=7_801)

        # 10,000 - 7,801 - 200 = 1,999, less than ten times the slice.
        await until(lambda: standing(gate, TEAM) == (7_801, 0))
        await gate.settle(await hold(gate, "the rest, to the last", 2_199), nano_usd=2_199)
        assert await stands(gate) == (10_000, 0)


async def test_all_that_two_processes_spend_in_an_outage_was_held_before(own_redis: RedisServer) -> None:
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books)) as one, running(gate_on(own_redis, books)) as other:
        await until(lambda: one.is_open and other.is_open)
        await until(lambda: standing(one, TEAM)[1] == standing(other, TEAM)[1] == 400)
        own_redis.freeze()
        for gate, name in ((one, "one"), (other, "other")):
            await gate.settle(await hold(gate, name, 200), nano_usd=200)
            with pytest.raises(Unavailable):
                await hold(gate, f"{name} again", 1)

        own_redis.thaw()
        await until(lambda: one.is_open and other.is_open and standing(one, TEAM) == (400, 400))

        with pytest.raises(BudgetExhausted):
            await hold(one, "more than is left", 9_201)


async def test_a_slice_ends_with_its_window(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 30, 22, 59, tzinfo=UTC), clocked_redis)
    gate = gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{ends}", quarantine_s=0)
    await gate.beat()
    assert await stands(gate) == (0, 200)
    gate._link.lost(NoAnswer("as it finds out when it asks"))

    clock.advance(timedelta(minutes=1))

    with pytest.raises(Unavailable):
        await hold(gate, "December has no slice yet", 1)
    await gate.beat()
    assert await stands(gate) == (0, 0)
    clock.advance(timedelta(seconds=1))
    await gate.beat()
    assert await stands(gate) == (0, 200)
    await gate.aclose()


async def test_the_slices_of_a_dead_process_are_let_go_once_it_is_buried(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    dead, living = (
        gate_on(
            clocked_redis,
            Books(),
            monotonic_s=clock.monotonic_s,
            root="{buried}",
            quarantine_s=0,
            process=name,
            allowance=allowance,
        )
        for name, allowance in (("dead", ALLOWANCE), ("living", None))
    )
    await dead.beat()
    await hold(dead, "dead.1", 5)
    await living.beat()
    assert await stands(living) == (0, 205)

    await living.bury("de")
    await living.bury("dead")
    await living.bury("dead")

    assert await stands(living) == (0, 5)  # what was held for a call waits for the journal
    await dead._link.functions.aclose()
    await living.aclose()


async def test_a_stop_in_order_leaves_no_slice(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await with_a_slice(gate)
    async with running(gate_on(own_redis, Books(), allowance=None)) as after:
        await until(lambda: after.is_open)

        assert await stands(after) == (0, 0)


async def test_in_an_outage_each_process_counts_the_pace_by_itself(own_redis: RedisServer) -> None:
    own_redis.start()
    two = Quota((Scope(TEAM, (), Limits(concurrent=2)),), BERLIN)
    async with running(gate_on(own_redis, Books())) as gate:
        await with_a_slice(gate)
        own_redis.kill()

        first = await gate.admit(two, tokens=1)
        await gate.admit(two, tokens=1)
        with pytest.raises(RateLimited):
            await gate.admit(two, tokens=1)
        await gate.leave(first, tokens=1)
        await gate.admit(two, tokens=1)


# On a clock that the test moves. Here it is the answers of Redis that get lost, not the calls.


class Deaf(BudgetFunctions):
    """Redis does what it is told, and nobody hears that it has."""

    async def call(self, function: str, *arguments: str | int, timeout_s: float = 1.0) -> Reply:
        await super().call(function, *arguments, timeout_s=timeout_s)
        raise NoAnswer("The test says so.")


@asynccontextmanager
async def deaf(gate: RedisGate, server: RedisServer, *, root: str) -> AsyncIterator[None]:
    """No answer reaches the gate meanwhile; afterwards it is attached again."""
    hearing = gate._link.functions
    gate._link.functions = Deaf(redis_client(server.url), root=root)
    try:
        yield
    finally:
        await gate._link.functions.aclose()
        gate._link.functions = hearing
    await gate.beat()
    assert gate.is_open


@asynccontextmanager
async def timeless(
    server: RedisServer, *, root: str, allowance: OutageAllowance | None = ALLOWANCE
) -> AsyncIterator[tuple[RedisGate, SharedClock]]:
    """A gate that is open."""
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), server)
    gate = gate_on(server, Books(), monotonic_s=clock.monotonic_s, root=root, quarantine_s=0, allowance=allowance)
    with anyio.fail_after(20):
        while not gate.is_open:  # a busy machine may take longer than the second that an answer is waited for
            await gate.beat()
    yield gate, clock
    await gate.aclose()


async def test_what_is_drawn_in_an_outage_is_a_hold_like_any_other(clocked_redis: RedisServer) -> None:
    async with timeless(clocked_redis, root="{drawn}") as (gate, _):
        by_redis = await hold(gate, "by Redis", 150)
        gate._link.lost(NoAnswer("as it finds out when it asks"))

        drawn = await hold(gate, "by the slice", 150)

        assert drawn == replace(by_redis, id="by the slice")
        assert await hold(gate, "by the slice", 150) == drawn
        assert gate.still_holds(drawn)
        with pytest.raises(Unavailable):
            await hold(gate, "too much", 51)
        await hold(gate, "the rest", 50)
        await gate.settle(drawn, nano_usd=33)
        await gate.beat()
        assert await stands(gate) == (33, 150 + 200)  # by Redis; the slice, for what is under way


async def test_a_call_that_redis_holds_though_its_answer_was_lost_is_counted_once(clocked_redis: RedisServer) -> None:
    async with timeless(clocked_redis, root="{lost}") as (gate, _):
        async with deaf(gate, clocked_redis, root="{lost}"):
            drawn = await hold(gate, "r.1", 150)
        assert await stands(gate) == (0, 150 + 200)

        await gate.settle(drawn, nano_usd=33)

        assert await stands(gate) == (33, 200)


async def test_a_hold_that_redis_made_and_nobody_heard_of_is_let_go(clocked_redis: RedisServer) -> None:
    async with timeless(clocked_redis, root="{unheard}", allowance=None) as (gate, _):
        async with deaf(gate, clocked_redis, root="{unheard}"):
            with pytest.raises(Unavailable):
                await hold(gate, "r.1", 150)

        assert await stands(gate) == (0, 0)


async def test_a_request_that_redis_counted_and_nobody_heard_of_counts_no_more(clocked_redis: RedisServer) -> None:
    one = Quota((Scope(TEAM, (), Limits(concurrent=1, tokens_per_minute=10)),), BERLIN)
    async with timeless(clocked_redis, root="{uncounted}", allowance=None) as (gate, _):
        async with deaf(gate, clocked_redis, root="{uncounted}"):
            with pytest.raises(Unavailable):
                await gate.admit(one, tokens=7)

        await gate.admit(one, tokens=10)


async def test_a_correction_whose_answer_was_lost_is_told_again_and_counted_once(clocked_redis: RedisServer) -> None:
    async with timeless(clocked_redis, root="{again}", allowance=None) as (gate, clock):
        async with deaf(gate, clocked_redis, root="{again}"):
            await gate.correct(OF_TEAM, at=clock.now(), nano_usd=30)

        assert await stands(gate) == (30, 0)


async def test_requests_that_are_counted_here_in_an_outage_end_here(clocked_redis: RedisServer) -> None:
    ten = Quota((Scope(TEAM, (), Limits(concurrent=2, tokens_per_minute=10)),), BERLIN)
    async with timeless(clocked_redis, root="{here}") as (gate, _):
        gate._link.lost(NoAnswer("as it finds out when it asks"))
        first = await gate.admit(ten, tokens=6)
        with pytest.raises(RateLimited):
            await gate.admit(ten, tokens=5)

        await gate.leave(first, tokens=3)

        await gate.admit(ten, tokens=7)
        with pytest.raises(RateLimited):
            await gate.admit(ten, tokens=1)


async def test_a_call_paid_from_a_slice_is_still_held_when_others_are_not(clocked_redis: RedisServer) -> None:
    async with timeless(clocked_redis, root="{still}") as (gate, clock):
        by_redis = await hold(gate, "by Redis", 1)
        gate._link.lost(NoAnswer("as it finds out when it asks"))
        drawn = await hold(gate, "by the slice", 1)

        clock.advance(timedelta(seconds=1))

        assert (gate.still_holds(by_redis), gate.still_holds(drawn)) == (False, True)


@pytest.mark.parametrize(("spent", "held"), [(7_800, 200), (7_801, 0)])
async def test_a_slice_is_kept_as_long_as_ten_times_as_much_is_left(
    clocked_redis: RedisServer, spent: int, held: int
) -> None:
    root = f"{{left {spent}}}"
    async with timeless(clocked_redis, root=root) as (gate, clock):
        assert await stands(gate) == (0, 200)
        await gate.settle(await hold(gate, "most of it", spent), nano_usd=spent)

        for _ in range(2):
            clock.advance(timedelta(seconds=1))
            await gate.beat()

        assert await stands(gate) == (spent, held)


async def test_nothing_begins_while_counters_are_rebuilt_that_the_ledgers_sums_may_hold_by_then(
    own_redis: RedisServer,
) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books(), quarantine_s=1.0)) as gate:
        await with_a_slice(gate)
        own_redis.wipe()
        await until(lambda: not gate.is_open)

        with pytest.raises(Unavailable):
            await hold(gate, "too early", 1)

        await until(lambda: gate.is_open)
        await hold(gate, "not any more", 1)
