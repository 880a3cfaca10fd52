"""`model@effort` as a candidate: each has its own answer length, price and quality, and what is the same is one."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import (
    Arm,
    ArmName,
    Capability,
    Deployment,
    Effort,
    ModelName,
    Named,
    Task,
    arm_of,
    models_of,
)
from router.decision.decide import Decision, decide
from router.decision.eligibility import Reason
from router.decision.explain import as_data, candidates_told
from router.decision.facts import NO_TIGHTENING, Conditions, RequestProfile, Tightening
from router.decision.policy import Policy, QualityFloor, named_by_client, pinned
from router.decision.recorded import read_record, record_of
from router.quality.predictor import TablePredictor
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy, scores
from tests.replacing import replace

NONE, LOW, MEDIUM, HIGH, XHIGH = Effort.NONE, Effort.LOW, Effort.MEDIUM, Effort.HIGH, Effort.XHIGH
THINKING = frozenset({Capability.REASONING})
CODE = replace(CHAT, task=Task.CODE)  # 900 output tokens are usual, and 1,920 of thought at high effort


def thinker(name: str, usd: str, *, none: float, high: float) -> Deployment:
    by_effort = {
        task: {NONE: thoughtless, HIGH: thorough}
        for (task, thoughtless), thorough in zip(
            scores(dict.fromkeys(Task, none)).items(), scores(dict.fromkeys(Task, high)).values(), strict=True
        )
    }
    what = replace(
        model(name, quality={}, capabilities=THINKING),
        efforts=frozenset({NONE, HIGH, XHIGH}),
        default_effort=HIGH,
        quality_at=by_effort,
    )
    return at("cloud", what, always(per_mtok(usd, usd)))


FLASH, PRO = thinker("maker/flash", "1", none=0.3, high=0.6), thinker("maker/pro", "10", none=0.35, high=0.65)
ALL = catalog(FLASH, PRO)
BOTH = policy("maker/flash@none", "maker/flash@high")


def decided(
    rules: Policy,
    profile: RequestProfile = CODE,
    *,
    tightening: Tightening = NO_TIGHTENING,
    conditions: Conditions = NOON,
) -> Decision:
    return decide(profile, rules, ALL, conditions, quality=TablePredictor(), tightening=tightening)


def ids(decision: Decision) -> list[str]:
    return [each.id for each in decision.ranked]


def test_a_name_is_a_model_or_a_model_at_an_effort() -> None:
    assert arm_of(ModelName("maker/flash:free")) == Arm(
        ModelName("maker/flash:free"), ModelName("maker/flash:free"), None
    )
    assert arm_of(ArmName("maker/flash@high")) == Arm(ArmName("maker/flash@high"), ModelName("maker/flash"), HIGH)
    with pytest.raises(ValueError, match="hard"):
        arm_of(ArmName("maker/flash@hard"))


def test_the_models_of_several_candidates_are_each_named_once() -> None:
    names: list[Named] = [ArmName("a@high"), ModelName("b"), ArmName("a@none"), ModelName("a")]

    assert models_of(names) == ("a", "b")


def test_each_effort_of_a_model_has_its_own_length_price_and_quality() -> None:
    none, high = decided(BOTH).ranked

    assert [each.id for each in (none, high)] == ["cloud:maker/flash@none", "cloud:maker/flash@high"]
    assert (none.effort, none.quality, high.effort, high.quality) == (NONE, 0.3, HIGH, 0.6)
    assert (none.estimate.output_tokens, none.estimate.reasoning_tokens) == (900, 0)
    assert (high.estimate.output_tokens, high.estimate.reasoning_tokens) == (2_820, 1_920)
    assert none.estimate.expected_usd == Decimal("0.0019")  # 1,000 and 900 tokens at $1 a million
    assert high.estimate.expected_usd == Decimal("0.00382")  # 1,000 and 2,820


def test_where_the_cheap_effort_is_not_good_enough_the_next_is_chosen_before_a_dearer_model() -> None:
    rules = replace(policy("maker/flash@none", "maker/flash@high", "maker/pro@none", "maker/pro@high"))
    # The bar is 0.9 x 0.65 = 0.585.
    decision = decided(replace(rules, floor=QualityFloor(0.9, of="best_candidate")))

    assert ids(decision) == ["cloud:maker/flash@high", "cloud:maker/pro@high"]
    assert [(each.deployment, each.effort, each.reason) for each in decision.rejected] == [
        ("cloud:maker/flash", NONE, Reason.BELOW_QUALITY),
        ("cloud:maker/pro", NONE, Reason.BELOW_QUALITY),
    ]


def test_a_clients_own_effort_makes_one_of_all_of_a_model() -> None:
    asking = replace(CODE, effort=NONE)

    (only,) = decided(policy("maker/flash@high", "maker/flash@none"), asking).ranked

    assert (only.id, only.effort_in_force, only.quality) == ("cloud:maker/flash", NONE, 0.3)
    assert only.arm.effort is HIGH  # the first stands for all


def test_a_cap_lowers_and_what_is_the_same_then_is_one() -> None:
    for rules in (replace(BOTH, max_reasoning_effort=LOW), BOTH):
        tightening = NO_TIGHTENING if rules is not BOTH else Tightening(max_effort=LOW)
        (only,) = decided(rules, tightening=tightening).ranked
        assert (only.effort, only.quality, only.estimate.output_tokens) == (NONE, 0.3, 900)


def test_a_request_that_tightens_is_not_left_with_nobody_where_an_equal_candidate_was_refused() -> None:
    """At high effort the first is too dear for the policy; with less thinking it is the second, which is not."""
    wordy = replace(CODE, max_output_tokens=None)
    rules = replace(policy("maker/flash@high", "maker/flash@none"), max_cost_usd=Decimal("0.006"))
    lowered = Tightening(max_effort=NONE)

    assert ids(decided(rules, wordy)) == ["cloud:maker/flash@none"]
    assert ids(decided(rules, wordy, tightening=lowered)) == ["cloud:maker/flash@none"]


def test_a_bare_name_is_its_default_effort_where_that_is_known() -> None:
    (only,) = decided(policy("maker/flash", "maker/flash@high")).ranked

    assert (only.effort, only.effort_in_force, only.quality) == (None, HIGH, 0.6)


def test_a_candidates_effort_comes_before_the_policys_wish() -> None:
    rules = replace(policy("maker/flash@none", "maker/pro"), reasoning_effort=HIGH)

    assert ids(decided(rules)) == ["cloud:maker/flash@none", "cloud:maker/pro@high"]


def test_who_asks_for_thought_without_saying_how_hard_is_not_told_not_to_think() -> None:
    wordy = replace(CODE, needs=THINKING)

    first, second = decided(BOTH, wordy).ranked

    assert {first.effort, second.effort} == {None, HIGH}  # as the client sent it, which is medium; and high
    assert {first.effort_in_force, second.effort_in_force} == {MEDIUM, HIGH}


def test_shares_are_of_candidates() -> None:
    split = replace(BOTH, weights=((ArmName("maker/flash@high"), 1.0),))

    decision = decided(split)

    assert decision.arm == "maker/flash@high"
    assert ids(decision) == ["cloud:maker/flash@high", "cloud:maker/flash@none"]


def test_the_record_tells_the_efforts_of_one_model_apart() -> None:
    decision = decided(BOTH)

    record = read_record(msgspec.json.encode(record_of(decision, NOON)))

    assert record is not None
    assert record.ranked == ("cloud:maker/flash@none", "cloud:maker/flash@high")


def test_a_record_of_before_is_read_with_its_efforts() -> None:
    kept = b'{"version":1,"ranked":["cloud:a","cloud:b"],"efforts":{"cloud:b":"low"},"seed":7}'

    record = read_record(kept)

    assert record is not None
    assert (record.ranked, record.seed) == (("cloud:a", "cloud:b@low"), 7)
    assert not record.keeps_efforts_with_calls


def test_an_explanation_tells_the_efforts_apart() -> None:
    decision = decided(replace(BOTH, floor=QualityFloor(0.5)))

    data = as_data(decision, CODE)
    assert data["considered"] == ["maker/flash@none", "maker/flash@high"]
    assert [each["candidate"] for each in data["candidates"]] == ["maker/flash@high"]
    assert [each["effort"] for each in data["rejections"]] == ["none"]
    assert candidates_told(decision).rows[0][1] == "maker/flash@high"


def test_a_client_that_names_a_model_with_an_effort_has_said_how_hard() -> None:
    offers = [replace(policy("maker/flash@none"), max_reasoning_effort=MEDIUM, reasoning_effort=NONE)]

    named = named_by_client(ArmName("maker/flash@high"), offers)

    assert named.candidates == ("maker/flash@high",)
    assert named.max_reasoning_effort is MEDIUM  # naming it is no way around the cap
    assert named.name == "pinned maker/flash"
    assert ids(decided(named)) == ["cloud:maker/flash@none"]  # it knows nothing between none and high


def test_an_alias_may_pin_a_model_at_an_effort() -> None:
    (only,) = decided(pinned(ArmName("maker/flash@xhigh"))).ranked

    # No figure: high's .6 moved by .24; odds of 1.5 times e^.24 = 1.2712 are 1.9069.
    assert (only.effort, only.quality_is_known) == (XHIGH, False)
    assert only.quality == pytest.approx(0.656, abs=5e-4)


names = st.lists(
    st.sampled_from([f"maker/{model}{at}" for model in ("flash", "pro") for at in ("", "@none", "@high", "@xhigh")]),
    min_size=1,
    unique=True,
)
efforts = st.none() | st.sampled_from(Effort)


@given(names=names, asked=efforts, wish=efforts, most=efforts, thinks=st.booleans(), cap=efforts)
def test_no_two_of_a_decision_are_the_same_and_each_is_within_the_caps(
    names: list[str], asked: Effort | None, wish: Effort | None, most: Effort | None, thinks: bool, cap: Effort | None
) -> None:
    profile = replace(CODE, effort=asked, needs=THINKING if thinks and asked is not NONE else frozenset())
    rules = replace(policy(*names), reasoning_effort=wish, max_reasoning_effort=most)

    decision = decided(rules, profile, tightening=NO_TIGHTENING if cap is None else Tightening(max_effort=cap))

    assert len(set(ids(decision))) == len(decision.ranked)
    assert len({(each.deployment.id, each.effort_in_force) for each in decision.ranked}) == len(decision.ranked)
    assert {each.deployment.model.name for each in decision.ranked} == set(models_of(rules.candidates))
    order = list(Effort)
    for each in decision.ranked:
        for limit in (most, cap):
            if limit is not None and each.effort_in_force is not None:
                assert order.index(each.effort_in_force) <= order.index(limit)
