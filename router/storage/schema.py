"""The tables, as an ordered list of migrations for each kind of store. Forward only: what has shipped is never edited.

Money is integer nano-dollars, `day` is the date of `at` in UTC. `at` is when a request was decided, `held_at` when
money was held for it, of an entry the last time: budgets go by it. SQLite keeps instants as ISO 8601 text in UTC.

What people filter requests by has indexes that hold what they sort them by as well: rows of one team lie far apart,
and each would be a page to be read.

Rows are joined by an integer that counts up, so that tables grow at their end and are read in order. In SQLite the
index by `held_at` holds all that budgets are recovered from. PostgreSQL's does not: its rows take 2,700 bytes at most
there, and the tags of an entry may take more. With 1,000,000 requests, spend by team and model takes 1.4 s in SQLite
and 1.5 s in PostgreSQL 15, what every scope has spent 1.1 s and 1.9 s (`python -m tests.benchmarks.ledger`; 2 shared
cores, November 2026).
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

from router.storage.errors import StoreTooNew

SQLITE: tuple[str, ...] = (
    """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        at TEXT NOT NULL,
        day TEXT NOT NULL,
        team TEXT NOT NULL,
        key_id TEXT NOT NULL,
        alias TEXT NOT NULL,
        policy TEXT NOT NULL,
        rule TEXT,
        outcome TEXT NOT NULL,
        profile BLOB NOT NULL,
        rejected TEXT NOT NULL,
        counted_input_tokens INTEGER NOT NULL,
        expected_nano_usd INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL,
        baseline TEXT,
        baseline_nano_usd INTEGER,
        config_version TEXT NOT NULL,
        is_stream INTEGER NOT NULL,
        overhead_s REAL NOT NULL,
        first_token_s REAL,
        duration_s REAL NOT NULL,
        tags TEXT NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_at ON entries (at, team, cost_nano_usd);
    CREATE TABLE attempts (
        entry_id INTEGER NOT NULL REFERENCES entries,
        number INTEGER NOT NULL,
        model TEXT NOT NULL,
        provider TEXT NOT NULL,
        outcome TEXT NOT NULL,
        served_model TEXT,
        generation_id TEXT,
        input_tokens INTEGER,
        cached_tokens INTEGER,
        cache_write_tokens INTEGER,
        output_tokens INTEGER,
        reasoning_tokens INTEGER,
        held_nano_usd INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL,
        source TEXT NOT NULL,
        duration_s REAL NOT NULL,
        PRIMARY KEY (entry_id, number)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        team TEXT NOT NULL,
        name TEXT NOT NULL,
        digest BLOB NOT NULL,
        created_at TEXT NOT NULL,
        expires_at TEXT,
        revoked_at TEXT
    ) WITHOUT ROWID, STRICT;
    """,
    """
    DROP INDEX entries_by_at;
    CREATE INDEX entries_by_at ON entries (at, team, key_id, tags, cost_nano_usd);
    CREATE INDEX attempts_in_doubt ON attempts (entry_id) WHERE source = 'held' AND generation_id > '';
    """,
    """
    ALTER TABLE attempts ADD COLUMN first_token_s REAL;
    ALTER TABLE attempts ADD COLUMN finish_reason TEXT;
    CREATE TABLE learned (name TEXT PRIMARY KEY, content BLOB NOT NULL, at TEXT NOT NULL) WITHOUT ROWID, STRICT;
    """,
    """
    ALTER TABLE attempts ADD COLUMN version TEXT;
    CREATE TABLE prices (
        provider TEXT NOT NULL,
        upstream_model TEXT NOT NULL,
        starts TEXT NOT NULL,
        version TEXT,
        tariff TEXT,
        source TEXT NOT NULL,
        first_seen TEXT NOT NULL,
        last_seen TEXT NOT NULL,
        PRIMARY KEY (provider, upstream_model, starts)
    ) WITHOUT ROWID, STRICT;
    """,
    "ALTER TABLE attempts ADD COLUMN verification TEXT",
    """
    ALTER TABLE entries ADD COLUMN conditions BLOB NOT NULL DEFAULT x'';
    """,
    """
    ALTER TABLE attempts ADD COLUMN held_at TEXT;
    ALTER TABLE entries ADD COLUMN held_at TEXT NOT NULL DEFAULT '';
    UPDATE entries SET held_at = at;
    DROP INDEX entries_by_at;
    CREATE INDEX entries_by_at ON entries (at);
    CREATE INDEX entries_by_held_at ON entries (held_at, team, key_id, tags, cost_nano_usd);
    """,
    """
    CREATE TABLE answers (
        team TEXT NOT NULL,
        key_digest BLOB NOT NULL,
        fingerprint BLOB NOT NULL,
        request_id TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        content BLOB,
        PRIMARY KEY (team, key_digest)
    ) WITHOUT ROWID, STRICT;
    CREATE INDEX answers_by_expiry ON answers (expires_at);
    """,
    "ALTER TABLE attempts ADD COLUMN effort TEXT",
    """
    CREATE TABLE labels (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        request_id TEXT NOT NULL,
        call INTEGER NOT NULL,
        signal TEXT NOT NULL,
        team TEXT NOT NULL,
        at TEXT NOT NULL,
        score REAL NOT NULL,
        content BLOB NOT NULL,
        UNIQUE (request_id, call, signal)
    ) STRICT;
    CREATE INDEX labels_by_team ON labels (team, number);
    CREATE INDEX labels_by_at ON labels (at);
    CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until TEXT NOT NULL) WITHOUT ROWID, STRICT;
    """,
    """
    CREATE TABLE totals (
        span TEXT NOT NULL,
        starts TEXT NOT NULL,
        team TEXT NOT NULL,
        model TEXT NOT NULL,
        requests INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        cost_nano_usd INTEGER NOT NULL,
        baseline_nano_usd INTEGER NOT NULL,
        saved_nano_usd INTEGER NOT NULL,
        PRIMARY KEY (span, starts, team, model)
    ) WITHOUT ROWID, STRICT;
    INSERT INTO totals
    SELECT 'hour', starts, team, model, SUM(requests), SUM(failed), SUM(refused), SUM(cached), SUM(calls),
           SUM(input_tokens), SUM(cached_tokens), SUM(output_tokens), SUM(cost), SUM(baseline), SUM(saved)
    FROM (
        SELECT substr(e.at, 1, 13) || ':00:00.000000+00:00' AS starts, e.team AS team, a.model AS model,
               0 AS requests, 0 AS failed, 0 AS refused, 0 AS cached, 1 AS calls,
               COALESCE(a.input_tokens, 0) AS input_tokens, COALESCE(a.cached_tokens, 0) AS cached_tokens,
               COALESCE(a.output_tokens, 0) AS output_tokens, a.cost_nano_usd AS cost, 0 AS baseline, 0 AS saved
        FROM entries AS e JOIN attempts AS a ON a.entry_id = e.id
        UNION ALL
        SELECT substr(e.at, 1, 13) || ':00:00.000000+00:00', e.team,
               COALESCE(CASE
                   WHEN e.outcome IN ('ok', 'client_gone') THEN
                       (SELECT model FROM attempts WHERE entry_id = e.id
                        ORDER BY outcome IN ('ok', 'failed_verification') DESC, number DESC LIMIT 1)
                   WHEN e.outcome = 'cut' THEN
                       (SELECT model FROM attempts WHERE entry_id = e.id ORDER BY number DESC LIMIT 1)
               END, ''),
               1, CASE WHEN e.outcome IN ('failed', 'cut', 'lost') THEN 1 ELSE 0 END,
               CASE WHEN e.outcome = 'refused' THEN 1 ELSE 0 END, CASE WHEN e.outcome = 'cached' THEN 1 ELSE 0 END,
               0, 0, 0, 0, 0,
               CASE WHEN e.baseline IS NULL THEN 0 ELSE COALESCE(e.baseline_nano_usd, 0) END,
               CASE WHEN e.baseline IS NULL THEN 0 ELSE COALESCE(e.baseline_nano_usd - e.cost_nano_usd, 0) END
        FROM entries AS e WHERE e.outcome <> 'shadow'
    ) AS each_one
    GROUP BY starts, team, model;
    INSERT INTO totals
    SELECT 'day', substr(starts, 1, 10) || 'T00:00:00.000000+00:00' AS starts_of_day, team, model,
           SUM(requests), SUM(failed), SUM(refused), SUM(cached), SUM(calls), SUM(input_tokens), SUM(cached_tokens),
           SUM(output_tokens), SUM(cost_nano_usd), SUM(baseline_nano_usd), SUM(saved_nano_usd)
    FROM totals GROUP BY starts_of_day, team, model;
    CREATE TABLE key_uses (key_id TEXT PRIMARY KEY, last_at TEXT NOT NULL) WITHOUT ROWID, STRICT;
    INSERT INTO key_uses SELECT key_id, MAX(at) FROM entries GROUP BY key_id;
    CREATE INDEX entries_by_team ON entries (team, at, outcome, cost_nano_usd, baseline_nano_usd, duration_s);
    CREATE INDEX entries_by_outcome ON entries (outcome, at, team, cost_nano_usd, baseline_nano_usd, duration_s)
        WHERE outcome <> 'ok';
    """,
    """
    ALTER TABLE keys ADD COLUMN scope TEXT;
    ALTER TABLE keys ADD COLUMN scoped_digest BLOB NOT NULL DEFAULT x'';
    ALTER TABLE keys ADD COLUMN former_digest BLOB;
    ALTER TABLE keys ADD COLUMN former_until TEXT;
    CREATE TABLE key_changes (number INTEGER NOT NULL) STRICT;
    INSERT INTO key_changes VALUES (0);
    """,
    """
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        actor TEXT NOT NULL,
        act TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL,
        origin TEXT NOT NULL,
        mac BLOB NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_act ON audit (act, number);
    """,
    """
    CREATE TABLE prompts (
        request_id TEXT PRIMARY KEY,
        team TEXT NOT NULL,
        at TEXT NOT NULL,
        expires_at TEXT NOT NULL,
        key_id TEXT NOT NULL,
        content BLOB NOT NULL
    ) STRICT;
    CREATE INDEX prompts_by_expiry ON prompts (expires_at);
    CREATE INDEX prompts_by_team ON prompts (team, at);
    """,
)

# Text is compared byte by byte, as SQLite does, whatever the language of the database.
POSTGRES: tuple[str, ...] = (
    """
    CREATE TABLE entries (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request_id TEXT COLLATE "C" NOT NULL UNIQUE,
        at TIMESTAMPTZ NOT NULL,
        day DATE NOT NULL,
        team TEXT COLLATE "C" NOT NULL,
        key_id TEXT COLLATE "C" NOT NULL,
        alias TEXT COLLATE "C" NOT NULL,
        policy TEXT COLLATE "C" NOT NULL,
        rule TEXT COLLATE "C",
        outcome TEXT COLLATE "C" NOT NULL,
        profile BYTEA NOT NULL,
        rejected TEXT COLLATE "C" NOT NULL,
        counted_input_tokens BIGINT NOT NULL,
        expected_nano_usd BIGINT NOT NULL,
        cost_nano_usd BIGINT NOT NULL,
        baseline TEXT COLLATE "C",
        baseline_nano_usd BIGINT,
        config_version TEXT COLLATE "C" NOT NULL,
        is_stream BOOLEAN NOT NULL,
        overhead_s DOUBLE PRECISION NOT NULL,
        first_token_s DOUBLE PRECISION,
        duration_s DOUBLE PRECISION NOT NULL,
        tags TEXT COLLATE "C" NOT NULL
    );
    CREATE INDEX entries_by_at ON entries (at);
    CREATE TABLE attempts (
        entry_id BIGINT NOT NULL REFERENCES entries,
        number INTEGER NOT NULL,
        model TEXT COLLATE "C" NOT NULL,
        provider TEXT COLLATE "C" NOT NULL,
        outcome TEXT COLLATE "C" NOT NULL,
        served_model TEXT COLLATE "C",
        generation_id TEXT COLLATE "C",
        input_tokens BIGINT,
        cached_tokens BIGINT,
        cache_write_tokens BIGINT,
        output_tokens BIGINT,
        reasoning_tokens BIGINT,
        held_nano_usd BIGINT NOT NULL,
        cost_nano_usd BIGINT NOT NULL,
        source TEXT COLLATE "C" NOT NULL,
        duration_s DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (entry_id, number)
    );
    CREATE INDEX attempts_in_doubt ON attempts (entry_id) WHERE source = 'held' AND generation_id > '';
    CREATE TABLE keys (
        id TEXT COLLATE "C" PRIMARY KEY,
        team TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        digest BYTEA NOT NULL,
        created_at TIMESTAMPTZ NOT NULL,
        expires_at TIMESTAMPTZ,
        revoked_at TIMESTAMPTZ
    );
    """,
    """
    ALTER TABLE attempts ADD COLUMN first_token_s DOUBLE PRECISION;
    ALTER TABLE attempts ADD COLUMN finish_reason TEXT COLLATE "C";
    CREATE TABLE learned (
        name TEXT COLLATE "C" PRIMARY KEY,
        content BYTEA NOT NULL,
        at TIMESTAMPTZ NOT NULL
    );
    """,
    """
    ALTER TABLE attempts ADD COLUMN version TEXT COLLATE "C";
    CREATE TABLE prices (
        provider TEXT COLLATE "C" NOT NULL,
        upstream_model TEXT COLLATE "C" NOT NULL,
        starts TIMESTAMPTZ NOT NULL,
        version TEXT COLLATE "C",
        tariff TEXT COLLATE "C",
        source TEXT COLLATE "C" NOT NULL,
        first_seen TIMESTAMPTZ NOT NULL,
        last_seen TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (provider, upstream_model, starts)
    );
    """,
    'ALTER TABLE attempts ADD COLUMN verification TEXT COLLATE "C"',
    """
    ALTER TABLE entries ADD COLUMN conditions BYTEA NOT NULL DEFAULT '';
    """,
    """
    ALTER TABLE attempts ADD COLUMN held_at TIMESTAMPTZ;
    ALTER TABLE entries ADD COLUMN held_at TIMESTAMPTZ NOT NULL DEFAULT '-infinity';
    UPDATE entries SET held_at = at;
    CREATE INDEX entries_by_held_at ON entries (held_at);
    """,
    """
    CREATE TABLE answers (
        team TEXT COLLATE "C" NOT NULL,
        key_digest BYTEA NOT NULL,
        fingerprint BYTEA NOT NULL,
        request_id TEXT COLLATE "C" NOT NULL,
        expires_at TIMESTAMPTZ NOT NULL,
        content BYTEA,
        PRIMARY KEY (team, key_digest)
    );
    CREATE INDEX answers_by_expiry ON answers (expires_at);
    """,
    'ALTER TABLE attempts ADD COLUMN effort TEXT COLLATE "C"',
    """
    CREATE TABLE labels (
        number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        request_id TEXT COLLATE "C" NOT NULL,
        call INTEGER NOT NULL,
        signal TEXT COLLATE "C" NOT NULL,
        team TEXT COLLATE "C" NOT NULL,
        at TIMESTAMPTZ NOT NULL,
        score DOUBLE PRECISION NOT NULL,
        content BYTEA NOT NULL,
        UNIQUE (request_id, call, signal)
    );
    CREATE INDEX labels_by_team ON labels (team, number);
    CREATE INDEX labels_by_at ON labels (at);
    CREATE TABLE leases (
        name TEXT COLLATE "C" PRIMARY KEY,
        holder TEXT COLLATE "C" NOT NULL,
        until TIMESTAMPTZ NOT NULL
    );
    """,
    """
    CREATE TABLE totals (
        span TEXT COLLATE "C" NOT NULL,
        starts TIMESTAMPTZ NOT NULL,
        team TEXT COLLATE "C" NOT NULL,
        model TEXT COLLATE "C" NOT NULL,
        requests BIGINT NOT NULL,
        failed BIGINT NOT NULL,
        refused BIGINT NOT NULL,
        cached BIGINT NOT NULL,
        calls BIGINT NOT NULL,
        input_tokens BIGINT NOT NULL,
        cached_tokens BIGINT NOT NULL,
        output_tokens BIGINT NOT NULL,
        cost_nano_usd BIGINT NOT NULL,
        baseline_nano_usd BIGINT NOT NULL,
        saved_nano_usd BIGINT NOT NULL,
        PRIMARY KEY (span, starts, team, model)
    );
    INSERT INTO totals
    SELECT 'hour', starts, team, model, SUM(requests), SUM(failed), SUM(refused), SUM(cached), SUM(calls),
           SUM(input_tokens), SUM(cached_tokens), SUM(output_tokens), SUM(cost), SUM(baseline), SUM(saved)
    FROM (
        SELECT date_trunc('hour', e.at, 'UTC') AS starts, e.team AS team, a.model AS model,
               0 AS requests, 0 AS failed, 0 AS refused, 0 AS cached, 1 AS calls,
               COALESCE(a.input_tokens, 0) AS input_tokens, COALESCE(a.cached_tokens, 0) AS cached_tokens,
               COALESCE(a.output_tokens, 0) AS output_tokens, a.cost_nano_usd AS cost, 0 AS baseline, 0 AS saved
        FROM entries AS e JOIN attempts AS a ON a.entry_id = e.id
        UNION ALL
        SELECT date_trunc('hour', e.at, 'UTC'), e.team,
               COALESCE(CASE
                   WHEN e.outcome IN ('ok', 'client_gone') THEN
                       (SELECT model FROM attempts WHERE entry_id = e.id
                        ORDER BY outcome IN ('ok', 'failed_verification') DESC, number DESC LIMIT 1)
                   WHEN e.outcome = 'cut' THEN
                       (SELECT model FROM attempts WHERE entry_id = e.id ORDER BY number DESC LIMIT 1)
               END, ''),
               1, CASE WHEN e.outcome IN ('failed', 'cut', 'lost') THEN 1 ELSE 0 END,
               CASE WHEN e.outcome = 'refused' THEN 1 ELSE 0 END, CASE WHEN e.outcome = 'cached' THEN 1 ELSE 0 END,
               0, 0, 0, 0, 0,
               CASE WHEN e.baseline IS NULL THEN 0 ELSE COALESCE(e.baseline_nano_usd, 0) END,
               CASE WHEN e.baseline IS NULL THEN 0 ELSE COALESCE(e.baseline_nano_usd - e.cost_nano_usd, 0) END
        FROM entries AS e WHERE e.outcome <> 'shadow'
    ) AS each_one
    GROUP BY starts, team, model;
    INSERT INTO totals
    SELECT 'day', date_trunc('day', starts, 'UTC') AS starts_of_day, team, model,
           SUM(requests), SUM(failed), SUM(refused), SUM(cached), SUM(calls), SUM(input_tokens), SUM(cached_tokens),
           SUM(output_tokens), SUM(cost_nano_usd), SUM(baseline_nano_usd), SUM(saved_nano_usd)
    FROM totals GROUP BY starts_of_day, team, model;
    CREATE TABLE key_uses (key_id TEXT COLLATE "C" PRIMARY KEY, last_at TIMESTAMPTZ NOT NULL);
    INSERT INTO key_uses SELECT key_id, MAX(at) FROM entries GROUP BY key_id;
    CREATE INDEX entries_by_team ON entries (team, at, outcome, cost_nano_usd, baseline_nano_usd, duration_s);
    CREATE INDEX entries_by_outcome ON entries (outcome, at, team, cost_nano_usd, baseline_nano_usd, duration_s)
        WHERE outcome <> 'ok';
    """,
    """
    ALTER TABLE keys ADD COLUMN scope TEXT COLLATE "C";
    ALTER TABLE keys ADD COLUMN scoped_digest BYTEA NOT NULL DEFAULT '';
    ALTER TABLE keys ADD COLUMN former_digest BYTEA;
    ALTER TABLE keys ADD COLUMN former_until TIMESTAMPTZ;
    CREATE TABLE key_changes (number BIGINT NOT NULL);
    INSERT INTO key_changes VALUES (0);
    """,
    """
    CREATE TABLE audit (
        number BIGINT PRIMARY KEY,
        at TEXT COLLATE "C" NOT NULL,
        actor TEXT COLLATE "C" NOT NULL,
        act TEXT COLLATE "C" NOT NULL,
        subject TEXT COLLATE "C" NOT NULL,
        detail TEXT COLLATE "C" NOT NULL,
        origin TEXT COLLATE "C" NOT NULL,
        mac BYTEA NOT NULL
    );
    CREATE INDEX audit_by_act ON audit (act, number);
    """,
    """
    CREATE TABLE prompts (
        request_id TEXT COLLATE "C" PRIMARY KEY,
        team TEXT COLLATE "C" NOT NULL,
        at TIMESTAMPTZ NOT NULL,
        expires_at TIMESTAMPTZ NOT NULL,
        key_id TEXT COLLATE "C" NOT NULL,
        content BYTEA NOT NULL
    );
    ALTER TABLE prompts ALTER COLUMN content SET STORAGE EXTERNAL;
    CREATE INDEX prompts_by_expiry ON prompts (expires_at);
    CREATE INDEX prompts_by_team ON prompts (team, at);
    """,
)

_LOCK = 0x50454E53544F434B  # "PENSTOCK" in ASCII; of two processes that migrate one database, one waits


def migrate_sqlite(connection: sqlite3.Connection) -> None:
    """Bring the file to the newest version, all in one transaction. Raises StoreTooNew.

    The version is read inside the transaction: of two processes that open a new file, one migrates and one waits.
    """
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    _check(version, len(SQLITE))
    for script in SQLITE[version:]:
        for statement in script.split(";"):  # executescript would commit first; no statement holds a semicolon
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {len(SQLITE)}")
    connection.execute("COMMIT")


class _Found(Protocol):
    def fetchone(self) -> tuple[Any, ...] | None: ...


class PostgresConnection(Protocol):
    """What is needed of psycopg's, which is not imported where SQLite keeps the books."""

    def execute(self, statement: bytes, values: Sequence[object] = (), /) -> _Found: ...


def migrate_postgres(connection: PostgresConnection) -> None:
    """Bring the database to the newest version, in the transaction that the connection is in. Raises StoreTooNew."""
    connection.execute(b"SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    connection.execute(b"CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
    found = connection.execute(b"SELECT version FROM schema_version").fetchone()
    version = found[0] if found else 0
    _check(version, len(POSTGRES))
    if version == len(POSTGRES):
        return
    for script in POSTGRES[version:]:
        connection.execute(script.encode())
    connection.execute(b"DELETE FROM schema_version")
    connection.execute(b"INSERT INTO schema_version VALUES (%s)", (len(POSTGRES),))


def _check(version: int, known: int) -> None:
    if version > known:
        raise StoreTooNew(
            f"The store has schema version {version} and this Penstock knows versions up to {known}. "
            "Run the newer Penstock that wrote it, or restore a backup from before the upgrade."
        )
