"""A new epoch, step by step: whom it waits for, what is read while others write, and when it is tried again."""

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from router.assembly.with_redis import redis_client
from router.limits.asking import NoAnswer
from router.limits.calendar import Span, from_us, purse_text, scope_text, to_us
from router.limits.functions import BudgetFunctions
from router.limits.gate import Reservation
from router.limits.holdings import Hold, Holdings, Recent
from router.limits.rebuild import Peers, Rebuild
from router.quotas import Per, ScopeId, ScopeKind, Window
from tests.limits.books import Booked, Books
from tests.limits.clock import SharedClock
from tests.limits.redis_server import RedisServer
from tests.limits.watched import WatchedFunctions

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
TODAY, TOMORROW = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC)
NOVEMBER, DECEMBER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
TEAM = ScopeId.of_team("search")
PROJECT = ScopeId("search", ScopeKind.PROJECT, "eu")
DAY = Span.of(TEAM, Per.DAY, Window(TODAY, TOMORROW))
MONTH = Span.of(TEAM, Per.MONTH, Window(NOVEMBER, DECEMBER))
PROJECTS_DAY = Span.of(PROJECT, Per.DAY, Window(TODAY, TOMORROW))
PURSES = (purse_text(TEAM, Per.DAY), purse_text(TEAM, Per.MONTH), purse_text(PROJECT, Per.DAY))
MINUTE_US = 60_000_000
MOST_TRIES = 5


@dataclass
class BusyBooks(Books):
    """Something happens whenever the sums have just been read."""

    meanwhile: Callable[[], object] = lambda: None
    read: list[datetime] = field(default_factory=list)

    def spent_since(self, since: datetime) -> dict[ScopeId, int]:
        sums = super().spent_since(since)
        self.read.append(since)
        self.meanwhile()
        return sums


class Epoch:
    """`e1`, which is being rebuilt; `rebuild` is what its leader has."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.clock = SharedClock(NOW, server)
        self.functions = WatchedFunctions(server)
        self.books = BusyBooks()
        self.rebuild = Rebuild(self.functions, self.books)

    async def begin(self) -> None:
        await self.functions.call("begin", "leader", "e1", 0, MINUTE_US)

    def register(self, process: str, holdings: Holdings, *, dead: Iterable[str] = ()) -> None:
        """As another process does, also while the leader is waiting for the ledger."""
        told = holdings.told_again(PURSES)
        self.server.client.fcall(
            "penstock_v3_register", 1, self.functions.root, "e1", MINUTE_US, 0, told, process, *dead
        )

    async def stands(self, span: Span) -> tuple[int, int]:
        """Spent and held."""
        state, _, spent, held = await self.functions.call("standing", "e1", *span)
        assert state == "ok"
        return int(spent), int(held)


@pytest.fixture
async def epoch(clocked_redis: RedisServer) -> AsyncIterator[Epoch]:
    made = Epoch(clocked_redis)
    await made.begin()
    yield made
    await made.functions.aclose()


def holding(*names: str, span: Span = DAY) -> Holdings:
    """60 for each of these calls."""
    return Holdings(holds={name: Hold(Reservation(name, 60, (span.held(),)), (span,), 0.0) for name in names})


def booked(nano_usd: int, *scopes: ScopeId, at: datetime = NOW) -> Booked:
    return Booked(scopes or (TEAM,), at, nano_usd)


# The leader


async def test_counters_open_with_the_ledgers_sums_of_every_window_and_with_what_is_held(epoch: Epoch) -> None:
    epoch.books.calls = {"today": booked(7, TEAM, PROJECT), "before": booked(30, at=TODAY - timedelta(days=1))}
    epoch.register("p1", holding("r.1"))

    assert await epoch.rebuild.open("e1", [TODAY, NOVEMBER, TODAY])

    assert epoch.books.read == [NOVEMBER, TODAY]
    assert await epoch.stands(DAY) == (7, 60)
    assert await epoch.stands(MONTH) == (37, 0)
    assert await epoch.stands(PROJECTS_DAY) == (7, 0)


async def test_what_the_ledger_has_already_of_what_is_registered_counts_once(epoch: Epoch) -> None:
    holdings = holding("r.1", "r.2")
    holdings.recent = {"r.3": Recent((DAY,), 11, 0.0), "r.4": Recent((DAY,), 13, 0.0)}
    epoch.register("p1", holdings)
    epoch.books.calls = {"r.1": booked(25), "r.3": booked(11)}

    assert await epoch.rebuild.open("e1", [TODAY])

    assert await epoch.stands(DAY) == (25 + 11 + 13, 60)


async def test_sums_are_read_again_if_a_call_was_booked_meanwhile(
    epoch: Epoch, caplog: pytest.LogCaptureFixture
) -> None:
    epoch.register("p1", holding("r.1", "r.2"))
    epoch.books.meanwhile = lambda: epoch.books.write("r.1", booked(25))

    assert await epoch.rebuild.open("e1", [TODAY])

    assert epoch.books.read == [TODAY] * 2
    assert await epoch.stands(DAY) == (25, 60)
    assert caplog.messages == []


async def test_a_ledger_that_never_stands_still_is_believed_in_the_end_and_that_is_said(
    epoch: Epoch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = [f"r.{number}" for number in range(MOST_TRIES + 1)]
    epoch.register("p1", holding(*calls))
    epoch.books.meanwhile = lambda: epoch.books.write(calls[len(epoch.books.read) - 1], booked(1))

    assert await epoch.rebuild.open("e1", [TODAY])

    assert epoch.books.read == [TODAY] * MOST_TRIES
    assert await epoch.stands(DAY) == (MOST_TRIES - 1, 2 * 60)  # the last to be booked is held, not spent
    assert caplog.record_tuples == [
        (
            "penstock.redis",
            logging.WARNING,
            "the ledger is written too fast to be read; calls booked just now may count twice",
        )
    ]


async def test_what_another_process_registers_meanwhile_is_held_too(epoch: Epoch) -> None:
    epoch.books.meanwhile = lambda: epoch.register("p2", holding("r.2")) if len(epoch.books.read) == 1 else None

    assert await epoch.rebuild.open("e1", [TODAY])

    assert epoch.books.read == [TODAY] * 2
    assert await epoch.stands(DAY) == (0, 60)


async def test_an_epoch_in_which_somebody_registers_all_the_time_is_left_to_the_next_round(epoch: Epoch) -> None:
    epoch.books.meanwhile = lambda: epoch.register("p2", holding("r.2"))

    assert not await epoch.rebuild.open("e1", [TODAY])

    assert epoch.books.read == [TODAY] * MOST_TRIES
    assert (await epoch.functions.call("registered", "e1"))[0] == "rebuilding"


async def test_windows_that_only_another_process_knows_are_read_too(epoch: Epoch) -> None:
    epoch.books.calls = {"r.0": booked(7)}
    epoch.register("p2", holding("r.1"))
    epoch.register("p3", holding("r.2", span=MONTH))

    assert await epoch.rebuild.open("e1", [])

    assert sorted(set(epoch.books.read)) == [NOVEMBER, TODAY]
    assert await epoch.stands(DAY) == await epoch.stands(MONTH) == (7, 60)


async def test_an_epoch_that_is_open_already_is_left_as_it_is(epoch: Epoch) -> None:
    assert await epoch.rebuild.open("e1", [TODAY])
    epoch.books.is_readable = False

    assert await epoch.rebuild.open("e1", [TODAY, NOVEMBER])


async def test_an_epoch_that_is_lost_is_not_opened_and_the_ledger_not_read(epoch: Epoch) -> None:
    epoch.books.is_readable = False

    assert not await epoch.rebuild.open("e0", [TODAY])


async def test_an_epoch_that_is_lost_while_the_ledger_is_read_is_not_opened(epoch: Epoch) -> None:
    epoch.books.meanwhile = epoch.server.wipe

    assert not await epoch.rebuild.open("e1", [TODAY])

    assert epoch.books.read == [TODAY]


async def test_sums_count_for_a_new_purse_only_if_they_were_read_after_it_began_to_be_counted(epoch: Epoch) -> None:
    await epoch.rebuild.open("e1", [TODAY])
    epoch.books.calls = {"r.0": booked(7)}
    await epoch.functions.call("track", "e1", "p1", PURSES[0])
    answer, since_us, *untold = await epoch.functions.call("untold", "e1", *DAY)
    assert (answer, since_us, [from_us(int(each)) for each in untold]) == ("ok", to_us(NOW), [TODAY])

    await epoch.rebuild.tell_sums("e1", TODAY)
    assert len(await epoch.functions.call("untold", "e1", *DAY)) == 3
    await epoch.rebuild.tell_sums("e1", TODAY, after_us=to_us(NOW))

    assert await epoch.functions.call("untold", "e1", *DAY) == ["ok", 0]
    assert await epoch.stands(DAY) == (7, 0)


async def test_a_process_that_holds_nothing_needs_no_ledger_to_say_so() -> None:
    books = Books({"r.1": booked(1)})
    rebuild = Rebuild(BudgetFunctions(redis_client("unix:///nobody.sock")), books)
    assert await rebuild.booked(["r.1", "r.2"]) == {"r.1"}
    books.is_readable = False

    assert await rebuild.booked([]) == set()


async def test_redis_is_given_time_for_many_holds(epoch: Epoch) -> None:
    await epoch.rebuild.open("e1", [TODAY])

    asked = {function: epoch.functions.timeouts_s[function] for function in ("registered", "sums", "open")}
    assert asked == {"registered": 5.0, "sums": 5.0, "open": 5.0}


# Who is waited for


@pytest.fixture
async def away() -> AsyncIterator[BudgetFunctions]:
    """Redis is not there."""
    functions = BudgetFunctions(redis_client("unix:///nobody.sock"))
    yield functions
    await functions.aclose()


def peers_of(epoch: Epoch) -> Peers:
    return Peers(epoch.functions, monotonic_s=epoch.clock.monotonic_s, patience_s=60.0)


async def test_whoever_saw_nobody_waits_for_nobody_and_asks_nobody(away: BudgetFunctions) -> None:
    peers = Peers(away, monotonic_s=lambda: 0.0, patience_s=60.0)
    assert not await peers.are_awaited("e1")

    peers.seen(["p1"])

    with pytest.raises(NoAnswer):
        await peers.are_awaited("e1")


async def test_those_are_awaited_that_have_neither_registered_nor_been_found_dead(
    epoch: Epoch, caplog: pytest.LogCaptureFixture
) -> None:
    peers = peers_of(epoch)
    peers.seen(f"p{number}" for number in range(1, 6))
    epoch.register("p1", Holdings(), dead=["p3"])

    assert await peers.are_awaited("e1")
    epoch.register("p2", Holdings())
    assert await peers.are_awaited("e1")
    assert caplog.record_tuples == [
        (
            "penstock.redis",
            logging.WARNING,
            "budgets stay closed until these have told what they hold: p2, p4, p5",
        )
    ]

    epoch.register("p4", Holdings(), dead=["p5"])

    assert not await peers.are_awaited("e1")
    assert len(caplog.messages) == 1


async def test_those_that_stay_away_for_longer_than_the_patience_are_named(
    epoch: Epoch, caplog: pytest.LogCaptureFixture
) -> None:
    peers = peers_of(epoch)
    peers.seen(["p1", "p2"])
    epoch.clock.advance(timedelta(seconds=5))
    epoch.register("p1", Holdings())
    assert await peers.are_awaited("e1")
    epoch.clock.advance(timedelta(seconds=60))
    assert await peers.are_awaited("e1")
    caplog.clear()

    epoch.clock.advance(timedelta(milliseconds=1))

    assert not await peers.are_awaited("e1")
    assert caplog.record_tuples == [
        (
            "penstock.redis",
            logging.ERROR,
            "budgets are opened without what these hold, for nothing is heard of them: ['p2']",
        )
    ]


async def test_each_loss_of_redis_is_waited_out_anew(epoch: Epoch) -> None:
    peers = peers_of(epoch)
    peers.seen(["p1"])
    assert await peers.are_awaited("e1")
    epoch.clock.advance(timedelta(seconds=61))
    assert not await peers.are_awaited("e1")

    peers.seen(["p1"])

    assert await peers.are_awaited("e1")
    epoch.clock.advance(timedelta(seconds=60))
    assert await peers.are_awaited("e1")


async def test_only_those_that_lived_last_are_awaited(epoch: Epoch) -> None:
    peers = peers_of(epoch)
    peers.seen(["p1", "p2"])
    peers.seen(["p1"])
    epoch.register("p1", Holdings())

    assert not await peers.are_awaited("e1")


async def test_scopes_are_told_by_the_name_that_counters_have(epoch: Epoch) -> None:
    epoch.books.calls = {"r.0": booked(7, TEAM, PROJECT), "r.1": booked(3, PROJECT)}

    await epoch.rebuild.tell_sums("e1", TODAY)

    told = epoch.server.client.hgetall(f"{epoch.functions.root}:e1:sums:{to_us(TODAY)}")
    assert told == {"": "0", scope_text(TEAM): "7", scope_text(PROJECT): "10"}
