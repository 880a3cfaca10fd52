"""Ledger and keys in PostgreSQL, for many processes and machines: `PostgresStore`, to be called from threads.

psycopg is an ordinary dependency rather than an extra: an import that may fail would have to stand inside a function,
and every installation would differ from the one that is tested. It costs 14 MB of disk, 9 MB of memory and 45 ms of the
start (3.3.9, measured on 2026-11-23).
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from router.audit import Act, Chain, Entry, Row
from router.catalog.book import PriceRow
from router.keys import ApiKey, KeyId, Redaction, Secret, TeamName
from router.ledger import DoubtfulCall, LedgerEntry, Page, Period, Place, SpendRow
from router.quality.labels import Label
from router.quotas import ScopeId
from router.storage import rows, statements, totals
from router.storage.errors import BadStoreAddress, StoreUnavailable, UnwritableEntry
from router.storage.pool import ConnectionPool
from router.storage.reads import Value
from router.storage.rows import KeptEntry
from router.storage.schema import migrate_postgres
from router.storage.sealed import SealedPrompt
from router.storage.store import Claim, Claimed
from router.storage.totals import KeyUses
from router.units import Usage

_POOL_SIZE = 4  # the ledger's writer, the key ring, and two people looking at figures
_PATIENCE_S = 10.0  # for a batch, or for anything small
_REPORT_PATIENCE_S = 60.0  # for what reads the ledger from end to end
_MIGRATION_PATIENCE_S = 600.0  # an index on a large table takes its time, and another process may have begun it

_SHOWN = frozenset({"host", "hostaddr", "user", "dbname"})  # parts of an address that a message may show
_PLAIN = re.compile(r"[\w.:/-]*")  # what they are made of

_LABELS_LOCK = 0x4C4142454C53  # "LABELS" in ASCII; one process at a time writes them

_AUDIT_LOCK = 0x4155444954  # "AUDIT" in ASCII; one process at a time adds to the chain

_JOIN_TAGS = """
    LEFT JOIN LATERAL (
        SELECT tag COLLATE "C" AS value FROM json_array_elements_text(e.tags::json) AS each (tag)
    ) AS t ON true
"""

# What psycopg raises for a value rather than for the server.
_ABOUT_A_VALUE = (psycopg.DataError, psycopg.IntegrityError)
# What it raises if the server is gone, busy, full, read-only or damaged, or does not let us in.
_ABOUT_THE_SERVER = (
    psycopg.OperationalError,
    psycopg.InternalError,
    psycopg.InterfaceError,
    psycopg.errors.InsufficientPrivilege,
)


class PostgresStore:
    """The shared store. Safe to share between threads, but not to carry into a forked process.

    Every method raises StoreUnavailable if the server does not do what is asked of it: at once if it refuses, after two
    seconds if it cannot be reached, after `patience_s` (60 s for reports) if it falls silent. The next call tries anew.
    """

    def __init__(self, conninfo: Secret, *, pool_size: int = _POOL_SIZE, patience_s: float = _PATIENCE_S) -> None:
        """Takes a URL or a key=value string as libpq reads them. Raises BadStoreAddress and StoreTooNew."""
        parts = _read(conninfo)
        self._name, self._hide = _described(parts), Redaction(_hidden(parts))
        self._patience_s = patience_s
        self._uses = KeyUses()
        self._pool = ConnectionPool(conninfo, size=pool_size)
        with ExitStack() as undo:
            undo.callback(self._pool.close)
            with self._transaction(_MIGRATION_PATIENCE_S) as connection:
                migrate_postgres(connection)
            undo.pop_all()

    def close(self) -> None:
        self._pool.close()

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
        with self._transaction(_REPORT_PATIENCE_S) as connection:
            found = connection.execute(_sql(statements.SPENT_SINCE), (rows.moment_text(since),))
            return rows.spent_by_scope(found)

    def spend(self, by: tuple[str, ...], since: datetime | None) -> list[SpendRow]:
        query = _sql(statements.spend(by, has_since=since is not None, join_tags=_JOIN_TAGS))
        with self._transaction(_REPORT_PATIENCE_S) as connection:
            found = connection.execute(query, (rows.moment_text(since),) if since else ())
            return [rows.spend_row(each) for each in found]

    def latest(self, limit: int) -> list[dict[str, object]]:
        with self._transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
            found = cursor.execute(_sql(statements.LATEST), (limit,))
            return [{**each, "at": rows.moment_text(each["at"])} for each in found]

    def count(self, period: Period) -> int:
        with self._transaction(_REPORT_PATIENCE_S) as connection:
            query = _sql(statements.count(has_team=period.team is not None))
            (found,) = connection.execute(query, rows.period_values(period))
            return int(found[0])

    def page(self, period: Period, *, after: Place | None, limit: int) -> Page:
        query = _sql(statements.page(has_team=period.team is not None))
        with self._transaction(_REPORT_PATIENCE_S) as connection:
            return rows.page(connection.execute(query, rows.page_values(period, after, limit)), limit)

    def find(self, request_id: str) -> LedgerEntry | None:
        if "\0" in request_id:  # which PostgreSQL can neither keep nor be asked for
            return None
        with self._transaction() as connection:
            return rows.entry(connection.execute(_sql(statements.FIND), (request_id,)))

    def doubtful(
        self, *, since: datetime, before: datetime, after: DoubtfulCall | None, limit: int
    ) -> list[DoubtfulCall]:
        with self._transaction() as connection:
            query = _sql(statements.doubtful(has_after=after is not None))
            found = connection.execute(query, rows.doubtful_values(since, before, after, limit))
            return [rows.doubtful_call(each) for each in found]

    def amend(self, call: DoubtfulCall, *, usage: Usage, cost_nano_usd: int) -> bool:
        """Raises UnwritableEntry if the usage cannot be kept."""
        amendment = rows.amendment_row(call, usage, cost_nano_usd)
        with self._transaction() as connection:
            # Two calls of one request may be amended at the same time: the later must see what the earlier has booked.
            connection.execute(_sql(statements.FIND_ENTRY + " FOR UPDATE"), (call.request_id,))
            before = rows.entry(connection.execute(_sql(statements.FIND), (call.request_id,)))
            is_amended = connection.execute(_sql(statements.AMEND_ATTEMPT), amendment).rowcount == 1
            if is_amended and before is not None:
                connection.execute(_sql(statements.AMEND_ENTRY), (call.request_id,))
                after = rows.entry(connection.execute(_sql(statements.FIND), (call.request_id,)))
                assert after is not None
                with connection.cursor() as cursor:
                    cursor.executemany(
                        _sql(totals.ADD), totals.added([KeptEntry.of(after)], taken_away=[KeptEntry.of(before)])
                    )
            return is_amended

    def booked(self, call_ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        with self._transaction() as connection:
            for some in rows.requests_of(call_ids):
                found |= rows.call_ids(connection.execute(_sql(statements.booked(len(some))), some))
        return found & set(call_ids)

    def recorded_costs(self, call_ids: Collection[str]) -> dict[str, int]:
        costs: dict[str, int] = {}
        with self._transaction() as connection:
            for some in rows.requests_of(call_ids):
                costs |= rows.recorded_costs(connection.execute(_sql(statements.recorded(len(some))), some), call_ids)
        return costs

    def learned(self, name: str) -> bytes | None:
        with self._transaction() as connection:
            found = connection.execute(_sql(statements.LEARNED), (name,)).fetchone()
            return bytes(found[0]) if found else None

    def keep_learned(self, name: str, content: bytes, at: datetime) -> None:
        with self._transaction() as connection:
            connection.execute(_sql(statements.KEEP_LEARNED), (name, content, rows.moment_text(at)))

    def swap_learned(self, name: str, before: bytes | None, content: bytes, at: datetime) -> bool:
        moment = rows.moment_text(at)
        with self._transaction() as connection:
            if before is None:
                done = connection.execute(_sql(statements.FIRST_LEARNED), (name, content, moment))
            else:
                done = connection.execute(_sql(statements.SWAP_LEARNED), (content, moment, name, before))
            return done.rowcount == 1

    def prices(self, since: datetime | None = None) -> list[PriceRow]:
        moment = rows.moment_text(since or rows.EVER)
        with self._transaction() as connection:
            return [rows.found_price(each) for each in connection.execute(_sql(statements.PRICES_SINCE), (moment,))]

    def keep_prices(self, prices: Sequence[PriceRow]) -> None:
        # In one order: two processes that keep the same prices in different orders would wait for each other.
        kept = sorted((rows.price_row(each) for each in prices), key=str)
        with self._transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(_sql(statements.KEEP_PRICE), kept)

    def claim_answer(self, claim: Claim, *, at: datetime, until: datetime) -> Claimed | None:
        with self._transaction() as connection:
            connection.execute(_sql(statements.DROP_EXPIRED_ANSWERS), (rows.moment_text(at),))
            if connection.execute(_sql(statements.CLAIM_ANSWER), rows.claim_row(claim, until)).rowcount == 1:
                return None
            found = connection.execute(_sql(statements.FIND_ANSWER), (claim.team, claim.key_digest))
            return rows.claimed(found.fetchone(), claim)

    def keep_answer(self, claim: Claim, content: bytes, *, until: datetime) -> None:
        with self._transaction() as connection:
            connection.execute(_sql(statements.KEEP_ANSWER), rows.answer_row(claim, content, until))

    def give_up_claim(self, claim: Claim) -> None:
        with self._transaction() as connection:
            connection.execute(_sql(statements.GIVE_UP_CLAIM), (claim.team, claim.key_digest, claim.request_id))

    def drop_expired_answers(self, at: datetime) -> None:
        with self._transaction() as connection:
            connection.execute(_sql(statements.DROP_EXPIRED_ANSWERS), (rows.moment_text(at),))

    def give_up_claims(self) -> None:
        with self._transaction() as connection:
            connection.execute(_sql(statements.GIVE_UP_CLAIMS))

    def keep_labels(self, labels: Sequence[Label]) -> int:
        kept = [rows.label_row(each) for each in labels]
        changed = 0
        with self._transaction() as connection:
            # Numbers become visible in their order: who reads up to one would miss a lower one that is committed later.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LABELS_LOCK,))
            for key, row in kept:
                connection.execute(_sql(statements.REPLACE_LABEL), key)
                changed += connection.execute(_sql(statements.KEEP_LABEL), row).rowcount
        return changed

    def labels_after(self, number: int, limit: int) -> list[tuple[int, Label | None]]:
        with self._transaction() as connection:
            return rows.labels_or_gaps(connection.execute(_sql(statements.LABELS_AFTER), (number, limit)))

    def last_labels(self, team: TeamName, limit: int) -> list[tuple[int, Label]]:
        with self._transaction() as connection:
            return rows.labels(connection.execute(_sql(statements.LAST_LABELS), (team, limit)))[::-1]

    def drop_labels(self, before: datetime) -> int:
        with self._transaction() as connection:
            return connection.execute(_sql(statements.DROP_LABELS), (rows.moment_text(before),)).rowcount

    def keep_prompts(self, prompts: Sequence[SealedPrompt]) -> None:
        with self._transaction() as connection, connection.cursor() as cursor:
            cursor.executemany(_sql(statements.KEEP_PROMPT), [rows.prompt_row(each) for each in prompts])

    def prompt(self, request_id: str) -> SealedPrompt | None:
        with self._transaction() as connection:
            if "\0" in request_id:  # which PostgreSQL can neither keep nor be asked for
                return None
            return rows.sealed_prompt(connection.execute(_sql(statements.FIND_PROMPT), (request_id,)).fetchone())

    def drop_expired_prompts(self, at: datetime) -> int:
        with self._transaction() as connection:
            return connection.execute(_sql(statements.DROP_EXPIRED_PROMPTS), (rows.moment_text(at),)).rowcount

    def drop_prompts(self, team: TeamName, before: datetime) -> int:
        with self._transaction() as connection:
            return connection.execute(_sql(statements.DROP_PROMPTS), (team, rows.moment_text(before))).rowcount

    def take_lease(self, name: str, holder: str, *, at: datetime, until: datetime) -> bool:
        lease = (name, holder, rows.moment_text(until), rows.moment_text(at))
        with self._transaction() as connection:
            return connection.execute(_sql(statements.TAKE_LEASE), lease).rowcount == 1

    def read(self, query: str, values: Sequence[Value], *, patience_s: float) -> list[rows.Found]:
        with self._transaction(patience_s) as connection:
            return connection.execute(_sql(query), values).fetchall()

    def append_audit(self, entry: Entry, chain: Chain, *, is_news: bool = False) -> Row | None:
        with self._transaction() as connection:
            # The row after this one is made of it: nobody else may read the end until this one is committed.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_AUDIT_LOCK,))
            last = connection.execute(_sql(statements.LAST_OF_ACT), (str(entry.act),)).fetchone() if is_news else None
            if last is not None and tuple(last) == (entry.actor, entry.subject, entry.detail):
                return None
            row = chain.next(rows.audit_head(connection.execute(_sql(statements.AUDIT_HEAD)).fetchone()), entry)
            connection.execute(_sql(statements.APPEND_AUDIT), rows.audit_row(row))
            return row

    def audit_after(self, number: int, limit: int) -> list[Row]:
        with self._transaction() as connection:
            found = connection.execute(_sql(statements.AUDIT_AFTER), (number, limit))
            return [rows.found_audit_row(each) for each in found]

    def audit_before(self, number: int, *, since: str, limit: int) -> list[Row]:
        with self._transaction() as connection:
            found = connection.execute(_sql(statements.AUDIT_BEFORE), (number, since, limit))
            return [rows.found_audit_row(each) for each in found]

    def audit_of(self, act: Act, *, since: str) -> list[Row]:
        with self._transaction() as connection:
            found = connection.execute(_sql(statements.AUDIT_OF_ACT), (str(act), since))
            return [rows.found_audit_row(each) for each in found]

    def add(self, key: ApiKey) -> None:
        with self._transaction() as connection:
            connection.execute(_sql(statements.ADD_KEY), rows.key_row(key))
            connection.execute(_sql(statements.KEYS_CHANGED))

    def all(self) -> list[ApiKey]:
        with self._transaction() as connection:
            return [rows.api_key(each) for each in connection.execute(_sql(statements.ALL_KEYS))]

    def keys_version(self) -> tuple[int, ...]:
        with self._transaction() as connection:
            found = connection.execute(_sql(statements.KEYS_VERSION)).fetchone()
            assert found is not None
            return tuple(found)

    def revoke(self, key_id: KeyId, at: datetime) -> bool:
        return self._changed_key(statements.REVOKE_KEY, (rows.moment_text(at), key_id))

    def expire(self, key_id: KeyId, at: datetime) -> bool:
        moment = rows.moment_text(at)
        return self._changed_key(statements.EXPIRE_KEY, (moment, key_id, moment))

    def rotate(self, key: ApiKey, rotated: ApiKey) -> bool:
        return self._changed_key(statements.ROTATE_KEY, rows.rotation_row(key, rotated))

    def _changed_key(self, statement: str, values: rows.Row) -> bool:
        with self._transaction() as connection:
            is_changed = connection.execute(_sql(statement), values).rowcount == 1
            connection.execute(_sql(statements.KEYS_CHANGED))
            return is_changed

    @contextmanager
    def _transaction(self, patience_s: float | None = None) -> Iterator[psycopg.Connection]:
        try:
            with self._pool.transaction(patience_s=patience_s or self._patience_s) as connection:
                yield connection
        except _ABOUT_THE_SERVER as error:
            raise StoreUnavailable(f"{self._name} cannot be used: {self._hide(_first_line(error))}.") from error

    def _raise_for_one_of(self, kept: Sequence[KeptEntry]) -> None:
        """Raise UnwritableEntry for the first that the server refuses: of a batch it does not tell which it was."""
        for each in kept:
            try:
                with self._transaction() as connection, connection.transaction(force_rollback=True):
                    _insert(connection, [each], KeyUses())
            except _ABOUT_A_VALUE as error:
                raise UnwritableEntry(
                    f"Entry {each.request_id} cannot be kept ({type(error).__name__}).",
                    request_id=each.request_id,
                ) from error


def _insert(connection: psycopg.Connection, kept: Sequence[KeptEntry], uses: KeyUses) -> None:
    """Insert what is not there yet.

    In the order of their ids: two processes that write the same entries in different orders would wait for each other.
    """
    ordered = sorted(kept, key=lambda each: each.request_id)
    with connection.cursor() as cursor:
        cursor.executemany(_sql(statements.INSERT_ENTRY), [each.entry for each in ordered], returning=True)
        inserted = [result.fetchone() for result in cursor.results()] if ordered else []
        attempts = [
            (*found, *attempt)
            for found, each in zip(inserted, ordered, strict=True)
            if found is not None
            for attempt in each.attempts
        ]
        cursor.executemany(_sql(statements.INSERT_ATTEMPT), attempts)
        # Last, since every process adds to the same few rows, and waits for whoever has them until the commit.
        new = [each for found, each in zip(inserted, ordered, strict=True) if found is not None]
        cursor.executemany(_sql(totals.ADD), totals.added(new))
        cursor.executemany(_sql(totals.SAW_KEY), uses.news(new))


def _sql(statement: str) -> bytes:
    """A shared statement as psycopg takes it."""
    return statement.replace("?", "%s").encode()


def _read(conninfo: Secret) -> Mapping[str, str]:
    """The parts of an address, by libpq's names for them. Raises BadStoreAddress."""
    try:
        return {name: str(value) for name, value in conninfo_to_dict(conninfo.reveal()).items()}
    except psycopg.ProgrammingError:
        raise BadStoreAddress(
            "The address of the PostgreSQL database cannot be read: it should look like "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        ) from None


def _described(parts: Mapping[str, str]) -> str:
    """The database without its password, for messages."""
    database, host = parts.get("dbname", ""), parts.get("host", "localhost")
    if not (_PLAIN.fullmatch(database) and _PLAIN.fullmatch(host)):
        return "The PostgreSQL database"  # a password with a / in it makes other parts of an address than was meant
    return f"The PostgreSQL database {database} at {host}"


def _hidden(parts: Mapping[str, str]) -> Iterator[Secret]:
    """What of an address libpq's messages must not show."""
    for name, value in parts.items():
        if name != "options" and (name not in _SHOWN or not _PLAIN.fullmatch(value)):
            yield Secret(value)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
