"""The audit log in a store: one chain whoever writes, and what the file beside it remembers. On every kind of store."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from router.audit import SYSTEM, Act, Broken, Chain, Entry, Head, Row
from router.storage.audit_trail import AuditTrail, DamagedHead, HeadFile, verified
from router.storage.errors import StoreUnavailable
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from tests.storage.places import Places, opened

pytestmark = pytest.mark.anyio

CHECKOUT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
CHAIN = Chain(b"pepper")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def trail_of(store: Store, directory: Path, now: Callable[[], datetime] = lambda: NOW) -> AuditTrail:
    return AuditTrail(store, CHAIN, head_file=HeadFile(directory / "audit.head"), now=now, process="p1")


def written(trail: AuditTrail, count: int, act: Act = Act.KEY_CREATED) -> None:
    for number in range(count):
        trail.write(trail.entry("anna", act, subject=f"key{number}"))


def test_rows_come_back_as_they_were_written_and_follow_from_each_other(any_store: Store, tmp_path: Path) -> None:
    trail = trail_of(any_store, tmp_path)

    row = trail.write(trail.entry("anna", Act.RELOAD_ASKED, subject="v1", detail="why", origin="10.0.0.7"))
    assert row is not None

    assert row == Row(
        1,
        Entry("2026-11-30T12:00:00.000000+00:00", "anna", Act.RELOAD_ASKED, "v1", "why", "10.0.0.7"),
        row.mac,
    )
    assert any_store.audit_after(0, 10) == [row]
    assert verified(any_store, CHAIN, heads={}) == Head(1, row.mac)


def test_several_processes_and_threads_write_one_chain(places: Places, tmp_path: Path) -> None:
    with places() as place, opened(place) as store:
        program = (sys.executable, "-m", "tests.storage.audit_writer", place, str(tmp_path), "25")
        children = [subprocess.Popen(program, cwd=CHECKOUT) for _ in range(2)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: written(trail_of(store, tmp_path), 10), range(4)))
        assert [child.wait(60) for child in children] == [0, 0]

        end = verified(store, CHAIN, heads={})

    assert isinstance(end, Head)
    assert end.number == 2 * 25 + 4 * 10


def test_news_are_written_once_whoever_tells_them(any_store: Store, tmp_path: Path) -> None:
    trail = trail_of(any_store, tmp_path)

    said = [
        trail.write(trail.entry(SYSTEM, Act.CONFIG_IN_FORCE, subject=version), is_news=True)
        for version in ("v1", "v1", "v2", "v2", "v1")
    ]

    assert [row.entry.subject for row in said if row] == ["v1", "v2", "v1"]


def test_text_that_would_break_a_line_or_a_page_is_taken_out_of_it(any_store: Store, tmp_path: Path) -> None:
    trail = trail_of(any_store, tmp_path)

    row = trail.write(trail.entry("a\nb\0\ud800\u202e", Act.SIGN_IN_FAILED, detail="x" * 9_999))

    assert row is not None
    assert row.entry.actor == "a\N{REPLACEMENT CHARACTER}b" + "\N{REPLACEMENT CHARACTER}" * 3
    assert len(row.entry.detail) == 500
    assert any_store.audit_after(0, 1) == [row]


def test_pages_are_newest_first_and_may_begin_at_a_moment(any_store: Store, tmp_path: Path) -> None:
    for hour in range(5):
        written(trail_of(any_store, tmp_path, lambda hour=hour: NOW + timedelta(hours=hour)), 1)  # type: ignore[misc]

    def numbers(before: int, since: str = "", limit: int = 9) -> list[int]:
        return [row.number for row in any_store.audit_before(before, since=since, limit=limit)]

    assert numbers(2**62) == [5, 4, 3, 2, 1]
    assert numbers(4, limit=2) == [3, 2]
    assert numbers(2**62, since="2026-11-30T15:00:00") == [5, 4]
    assert [row.number for row in any_store.audit_of(Act.KEY_CREATED, since="2026-11-30T15")] == [4, 5]
    assert any_store.audit_of(Act.KEY_REVOKED, since="") == []


# The second place


def test_the_file_remembers_the_end_and_moves_only_on(any_store: Store, tmp_path: Path) -> None:
    trail, file = trail_of(any_store, tmp_path), HeadFile(tmp_path / "audit.head")
    assert file.read() is None

    written(trail, 3)
    trail.look()
    third = file.read()
    file.advance(Head(2, b"x" * 32))

    assert third == file.read() == trail.head
    assert trail.head.number == 3
    assert trail.is_intact
    assert (tmp_path / "audit.head").stat().st_mode & 0o777 == 0o600


def tampered(store: SqliteStore, path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for each in statements:
            connection.execute(each)
        connection.commit()
    assert store.audit_after(0, 1) is not None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "penstock.sqlite"


def test_an_end_that_is_cut_off_is_seen_by_who_looks_and_by_who_verifies(tmp_path: Path, path: Path) -> None:
    store = SqliteStore(path)
    trail = trail_of(store, tmp_path)
    written(trail, 5)
    trail.look()

    tampered(store, path, "DELETE FROM audit WHERE number > 3")
    trail.look()
    seen = HeadFile(tmp_path / "audit.head").read()

    assert not trail.is_intact
    assert seen is not None
    assert verified(store, CHAIN, heads={}) == Head(3, store.audit_after(2, 1)[0].mac)  # the rest is whole
    assert verified(store, CHAIN, heads={"audit.head": seen}) == Broken(
        4, "audit.head has seen row 5, and the log ends at 3"
    )

    written(trail, 4)  # the log grows over it
    trail.look()
    late = trail_of(store, tmp_path)
    late.look()

    assert HeadFile(tmp_path / "audit.head").read() == seen
    assert not late.is_intact
    assert isinstance(verified(store, CHAIN, heads={"audit.head": seen}), Broken)


@pytest.mark.parametrize("content", [b"x", b"\xff\xfe", b"5:00", b"5:" + b"0" * 63 + b"g\n"])
def test_a_file_that_holds_no_head_is_told_of_and_left_as_it_is(
    any_store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    file = tmp_path / "audit.head"
    running = trail_of(any_store, tmp_path)
    written(running, 1)
    running.look()
    file.write_bytes(content)
    begun_later = trail_of(any_store, tmp_path)

    written(running, 1)
    for _ in range(3):
        running.look()
        begun_later.look()

    assert not running.is_intact
    assert not begun_later.is_intact
    assert file.read_bytes() == content
    assert [record.levelname for record in caplog.records if "holds no head" in record.message] == ["ERROR"] * 2
    with pytest.raises(DamagedHead, match="holds no head"):
        HeadFile(file).read()


def test_a_file_that_was_made_and_not_written_is_as_good_as_none(any_store: Store, tmp_path: Path) -> None:
    file = tmp_path / "audit.head"
    file.touch()
    trail = trail_of(any_store, tmp_path)

    written(trail, 1)
    trail.look()

    assert trail.is_intact
    assert HeadFile(file).read() == trail.head


def test_a_row_that_somebody_else_adds_is_seen_at_once(tmp_path: Path, path: Path) -> None:
    store = SqliteStore(path)
    trail = trail_of(store, tmp_path)
    written(trail, 2)
    trail.look()

    tampered(store, path, "INSERT INTO audit SELECT 3, at, 'eve', act, subject, detail, origin, mac FROM audit LIMIT 1")
    trail.look()

    assert not trail.is_intact
    assert trail.head.number == 2


def test_another_machine_begins_at_the_end_that_it_finds(any_store: Store, tmp_path: Path) -> None:
    written(trail_of(any_store, tmp_path), 3)
    second = trail_of(any_store, tmp_path / "second")

    second.look()

    assert (second.head.number, second.is_intact) == (3, True)


# What is noted, and who follows


async def test_what_is_noted_is_written_when_the_store_can(any_store: Store, tmp_path: Path) -> None:
    trail = trail_of(any_store, tmp_path)
    trail.note(trail.entry("anna", Act.SIGNED_IN))
    assert any_store.audit_after(0, 9) == []

    await trail.drain()

    assert [row.entry.act for row in any_store.audit_after(0, 9)] == [Act.SIGNED_IN]


class Away(SqliteStore):
    is_away = True

    def append_audit(self, entry: Entry, chain: Chain, *, is_news: bool = False) -> Row | None:
        if self.is_away:
            raise StoreUnavailable("It is away.")
        return super().append_audit(entry, chain, is_news=is_news)


async def test_notes_wait_for_a_store_that_is_away_and_what_was_given_up_is_said(tmp_path: Path, path: Path) -> None:
    store = Away(path)
    trail = trail_of(store, tmp_path)
    for number in range(1_003):
        trail.note(trail.entry("", Act.SIGN_IN_FAILED, subject=str(number)))
    await trail.drain()

    store.is_away = False
    await trail.drain()

    rows = store.audit_after(0, 2_000)
    assert rows[0].entry.detail == "3 entries were given up unwritten"
    assert [row.entry.subject for row in rows[1:]] == [str(number) for number in range(3, 1_003)]


async def test_what_is_noted_while_as_much_as_may_wait_is_written_takes_nothing_away(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(path)
    trail = trail_of(store, tmp_path)
    for number in range(1_000):
        trail.note(trail.entry("anna", Act.SIGNED_IN, subject=f"s{number}"))
    append = store.append_audit

    def noting(entry: Entry, chain: Chain, *, is_news: bool = False) -> Row | None:
        monkeypatch.undo()
        trail.note(trail.entry("eve", Act.SIGNED_IN, subject="while it is written"))
        return append(entry, chain, is_news=is_news)

    monkeypatch.setattr(store, "append_audit", noting)

    await trail.drain()

    subjects = [row.entry.subject for row in store.audit_after(0, 2_000)]
    assert subjects == [*(f"s{number}" for number in range(1_000)), "while it is written"]


async def test_what_cannot_be_written_is_not_to_be_done(tmp_path: Path, path: Path) -> None:
    trail = trail_of(Away(path), tmp_path)

    with pytest.raises(StoreUnavailable):
        await trail.record(trail.entry("anna", Act.RELOAD_ASKED))


def test_who_follows_an_act_hears_of_it_by_any_process_and_of_what_was_before(any_store: Store, tmp_path: Path) -> None:
    other, heard = trail_of(any_store, tmp_path), list[str]()
    written(trail_of(any_store, tmp_path, lambda: NOW - timedelta(hours=2)), 1, Act.SIGNED_OUT)
    written(other, 2, Act.SIGNED_OUT)
    trail = trail_of(any_store, tmp_path)
    trail.follow(Act.SIGNED_OUT, lambda row: heard.append(row.entry.subject), back=timedelta(hours=1))

    trail.look()
    written(other, 1)
    other.write(other.entry("anna", Act.SIGNED_OUT, subject="late"))
    trail.look()

    assert sorted(set(heard)) == ["key0", "key1", "late"]
