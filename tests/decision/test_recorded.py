"""What is kept of a decision is enough to make it again."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Capability, Deployment, Effort, Model, Task
from router.decision.data_rules import NO_DATA_RULES, DataRules
from router.decision.decide import Decision, decide
from router.decision.explain import profile_as_data
from router.decision.facts import Conditions, Latency, OutputForecast, PrefixMark, RequestProfile, Tightening
from router.decision.policy import Objective, QualityFloor
from router.decision.recorded import (
    VERSION,
    DecisionRecord,
    Remembering,
    profile_json,
    read_profile,
    read_record,
    record_of,
    remembered,
)
from router.quality.cascade import Accuracy
from router.quality.predictor import Lesson, TablePredictor
from router.quality.verify import CheckKind
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

NAMES = ("maker/flash", "maker/pro", "other/opus")
MODELS = {
    name: model(name, quality=0.6 + number / 10, capabilities=frozenset(Capability))
    for number, name in enumerate(NAMES)
}
CATALOG = catalog(
    *(at(provider, what, always(per_mtok("1", "4"))) for what in MODELS.values() for provider in ("cloud", "local"))
)


class Learned:
    """An experience that nobody could guess: chance, kept for one decision."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def input_ratio(self, _: Model, __: RequestProfile) -> float:
        return self._chance.uniform(0.8, 1.7)

    def output(self, _: Deployment, __: RequestProfile, ___: Effort | None) -> OutputForecast:
        return OutputForecast(self._chance.randrange(10, 2_000), self._chance.randrange(10))

    def latency(self, _: Deployment, __: RequestProfile) -> Latency | None:
        return self._chance.choice((None, Latency(self._chance.random(), 50.0)))

    def quality(self, _: Model, __: RequestProfile, ___: Effort | None) -> Lesson:
        return Lesson(0.25, 0.01, 80.0)

    def accuracy(self, _: CheckKind, __: RequestProfile) -> Accuracy:
        return Accuracy(self._chance.uniform(0.5, 1), self._chance.uniform(0.5, 1))

    def judged(self, _: RequestProfile) -> float:
        return 60.0


def cases() -> Iterator[tuple[RequestProfile, Conditions, Tightening]]:
    for seed in range(100):
        chance = random.Random(seed)
        profile = replace(
            CHAT,
            input_tokens=chance.randrange(1, 50_000),
            task=chance.choice(list(Task)),
            needs=frozenset(chance.sample(list(Capability), 2)),
            max_output_tokens=chance.choice((None, 5, 5_000)),
            tags=("a", "b"),
            effort=chance.choice((None, Effort.HIGH)),
            prefix=(PrefixMark(2**64 - 1 - seed, 400),),
        )
        conditions = Conditions(
            NOON.now,
            unavailable={next(iter(CATALOG)).id: "down"} if chance.random() < 0.3 else {},
            seed=seed,
            warm_tokens={each.id: chance.randrange(500) for each in CATALOG if chance.random() < 0.5},
            further_turns=chance.randrange(3),
            growth_tokens=chance.randrange(500),
            later_tokens={each.id: chance.randrange(500) for each in CATALOG},
            experience=remembered(Learned(seed)),
        )
        tightening = Tightening(
            chance.choice((None, Decimal("0.05"))),
            chance.choice((None, 0.65)),
            max_effort=chance.choice((None, Effort.LOW)),
            data=chance.choice((NO_DATA_RULES, DataRules(ignore=frozenset({"local", "other"})))),
        )
        yield profile, conditions, tightening


profiles = st.builds(
    RequestProfile,
    alias=st.text(),
    needs=st.frozensets(st.sampled_from(Capability)),
    difficulty=st.floats(0, 1),
    tags=st.lists(st.text(), max_size=3).map(tuple),
    prefix=st.lists(st.builds(PrefixMark, st.integers(0, 2**64 - 1), st.integers(0, 10**6)), max_size=3).map(tuple),
)


@given(profiles)
def test_the_profile_that_is_kept_is_the_one_that_is_shown(profile: RequestProfile) -> None:
    assert profile_json(profile) == msgspec.json.encode(profile_as_data(profile))
    assert read_profile(profile_json(profile)) == profile


def decided(profile: RequestProfile, conditions: Conditions, tightening: Tightening) -> Decision:
    rules = replace(policy(*NAMES), objective=Objective.CHEAPEST, floor=QualityFloor(0.5))
    return decide(profile, rules, CATALOG, conditions, quality=TablePredictor(), tightening=tightening)


def test_a_decision_made_again_from_its_record_is_the_same_to_the_last_figure() -> None:
    for profile, conditions, tightening in cases():
        decision = decided(profile, conditions, tightening)
        kept = msgspec.json.encode(record_of(decision, conditions, tightening=tightening))
        kept_profile = profile_json(profile)

        record, read = read_record(kept), read_profile(kept_profile)
        assert record is not None
        assert read == profile
        again = decided(read, record.conditions(Conditions(NOON.now, experience=Learned(99))), record.tightening)

        assert record.ranked == tuple(each.id for each in decision.ranked)
        assert again.ranked == decision.ranked
        assert [(each.deployment, each.reason) for each in again.rejected] == [
            (each.deployment, each.reason) for each in decision.rejected
        ]


def test_every_condition_is_in_the_record() -> None:
    named = set(Conditions.__struct_fields__) - set(DecisionRecord.__struct_fields__)

    assert named == {"now", "experience"}  # the entry's own moment, and `answers`


def test_an_ordinary_record_is_small() -> None:
    decision = decided(CHAT, NOON, Tightening())

    kept = json.loads(msgspec.json.encode(record_of(decision, NOON)))

    assert kept.keys() == {"version", "ranked"}


def test_what_was_not_asked_for_then_is_asked_now() -> None:
    stranger = at("cloud", model("new/model"), always(per_mtok("1", "4")))
    conditions = replace(NOON, experience=remembered(Learned(1)))
    record = record_of(decided(CHAT, conditions, Tightening()), conditions)

    experience = record.conditions(replace(NOON, experience=Learned(2))).experience

    assert experience.output(stranger, CHAT, None) == Learned(2).output(stranger, CHAT, None)


def test_where_the_prompt_is_warmer_now_than_it_was_then_counts() -> None:
    first, second, *_ = (each.id for each in CATALOG)
    record = DecisionRecord(version=VERSION, ranked=(), warm_tokens={first: 100, second: 200})

    conditions = record.conditions(replace(NOON, warm_tokens={second: 0}))

    assert conditions.warm_tokens == {first: 100, second: 0}


def test_answers_within_one_plan_do_not_change() -> None:
    experience = Remembering(Learned(3))
    each = next(iter(CATALOG))

    def answers() -> tuple[object, ...]:
        return (
            experience.input_ratio(each.model, CHAT),
            experience.output(each, CHAT, Effort.LOW),
            experience.latency(each, CHAT),
        )

    assert answers() == answers()


@pytest.mark.parametrize("content", [b"", b"{}", b"no JSON", b'{"version":3,"ranked":[]}', b'{"version":1}'])
def test_a_record_that_is_not_understood_is_none(content: bytes) -> None:
    assert read_record(content) is None


@pytest.mark.parametrize("content", [b"", b'{"input_tokens":980}', b"[]"])
def test_a_profile_that_is_not_understood_is_none(content: bytes) -> None:
    assert read_profile(content) is None
