"""A cheap model that is not good enough alone is asked first where its answer is checked, and only where that pays."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Deployment, Effort, Model, ModelName
from router.decision.decide import Decision, decide
from router.decision.eligibility import Reason
from router.decision.explain import as_data, notes
from router.decision.facts import NO_EXPERIENCE, Conditions, Latency, OutputForecast, RequestProfile, Tightening
from router.decision.policy import Objective, Policy, QualityFloor
from router.decision.recorded import cascade_ids, read_record, record_of, remembered
from router.quality.cascade import Accuracy, cascade
from router.quality.predictor import Lesson, TablePredictor
from router.quality.verify import Check, CheckKind
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

NAMES = ("maker/small", "maker/odd", "maker/large", "maker/huge")
CATALOG = catalog(
    *(
        at("cloud", model(f"maker/{name}", quality=quality), always(per_mtok(str(price), str(4 * price))))
        for name, quality, price in (("small", 0.8, 1), ("odd", 0.75, 2), ("large", 0.9, 50), ("huge", 0.95, 90))
    )
)
LIMITED = replace(CHAT, max_output_tokens=1_000)
PATTERN = (Check(CheckKind.REGEX, "x"),)
AGREEMENT = (Check(CheckKind.AGREEMENT),)
CHECKED = replace(policy(*NAMES), floor=QualityFloor(0.88), verify=PATTERN)


class Verified:
    """An experience with a check as good as this; else nothing has been learned."""

    def __init__(self, sensitivity: float, specificity: float, *, latency: Latency | None = None) -> None:
        self._accuracy = Accuracy(sensitivity, specificity)
        self._latency = latency

    def input_ratio(self, what: Model, profile: RequestProfile) -> float:
        return NO_EXPERIENCE.input_ratio(what, profile)

    def output(self, deployment: Deployment, profile: RequestProfile, effort: Effort | None) -> OutputForecast:
        return NO_EXPERIENCE.output(deployment, profile, effort)

    def latency(self, _: Deployment, __: RequestProfile) -> Latency | None:
        return self._latency

    def quality(self, what: Model, profile: RequestProfile, effort: Effort | None) -> Lesson:
        return NO_EXPERIENCE.quality(what, profile, effort)

    def accuracy(self, _: CheckKind, __: RequestProfile) -> Accuracy:
        return self._accuracy


GOOD = replace(NOON, experience=Verified(0.95, 0.9))


def _decided(
    rules: Policy = CHECKED,
    when: Conditions = GOOD,
    *,
    profile: RequestProfile = LIMITED,
    tightening: Tightening | None = None,
) -> Decision:
    return decide(profile, rules, CATALOG, when, quality=TablePredictor(), tightening=tightening or Tightening())


def _names(decision: Decision) -> list[str]:
    return [each.deployment.model.name.removeprefix("maker/") for each in decision.ranked]


def test_a_cheap_model_goes_first_where_a_good_check_stands_behind_it() -> None:
    decision = _decided()
    arm = decision.cascade

    assert arm is not None
    assert _names(decision) == ["small", "large", "huge"]
    assert (arm.first, arm.then, arm.opinion) == (decision.ranked[0], decision.ranked[1], None)
    expected = cascade(0.8, 0.9, Accuracy(0.95, 0.9))
    assert (arm.probability, arm.escalated) == expected
    assert arm.probability > 0.88
    small, large = (each.estimate.expected_usd for each in decision.ranked[:2])
    assert arm.expected_usd == small + Decimal(expected.escalated) * large
    assert [(each.model, each.reason) for each in decision.rejected] == [("maker/odd", Reason.BELOW_QUALITY)]


@pytest.mark.parametrize(
    "rules",
    [
        replace(CHECKED, verify=()),
        replace(CHECKED, floor=None),  # it is good enough alone
        replace(CHECKED, floor=QualityFloor(0.96)),  # nobody could be asked behind it
        replace(CHECKED, weights=((ModelName("maker/huge"), 0.5),)),
        replace(CHECKED, verify=(Check(CheckKind.TOOL_ARGUMENTS),)),  # does not concern this request
    ],
)
def test_without_a_check_or_a_need_the_decision_is_what_it_was(rules: Policy) -> None:
    decision = _decided(rules)

    assert decision.cascade is None
    assert decision.ranked == _decided(replace(rules, verify=())).ranked


def test_a_check_that_says_little_does_not_make_a_cheap_model_good_enough() -> None:
    assert _decided(when=NOON).cascade is None  # the prior of a pattern
    assert _decided(when=replace(NOON, experience=Verified(0.95, 0.2))).cascade is None


def test_a_check_that_sends_nearly_everything_on_does_not_pay() -> None:
    strict = replace(NOON, experience=Verified(0.01, 1.0))

    assert _decided(when=strict).cascade is None


def test_a_stream_that_is_not_collected_is_not_checked_and_so_no_cascade() -> None:
    streamed = replace(LIMITED, is_stream=True)

    assert _decided(profile=streamed).cascade is None
    assert _decided(replace(CHECKED, buffers_streams=True), profile=streamed).cascade is not None


def test_agreement_asks_another_model_that_is_not_good_enough_alone_and_pays_for_it() -> None:
    rules = replace(CHECKED, verify=AGREEMENT)
    arm = _decided(rules).cascade

    assert arm is not None
    assert arm.opinion is not None
    assert arm.opinion.deployment.model.name == "maker/odd"
    asked = (arm.first.estimate.expected_usd, arm.opinion.estimate.expected_usd)
    assert arm.expected_usd == sum(asked) + Decimal(arm.escalated) * arm.then.estimate.expected_usd
    alone = replace(rules, candidates=tuple(ModelName(name) for name in NAMES if name != "maker/odd"))
    assert _decided(alone).cascade is None  # nobody to agree with


def test_the_ceiling_must_leave_room_for_the_call_behind_the_first() -> None:
    small, large, *_ = (each.estimate for each in _decided().ranked)
    least_usd = small.expected_usd + large.worst_usd

    assert _decided(replace(CHECKED, max_cost_usd=least_usd)).cascade is not None
    assert _decided(replace(CHECKED, max_cost_usd=least_usd - Decimal("0.000000001"))).cascade is None


def test_a_limit_of_ours_is_shortened_for_the_call_behind_the_first() -> None:
    unlimited = replace(CHECKED, max_cost_usd=Decimal(1))
    decision = _decided(unlimited, profile=CHAT)

    assert decision.cascade is not None
    assert decision.cascade.first.estimate.expected_usd + decision.cascade.then.estimate.worst_usd > 1


def test_a_latency_limit_counts_both_calls_as_often_as_they_are_made() -> None:
    # 350 output tokens at 100 a second after one second: 4.5 s; 1.22 of them.
    fast = replace(NOON, experience=Verified(0.95, 0.9, latency=Latency(1.0, 100.0)))
    escalated = cascade(0.8, 0.9, Accuracy(0.95, 0.9)).escalated
    least_ms = 4_500 * (1 + escalated)

    assert _decided(replace(CHECKED, max_latency_ms=int(least_ms) + 1), fast).cascade is not None
    assert _decided(replace(CHECKED, max_latency_ms=int(least_ms) - 1), fast).cascade is None
    assert _decided(replace(CHECKED, max_latency_ms=10_000)).cascade is None  # not measured


def test_the_request_may_ask_for_more_than_a_cascade_gives() -> None:
    arm = _decided(tightening=Tightening(min_quality=0.92)).cascade

    assert arm is not None
    assert arm.then.deployment.model.name == "maker/huge"  # with maker/large they would be 0.912 together
    assert _decided(tightening=Tightening(min_quality=0.99)).cascade is None


def test_who_must_be_sure_takes_both_models_for_as_good_as_they_are_at_least() -> None:
    two = (ModelName("maker/small"), ModelName("maker/huge"))
    demanding = replace(CHECKED, candidates=two, floor=QualityFloor(0.92))
    sure = _decided(replace(demanding, confidence=0.9))

    assert _decided(demanding).cascade is not None
    assert _names(sure) == ["huge"]  # 0.928 at least; small, 0.731 at least, and huge are 0.909 together
    assert sure.cascade is None


def test_the_best_is_a_cascade_only_if_the_whole_is_better_than_the_best() -> None:
    best = replace(CHECKED, objective=Objective.BEST)
    perfect = replace(NOON, experience=Verified(1.0, 1.0))

    assert _decided(best).cascade is None
    assert _names(_decided(best)) == ["huge", "large"]
    arm = _decided(best, perfect).cascade
    assert arm is not None
    assert arm.probability > 0.95
    assert arm.then.deployment.model.name == "maker/huge"


def test_the_decision_tells_its_cascade_in_words_and_data() -> None:
    decision = _decided()

    [note] = notes(decision)
    assert note.startswith("cloud:maker/small is asked first, and cloud:maker/large where a check fails (22% of such")
    told = as_data(decision, LIMITED)["cascade"]
    assert (told["first"], told["then"], told["opinion"]) == ("cloud:maker/small", "cloud:maker/large", None)
    assert told["quality"] == round(decision.cascade.probability, 6) if decision.cascade else False
    assert as_data(_decided(when=NOON), LIMITED)["cascade"] is None


def test_a_cascade_is_recorded_with_the_accuracies_it_was_decided_by_and_decided_again() -> None:
    when = replace(GOOD, experience=remembered(GOOD.experience))
    decision = _decided(when=when)
    record = record_of(decision, when)

    assert record.cascade == cascade_ids(decision) == ("cloud:maker/small", "cloud:maker/large")
    assert record.answers is not None
    assert record.answers.accuracies == {CheckKind.REGEX: (0.95, 0.9)}
    assert read_record(msgspec.json.encode(record)) == record
    again = _decided(when=record.conditions(NOON))
    assert again == decision
    assert record_of(_decided(when=NOON), NOON).cascade == ()


SHARES = st.floats(0.01, 0.99)


@given(
    qualities=st.lists(SHARES, min_size=4, max_size=4),
    prices=st.lists(st.integers(1, 200), min_size=4, max_size=4),
    sensitivity=SHARES,
    specificity=SHARES,
    floor=SHARES,
    objective=st.sampled_from(Objective),
    checks=st.sampled_from([PATTERN, AGREEMENT, PATTERN + AGREEMENT]),
)
def test_a_cascade_is_good_enough_and_never_what_the_objective_likes_less(
    qualities: list[float],
    prices: list[int],
    sensitivity: float,
    specificity: float,
    floor: float,
    objective: Objective,
    checks: tuple[Check, ...],
) -> None:
    among = catalog(
        *(
            at("cloud", model(name, quality=quality), always(per_mtok(str(price), str(4 * price))))
            for name, quality, price in zip(NAMES, qualities, prices, strict=True)
        )
    )
    rules = replace(CHECKED, floor=QualityFloor(floor), objective=objective, verify=checks)
    when = replace(NOON, experience=Verified(sensitivity, specificity))

    decision = decide(LIMITED, rules, among, when, quality=TablePredictor())
    plain = decide(LIMITED, replace(rules, verify=()), among, when, quality=TablePredictor())

    arm = decision.cascade
    if arm is None:
        assert decision.ranked == plain.ranked
        return
    best = plain.ranked[0]
    assert decision.ranked == (arm.first, *plain.ranked)
    assert arm.then in plain.ranked
    assert arm.first.quality < floor <= arm.probability
    assert arm.first.deployment.id not in [each.deployment for each in decision.rejected]
    if objective is Objective.CHEAPEST:
        assert arm.expected_usd <= best.estimate.expected_usd
    if objective is Objective.BEST:
        assert arm.probability >= best.quality
    if arm.opinion is not None:
        assert arm.opinion.deployment.model.name not in (
            arm.first.deployment.model.name,
            arm.then.deployment.model.name,
        )


def test_a_ceiling_that_nobody_touches_changes_nothing() -> None:
    wide = Tightening(max_cost_usd=Decimal(100), max_latency_ms=None)
    free, held = _decided(), _decided(tightening=wide)

    assert free.cascade is not None
    assert held.cascade is not None
    assert cascade_ids(held) == cascade_ids(free)
    assert [each.id for each in held.ranked] == [each.id for each in free.ranked]
    strict = _decided(tightening=replace(wide, min_quality=0.93)).cascade
    assert strict is not None
    assert strict.probability >= 0.93
    assert _decided(tightening=replace(wide, min_quality=0.96)).chosen is None
    assert _names(_decided(replace(CHECKED, verify=()), tightening=wide)) == ["large", "huge"]


def test_a_second_opinion_takes_its_time() -> None:
    measured = replace(NOON, experience=Verified(0.95, 0.9, latency=Latency(1.0, 1e9)))  # a second for each call
    rules = replace(CHECKED, verify=AGREEMENT)

    assert _decided(replace(rules, max_latency_ms=2_300), measured).cascade is not None
    assert _decided(replace(rules, max_latency_ms=2_100), measured).cascade is None
    assert _decided(replace(CHECKED, max_latency_ms=1_300), measured).cascade is not None


def test_a_stream_that_is_collected_takes_as_long_as_the_whole_answer() -> None:
    slow = replace(NOON, experience=Verified(0.95, 0.9, latency=Latency(0.1, 1)))
    rules, streamed = replace(CHECKED, max_latency_ms=1_000), replace(LIMITED, is_stream=True)

    assert _decided(rules, slow, profile=streamed).chosen is not None
    assert _decided(replace(rules, buffers_streams=True), slow, profile=streamed).chosen is None
