"""Migrations: from nothing, from every earlier version, again, at the same time, and from the future."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from router.quotas import ScopeId
from router.storage import schema
from router.storage.errors import StoreTooNew
from router.storage.sqlite import SqliteStore
from tests.storage.entries import AT, HOUR, entry
from tests.storage.places import is_postgres, kept_entries, new_file, opened, run
from tests.storage.postgres_server import PostgresServer


def described(place: str) -> tuple[int, list[str]]:
    """The version of a store, and its tables and indexes with all their columns."""
    if is_postgres(place):
        ((version,),) = run(place, "SELECT version FROM schema_version")
        tables = run(
            place,
            "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, collation_name)"
            " FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY 1",
        )
        indexes = run(place, "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1")
        return version, [text for (text,) in tables + indexes]
    ((version,),) = run(place, "PRAGMA user_version")
    return version, [text for (text,) in run(place, "SELECT sql FROM sqlite_master ORDER BY name")]


def newest(place: str) -> int:
    return len(schema.POSTGRES if is_postgres(place) else schema.SQLITE)


def set_version(place: str, version: int) -> None:
    if is_postgres(place):
        run(place, f"UPDATE schema_version SET version = {version}")
    else:
        run(place, f"PRAGMA user_version = {version}")


def make(place: str, version: int) -> None:
    """The place as that version left it."""
    scripts = (schema.POSTGRES if is_postgres(place) else schema.SQLITE)[:version]
    run(place, *[statement for script in scripts for statement in script.split(";") if statement.strip()])
    if is_postgres(place):
        run(place, "CREATE TABLE schema_version (version INTEGER NOT NULL)")
        run(place, f"INSERT INTO schema_version VALUES ({version})")
    else:
        set_version(place, version)


def test_an_empty_place_is_brought_to_the_newest_version(place: str) -> None:
    with opened(place):
        version, tables = described(place)

    assert version == newest(place)
    assert len(tables) >= 6


@pytest.mark.parametrize("version", range(1, len(schema.SQLITE)))
def test_a_file_of_every_earlier_version_is_migrated_with_what_is_in_it(version: int) -> None:
    with new_file() as old, new_file() as new:
        make(old, version)
        check_migrated(old, new)


@pytest.mark.parametrize("version", range(1, len(schema.POSTGRES)))
def test_a_database_of_every_earlier_version_is_migrated_with_what_is_in_it(
    postgres_server: PostgresServer, version: int
) -> None:
    with postgres_server.new_schema() as old, postgres_server.new_schema() as new:
        make(old, version)
        check_migrated(old, new)


def check_migrated(old: str, new: str) -> None:
    """The old store keeps the entry and key it has and becomes the same as one made anew."""
    run(old, *[row.replace("BLOB", "BYTEA") if is_postgres(old) else row for row in FIRST_ROWS])
    if "entries held_at" in str(described(old)) or "held_at TEXT" in str(described(old)):
        run(old, "UPDATE entries SET held_at = at")  # as the versions that have it write it
    with opened(old) as store, opened(new):
        assert [key.name for key in store.all()] == ["website"]
        assert [row["request_id"] for row in store.latest(10)] == ["req_old"]
        assert store.spent_since(AT)[ScopeId.of_team("search")] == 7
        store.write([entry("req_old"), entry("req_new")])
        assert [call.request_id for call in store.doubtful(since=AT, before=AT + HOUR, after=None, limit=10)] == [
            "req_old"
        ]

    assert [each.request_id for each in kept_entries(old)] == ["req_new", "req_old"]
    assert text_of(old) == text_of(new)


def text_of(place: str) -> str:
    """Its description without the name of the schema that it happens to be in."""
    return str(described(place)).replace(place.rpartition("%3D")[2] if is_postgres(place) else "", "")


# As the first version wrote them, in columns that both kinds of store have had since then.
FIRST_ROWS = (
    "INSERT INTO entries (request_id, at, day, team, key_id, alias, policy, outcome, profile, rejected,"
    " counted_input_tokens, expected_nano_usd, cost_nano_usd, config_version, is_stream, overhead_s, duration_s, tags)"
    " VALUES ('req_old', '2026-11-23T09:30:00.000000+00:00', '2026-11-23', 'search', 'k', 'auto', 'balanced', 'ok',"
    " CAST('' AS BLOB), '[]', 1, 1, 7, 'v', TRUE, 0, 0, '[\"batch\"]')",
    "INSERT INTO attempts (entry_id, number, model, provider, outcome, generation_id, held_nano_usd, cost_nano_usd,"
    " source, duration_s) SELECT id, 1, 'm', 'p', 'ok', 'gen-1', 7, 7, 'held', 0 FROM entries",
    "INSERT INTO keys (id, team, name, digest, created_at)"
    " VALUES ('k', 'search', 'website', CAST('' AS BLOB), '2026-11-23T09:30:00.000000+00:00')",
)


def test_opening_a_store_again_changes_nothing_and_keeps_what_is_in_it(place: str) -> None:
    with opened(place) as store:
        store.write([entry()])
    before = described(place)

    with opened(place) as again:
        assert described(place) == before
        assert len(again.latest(10)) == 1


def test_a_new_place_may_be_opened_by_several_at_the_same_time(place: str) -> None:
    with ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        stores = list(threads.map(lambda _: stack.enter_context(opened(place)), range(8)))
        for number, store in enumerate(stores):
            store.write([entry(f"req_{number}")])

        assert len(stores[0].latest(100)) == 8


def test_a_migration_that_fails_leaves_the_store_as_it_was(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(place):
        before = described(place)
    broken = "CREATE TABLE later (id INTEGER); CREATE TABLE entries (id INTEGER)"
    monkeypatch.setattr(schema, "SQLITE", (*schema.SQLITE, broken))
    monkeypatch.setattr(schema, "POSTGRES", (*schema.POSTGRES, broken))

    with pytest.raises(Exception, match="already exists"), opened(place):
        pass

    assert described(place) == before


def test_a_store_of_a_newer_penstock_is_refused_with_the_reason(place: str) -> None:
    with opened(place):
        set_version(place, 99)

    with (
        pytest.raises(StoreTooNew, match=rf"schema version 99 .* knows versions up to {newest(place)}\b"),
        opened(place),
    ):
        pass


def test_only_its_owner_may_read_the_file(path: Path) -> None:
    SqliteStore(path).write([entry()])

    assert path.stat().st_mode & 0o777 == 0o600
