"""Whole decisions: who serves, who falls back, who may not and why."""

from decimal import Decimal

import pytest

from router.apis import Api
from router.catalog.catalog import Capability, Catalog, DeploymentId, ModelName, Task, arm_of
from router.catalog.prices import PriceList
from router.decision.decide import Decision, decide
from router.decision.eligibility import Candidate, Reason, Rejection
from router.decision.estimate import Estimate
from router.decision.facts import NO_TIGHTENING, Conditions, RequestProfile, Tightening
from router.decision.matching import Match
from router.decision.policy import Objective, Policy, QualityFloor, Rule, Terms, pinned
from router.quality.predictor import NO_LESSON, TablePredictor
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

FLASH = at("cloud", model("flash", quality={Task.CHAT: 0.70}), always(per_mtok("0.1", "0.2")))
FLASH_LOCAL = at("local", FLASH.model, always(per_mtok("0", "0.1")))
PRO = at("cloud", model("pro", quality={Task.CODE: 0.80}), always(per_mtok("1", "4")))
OPUS = at("cloud", model("opus", quality=0.9, capabilities=frozenset({Capability.TOOLS})), always(per_mtok("5", "25")))
ALL = catalog(FLASH, FLASH_LOCAL, PRO, OPUS)
ANY = replace(policy("flash", "pro", "opus"), default_max_output_tokens=1_000)
WITHOUT_LIMIT = Terms(
    rule=None,
    candidates=(ModelName("flash"), ModelName("pro"), ModelName("opus")),
    objective=Objective.CHEAPEST,
    floor=None,
    min_quality=None,
    max_cost_usd=None,
)


def decided(
    rules: Policy = ANY,
    *,
    profile: RequestProfile = CHAT,
    among: Catalog = ALL,
    conditions: Conditions = NOON,
    tightening: Tightening = NO_TIGHTENING,
) -> Decision:
    return decide(profile, rules, among, conditions, quality=TablePredictor(), tightening=tightening)


def order(decision: Decision) -> list[str]:
    return [str(each.deployment.id) for each in decision.ranked]


def reasons(decision: Decision) -> list[tuple[str, Reason]]:
    return [(each.deployment, each.reason) for each in decision.rejected]


def test_a_decision_says_who_serves_in_which_order_who_does_not_and_why() -> None:
    demanding = replace(ANY, candidates=(ModelName("flash"), ModelName("opus")), floor=QualityFloor(0.7))
    down = replace(NOON, unavailable={FLASH_LOCAL.id: "it does not answer"})

    assert decided(demanding, conditions=down) == Decision(
        policy="any",
        terms=replace(WITHOUT_LIMIT, candidates=(ModelName("flash"), ModelName("opus")), floor=QualityFloor(0.7)),
        ranked=(
            Candidate(
                deployment=FLASH,
                arm=arm_of(FLASH.model.name),
                quality=0.7,
                quality_is_known=True,
                forecast=TablePredictor().forecast(FLASH.model, None, CHAT, NO_LESSON),
                estimate=Estimate(
                    input_tokens=1_000,
                    output_tokens=350,
                    cached_tokens=0,
                    reasoning_tokens=0,
                    input_tokens_bound=4_000,
                    max_output_tokens=1_000,
                    expected_usd=Decimal("0.00017"),  # 1,000 x $0.1/M + 350 x $0.2/M
                    worst_usd=Decimal("0.0006"),  # 4,000 x $0.1/M + 1,000 x $0.2/M
                    dearest_rates=per_mtok("0.1", "0.2"),
                ),
            ),
            Candidate(
                deployment=OPUS,
                arm=arm_of(OPUS.model.name),
                quality=0.9,
                quality_is_known=True,
                forecast=TablePredictor().forecast(OPUS.model, None, CHAT, NO_LESSON),
                estimate=Estimate(
                    input_tokens=1_000,
                    output_tokens=350,
                    cached_tokens=0,
                    reasoning_tokens=0,
                    input_tokens_bound=4_000,
                    max_output_tokens=1_000,
                    expected_usd=Decimal("0.01375"),  # 1,000 x $5/M + 350 x $25/M
                    worst_usd=Decimal("0.045"),  # 4,000 x $5/M + 1,000 x $25/M
                    dearest_rates=per_mtok("5", "25"),
                ),
            ),
        ),
        rejected=(
            Rejection(
                deployment=DeploymentId("local:flash"),
                model=ModelName("flash"),
                reason=Reason.UNAVAILABLE,
                detail="it does not answer",
            ),
        ),
        quality_bar=0.7,
        catalog_version="c1",
    )


def test_the_first_of_the_ranked_is_chosen() -> None:
    decision = decided()

    assert decision.chosen is decision.ranked[0]
    assert order(decision) == ["local:flash", "cloud:flash", "cloud:pro", "cloud:opus"]


def test_where_nobody_may_serve_nobody_is_chosen_and_all_are_told_why() -> None:
    decision = decided(profile=replace(CHAT, needs=frozenset({Capability.AUDIO_OUTPUT})))

    assert decision.chosen is None
    assert reasons(decision) == [
        ("cloud:flash", Reason.NOT_CAPABLE),
        ("local:flash", Reason.NOT_CAPABLE),
        ("cloud:pro", Reason.NOT_CAPABLE),
        ("cloud:opus", Reason.NOT_CAPABLE),
    ]


def test_a_candidate_the_catalog_does_not_know_is_passed_over() -> None:
    assert decided(policy("unheard-of")) == Decision(
        policy="any",
        terms=replace(WITHOUT_LIMIT, candidates=(ModelName("unheard-of"),)),
        ranked=(),
        rejected=(),
        quality_bar=0.0,
        catalog_version="c1",
    )


def test_a_model_the_policy_does_not_name_is_never_considered() -> None:
    decision = decided(policy("pro"))

    assert (order(decision), reasons(decision)) == (["cloud:pro"], [])


def test_a_decision_is_called_by_its_policy_and_rule() -> None:
    ruled = replace(ANY, rules=(Rule("long input", Match(input_tokens_over=999), candidates=(ModelName("pro"),)),))

    assert decided(ruled).name == "any/long input"
    assert order(decided(ruled)) == ["cloud:pro"]
    assert decided(ruled, profile=replace(CHAT, input_tokens=999)).name == "any"


def test_a_pinned_model_is_served_by_its_cheapest_deployment_and_by_no_other_model() -> None:
    assert order(decided(pinned(ModelName("flash")))) == ["local:flash", "cloud:flash"]


def test_a_downgraded_policy_takes_the_cheapest_however_good() -> None:
    strict = replace(ANY, objective=Objective.BEST, floor=QualityFloor(0.85))

    assert order(decided(strict)) == ["cloud:opus"]
    assert order(decided(strict.downgraded())) == ["local:flash", "cloud:flash", "cloud:pro", "cloud:opus"]


def test_an_unmeasured_model_is_ranked_by_its_worst_figure_and_marked() -> None:
    pro = decided(policy("pro")).ranked[0]

    assert (pro.quality, pro.quality_is_known) == (0.8, False)  # a figure for code, and the task is chat


def test_a_relative_floor_is_measured_by_those_who_could_serve() -> None:
    relative = replace(ANY, floor=QualityFloor(0.95, of="best_candidate"))
    without_opus = replace(NOON, unavailable={OPUS.id: "down"})

    all_up, opus_down = decided(relative), decided(relative, conditions=without_opus)

    assert order(all_up) == ["cloud:opus"]
    assert all_up.quality_bar == pytest.approx(0.855)  # 0.95 x 0.9
    assert order(opus_down) == ["cloud:pro"]
    assert opus_down.quality_bar == pytest.approx(0.76)  # 0.95 x 0.8


def test_a_policys_own_ceiling_may_lower_its_relative_floor() -> None:
    frugal = replace(ANY, floor=QualityFloor(0.95, of="best_candidate"), max_cost_usd=Decimal("0.01"))

    assert order(decided(frugal)) == ["cloud:pro"]


def test_a_requests_ceiling_never_lowers_its_policys_floor() -> None:
    """It did once: taking the best candidate out lowered the bar, and let in what the policy refuses."""
    relative = replace(ANY, floor=QualityFloor(0.95, of="best_candidate"))

    decision = decided(relative, tightening=Tightening(max_cost_usd=Decimal("0.01")))

    assert reasons(decision) == [
        ("cloud:opus", Reason.OVER_MAX_COST),
        ("cloud:flash", Reason.BELOW_QUALITY),
        ("local:flash", Reason.BELOW_QUALITY),
        ("cloud:pro", Reason.BELOW_QUALITY),
    ]


@pytest.mark.parametrize("floor", [None, QualityFloor(0.7), QualityFloor(0.7, of="best_candidate")], ids=repr)
def test_a_requests_ceiling_that_is_no_tighter_changes_nothing(floor: QualityFloor | None) -> None:
    limited = replace(ANY, floor=floor, max_cost_usd=Decimal("0.01"))

    assert decided(limited, tightening=Tightening(max_cost_usd=Decimal("0.02"))) == decided(limited)


def test_a_request_may_demand_more_quality_than_its_policy() -> None:
    decision = decided(tightening=Tightening(min_quality=0.8))

    assert (order(decision), decision.quality_bar) == (["cloud:pro", "cloud:opus"], 0.8)


def test_an_unpriced_deployment_is_rejected_though_its_model_is_the_best() -> None:
    unpriced = catalog(FLASH, replace(OPUS, prices=PriceList(())))

    decision = decided(replace(ANY, objective=Objective.BEST), among=unpriced)

    assert (order(decision), reasons(decision)) == (["cloud:flash"], [("cloud:opus", Reason.UNPRICED)])


def test_a_floor_does_not_hold_for_vectors_of_which_nobody_has_figures_and_a_requests_own_does() -> None:
    embedder = model("embedder", quality={}, max_output_tokens=0)
    vectors = at("cloud", replace(embedder, apis=frozenset({Api.EMBEDDINGS})), always(per_mtok("1", "0")))
    vectors = replace(vectors, provider=replace(vectors.provider, apis=frozenset({Api.EMBEDDINGS})))
    strict = replace(policy("embedder"), floor=QualityFloor(0.9))
    asked = replace(CHAT, apis=(Api.EMBEDDINGS,), max_output_tokens=0)

    unasked = decided(strict, profile=asked, among=catalog(vectors))
    demanding = decided(strict, profile=asked, among=catalog(vectors), tightening=Tightening(min_quality=0.5))

    assert order(unasked) == ["cloud:embedder"]
    assert reasons(demanding) == [("cloud:embedder", Reason.BELOW_QUALITY)]


@pytest.mark.parametrize("asked_by", [Api.CHAT, Api.EMBEDDINGS])
def test_who_cannot_be_asked_by_the_requests_api_is_told(asked_by: Api) -> None:
    embedder = replace(model("embedder", quality={}), apis=frozenset({Api.EMBEDDINGS}))
    vectors = at("cloud", embedder, always(per_mtok("1", "0")))
    vectors = replace(vectors, provider=replace(vectors.provider, apis=frozenset({Api.CHAT, Api.EMBEDDINGS})))
    chooses = policy("embedder", "opus")

    decision = decided(chooses, profile=replace(CHAT, apis=(asked_by,)), among=catalog(vectors, OPUS))

    (refused,) = decision.rejected
    assert refused.reason is Reason.WRONG_API
    assert order(decision) == ["cloud:opus" if asked_by is Api.CHAT else "cloud:embedder"]
