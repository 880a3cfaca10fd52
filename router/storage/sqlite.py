"""Ledger and keys in one SQLite file: `SqliteStore`, to be called from threads, one connection each."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from os import link
from pathlib import Path
from tempfile import TemporaryDirectory

from router.keys import ApiKey, KeyId, TeamName
from router.ledger import Attempt, LedgerEntry, SpendRow
from router.storage.errors import StoreUnavailable, UnwritableEntry
from router.storage.schema import migrate
from router.units import Usage

# Column expressions that `spend` may group by. `tag` needs its own join: an entry may have several.
_GROUPS = {
    "team": "e.team",
    "key": "e.key_id",
    "alias": "e.alias",
    "policy": "e.policy",
    "model": "a.model",
    "provider": "a.provider",
    "source": "a.source",
    "outcome": "e.outcome",
    "day": "e.day",
    "tag": "t.value",
}
GROUP_NAMES = tuple(_GROUPS)

# What sqlite3 raises for a value rather than for the file.
_ABOUT_A_VALUE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)

_BUSY_S = 10.0  # how long a writer waits for another process's transaction


class SqliteStore:
    """The embedded store. Safe to share between threads: every call opens the file for itself.

    Every method raises StoreUnavailable if the file cannot be used.

    WAL with synchronous=NORMAL: a killed process loses nothing it committed; only a power failure may lose the last
    transactions (sqlite.org/wal.html).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        with self._connected() as connection:
            migrate(connection)

    def write(self, entries: list[LedgerEntry]) -> None:
        """Raises UnwritableEntry at the first entry that cannot be kept; then none of them is."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for entry in entries:
                _insert(connection, entry)
            connection.execute("COMMIT")

    def spent_since(self, since: datetime) -> dict[TeamName, int]:
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT team, SUM(cost_nano_usd) FROM entries WHERE at >= ? GROUP BY team", (_text(since),)
            )
            return {TeamName(team): spent for team, spent in rows}

    def spend(self, by: tuple[str, ...], since: datetime | None) -> list[SpendRow]:
        """Spend by any of GROUP_NAMES, dearest first.

        By `model`, `provider` or `source` a request counts in every group in which a provider was called for it, and
        each call's tokens and cost in its own. By `tag` a request counts in full under each of its tags, and under ""
        if it has none: only then do the rows add up to more than was spent.
        """
        columns = ", ".join(_GROUPS[name] for name in by)  # names are checked: a KeyError here is our own bug
        tags = "LEFT JOIN json_each(e.tags) AS t" if "tag" in by else ""
        query = f"""
            SELECT COUNT(DISTINCT e.id), COALESCE(SUM(a.input_tokens), 0), COALESCE(SUM(a.output_tokens), 0),
                   COALESCE(SUM(a.cost_nano_usd), 0){"," if by else ""} {columns}
            FROM entries AS e LEFT JOIN attempts AS a ON a.entry_id = e.id {tags}
            WHERE e.at >= ? {"GROUP BY" if by else ""} {columns} ORDER BY 4 DESC, 1 DESC {"," if by else ""} {columns}
        """  # noqa: S608 - assembled from the constants above only
        with self._connected() as connection:
            rows = connection.execute(query, (_text(since) if since else "",)).fetchall()
        return [
            SpendRow(
                group=tuple("" if value is None else str(value) for value in group),
                requests=requests,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cost_nano_usd=cost,
            )
            for requests, input_tokens, output_tokens, cost, *group in rows
        ]

    def latest(self, limit: int) -> list[dict[str, object]]:
        """The newest entries, newest first, each with the attempt that answered; for people to look at."""
        with self._connected() as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute(_LATEST, (limit,))
            return [dict(row) for row in rows]

    def add(self, key: ApiKey) -> None:
        with self._connected() as connection:
            connection.execute(
                "INSERT INTO keys (id, team, name, digest, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    key.id,
                    key.team,
                    key.name,
                    key.digest,
                    _text(key.created_at),
                    _text(key.expires_at) if key.expires_at else None,
                ),
            )

    def all(self) -> list[ApiKey]:
        with self._connected() as connection:
            rows = connection.execute(
                "SELECT id, team, name, digest, created_at, expires_at, revoked_at FROM keys ORDER BY created_at, id"
            ).fetchall()
        return [
            ApiKey(
                id=KeyId(key_id),
                team=TeamName(team),
                name=name,
                digest=digest,
                created_at=datetime.fromisoformat(created_at),
                expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
                revoked_at=datetime.fromisoformat(revoked_at) if revoked_at else None,
            )
            for key_id, team, name, digest, created_at, expires_at, revoked_at in rows
        ]

    def revoke(self, key_id: KeyId, at: datetime) -> bool:
        with self._connected() as connection:
            changed = connection.execute(
                "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (_text(at), key_id)
            )
            return changed.rowcount == 1

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("PRAGMA foreign_keys = ON")
                yield connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, (*_ABOUT_A_VALUE, sqlite3.ProgrammingError)):
                raise
            raise StoreUnavailable(f"{self._path} cannot be used: {error}.") from error


def _create(path: Path) -> None:
    """An empty database in WAL mode, for its owner only, appears at the path, unless another process was first.

    It is made aside, because changing the mode of a file that others open at the same time can fail as locked, whatever
    the timeout.
    """
    with TemporaryDirectory(dir=path.parent, prefix=".new-") as directory:
        new = Path(directory, path.name)
        with closing(sqlite3.connect(new)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        new.chmod(0o600)
        with suppress(FileExistsError):
            link(new, path)  # unlike a rename, it replaces nothing


_INSERT_ENTRY = """
    INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (request_id) DO NOTHING
"""
_INSERT_ATTEMPT = "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LATEST = """
    SELECT e.request_id, e.at, e.team, e.alias, e.policy, e.rule, e.outcome, e.cost_nano_usd, e.baseline_nano_usd,
           e.duration_s, a.model, a.provider, a.input_tokens, a.output_tokens, a.source
    FROM entries AS e LEFT JOIN attempts AS a ON a.entry_id = e.id
         AND a.number = (SELECT MAX(number) FROM attempts WHERE entry_id = e.id)
    ORDER BY e.at DESC, e.id DESC LIMIT ?
"""


def _insert(connection: sqlite3.Connection, entry: LedgerEntry) -> None:
    try:
        inserted = connection.execute(_INSERT_ENTRY, _entry_row(entry))
        if inserted.rowcount:
            connection.executemany(
                _INSERT_ATTEMPT,
                [
                    (inserted.lastrowid, number, *_attempt_row(attempt))
                    for number, attempt in enumerate(entry.attempts, start=1)
                ],
            )
    except (OverflowError, UnicodeError, *_ABOUT_A_VALUE) as error:
        raise UnwritableEntry(
            f"Entry {entry.request_id} cannot be kept ({type(error).__name__}: {error}).", request_id=entry.request_id
        ) from error


def _entry_row(entry: LedgerEntry) -> tuple[object, ...]:
    at = _text(entry.at)
    return (
        entry.request_id,
        at,
        at[:10],
        entry.team,
        entry.key_id,
        entry.alias,
        entry.policy,
        entry.rule,
        entry.outcome.value,
        entry.profile_json,
        _json_list(f"{model} {reason}" for model, reason in entry.rejected),
        entry.counted_input_tokens,
        entry.expected_nano_usd,
        entry.cost_nano_usd,
        entry.baseline,
        entry.baseline_nano_usd,
        entry.config_version,
        int(entry.is_stream),
        entry.overhead_s,
        entry.first_token_s,
        entry.duration_s,
        _json_list(dict.fromkeys(entry.tags)),  # each once: `spend` by tag counts an entry for every one it finds
    )


def _attempt_row(attempt: Attempt) -> tuple[object, ...]:
    usage = attempt.usage
    return (
        attempt.model,
        attempt.provider,
        attempt.outcome,
        attempt.served_model,
        attempt.generation_id,
        *_usage_row(usage),
        attempt.held_nano_usd,
        attempt.cost_nano_usd,
        attempt.source.value,
        attempt.duration_s,
    )


def _usage_row(usage: Usage | None) -> tuple[int | None, ...]:
    if usage is None:
        return (None,) * 5
    return (
        usage.input_tokens,
        usage.cached_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )


def _json_list(words: Iterable[str]) -> str:
    return json.dumps(list(words), separators=(",", ":"))


def _text(moment: datetime) -> str:
    """UTC with microseconds always written, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
