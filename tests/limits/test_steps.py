"""The gate of many processes, step by step while the clock stands still: what it asks of Redis, and when."""

import logging
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from router.errors import BudgetExhausted, Unavailable
from router.limits.calendar import purse_text, scope_text
from router.limits.gate import Quota, Reservation, Scope
from router.limits.redis import Orphan, RedisGate
from router.quotas import NO_LIMITS, Budget, Limits, OutageAllowance, Per, ScopeId, ScopeKind
from tests.limits import processes
from tests.limits.books import Booked, Books
from tests.limits.clock import SharedClock
from tests.limits.redis_server import RedisServer
from tests.limits.watched import WatchedFunctions

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
TEAM = ScopeId.of_team("search")
MONTHLY = Quota((Scope(TEAM, (Budget(10_000, Per.MONTH),), NO_LIMITS),), BERLIN)
LIMITED = Quota((Scope(TEAM, (), Limits(concurrent=5)),), BERLIN)
NOW = datetime(2026, 11, 30, 22, 59, tzinfo=UTC)  # a minute before December in Berlin
ALLOWANCE = OutageAllowance(per_mille=20, at_most_nano_usd=10**9)  # 200 of the team's


@dataclass
class AskedBooks(Books):
    """Remembers which reservations were looked up."""

    asked: list[set[str]] = field(default_factory=list)

    def booked(self, reservation_ids: Collection[str]) -> set[str]:
        self.asked.append(set(reservation_ids))
        return super().booked(reservation_ids)


class Process:
    """One that is open."""

    def __init__(self, server: RedisServer, *, allowance: OutageAllowance | None = None) -> None:
        self.server = server
        self.clock = SharedClock(NOW, server)
        self.functions = WatchedFunctions(server)
        self.books = AskedBooks()
        self.believed_s = 0.0  # what the stopwatch of this process says
        self.gate = processes.gate_on(
            server,
            self.books,
            quotas=(MONTHLY,),
            quarantine_s=0,
            allowance=allowance,
            monotonic_s=lambda: self.believed_s,
            process="p1",
            functions=self.functions,
        )

    def another(self, *, quotas: tuple[Quota, ...] = (MONTHLY,), name: str = "") -> RedisGate:
        """Of the same Redis."""
        return processes.gate_on(
            self.server,
            self.books,
            quotas=quotas,
            quarantine_s=0,
            monotonic_s=lambda: self.believed_s,
            root=self.functions.root,
            process=name,
        )

    async def beats_after(self, seconds: float) -> list[str | int]:
        """What is asked in the round that begins then, besides the beat itself."""
        self.clock.advance(timedelta(seconds=seconds))
        self.believed_s += seconds
        return await self.beats()

    async def beats(self) -> list[str | int]:
        self.functions.asked.clear()
        await self.gate.beat()
        return [each for each in self.functions.names() if each != "beat"]

    async def hold(self, name: str, nano_usd: int) -> Reservation:
        return await self.gate.reserve(MONTHLY, reservation_id=name, nano_usd=nano_usd)

    async def stands(self) -> tuple[int, int]:
        await self.gate.refresh()
        (state,) = self.gate.states()
        return state.spent_nano_usd, state.held_nano_usd


@pytest.fixture
async def process(clocked_redis: RedisServer) -> AsyncIterator[Process]:
    made = Process(clocked_redis)
    await made.gate.beat()
    assert made.gate.is_open
    yield made
    made.functions.is_cut = False
    await made.gate.aclose()


# What is due


async def test_where_the_budgets_stand_is_asked_every_second(process: Process) -> None:
    assert await process.beats() == []
    assert await process.beats_after(0.75) == []
    assert await process.beats_after(0.25) == ["standing"]
    assert await process.beats() == []
    assert await process.beats_after(1.0) == ["standing"]


async def test_what_is_held_and_under_way_is_renewed_every_ten_seconds(process: Process) -> None:
    await process.hold("r.1", 5)
    await process.hold("r.2", 5)
    await process.gate.admit(LIMITED, tokens=1)
    assert "renew" not in await process.beats_after(9.75)

    assert "renew" in await process.beats_after(0.25)

    (renewed,) = (asked for asked in process.functions.asked if asked[0] == "renew")
    assert renewed == ("renew", 60_000_000, 2, "r.1", "r.2", scope_text(TEAM), "p1.1")
    assert "renew" not in await process.beats_after(9.75)
    assert "renew" in await process.beats_after(0.25)


async def test_requests_are_renewed_by_a_process_that_holds_no_money(process: Process) -> None:
    await process.gate.admit(LIMITED, tokens=1)

    assert "renew" in await process.beats_after(10.0)


async def test_a_process_that_has_nothing_renews_nothing(process: Process) -> None:
    assert await process.beats_after(10.0) == ["standing"]


async def test_settlements_that_the_ledger_has_are_forgotten_every_ten_seconds(process: Process) -> None:
    await process.gate.settle(await process.hold("r.1", 5), nano_usd=5)
    process.books.asked.clear()
    await process.beats_after(9.75)
    assert process.books.asked == []

    await process.beats_after(0.25)

    assert process.books.asked == [{"r.1"}]


async def test_a_slice_is_seen_to_every_second(clocked_redis: RedisServer) -> None:
    process = Process(clocked_redis, allowance=ALLOWANCE)
    await process.gate.beat()
    assert await process.stands() == (0, 200)
    await process.gate.settle(await process.hold("nearly all", 9_000), nano_usd=9_000)

    assert "settle" not in await process.beats_after(0.75)
    await process.beats_after(0.25)
    assert "settle" in await process.beats()  # it is let go, for so little is left

    assert await process.stands() == (9_000, 0)
    await process.gate.aclose()


async def test_in_another_epoch_nothing_more_is_asked_before_the_process_has_registered_there(
    process: Process,
) -> None:
    process.gate._link.epoch = "e0"

    await process.gate.refresh()

    assert not process.gate.is_open
    assert process.gate.states()[0].held_nano_usd == 0
    assert "register" in await process.beats()
    assert process.gate.is_open


async def test_a_process_that_comes_late_into_a_new_epoch_counts_what_the_ledger_lacks_and_nothing_else(
    process: Process,
) -> None:
    for name, cost in (("booked", 30), ("not booked", 7)):
        await process.gate.settle(await process.hold(name, 70), nano_usd=cost)
    await process.hold("under way", 100)
    process.books.calls["booked"] = Booked((TEAM,), process.clock.now(), 30)
    process.server.wipe()
    other = process.another()
    await other.beat()
    assert other.is_open

    assert process.functions.names().count("register") == 1
    assert (await process.beats()).count("register") == 2  # told to compare first

    assert await process.stands() == (37, 100)
    await other.aclose()


async def test_a_process_that_comes_late_tells_what_the_ledger_says_of_windows_that_nobody_knew(
    process: Process,
) -> None:
    process.books.calls["before"] = Booked((TEAM,), process.clock.now(), 40)
    await process.hold("under way", 100)
    process.server.wipe()
    other = process.another(quotas=())
    await other.beat()

    told = [each for each in await process.beats() if each in ("register", "sums")]
    assert told[:3] == ["register", "sums", "register"]

    assert await process.stands() == (40, 100)
    await other.aclose()


@pytest.mark.parametrize(("is_late", "spent"), [(True, 105), (False, 100)])
async def test_corrections_of_a_new_epoch_are_in_the_ledger_but_what_adds_is_told_to_counters_from_before(
    process: Process, *, is_late: bool, spent: int
) -> None:
    process.books.calls["before"] = Booked((TEAM,), process.clock.now(), 100)
    process.functions.is_cut = True
    for nano_usd in (5, -3):
        await process.gate.correct(MONTHLY, at=process.clock.now(), nano_usd=nano_usd)
    process.functions.is_cut = False
    process.server.wipe()
    other = process.another()
    if is_late:
        await other.beat()

    await process.gate.beat()

    assert await process.stands() == (spent, 0)
    await other.aclose()


async def test_counters_are_not_kept_closed_for_a_process_that_is_found_dead(process: Process) -> None:
    dead = process.another(name="p0")
    await dead.beat()
    await process.gate.beat()
    process.server.wipe()
    process.gate._link.attach_again()

    async with processes.running(process.gate, dead=("p0",)):
        await processes.until(lambda: process.gate.is_open)

    await dead.aclose()


async def test_budgets_that_are_new_begin_with_what_the_ledger_says_and_are_told_of_it_beforehand(
    process: Process,
) -> None:
    project = ScopeId("search", ScopeKind.PROJECT, "eu")
    budgets = (Budget(1_000, Per.DAY), Budget(9_000, Per.MONTH), Budget(8_000, Per.MONTH))
    its_own = Quota((Scope(project, budgets, NO_LIMITS),), BERLIN)
    process.books.calls["today"] = Booked((project, TEAM), process.clock.now(), 40)
    process.books.calls["before"] = Booked((project, TEAM), process.clock.now() - timedelta(days=2), 500)

    with_project = process.another(quotas=(MONTHLY, its_own))
    await with_project.beat()
    process.books.is_readable = False

    stand = {(each.scope, each.per): each.spent_nano_usd for each in with_project.states()}
    assert stand == {(TEAM, Per.MONTH): 0, (project, Per.DAY): 40, (project, Per.MONTH): 540}
    with pytest.raises(BudgetExhausted) as refusal:
        await with_project.reserve(its_own, reservation_id="r.1", nano_usd=961)
    assert refusal.value.left_nano_usd == 960
    process.books.is_readable = True
    await with_project.aclose()


# The end of a window


async def test_where_the_budgets_stand_is_told_of_the_window_that_is_open_by_the_clock_of_redis(
    process: Process,
) -> None:
    await process.gate.settle(await process.hold("November", 70), nano_usd=70)
    assert await process.stands() == (70, 0)
    process.clock.advance(timedelta(minutes=1))  # and this process believes that it is November yet

    assert await process.stands() == (0, 0)


async def test_a_hold_made_in_a_window_that_ended_meanwhile_is_made_in_the_next(process: Process) -> None:
    process.clock.advance(timedelta(minutes=1))

    made = await process.hold("December", 70)

    assert [each.starts for each in made.windows] == [datetime(2026, 11, 30, 23, tzinfo=UTC)]
    assert made.held_at == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert await process.stands() == (0, 70)


# Holds


async def test_a_reservation_that_was_settled_before_is_refused_by_name(process: Process) -> None:
    await process.gate.resolve("r.1", nano_usd=0)

    with pytest.raises(Unavailable) as refusal:
        await process.hold("r.1", 5)

    assert refusal.value.message == "The reservation r.1 was made before. Send the request again."
    assert await process.stands() == (0, 0)


async def test_a_reservation_that_another_process_holds_is_refused_by_name(process: Process) -> None:
    other = process.another()
    await other.beat()
    await other.reserve(MONTHLY, reservation_id="r.1", nano_usd=5)

    with pytest.raises(Unavailable) as refusal:
        await process.hold("r.1", 5)

    assert refusal.value.message == "The reservation r.1 was made before. Send the request again."
    assert await process.stands() == (0, 5)
    await other.aclose()


async def test_a_sum_beyond_all_measure_is_refused_like_any_other_that_does_not_fit(process: Process) -> None:
    with pytest.raises(BudgetExhausted) as refusal:
        await process.hold("r.1", 10**30)

    assert (refusal.value.asked_nano_usd, refusal.value.left_nano_usd) == (10**30, 10_000)


async def test_a_hold_of_all_that_is_left_is_made_and_one_of_a_nano_dollar_more_is_not(process: Process) -> None:
    with pytest.raises(BudgetExhausted):
        await process.hold("r.1", 10_001)

    await process.hold("r.2", 10_000)

    assert await process.stands() == (0, 10_000)


async def test_a_hold_whose_answer_did_not_come_is_settled_at_nothing(process: Process) -> None:
    process.functions.is_cut = True
    with pytest.raises(Unavailable):
        await process.hold("r.1", 70)
    process.functions.is_cut = False

    assert "settle" in await process.beats()

    assert ("settle", process.gate._link.epoch, "r.1", 0) in process.functions.asked
    assert await process.stands() == (0, 0)


async def test_in_another_epoch_no_hold_is_made_and_nobody_is_buried(process: Process) -> None:
    for ask in (
        lambda: process.hold("r.1", 1),
        lambda: process.gate.resolve("r.1", nano_usd=0),
        lambda: process.gate.bury("p0"),
    ):
        process.gate._link.epoch = "e0"
        with pytest.raises(Unavailable):
            await ask()
        assert not process.gate.is_open
        await process.gate.beat()
        assert process.gate.is_open


async def test_holds_whose_lease_has_ended_are_told_those_first_that_ended_first(process: Process) -> None:
    await process.hold("r.1", 5)
    process.clock.advance(timedelta(seconds=1))
    await process.hold("r.2", 7)
    process.clock.advance(timedelta(seconds=62))

    first, second = Orphan("r.1", 5, ended_s=3.0), Orphan("r.2", 7, ended_s=2.0)
    assert await process.gate.orphans() == [first, second]
    assert process.functions.asked[-1] == ("orphans", 1_000)
    assert await process.gate.orphans(limit=1) == [first]
    process.gate._link.is_open = False
    with pytest.raises(Unavailable):
        await process.gate.orphans()


async def test_what_has_no_budget_needs_no_redis(process: Process) -> None:
    process.functions.is_cut = True

    free = await process.gate.reserve(LIMITED, reservation_id="r.1", nano_usd=7)

    assert free == Reservation("r.1", 7, ())


async def test_the_first_of_two_settlements_of_a_call_is_told(process: Process) -> None:
    made = await process.hold("r.1", 70)
    process.functions.is_cut = True
    for nano_usd in (5, 9):
        await process.gate.settle(made, nano_usd=nano_usd)
    process.functions.is_cut = False
    await process.gate.beat()
    await process.gate.settle(made, nano_usd=9)

    assert await process.stands() == (5, 0)


async def test_a_budget_stands_at_nothing_before_redis_was_asked(clocked_redis: RedisServer) -> None:
    process = Process(clocked_redis)

    (state,) = process.gate.states()

    assert (state.limit_nano_usd, state.spent_nano_usd, state.held_nano_usd) == (10_000, 0, 0)
    await process.gate.refresh()
    assert process.functions.asked == []  # no epoch is known yet
    await process.gate.aclose()


async def test_a_budget_is_known_by_its_latest_limit(process: Process) -> None:
    lowered = Quota((Scope(TEAM, (Budget(500, Per.MONTH),), NO_LIMITS),), BERLIN)

    await process.gate.reserve(lowered, reservation_id="r.1", nano_usd=5)

    assert [each.limit_nano_usd for each in process.gate.states()] == [500]


async def test_purses_that_came_up_while_redis_was_away_are_told_together(process: Process) -> None:
    projects = [ScopeId("search", ScopeKind.PROJECT, name) for name in ("eu", "us")]
    free = Scope(TEAM, (), NO_LIMITS)  # and is passed over
    quotas = [Quota((free, Scope(each, (Budget(100, Per.DAY),), NO_LIMITS)), BERLIN) for each in projects]
    process.functions.is_cut = True
    for quota in quotas:
        with pytest.raises(Unavailable):
            await process.gate.reserve(quota, reservation_id="in vain", nano_usd=1)
    process.functions.is_cut = False
    await process.gate.beat()
    process.functions.asked.clear()

    await process.gate.reserve(quotas[0], reservation_id="r.1", nano_usd=1)
    await process.gate.reserve(quotas[1], reservation_id="r.2", nano_usd=1)

    told = [asked for asked in process.functions.asked if asked[0] == "track"]
    assert [(each[:3], set(each[3:])) for each in told] == [
        (("track", process.gate._link.epoch, "p1"), {purse_text(each, Per.DAY) for each in projects})
    ]


async def test_nothing_is_drawn_from_a_slice_while_redis_is_there(clocked_redis: RedisServer) -> None:
    """It may be in the ledger by the time that the counters are rebuilt from it, and registered as well."""
    process = Process(clocked_redis, allowance=ALLOWANCE)
    await process.gate.beat()
    process.gate._link.attach_again()

    with pytest.raises(Unavailable):
        await process.hold("too early", 1)

    assert not process.gate.can_pay
    await process.gate.beat()
    await process.hold("not any more", 1)
    await process.gate.aclose()


async def test_a_slice_pays_again_what_a_call_has_left_of_its_share(clocked_redis: RedisServer) -> None:
    process = Process(clocked_redis, allowance=ALLOWANCE)
    await process.gate.beat()
    # So much that no second slice is taken afterwards, which would hide that the first was let go too early.
    await process.gate.settle(await process.hold("before", 7_790), nano_usd=7_790)
    process.functions.is_cut = True
    over = await process.hold("over", 150)
    await process.gate.settle(over, nano_usd=30)

    with pytest.raises(Unavailable):
        await process.hold("does not fit", 171)
    fits = await process.hold("fits", 170)

    process.functions.is_cut = False
    for _ in range(3):  # the slice that was drawn from is kept until all that it pays is told
        await process.beats_after(1.0)
        assert await process.stands() == (7_790 + 30, 200)
    await process.gate.settle(fits, nano_usd=170)
    for _ in range(2):
        await process.beats_after(1.0)
    assert await process.stands() == (7_790 + 30 + 170, 0)
    await process.gate.aclose()


# The end of a process


async def test_a_process_that_ends_in_order_takes_its_leave(process: Process) -> None:
    await process.gate.settle(await process.hold("r.1", 5), nano_usd=5)

    await process.gate.aclose()

    assert process.functions.asked[-1] == ("farewell", "p1")


async def test_a_process_that_ends_and_holds_something_yet_is_not_forgotten(process: Process) -> None:
    await process.hold("r.1", 5)

    await process.gate.aclose()

    assert "farewell" not in process.functions.names()


async def test_a_process_ends_in_order_though_redis_is_away(process: Process) -> None:
    process.functions.is_cut = True

    await process.gate.aclose()

    assert process.functions.asked[-1] == ("farewell", "p1")


async def test_a_process_lets_go_of_its_slices_at_its_end(clocked_redis: RedisServer) -> None:
    process = Process(clocked_redis, allowance=ALLOWANCE)
    await process.gate.beat()
    process.functions.asked.clear()

    await process.gate.aclose()

    assert process.functions.names() == ["beat", "settle", "farewell"]
    assert process.functions.asked[1][2:] == ("p1.slice.1", 0)


# What is said


async def test_a_ledger_that_cannot_be_read_is_complained_of_and_keeps_the_counters_closed(
    clocked_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(clocked_redis)

    was_open = []
    for is_readable in (False, True):
        process.books.is_readable = is_readable
        await process.gate.beat()
        was_open.append(process.gate.is_open)

    assert was_open == [False, True]
    assert caplog.record_tuples == [
        (
            "penstock.redis",
            logging.WARNING,
            "the budgets in Redis cannot be compared with the ledger (unavailable)",
        )
    ]
    await process.gate.aclose()


async def test_a_redis_that_is_away_closes_the_gate_until_the_next_round_and_that_is_said(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    was_open = []
    for is_cut in (True, False):
        process.functions.is_cut = is_cut
        await process.gate.beat()
        was_open.append(process.gate.is_open)

    assert was_open == [False, True]
    assert caplog.messages == [
        "Redis does not answer, so budgets and limits cannot be checked: The test says so.",
        "Redis answers again, and its counters are right: budgets and limits are checked",
    ]
