"""What is told until Redis has confirmed it, and what is kept while it has not."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import anyio
import pytest

from router.errors import Unavailable
from router.limits.asking import NoAnswer
from router.limits.calendar import Span, purse_text
from router.limits.deliveries import Deliveries
from router.limits.gate import Reservation
from router.limits.holdings import Correction, Departure, Hold, Holdings, Recent, UnderWay
from router.limits.link import Link
from router.limits.rebuild import Rebuild
from router.quotas import Per, ScopeId, ScopeKind, Window
from tests.limits.books import Booked, Books
from tests.limits.clock import SharedClock
from tests.limits.redis_server import RedisServer
from tests.limits.watched import WatchedFunctions

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
TODAY, TOMORROW = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)
TEAM = ScopeId.of_team("search")
PROJECT = ScopeId("search", ScopeKind.PROJECT, "eu")
DAY = Span.of(TEAM, Per.DAY, Window(TODAY, TOMORROW))
PROJECTS_DAY = Span.of(PROJECT, Per.DAY, Window(TODAY, TOMORROW))  # not counted at first
MINUTE_US = 60_000_000
LIMIT_NANO_USD = 100_000


class Process:
    """One that is registered in the epoch `e1`, which is open and counts the team's day."""

    def __init__(self, server: RedisServer) -> None:
        self.clock = SharedClock(NOW, server)
        self.functions = WatchedFunctions(server)
        self.books = Books()
        self.link = Link(self.functions, monotonic_s=lambda: 5.0)
        self.holdings = Holdings()
        self.rebuild = Rebuild(self.functions, self.books)
        self.deliveries = Deliveries(self.link, self.holdings, self.rebuild)

    async def open(self) -> None:
        await self.functions.call("begin", "p1", "e1", 0, MINUTE_US)
        told = self.holdings.told_again([purse_text(TEAM, Per.DAY)])
        await self.functions.call("register", "e1", MINUTE_US, 0, told, "p1")
        assert await self.rebuild.open("e1", [TODAY])
        self.attached()

    def attached(self) -> None:
        self.link.epoch, self.link.is_open, self.functions.is_cut = "e1", True, False
        self.functions.asked.clear()

    async def hold(self, name: str, nano_usd: int, *spans: Span, is_lost: bool = False) -> None:
        """It costs that much, and is to be settled; if it is lost, Redis knows of no such hold."""
        spans = spans or (DAY,)
        if not is_lost:
            told = [item for span in spans for item in (*span, LIMIT_NANO_USD)]
            assert (await self.functions.call("reserve", "e1", name, 60, MINUTE_US, *told))[0] == "ok"
        self.holdings.holds[name] = Hold(Reservation(name, 60, tuple(span.held() for span in spans)), spans, 0.0)
        self.holdings.to_settle[name] = nano_usd

    async def admit(self, name: str, *scopes: str) -> None:
        """One that was expected to use 9 tokens and has used 4."""
        told = [item for scope in scopes for item in (scope, 10, 10, 100)]
        assert (await self.functions.call("admit", "e1", name, 9, MINUTE_US, *told))[0] == "ok"
        self.holdings.departures[name] = Departure(UnderWay(name, scopes), 9, 4)

    async def stands(self, span: Span = DAY) -> tuple[int, int]:
        """Spent and held."""
        state, _, spent, held = await self.functions.call("standing", "e1", *span)
        assert state == "ok"
        return int(spent), int(held)

    async def is_woken(self) -> bool:
        with anyio.move_on_after(0.01) as patience:
            await self.link.wait(60.0)
        return not patience.cancelled_caught


@pytest.fixture
async def process(clocked_redis: RedisServer) -> AsyncIterator[Process]:
    made = Process(clocked_redis)
    await made.open()
    yield made
    await made.functions.aclose()


# Settlements


async def test_settlements_are_told_in_one_call_and_kept_only_until_the_ledger_has_them(process: Process) -> None:
    await process.hold("r.1", 25)
    await process.hold("r.2", 7)
    process.functions.asked.clear()

    await process.deliveries.settle(["r.1", "r.2"])

    assert process.functions.asked == [("settle", "e1", "r.1", 25, "r.2", 7)]
    assert (process.holdings.holds, process.holdings.to_settle) == ({}, {})
    assert process.holdings.recent == {"r.1": Recent((DAY,), 25, 5.0), "r.2": Recent((DAY,), 7, 5.0)}
    assert process.holdings.adoptions == {}
    assert await process.stands() == (32, 0)
    assert process.link.is_open


async def test_a_settlement_of_a_hold_that_redis_has_lost_is_adopted_at_once(process: Process) -> None:
    await process.hold("lost", 25, is_lost=True)
    await process.hold("r.2", 7)

    await process.deliveries.settle(["lost", "r.2"])

    assert process.functions.names()[-2:] == ["settle", "adopt"]
    assert process.holdings == Holdings(
        recent={"lost": Recent((DAY,), 25, 5.0), "r.2": Recent((DAY,), 7, 5.0)},
    )
    assert await process.stands() == (32, 0)


async def test_a_settlement_that_is_told_twice_counts_once(process: Process) -> None:
    await process.hold("r.1", 25)
    await process.functions.call("settle", "e1", "r.1", 25)  # its answer was lost

    await process.deliveries.settle(["r.1"])

    assert process.holdings == Holdings(recent={"r.1": Recent((DAY,), 25, 5.0)})
    assert await process.stands() == (25, 0)


async def test_settlements_are_kept_while_redis_is_in_another_epoch(process: Process) -> None:
    await process.hold("r.1", 25)
    process.link.epoch = "e0"

    await process.deliveries.settle(["r.1"])

    assert process.holdings.to_settle == {"r.1": 25}
    assert list(process.holdings.holds) == ["r.1"]
    assert not process.link.is_open
    assert await process.is_woken()


async def test_settlements_are_kept_while_nothing_is_heard_of_redis(process: Process) -> None:
    await process.hold("r.1", 25)
    process.functions.is_cut = True

    await process.deliveries.settle(["r.1"])
    await process.deliveries.settle(["r.1"])

    assert process.holdings.to_settle == {"r.1": 25}
    assert process.functions.names()[-2:] == ["reserve", "settle"]  # once: the link is closed by then
    process.attached()
    await process.deliveries.catch_up()
    assert await process.stands() == (25, 0)


async def test_many_settlements_are_told_two_hundred_at_a_time(process: Process) -> None:
    for number in range(401):
        await process.hold(f"r.{number}", 1)
    process.functions.asked.clear()

    await process.deliveries.catch_up()

    assert process.functions.names() == ["settle"] * 3
    assert [(len(asked) - 2) // 2 for asked in process.functions.asked] == [200, 200, 1]
    assert await process.stands() == (401, 0)


# Adoptions and corrections


async def test_what_was_delivered_meanwhile_is_not_told_again(process: Process) -> None:
    await process.deliveries.adopt("gone")
    await process.deliveries.correct("gone")
    await process.deliveries.depart(["gone"])

    assert process.functions.asked == []


async def test_adoptions_and_corrections_count_in_all_their_windows_and_are_told_once(process: Process) -> None:
    both = (DAY, PROJECTS_DAY)
    await process.functions.call("track", "e1", "p1", purse_text(PROJECT, Per.DAY))
    _, since_us, _ = await process.functions.call("untold", "e1", *PROJECTS_DAY)
    await process.rebuild.tell_sums("e1", TODAY, after_us=int(since_us))
    process.holdings.adoptions["lost.1"] = Correction(both, 25)
    process.holdings.corrections["c.1"] = Correction(both, -7)
    process.functions.asked.clear()

    await process.deliveries.adopt("lost.1")
    await process.deliveries.correct("c.1")

    assert process.functions.asked == [
        ("adopt", "e1", "lost.1", 25, *DAY, *PROJECTS_DAY),
        ("correct", "e1", "c.1", -7, *DAY, *PROJECTS_DAY),
    ]
    assert process.holdings == Holdings()
    assert await process.stands() == await process.stands(PROJECTS_DAY) == (18, 0)
    assert process.link.is_open
    assert not await process.is_woken()


async def test_what_redis_has_heard_before_is_told_no_more(process: Process) -> None:
    for function, name in (("adopt", "lost.1"), ("correct", "c.1")):
        await process.functions.call(function, "e1", name, 10, *DAY)  # the answers were lost
    process.holdings.adoptions["lost.1"] = Correction((DAY,), 10)
    process.holdings.corrections["c.1"] = Correction((DAY,), 10)

    await process.deliveries.catch_up()

    assert process.holdings == Holdings()
    assert process.link.is_open
    assert await process.stands() == (20, 0)


async def test_adoptions_and_corrections_are_kept_while_redis_is_in_another_epoch(process: Process) -> None:
    process.holdings.adoptions["lost.1"] = Correction((DAY,), 25)
    process.link.epoch = "e0"

    await process.deliveries.adopt("lost.1")

    assert list(process.holdings.adoptions) == ["lost.1"]
    assert not process.link.is_open
    assert await process.is_woken()


async def test_adoptions_and_corrections_are_kept_while_nothing_is_heard_of_redis(process: Process) -> None:
    process.holdings.adoptions["lost.1"] = Correction((DAY,), 25)
    process.holdings.corrections["c.1"] = Correction((DAY,), -7)
    process.functions.is_cut = True

    await process.deliveries.adopt("lost.1")
    await process.deliveries.correct("c.1")

    assert (list(process.holdings.adoptions), list(process.holdings.corrections)) == (["lost.1"], ["c.1"])
    assert process.functions.names() == ["adopt"]  # the link is closed by then
    process.attached()
    await process.deliveries.catch_up()
    assert process.holdings == Holdings()
    assert await process.stands() == (18, 0)


async def adopting_in_a_new_purse(process: Process) -> None:
    """The ledger has what was spent before, and not yet this call; Redis wants it first."""
    process.books.calls = {"before": Booked((PROJECT,), NOW, 100)}
    process.holdings.adoptions["lost.1"] = Correction((PROJECTS_DAY,), 25)
    await process.deliveries.adopt("lost.1")
    assert list(process.holdings.adoptions) == ["lost.1"]


async def test_an_adoption_in_windows_that_redis_does_not_know_waits_for_the_ledgers_sums(process: Process) -> None:
    await adopting_in_a_new_purse(process)
    assert process.link.is_open
    assert await process.is_woken()
    process.functions.asked.clear()

    await process.deliveries.catch_up()
    assert process.functions.names() == ["sums", "adopt"]
    assert process.holdings.adoptions == {}
    assert await process.stands(PROJECTS_DAY) == (125, 0)

    process.functions.asked.clear()
    await process.deliveries.catch_up()
    assert process.functions.asked == []  # the sums are told once


async def test_sums_that_could_not_be_told_are_told_the_next_time(process: Process) -> None:
    await adopting_in_a_new_purse(process)
    process.books.is_readable = False
    with pytest.raises(Unavailable):
        await process.deliveries.catch_up()
    process.books.is_readable = True
    process.functions.is_cut = True
    with pytest.raises(NoAnswer):
        await process.deliveries.catch_up()
    process.attached()

    await process.deliveries.catch_up()

    assert process.functions.names() == ["sums", "adopt"]
    assert await process.stands(PROJECTS_DAY) == (125, 0)


async def test_nothing_that_needs_the_ledgers_sums_is_told_while_the_link_is_closed(process: Process) -> None:
    await adopting_in_a_new_purse(process)
    await process.hold("r.1", 25)
    process.link.is_open = False
    process.functions.asked.clear()

    with pytest.raises(Unavailable):
        await process.deliveries.catch_up()

    assert process.functions.asked == []


# Departures


async def concurrent(process: Process, *scopes: str) -> list[int]:
    """How many requests may still begin in each of the scopes, of ten."""
    left = []
    for scope in scopes:
        for number in range(11):
            reply = await process.functions.call("admit", "e1", f"probe.{number}", 0, MINUTE_US, scope, 10, "", "")
            if reply[0] != "ok":
                left.append(number)
                break
    return left


async def test_a_departure_is_told_for_every_scope_with_what_was_expected_and_what_was_used(process: Process) -> None:
    await process.admit("p1.1", "team|a|a", "team|b|b")
    await process.admit("p1.2", "team|a|a")
    process.functions.asked.clear()

    await process.deliveries.depart(["p1.1", "gone", "p1.2"])

    assert process.functions.asked == [
        ("leave", "p1.1", 9, 4, "team|a|a", "team|b|b"),
        ("leave", "p1.2", 9, 4, "team|a|a"),
    ]
    assert process.holdings.departures == {}
    assert await concurrent(process, "team|a|a", "team|b|b") == [10, 10]


async def test_departures_wait_for_redis_and_are_not_tried_one_after_the_other(process: Process) -> None:
    await process.admit("p1.1", "team|a|a")
    await process.admit("p1.2", "team|a|a")
    process.functions.asked.clear()
    process.functions.is_cut = True

    await process.deliveries.depart(["p1.1", "p1.2"])

    assert process.functions.names() == ["leave"]
    assert list(process.holdings.departures) == ["p1.1", "p1.2"]
    process.attached()
    await process.deliveries.catch_up()
    assert process.holdings.departures == {}
    assert await concurrent(process, "team|a|a") == [10]
