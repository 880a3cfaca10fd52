"""Requests: the list, filtered and paged; and of one of them everything that is kept, which is no text of it."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar

import msgspec

from router.catalog.prices import Price
from router.console.asking import Answer, Asked
from router.console.drawing import Bar, Stretch, bars, waterfall
from router.console.explain import Shown, shown_decision
from router.console.explaining import Explained, Explaining, UnknownRequest
from router.console.off_loop import OffLoop
from router.console.rendering import colours, query
from router.console.sources import Sources
from router.errors import InvalidRequest, PenstockError
from router.ledger import Attempt, LedgerEntry, Outcome, Place
from router.quality.labels import Label
from router.storage.browsing import SORTED, Browser, Listing, Order, Sought
from router.units import nano_usd

_Kind = TypeVar("_Kind", bound=StrEnum)

_ROWS = 50
_BAR = 320.0
_LONGEST_ID = 200

# What the field for a period offers, by what it sends.
PERIODS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}

_FIELDS = ("team", "model", "outcome", "period", "since", "until", "id", "sort")


@dataclass(frozen=True, slots=True)
class Search:
    """What the form holds, and what is sought by it."""

    fields: Mapping[str, str]
    sought: Sought
    order: Order

    @property
    def is_narrowed(self) -> bool:
        return any(name != "sort" for name in self.fields)

    def link(self, **changed: str | None) -> str:
        """The list with some fields changed; without its place."""
        return f"/requests{query(**{**self.fields, **changed})}"


def search_of(asked: Asked, now: datetime) -> Search:
    """Raises InvalidRequest."""
    fields = {name: asked.query[name] for name in _FIELDS if name in asked.query}
    period = fields.get("period")
    if period is not None and period not in PERIODS:
        raise InvalidRequest(f"`period` takes one of {', '.join(PERIODS)}; got {period[:40]!r}.", param="period")
    since = _moment("since", fields.get("since"))
    sought = Sought(
        team=fields.get("team"),
        model=fields.get("model"),
        outcome=_one_of(Outcome, "outcome", fields.get("outcome")),
        since=now - PERIODS[period] if period is not None else since,
        until=_moment("until", fields.get("until")),
        id_begins=fields["id"][:_LONGEST_ID] if "id" in fields else None,
    )
    return Search(fields, sought, _one_of(Order, "sort", fields.get("sort")) or Order.NEWEST)


def _one_of(kind: type[_Kind], name: str, text: str | None) -> _Kind | None:
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(each.value for each in kind)
        raise InvalidRequest(f"`{name}` takes one of {known}; got {text[:40]!r}.", param=name) from None


def _moment(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"`{name}` takes a date and time in UTC (2026-11-01 or 2026-11-01T12:30); got {text[:40]!r}.", param=name
        ) from None


class _Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of the list begins."""

    at: str
    row: int
    newest: tuple[str, int] | None = None  # where what is put in order ended when its first page was shown
    figure: float = 0.0


class Requests:
    """`GET /requests`."""

    def __init__(self, sources: Sources, off_loop: OffLoop) -> None:
        self._sources = sources
        self._browser = Browser(sources.store)
        self._off_loop = off_loop

    async def page(self, asked: Asked) -> Answer:
        sources = self._sources
        search = search_of(asked, sources.now())
        mark = _read_mark(asked.query.get("after"))
        if search.order is Order.NEWEST:
            after = None if mark is None else Place(_moment_of(mark.at), mark.row)
            listing = await self._off_loop(lambda: self._browser.page(search.sought, after=after, limit=_ROWS))
            following = None if listing.next is None else _Mark(listing.next.at.isoformat(), listing.next.row)
        else:
            listing, following = await self._off_loop(lambda: self._sorted(search, mark))
        catalog, snapshot = sources.catalog(), sources.snapshot()
        return Answer(
            "requests.html",
            {
                "path": "/requests",
                "search": search,
                "listing": listing,
                "following": None if following is None else search.link(after=_written(following)),
                "is_first": mark is None,
                "teams": list(snapshot.teams),
                "models": list(catalog.deployments),
                "outcomes": list(Outcome),
                "periods": list(PERIODS),
                "orders": list(Order),
                "most_sorted": SORTED,
                "colours": colours(catalog),
            },
        )

    def _sorted(self, search: Search, mark: _Mark | None) -> tuple[Listing, _Mark | None]:
        newest = self._browser.newest() if mark is None or mark.newest is None else _place(mark.newest)
        if newest is None:
            return Listing((), None), None
        # Those that came after the first page was shown are left out: a row would else appear twice, or never.
        ceiling = Place(newest.at, newest.row + 1)
        after = None if mark is None else (mark.figure, mark.row)
        listing = self._browser.sorted(search.sought, search.order, newest=ceiling, after=after, limit=_ROWS)
        if listing.next is None:
            return listing, None
        last = listing.requests[-1]
        figure: float = {
            Order.DEAREST: last.cost_nano_usd,
            Order.SLOWEST: last.duration_s,
            Order.SAVED: last.saved_nano_usd or 0,
            Order.NEWEST: 0,
        }[search.order]
        return listing, _Mark(last.at.isoformat(), last.row, (newest.at.isoformat(), newest.row), figure)


def _written(mark: _Mark) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode().rstrip("=")


def _read_mark(text: str | None) -> _Mark | None:
    if text is None:
        return None
    try:
        mark = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Mark)
        _moment_of(mark.at)
        if mark.newest is not None:
            _place(mark.newest)
        if not -(2**62) <= mark.row <= 2**62:
            raise ValueError(mark.row)
    except (msgspec.DecodeError, binascii.Error, ValueError, UnicodeEncodeError):
        raise InvalidRequest("The place in the list cannot be read; begin at its first page.", param="after") from None
    return mark


def _moment_of(text: str) -> datetime:
    """Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _place(pair: tuple[str, int]) -> Place:
    return Place(_moment_of(pair[0]), pair[1])


@dataclass(frozen=True, slots=True)
class CostPart:
    """A part of what a call cost, at the prices of its moment."""

    name: str
    tokens: int
    rate: Decimal  # USD per token
    nano_usd: int
    bar: Bar


@dataclass(frozen=True, slots=True)
class CallShown:
    call: Attempt
    number: int
    stretch: Stretch
    parts: list[CostPart]  # empty: tokens or prices are not known
    differs_nano_usd: int  # what was booked, less the parts: the provider's own figure may be another


@dataclass(frozen=True, slots=True)
class EntryShown:
    """A request with what templates draw."""

    entry: LedgerEntry
    calls: list[CallShown]
    overhead: Bar
    labels: list[Label]
    profile: Mapping[str, Any]

    @property
    def saved_nano_usd(self) -> int | None:
        baseline = self.entry.baseline_nano_usd
        return None if baseline is None else baseline - self.entry.cost_nano_usd


class OneRequest:
    """`GET /requests/{id}`."""

    def __init__(self, sources: Sources, explaining: Explaining, off_loop: OffLoop) -> None:
        self._sources = sources
        self._explaining = explaining
        self._browser = Browser(sources.store)
        self._off_loop = off_loop

    async def page(self, asked: Asked) -> Answer:
        request_id = asked.path.removeprefix("/requests/")
        entry = await self._off_loop(partial(self._sources.store.find, request_id))
        if entry is None:
            raise UnknownRequest(request_id)
        labels = await self._off_loop(lambda: self._browser.labels_of(entry.request_id))
        decision, cannot = await self._decided_again(entry)
        catalog = self._sources.catalog()
        return Answer(
            "request.html",
            {
                "path": "/requests",
                "shown": self._shown(entry, labels),
                "decision": decision,
                "cannot": cannot,
                "rejected": entry.rejected,
                "colours": colours(catalog),
                "config_version": self._sources.snapshot().version,
            },
        )

    async def _decided_again(self, entry: LedgerEntry) -> tuple[Shown | None, str | None]:
        try:
            explained: Explained = await self._explaining.past(entry.request_id)
        except PenstockError as error:
            return None, error.message
        return shown_decision(explained, self._explaining), None

    def _shown(self, entry: LedgerEntry, labels: list[Label]) -> EntryShown:
        calls = entry.attempts
        begins: list[float] = []
        passed_s = entry.overhead_s
        for call in calls:
            # Its hold was made right before it left; a second opinion is asked for beside the first.
            held_s = (call.held_at - entry.at).total_seconds() if call.held_at is not None else passed_s
            begins.append(max(held_s, 0.0))
            passed_s = max(passed_s, begins[-1] + call.duration_s)
        whole_s = max([entry.duration_s, passed_s])
        stretches = waterfall(
            [(at, each.duration_s, each.first_token_s) for at, each in zip(begins, calls, strict=True)],
            whole_s=whole_s,
            length=_BAR,
        )
        dearest = max((each.cost_nano_usd for each in calls), default=0)
        shown = []
        for number, (call, stretch) in enumerate(zip(calls, stretches, strict=True), start=1):
            parts = self._parts(entry, call, dearest)
            differs = call.cost_nano_usd - sum(each.nano_usd for each in parts) if parts else 0
            shown.append(CallShown(call, number, stretch, parts, differs))
        try:
            profile = msgspec.json.decode(entry.profile_json, type=dict[str, Any])
        except msgspec.DecodeError:
            profile = {}
        return EntryShown(
            entry=entry,
            calls=shown,
            overhead=bars([entry.overhead_s], whole=whole_s, length=_BAR)[0],
            labels=labels,
            profile={name: profile[name] for name in _PROFILE if name in profile},
        )

    def _parts(self, entry: LedgerEntry, call: Attempt, dearest_nano_usd: int) -> list[CostPart]:
        usage, price = call.usage, self._price(call, entry.at)
        if usage is None or price is None:
            return []
        rates = price.rates(usage.input_tokens)
        plain = max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0)
        named = [
            ("input", plain, rates.input),
            ("cached input", usage.cached_tokens, rates.cached_input),
            ("written to the cache", usage.cache_write_tokens, rates.cache_write),
            ("output", usage.output_tokens - usage.reasoning_tokens, rates.output),
            ("reasoning", usage.reasoning_tokens, rates.output),
        ]
        sums = [nano_usd(tokens * rate) for _, tokens, rate in named]
        whole = max(dearest_nano_usd, sum(sums), 1)
        drawn = bars([float(each) for each in sums], whole=whole, length=_BAR)
        return [
            CostPart(name, tokens, rate, nano, bar)
            for (name, tokens, rate), nano, bar in zip(named, sums, drawn, strict=True)
            if tokens
        ]

    def _price(self, call: Attempt, at: datetime) -> Price | None:
        for deployment in self._sources.catalog().deployments.get(call.model, ()):
            if deployment.provider.name == call.provider:
                return deployment.prices.at(at)
        return None


# Of the profile, what is worth a look. All of it is numbers and enums.
_PROFILE = (
    "task",
    "language",
    "difficulty",
    "input_tokens",
    "max_output_tokens",
    "needs",
    "images",
    "choices",
    "effort",
    "apis",
)
