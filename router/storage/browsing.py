"""The ledger as people look at it: `Browser`. Sums from `totals`, requests page by page, labels, keys' last use.

No question takes longer for a longer ledger: sums are read by the hour or the day, and of requests only so many are
looked at for one page, however rare what is sought. Where that is not enough, the answer says how far it has come.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal

import msgspec

from router.keys import KeyId
from router.ledger import Outcome, Place
from router.quality.labels import Label
from router.storage import rows
from router.storage.reads import Reads, Value
from router.storage.totals import COLUMNS

PATIENCE_S = 2.0  # no page may keep a store busy for longer
WINDOWS = (500, 5_000, 5_000, 5_000)  # entries looked at by each question, for one page: most find enough at once
SORTED = 5_000  # entries that are put in another order than that of time

_LAST_MOMENT = datetime(9999, 12, 31, tzinfo=UTC)
_LAST_ROW = 2**62
_AFTER_ANY_ID = "\U0010ffff"


class Totals(msgspec.Struct, frozen=True, gc=False):
    """Sums, as `storage/totals.py` keeps them."""

    requests: int = 0  # of clients; shadows are none
    failed: int = 0  # of them: no answer, or a broken one
    refused: int = 0
    cached: int = 0  # answered as before, for nothing
    calls: int = 0  # to providers
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_nano_usd: int = 0
    baseline_nano_usd: int = 0  # what the requests whose baseline is known would have cost there
    saved_nano_usd: int = 0  # of those; less than nothing where the baseline would have been cheaper


Axis = Literal["starts", "team", "model"]


@dataclass(frozen=True, slots=True)
class Sum:
    """One group's."""

    group: tuple[str, ...]  # in the order asked for; an instant as ISO 8601 in UTC
    totals: Totals


@dataclass(frozen=True, slots=True)
class Sought:
    """Which requests. None: any."""

    team: str | None = None
    model: str | None = None  # any call went there
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None
    id_begins: str | None = None


class Order(StrEnum):
    NEWEST = "newest"
    DEAREST = "dearest"
    SLOWEST = "slowest"
    SAVED = "saved"  # those that saved most first


@dataclass(frozen=True, slots=True)
class Listed:
    """A request in a list."""

    row: int
    request_id: str
    at: datetime
    team: str
    alias: str
    policy: str
    rule: str | None
    outcome: Outcome
    cost_nano_usd: int
    baseline_nano_usd: int | None
    duration_s: float
    model: str | None  # that answered, or was called last
    provider: str | None
    calls: int

    @property
    def saved_nano_usd(self) -> int | None:
        return None if self.baseline_nano_usd is None else self.baseline_nano_usd - self.cost_nano_usd


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of requests."""

    requests: tuple[Listed, ...]
    next: Place | None  # behind which the next page begins; None: there is none
    is_cut_short: bool = False  # as many as may be looked at were; older ones were not


# What the indexes by team and by outcome hold: a window is looked through without reading a row.
_SOUGHT = "id, at, team, outcome, cost_nano_usd, baseline_nano_usd, duration_s"
# Requests by their number, as `_listed` reads them; `%s` is a selection of those to be shown.
_SHOWN = """
    SELECT e.id, e.request_id, e.at, e.team, e.alias, e.policy, e.rule, e.outcome, e.cost_nano_usd, e.baseline_nano_usd,
           e.duration_s, a.model, a.provider, (SELECT COUNT(*) FROM attempts WHERE entry_id = e.id)
    FROM (%s) AS chosen JOIN entries AS e ON e.id = chosen.id LEFT JOIN attempts AS a ON a.entry_id = e.id
         AND a.number = (SELECT number FROM attempts WHERE entry_id = e.id
                         ORDER BY outcome IN ('ok', 'failed_verification') DESC, number DESC LIMIT 1)
    ORDER BY %s
"""
_NEWEST_FIRST = "at DESC, id DESC"
_ORDERS = {
    Order.DEAREST: "cost_nano_usd",
    Order.SLOWEST: "duration_s",
    Order.SAVED: "COALESCE(baseline_nano_usd, cost_nano_usd) - cost_nano_usd",
}


class Browser:
    """Blocks: call it from a thread. Every method raises StoreUnavailable."""

    def __init__(self, store: Reads, *, patience_s: float = PATIENCE_S) -> None:
        self._store = store
        self._patience_s = patience_s

    def totals(
        self,
        span: Literal["hour", "day"],
        since: datetime,
        *,
        by: Sequence[Axis] = (),
        team: str | None = None,
    ) -> list[Sum]:
        """Sums since that moment, which is the beginning of an hour or a day in UTC, dearest first; of one team."""
        sums = ", ".join(f"SUM({each})" for each in COLUMNS)
        values: list[Value] = [span, rows.moment_text(since)]
        query = f"SELECT {', '.join((*by, sums))} FROM totals WHERE span = ? AND starts >= ?"  # noqa: S608
        if team is not None:
            query += " AND team = ?"
            values.append(team)
        if by:
            query += f" GROUP BY {', '.join(by)}"
        found = self._read(f"{query} ORDER BY SUM(cost_nano_usd) DESC", *values)
        return [
            Sum(tuple(_text(each) for each in row[: len(by)]), Totals(*(int(each or 0) for each in row[len(by) :])))
            for row in found
        ]

    def page(self, sought: Sought, *, after: Place | None, limit: int) -> Listing:
        """Requests behind that place, newest first."""
        if sought.id_begins is not None:
            return self._by_id(sought.id_begins, limit)
        place = after or Place(_LAST_MOMENT, _LAST_ROW)
        found: list[Listed] = []
        for size in WINDOWS:
            window, values = _window(sought, place)
            conditions, more = _conditions(sought)
            some = f"SELECT id FROM ({window}) AS w {conditions} ORDER BY {_NEWEST_FIRST} LIMIT ?"  # noqa: S608
            shown = _SHOWN % (some, "e.at DESC, e.id DESC")
            found += map(_listed, self._read(shown, *values, size, *more, limit + 1 - len(found)))
            if len(found) > limit:
                last = found[limit - 1]
                return Listing(tuple(found[:limit]), Place(last.at, last.row))
            end = self._read(f"SELECT at, id FROM ({window}) AS w ORDER BY at, id LIMIT 1", *values, size)  # noqa: S608
            is_all = len(self._read(f"SELECT 1 FROM ({window} OFFSET {size - 1}) AS w", *values, 1)) == 0  # noqa: S608
            if is_all or not end:
                return Listing(tuple(found), None)
            place = Place(rows.moment(end[0][0]), int(end[0][1]))
        return Listing(tuple(found), place, is_cut_short=True)

    def sorted(
        self, sought: Sought, order: Order, *, newest: Place | None, after: tuple[float, int] | None, limit: int
    ) -> Listing:
        """Of the newest SORTED requests before a place those that come first in that order, behind figure and row."""
        by = f"({_ORDERS[order]})"
        window, values = _window(sought, newest or Place(_LAST_MOMENT, _LAST_ROW))
        conditions, more = _conditions(sought)
        if after is not None:
            conditions = f"{conditions or 'WHERE true'} AND ({by}, id) < (?, ?)"
            more = [*more, *after]
        some = f"SELECT id, {by} AS figure FROM ({window}) AS w {conditions} ORDER BY {by} DESC, id DESC LIMIT ?"  # noqa: S608
        shown = _SHOWN % (some, "chosen.figure DESC, e.id DESC")
        found = [_listed(each) for each in self._read(shown, *values, SORTED, *more, limit + 1)]
        more_left = len(found) > limit
        last = found[limit - 1] if more_left else None
        return Listing(tuple(found[:limit]), None if last is None else Place(last.at, last.row))

    def newest(self) -> Place | None:
        """The place of the newest request."""
        found = self._read("SELECT at, id FROM entries ORDER BY at DESC, id DESC LIMIT 1")
        return Place(rows.moment(found[0][0]), int(found[0][1])) if found else None

    def labels(self, limit: int) -> list[Label]:
        """The newest labels, newest first."""
        found = self._read("SELECT number, content FROM labels ORDER BY number DESC LIMIT ?", limit)
        return [label for _, label in rows.labels(found)]

    def labels_of(self, request_id: str) -> list[Label]:
        """Of a request, in the order they came."""
        found = self._read("SELECT number, content FROM labels WHERE request_id = ? ORDER BY number", request_id)
        return [label for _, label in rows.labels(found)]

    def key_uses(self) -> dict[KeyId, datetime]:
        """When a request of each key was last decided."""
        return {KeyId(key): rows.moment(at) for key, at in self._read("SELECT key_id, last_at FROM key_uses")}

    def _by_id(self, begins: str, limit: int) -> Listing:
        some = "SELECT id FROM entries WHERE request_id >= ? AND request_id < ? ORDER BY request_id LIMIT ?"
        shown = _SHOWN % (some, "e.at DESC, e.id DESC")
        return Listing(tuple(map(_listed, self._read(shown, begins, begins + _AFTER_ANY_ID, limit))), None)

    def _read(self, query: str, *values: Value) -> list[rows.Found]:
        return self._store.read(query, values, patience_s=self._patience_s)


def _window(sought: Sought, place: Place) -> tuple[str, list[Value]]:
    """The newest entries before a place that one index finds, as many as the value asks that is yet to be added."""
    conditions = ["(at, id) < (?, ?)"]
    values: list[Value] = [rows.moment_text(place.at), place.row]
    if sought.since is not None:
        conditions.append("at >= ?")
        values.append(rows.moment_text(sought.since))
    if sought.until is not None:
        conditions.append("at < ?")
        values.append(rows.moment_text(sought.until))
    if _is_rare(sought.outcome):
        conditions += ["outcome = ?", "outcome <> 'ok'"]
        values.append(str(sought.outcome))
    elif sought.team is not None:
        conditions.append("team = ?")
        values.append(sought.team)
    where = " AND ".join(conditions)
    return f"SELECT {_SOUGHT} FROM entries WHERE {where} ORDER BY at DESC, id DESC LIMIT ?", values  # noqa: S608


def _conditions(sought: Sought) -> tuple[str, list[Value]]:
    """Those that no index finds together with the others: asked of the entries in the window."""
    conditions: list[str] = []
    values: list[Value] = []
    if sought.team is not None and _is_rare(sought.outcome):
        conditions.append("team = ?")
        values.append(sought.team)
    if sought.outcome is not None and not _is_rare(sought.outcome):
        conditions.append("outcome = ?")
        values.append(str(sought.outcome))
    if sought.model is not None:
        conditions.append("EXISTS (SELECT 1 FROM attempts WHERE entry_id = w.id AND model = ?)")
        values.append(sought.model)
    return f"WHERE {' AND '.join(conditions)}" if conditions else "", values


def _is_rare(outcome: Outcome | None) -> bool:
    """Whether an index has the requests that ended so: nearly all end well."""
    return outcome is not None and outcome is not Outcome.OK


def _listed(found: rows.Found) -> Listed:
    row, request_id, at, team, alias, policy, rule, outcome, cost, baseline, duration_s, model, provider, calls = found
    return Listed(
        row=int(row),
        request_id=request_id,
        at=rows.moment(at),
        team=team,
        alias=alias,
        policy=policy,
        rule=rule,
        outcome=Outcome(outcome),
        cost_nano_usd=int(cost),
        baseline_nano_usd=None if baseline is None else int(baseline),
        duration_s=duration_s,
        model=model,
        provider=provider,
        calls=int(calls),
    )


def _text(value: object) -> str:
    return rows.moment_text(value) if isinstance(value, datetime) else str(value)
