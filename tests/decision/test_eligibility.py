"""Every check below, at and above its threshold, the order of the checks, and the quality that is good enough."""

from decimal import Decimal

import pytest

from router.catalog.catalog import Capability, Deployment, DeploymentId, ModelName, ProviderName, Task, arm_of
from router.catalog.prices import PriceList
from router.decision.decide import decide
from router.decision.eligibility import (
    CHECKS,
    Candidate,
    Question,
    Reason,
    Rejection,
    below_bar,
    quality_bar,
    rejection,
    too_unsure,
)
from router.decision.estimate import estimate
from router.decision.facts import Conditions, RequestProfile, Tightening
from router.decision.policy import Policy, QualityFloor, Terms
from router.quality.predictor import Forecast, TablePredictor
from router.quality.prior import Prior
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

TOOLS = frozenset({Capability.TOOLS})
PLAIN = always(per_mtok("2", "10"))
FLASH = at("cloud", model("flash", capabilities=frozenset({Capability.TOOLS, Capability.JSON_SCHEMA})), PLAIN)
ANY = replace(policy("flash"), default_max_output_tokens=1_000)


def verdict(
    where: Deployment = FLASH,
    profile: RequestProfile = CHAT,
    rules: Policy = ANY,
    conditions: Conditions = NOON,
) -> Rejection | None:
    terms = rules.terms_for(profile, Tightening(), NOON.now)
    forecast = estimate(
        profile,
        where,
        conditions=conditions,
        default_max_output_tokens=rules.default_max_output_tokens,
        max_cost_usd=terms.max_cost_usd,
    )
    return rejection(Question(where, forecast, profile, rules, terms, conditions, arm_of(where.model.name)))


def refused(reason: Reason, detail: str) -> Rejection:
    return Rejection(DeploymentId("cloud:flash"), model=ModelName("flash"), reason=reason, detail=detail)


def test_nothing_speaks_against_an_ordinary_request() -> None:
    assert verdict() is None


def test_a_banned_model_may_not_serve() -> None:
    banning = replace(ANY, banned_models=frozenset({ModelName("flash"), ModelName("other")}))

    assert verdict(rules=banning) == refused(Reason.BANNED, "the policy bans the model flash")


def test_a_banned_provider_may_not_serve() -> None:
    banning = replace(ANY, banned_providers=frozenset({ProviderName("cloud")}))

    assert verdict(rules=banning) == refused(Reason.BANNED, "the policy bans the provider cloud")


def test_what_others_are_banned_from_concerns_nobody_else() -> None:
    banning = replace(
        ANY, banned_models=frozenset({ModelName("pro")}), banned_providers=frozenset({ProviderName("local")})
    )

    assert verdict(rules=banning) is None


def test_an_unavailable_deployment_is_rejected_with_the_reason_given() -> None:
    down = replace(NOON, unavailable={FLASH.id: "5 of its last 5 calls failed"})

    assert verdict(conditions=down) == refused(Reason.UNAVAILABLE, "5 of its last 5 calls failed")


def test_a_reason_that_is_empty_still_makes_it_unavailable() -> None:
    assert verdict(conditions=replace(NOON, unavailable={FLASH.id: ""})) == refused(Reason.UNAVAILABLE, "")


def test_another_deployments_trouble_is_its_own() -> None:
    assert verdict(conditions=replace(NOON, unavailable={DeploymentId("local:flash"): "down"})) is None


def test_a_model_must_be_capable_of_everything_needed() -> None:
    able = replace(CHAT, needs=frozenset({Capability.TOOLS, Capability.JSON_SCHEMA}))
    unable = replace(able, needs=able.needs | {Capability.REASONING, Capability.IMAGE_INPUT})

    assert verdict(profile=able) is None
    assert verdict(profile=unable) == refused(Reason.NOT_CAPABLE, "it lacks image_input, reasoning")


def test_what_a_provider_does_not_offer_its_model_cannot_do_there() -> None:
    stripped = replace(FLASH, lacks=TOOLS)

    assert verdict(stripped, replace(CHAT, needs=TOOLS)) == refused(Reason.NOT_CAPABLE, "it lacks tools")
    assert verdict(stripped, replace(CHAT, needs=frozenset({Capability.JSON_SCHEMA}))) is None


@pytest.mark.parametrize(
    ("limit", "verdict_is"),
    [
        (9_999, None),
        (10_000, None),
        (10_001, refused(Reason.OUTPUT_TOO_SMALL, "10001 output tokens were asked for and it gives at most 10000")),
    ],
)
def test_a_clients_limit_must_be_within_what_the_deployment_gives(limit: int, verdict_is: Rejection | None) -> None:
    assert verdict(profile=replace(CHAT, max_output_tokens=limit)) == verdict_is


@pytest.mark.parametrize(
    ("limit", "verdict_is"),
    [
        (4_999, None),
        (5_000, None),
        (5_001, refused(Reason.CONTEXT_TOO_SMALL, "95000 input and 5001 output tokens exceed 100000")),
    ],
)
def test_input_and_the_clients_limit_share_the_window(limit: int, verdict_is: Rejection | None) -> None:
    assert verdict(profile=replace(CHAT, input_tokens=95_000, max_output_tokens=limit)) == verdict_is


@pytest.mark.parametrize(
    ("input_tokens", "verdict_is"),
    [
        (99_649, None),
        (99_650, None),
        (99_651, refused(Reason.CONTEXT_TOO_SMALL, "99651 input and 350 output tokens exceed 100000")),
        (100_001, refused(Reason.CONTEXT_TOO_SMALL, "100001 input and 350 output tokens exceed 100000")),
    ],
)
def test_without_a_limit_the_window_must_hold_the_usual_answer(input_tokens: int, verdict_is: Rejection | None) -> None:
    """It was enough once that a single token fitted, because the answer expected had been cut to the room left."""
    assert verdict(profile=replace(CHAT, input_tokens=input_tokens)) == verdict_is


@pytest.mark.parametrize(
    ("input_tokens", "verdict_is"),
    [
        (96_630, None),  # 96,630 + a 32nd of it, 3,019, + 350 = 99,999
        (96_631, None),
        (96_632, refused(Reason.CONTEXT_TOO_SMALL, "99651 input and 350 output tokens exceed 100000")),
    ],
)
def test_a_count_that_may_be_low_leaves_room_for_that(input_tokens: int, verdict_is: Rejection | None) -> None:
    assert verdict(profile=replace(CHAT, input_tokens=input_tokens, input_bytes=400_000)) == verdict_is


def test_a_policy_whose_default_is_short_needs_no_room_for_more() -> None:
    terse = replace(ANY, default_max_output_tokens=100)

    assert verdict(profile=replace(CHAT, input_tokens=99_900), rules=terse) is None
    assert verdict(profile=replace(CHAT, input_tokens=99_901), rules=terse) is not None


def test_a_deployment_whose_answers_are_short_needs_no_room_for_more() -> None:
    short = replace(FLASH, max_output_tokens=100)

    assert verdict(short, replace(CHAT, input_tokens=99_900)) is None
    assert verdict(short, replace(CHAT, input_tokens=99_901)) is not None


def test_each_choice_has_the_window_to_itself() -> None:
    """The choices' outputs were added up once, as if they shared one window."""
    assert verdict(profile=replace(CHAT, input_tokens=99_650, choices=4)) is None


@pytest.mark.parametrize(
    ("longest_tokens", "verdict_is"),
    [
        (99_990, None),
        (99_991, refused(Reason.CONTEXT_TOO_SMALL, "99991 input and 10 output tokens exceed 100000")),
    ],
)
def test_each_of_several_prompts_has_the_window_to_itself(longest_tokens: int, verdict_is: Rejection | None) -> None:
    several = replace(
        CHAT,
        input_tokens=333_333,
        input_bytes=2_000_000,
        longest_prompt_tokens=longest_tokens,
        prompts=7,
        choices=7,
        max_output_tokens=10,
    )

    assert verdict(profile=several) == verdict_is


def test_a_deployment_without_a_price_is_never_free() -> None:
    unpriced = replace(FLASH, prices=PriceList(()))

    assert verdict(unpriced) == refused(Reason.UNPRICED, "its price is not known")


@pytest.mark.parametrize(
    ("ceiling", "verdict_is"),
    [
        # With a limit of 500: 4,000 x $2/M + 500 x $10/M = $0.013.
        ("0.014", None),
        ("0.013", None),
        ("0.0129", refused(Reason.OVER_MAX_COST, "it may cost $0.013 and the ceiling is $0.0129")),
    ],
)
def test_the_worst_case_must_be_within_the_ceiling(ceiling: str, verdict_is: Rejection | None) -> None:
    limited = replace(CHAT, max_output_tokens=500)

    assert verdict(profile=limited, rules=replace(ANY, max_cost_usd=Decimal(ceiling))) == verdict_is


def test_a_large_sum_is_written_out_rather_than_in_powers_of_ten() -> None:
    million = always(per_mtok("250000000", "0"))

    assert verdict(replace(FLASH, prices=million), rules=replace(ANY, max_cost_usd=Decimal(100_000))) == refused(
        Reason.OVER_MAX_COST, "it may cost $1000000 and the ceiling is $100000"
    )


def test_of_several_reasons_the_first_check_that_applies_is_given() -> None:
    hopeless = replace(
        CHAT,
        needs=frozenset({Capability.AUDIO_OUTPUT}),
        input_tokens=200_000,
        max_output_tokens=20_000,
    )
    unpriced = replace(FLASH, prices=PriceList(()))
    banning = replace(ANY, banned_models=frozenset({ModelName("flash")}), max_cost_usd=Decimal(0))
    down = replace(NOON, unavailable={FLASH.id: "down"})

    def reason(where: Deployment, profile: RequestProfile, rules: Policy, conditions: Conditions) -> Reason:
        found = verdict(where, profile, rules, conditions)
        assert found is not None
        return found.reason

    broke = replace(ANY, max_cost_usd=Decimal(0))
    assert [
        reason(unpriced, hopeless, banning, down),
        reason(unpriced, hopeless, broke, down),
        reason(unpriced, hopeless, broke, NOON),
        reason(unpriced, replace(hopeless, needs=frozenset()), broke, NOON),
        reason(FLASH, replace(hopeless, needs=frozenset(), max_output_tokens=10_000), broke, NOON),
        reason(unpriced, replace(hopeless, needs=frozenset(), max_output_tokens=10_000), broke, NOON),
        reason(FLASH, CHAT, broke, NOON),
    ] == [
        Reason.BANNED,
        Reason.UNAVAILABLE,
        Reason.NOT_CAPABLE,
        Reason.OUTPUT_TOO_SMALL,
        Reason.CONTEXT_TOO_SMALL,
        Reason.UNPRICED,
        Reason.OVER_MAX_COST,
    ]


def test_every_reason_but_quality_has_its_check() -> None:
    assert {reason for reason, _ in CHECKS} == set(Reason) - {Reason.BELOW_QUALITY}


def candidate(quality: float) -> Candidate:
    forecast = estimate(CHAT, FLASH, conditions=NOON, default_max_output_tokens=1_000)
    assert forecast is not None
    return Candidate(FLASH, arm_of(FLASH.model.name), quality=quality, quality_is_known=True, estimate=forecast)


def asking(floor: QualityFloor | None = None, *, min_quality: float | None = None) -> Terms:
    return replace(ANY, floor=floor).terms_for(CHAT, Tightening(min_quality=min_quality), NOON.now)


@pytest.mark.parametrize(
    ("terms", "bar"),
    [
        (asking(), 0.0),
        (asking(QualityFloor(0.75)), 0.75),
        (asking(QualityFloor(0.75, of="best_candidate")), 0.6),  # 0.75 x 0.8
        (asking(min_quality=0.7), 0.7),
        (asking(QualityFloor(0.75), min_quality=0.7), 0.75),
        (asking(QualityFloor(0.75), min_quality=0.8), 0.8),
        (asking(QualityFloor(0.75, of="best_candidate"), min_quality=0.7), 0.7),
        (asking(QualityFloor(0.75, of="best_candidate"), min_quality=0.5), 0.6),
    ],
    ids=["none", "absolute", "relative", "own", "own-lower", "own-higher", "own-over-relative", "own-under-relative"],
)
def test_the_bar_is_the_higher_of_the_policys_floor_and_the_requests(terms: Terms, bar: float) -> None:
    assert quality_bar([candidate(0.4), candidate(0.8)], terms) == pytest.approx(bar)


def test_without_candidates_a_relative_floor_is_no_bar_and_an_absolute_one_still_is() -> None:
    assert quality_bar([], asking(QualityFloor(0.75, of="best_candidate"), min_quality=0.5)) == 0.5
    assert quality_bar([], asking(QualityFloor(0.75), min_quality=0.5)) == 0.75


def test_the_best_candidate_always_reaches_a_floor_of_its_own_quality() -> None:
    best = candidate(0.7)

    assert below_bar(best, quality_bar([best], asking(QualityFloor(1.0, of="best_candidate")))) is None


@pytest.mark.parametrize(
    ("quality", "verdict_is"),
    [
        (0.601, None),
        (0.6, None),
        (0.599, refused(Reason.BELOW_QUALITY, "predicted quality 0.5990 is below 0.6000")),
    ],
)
def test_quality_must_reach_the_bar(quality: float, verdict_is: Rejection | None) -> None:
    assert below_bar(candidate(quality), 0.6) == verdict_is


def test_the_usual_answer_of_a_reasoning_task_needs_its_room_too() -> None:
    thinking = replace(CHAT, task=Task.REASONING, input_tokens=98_500)
    roomy = replace(ANY, default_max_output_tokens=5_000)

    assert verdict(profile=thinking, rules=roomy) is None  # 98,500 + 1,500
    assert verdict(profile=replace(thinking, input_tokens=98_501), rules=roomy) is not None


def of(probability: float, variance: float) -> Candidate:
    prior = Prior(probability, variance, is_known=True, words="a test")
    return replace(candidate(probability), forecast=Forecast(probability, is_known=True, prior=prior))


def cautious(floor: QualityFloor, confidence: float, *, min_quality: float | None = None) -> Terms:
    rules = replace(ANY, floor=floor, confidence=confidence)
    return rules.terms_for(CHAT, Tightening(min_quality=min_quality), NOON.now)


def test_who_is_good_enough_only_perhaps_is_not_good_enough_with_confidence() -> None:
    terms = cautious(QualityFloor(0.7), 0.9)

    # 1.2816 deviations of 0.3 are 0.3845 in log-odds: .8 has odds of 4, times e^-.3845 = .6808 they are 2.723: .7314.
    assert too_unsure(of(0.8, 0.09), 0.7, terms, best=0.9) is None
    refused = too_unsure(of(0.75, 0.09), 0.7, terms, best=0.9)
    assert refused is not None
    assert refused.detail == "with confidence 0.9 its quality is 0.6713 at least, below 0.7000"


def test_by_whom_a_bar_is_measured_is_good_enough_however_little_is_known() -> None:
    relative = QualityFloor(0.95, of="best_candidate")

    assert too_unsure(of(0.8, 4.0), 0.76, cautious(relative, 0.9), best=0.8) is None
    assert too_unsure(of(0.79, 4.0), 0.76, cautious(relative, 0.9), best=0.8) is not None
    # It must reach what the request asks itself: 2.5631 off the log-odds of .8 is .2357.
    assert too_unsure(of(0.8, 4.0), 0.76, cautious(relative, 0.9, min_quality=0.2), best=0.8) is None
    assert too_unsure(of(0.8, 4.0), 0.76, cautious(relative, 0.9, min_quality=0.5), best=0.8) is not None
    assert too_unsure(of(0.8, 4.0), 0.76, cautious(QualityFloor(0.76), 0.9), best=0.8) is not None


@pytest.mark.parametrize("known", [True, False])
def test_a_decision_is_cautious_where_the_policy_is(known: bool) -> None:
    """Both are within 95 % of the best; of the one that is only estimated that is not sure enough."""
    near = model("near", quality=0.88)
    near = replace(near, quality={task: replace(score, is_estimated=not known) for task, score in near.quality.items()})
    among = catalog(
        at("cloud", near, always(per_mtok("1", "1"))),
        at("cloud", model("best", quality=0.9), always(per_mtok("9", "9"))),
    )
    rules = replace(policy("near", "best"), floor=QualityFloor(0.95, of="best_candidate"), confidence=0.75)

    decision = decide(CHAT, rules, among, NOON, quality=TablePredictor())

    assert [each.deployment.model.name for each in decision.ranked] == (["near", "best"] if known else ["best"])
