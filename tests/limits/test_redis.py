"""What only the gate of many processes does: it shares, waits, believes nothing that may be stale, forgets nothing."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import anyio
import pytest

from router.assembly.with_redis import redis_client
from router.errors import BudgetExhausted, PenstockError, RateLimited, Unavailable
from router.limits.asking import NoAnswer, Reply
from router.limits.functions import BudgetFunctions
from router.limits.gate import Gate, Quota, Reservation, Scope
from router.limits.link import Link
from router.limits.redis import Orphan, RedisGate
from router.quotas import NO_LIMITS, Budget, Limits, Per, ScopeId, ScopeKind
from tests.limits import processes
from tests.limits.books import Booked, Books
from tests.limits.clock import SharedClock
from tests.limits.processes import PATIENCE_S, running, until
from tests.limits.redis_server import RedisServer
from tests.limits.watched import WatchedFunctions
from tests.replacing import replace

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
TEAM = ScopeId.of_team("search")
HUNDRED = Quota((Scope(TEAM, (Budget(100, Per.MONTH),), NO_LIMITS),), BERLIN)
FREE = Quota((Scope(ScopeId.of_team("free"), (), NO_LIMITS),), BERLIN)
ONE_AT_A_TIME = Quota((Scope(TEAM, (), Limits(concurrent=1)),), BERLIN)
gate_on = partial(processes.gate_on, quotas=(HUNDRED,), quarantine_s=1.0)


async def stands(gate: RedisGate) -> tuple[int, int]:
    """Spent and held of the first budget."""
    await gate.refresh()
    state = gate.states()[0]
    return state.spent_nano_usd, state.held_nano_usd


async def hold(gate: Gate, name: str, nano_usd: int) -> Reservation:
    return await gate.reserve(HUNDRED, reservation_id=name, nano_usd=nano_usd)


def booked(nano_usd: int) -> Booked:
    return Booked((TEAM,), datetime.now(UTC), nano_usd)  # noqa: TID251 - as the real server's


# Sharing


async def test_no_budget_of_any_scope_is_overspent_by_workers_of_two_processes(own_redis: RedisServer) -> None:
    own_redis.start()
    scopes = [TEAM, *(ScopeId("search", ScopeKind.KEY, f"{n:04x}") for n in range(4))]
    scopes += [ScopeId("search", ScopeKind.PROJECT, f"p{n}") for n in range(3)]
    limits = dict.fromkeys(scopes, 2_000) | {TEAM: 9_000}
    at_least: Counter[ScopeId] = Counter()  # held and spent, counted from outside and never too high
    settled: Counter[ScopeId] = Counter()
    outcomes: Counter[str] = Counter()

    async def worker(gate: RedisGate, number: int) -> None:
        chance = random.Random(number)
        for turn in range(25):
            mine = [TEAM, scopes[1 + chance.randrange(4)], scopes[5 + chance.randrange(3)]]
            quota = Quota(tuple(Scope(each, (Budget(limits[each], Per.MONTH),), NO_LIMITS) for each in mine), BERLIN)
            asked = chance.randrange(200)
            try:
                made = await gate.reserve(quota, reservation_id=f"{number}.{turn}", nano_usd=asked)
            except BudgetExhausted:
                outcomes["refused"] += 1
                continue
            except Unavailable:  # 128 at once on a busy machine: an answer may take too long
                await until(lambda: gate.is_open)
                continue
            outcomes["held"] += 1
            at_least.update(dict.fromkeys(mine, asked))
            assert all(at_least[each] <= limits[each] for each in mine)
            cost = chance.choice([0, 0, asked // 10, asked])
            at_least.subtract(dict.fromkeys(mine, asked - cost))
            settled.update(dict.fromkeys(mine, cost))
            await gate.settle(made, nano_usd=cost)

    async with running(gate_on(own_redis, Books())) as one, running(gate_on(own_redis, Books())) as other:
        await until(lambda: one.is_open and other.is_open)
        async with anyio.create_task_group() as tasks:
            for number in range(128):
                tasks.start_soon(worker, (one, other)[number % 2], number)

        for gate in (one, other):
            await gate.beat()
            await gate.refresh()
        for gate in (one, other):
            for state in gate.states():
                assert (state.held_nano_usd, state.spent_nano_usd) == (0, settled[state.scope])
    assert min(outcomes["held"], outcomes["refused"]) > 100


async def test_processes_share_their_rates(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as one, running(gate_on(own_redis, Books())) as other:
        await until(lambda: one.is_open and other.is_open)
        admission = await one.admit(ONE_AT_A_TIME, tokens=1)

        with pytest.raises(RateLimited):
            await other.admit(ONE_AT_A_TIME, tokens=1)
        await one.leave(admission, tokens=1)

        await other.admit(ONE_AT_A_TIME, tokens=1)


async def test_the_window_ends_by_the_clock_of_redis_whatever_the_process_believes(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 30, 22, 59, tzinfo=UTC), clocked_redis)
    gate = gate_on(clocked_redis, Books(), monotonic_s=lambda: 0.0, root="{stopped}", quarantine_s=0)
    await gate.beat()
    await gate.settle(await hold(gate, "r.1", 100), nano_usd=100)

    with pytest.raises(BudgetExhausted):
        await hold(gate, "r.2", 100)
    clock.advance(timedelta(minutes=1))
    december = await hold(gate, "r.3", 100)

    assert december.windows[0].starts == datetime(2026, 11, 30, 23, tzinfo=UTC)
    await gate.aclose()


# Dying processes


async def test_a_hold_of_a_dead_process_stays_counted_until_it_is_resolved_once(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    dead, living = (
        gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{orphans}", quarantine_s=0)
        for _ in range(2)
    )
    await dead.beat()
    await living.beat()
    await hold(dead, "dead.1", 10)
    clock.advance(timedelta(seconds=1))
    await hold(dead, "dead.2", 50)
    await hold(living, "living.1", 10)
    clock.advance(timedelta(seconds=58))
    await living.beat()
    assert await living.orphans() == []

    clock.advance(timedelta(seconds=3))

    assert await living.orphans() == [Orphan("dead.1", 10, ended_s=2.0), Orphan("dead.2", 50, ended_s=1.0)]
    assert await living.orphans(limit=1) == [Orphan("dead.1", 10, ended_s=2.0)]
    assert await stands(living) == (0, 70)
    await living.resolve("dead.2", nano_usd=0)
    await living.resolve("dead.1", nano_usd=25)
    await living.resolve("dead.1", nano_usd=60)
    assert await stands(living) == (25, 10)
    assert await living.orphans() == []
    await dead.aclose()
    await living.aclose()


async def test_a_hold_that_was_given_up_and_reaches_redis_late_is_not_made(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await until(lambda: gate.is_open)
        await gate.resolve("late", nano_usd=0)

        with pytest.raises(Unavailable):
            await hold(gate, "late", 60)

        assert await stands(gate) == (0, 0)


async def test_a_request_of_a_dead_process_stops_counting_as_concurrent_when_its_lease_ends(
    clocked_redis: RedisServer,
) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    dead, living = (
        gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{concurrent}", quarantine_s=0)
        for _ in range(2)
    )
    await dead.beat()
    await living.beat()
    await dead.admit(ONE_AT_A_TIME, tokens=1)
    clock.advance(timedelta(seconds=30))
    await dead.renew()
    clock.advance(timedelta(seconds=59))
    with pytest.raises(RateLimited):
        await living.admit(ONE_AT_A_TIME, tokens=1)

    clock.advance(timedelta(seconds=2))

    await living.admit(ONE_AT_A_TIME, tokens=1)
    await dead.aclose()
    await living.aclose()


async def test_a_cancelled_request_leaves_neither_a_hold_unknown_nor_a_reply_unread(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await until(lambda: gate.is_open)
        made: list[Reservation] = []
        for number in range(50):
            with anyio.CancelScope() as request:
                request.cancel()
                made.append(await hold(gate, f"r.{number}", 1))

        assert [each.id for each in made] == [f"r.{number}" for number in range(50)]
        for each in made:
            await gate.settle(each, nano_usd=1)
        assert await stands(gate) == (50, 0)


async def test_a_request_that_was_given_up_does_not_count_as_concurrent(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await until(lambda: gate.is_open)
        own_redis.freeze()
        with pytest.raises(Unavailable):
            await gate.admit(ONE_AT_A_TIME, tokens=1)
        own_redis.thaw()  # and counts it
        await until(lambda: gate.is_open and not gate._holdings.departures)

        await gate.admit(ONE_AT_A_TIME, tokens=1)


# Telling


async def told(gate: RedisGate, amounts: Sequence[int], *, at: datetime) -> None:
    for nano_usd in amounts:
        await gate.correct(HUNDRED, at=at, nano_usd=nano_usd)


async def test_what_redis_has_been_told_is_told_once_and_it_is_asked_on_without_a_break(
    clocked_redis: RedisServer,
) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    gate = gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{told}", quarantine_s=0)
    await gate.beat()
    await hold(gate, "seen", 1)

    await told(gate, (30, -10), at=clock.now())
    await gate.adopt(HUNDRED, reservation_id="dead.1", at=clock.now(), nano_usd=5)
    await gate.adopt(HUNDRED, reservation_id="dead.1", at=clock.now(), nano_usd=5)

    assert gate.is_open
    assert (gate._holdings.corrections, gate._holdings.adoptions) == ({}, {})
    assert await stands(gate) == (25, 1)
    await gate.aclose()


async def test_a_correction_of_a_window_that_redis_does_not_know_is_in_the_sums_of_the_ledger(
    clocked_redis: RedisServer,
) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    daily = Quota((Scope(TEAM, (Budget(100, Per.DAY),), NO_LIMITS),), BERLIN)
    books = Books({"before.1": Booked((TEAM,), clock.now(), 40)})
    gate = gate_on(clocked_redis, books, monotonic_s=clock.monotonic_s, root="{untold}", quarantine_s=0)
    await gate.beat()

    books.calls["before.1"] = Booked((TEAM,), clock.now(), 37)
    await gate.correct(daily, at=clock.now(), nano_usd=-3)

    assert gate.is_open
    assert gate._holdings.corrections == {}
    with pytest.raises(BudgetExhausted) as refusal:
        await gate.reserve(daily, reservation_id="r.1", nano_usd=100)
    assert refusal.value.left_nano_usd == 100 - 40 + 3
    await gate.aclose()


async def test_what_carries_much_is_given_more_time_than_a_request_has(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    functions = WatchedFunctions(clocked_redis)
    gate = gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, quarantine_s=0, functions=functions)
    await gate.beat()
    await gate.settle(await hold(gate, "r.1", 1), nano_usd=1)
    await hold(gate, "r.2", 1)
    await gate.leave(await gate.admit(ONE_AT_A_TIME, tokens=1), tokens=1)
    await gate.renew()

    requests_own = {"reserve", "settle", "admit", "leave"}
    assert requests_own | {"register", "standing", "renew"} <= set(functions.timeouts_s)
    assert {functions.timeouts_s[each] for each in ("register", "standing", "renew")} == {5.0}
    assert all(functions.timeouts_s[each] < 5.0 for each in requests_own)
    await gate.aclose()


# In the background


async def test_the_background_books_the_dead_and_then_opens_the_counters_and_keeps_in_touch(
    clocked_redis: RedisServer,
) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    books = Books()
    at_root = partial(gate_on, clocked_redis, books, monotonic_s=clock.monotonic_s, root="{run}", quarantine_s=0)
    gate, other = at_root(), at_root()

    async def book_the_dead() -> tuple[str, ...]:
        books.calls["dead.1"] = Booked((TEAM,), clock.now(), 30)
        return ("dead",)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.run, book_the_dead)
        await until(lambda: gate.is_open)
        assert await stands(gate) == (30, 0)

        await other.beat()
        await hold(other, "r.1", 10)
        clock.advance(timedelta(seconds=1))
        await until(lambda: gate.states()[0].held_nano_usd == 10)  # found out in the next round
        tasks.cancel_scope.cancel()
    for each in (gate, other):
        await each.aclose()


# Redis away


async def test_a_frozen_redis_costs_a_budgeted_request_at_most_300_ms_and_the_others_nothing(
    own_redis: RedisServer,
) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await until(lambda: gate.is_open)
        kept = await hold(gate, "kept", 5)
        own_redis.freeze()
        took_s = []
        for number in range(30):
            started_s = time.monotonic()
            with pytest.raises(Unavailable) as refusal:
                await hold(gate, f"refused.{number}", 10)
            took_s.append(time.monotonic() - started_s)
            assert refusal.value.status == 503
            assert refusal.value.retry_after_s == 1.0
        with pytest.raises(Unavailable):
            await gate.admit(ONE_AT_A_TIME, tokens=1)
        await gate.reserve(FREE, reservation_id="free", nano_usd=10**9)
        await gate.leave(await gate.admit(FREE, tokens=1), tokens=1)
        await gate.settle(kept, nano_usd=3)

        own_redis.thaw()
        back_s = await until(lambda: gate.is_open)
        await gate.beat()

        # The first of the refused was set aside by Redis after all, when it woke; it is not held any more.
        assert await stands(gate) == (3, 0)
    assert took_s[0] < 0.3
    assert sorted(took_s)[15] < 0.01
    assert back_s < 2


async def test_a_settlement_that_finds_redis_dead_is_made_when_it_is_back(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await until(lambda: gate.is_open)
        made = await hold(gate, "r.1", 50)
        own_redis.kill()

        await gate.settle(made, nano_usd=20)
        own_redis.start()
        await until(lambda: gate.is_open)
        await gate.beat()

        assert await stands(gate) == (20, 0)


async def test_a_redis_that_comes_late_is_used_within_5_seconds(own_redis: RedisServer) -> None:
    async with running(gate_on(own_redis, Books(), quarantine_s=3)) as gate:
        with pytest.raises(Unavailable):
            await hold(gate, "r.1", 1)
        own_redis.start()

        assert await until(lambda: gate.is_open) < 5
        await hold(gate, "r.2", 1)


# State lost


def wiped(server: RedisServer) -> None:
    server.wipe()


def killed(server: RedisServer) -> None:
    server.kill()
    server.start()


@pytest.mark.parametrize("loses_all", [wiped, killed])
async def test_an_empty_redis_is_rebuilt_from_the_ledger_and_from_what_every_process_holds(
    own_redis: RedisServer, loses_all: Callable[[RedisServer], None]
) -> None:
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books)) as one, running(gate_on(own_redis, books)) as other:
        await until(lambda: one.is_open and other.is_open)
        held, late = await hold(one, "held", 10), await hold(other, "late", 20)
        for gate, name, cost in ((one, "booked", 7), (other, "not booked yet", 11)):
            await gate.settle(await hold(gate, name, 30), nano_usd=cost)
        books.calls["booked"] = booked(7)

        loses_all(own_redis)
        with pytest.raises(PenstockError) as refusal:
            await hold(one, "too much", 60)
        assert isinstance(refusal.value, Unavailable)
        await until(lambda: one.is_open and other.is_open)

        assert await stands(one) == (18, 30)
        with pytest.raises(BudgetExhausted):
            await hold(one, "still too much", 53)
        books.calls["not booked yet"] = booked(11)
        await one.settle(held, nano_usd=1)
        await other.settle(late, nano_usd=2)
        assert await stands(other) == (21, 0)


class LateAnswer(BudgetFunctions):
    """While Redis is told of windows, a call from before is given up: once."""

    link: Link | None = None

    async def call(self, function: str, *arguments: str | int, timeout_s: float = 1.0) -> Reply:
        reply = await super().call(function, *arguments, timeout_s=timeout_s)
        if function == "untold" and self.link is not None:
            self.link.lost(NoAnswer("given up"))
            self.link = None
        return reply


async def test_a_call_that_is_given_up_while_the_process_attaches_makes_it_attach_again(
    clocked_redis: RedisServer,
) -> None:
    """It stayed open without an epoch, and the background tried to deliver without end: the process hung."""
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    functions = LateAnswer(redis_client(clocked_redis.url), root="{late}")
    gate = RedisGate(
        functions,
        Books(),
        quotas=(HUNDRED,),
        monotonic_s=clock.monotonic_s,
        new_id=lambda: secrets.token_hex(8),
        process=secrets.token_hex(8),
        quarantine_s=0,
    )
    functions.link = gate._link

    was_open: list[bool] = []
    for _ in range(2):
        await gate.beat()
        was_open.append(gate.is_open)

    assert was_open == [False, True]
    await gate.settle(await hold(gate, "r.1", 10), nano_usd=10)
    assert await stands(gate) == (10, 0)
    await gate.aclose()


async def test_a_budget_that_is_new_begins_with_what_the_ledger_says_although_redis_never_counted_it(
    own_redis: RedisServer,
) -> None:
    """A project that got money of its own once began its month at nothing, whatever it had spent."""
    project = Scope(ScopeId("search", ScopeKind.PROJECT, "eu"), (Budget(100, Per.MONTH),), NO_LIMITS)
    with_project = Quota((*HUNDRED.scopes, project), BERLIN)
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books)) as gate:
        await until(lambda: gate.is_open)
        await gate.settle(await hold(gate, "r.1", 10), nano_usd=10)
    books.calls["r.1"] = Booked((TEAM, project.id), datetime.now(UTC), 10)  # noqa: TID251 - as the real server's

    async with running(gate_on(own_redis, books, quotas=(with_project,))) as gate:
        await until(lambda: gate.is_open)
        with pytest.raises(BudgetExhausted) as refusal:
            await gate.reserve(with_project, reservation_id="r.2", nano_usd=91)
        made = await gate.reserve(with_project, reservation_id="r.3", nano_usd=90)

        await gate.refresh()
        assert [(each.spent_nano_usd, each.held_nano_usd) for each in gate.states()] == [(10, 90)] * 2
        await gate.settle(made, nano_usd=0)
    assert refusal.value.left_nano_usd == 90


async def test_what_was_paid_while_a_budget_was_taken_away_counts_when_it_is_back(own_redis: RedisServer) -> None:
    without = Quota((Scope(ScopeId.of_team("ads"), (Budget(1, Per.DAY),), NO_LIMITS),), BERLIN)
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books)) as gate:
        await until(lambda: gate.is_open)
        await gate.settle(await hold(gate, "r.1", 10), nano_usd=10)
    books.calls["r.1"] = booked(10)
    async with running(gate_on(own_redis, books, quotas=(without,))) as gate:
        await until(lambda: gate.is_open)
    books.calls["r.2"] = booked(25)  # while nobody counted

    async with running(gate_on(own_redis, books)) as gate:
        await until(lambda: gate.is_open)

        assert await stands(gate) == (35, 0)
        await gate.settle(await hold(gate, "r.3", 5), nano_usd=5)
        assert await stands(gate) == (40, 0)


async def test_a_key_that_a_running_process_never_saw_is_counted_by_it_all_the_same(own_redis: RedisServer) -> None:
    """The keys of a team are no list that is known beforehand: a new one needs no reading of the ledger."""
    each_key = Scope(ScopeId("search", ScopeKind.KEY, ""), (Budget(100, Per.MONTH),), NO_LIMITS)
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books, quotas=(Quota((each_key,), BERLIN),))) as gate:
        await until(lambda: gate.is_open)
        books.is_readable = False
        fresh = Quota((replace(each_key, id=ScopeId("search", ScopeKind.KEY, "00c0ffee")),), BERLIN)

        await gate.settle(await gate.reserve(fresh, reservation_id="r.1", nano_usd=100), nano_usd=100)

        assert await stands(gate) == (100, 0)


async def test_a_purse_that_a_process_did_not_know_beforehand_is_counted_on_when_others_come_to_know_it(
    clocked_redis: RedisServer,
) -> None:
    """Redis is told of it once; else it would begin at what the ledger says, which has not been told of all yet."""
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    at_root = partial(gate_on, clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{tracked}", quarantine_s=0)
    gate = at_root(quotas=())
    await gate.beat()
    await gate.settle(await hold(gate, "r.1", 10), nano_usd=10)
    assert gate._untracked == set()
    clock.advance(timedelta(seconds=1))

    knows_it = at_root(quotas=(HUNDRED,))
    await knows_it.beat()

    assert await stands(knows_it) == (10, 0)
    with pytest.raises(BudgetExhausted):
        await hold(gate, "r.2", 91)
    for each in (gate, knows_it):
        await each.aclose()


async def test_a_call_that_is_booked_while_the_counters_are_rebuilt_counts_once(own_redis: RedisServer) -> None:
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books)) as gate:
        await until(lambda: gate.is_open)
        made = await hold(gate, "r.1", 30)
        own_redis.wipe()
        await until(lambda: not gate.is_open)

        books.calls["r.1"] = booked(13)
        await gate.settle(made, nano_usd=13)
        await until(lambda: gate.is_open)
        await gate.beat()

        assert await stands(gate) == (13, 0)


async def test_an_old_snapshot_is_not_believed(own_redis: RedisServer) -> None:
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books)) as gate:
        await until(lambda: gate.is_open)
        settled_later = await hold(gate, "settled later", 10)
        own_redis.save()
        await gate.settle(settled_later, nano_usd=4)
        await gate.settle(await hold(gate, "unknown to the snapshot", 50), nano_usd=50)
        books.calls["unknown to the snapshot"] = booked(50)

        own_redis.kill()
        own_redis.start()
        with pytest.raises(Unavailable):
            await hold(gate, "too much", 90)
        await until(lambda: gate.is_open)

        assert await stands(gate) == (54, 0)


async def test_without_the_ledger_an_empty_redis_stays_closed(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.start()
    books = Books({"before": booked(40)}, is_readable=False)
    async with running(gate_on(own_redis, books, quarantine_s=0)) as gate:
        await until(lambda: "cannot be compared with the ledger" in caplog.text)
        with pytest.raises(Unavailable):
            await hold(gate, "r.1", 1)

        books.is_readable = True
        await until(lambda: gate.is_open)

        assert await stands(gate) == (40, 0)


async def test_a_request_under_way_still_counts_as_concurrent_when_redis_was_wiped(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books())) as gate:
        await until(lambda: gate.is_open)
        await gate.admit(ONE_AT_A_TIME, tokens=1)
        own_redis.wipe()
        await until(lambda: not gate.is_open)
        await until(lambda: gate.is_open)

        with pytest.raises(RateLimited):
            await gate.admit(ONE_AT_A_TIME, tokens=1)


async def test_what_the_dead_have_left_is_booked_before_the_ledgers_sums_are_read(own_redis: RedisServer) -> None:
    own_redis.start()
    books = Books()
    dead, gate = gate_on(own_redis, books), gate_on(own_redis, books)
    left = {"dead.1": booked(30)}

    async def book_the_dead() -> tuple[str, ...]:
        books.calls.update(left)
        return ("dead",)

    await dead.beat()
    await until_open(dead)
    await hold(dead, "dead.1", 30)
    own_redis.wipe()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gate.run, book_the_dead)
        await until(lambda: gate.is_open)

        assert await stands(gate) == (30, 0)
        tasks.cancel_scope.cancel()
    await gate.aclose()
    await dead._link.functions.aclose()


async def until_open(gate: RedisGate) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not gate.is_open:
            await gate.beat()
            await anyio.sleep(0.05)


async def test_counters_stay_closed_until_every_process_that_lived_has_told_what_it_holds(
    clocked_redis: RedisServer,
) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    cut_off, gate, buried, stopped = (
        gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{peers}", quarantine_s=1, process=name)
        for name in ("cut off", "this", "buried", "stopped")
    )
    await gate.beat()
    clock.advance(timedelta(seconds=1))
    for each in (gate, cut_off, buried, stopped, gate):
        await each.beat()
    await hold(cut_off, "r.1", 70)
    await gate.bury("buried")
    await stopped.aclose()
    await gate.beat()
    clocked_redis.wipe()

    for _ in range(6):
        await gate.beat()
        clock.advance(timedelta(seconds=10))
        with pytest.raises(Unavailable):
            await hold(gate, "too early", 40)
    await cut_off.beat()
    await gate.beat()

    with pytest.raises(BudgetExhausted):
        await hold(gate, "too much", 40)
    await hold(gate, "the rest", 30)
    for each in (gate, cut_off, buried):
        await each.aclose()


async def test_a_process_that_stays_away_is_waited_for_as_long_as_a_lease(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    cut_off, gate = (
        gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{away}", quarantine_s=0) for _ in range(2)
    )
    for each in (gate, cut_off, gate):
        await each.beat()
    clocked_redis.wipe()
    await gate.beat()
    clock.advance(timedelta(seconds=60))
    await gate.beat()
    with pytest.raises(Unavailable):
        await hold(gate, "too early", 1)

    clock.advance(timedelta(milliseconds=1))
    await gate.beat()

    await hold(gate, "late enough", 1)
    for each in (gate, cut_off):
        await each.aclose()


# Calls of dead processes


@pytest.mark.parametrize("has_lost_the_hold", [False, True])
async def test_a_call_of_a_dead_process_counts_once_whether_its_hold_is_still_there_or_not(
    own_redis: RedisServer, *, has_lost_the_hold: bool
) -> None:
    own_redis.start()
    books = Books()
    dead = gate_on(own_redis, books, quarantine_s=0.1, process="dead")
    async with running(gate_on(own_redis, books, quarantine_s=0.1), dead=("dead",)) as gate:
        await until(lambda: gate.is_open)
        await dead.beat()
        await hold(dead, "dead.1", 40)
        if has_lost_the_hold:
            own_redis.wipe()
            await until(lambda: not gate.is_open)
            await until(lambda: gate.is_open)
        assert await stands(gate) == ((0, 0) if has_lost_the_hold else (0, 40))

        for _ in range(2):
            await gate.adopt(
                HUNDRED,
                reservation_id="dead.1",
                at=datetime.now(UTC),  # noqa: TID251 - as the real server's
                nano_usd=25,
            )
            await gate.beat()

        assert await stands(gate) == (25, 0)
    await dead._link.functions.aclose()


async def test_a_call_that_was_settled_before_redis_forgot_counts_again_only_if_the_ledger_lacks_it(
    own_redis: RedisServer,
) -> None:
    """An old snapshot remembers settlements whose sums are lost with the counters of that time."""
    own_redis.start()
    books = Books()
    async with running(gate_on(own_redis, books, quarantine_s=0.1), dead=("dead",)) as gate:
        await until(lambda: gate.is_open)
        dead = gate_on(own_redis, books, quarantine_s=0.1, process="dead")
        await dead.beat()
        await dead.settle(await hold(dead, "dead.1", 40), nano_usd=33)
        own_redis.save()
        own_redis.kill()
        own_redis.start()
        await until(lambda: not gate.is_open)
        await until(lambda: gate.is_open)
        assert await stands(gate) == (0, 0)

        await gate.adopt(
            HUNDRED,
            reservation_id="dead.1",
            at=datetime.now(UTC),  # noqa: TID251 - as the real server's
            nano_usd=33,
        )

        assert await stands(gate) == (33, 0)
    await dead._link.functions.aclose()


async def test_a_call_of_a_dead_process_is_told_when_redis_is_back(own_redis: RedisServer) -> None:
    own_redis.start()
    async with running(gate_on(own_redis, Books(), quarantine_s=0.1)) as gate:
        await until(lambda: gate.is_open)
        own_redis.freeze()
        await gate.adopt(
            HUNDRED,
            reservation_id="dead.1",
            at=datetime.now(UTC),  # noqa: TID251 - as the real server's
            nano_usd=9,
        )

        own_redis.thaw()
        await until(lambda: gate.is_open)
        await gate.beat()

        assert await stands(gate) == (9, 0)


# A process that slept


async def test_a_hold_is_not_relied_on_after_a_sleep_in_which_others_may_have_lost_it(
    clocked_redis: RedisServer,
) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    gate = gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{slept}", quarantine_s=1)
    await gate.beat()
    clock.advance(timedelta(seconds=1))
    await gate.beat()
    made = await hold(gate, "r.1", 10)
    free = await gate.reserve(FREE, reservation_id="r.2", nano_usd=10)

    clock.advance(timedelta(seconds=1))
    assert gate.still_holds(made)
    clock.advance(timedelta(milliseconds=1))
    assert not gate.still_holds(made)
    assert gate.still_holds(free)
    await gate.beat()

    assert gate.still_holds(made)
    await gate.settle(made, nano_usd=1)
    assert not gate.still_holds(made)
    await gate.aclose()


# The clock of Redis is set


async def test_a_clock_of_redis_that_is_set_back_opens_no_window_anew(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 30, 22, 59, tzinfo=UTC), clocked_redis)
    gate = gate_on(clocked_redis, Books(), monotonic_s=lambda: 0.0, root="{back}", quarantine_s=0)
    await gate.beat()
    await gate.settle(await hold(gate, "November", 100), nano_usd=100)
    clock.advance(timedelta(minutes=1))
    await gate.settle(await hold(gate, "December", 60), nano_usd=60)

    for step in (timedelta(minutes=-1), timedelta(days=-40)):
        clock.advance(step)
        await gate.beat()
        with pytest.raises(BudgetExhausted):
            await hold(gate, f"again, {step}", 41)

    await gate.settle(await hold(gate, "the rest of December", 40), nano_usd=40)
    assert await stands(gate) == (100, 0)
    await gate.aclose()


async def test_a_clock_of_redis_that_is_set_back_stops_nobody_for_long(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    gate = gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{rates}", quarantine_s=0)
    await gate.beat()
    one_a_minute = Quota((Scope(TEAM, (), Limits(requests_per_minute=1, tokens_per_minute=10)),), BERLIN)
    await gate.admit(one_a_minute, tokens=10)
    with pytest.raises(RateLimited):
        await gate.admit(one_a_minute, tokens=10)

    clock.advance(timedelta(days=-1))

    await gate.admit(one_a_minute, tokens=10)
    with pytest.raises(RateLimited):
        await gate.admit(one_a_minute, tokens=10)
    clock.advance(timedelta(seconds=60))
    await gate.admit(one_a_minute, tokens=10)
    await gate.aclose()


async def test_a_quarantine_does_not_last_for_ever_because_the_clock_was_set_back(clocked_redis: RedisServer) -> None:
    clock = SharedClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC), clocked_redis)
    leader, other = (
        gate_on(clocked_redis, Books(), monotonic_s=clock.monotonic_s, root="{quarantine}", quarantine_s=1)
        for _ in range(2)
    )
    await leader.beat()
    await other.beat()
    with pytest.raises(Unavailable):
        await hold(leader, "too early", 1)

    clock.advance(timedelta(days=-1))
    await leader.beat()
    await other.beat()

    assert leader.is_open
    assert other.is_open
    await leader.aclose()
    await other.aclose()
