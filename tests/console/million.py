"""A ledger of a month: `fill` writes any number of entries, evenly over the days before a moment, with labels.

`python -m tests.console.million FILE [--entries 1000000]` makes a SQLite file; the tests fill either kind of store.
"""

import argparse
import random
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from router.catalog.catalog import ModelName, ProviderName, Task
from router.decision.explain import profile_as_data
from router.decision.recorded import VERSION, DecisionRecord
from router.keys import KeyId, TeamName
from router.ledger import Attempt, LedgerEntry, Outcome
from router.quality.labels import Label, Signal
from router.storage.sqlite import SqliteStore
from router.storage.store import Store
from router.units import CostSource, Usage
from tests.decision.builders import CHAT

DAYS = 29
_BATCH = 1_000
_LABELLED = 0.1  # of the requests
_OPENROUTER = ProviderName("openrouter")
_TEAMS = ["research", "search", *(f"team-{number:02}" for number in range(10))]
_MODELS = {  # share, and dollars per million tokens in and out
    "deepseek/deepseek-v4-flash": (0.62, 0.14, 0.28),
    "deepseek/deepseek-v4-pro": (0.2, 0.435, 0.87),
    "openai/gpt-5.4": (0.09, 1.25, 10.0),
    "anthropic/claude-opus-4.7": (0.06, 5.0, 25.0),
    "openai/gpt-5.5": (0.03, 5.0, 30.0),
}
_PROFILE = msgspec.json.encode(profile_as_data(CHAT))
_CONDITIONS = msgspec.json.encode(DecisionRecord(VERSION, ("openrouter:deepseek/deepseek-v4-flash",)))


def fill(store: Store, entries: int, *, until: datetime) -> None:
    chance = random.Random(20261130)
    for start in range(0, entries, _BATCH):
        batch = [_entry(number, entries, until, chance) for number in range(start, min(start + _BATCH, entries))]
        store.write(batch)
        store.keep_labels([_label(each, chance) for each in batch if each.attempts and chance.random() < _LABELLED])


def _entry(number: int, entries: int, until: datetime, chance: random.Random) -> LedgerEntry:
    at = until - timedelta(days=DAYS) * (1 - number / entries) - timedelta(seconds=1)
    model = chance.choices(list(_MODELS), [share for share, _, _ in _MODELS.values()])[0]
    outcome = chance.choices(
        [Outcome.OK, Outcome.CLIENT_GONE, Outcome.CACHED, Outcome.REFUSED, Outcome.FAILED, Outcome.CUT],
        [0.955, 0.01, 0.015, 0.012, 0.005, 0.003],
    )[0]
    _, input_rate, output_rate = _MODELS[model]
    tokens, output = chance.randrange(200, 6_000), chance.randrange(20, 900)
    cost = round(1_000 * (tokens * input_rate + output * output_rate))
    baseline = round(1_000 * (tokens * 1.25 + output * 10))
    request_id = f"req_{number:024x}"
    duration_s = 0.4 + output / 90
    call = Attempt(
        id=f"{request_id}.1",
        model=ModelName(model),
        provider=_OPENROUTER,
        outcome="ok",
        served_model=model,
        generation_id=f"gen-{number}",
        usage=Usage(input_tokens=tokens, output_tokens=output, cached_tokens=tokens // 3),
        held_nano_usd=cost * 8,
        cost_nano_usd=cost,
        source=CostSource.REPORTED,
        duration_s=duration_s,
        first_token_s=0.4,
        finish_reason="stop",
    )
    is_called = outcome not in (Outcome.REFUSED, Outcome.CACHED)
    return LedgerEntry(
        request_id=request_id,
        at=at,
        team=TeamName(_TEAMS[number % len(_TEAMS)]),
        key_id=KeyId(f"{chance.randrange(60):016x}"),
        alias="auto",
        policy="balanced",
        rule="code" if chance.random() < 0.3 else None,
        outcome=outcome,
        attempts=(call,) if is_called else (),
        rejected=((ModelName("anthropic/claude-opus-4.7"), "below_quality"),),
        profile_json=_PROFILE,
        counted_input_tokens=tokens if is_called else 0,
        expected_nano_usd=cost if is_called else 0,
        baseline=ModelName("openai/gpt-5.4"),
        baseline_nano_usd=baseline if is_called else None,
        config_version="0123456789ab",
        is_stream=True,
        overhead_s=0.0007,
        first_token_s=0.41,
        duration_s=duration_s,
        tags=("app=web",) if chance.random() < 0.3 else (),
        conditions_json=_CONDITIONS,
    )


def _label(entry: LedgerEntry, chance: random.Random) -> Label:
    return Label(
        request_id=entry.request_id,
        number=1,
        signal=chance.choice(list(Signal)),
        team=entry.team,
        model=entry.attempts[0].model,
        effort=None,
        version=None,
        task=chance.choice(list(Task)),
        asked_at=entry.at,
        at=entry.at + timedelta(seconds=30),
        score=chance.choice([0.0, 0.5, 1.0, 1.0, 1.0]),
        prior_logit=1.5,
        features={"difficulty": 0.4},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--entries", type=int, default=1_000_000)
    arguments = parser.parse_args()
    begun_s = time.perf_counter()
    with closing(SqliteStore(arguments.file)) as store:
        fill(store, arguments.entries, until=datetime.fromtimestamp(time.time(), UTC))  # noqa: TID251 - for a person
    print(f"{arguments.entries} entries in {time.perf_counter() - begun_s:.0f} s")  # noqa: T201 - the same


if __name__ == "__main__":
    main()
