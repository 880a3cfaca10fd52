"""Ledger and keys in one SQLite file: `SqliteStore`, to be called from threads."""

import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from itertools import chain
from os import link
from pathlib import Path
from tempfile import TemporaryDirectory

from router.audit import Act, Chain, Entry, Row
from router.catalog.book import PriceRow
from router.keys import ApiKey, KeyId, TeamName
from router.ledger import DoubtfulCall, LedgerEntry, Page, Period, Place, SpendRow
from router.quality.labels import Label
from router.quotas import ScopeId
from router.storage import rows, statements, totals
from router.storage.errors import StoreUnavailable, UnwritableEntry
from router.storage.reads import Value
from router.storage.rows import KeptEntry
from router.storage.schema import migrate_sqlite
from router.storage.sealed import SealedPrompt
from router.storage.sqlite_connections import SqliteConnections
from router.storage.store import Claim, Claimed
from router.storage.totals import KeyUses
from router.units import Usage

_STEPS = 10_000

_JOIN_TAGS = "LEFT JOIN json_each(e.tags) AS t"

# What sqlite3 raises for a value rather than for the file.
_ABOUT_A_VALUE = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)


class SqliteStore:
    """The embedded store. Safe to share between threads, but not to carry into a forked process.

    Every method raises StoreUnavailable if the file cannot be used.

    WAL with synchronous=FULL: what is committed survives a power failure as well (sqlite.org/wal.html), so that the
    journal may forget it. A batch waits for the disk once, on the writer's thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _create(path)
        except OSError as error:
            raise StoreUnavailable(
                f"{path} cannot be created ({error.strerror}). Set state.directory in penstock.yaml, or "
                "STATE_DIRECTORY, to a directory that can be written."
            ) from error
        self._connections = SqliteConnections(path)
        self._uses = KeyUses()
        with self._connected() as connection:
            migrate_sqlite(connection)

    def close(self) -> None:
        self._connections.close()

    def write(self, entries: list[LedgerEntry]) -> None:
        """Raises UnwritableEntry at the first entry that cannot be kept; then none of them is."""
        kept = [KeptEntry.of(entry) for entry in entries]
        try:
            with self._transaction() as connection:
                _insert(connection, kept, self._uses)
        except _ABOUT_A_VALUE:
            self._raise_for_one_of(kept)
            raise

    def spent_since(self, since: datetime) -> dict[ScopeId, int]:
        with self._connected() as connection:
            found = connection.execute(statements.SPENT_SINCE, (rows.moment_text(since),))
            return rows.spent_by_scope(found)

    def spend(self, by: tuple[str, ...], since: datetime | None) -> list[SpendRow]:
        query = statements.spend(by, has_since=since is not None, join_tags=_JOIN_TAGS)
        with self._connected() as connection:
            found = connection.execute(query, (rows.moment_text(since),) if since else ())
            return [rows.spend_row(each) for each in found]

    def latest(self, limit: int) -> list[dict[str, object]]:
        with self._connected() as connection, closing(connection.cursor()) as cursor:
            cursor.row_factory = sqlite3.Row
            return [dict(each) for each in cursor.execute(statements.LATEST, (limit,))]

    def count(self, period: Period) -> int:
        with self._connected() as connection:
            query = statements.count(has_team=period.team is not None)
            (found,) = connection.execute(query, rows.period_values(period))
            return int(found[0])

    def page(self, period: Period, *, after: Place | None, limit: int) -> Page:
        query = statements.page(has_team=period.team is not None)
        with self._connected() as connection:
            return rows.page(connection.execute(query, rows.page_values(period, after, limit)), limit)

    def find(self, request_id: str) -> LedgerEntry | None:
        with self._connected() as connection:
            return rows.entry(connection.execute(statements.FIND, (request_id,)))

    def doubtful(
        self, *, since: datetime, before: datetime, after: DoubtfulCall | None, limit: int
    ) -> list[DoubtfulCall]:
        with self._connected() as connection:
            query = statements.doubtful(has_after=after is not None)
            found = connection.execute(query, rows.doubtful_values(since, before, after, limit))
            return [rows.doubtful_call(each) for each in found]

    def amend(self, call: DoubtfulCall, *, usage: Usage, cost_nano_usd: int) -> bool:
        """Raises UnwritableEntry if the usage cannot be kept."""
        amendment = rows.amendment_row(call, usage, cost_nano_usd)
        with self._transaction() as connection:
            before = rows.entry(connection.execute(statements.FIND, (call.request_id,)))
            is_amended = connection.execute(statements.AMEND_ATTEMPT, amendment).rowcount == 1
            if is_amended and before is not None:
                connection.execute(statements.AMEND_ENTRY, (call.request_id,))
                after = rows.entry(connection.execute(statements.FIND, (call.request_id,)))
                assert after is not None
                connection.executemany(
                    totals.ADD, totals.added([KeptEntry.of(after)], taken_away=[KeptEntry.of(before)])
                )
            return is_amended

    def booked(self, call_ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        with self._connected() as connection:
            for some in rows.requests_of(call_ids):
                found |= rows.call_ids(connection.execute(statements.booked(len(some)), some))
        return found & set(call_ids)

    def recorded_costs(self, call_ids: Collection[str]) -> dict[str, int]:
        costs: dict[str, int] = {}
        with self._connected() as connection:
            for some in rows.requests_of(call_ids):
                costs |= rows.recorded_costs(connection.execute(statements.recorded(len(some)), some), call_ids)
        return costs

    def learned(self, name: str) -> bytes | None:
        with self._connected() as connection:
            found = connection.execute(statements.LEARNED, (name,)).fetchone()
            return bytes(found[0]) if found else None

    def keep_learned(self, name: str, content: bytes, at: datetime) -> None:
        with self._connected() as connection:
            connection.execute(statements.KEEP_LEARNED, (name, content, rows.moment_text(at)))

    def swap_learned(self, name: str, before: bytes | None, content: bytes, at: datetime) -> bool:
        moment = rows.moment_text(at)
        with self._connected() as connection:
            if before is None:
                done = connection.execute(statements.FIRST_LEARNED, (name, content, moment))
            else:
                done = connection.execute(statements.SWAP_LEARNED, (content, moment, name, before))
            return done.rowcount == 1

    def prices(self, since: datetime | None = None) -> list[PriceRow]:
        moment = rows.moment_text(since or rows.EVER)
        with self._connected() as connection:
            return [rows.found_price(each) for each in connection.execute(statements.PRICES_SINCE, (moment,))]

    def keep_prices(self, prices: Sequence[PriceRow]) -> None:
        with self._transaction() as connection:
            connection.executemany(statements.KEEP_PRICE, [rows.price_row(each) for each in prices])

    def claim_answer(self, claim: Claim, *, at: datetime, until: datetime) -> Claimed | None:
        with self._transaction() as connection:
            connection.execute(statements.DROP_EXPIRED_ANSWERS, (rows.moment_text(at),))
            if connection.execute(statements.CLAIM_ANSWER, rows.claim_row(claim, until)).rowcount == 1:
                return None
            found = connection.execute(statements.FIND_ANSWER, (claim.team, claim.key_digest))
            return rows.claimed(found.fetchone(), claim)

    def keep_answer(self, claim: Claim, content: bytes, *, until: datetime) -> None:
        with self._connected() as connection:
            connection.execute(statements.KEEP_ANSWER, rows.answer_row(claim, content, until))

    def give_up_claim(self, claim: Claim) -> None:
        with self._connected() as connection:
            connection.execute(statements.GIVE_UP_CLAIM, (claim.team, claim.key_digest, claim.request_id))

    def drop_expired_answers(self, at: datetime) -> None:
        with self._connected() as connection:
            connection.execute(statements.DROP_EXPIRED_ANSWERS, (rows.moment_text(at),))

    def give_up_claims(self) -> None:
        with self._connected() as connection:
            connection.execute(statements.GIVE_UP_CLAIMS)

    def keep_labels(self, labels: Sequence[Label]) -> int:
        kept: dict[rows.Row, tuple[rows.Row, rows.Row]] = {}  # as one after the other would leave them
        for key, row in map(rows.label_row, labels):
            same = kept.get(key[:-1])
            if same is None or same[0] != key:
                kept.pop(key[:-1], None)
                kept[key[:-1]] = (key, row)
        with self._transaction() as connection:
            _write_rows(connection, statements.REPLACE_LABELS, [key for key, _ in kept.values()])
            before = connection.total_changes
            _write_rows(connection, statements.KEEP_LABELS, [row for _, row in kept.values()])
            return connection.total_changes - before

    def labels_after(self, number: int, limit: int) -> list[tuple[int, Label | None]]:
        with self._connected() as connection:
            return rows.labels_or_gaps(connection.execute(statements.LABELS_AFTER, (number, limit)))

    def last_labels(self, team: TeamName, limit: int) -> list[tuple[int, Label]]:
        with self._connected() as connection:
            return rows.labels(connection.execute(statements.LAST_LABELS, (team, limit)))[::-1]

    def drop_labels(self, before: datetime) -> int:
        with self._connected() as connection:
            return connection.execute(statements.DROP_LABELS, (rows.moment_text(before),)).rowcount

    def keep_prompts(self, prompts: Sequence[SealedPrompt]) -> None:
        with self._transaction() as connection:
            connection.executemany(statements.KEEP_PROMPT, [rows.prompt_row(each) for each in prompts])

    def prompt(self, request_id: str) -> SealedPrompt | None:
        with self._connected() as connection:
            return rows.sealed_prompt(connection.execute(statements.FIND_PROMPT, (request_id,)).fetchone())

    def drop_expired_prompts(self, at: datetime) -> int:
        with self._connected() as connection:
            return connection.execute(statements.DROP_EXPIRED_PROMPTS, (rows.moment_text(at),)).rowcount

    def drop_prompts(self, team: TeamName, before: datetime) -> int:
        with self._connected() as connection:
            return connection.execute(statements.DROP_PROMPTS, (team, rows.moment_text(before))).rowcount

    def take_lease(self, name: str, holder: str, *, at: datetime, until: datetime) -> bool:
        lease = (name, holder, rows.moment_text(until), rows.moment_text(at))
        with self._connected() as connection:
            return connection.execute(statements.TAKE_LEASE, lease).rowcount == 1

    def read(self, query: str, values: Sequence[Value], *, patience_s: float) -> list[rows.Found]:
        until_s = time.monotonic() + patience_s
        with self._connected() as connection:
            # Asked every so many steps of its machine, some 0.1 ms; what is true ends the query.
            connection.set_progress_handler(lambda: time.monotonic() > until_s, _STEPS)
            found = connection.execute(query, values).fetchall()
            connection.set_progress_handler(None, 0)  # an error closes the connection
            return found

    def append_audit(self, entry: Entry, chain: Chain, *, is_news: bool = False) -> Row | None:
        with self._transaction() as connection:
            last = connection.execute(statements.LAST_OF_ACT, (str(entry.act),)).fetchone() if is_news else None
            if last is not None and tuple(last) == (entry.actor, entry.subject, entry.detail):
                return None
            row = chain.next(rows.audit_head(connection.execute(statements.AUDIT_HEAD).fetchone()), entry)
            connection.execute(statements.APPEND_AUDIT, rows.audit_row(row))
            return row

    def audit_after(self, number: int, limit: int) -> list[Row]:
        with self._connected() as connection:
            found = connection.execute(statements.AUDIT_AFTER, (number, limit))
            return [rows.found_audit_row(each) for each in found]

    def audit_before(self, number: int, *, since: str, limit: int) -> list[Row]:
        with self._connected() as connection:
            found = connection.execute(statements.AUDIT_BEFORE, (number, since, limit))
            return [rows.found_audit_row(each) for each in found]

    def audit_of(self, act: Act, *, since: str) -> list[Row]:
        with self._connected() as connection:
            found = connection.execute(statements.AUDIT_OF_ACT, (str(act), since))
            return [rows.found_audit_row(each) for each in found]

    def add(self, key: ApiKey) -> None:
        with self._transaction() as connection:
            connection.execute(statements.ADD_KEY, rows.key_row(key))
            connection.execute(statements.KEYS_CHANGED)

    def all(self) -> list[ApiKey]:
        with self._connected() as connection:
            return [rows.api_key(each) for each in connection.execute(statements.ALL_KEYS)]

    def keys_version(self) -> tuple[int, ...]:
        with self._connected() as connection:
            return tuple(connection.execute(statements.KEYS_VERSION).fetchone())

    def revoke(self, key_id: KeyId, at: datetime) -> bool:
        return self._changed_key(statements.REVOKE_KEY, (rows.moment_text(at), key_id))

    def expire(self, key_id: KeyId, at: datetime) -> bool:
        moment = rows.moment_text(at)
        return self._changed_key(statements.EXPIRE_KEY, (moment, key_id, moment))

    def rotate(self, key: ApiKey, rotated: ApiKey) -> bool:
        return self._changed_key(statements.ROTATE_KEY, rows.rotation_row(key, rotated))

    def _changed_key(self, statement: str, values: rows.Row) -> bool:
        with self._transaction() as connection:
            is_changed = connection.execute(statement, values).rowcount == 1
            connection.execute(statements.KEYS_CHANGED)
            return is_changed

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """To write in: committed at the end; an error closes the connection, which rolls back."""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connections.connection() as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, (*_ABOUT_A_VALUE, sqlite3.ProgrammingError)):
                raise
            raise StoreUnavailable(f"{self._path} cannot be used: {error}.") from error

    def _raise_for_one_of(self, kept: Sequence[KeptEntry]) -> None:
        """Raise UnwritableEntry for the first that the tables refuse: of a batch they do not tell which it was."""
        for each in kept:
            try:
                with self._connected() as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    _insert(connection, [each], KeyUses())
                    connection.execute("ROLLBACK")
            except _ABOUT_A_VALUE as error:
                raise UnwritableEntry(
                    f"Entry {each.request_id} cannot be kept ({type(error).__name__}).",
                    request_id=each.request_id,
                ) from error


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


def _insert(connection: sqlite3.Connection, kept: Sequence[KeptEntry], uses: KeyUses) -> None:
    """Insert what is not there yet, in a transaction in which nobody else writes.

    Entries are numbered here rather than by SQLite, one statement for all of them: returning each number took a
    statement for every entry, and with it half of the time.
    """
    (last,) = connection.execute(statements.LAST_ENTRY).fetchone()
    numbered = list(enumerate(kept, start=last + 1))
    before = connection.total_changes
    _write_rows(connection, statements.INSERT_NUMBERED_ENTRIES, [(number, *each.entry) for number, each in numbered])
    if connection.total_changes - before < len(kept):  # some were there already
        inserted = {number for (number,) in connection.execute(statements.ENTRIES_AFTER, (last,))}
        numbered = [(number, each) for number, each in numbered if number in inserted]
    _write_rows(
        connection,
        statements.INSERT_ATTEMPTS,
        [(number, *attempt) for number, each in numbered for attempt in each.attempts],
    )
    new = [each for _, each in numbered]
    connection.executemany(totals.ADD, totals.added(new))
    connection.executemany(totals.SAW_KEY, uses.news(new))


def _write_rows(connection: sqlite3.Connection, statement: Mapping[int, str], values: Sequence[rows.Row]) -> None:
    """Carry the statement out for all the rows, many at a time.

    Of each statement sqlite3 lets go of the interpreter four times, and the event loop has to wait for it as often:
    with one for each row the threads changed places three to five times as often (2026-11-30).
    """
    done = 0
    for count in statements.ROWS_AT_ONCE:
        while len(values) - done >= count:
            connection.execute(statement[count], tuple(chain.from_iterable(values[done : done + count])))
            done += count
