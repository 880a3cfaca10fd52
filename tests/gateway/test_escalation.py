"""Who is asked after an answer that failed: only better models, each once, within what the request may cost in all."""

from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Capability, Effort, ModelName, Task
from router.config.snapshot import Team
from router.decision.decide import decide
from router.decision.facts import RequestProfile
from router.decision.policy import Objective, QualityFloor
from router.gateway.escalation import better_candidates, has_better, must_pass, second_opinions
from router.gateway.planning import Plan
from router.keys import TeamName
from router.quality.predictor import TablePredictor
from router.quality.verify import Check, CheckKind
from router.quotas import NO_ALLOWANCE, Limits
from router.units import usd
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy, scores
from tests.replacing import replace

LIMITED = replace(CHAT, max_output_tokens=1_000)
CATALOG = catalog(
    *(
        at("cloud", model(f"maker/{name}", quality=quality), always(per_mtok(str(price), str(4 * price))))
        for name, quality, price in (("small", 0.6, 1), ("odd", 0.5, 2), ("middle", 0.7, 3), ("large", 0.9, 10))
    )
)
TEAM = Team(
    name=TeamName("search"),
    baseline=None,
    zone=ZoneInfo("UTC"),
    budgets=(),
    limits=Limits(),
    each_key=NO_ALLOWANCE,
    projects={},
    aliases={},
    policies={},
)


def _plan(profile: RequestProfile = LIMITED, *, max_cost_usd: str | None = None, best_first: bool = False) -> Plan:
    rules = replace(
        policy("maker/small", "maker/odd", "maker/middle", "maker/large"),
        max_cost_usd=None if max_cost_usd is None else Decimal(max_cost_usd),
        objective=Objective.BEST if best_first else Objective.CHEAPEST,
    )
    decision = decide(profile, rules, CATALOG, NOON, quality=TablePredictor())
    return Plan(team=TEAM, policy=rules, profile=profile, conditions=NOON, decision=decision, catalog=CATALOG)


def _names(plan: Plan, *asked: str, spent_nano_usd: int = 0) -> list[str]:
    """The models that may come after the last of those asked."""
    calls = [next(each for each in plan.decision.ranked if each.deployment.model.name == name) for name in asked]
    found = better_candidates(plan, than=calls[-1], asked=[each.id for each in calls], spent_nano_usd=spent_nano_usd)
    return [each.deployment.model.name for each in found]


def test_only_better_models_follow_in_the_order_of_the_decision() -> None:
    assert _names(_plan(), "maker/small") == ["maker/middle", "maker/large"]
    assert _names(_plan(), "maker/odd") == ["maker/small", "maker/middle", "maker/large"]
    assert _names(_plan(), "maker/small", "maker/middle") == ["maker/large"]
    assert _names(_plan(), "maker/large") == []
    assert _names(_plan(best_first=True), "maker/small") == ["maker/large", "maker/middle"]


def test_a_deployment_that_was_asked_is_not_asked_again() -> None:
    assert _names(_plan(), "maker/middle", "maker/small") == ["maker/large"]


def test_the_ceiling_holds_for_all_calls_together() -> None:
    plan = _plan(max_cost_usd="0.090")
    large = next(each for each in plan.decision.ranked if each.deployment.model.name == ModelName("maker/large"))
    assert large.estimate.worst_usd == Decimal("0.080")  # 4,000 bytes at $10 and 1,000 tokens at $40 a million

    assert _names(plan, "maker/small", spent_nano_usd=10_000_000) == ["maker/middle", "maker/large"]
    assert _names(plan, "maker/small", spent_nano_usd=10_000_001) == ["maker/middle"]
    assert _names(plan, "maker/small", spent_nano_usd=90_000_000) == []


@given(spent_nano_usd=st.integers(0, 500_000_000), max_cost_nano_usd=st.integers(100_000_000, 500_000_000))
def test_no_candidate_can_take_a_request_above_its_ceiling(spent_nano_usd: int, max_cost_nano_usd: int) -> None:
    ceiling_usd = usd(max_cost_nano_usd)
    for profile in (LIMITED, CHAT):
        plan = _plan(profile, max_cost_usd=str(ceiling_usd))
        (small, *_) = plan.decision.ranked
        for each in better_candidates(plan, than=small, asked=(), spent_nano_usd=spent_nano_usd):
            assert usd(spent_nano_usd) + each.estimate.worst_usd <= ceiling_usd


def test_an_output_limit_of_our_own_is_lowered_to_what_is_left_and_the_clients_is_not() -> None:
    ours = _plan(CHAT, max_cost_usd="0.400")
    (small, *_) = ours.decision.ranked

    (*_, large) = better_candidates(ours, than=small, asked=(), spent_nano_usd=100_000_000)

    assert large.estimate.max_output_tokens == 6_500  # ($0.300 - 4,000 bytes at $10) / $40 a million
    assert _names(_plan(LIMITED, max_cost_usd="0.085"), "maker/small", spent_nano_usd=10_000_000) == ["maker/middle"]


def test_the_same_model_that_thinks_harder_is_a_better_one() -> None:
    what = replace(
        model("maker/thinker", quality={}, capabilities=frozenset({Capability.REASONING})),
        quality_at={Task.CHAT: {effort: scores({Task.CHAT: value})[Task.CHAT] for effort, value in _LADDER.items()}},
    )
    among = catalog(at("cloud", what, always(per_mtok("1", "4"))))
    rules = policy("maker/thinker@none", "maker/thinker@high")
    decision = decide(LIMITED, rules, among, NOON, quality=TablePredictor())
    plan = Plan(team=TEAM, policy=rules, profile=LIMITED, conditions=NOON, decision=decision, catalog=among)
    first, second = decision.ranked

    assert list(better_candidates(plan, than=first, asked=[first.id], spent_nano_usd=0)) == [second]
    assert not list(better_candidates(plan, than=second, asked=[first.id, second.id], spent_nano_usd=0))


_LADDER = {Effort.NONE: 0.4, Effort.HIGH: 0.7}


def _opinions(plan: Plan, *asked: str, spent_nano_usd: int = 0) -> list[str]:
    """The models that may be asked the same as the first of those asked."""
    calls = [next(each for each in plan.decision.ranked if each.deployment.model.name == name) for name in asked]
    found = second_opinions(plan, on=calls[0], asked=[each.id for each in calls], spent_nano_usd=spent_nano_usd)
    return [each.deployment.model.name for each in found]


def test_a_second_opinion_is_the_cheapest_other_models_and_never_the_bests() -> None:
    assert _opinions(_plan(), "maker/small") == ["maker/odd", "maker/middle"]
    assert _opinions(_plan(best_first=True), "maker/middle") == ["maker/small", "maker/odd"]
    assert _opinions(_plan(), "maker/small", "maker/odd") == ["maker/middle"]


def test_nobody_is_better_than_the_best() -> None:
    plan = _plan(best_first=True)
    large, *others = plan.decision.ranked

    assert not has_better(plan, large)
    assert all(has_better(plan, each) for each in others)


def test_two_models_leave_nobody_for_a_second_opinion() -> None:
    rules = policy("maker/small", "maker/large")
    decision = decide(LIMITED, rules, CATALOG, NOON, quality=TablePredictor())
    plan = Plan(team=TEAM, policy=rules, profile=LIMITED, conditions=NOON, decision=decision, catalog=CATALOG)

    assert _opinions(plan, "maker/small") == []


def test_a_second_opinion_must_fit_what_the_request_may_cost_in_all() -> None:
    worst = {str(each.deployment.model.name): each.estimate.worst_nano_usd for each in _plan().decision.ranked}
    ceiling = worst["maker/large"]
    plan = _plan(max_cost_usd=str(usd(ceiling)))

    assert _opinions(plan, "maker/small", spent_nano_usd=ceiling - worst["maker/odd"]) == ["maker/odd"]
    assert _opinions(plan, "maker/small", spent_nano_usd=ceiling - worst["maker/odd"] + 1) == []


def _cascade() -> Plan:
    """Small first with odd for a second opinion, large behind it; middle would be cheaper, and is not good enough."""
    rules = replace(
        policy("maker/small", "maker/odd", "maker/middle", "maker/large"),
        floor=QualityFloor(0.72),
        verify=(Check(CheckKind.AGREEMENT),),
    )
    profile = replace(LIMITED, task=Task.REASONING)
    decision = decide(profile, rules, CATALOG, NOON, quality=TablePredictor())
    return Plan(team=TEAM, policy=rules, profile=profile, conditions=NOON, decision=decision, catalog=CATALOG)


def test_a_cascade_asks_whom_the_decision_names_and_its_first_must_pass() -> None:
    plan = _cascade()
    arm = plan.decision.cascade
    assert arm is not None
    assert arm.opinion is not None

    better = better_candidates(plan, than=arm.first, asked=[arm.first.id], spent_nano_usd=0)
    opinions = second_opinions(plan, on=arm.first, asked=[arm.first.id], spent_nano_usd=0)

    assert list(better) == [arm.then]
    assert list(opinions) == [arm.opinion]
    assert must_pass(plan, arm.first)
    assert not must_pass(plan, arm.then)
    assert not must_pass(_plan(), _plan().decision.ranked[0])
