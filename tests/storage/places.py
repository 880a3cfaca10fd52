"""Where a store of either kind is kept: a place is a path or a URL, and can be told to another process."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from router.catalog.catalog import Effort, ModelName, ProviderName
from router.keys import KeyId, Secret, TeamName
from router.ledger import Attempt, LedgerEntry, Outcome
from router.storage.postgres import PostgresStore
from router.storage.rows import moment
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from router.units import CostSource, Usage

Places = Callable[[], AbstractContextManager[str]]


@contextmanager
def new_file() -> Iterator[str]:
    with TemporaryDirectory() as directory:
        yield str(Path(directory) / "ledger.sqlite")


def is_postgres(place: str) -> bool:
    return place.startswith("postgresql:")


@contextmanager
def opened(place: str) -> Iterator[Store]:
    store: Store = PostgresStore(Secret(place)) if is_postgres(place) else SqliteStore(Path(place))
    with closing(store):
        yield store


def run(place: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run SQL in the place, all in one transaction; the rows of the last statement, if it has any."""
    found: list[tuple[Any, ...]] = []
    if is_postgres(place):
        with psycopg.connect(place) as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
                found = cursor.fetchall() if cursor.description else []
    else:
        with closing(sqlite3.connect(place)) as file, file:
            for statement in statements:
                found = file.execute(statement).fetchall()
    return found


def kept_entries(place: str) -> list[LedgerEntry]:
    """All entries with all that is kept of them, in the order of their ids."""
    found = run(
        place,
        "SELECT id, request_id, at, team, key_id, alias, policy, rule, outcome, rejected, profile,"
        " counted_input_tokens, expected_nano_usd, baseline, baseline_nano_usd, config_version, is_stream,"
        " overhead_s, first_token_s, duration_s, tags, conditions FROM entries ORDER BY request_id",
    )
    calls = run(
        place,
        "SELECT entry_id, number, model, provider, outcome, served_model, generation_id, input_tokens,"
        " output_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, held_nano_usd, cost_nano_usd, source,"
        " duration_s, first_token_s, finish_reason, version, verification, held_at, effort FROM attempts"
        " ORDER BY entry_id, number",
    )
    return [_entry(row, [call for call in calls if call[0] == row[0]]) for row in found]


def _entry(row: tuple[Any, ...], calls: list[tuple[Any, ...]]) -> LedgerEntry:
    _, request_id, at, team, key_id, alias, policy, rule, outcome, rejected, profile, *rest = row
    (
        counted,
        expected,
        baseline,
        baseline_nano_usd,
        config,
        is_stream,
        overhead_s,
        first_s,
        duration_s,
        tags,
        conditions,
    ) = rest
    assert [number for _, number, *_ in calls] == list(range(1, len(calls) + 1))
    return LedgerEntry(
        request_id=request_id,
        at=moment(at),
        team=TeamName(team),
        key_id=KeyId(key_id),
        alias=alias,
        policy=policy,
        rule=rule,
        outcome=Outcome(outcome),
        attempts=tuple(_attempt(request_id, call) for call in calls),
        rejected=tuple((ModelName(each.split()[0]), each.split()[1]) for each in json.loads(rejected)),
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
        tags=tuple(json.loads(tags)),
        conditions_json=conditions,
    )


def _attempt(request_id: str, call: tuple[Any, ...]) -> Attempt:
    _, number, model, provider, outcome, served_model, generation_id, *rest = call
    *tokens, held, cost, source, duration_s, first_token_s, finish_reason, version, verification, held_at, effort = rest
    return Attempt(
        id=f"{request_id}.{number}",
        model=ModelName(model),
        provider=ProviderName(provider),
        outcome=outcome,
        served_model=served_model,
        generation_id=generation_id,
        usage=None if tokens[0] is None else Usage(*tokens),
        held_nano_usd=held,
        cost_nano_usd=cost,
        source=CostSource(source),
        duration_s=duration_s,
        first_token_s=first_token_s,
        finish_reason=finish_reason,
        version=version,
        verification=verification,
        held_at=None if held_at is None else moment(held_at),
        effort=None if effort is None else Effort(effort),
    )
