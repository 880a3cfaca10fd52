"""Ledgers with scores, of a world whose truth is known: entries as `decide` would have them booked."""

import random
from datetime import UTC, datetime, timedelta
from math import log

import msgspec

from router.catalog.catalog import ModelName, Task
from router.decision.decide import Decision, decide
from router.decision.facts import RequestProfile
from router.decision.policy import Policy
from router.decision.recorded import profile_json, record_of
from router.keys import TeamName
from router.learning.quality_features import features_of, named
from router.ledger import Attempt, LedgerEntry
from router.quality.labels import Label, Signal
from router.quality.predictor import TablePredictor
from router.quality.signals import TextSignals
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace
from tests.storage.entries import attempt, entry

FLASH, PRO, GPT = (
    ModelName(name) for name in ("deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "openai/gpt-5.5")
)
CATALOG = catalog(
    at("openrouter", model(FLASH, quality=0.6), always(per_mtok("1", "1"))),
    at("openrouter", model(GPT, quality=0.9), always(per_mtok("10", "10"))),
    at("openrouter", model(PRO, quality=0.8), always(per_mtok("5", "5"))),
)
EXPLORING = replace(policy(FLASH, GPT), explore=0.2)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
COSTS = {FLASH: 100_000, PRO: 500_000, GPT: 1_000_000}  # nano-dollars a request

# How often each answers rightly: the strong one is worth its price for mathematics alone.
RIGHT = {(FLASH, Task.CHAT): 0.9, (GPT, Task.CHAT): 0.92, (FLASH, Task.MATH): 0.4, (GPT, Task.MATH): 0.9}


def profile_of(task: Task, *, difficulty: float = 0.0) -> RequestProfile:
    signals = TextSignals(difficulty_logit=difficulty, familiarity=0.9, head="shipped")
    return replace(CHAT, task=task, signals=signals, team="search")


def decided(profile: RequestProfile, seed: int, rules: Policy = EXPLORING) -> Decision:
    return decide(profile, rules, CATALOG, replace(NOON, seed=seed), quality=TablePredictor())


def asked(
    number: int, profile: RequestProfile, *, seed: int | None = None, rules: Policy = EXPLORING, at: datetime = NOW
) -> LedgerEntry:
    """A request that the model its decision chose has answered."""
    conditions = replace(NOON, seed=number if seed is None else seed)
    decision = decide(profile, rules, CATALOG, conditions, quality=TablePredictor())
    assert decision.chosen is not None
    name = decision.chosen.deployment.model.name
    return replace(
        entry(f"req_{number}", call_of(name), at=at),
        profile_json=profile_json(profile),
        conditions_json=msgspec.json.encode(record_of(decision, conditions)),
    )


def call_of(name: ModelName, *, outcome: str = "ok", verification: str | None = None) -> Attempt:
    return attempt(model=name, cost_nano_usd=COSTS[name], outcome=outcome, verification=verification)


def scored(one: LedgerEntry, score: float, *, number: int = 1, signal: Signal = Signal.FEEDBACK) -> Label:
    """What a client, or another signal, says of one of the calls."""
    profile = msgspec.json.decode(one.profile_json, type=RequestProfile)
    return Label(
        request_id=one.request_id,
        number=number,
        signal=signal,
        team=TeamName(one.team),
        model=one.attempts[number - 1].model,
        effort=None,
        version=None,
        task=profile.task,
        asked_at=one.at,
        at=one.at + timedelta(minutes=1),
        score=score,
        prior_logit=round(log(3.0), 5),
        features=named(features_of(profile, None)),
    )


def world(
    count: int,
    *,
    rules: Policy = EXPLORING,
    share: float = 1.0,
    until: datetime = NOW,
    right: dict[tuple[ModelName, Task], float] | None = None,
) -> tuple[list[LedgerEntry], list[Label]]:
    """So many requests, a second apart, the last just before `until`, half of them mathematics, which looks harder.

    `share` of the answers are scored.
    """
    chance = random.Random(5)
    truth = RIGHT if right is None else right
    entries: list[LedgerEntry] = []
    labels: list[Label] = []
    for number in range(count):
        task = Task.MATH if chance.random() < 0.5 else Task.CHAT
        profile = profile_of(task, difficulty=chance.gauss(1.0 if task is Task.MATH else -1.0, 1.0))
        one = asked(number, profile, rules=rules, at=until - timedelta(seconds=count - number))
        entries.append(one)
        if chance.random() < share:
            labels.append(scored(one, float(chance.random() < truth[one.attempts[0].model, task])))
    return entries, labels
