"""Ledger entries as rows, and rows as values: what every store writes and reads alike."""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from router.catalog.book import PriceRow
from router.catalog.catalog import ModelName, ProviderName
from router.catalog.tariffs import as_data, from_data
from router.keys import ApiKey, KeyId, TeamName
from router.ledger import Attempt, DoubtfulCall, LedgerEntry, SpendRow
from router.quotas import ScopeId, ScopeKind, shadowed_policy
from router.storage.errors import UnwritableEntry
from router.units import Usage

_MOST_IDS = 500  # in one statement
Row = tuple[object, ...]  # to be written
Found = tuple[Any, ...]  # as a driver returns it; what it holds is known from the statement

# The largest number kept: JSON and Lua count exactly up to here, and in 64 bits a thousand of them can be added up. A
# provider may report any number of tokens.
_MOST = 2**53

# PostgreSQL keeps no NUL, and UTF-8 has no lone surrogates; some text is the provider's, and money is not lost for it.
_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")


def entry_row(entry: LedgerEntry) -> Row:
    """In the order of statements.ENTRY_COLUMNS. Raises UnwritableEntry."""
    at = moment_text(entry.at)
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
            entry.outcome.value,
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
    expires_at = moment_text(key.expires_at) if key.expires_at else None
    return (key.id, key.team, key.name, key.digest, moment_text(key.created_at), expires_at)


def price_row(row: PriceRow) -> Row:
    """The values of statements.KEEP_PRICE."""
    return (
        row.provider,
        _keepable(row.upstream_model),
        moment_text(row.starts),
        None if row.version is None else _keepable(row.version),
        None if row.tariff is None else json.dumps(as_data(row.tariff), separators=(",", ":")),
        _keepable(row.source),
        moment_text(row.first_seen),
        moment_text(row.last_seen),
    )


def moment_text(moment: datetime) -> str:
    """UTC with microseconds always written, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def moment(value: str | datetime) -> datetime:
    """An instant as a driver returns it: SQLite has text."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


def api_key(found: Found) -> ApiKey:
    """From the columns of statements.ALL_KEYS."""
    key_id, team, name, digest, created_at, expires_at, revoked_at = found
    return ApiKey(
        id=KeyId(key_id),
        team=TeamName(team),
        name=name,
        digest=digest,
        created_at=moment(created_at),
        expires_at=moment(expires_at) if expires_at else None,
        revoked_at=moment(revoked_at) if revoked_at else None,
    )


def found_price(found: Found) -> PriceRow:
    """From the columns of statements.ALL_PRICES."""
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
    """From the columns of statements.DOUBTFUL."""
    request_id, number, at, team, key_id, tags, model, provider, generation_id, held_nano_usd = found
    return DoubtfulCall(
        request_id=request_id,
        number=number,
        at=moment(at),
        team=TeamName(team),
        key_id=KeyId(key_id),
        tags=tuple(json.loads(tags)),
        model=ModelName(model),
        provider=ProviderName(provider),
        generation_id=generation_id,
        held_nano_usd=held_nano_usd,
    )


def requests_of(call_ids: Collection[str]) -> Iterator[list[str]]:
    """The ids of the requests that these calls belong to, each once, as many at a time as a statement takes."""
    request_ids = list(dict.fromkeys(call_id.rpartition(".")[0] for call_id in call_ids))
    for start in range(0, len(request_ids), _MOST_IDS):
        yield request_ids[start : start + _MOST_IDS]


def call_ids(found: Iterable[Found]) -> set[str]:
    """From the columns of statements.BOOKED."""
    return {f"{request_id}.{number}" for request_id, number in found}


def spent_by_scope(found: Iterable[Found]) -> dict[ScopeId, int]:
    """From the columns of statements.SPENT_SINCE: sums of entries that agree in team, key and tags."""
    spent: defaultdict[ScopeId, int] = defaultdict(int)
    for team, key_id, tags, cost in found:
        nano_usd = int(cost)
        tags_read: list[str] = json.loads(tags)
        if tags_read and shadowed_policy(tags_read[0]) is not None:
            spent[ScopeId(team, ScopeKind.PROJECT, tags_read[0])] += nano_usd  # its own budget, and nobody else's
            continue
        spent[ScopeId.of_team(team)] += nano_usd
        spent[ScopeId(team, ScopeKind.KEY, key_id)] += nano_usd
        for tag in tags_read:
            spent[ScopeId(team, ScopeKind.PROJECT, tag)] += nano_usd
    return dict(spent)


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
        attempt.source.value,
        attempt.duration_s,
        attempt.first_token_s,
        attempt.finish_reason,
        attempt.version,
        attempt.verification,
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
    return json.dumps([_keepable(word) for word in words], separators=(",", ":"))


def _kept(request_id: str, row: Row) -> Row:
    """The row with text that every store can keep. Raises UnwritableEntry for a number that none can."""
    for value in row:
        if isinstance(value, int) and not -_MOST <= value <= _MOST:
            raise UnwritableEntry(
                f"Entry {request_id} cannot be kept: it holds a number beyond 2^53.", request_id=request_id
            )
    return tuple(_keepable(value) if isinstance(value, str) else value for value in row)


def _keepable(text: str) -> str:
    return _UNKEEPABLE.sub("\ufffd", text)
