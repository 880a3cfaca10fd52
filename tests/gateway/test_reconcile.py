"""What is made good afterwards: what dead processes left is booked once, and calls in doubt by their records."""

import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import pytest

from router.catalog.catalog import ProviderKind, ProviderName
from router.config.snapshot import Listen, Settings, Snapshot, Team, Timeouts
from router.errors import PenstockError, Unavailable
from router.gateway.cache import AnswerCache
from router.gateway.dispatch import Clock, Gateway
from router.gateway.in_force import InForce
from router.gateway.planning import Planner
from router.gateway.reconcile import Reconciled, Reconciler
from router.gateway.settlement import Books
from router.keys import TeamName
from router.ledger import DoubtfulCall, LedgerEntry, Outcome
from router.limits.gate import Quota
from router.limits.memory import MemoryGate
from router.limits.queues import Queues
from router.quality.predictor import TablePredictor
from router.quotas import NO_LIMITS, Allowance, Budget, Per, ScopeId, ScopeKind
from router.storage.answer_shelves import MemoryShelf
from router.storage.errors import StoreUnavailable
from router.storage.journal import Done, Intent, Journal, Record, Sent
from router.storage.sqlite import SqliteStore
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding
from router.units import CostSource, Usage
from router.upstream.breaker import Availability, RetryBudget
from router.upstream.client import UpstreamClient
from router.wire.replies import ReplyReader
from tests.decision.builders import catalog
from tests.gateway.records import ABSURD, BILLED, NOT_YET, Records, record, records
from tests.replacing import replace
from tests.storage.entries import AT, attempt, entry
from tests.upstream.faulty_server import DEADLINE_S

pytestmark = pytest.mark.anyio

NOW = AT + timedelta(minutes=1)
HELD = 500_000
TEAM = Team(
    name=TeamName("search"),
    baseline=None,
    zone=ZoneInfo("UTC"),
    budgets=(Budget(10**9, Per.DAY),),
    limits=NO_LIMITS,
    each_key=Allowance((Budget(10**8, Per.DAY),)),
    projects={},
    aliases={},
    policies={},
)
IN_DOUBT = replace(attempt(outcome="lost", usage=None, cost_nano_usd=HELD, source=CostSource.HELD), id="req_1.1")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def counter() -> TokenCounter:
    return TokenCounter(load_encoding("o200k_base"))


class TellingGate(MemoryGate):
    """The gate of one process, and what it was told; or it cannot be told."""

    def __init__(self) -> None:
        super().__init__(now=lambda: NOW, monotonic_s=lambda: 0.0)
        self.told: list[tuple[object, ...]] = []
        self.is_away = False

    async def resolve(self, reservation_id: str, *, nano_usd: int) -> None:
        self._tell("resolve", reservation_id, nano_usd)

    async def adopt(self, quota: Quota, *, reservation_id: str, at: datetime, nano_usd: int) -> None:
        self._tell("adopt", _whose(quota), reservation_id, at, nano_usd)

    async def bury(self, process: str) -> None:
        self._tell("bury", process)

    async def correct(self, quota: Quota, *, at: datetime, nano_usd: int) -> None:
        self._tell("correct", _whose(quota), at, nano_usd)

    def _tell(self, *told: object) -> None:
        if self.is_away:
            raise Unavailable("The test says that Redis is away.")
        self.told.append(told)


def _whose(quota: Quota) -> tuple[ScopeId, ...]:
    return tuple(scope.id for scope in quota.scopes)


class SulkingStore(SqliteStore):
    """Cannot amend these calls; or somebody else amends them all a moment before."""

    sulks_at: frozenset[str] = frozenset()
    is_beaten = False

    def amend(self, call: DoubtfulCall, *, usage: Usage, cost_nano_usd: int) -> bool:
        if self.is_beaten:
            super().amend(call, usage=usage, cost_nano_usd=99)
        if call.request_id in self.sulks_at:
            raise StoreUnavailable("The test says that the ledger cannot be written.")
        return super().amend(call, usage=usage, cost_nano_usd=cost_nano_usd)


class PlaceWith(Protocol):
    """Makes a place whose provider gives these answers, so many at once."""

    def __call__(
        self, *answers: bytes, kind: ProviderKind = "openrouter", at_once: int = 1
    ) -> AbstractAsyncContextManager["Place"]: ...


@dataclass
class Place:
    """A reconciler and what is around it."""

    reconciler: Reconciler
    gate: TellingGate
    store: SulkingStore
    journals: Path
    provider: Records
    booked: list[LedgerEntry]
    corrected: list[tuple[str, int]]
    asked_whether_counted: list[tuple[str, str, bool]]
    held: list[str]  # calls counted as held by this process

    def spent(self) -> dict[str, tuple[int, int]]:
        """Requests and nano-dollars by source."""
        return {row.group[0]: (row.requests, row.cost_nano_usd) for row in self.store.spend(("source",), None)}


def _settings(state_dir: Path) -> Settings:
    nowhere = Listen("127.0.0.1", 0)
    return Settings(
        listen=nowhere,
        admin=nowhere,
        admin_tokens=(),
        state_dir=state_dir,
        durability="fast",
        postgres=None,
        redis=None,
        allowance=None,
        max_body_bytes=1,
        stop_grace_s=0.0,
        timeouts=Timeouts(connect_s=1.0, first_byte_s=1.0, between_bytes_s=1.0),
        providers={},
    )


def _gateway(state_dir: Path, counter: TokenCounter, gate: TellingGate, client: UpstreamClient) -> Gateway:
    snapshot = Snapshot(settings=_settings(state_dir), catalog=catalog(), teams={TEAM.name: TEAM}, version="v1")
    return Gateway(
        snapshot,
        planner=Planner(
            snapshot,
            catalog=lambda: snapshot.catalog,
            quality=TablePredictor(),
            counter=counter,
            now=lambda: NOW,
            unavailable={},
        ),
        gate=gate,
        queues=Queues(gate),
        client=client,
        reader=ReplyReader(),
        dialects={},
        facts={},
        journal=Journal(state_dir, name="living"),
        is_strict=False,
        books=Books(journal=_nowhere, ledger=_nowhere, metrics=_nowhere),
        clock=Clock(monotonic_s=lambda: 0.0, sleep=anyio.sleep),
        availability=Availability((), monotonic_s=lambda: 0.0, jitter=random.Random(1)),
        retries=RetryBudget(monotonic_s=lambda: 0.0),
        jitter=random.Random(1),
        copy_to_shadow=lambda *_: None,
        cache=AnswerCache(MemoryShelf(monotonic_s=lambda: 0.0), config_version="v1", now=lambda: NOW),
        drains=anyio.CapacityLimiter(1),
    )


def _nowhere(_: LedgerEntry) -> None:
    """No request is served here."""


@pytest.fixture
def place_with(tmp_path: Path, counter: TokenCounter) -> PlaceWith:
    @asynccontextmanager
    async def place(*answers: bytes, kind: ProviderKind = "openrouter", at_once: int = 1) -> AsyncIterator[Place]:
        gate, store, journals = TellingGate(), SulkingStore(tmp_path / "penstock.sqlite"), tmp_path / "journals"
        booked: list[LedgerEntry] = []
        corrected: list[tuple[str, int]] = []
        asked_whether_counted: list[tuple[str, str, bool]] = []
        held: list[str] = []

        def has_counted(process: str, request_id: str, is_last: bool, /) -> bool:
            asked_whether_counted.append((process, request_id, is_last))
            return request_id in COUNTED

        async with records(answers, kind=kind, at_once=at_once) as provider:
            reconciler = Reconciler(
                InForce(_gateway(tmp_path, counter, gate, provider.client)),
                store,
                journals=journals,
                now=lambda: NOW,
                booked=booked.append,
                corrected=lambda call_id, nano_usd: corrected.append((call_id, nano_usd)),
                has_counted=has_counted,
                held=lambda: held,
            )
            yield Place(reconciler, gate, store, journals, provider, booked, corrected, asked_whether_counted, held)
        store.close()

    return place


def killed(directory: Path, *left: Record, name: str = "dead") -> None:
    """A process that wrote these records and died."""
    journal = Journal(directory, name=name)
    journal.start()
    for each in left:
        journal.write(each, request_id="any")
    os.close(journal._file)
    os.close(journal._lock_file)


def lost(request_id: str, *, cost_nano_usd: int = HELD) -> LedgerEntry:
    """A request of one call, which its provider had not named yet: nobody can ask about it."""
    return entry(request_id, replace(IN_DOUBT, id=f"{request_id}.1", cost_nano_usd=cost_nano_usd, generation_id=None))


COUNTED = frozenset({"counted_1", "counted_2"})  # by a worker that is dead, whose figures are still read


def finished(request_id: str) -> LedgerEntry:
    return entry(request_id, replace(IN_DOUBT, id=f"{request_id}.1", cost_nano_usd=5, source=CostSource.REPORTED))


def doubtful(request_id: str, *, at: datetime = AT, provider: str = "openrouter") -> LedgerEntry:
    call = replace(
        IN_DOUBT, id=f"{request_id}.1", provider=ProviderName(provider), generation_id=f"gen-of-{request_id}"
    )
    return entry(request_id, call, at=at)


SEARCH = (ScopeId.of_team("search"), ScopeId("search", ScopeKind.KEY, entry().key_id))


# What dead processes left


async def test_what_a_dead_process_left_is_booked_and_told_to_the_gate(
    place_with: PlaceWith, caplog: pytest.LogCaptureFixture
) -> None:
    async with place_with() as place:
        killed(place.journals, Sent(lost("req_1")), Intent("req_2.1"))

        assert await place.reconciler.replay() == 1

        assert place.booked == [lost("req_1")]
        assert place.spent() == {"held": (1, HELD)}
        assert place.gate.told == [
            ("adopt", SEARCH, "req_1.1", AT, HELD),
            ("resolve", "req_2.1", 0),
            ("bury", "dead"),
        ]
        assert list(place.journals.iterdir()) == []
    assert caplog.record_tuples == [
        ("penstock.reconcile", logging.WARNING, "booked 1 requests that a killed process had left in its journal")
    ]


async def test_what_a_dead_worker_had_counted_is_booked_and_not_counted_again(place_with: PlaceWith) -> None:
    """Whether it had counted a request is asked of those that were over; of none but the last it is a question."""
    first, last, other = (finished(request_id) for request_id in ("counted_1", "counted_2", "req_4"))
    async with place_with() as place:
        killed(place.journals, Done(first), Sent(lost("req_3")), Done(last), name="a worker")
        killed(place.journals, Done(other), name="one of long ago")

        assert await place.reconciler.replay() == 4

        assert place.booked == [lost("req_3"), other]
        assert place.asked_whether_counted == [
            ("a worker", "counted_1", False),
            ("a worker", "counted_2", True),
            ("one of long ago", "req_4", True),
        ]
        assert place.store.booked(["counted_1.1", "counted_2.1", "req_3.1", "req_4.1"]) == {
            *("counted_1.1", "counted_2.1", "req_3.1", "req_4.1")
        }


async def test_where_nobody_died_nothing_is_booked_and_nothing_said(
    place_with: PlaceWith, caplog: pytest.LogCaptureFixture
) -> None:
    async with place_with() as place:
        assert await place.reconciler.replay() == 0

        assert (place.booked, place.gate.told, place.spent()) == ([], [], {})
    assert caplog.record_tuples == []


async def test_a_request_that_called_nobody_is_booked_too(place_with: PlaceWith) -> None:
    refused = replace(lost("req_1"), attempts=(), outcome=Outcome.REFUSED)
    async with place_with() as place:
        killed(place.journals, Done(refused))

        assert await place.reconciler.replay() == 1

        assert place.booked == [refused]
        assert place.gate.told == [("bury", "dead")]


async def test_a_request_that_the_ledger_has_already_is_not_booked_again_but_its_hold_is_ended(
    place_with: PlaceWith,
) -> None:
    async with place_with() as place:
        place.store.write([lost("req_1")])
        killed(place.journals, Sent(lost("req_1")), Sent(lost("req_2", cost_nano_usd=7)))

        assert await place.reconciler.replay() == 1

        assert place.booked == [lost("req_2", cost_nano_usd=7)]
        assert place.spent() == {"held": (2, HELD + 7)}
        assert place.gate.told == [
            ("resolve", "req_1.1", HELD),
            ("adopt", SEARCH, "req_2.1", AT, 7),
            ("bury", "dead"),
        ]


async def test_what_the_gate_could_not_be_told_is_told_later_and_booked_once(place_with: PlaceWith) -> None:
    async with place_with() as place:
        killed(place.journals, Sent(lost("req_1")))
        place.gate.is_away = True
        with pytest.raises(Unavailable):
            await place.reconciler.replay()
        await place.reconciler.book_the_dead()  # whoever only reads the ledger's sums need not care
        place.gate.is_away = False

        assert await place.reconciler.replay() == 0

        assert place.booked == [lost("req_1")]
        assert place.gate.told == [("resolve", "req_1.1", HELD), ("bury", "dead")]


# Calls in doubt


async def test_a_call_in_doubt_is_booked_at_what_its_record_says(place_with: PlaceWith) -> None:
    async with place_with(record(123_000)) as place:
        place.store.write([doubtful("req_1")])
        (call,) = place.store.doubtful(since=AT, before=NOW, after=None, limit=9)

        done = await place.reconciler.reconcile()

        assert done == Reconciled(asked=1, resolved=((call, 123_000),))
        assert done.drift_nano_usd == HELD - 123_000
        assert place.provider.asked == [b"GET /api/v1/generation?id=gen-of-req_1"]
        assert place.spent() == {"record": (1, 123_000)}
        assert place.store.spend(("model",), None)[0].input_tokens == BILLED.input_tokens
        assert place.gate.told == [("correct", SEARCH, AT, 123_000 - HELD)]
        assert place.corrected == [("req_1.1", 123_000)]


async def test_a_call_that_somebody_else_has_booked_by_its_record_is_heard_of(
    place_with: PlaceWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By another process, that is, which knows nothing of what is counted here."""
    monkeypatch.setattr("router.gateway.reconcile._HEARD_AT_ONCE", 2)
    async with place_with() as place:
        place.held += [f"req_{number}.1" for number in range(5)]
        place.store.write([doubtful(f"req_{number}") for number in range(5)])
        for call in place.store.doubtful(since=AT, before=NOW, after=None, limit=9):
            if call.request_id in ("req_1", "req_4"):
                assert place.store.amend(call, usage=BILLED, cost_nano_usd=77)

        passes = []
        for _ in range(3):
            await place.reconciler.hear_of_corrections()
            passes.append(list(place.corrected))
            place.held[:] = [each for each in place.held if each not in dict(place.corrected)]

    assert passes == [
        [("req_1.1", 77)],
        [("req_1.1", 77)],
        [("req_1.1", 77), ("req_4.1", 77)],
    ]


async def test_while_nothing_is_counted_as_held_the_ledger_is_not_asked(place_with: PlaceWith) -> None:
    async with place_with() as place:
        place.store.close()

        await place.reconciler.hear_of_corrections()

        assert place.corrected == []


async def test_a_call_that_its_own_request_may_still_ask_about_is_left_to_it(place_with: PlaceWith) -> None:
    async with place_with(record(1)) as place:
        place.store.write([doubtful("req_1", at=NOW - timedelta(seconds=2)), doubtful("req_2", at=NOW)])

        assert await place.reconciler.reconcile() == Reconciled(asked=0, resolved=())

        place.store.write([doubtful("req_3", at=NOW - timedelta(seconds=2, microseconds=1))])
        assert (await place.reconciler.reconcile()).asked == 1


async def test_a_call_without_a_record_stays_in_doubt(place_with: PlaceWith) -> None:
    async with place_with(NOT_YET, ABSURD) as place:
        place.store.write([doubtful("req_1"), doubtful("req_2")])

        assert await place.reconciler.reconcile() == Reconciled(asked=2, resolved=())

        assert place.spent() == {"held": (2, 2 * HELD)}
        assert (place.gate.told, place.corrected) == ([], [])


async def test_a_record_that_nothing_sent_can_explain_is_not_believed(
    place_with: PlaceWith, caplog: pytest.LogCaptureFixture
) -> None:
    async with place_with(record(10 * HELD + 1)) as place:
        place.store.write([doubtful("req_1")])

        assert await place.reconciler.reconcile() == Reconciled(asked=1, resolved=())

        assert place.spent() == {"held": (1, HELD)}
        assert (place.gate.told, place.corrected) == ([], [])
    assert "the record of call req_1.1 says" in caplog.text


async def test_a_team_that_is_configured_no_more_is_booked_and_nobody_watches_it(place_with: PlaceWith) -> None:
    left = replace(lost("req_1"), team=TeamName("left"))
    async with place_with(record(123_000)) as place:
        killed(place.journals, Sent(left))
        place.store.write([replace(doubtful("req_2"), team=TeamName("left"))])

        assert await place.reconciler.replay() == 1
        assert len((await place.reconciler.reconcile()).resolved) == 1

        assert place.spent() == {"held": (1, HELD), "record": (1, 123_000)}
        assert place.gate.told == [
            ("adopt", (), "req_1.1", AT, HELD),
            ("bury", "dead"),
            ("correct", (), AT, 123_000 - HELD),
        ]


async def test_a_provider_that_keeps_no_records_is_not_asked_for_them(place_with: PlaceWith) -> None:
    async with place_with(record(1), kind="deepseek") as place:
        place.store.write([doubtful("req_1", provider="deepseek")])

        assert await place.reconciler.reconcile() == Reconciled(asked=1, resolved=())

        assert place.provider.asked == []


async def test_a_call_that_somebody_else_has_settled_meanwhile_is_not_corrected_twice(place_with: PlaceWith) -> None:
    async with place_with(record(123_000)) as place:
        place.store.write([doubtful("req_1")])
        place.store.is_beaten = True

        assert await place.reconciler.reconcile() == Reconciled(asked=1, resolved=())

        assert place.spent() == {"record": (1, 99)}
        assert (place.gate.told, place.corrected) == ([], [])


async def test_a_ledger_that_cannot_be_written_puts_the_pass_off(place_with: PlaceWith) -> None:
    async with place_with(record(1), record(1)) as place:
        place.store.write([doubtful("req_1"), doubtful("req_2")])
        place.store.sulks_at = frozenset({"req_1"})

        with pytest.raises(StoreUnavailable):
            await place.reconciler.reconcile()

        assert [call_id for call_id, _ in place.corrected] == ["req_2.1"]


async def test_a_pass_asks_about_all_calls_however_many_stay_in_doubt(
    place_with: PlaceWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred calls that no record ever came of once kept the newer ones from being asked about."""
    monkeypatch.setattr("router.gateway.reconcile._PAGE", 2)
    monkeypatch.setattr("router.gateway.reconcile._AT_ONCE", 1)
    async with place_with(*[NOT_YET] * 4, record(1)) as place:
        place.store.write([doubtful(f"req_{age}", at=AT - timedelta(hours=age)) for age in range(5)])

        assert (await place.reconciler.reconcile()).asked == 5

        assert [call_id for call_id, _ in place.corrected] == ["req_0.1"]


async def test_old_calls_are_asked_about_seldom_and_at_last_no_more(place_with: PlaceWith) -> None:
    ages = {"fresh": timedelta(minutes=59), "old": timedelta(minutes=61), "given up": timedelta(days=3, seconds=1)}
    async with place_with(record(1), record(1)) as place:
        place.store.write([doubtful(name, at=NOW - age) for name, age in ages.items()])

        assert (await place.reconciler.reconcile(only_fresh=True)).asked == 1
        assert (await place.reconciler.reconcile()).asked == 1

        assert [call_id for call_id, _ in place.corrected] == ["fresh.1", "old.1"]


async def test_eight_calls_are_asked_about_at_the_same_time(place_with: PlaceWith) -> None:
    async with place_with(*[record(1)] * 20, at_once=8) as place:
        place.store.write([doubtful(f"req_{number}") for number in range(20)])

        assert len((await place.reconciler.reconcile()).resolved) == 20


# For ever


class Scripted(Reconciler):
    """Each pass ends as the script says."""

    def __init__(self, *ends: Reconciled | PenstockError | int) -> None:
        self.ends = list(ends)
        self.asked_about: list[str] = []
        self.heard = 0

    async def hear_of_corrections(self) -> None:
        self.heard += 1

    async def replay(self) -> int:
        end = self._next()
        assert isinstance(end, int)
        return end

    async def reconcile(self, *, only_fresh: bool = False) -> Reconciled:
        self.asked_about.append("fresh" if only_fresh else "all")
        end = self._next()
        assert isinstance(end, Reconciled)
        return end

    def _next(self) -> Reconciled | int:
        end = self.ends.pop(0)
        if isinstance(end, PenstockError):
            raise end
        return end


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the loops have paused; the pause after the script's last pass is the end."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await anyio.lowlevel.checkpoint()

    monkeypatch.setattr("router.gateway.reconcile.anyio.sleep", sleep)
    return slept


AWAY = StoreUnavailable("The test says so.")
CALL = DoubtfulCall(
    request_id="req_1",
    number=1,
    at=AT,
    held_at=AT,
    team=TEAM.name,
    key_id=entry().key_id,
    tags=(),
    model=IN_DOUBT.model,
    provider=IN_DOUBT.provider,
    generation_id="gen-1",
    held_nano_usd=HELD,
)
NOTHING = Reconciled(asked=0, resolved=())
IN_VAIN = Reconciled(asked=3, resolved=())
SOME = Reconciled(asked=3, resolved=((CALL, 1),))


@pytest.mark.parametrize(
    ("ends", "pauses_s"),
    [
        ([NOTHING, SOME, NOTHING], [5, 5, 5, 5]),
        ([IN_VAIN] * 8, [5, 10, 20, 40, 80, 160, 300, 300, 300]),
        ([IN_VAIN, AWAY, IN_VAIN, SOME], [5, 10, 10, 20, 5]),
    ],
)
async def test_calls_in_doubt_are_asked_about_soon_while_that_helps_and_later_and_later_while_not(
    ends: list[Reconciled | PenstockError], pauses_s: list[float], slept_s: list[float]
) -> None:
    with pytest.raises(IndexError):  # at the end of the script
        await Scripted(*ends)._reconcile_for_ever()

    assert slept_s == pauses_s


async def test_old_calls_are_asked_about_every_five_minutes(slept_s: list[float]) -> None:
    reconciler = Scripted(*[SOME] * 121)
    with pytest.raises(IndexError):
        await reconciler._reconcile_for_ever()

    assert reconciler.asked_about == ([*["fresh"] * 59, "all"] * 3)[:122]
    assert set(slept_s) == {5.0}


async def test_journals_are_looked_for_every_five_seconds(slept_s: list[float]) -> None:
    scripted = Scripted(0, 1, AWAY, 0)
    with pytest.raises(IndexError):
        await scripted._replay_for_ever()

    assert slept_s == [5.0] * 5
    assert scripted.heard == 3  # and corrections are heard of, whenever the store can be asked


async def test_a_pass_that_was_put_off_is_told_of(slept_s: list[float], caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(IndexError):
        await Scripted(AWAY)._reconcile_for_ever()
    with pytest.raises(IndexError):
        await Scripted(AWAY)._replay_for_ever()

    assert caplog.record_tuples == [
        ("penstock.reconcile", logging.WARNING, "reconciliation put off (store_unavailable)"),
        ("penstock.reconcile", logging.WARNING, "replaying journals put off (store_unavailable)"),
    ]


async def test_both_go_on_side_by_side(place_with: PlaceWith, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.gateway.reconcile._PAUSE_S", 0.01)
    async with place_with(record(123_000)) as place:
        place.store.write([doubtful("req_1")])
        killed(place.journals, Sent(lost("req_2")))
        with anyio.fail_after(DEADLINE_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(place.reconciler.run)
                while not (place.booked and place.corrected):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()

        assert place.spent() == {"held": (1, HELD), "record": (1, 123_000)}
