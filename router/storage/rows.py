"""Ledger entries as rows, and rows as values: what every store writes and reads alike."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from router import audit
from router.apis import Api
from router.catalog.book import PriceRow
from router.catalog.catalog import Effort, ModelName, ProviderName
from router.catalog.tariffs import as_data, from_data
from router.keys import WHOLE_TEAM, ApiKey, FormerSecret, KeyId, KeyScope, TeamName
from router.ledger import Attempt, DoubtfulCall, LedgerEntry, Outcome, Page, Period, Place, SpendRow
from router.quality.labels import Label
from router.quotas import Budget, Per, ScopeId, WhenSpent, charged_to
from router.storage.errors import UnwritableEntry
from router.storage.sealed import SealedPrompt
from router.storage.store import Claim, Claimed
from router.units import CostSource, Usage

_MOST_IDS = 500  # in one statement
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)  # before every entry
Row = tuple[object, ...]  # to be written
Found = tuple[Any, ...]  # as a driver returns it; what it holds is known from the statement

# The largest number kept: JSON and Lua count exactly up to here, and in 64 bits a thousand of them can be added up. A
# provider may report any number of tokens.
_MOST = 2**53

# PostgreSQL keeps no NUL, and UTF-8 has no lone surrogates; some text is the provider's, and money is not lost for it.
_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")

_json_text = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class KeptEntry:
    """An entry as rows."""

    request_id: str
    entry: Row
    attempts: list[Row]
    at: str  # as `moment_text` writes it
    value: LedgerEntry

    @classmethod
    def of(cls, entry: LedgerEntry) -> "KeptEntry":
        """Raises UnwritableEntry."""
        row = entry_row(entry)
        return cls(entry.request_id, row, attempt_rows(entry), str(row[1]), entry)


def entry_row(entry: LedgerEntry) -> Row:
    """In the order of statements.ENTRY_COLUMNS. Raises UnwritableEntry."""
    at = moment_text(entry.at)
    held_at = entry.held_at
    return _kept(
        entry.request_id,
        (
            entry.request_id,
            at,
            at[:10],
            entry.team,
            entry.key_id,
            entry.alias,
            entry.policy,
            entry.rule,
            str(entry.outcome),
            entry.profile_json,
            _json_list(f"{model} {reason}" for model, reason in entry.rejected),
            entry.counted_input_tokens,
            entry.expected_nano_usd,
            entry.cost_nano_usd,
            entry.baseline,
            entry.baseline_nano_usd,
            entry.config_version,
            entry.is_stream,
            entry.overhead_s,
            entry.first_token_s,
            entry.duration_s,
            _json_list(dict.fromkeys(entry.tags)),  # each once: `spend` by tag counts an entry for every one it finds
            entry.conditions_json,
            at if held_at is entry.at else moment_text(held_at),
        ),
    )


def attempt_rows(entry: LedgerEntry) -> list[Row]:
    """In the order of statements.ATTEMPT_COLUMNS after the first, the entry's own id. Raises UnwritableEntry."""
    return [
        _kept(entry.request_id, (number, *_attempt_row(attempt)))
        for number, attempt in enumerate(entry.attempts, start=1)
    ]


def amendment_row(call: DoubtfulCall, usage: Usage, cost_nano_usd: int) -> Row:
    """The values of statements.AMEND_ATTEMPT. Raises UnwritableEntry."""
    return _kept(call.request_id, (*_usage_row(usage), cost_nano_usd, call.number, call.request_id))


def key_row(key: ApiKey) -> Row:
    """In the order of statements.ADD_KEY."""
    assert key.scope is not None
    expires_at = moment_text(key.expires_at) if key.expires_at else None
    scope = None if key.scope == WHOLE_TEAM else _scope_json(key.scope)
    return (key.id, key.team, key.name, moment_text(key.created_at), expires_at, scope, *_digests(key))


def rotation_row(key: ApiKey, rotated: ApiKey) -> Row:
    """As statements.ROTATE_KEY takes it."""
    assert rotated.former is not None
    former = (rotated.former.digest, moment_text(rotated.former.until))
    return (*former, *_digests(rotated), key.id, *_digests(key))


def _digests(key: ApiKey) -> tuple[bytes, bytes]:
    """In the order of statements._DIGESTS."""
    return (key.digest, b"") if key.scope == WHOLE_TEAM else (b"", key.digest)


def price_row(row: PriceRow) -> Row:
    """The values of statements.KEEP_PRICE."""
    return (
        row.provider,
        keepable(row.upstream_model),
        moment_text(row.starts),
        None if row.version is None else keepable(row.version),
        None if row.tariff is None else json.dumps(as_data(row.tariff), separators=(",", ":")),
        keepable(row.source),
        moment_text(row.first_seen),
        moment_text(row.last_seen),
    )


EVER = datetime(1970, 1, 1, tzinfo=UTC)  # before anything that is kept


def claim_row(claim: Claim, until: datetime) -> Row:
    """As CLAIM_ANSWER takes it."""
    return (claim.team, claim.key_digest, claim.fingerprint, claim.request_id, moment_text(until))


def answer_row(claim: Claim, content: bytes, until: datetime) -> Row:
    """As KEEP_ANSWER takes it."""
    return (content, moment_text(until), claim.team, claim.key_digest, claim.request_id)


def claimed(found: Found | None, claim: Claim) -> Claimed:
    """Who was found to have the key; nobody, if it was freed this very moment: then asking again helps."""
    if found is None:
        return Claimed(claim.fingerprint, claim.request_id, None)
    fingerprint, request_id, content = found
    return Claimed(bytes(fingerprint), request_id, None if content is None else bytes(content))


def prompt_row(prompt: SealedPrompt) -> Row:
    """As KEEP_PROMPT takes it."""
    at, until = moment_text(prompt.at), moment_text(prompt.until)
    return (prompt.request_id, prompt.team, at, until, prompt.key_id, prompt.content)


def sealed_prompt(found: Found | None) -> SealedPrompt | None:
    """What FIND_PROMPT has found."""
    if found is None:
        return None
    request_id, team, at, until, key_id, content = found
    return SealedPrompt(request_id, TeamName(team), moment(at), moment(until), key_id, bytes(content))


def moment_text(moment: datetime) -> str:
    """UTC with microseconds always written, so that text order is time order."""
    in_utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")


def moment(value: str | datetime) -> datetime:
    """An instant as a driver returns it: SQLite has text."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


def audit_row(row: audit.Row) -> Row:
    """In the order of statements.APPEND_AUDIT."""
    entry = row.entry
    return (
        row.number, entry.at, entry.actor, str(entry.act), entry.subject, entry.detail, entry.origin, row.mac
    )  # fmt: skip


def found_audit_row(found: Found) -> audit.Row:
    """From the same columns. What is no text any more becomes some: it is told from what was written all the same."""
    number, *texts, mac = found
    at, actor, act, subject, detail, origin = (each if isinstance(each, str) else repr(each) for each in texts)
    return audit.Row(number, audit.Entry(at, actor, act, subject, detail, origin), bytes(mac))


def audit_head(found: Found | None) -> audit.Head:
    """From the columns of statements.AUDIT_HEAD; the beginning if there is no row."""
    return audit.Head() if found is None else audit.Head(found[0], bytes(found[1]))


def api_key(found: Found) -> ApiKey:
    """From the columns of statements.ALL_KEYS."""
    key_id, team, name, created_at, expires_at, revoked_at, scope, former, former_until, digest, scoped_digest = found
    return ApiKey(
        id=KeyId(key_id),
        team=TeamName(team),
        name=name,
        digest=digest if scope is None else scoped_digest,
        created_at=moment(created_at),
        expires_at=moment(expires_at) if expires_at else None,
        revoked_at=moment(revoked_at) if revoked_at else None,
        scope=WHOLE_TEAM if scope is None else _read_scope(scope),
        former=FormerSecret(former, moment(former_until)) if former and former_until else None,
    )


class _KeptBudget(msgspec.Struct, forbid_unknown_fields=True):
    limit_nano_usd: int
    per: Per
    when_spent: WhenSpent


class _KeptScope(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A scope as it is kept. What a later version may add is no reason to read the rest: it narrows."""

    models: list[str] | None = None
    aliases: list[str] | None = None
    apis: list[Api] | None = None
    networks: list[str] = []
    budgets: list[_KeptBudget] = []


def _scope_json(scope: KeyScope) -> str:
    kept = _KeptScope(
        models=None if scope.models is None else sorted(scope.models),
        aliases=None if scope.aliases is None else sorted(scope.aliases),
        apis=None if scope.apis is None else sorted(scope.apis),
        networks=[str(each) for each in scope.networks],
        budgets=[_KeptBudget(each.limit_nano_usd, each.per, each.when_spent) for each in scope.budgets],
    )
    return msgspec.json.encode(kept).decode()


def _read_scope(text: str) -> KeyScope | None:
    """None if another version has kept it in a form of its own, or it has come to harm."""
    try:
        kept = msgspec.json.decode(text, type=_KeptScope)
        networks = tuple(ip_network(each) for each in kept.networks)
    except (msgspec.DecodeError, ValueError):
        return None
    return KeyScope(
        models=None if kept.models is None else frozenset(map(ModelName, kept.models)),
        aliases=None if kept.aliases is None else frozenset(kept.aliases),
        apis=None if kept.apis is None else frozenset(kept.apis),
        networks=networks,
        budgets=tuple(Budget(each.limit_nano_usd, each.per, each.when_spent) for each in kept.budgets),
    )


def found_price(found: Found) -> PriceRow:
    """From the columns of statements.PRICES_SINCE."""
    provider, upstream_model, starts, version, tariff, source, first_seen, last_seen = found
    return PriceRow(
        provider=ProviderName(provider),
        upstream_model=upstream_model,
        version=version,
        tariff=None if tariff is None else from_data(json.loads(tariff)),
        source=source,
        starts=moment(starts),
        first_seen=moment(first_seen),
        last_seen=moment(last_seen),
    )


def spend_row(found: Found) -> SpendRow:
    """From the columns of statements.spend. Sums may be `Decimal`: PostgreSQL adds up beyond 64 bits."""
    requests, input_tokens, output_tokens, cost_nano_usd, *group = found
    return SpendRow(
        group=tuple(str(value) for value in group),
        requests=requests,
        input_tokens=int(input_tokens),
        output_tokens=int(output_tokens),
        cost_nano_usd=int(cost_nano_usd),
    )


def doubtful_call(found: Found) -> DoubtfulCall:
    """From the columns of statements.doubtful."""
    request_id, number, at, held_at, team, key_id, tags, model, provider, generation_id, held_nano_usd = found
    return DoubtfulCall(
        request_id=request_id,
        number=number,
        at=moment(at),
        held_at=moment(held_at),
        team=TeamName(team),
        key_id=KeyId(key_id),
        tags=tuple(json.loads(tags)),
        model=ModelName(model),
        provider=ProviderName(provider),
        generation_id=generation_id,
        held_nano_usd=held_nano_usd,
    )


def doubtful_values(since: datetime, before: datetime, after: DoubtfulCall | None, limit: int) -> tuple[str | int, ...]:
    """The values of statements.doubtful."""
    place = () if after is None else (moment_text(after.at), after.request_id, after.number)
    return (moment_text(since), moment_text(before), *place, limit)


def period_values(period: Period) -> tuple[str, ...]:
    """The values of statements.count, and the first ones of statements.page."""
    bounds = (moment_text(period.since or _BEGINNING), moment_text(period.until))
    return bounds if period.team is None else (*bounds, period.team)


def page_values(period: Period, after: Place | None, limit: int) -> tuple[str | int, ...]:
    """The values of statements.page."""
    place = (moment_text(_BEGINNING), 0) if after is None else (moment_text(after.at), after.row)
    return (*period_values(period), *place, limit)


def page(found: Iterable[Found], limit: int) -> Page:
    """From the columns of statements.page, asked for `limit` entries."""
    numbered = list(_whole_entries(found))
    entries = tuple(entry for _, entry in numbered)
    return Page(entries, Place(entries[-1].at, numbered[-1][0]) if len(entries) == limit else None)


def entry(found: Iterable[Found]) -> LedgerEntry | None:
    """From the columns of statements.FIND."""
    return next((each for _, each in _whole_entries(found)), None)


def requests_of(call_ids: Collection[str]) -> Iterator[list[str]]:
    """The ids of the requests that these calls belong to, each once, as many at a time as a statement takes."""
    request_ids = list(dict.fromkeys(call_id.rpartition(".")[0] for call_id in call_ids))
    for start in range(0, len(request_ids), _MOST_IDS):
        yield request_ids[start : start + _MOST_IDS]


def call_ids(found: Iterable[Found]) -> set[str]:
    """From the columns of statements.BOOKED."""
    return {f"{request_id}.{number}" for request_id, number in found}


def recorded_costs(found: Iterable[Found], call_ids: Collection[str]) -> dict[str, int]:
    """From the columns of statements.RECORDED, of these calls."""
    costs = {f"{request_id}.{number}": int(cost) for request_id, number, cost in found}
    return {call_id: costs[call_id] for call_id in call_ids if call_id in costs}


def spent_by_scope(found: Iterable[Found]) -> dict[ScopeId, int]:
    """From the columns of statements.SPENT_SINCE: sums of entries that agree in team, key and tags."""
    spent: defaultdict[ScopeId, int] = defaultdict(int)
    for team, key_id, tags, cost in found:
        for scope in charged_to(team, key_id, json.loads(tags)):
            spent[scope] += int(cost)
    return dict(spent)


def _whole_entries(found: Iterable[Found]) -> Iterator[tuple[int, LedgerEntry]]:
    """Each entry with the store's number of it, from rows of one entry and one of its calls each."""
    texts = _Texts()
    for number, group in groupby(found, key=itemgetter(0)):
        rows = list(group)
        attempts = [_attempt(row[1], row[_ENTRY_WIDTH:]) for row in rows if row[_ENTRY_WIDTH] is not None]
        yield number, _entry(rows[0], attempts, texts)


class _Texts:
    """Lists as JSON, read once each: of a thousand entries most have one of a few."""

    def __init__(self) -> None:
        self._tags: dict[str, tuple[str, ...]] = {}
        self._rejected: dict[str, tuple[tuple[ModelName, str], ...]] = {}

    def tags(self, text: str) -> tuple[str, ...]:
        known = self._tags.get(text)
        if known is None:
            known = self._tags[text] = tuple(json.loads(text))
        return known

    def rejected(self, text: str) -> tuple[tuple[ModelName, str], ...]:
        known = self._rejected.get(text)
        if known is None:
            known = self._rejected[text] = tuple(_rejection(each) for each in json.loads(text))
        return known


_OUTCOMES = {each.value: each for each in Outcome}
_EFFORTS = {each.value: each for each in Effort}
_SOURCES = {each.value: each for each in CostSource}
_ENTRY_WIDTH = 22  # columns of an entry in statements._WHOLE; those of a call follow


def _entry(found: Found, attempts: list[Attempt], texts: _Texts) -> LedgerEntry:
    _, request_id, at, team, key_id, alias, policy, rule, outcome, profile, rejected, *rest = found
    counted, expected, baseline, baseline_nano_usd, config, is_stream, overhead_s, first_s, duration_s, tags, *_ = rest
    return LedgerEntry(
        request_id=request_id,
        at=moment(at),
        team=TeamName(team),
        key_id=KeyId(key_id),
        alias=alias,
        policy=policy,
        rule=rule,
        outcome=_OUTCOMES[outcome],
        attempts=tuple(attempts),
        rejected=texts.rejected(rejected),
        profile_json=profile,
        counted_input_tokens=counted,
        expected_nano_usd=expected,
        baseline=baseline,
        baseline_nano_usd=baseline_nano_usd,
        config_version=config,
        is_stream=bool(is_stream),
        overhead_s=overhead_s,
        first_token_s=first_s,
        duration_s=duration_s,
        tags=texts.tags(tags),
        conditions_json=found[_ENTRY_WIDTH - 1],
    )


def _rejection(text: str) -> tuple[ModelName, str]:
    model, _, reason = text.rpartition(" ")
    return ModelName(model), reason


def _attempt(request_id: str, found: Found) -> Attempt:
    number, model, provider, outcome, served_model, generation_id, input_tokens, cached, written, output, *rest = found
    reasoning, held, cost, source, duration_s, first_token_s, finish_reason, version, verification, held_at, effort = (
        rest
    )
    return Attempt(
        id=f"{request_id}.{number}",
        model=ModelName(model),
        provider=ProviderName(provider),
        outcome=outcome,
        served_model=served_model,
        generation_id=generation_id,
        usage=None
        if input_tokens is None
        else Usage(
            input_tokens=input_tokens,
            output_tokens=output,
            cached_tokens=cached,
            cache_write_tokens=written,
            reasoning_tokens=reasoning,
        ),
        held_nano_usd=held,
        cost_nano_usd=cost,
        source=_SOURCES[source],
        duration_s=duration_s,
        first_token_s=first_token_s,
        finish_reason=finish_reason,
        version=version,
        verification=verification,
        held_at=None if held_at is None else moment(held_at),
        effort=None if effort is None else _EFFORTS.get(effort),
    )


def _attempt_row(attempt: Attempt) -> Row:
    return (
        attempt.model,
        attempt.provider,
        attempt.outcome,
        attempt.served_model,
        attempt.generation_id,
        *_usage_row(attempt.usage),
        attempt.held_nano_usd,
        attempt.cost_nano_usd,
        str(attempt.source),
        attempt.duration_s,
        attempt.first_token_s,
        attempt.finish_reason,
        attempt.version,
        attempt.verification,
        None if attempt.held_at is None else moment_text(attempt.held_at),
        None if attempt.effort is None else attempt.effort.value,
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


def label_row(label: Label) -> tuple[Row, Row]:
    """As REPLACE_LABEL and KEEP_LABEL take it. `content` is the whole label; the columns are to find it by."""
    key = (label.request_id, label.number, label.signal.value)
    return (*key, label.score), (*key, label.team, moment_text(label.at), label.score, _labels_json(label))


def labels(found: Iterable[Found]) -> list[tuple[int, Label]]:
    """With their numbers. Those that cannot be read are left out: see `labels_or_gaps`."""
    return [(number, label) for number, label in labels_or_gaps(found) if label is not None]


def labels_or_gaps(found: Iterable[Found]) -> list[tuple[int, Label | None]]:
    """With their numbers. None: another version has kept it in a form of its own, or it has come to harm."""
    read: list[tuple[int, Label | None]] = []
    for number, content in found:
        label: Label | None = None
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            label = _read_label(content)
        read.append((int(number), label))
    return read


_labels_json = msgspec.json.Encoder().encode
_read_label = msgspec.json.Decoder(Label).decode


def _json_list(words: Iterable[str]) -> str:
    kept = [keepable(word) for word in words]
    return _json_text(kept) if kept else "[]"


def _kept(request_id: str, row: Row) -> Row:
    """The row with text that every store can keep. Raises UnwritableEntry for a number that none can."""
    kept = list(row)
    for position, value in enumerate(row):
        if isinstance(value, str):
            kept[position] = keepable(value)
        elif isinstance(value, int) and not -_MOST <= value <= _MOST:
            raise UnwritableEntry(
                f"Entry {request_id} cannot be kept: it holds a number beyond 2^53.", request_id=request_id
            )
    return tuple(kept)


def keepable(text: str) -> str:
    """The text without what not every store can keep."""
    # Nearly all text is plain ASCII, which its string knows of itself: no look at each character is needed.
    return text if text.isascii() and "\0" not in text else _UNKEEPABLE.sub("\ufffd", text)
