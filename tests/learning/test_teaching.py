"""Labels on their way from one process through the store to all, refits at night, what is kept for the audit."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from router.catalog.catalog import Catalog
from router.keys import TeamName
from router.learning.quality import QualityLessons
from router.learning.rates import Rates
from router.learning.teaching import Limits, Teacher, quality_events
from router.quality.labels import Label
from router.quality.predictor import NO_LESSON
from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from tests.decision.builders import catalog
from tests.learning.labels import AT, FLASH, RESEARCH, SEARCH, label, profile
from tests.learning.test_quality import scored
from tests.replacing import replace

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "penstock.sqlite")


class Process:
    """One of several, with a clock that is moved by hand."""

    def __init__(self, store: SqliteStore, name: str = "one", *, limits: Limits | None = None) -> None:
        self.now = AT + timedelta(days=1)
        self.lessons = QualityLessons()
        self.rates = Rates()
        self.happened: list[tuple[str, str]] = []
        self.lost: list[int] = []
        self.has_time = True
        self.teacher = Teacher(
            self.lessons,
            self.rates,
            store,
            holder=name,
            now=lambda: self.now,
            catalog=lambda: EMPTY,
            limits=limits or Limits(),
            happened=lambda team, what: self.happened.append((team, what)),
            lost=self.lost.append,
            has_time=lambda: self.has_time,
        )

    def tell(self, labels: Sequence[Label]) -> None:
        for each in labels:
            self.teacher.put(each)

    @property
    def shift(self) -> float:
        return self.lessons.lesson(FLASH, profile(), None).shift


EMPTY: Catalog = catalog()


async def test_what_one_process_is_told_all_learn_alike(store: SqliteStore) -> None:
    one, two = Process(store), Process(store, "two")
    one.tell(scored(0.4, 30))
    two.tell(scored(0.4, 30, begins=31))

    for process in (one, two, one):
        await process.teacher.teach()

    (one_arm,), (two_arm,) = (
        [piece for piece in process.lessons.as_data() if piece[0] == "arm"] for process in (one, two)
    )
    assert one_arm[-1][2] == pytest.approx(two_arm[-1][2], abs=0.5)  # they had worked out weights at different times
    assert one.lessons.last_number == two.lessons.last_number == 60


async def test_a_process_that_has_no_time_keeps_what_it_is_told_and_learns_it_later(store: SqliteStore) -> None:
    process = Process(store)
    process.has_time = False
    process.tell(scored(0.4, 600))
    await process.teacher.teach()
    kept, learned = len(store.labels_after(0, 1_000)), process.lessons.last_number

    process.has_time = True
    await process.teacher.teach()

    assert (kept, learned) == (600, 0)
    assert process.lessons.last_number == 600
    assert process.happened == [("search", "promoted")]


async def test_without_time_old_labels_are_dropped_all_the_same(store: SqliteStore) -> None:
    process = Process(store, limits=Limits(kept=timedelta(days=10)))
    process.has_time = False
    process.tell([label(1)])
    for day in range(12):
        process.now = AT + timedelta(days=day, minutes=1)
        await process.teacher.teach()

    assert store.labels_after(0, 10) == []


async def test_without_time_a_team_whose_answers_are_asked_again_falls_back_all_the_same(store: SqliteStore) -> None:
    process = Process(store, limits=Limits(retried_share=0.1))
    process.tell(scored(0.4, 600))
    await process.teacher.teach()
    process.has_time = False
    answered(process.rates, process.now.date(), 200, 0)
    for _ in range(21):
        process.rates.retried(SEARCH, process.now.date())
    await process.teacher.teach()

    assert process.happened == [("search", "promoted"), ("search", "fell_back")]


async def test_a_process_that_never_has_time_learns_something_every_ten_minutes(store: SqliteStore) -> None:
    process = Process(store)
    process.has_time = False
    process.tell(scored(0.4, 600))
    await process.teacher.teach()
    at_first = process.lessons.last_number
    process.now += timedelta(minutes=10)
    await process.teacher.teach()
    await process.teacher.teach()

    assert (at_first, process.lessons.last_number) == (0, 500)


async def test_five_hundred_labels_are_refit_by_one_process_and_both_speak(store: SqliteStore) -> None:
    one, two = Process(store), Process(store, "two")
    one.tell(scored(0.4, 600))

    await one.teacher.teach()
    await two.teacher.teach()

    assert one.happened == [("search", "promoted")]
    assert two.happened == []
    assert one.shift == pytest.approx(two.shift, abs=0.01)
    assert one.shift < -0.5
    (event,) = quality_events(store)
    assert (event.what, event.why, event.at) == ("promoted", "better", one.now)
    assert event.refit is not None
    assert event.refit.brier_learned < event.refit.brier_prior - 0.002


async def test_the_next_refit_waits_for_the_next_night(store: SqliteStore) -> None:
    process = Process(store)
    process.now = datetime(2026, 11, 24, 14, 0, tzinfo=AT.tzinfo)
    process.tell(scored(0.4, 600))
    await process.teacher.teach()
    process.tell(scored(0.4, 600, begins=601))

    process.now = datetime(2026, 11, 25, 2, 59, tzinfo=AT.tzinfo)
    await process.teacher.teach()
    assert len(quality_events(store)) == 1

    process.now = datetime(2026, 11, 25, 3, 0, tzinfo=AT.tzinfo)
    await process.teacher.teach()
    assert len(quality_events(store)) == 2


async def test_a_refit_that_is_not_better_is_refused_and_said(store: SqliteStore) -> None:
    process = Process(store)
    process.tell(scored(0.73, 600))
    await process.teacher.teach()

    (event,) = quality_events(store)
    assert event.what == "refused"
    assert event.why in ("not_better", "not_sure")
    assert process.lessons.lesson(FLASH, profile(), None) is NO_LESSON


async def test_labels_that_turn_silence_all_processes(store: SqliteStore) -> None:
    one, two = Process(store), Process(store, "two")
    one.tell(scored(0.3, 600))
    await one.teacher.teach()
    await two.teacher.teach()
    one.tell(scored(0.95, 300, begins=601))

    await one.teacher.teach()
    await two.teacher.teach()

    assert one.happened[-1] == ("search", "silenced")
    assert one.lessons.lesson(FLASH, profile(), None) is NO_LESSON
    assert two.lessons.lesson(FLASH, profile(), None) is NO_LESSON


class Between(SqliteStore):
    """A store at which something happens just before the record of refits is written, the first time."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store._path)
        self.happens: Callable[[], object] = lambda: None

    def swap_learned(self, name: str, before: bytes | None, content: bytes, at: datetime) -> bool:
        happens, self.happens = self.happens, lambda: None
        happens()
        return super().swap_learned(name, before, content, at)


def in_research(labels: Sequence[Label]) -> list[Label]:
    return [replace(each, team=RESEARCH, request_id=f"research_{each.request_id}") for each in labels]


async def test_a_promotion_is_not_lost_to_what_another_process_writes_at_the_same_moment(store: SqliteStore) -> None:
    """While the one writes that its refit is promoted, the other falls back for another team."""
    between = Between(store)
    one, two = Process(between), Process(store, "two", limits=Limits(retried_share=0.1))
    one.tell(in_research(scored(0.4, 600)))
    await one.teacher.teach()
    await two.teacher.teach()
    one.tell(scored(0.4, 600))
    answered(two.rates, two.now.date(), 200, 0, team=RESEARCH)
    for _ in range(21):
        two.rates.retried(RESEARCH, two.now.date())
    between.happens = lambda: anyio.run(two.teacher.teach)

    await one.teacher.teach()

    assert two.happened == [("research", "fell_back")]
    assert [(each.team, each.what) for each in quality_events(store)] == [
        ("research", "promoted"),
        ("research", "fell_back"),
        ("search", "promoted"),
    ]
    await one.teacher.teach()  # what was written in between is taken over, too
    await two.teacher.teach()
    for process in (one, two):
        assert process.lessons.speaks_for(SEARCH)
        assert not process.lessons.speaks_for(RESEARCH)


async def test_a_refit_that_was_frozen_until_its_lease_ended_does_not_replace_the_one_made_meanwhile(
    store: SqliteStore,
) -> None:
    between = Between(store)
    one, two = Process(between), Process(store, "two")
    one.tell(scored(0.4, 600))
    two.now = one.now + timedelta(minutes=11)

    def thaws() -> None:
        store.keep_labels(scored(0.4, 60, begins=601))
        anyio.run(two.teacher.teach)

    between.happens = thaws
    await one.teacher.teach()

    assert (one.happened, two.happened) == ([("search", "overtaken")], [("search", "promoted")])
    (event,) = quality_events(store)
    assert (event.what, event.labels_until) == ("promoted", 660)
    assert not one.lessons.speaks_for(SEARCH)
    await one.teacher.teach()
    assert one.lessons.until(SEARCH) == 660
    assert one.shift == pytest.approx(two.shift, abs=0.01)


async def test_labels_that_turned_against_an_older_refit_do_not_silence_a_newer_one(store: SqliteStore) -> None:
    between = Between(store)
    one, two = Process(between), Process(store, "two")
    one.tell(scored(0.3, 600))
    await one.teacher.teach()
    await two.teacher.teach()
    one.tell([*scored(0.95, 100, begins=601), *scored(0.3, 500, begins=701)])
    two.now += timedelta(days=1)
    between.happens = lambda: anyio.run(two.teacher.teach)

    await one.teacher.teach()

    assert ("search", "silenced") in one.happened
    assert two.happened == [("search", "silenced"), ("search", "promoted")]
    await one.teacher.teach()
    await two.teacher.teach()
    assert one.lessons.until(SEARCH) == two.lessons.until(SEARCH) == 1_200
    assert one.shift == pytest.approx(two.shift, abs=0.01)
    assert two.shift < -0.5


async def test_a_process_that_comes_later_knows_how_often_each_kind_of_work_was_judged(store: SqliteStore) -> None:
    one, two = Process(store), Process(store, "two")
    one.tell(scored(0.4, 600))
    await one.teacher.teach()
    await two.teacher.teach()

    assert one.lessons.judged(profile()) == two.lessons.judged(profile()) == 600


@pytest.mark.parametrize(("escalated", "what"), [(60, "promoted"), (61, "refused")])
async def test_a_team_whose_answers_are_too_often_bought_again_is_not_spoken_for(
    store: SqliteStore, escalated: int, what: str
) -> None:
    process = Process(store, limits=Limits(escalated_share=0.3))
    answered(process.rates, process.now.date(), 200, escalated)
    process.tell(scored(0.4, 600))

    await process.teacher.teach()

    assert process.happened == [("search", what)]


async def test_what_speaks_falls_back_when_answers_are_asked_for_again_too_often(store: SqliteStore) -> None:
    process = Process(store, limits=Limits(retried_share=0.1))
    process.tell(scored(0.4, 600))
    await process.teacher.teach()
    answered(process.rates, process.now.date(), 200, 0)
    for _ in range(21):
        process.rates.retried(SEARCH, process.now.date())

    await process.teacher.teach()

    assert process.happened[-1] == ("search", "fell_back")
    assert quality_events(store)[-1].why == "retries"
    assert process.lessons.lesson(FLASH, profile(), None) is NO_LESSON


def answered(rates: Rates, day: date, count: int, escalated: int, *, team: TeamName = SEARCH) -> None:
    for number in range(count):
        rates.answered(team, day, escalated=number < escalated)


async def test_labels_wait_while_the_store_is_away(store: SqliteStore) -> None:
    away = Away(store)
    process = Process(away)
    process.tell([label(1)])
    await process.teacher.teach()
    assert store.labels_after(0, 10) == []

    away.is_away = False
    await process.teacher.teach()

    assert [each and each.request_id for _, each in store.labels_after(0, 10)] == ["req_1"]


async def test_labels_that_find_no_room_while_the_store_is_away_are_the_oldest_and_are_said_once(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    """While 500 are on their way to the store 3 come, to 9,999 that wait; later 2 more."""
    away = Away(store)
    process = Process(away)
    one = label(1)
    labels = [replace(one, request_id=f"req_{number}") for number in range(10_005)]
    process.tell(labels[:10_000])
    away.meanwhile = lambda: process.tell(labels[10_000:10_003])

    await process.teacher.teach()
    process.tell(labels[10_003:])
    assert sum(process.lost) == 5
    assert [each.message for each in caplog.records if "are lost" in each.message] == [
        "labels of answers are lost: 10000 wait for the store, the oldest make room"
    ]

    away.is_away = False
    await process.teacher.keep()

    kept = [each.request_id for _, each in store.labels_after(0, 20_000) if each is not None]
    assert kept == [each.request_id for each in labels[5:]]
    assert caplog.messages[-1] == "5 labels of answers were lost before the store could be written again"


async def test_labels_that_cannot_be_read_are_read_past_however_many_they_are(store: SqliteStore) -> None:
    store.keep_labels([label(number) for number in range(1, 601)])
    with closing(sqlite3.connect(store._path)) as connection:
        connection.execute("UPDATE labels SET content = ?", (b'{"signal": "telepathy"}',))
        connection.execute("UPDATE labels SET content = ? WHERE number = 7", (b'{"signal": "\xff"}',))
        connection.commit()
    process = Process(store)
    process.tell([label(601)])

    await process.teacher.teach()

    assert process.lessons.last_number == 601
    assert [piece[0] for piece in process.lessons.as_data()].count("arm") == 1


class Away(SqliteStore):
    """A store that cannot be reached."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store._path)
        self.is_away = True
        self.meanwhile: Callable[[], None] = lambda: None

    def keep_labels(self, labels: Sequence[Label]) -> int:
        if self.is_away:
            self.meanwhile()
            raise StoreUnavailable("away")
        return super().keep_labels(labels)


async def test_labels_are_kept_for_as_long_as_is_said(store: SqliteStore) -> None:
    process = Process(store, limits=Limits(kept=timedelta(days=10)))
    process.tell([label(1), replace(label(2), at=AT + timedelta(days=5))])

    process.now = AT + timedelta(days=10, minutes=1)
    await process.teacher.teach()

    assert [each and each.request_id for _, each in store.labels_after(0, 10)] == ["req_2"]


def test_rates_are_of_seven_days() -> None:
    rates = Rates()
    today = date(2026, 11, 23)
    for ago in range(10):
        rates.answered(SEARCH, today - timedelta(days=9 - ago), escalated=True)

    assert rates.week(SEARCH, today).answered == 7
    again = Rates()
    for piece in rates.as_data():
        again.take(piece)
    assert again.week(SEARCH, today) == rates.week(SEARCH, today)
    assert rates.week(SEARCH, today).escalated_share == 1
    assert Rates().week(SEARCH, today).retried_share == 0
