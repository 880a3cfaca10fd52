"""The writer loses nothing, doubles nothing, keeps the order and keeps nobody waiting, however the ledger fails."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from router.ledger import DoubtfulCall, Ledger, LedgerEntry, Period, SpendRow
from router.quotas import ScopeId
from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from router.storage.writer import LedgerWriter
from router.units import Usage
from tests.storage.entries import AT, attempt, entry
from tests.waiting import eventually

PATIENCE_S = 20.0
ALL_OF_TIME = Period(since=None, until=datetime.max.replace(tzinfo=UTC))


class FailingLedger:
    """A real store that fails as often as it is told to: before it writes, or after, when the answer is lost."""

    def __init__(self, store: SqliteStore, failures: list[Exception], *, writes_first: bool = False) -> None:
        self._store = store
        self._failures = failures
        self._writes_first = writes_first
        self.batches: list[list[str]] = []

    def write(self, entries: list[LedgerEntry]) -> None:
        if self._failures:
            if self._writes_first:
                self._store.write(entries)
            raise self._failures.pop()
        self._store.write(entries)
        self.batches.append([each.request_id for each in entries])

    def spent_since(self, since: datetime) -> dict[ScopeId, int]:
        return self._store.spent_since(since)

    def spend(self, by: tuple[str, ...], since: datetime | None) -> list[SpendRow]:
        return self._store.spend(by, since)

    def latest(self, limit: int) -> list[dict[str, object]]:
        return self._store.latest(limit)

    def doubtful(
        self, *, since: datetime, before: datetime, after: DoubtfulCall | None, limit: int
    ) -> list[DoubtfulCall]:
        return self._store.doubtful(since=since, before=before, after=after, limit=limit)

    def amend(self, call: DoubtfulCall, *, usage: Usage, cost_nano_usd: int) -> bool:
        return self._store.amend(call, usage=usage, cost_nano_usd=cost_nano_usd)


class StuckLedger(FailingLedger):
    """A store whose disk does not answer until it is released."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store, [])
        self.released = threading.Event()

    def write(self, entries: list[LedgerEntry]) -> None:
        assert self.released.wait(PATIENCE_S)
        super().write(entries)


class Stopwatch:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def running(ledger: Ledger, monotonic_s: Callable[[], float] | None = None) -> Iterator[LedgerWriter]:
    writer = LedgerWriter(ledger, monotonic_s=monotonic_s or Stopwatch(), retry_s=0.01)
    writer.start()
    try:
        yield writer
    finally:
        assert writer.close(PATIENCE_S)


def named(count: int) -> list[LedgerEntry]:
    return [entry(f"req_{number}", at=AT + timedelta(seconds=number)) for number in range(count)]


def written(store: SqliteStore) -> list[object]:
    """Request ids in the order of admission."""
    return [row["request_id"] for row in reversed(store.latest(10_000))]


def test_what_was_put_is_in_the_ledger_when_the_writer_is_closed(store: SqliteStore) -> None:
    with running(store) as writer:
        for each in named(1_234):
            writer.put(each)

    assert written(store) == [f"req_{number}" for number in range(1_234)]


def test_entries_are_written_in_the_order_they_were_put_in_few_transactions(store: SqliteStore) -> None:
    stuck = StuckLedger(store)
    with running(stuck) as writer:
        for each in named(1_200):
            writer.put(each)
        stuck.released.set()

    assert [name for batch in stuck.batches for name in batch] == [f"req_{number}" for number in range(1_200)]
    assert max(len(batch) for batch in stuck.batches) == 500


def test_many_threads_may_put_at_the_same_time(store: SqliteStore) -> None:
    def put(writer: LedgerWriter, thread: int) -> None:
        for number in range(200):
            writer.put(entry(f"req_{thread}_{number}"))

    with running(store) as writer:
        threads = [threading.Thread(target=put, args=(writer, number)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert writer.flush(PATIENCE_S)
        assert len(written(store)) == 800


@pytest.mark.parametrize("writes_first", [False, True])
@pytest.mark.parametrize(
    "failure",
    [
        OSError(28, "No space left on device"),
        sqlite3.OperationalError("database is locked"),
        StoreUnavailable("attempt to write a readonly database"),
        RuntimeError("anything else"),
    ],
    ids=["full disk", "locked", "read-only", "unforeseen"],
)
def test_a_ledger_that_fails_for_a_while_loses_nothing_and_doubles_nothing(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, failure: Exception, writes_first: bool
) -> None:
    failing = FailingLedger(store, [failure] * 5, writes_first=writes_first)

    with running(failing) as writer:
        for each in named(20):
            writer.put(each)
        assert writer.flush(PATIENCE_S)
        assert writer.failures == 5

    assert written(store) == [f"req_{number}" for number in range(20)]
    (total,) = store.spend((), None)
    assert total.cost_nano_usd == 20 * 147_000
    assert f"entries not written ({type(failure).__name__}); trying again" in caplog.text


def test_a_writer_waits_for_another_process_to_let_go_of_the_file(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other, running(store) as writer:
        other.execute("BEGIN IMMEDIATE")
        writer.put(entry())
        assert not writer.flush(0.05)
        assert written(store) == []

        other.execute("COMMIT")
        assert writer.flush(PATIENCE_S)

    assert written(store) == ["req_1"]


def test_an_entry_no_ledger_can_take_goes_to_the_log_and_keeps_no_other_out(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    unwritable = entry("req_bad", attempt(usage=Usage(input_tokens=10**30, output_tokens=0)), at=AT)
    stuck = StuckLedger(store)

    with caplog.at_level(logging.CRITICAL), running(stuck) as writer:
        for each in [*named(3), unwritable, entry("req_last", at=AT + timedelta(hours=1))]:
            writer.put(each)
        stuck.released.set()

    assert written(store) == ["req_0", "req_1", "req_2", "req_last"]
    assert writer.failures == 1
    assert repr(unwritable) in caplog.text


def test_the_lag_is_the_age_of_the_oldest_entry_that_is_not_written(store: SqliteStore) -> None:
    stuck, stopwatch = StuckLedger(store), Stopwatch()
    with running(stuck, stopwatch) as writer:
        assert writer.lag_s() == 0
        writer.put(entry("req_1"))
        stopwatch.now_s += 3
        writer.put(entry("req_2"))
        stopwatch.now_s += 4

        assert writer.lag_s() == 7

        stuck.released.set()
        eventually(lambda: writer.lag_s() == 0, within_s=PATIENCE_S)


def test_closing_says_whether_anything_is_left_unwritten(store: SqliteStore) -> None:
    stuck = StuckLedger(store)
    writer = LedgerWriter(stuck, monotonic_s=Stopwatch())
    writer.start()
    writer.put(entry())

    assert not writer.close(0.05)
    stuck.released.set()
    assert writer.close(PATIENCE_S)
    assert written(store) == ["req_1"]


def test_putting_an_entry_never_waits_for_the_disk(store: SqliteStore) -> None:
    stuck = StuckLedger(store)
    with running(stuck) as writer:
        for each in named(10_000):
            writer.put(each)
        assert written(store) == []
        stuck.released.set()

    assert len(written(store)) == 10_000


def test_what_was_read_of_the_ledger_and_what_is_unread_are_together_everything_once(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "ledger.sqlite")) as store:
        writer = LedgerWriter(store, monotonic_s=lambda: 0.0, gather_s=0.0)
        entries = [entry(f"req_{number}", attempt()) for number in range(40)]
        for each in entries[:30]:
            writer.put(each)
        writer.start()
        eventually(lambda: store.count(ALL_OF_TIME) > 0, within_s=PATIENCE_S)

        read = writer.read(lambda: {str(each["request_id"]) for each in store.latest(100)})
        early = [each.request_id for each in writer.unread(is_last=False)]
        for each in entries[30:]:
            writer.put(each)
        eventually(lambda: store.count(ALL_OF_TIME) == 40, within_s=PATIENCE_S)
        late = [each.request_id for each in writer.unread(is_last=True)]

        assert sorted([*read, *early, *late]) == sorted(each.request_id for each in entries)
        writer.put(entry("req_after"))
        assert writer.unread(is_last=True) == []
        assert writer.close(PATIENCE_S)
