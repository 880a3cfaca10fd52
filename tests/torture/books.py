"""The bill, the ledger and the journals, read from outside, and how they compare.

Nothing here calls the product's own reports: the ledger is read by SQL, the journals by their format.
"""

import json
import sqlite3
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import psycopg

from router.storage.journal import Left, Record
from tests.torture.plant import Plant

_FRAME = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class BilledCall:
    """A line of the sandbox's bill."""

    generation_id: str
    model: str
    nano_usd: int
    is_cancelled: bool


@dataclass(frozen=True, slots=True)
class BookedCall:
    """An attempt in the ledger, with what its entry says about it."""

    request_id: str
    at: datetime
    team: str
    key_id: str
    tags: tuple[str, ...]
    model: str
    generation_id: str | None
    held_nano_usd: int
    cost_nano_usd: int
    source: str

    @property
    def is_unnamed(self) -> bool:
        """Booked at the sum held, and nobody knows by which name to ask about it."""
        return self.source == "held" and self.generation_id is None


def bill(plant: Plant) -> list[BilledCall]:
    lines = plant.sandbox("/sandbox/bill")["generations"]
    return [BilledCall(line["id"], line["model"], line["nano_usd"], line["cancelled"]) for line in lines]


def bill_total_nano_usd(plant: Plant) -> int:
    """The exact total, rounded up; much cheaper than the bill itself, whose total is the sum of rounded lines."""
    total = Decimal(str(plant.sandbox("/api/v1/key")["data"]["usage"])).scaleb(9)
    return int(total.to_integral_value(rounding="ROUND_CEILING"))


class LedgerReader:
    """The ledger's tables, by SQL."""

    def __init__(self, plant: Plant) -> None:
        self._sqlite = plant.state / "penstock.sqlite"
        self._postgres_url = None if plant.shared is None else plant.shared.postgres.url

    def calls(self) -> list[BookedCall]:
        """Every call, in the order of the ledger."""
        found = self._read(
            "SELECT e.request_id, e.at, e.team, e.key_id, e.tags, a.model, a.generation_id, a.held_nano_usd, "
            "a.cost_nano_usd, a.source FROM attempts AS a JOIN entries AS e ON e.id = a.entry_id "
            "ORDER BY e.id, a.number"
        )
        return [
            BookedCall(row[0], _moment(row[1]), row[2], row[3], tuple(json.loads(row[4])), *row[5:]) for row in found
        ]

    def requests(self) -> Counter[str]:
        """How often each request is in the ledger."""
        return Counter(row[0] for row in self._read("SELECT request_id FROM entries"))

    def total_and_known(self, request_ids: Sequence[str]) -> tuple[int, set[str]]:
        """What all entries cost, and which of these requests are among them, at one moment."""
        if self._postgres_url is not None:
            with psycopg.connect(self._postgres_url) as connection:
                row = connection.execute(
                    "SELECT (SELECT COALESCE(SUM(cost_nano_usd), 0) FROM entries), "
                    "ARRAY(SELECT request_id FROM entries WHERE request_id = ANY(%s))",
                    (list(request_ids),),
                ).fetchone()
                assert row is not None
                return int(row[0]), set(row[1])
        with self._opened() as ledger:
            ledger.execute("BEGIN")
            ((total,),) = ledger.execute("SELECT COALESCE(SUM(cost_nano_usd), 0) FROM entries").fetchall()
            known = ledger.execute(
                "SELECT request_id FROM entries WHERE request_id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(request_ids)),),
            ).fetchall()
            return int(total), {row[0] for row in known}

    def is_sound(self) -> bool:
        """What SQLite says about its file; PostgreSQL has no such question."""
        if self._postgres_url is not None:
            return True
        return self._read("PRAGMA integrity_check") == [("ok",)]

    def _read(self, statement: str) -> list[tuple[Any, ...]]:
        if self._postgres_url is not None:
            with psycopg.connect(self._postgres_url) as connection:
                return connection.execute(statement.encode()).fetchall()
        with self._opened() as ledger:
            return ledger.execute(statement).fetchall()

    def _opened(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(self._sqlite, timeout=30, isolation_level=None))


@dataclass(slots=True)
class _File:
    """How far a file of a journal has been read, and what it says."""

    left: Left
    read_bytes: int = 0


class JournalReader:
    """What is in the journals, followed while others write them."""

    def __init__(self, journals: Path) -> None:
        self._journals = journals
        self._files: dict[Path, _File] = {}
        self._decoder = msgspec.msgpack.Decoder(Record)

    def booked_nano_usd(self) -> dict[str, int]:
        """For each request in a journal what is to be booked for it, as far as it has come."""
        paths = sorted(self._journals.glob("*/*.journal"))
        self._files = {path: self._files.get(path) or _File(_nothing_left(path)) for path in paths}
        booked: dict[str, int] = {}
        for path, file in self._files.items():
            self._follow(path, file)
            booked |= {request_id: entry.cost_nano_usd for request_id, entry in file.left.entries.items()}
        return booked

    def _follow(self, path: Path, file: _File) -> None:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            file.left, file.read_bytes = _nothing_left(path), 0
            return
        if len(content) < file.read_bytes or not _is_whole(content, file.read_bytes):
            file.left, file.read_bytes = _nothing_left(path), 0  # it was emptied, and is being filled again
        for payload in _payloads(content, file.read_bytes):
            file.left.take(self._decoder.decode(payload))
            file.read_bytes += _FRAME.size + len(payload)


def _nothing_left(path: Path) -> Left:
    """What the journal at that path says before anything of it is read."""
    left = Left()
    left.begin(path.parent.name)
    return left


def _payloads(content: bytes, start: int) -> Iterator[bytes]:
    """The whole records from there on."""
    position = start
    while position + _FRAME.size <= len(content):
        length, checksum = _FRAME.unpack_from(content, position)
        payload = content[position + _FRAME.size : position + _FRAME.size + length]
        if len(payload) < length or crc32(payload) != checksum:
            return
        yield payload
        position += _FRAME.size + length


def _is_whole(content: bytes, position: int) -> bool:
    """Whether a record, a torn one at the end, or nothing begins there."""
    if position + _FRAME.size > len(content):
        return True
    length, _ = _FRAME.unpack_from(content, position)
    is_torn = position + _FRAME.size + length > len(content)
    return is_torn or next(_payloads(content, position), None) is not None


def shortfall_nano_usd(plant: Plant, booked_nano_usd: Callable[[], int | None]) -> int | None:
    """By how much the bill exceeds what is booked; None if nobody can tell what is.

    The bill is read first, since what is on it must be booked from then on. So what does not fit may be read once more:
    a journal may be emptied in the middle of being read.
    """
    billed = bill_total_nano_usd(plant)
    booked = booked_nano_usd()
    if booked is not None and billed > booked:
        billed = min(billed, plant.sandbox("/sandbox/bill")["total_nano_usd"])
        booked = booked_nano_usd()
    return None if booked is None else max(billed - booked, 0)


class BookedOnDisk:
    """What the disk says is settled or held: the ledger, and the journals for what is not in it."""

    def __init__(self, plant: Plant) -> None:
        self._ledger = LedgerReader(plant)
        self._journals = JournalReader(plant.journals)
        self._in_ledger: set[str] = set()

    def nano_usd(self) -> int:
        """The journals are read first: what leaves them meanwhile is in the ledger by then."""
        pending = self._journals.booked_nano_usd()
        total = self._note(pending)
        return total + sum(cost for request_id, cost in pending.items() if request_id not in self._in_ledger)

    def only_in_journals(self) -> int:
        """How many requests the ledger does not have yet."""
        pending = self._journals.booked_nano_usd()
        self._note(pending)
        return len(pending.keys() - self._in_ledger)

    def _note(self, pending: Mapping[str, int]) -> int:
        total, known = self._ledger.total_and_known([each for each in pending if each not in self._in_ledger])
        self._in_ledger = (self._in_ledger & pending.keys()) | known
        return total


def is_settled(plant: Plant, *, within_s: float) -> bool:
    """Wait until nothing is under way and the ledger has everything; False if that takes longer."""
    on_disk, deadline_s = BookedOnDisk(plant), time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if plant.is_idle() and not on_disk.only_in_journals():
            return True
        time.sleep(0.1)
    return False


def booked_in_budget_nano_usd(plant: Plant, team: str) -> int | None:
    """What a team's budget has as spent and held by now, as a replica that is up tells it; None if none is."""
    time.sleep(plant.budgets_lag_s)
    for replica in plant.replicas:
        if replica.is_ready() and (answer := replica.admin("/admin/budgets")):
            budgets = [each for each in answer["budgets"] if (each["team"], each["kind"]) == (team, "team")]
            return max(nano_usd(each["spent_usd"]) + nano_usd(each["held_usd"]) for each in budgets)
    return None


def nano_usd(text: str) -> int:
    """A plain decimal figure of dollars, exactly."""
    return int(Decimal(text).scaleb(9))


@dataclass(frozen=True, slots=True)
class Comparison:
    """The bill joined with the ledger by generation id."""

    billed_calls: int
    bill_nano_usd: int
    ledger_nano_usd: int
    duplicates: int  # generation ids, and requests, that the ledger has more than once
    different: tuple[str, ...]  # ids whose cost is not the same in both
    unbilled: tuple[str, ...]  # ids that the ledger has a cost for, and the bill does not have
    missing: tuple[BilledCall, ...]  # billed, unknown to the ledger by id, and no unnamed hold can stand for them
    unnamed_calls: int  # in the ledger at the sum held, because their process died before their id was known
    unnamed_nano_usd: int  # what is held for them
    unknown_nano_usd: int  # what the bill has under ids that the ledger does not know
    doubtful_calls: int  # in the ledger at the sum held although their id is known

    @property
    def imbalance_nano_usd(self) -> int:
        """Ledger without the holds of unnamed calls, less the bill without the calls they stand for."""
        return (self.ledger_nano_usd - self.unnamed_nano_usd) - (self.bill_nano_usd - self.unknown_nano_usd)


def compared(billed: Sequence[BilledCall], booked: Sequence[BookedCall], requests: Mapping[str, int]) -> Comparison:
    named = [call for call in booked if call.generation_id is not None]
    times = Counter(call.generation_id for call in named)
    costs = {call.generation_id: call.cost_nano_usd for call in named}
    bill_costs = {call.generation_id: call.nano_usd for call in billed}
    unnamed = [call for call in booked if call.is_unnamed]
    unknown = [call for call in billed if call.generation_id not in costs and call.nano_usd]
    return Comparison(
        billed_calls=len(billed),
        bill_nano_usd=sum(bill_costs.values()),
        ledger_nano_usd=sum(call.cost_nano_usd for call in booked),
        duplicates=sum(1 for count in times.values() if count > 1) + sum(1 for n in requests.values() if n > 1),
        different=tuple(
            sorted(id_ for id_, cost in bill_costs.items() if id_ in costs and costs[id_] != cost),
        ),
        unbilled=tuple(sorted(str(id_) for id_, cost in costs.items() if cost and id_ not in bill_costs)),
        missing=_without_a_hold(unknown, unnamed),
        unnamed_calls=len(unnamed),
        unnamed_nano_usd=sum(call.cost_nano_usd for call in unnamed),
        unknown_nano_usd=sum(call.nano_usd for call in unknown),
        doubtful_calls=sum(1 for call in named if call.source == "held"),
    )


def _without_a_hold(unknown: Sequence[BilledCall], unnamed: Sequence[BookedCall]) -> tuple[BilledCall, ...]:
    """The billed calls for which there is no hold of their own: of their model, and at least as large."""
    holds: dict[str, list[int]] = defaultdict(list)
    for call in unnamed:
        holds[call.model].append(call.held_nano_usd)
    for sums in holds.values():
        sums.sort()
    missing: list[BilledCall] = []
    for billed in sorted(unknown, key=lambda call: -call.nano_usd):  # the dearest takes the largest hold
        sums = holds[billed.model]
        if sums and sums[-1] >= billed.nano_usd:
            sums.pop()
        else:
            missing.append(billed)
    return tuple(missing)


def _moment(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
