"""audit: whatever somebody does to the audit log who can write the store and has no pepper, it is seen; and everything
that the admin port lets anybody change is in it."""

import asyncio
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime

from router.audit import GENESIS, Act, Broken, Chain, Entry, Head
from router.storage.audit_trail import AuditTrail, HeadFile, verified
from router.storage.rows import audit_row
from router.storage.sqlite import SqliteStore
from router.storage.statements import APPEND_AUDIT
from tests.torture.ports import Served, served
from tests.torture.result import Result, at_least, equal, none, told
from tests.torture.setting import Setting

TITLE = "no act is missing from the audit log, and no change of it is unseen"

_ROWS = 60
_CHAIN = Chain(b"the pepper")
_COLUMNS = ("at", "actor", "act", "subject", "detail", "origin", "mac")
Log = sqlite3.Connection


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    tries = setting.scaled(1_000, 200)
    by_kind, unseen, unseen_alone = _tampered(setting, tries)
    async with served(setting.directory / "served") as server:
        mutations, unwritten = await _mutations(server)
    figures = [
        equal("changes of the log", sum(by_kind.values()), tries),
        at_least("kinds of them", len(by_kind), len(_WAYS)),
        none("changes that were not seen", unseen),
        told("of them seen without a head: all but cut off ends", tries - unseen_alone),
        at_least("routes that change something", mutations, 4),
        none("of them without a row in the log", unwritten),
        *(told(f"  {kind}", number) for kind, number in sorted(by_kind.items())),
    ]
    return Result("audit", TITLE, command, tuple(figures), time.monotonic() - started_s)


def _tampered(setting: Setting, tries: int) -> tuple[Counter[str], int, int]:
    """How often each was tried; how often nothing was seen; and how often not without the head that was kept."""
    chance = setting.chance("tampering")
    path = setting.directory / "penstock.sqlite"
    store, file = SqliteStore(path), HeadFile(setting.directory / "audit.head")
    _filled(store, file)
    by_kind: Counter[str] = Counter()
    unseen = unseen_alone = 0
    with closing(store), closing(sqlite3.connect(path, isolation_level=None)) as log:
        log.execute("PRAGMA synchronous = OFF")
        log.execute("CREATE TABLE kept AS SELECT * FROM audit")
        ways = list(_WAYS.items())
        for number in range(tries):
            kind, way = ways[number % len(ways)]
            way(log, chance)
            changed = "SELECT COUNT(*) FROM (SELECT * FROM {0} EXCEPT SELECT * FROM {1})"
            differs = any(log.execute(changed.format(*pair)).fetchone()[0] for pair in (_PAIR, _PAIR[::-1]))
            assert differs, f"{kind} has changed nothing"
            head = file.read()
            assert head is not None
            by_kind[kind] += 1
            unseen += not isinstance(verified(store, _CHAIN, heads={"the file": head}), Broken)
            unseen_alone += not isinstance(verified(store, _CHAIN, heads={}), Broken)
            log.execute("DELETE FROM audit")
            log.execute("INSERT INTO audit SELECT * FROM kept")
        assert isinstance(verified(store, _CHAIN, heads={}), Head)
    return by_kind, unseen, unseen_alone


_PAIR = ("audit", "kept")


def _filled(store: SqliteStore, file: HeadFile) -> None:
    trail = AuditTrail(store, _CHAIN, head_file=file, now=lambda: datetime(2026, 11, 30, tzinfo=UTC))
    acts = list(Act)
    for number in range(_ROWS):
        trail.write(trail.entry(f"user{number % 5}", acts[number % len(acts)], subject=f"s{number}", detail="d"))
    trail.look()


def _edit(log: Log, chance: random.Random) -> None:
    column = chance.choice(_COLUMNS)
    value = chance.randbytes(32) if column == "mac" else f"{chance.choice(('eve', '', 'user1 '))}{chance.random()}"
    log.execute(f"UPDATE audit SET {column} = ? WHERE number = ?", (value, _any(chance)))


def _edit_a_bit(log: Log, chance: random.Random) -> None:
    number = _any(chance)
    (text,) = log.execute("SELECT at FROM audit WHERE number = ?", (number,)).fetchone()
    place = chance.randrange(len(text))
    changed = text[:place] + chr(ord(text[place]) ^ 1 << chance.randrange(4)) + text[place + 1 :]
    log.execute("UPDATE audit SET at = ? WHERE number = ?", (changed, number))


def _delete(log: Log, chance: random.Random) -> None:
    first = _any(chance)
    log.execute("DELETE FROM audit WHERE number BETWEEN ? AND ?", (first, first + chance.randrange(3)))


def _delete_and_close_up(log: Log, chance: random.Random) -> None:
    number = chance.randrange(1, _ROWS)
    log.execute("DELETE FROM audit WHERE number = ?", (number,))
    for each in range(number + 1, _ROWS + 1):
        log.execute("UPDATE audit SET number = ? WHERE number = ?", (each - 1, each))


def _swap(log: Log, chance: random.Random) -> None:
    one, other = chance.sample(range(1, _ROWS + 1), 2)
    for old, new in ((one, -1), (other, one), (-1, other)):
        log.execute("UPDATE audit SET number = ? WHERE number = ?", (new, old))


def _swap_contents(log: Log, chance: random.Random) -> None:
    """Everything but the number and the MAC."""
    while True:
        one, other = chance.sample(range(1, _ROWS + 1), 2)
        query = "SELECT actor, act, subject FROM audit WHERE number = ?"
        first, second = (log.execute(query, (each,)).fetchone() for each in (one, other))
        if first != second:
            break
    for number, content in ((one, second), (other, first)):
        log.execute("UPDATE audit SET actor = ?, act = ?, subject = ? WHERE number = ?", (*content, number))


def _insert_a_copy(log: Log, chance: random.Random) -> None:
    where = chance.choice((0, -7, _ROWS + 1, _ROWS + 9))
    log.execute(
        "INSERT INTO audit SELECT ?, at, actor, act, subject, detail, origin, mac FROM audit WHERE number = ?",
        (where, _any(chance)),
    )


def _insert_a_forgery(log: Log, chance: random.Random) -> None:
    """A row made as ours are, behind the last or in the middle, by who has another pepper."""
    number = chance.randrange(_ROWS + 1)
    for each in range(_ROWS, number, -1):
        log.execute("UPDATE audit SET number = ? WHERE number = ?", (each + 1, each))
    found = log.execute("SELECT mac FROM audit WHERE number = ?", (number,)).fetchone()
    entry = Entry("2026-11-30T00:00:00.000000+00:00", "eve", Act.KEY_CREATED, "k", "", "")
    row = Chain(chance.randbytes(32)).next(Head(number, found[0] if found else GENESIS), entry)
    log.execute(APPEND_AUDIT, audit_row(row))


def _cut_off(log: Log, chance: random.Random) -> None:
    log.execute("DELETE FROM audit WHERE number > ?", (chance.randrange(_ROWS),))


def _cut_off_and_grow(log: Log, chance: random.Random) -> None:
    """Cut off, and grown over by rows that are ours."""
    number = chance.randrange(1, _ROWS)
    log.execute("DELETE FROM audit WHERE number > ?", (number,))
    (mac,) = log.execute("SELECT mac FROM audit WHERE number = ?", (number,)).fetchone()
    head = Head(number, mac)
    for _ in range(_ROWS - number + chance.randrange(5)):
        row = _CHAIN.next(head, Entry("2026-12-01T00:00:00.000000+00:00", "late", Act.RELOAD_ASKED))
        log.execute(APPEND_AUDIT, audit_row(row))
        head = Head(row.number, row.mac)


def _another_log(log: Log, chance: random.Random) -> None:
    """All of it made anew, under another pepper."""
    log.execute("DELETE FROM audit")
    chain, head = Chain(chance.randbytes(32)), Head()
    for _ in range(_ROWS):
        row = chain.next(head, Entry("2026-11-30T00:00:00.000000+00:00", "nobody", Act.SIGNED_IN))
        log.execute(APPEND_AUDIT, audit_row(row))
        head = Head(row.number, row.mac)


def _any(chance: random.Random) -> int:
    return chance.randrange(1, _ROWS + 1)


_WAYS: Mapping[str, Callable[[Log, random.Random], None]] = {
    "a field changed": _edit,
    "a bit changed": _edit_a_bit,
    "rows taken out": _delete,
    "a row taken out, and the gap closed": _delete_and_close_up,
    "two rows swapped": _swap,
    "what two rows say swapped": _swap_contents,
    "a copy of a row put in": _insert_a_copy,
    "a row forged and put in": _insert_a_forgery,
    "the end cut off": _cut_off,
    "the end cut off, and grown over": _cut_off_and_grow,
    "all made anew": _another_log,
}


async def _mutations(server: Served) -> tuple[int, int]:
    """How many routes change something, and after how many of them the log has no row of it."""
    changing = [route for route in server.house.routes.admin if route.act is not None]
    unwritten = 0
    for route in changing:
        owner = server.session("owner") if route.takes_cookies else server.token("owner")
        form = {"name": server.tokens["owner"].name, "token": server.text_of("owner"), "to": "/"}
        body = server.form(owner, **form) if route.takes_cookies else b""
        path = route.path.replace("*", "0123456789ab")
        headers = owner.headers if route.path != "/sign-in" else []
        await server.admin.ask(route.method, path, headers, body)
        unwritten += not await _is_written(server, str(route.act))
    return len(changing), unwritten


async def _is_written(server: Served, act: str) -> bool:
    for _ in range(150):  # what is noted is written within a second
        if any(row.entry.act == act for row in server.store.audit_after(0, 1_000)):
            return True
        await asyncio.sleep(0.02)
    return False
