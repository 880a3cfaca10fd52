"""The embedded store: what is written is there, once, whole, and adds up, whoever else uses the file."""

import sqlite3
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.keys import ApiKey, KeyId, TeamName
from router.ledger import Attempt, LedgerEntry, SpendRow
from router.storage.errors import StoreUnavailable, UnwritableEntry
from router.storage.sqlite import GROUP_NAMES, SqliteStore
from router.units import CostSource, Usage
from tests.storage.entries import AT, FLASH, GPT, HOUR, attempt, entries, entry

CHECKOUT = Path(__file__).resolve().parents[2]


# Writing


def test_an_entry_that_is_written_twice_is_kept_once_as_it_was_first(store: SqliteStore) -> None:
    store.write([entry("req_1", attempt(cost_nano_usd=10))])

    store.write([entry("req_1", attempt(cost_nano_usd=99), attempt()), entry("req_2", attempt(cost_nano_usd=5))])

    assert store.spend((), None) == [SpendRow((), requests=2, input_tokens=2_000, output_tokens=400, cost_nano_usd=15)]


def test_a_batch_is_written_whole_or_not_at_all(store: SqliteStore) -> None:
    unwritable = entry("req_2", attempt(usage=Usage(input_tokens=10**30, output_tokens=0)))

    with pytest.raises(UnwritableEntry) as refusal:
        store.write([entry("req_1"), unwritable, entry("req_3")])

    assert refusal.value.request_id == "req_2"
    assert store.latest(10) == []


def test_every_field_of_an_entry_and_its_calls_is_kept(store: SqliteStore, path: Path) -> None:
    told = attempt(source=CostSource.RECORD)
    untold = attempt(outcome="upstream_timeout", usage=None, cost_nano_usd=0)
    store.write([entry("req_1", untold, told, rejected=((GPT, "over_max_cost"),), tags=("app=web", "batch"))])

    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM entries").fetchall()
        calls = connection.execute("SELECT * FROM attempts ORDER BY number").fetchall()

    assert rows == [
        (
            *(1, "req_1", "2026-11-23T09:30:00.000000+00:00", "2026-11-23", "search", "00c0ffee00c0ffee", "auto"),
            *("balanced", "code", "ok", b'{"input_tokens":980}', '["openai/gpt-5.5 over_max_cost"]', 980, 150_000),
            *(147_000, "openai/gpt-5.5", 11_000_000, "0123456789ab", 1, 0.002, 0.4, 2.5, '["app=web","batch"]'),
        )
    ]
    call = ("deepseek/deepseek-v4-flash", "openrouter")
    reply = ("deepseek/deepseek-v4-flash-20260423", "gen-1")
    assert calls == [
        (1, 1, *call, "upstream_timeout", *reply, None, None, None, None, None, 500_000, 0, "reported", 2.0),
        (1, 2, *call, "ok", *reply, 1_000, 100, 0, 200, 50, 500_000, 147_000, "record", 2.0),
    ]


# Spend


def test_spend_by_team_and_model_lists_the_dearest_first(store: SqliteStore) -> None:
    store.write(
        [
            entry("req_1", attempt(cost_nano_usd=3)),
            entry("req_2", attempt(cost_nano_usd=4)),
            entry("req_3", attempt(model=GPT, cost_nano_usd=50), team="ads"),
        ]
    )

    assert store.spend(("team", "model"), None) == [
        SpendRow(("ads", GPT), requests=1, input_tokens=1_000, output_tokens=200, cost_nano_usd=50),
        SpendRow(("search", FLASH), requests=2, input_tokens=2_000, output_tokens=400, cost_nano_usd=7),
    ]


def test_a_request_that_was_sent_to_two_models_counts_once_at_each_and_costs_each_its_own_call(
    store: SqliteStore,
) -> None:
    failed = attempt(model=GPT, outcome="upstream_timeout", usage=None, cost_nano_usd=9)
    store.write([entry("req_1", failed, attempt(cost_nano_usd=2))])

    assert store.spend(("model",), None) == [
        SpendRow((GPT,), requests=1, input_tokens=0, output_tokens=0, cost_nano_usd=9),
        SpendRow((FLASH,), requests=1, input_tokens=1_000, output_tokens=200, cost_nano_usd=2),
    ]


def test_by_tag_a_request_counts_in_full_under_each_of_its_tags(store: SqliteStore) -> None:
    store.write(
        [
            entry("req_1", attempt(cost_nano_usd=5), attempt(cost_nano_usd=2), tags=("app=web", "batch", "app=web")),
            entry("req_2", attempt(cost_nano_usd=10), tags=("batch",)),
            entry("req_3", attempt(cost_nano_usd=1)),
        ]
    )

    rows = store.spend(("tag",), None)

    assert [(row.group, row.requests, row.cost_nano_usd) for row in rows] == [
        (("batch",), 2, 17),
        (("app=web",), 1, 7),
        (("",), 1, 1),
    ]


def test_without_groups_there_is_one_row_with_everything(store: SqliteStore) -> None:
    assert store.spend((), None) == [SpendRow((), requests=0, input_tokens=0, output_tokens=0, cost_nano_usd=0)]


@settings(max_examples=60, deadline=None)
@given(
    written=st.lists(entries, max_size=8),
    by=st.lists(st.sampled_from(GROUP_NAMES), unique=True, max_size=4).map(tuple),
    since=st.none() | st.datetimes(datetime(2026, 11, 20), datetime(2026, 11, 24), timezones=st.just(UTC)),  # noqa: DTZ001 - made aware
)
def test_spend_is_what_adding_up_the_entries_gives(
    written: list[LedgerEntry], by: tuple[str, ...], since: datetime | None
) -> None:
    with TemporaryDirectory() as directory:
        store = SqliteStore(Path(directory) / "ledger.sqlite")
        store.write(written)

        rows = store.spend(by, since)

    assert {row.group: row for row in rows} == added_up(written, by, since)
    assert len(rows) == len({row.group for row in rows})
    assert [row.cost_nano_usd for row in rows] == sorted((row.cost_nano_usd for row in rows), reverse=True)
    if "tag" not in by:
        assert sum(row.cost_nano_usd for row in rows) == sum(
            each.cost_nano_usd for each in written if since is None or each.at >= since
        )


def added_up(
    written: list[LedgerEntry], by: tuple[str, ...], since: datetime | None
) -> dict[tuple[str, ...], SpendRow]:
    """The same by plain addition."""
    requests: dict[tuple[str, ...], set[str]] = defaultdict(set)
    calls: dict[tuple[str, ...], list[Attempt]] = defaultdict(list)
    if not by:
        requests[()], calls[()] = set(), []
    for each in written:
        if since is not None and each.at < since:
            continue
        tags = dict.fromkeys(each.tags) if "tag" in by and each.tags else ("",)
        for call, tag in product(each.attempts or (None,), tags):
            group = tuple(grouped(each, call, tag, name) for name in by)
            requests[group].add(each.request_id)
            calls[group] += [call] if call else []
    return {
        group: SpendRow(
            group=group,
            requests=len(requests[group]),
            input_tokens=sum(call.usage.input_tokens for call in calls[group] if call.usage),
            output_tokens=sum(call.usage.output_tokens for call in calls[group] if call.usage),
            cost_nano_usd=sum(call.cost_nano_usd for call in calls[group]),
        )
        for group in requests
    }


def grouped(each: LedgerEntry, call: Attempt | None, tag: str, name: str) -> str:
    of_call = {} if call is None else {"model": call.model, "provider": call.provider, "source": call.source.value}
    of_entry = {
        "team": each.team,
        "key": each.key_id,
        "alias": each.alias,
        "policy": each.policy,
        "outcome": each.outcome.value,
        "day": f"{each.at:%Y-%m-%d}",
        "tag": tag,
    }
    return {**of_entry, **of_call}.get(name, "")


def test_what_was_spent_since_a_moment_includes_that_moment(store: SqliteStore) -> None:
    store.write(
        [
            entry("req_1", attempt(cost_nano_usd=1), at=AT - timedelta(microseconds=1)),
            entry("req_2", attempt(cost_nano_usd=20), at=AT),
            entry("req_3", attempt(cost_nano_usd=300), attempt(cost_nano_usd=4_000), at=AT + HOUR),
            entry("req_4", attempt(cost_nano_usd=7), team="ads", at=AT + HOUR),
        ]
    )

    assert store.spent_since(AT) == {"search": 4_320, "ads": 7}
    assert store.spent_since(AT + HOUR + timedelta(microseconds=1)) == {}


def test_moments_of_any_time_zone_and_precision_are_compared_as_moments(store: SqliteStore) -> None:
    berlin = AT.astimezone(ZoneInfo("Europe/Berlin"))
    store.write([entry("req_1", attempt(cost_nano_usd=1), at=berlin + timedelta(milliseconds=500))])

    assert store.spent_since(AT) == {"search": 1}
    assert store.spent_since(berlin + timedelta(seconds=1)) == {}


def test_the_latest_entries_come_newest_first_with_the_call_that_answered(store: SqliteStore) -> None:
    store.write(
        [
            entry("req_old", at=AT - HOUR),
            entry("req_new", attempt(model=GPT, outcome="upstream_503"), attempt(), at=AT),
            replace(entry("req_refused", at=AT - 2 * HOUR), attempts=()),
        ]
    )

    latest = store.latest(3)

    assert [(row["request_id"], row["model"]) for row in latest] == [
        ("req_new", FLASH),
        ("req_old", FLASH),
        ("req_refused", None),
    ]
    assert store.latest(1) == latest[:1]


# Keys


KEY = ApiKey(
    id=KeyId("00c0ffee00c0ffee"),
    team=TeamName("search"),
    name="website",
    digest=bytes(range(32)),
    created_at=AT,
    expires_at=AT + 24 * HOUR,
)


def test_a_key_comes_back_as_it_was_added(store: SqliteStore) -> None:
    for_ever = replace(KEY, id=KeyId("ffff000000000000"), expires_at=None)
    store.add(KEY)
    store.add(for_ever)

    assert store.all() == [KEY, for_ever]


def test_a_key_is_revoked_once_and_stays_revoked_from_that_moment(store: SqliteStore) -> None:
    store.add(KEY)

    assert store.revoke(KEY.id, AT + HOUR)
    assert not store.revoke(KEY.id, AT + 2 * HOUR)
    assert store.all() == [replace(KEY, revoked_at=AT + HOUR)]


def test_a_key_that_does_not_exist_cannot_be_revoked(store: SqliteStore) -> None:
    assert not store.revoke(KeyId("0000000000000000"), AT)


# Others at the same file


def test_readers_see_whole_batches_while_threads_and_another_process_write(store: SqliteStore, path: Path) -> None:
    batches, size, others = 30, 20, 30

    def write(thread: int) -> None:
        for batch in range(batches):
            store.write([entry(f"req_{thread}_{batch}_{number}", attempt(cost_nano_usd=1)) for number in range(size)])

    def read() -> list[int]:
        return [row.requests for _ in range(50) for row in store.spend(("alias",), None)]

    with subprocess.Popen(
        [sys.executable, "-m", "tests.storage.second_process", str(path), str(others)], cwd=CHECKOUT
    ) as second:
        with ThreadPoolExecutor(4) as threads:
            writers = [threads.submit(write, number) for number in range(2)]
            readers = [threads.submit(read) for _ in range(2)]
            seen = [reader.result(60) for reader in readers]
            for writer in writers:
                writer.result(60)
        assert second.wait(60) == 0

    (total,) = store.spend((), None)
    assert total.requests == 2 * batches * size + others
    assert total.cost_nano_usd == 2 * batches * size + others * 147_000
    for counts in seen:
        assert counts == sorted(counts)


def test_a_reader_is_not_kept_waiting_by_a_writer(store: SqliteStore, path: Path) -> None:
    store.write([entry("req_1")])
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")

        assert len(store.latest(10)) == 1


def test_a_file_that_is_no_store_is_reported_with_its_name(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("this is not a database, however long it may be" * 100, encoding="utf-8")

    with pytest.raises(StoreUnavailable, match=r"penstock\.sqlite cannot be used: file is not a database"):
        SqliteStore(path)


def test_a_store_whose_file_is_lost_says_so_at_the_next_use(store: SqliteStore, path: Path) -> None:
    path.unlink()
    path.mkdir()

    with pytest.raises(StoreUnavailable, match="unable to open database file"):
        store.write([entry()])
    with pytest.raises(StoreUnavailable):
        store.all()
