"""A policy's rules: the first that applies replaces single terms; a request can only tighten what is left."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Capability, Effort, ModelName, ProviderName, Task
from router.decision.data_rules import DataRules
from router.decision.facts import NO_TIGHTENING, Tightening
from router.decision.matching import Match
from router.decision.policy import (
    Objective,
    Policy,
    QualityFloor,
    Rule,
    Shadow,
    Terms,
    named_by_client,
    pinned,
    shadowing,
)
from router.quality.verify import Check, CheckKind
from router.quotas import Budget, Per
from tests.decision.builders import CHAT, NOON, policy
from tests.replacing import replace

FLASH, PRO, OPUS = ModelName("flash"), ModelName("pro"), ModelName("opus")
ALWAYS = Match()
NEVER = Match(input_tokens_over=10**9)

BALANCED = replace(
    policy(FLASH, PRO, OPUS),
    name="balanced",
    objective=Objective.VALUE,
    floor=QualityFloor(0.92, of="best_candidate"),
    max_cost_usd=Decimal("0.50"),
)


def test_without_a_rule_the_policys_own_terms_hold() -> None:
    assert BALANCED.terms_for(CHAT, NO_TIGHTENING, NOON.now) == Terms(
        rule=None,
        candidates=(FLASH, PRO, OPUS),
        objective=Objective.VALUE,
        floor=QualityFloor(0.92, of="best_candidate"),
        min_quality=None,
        max_cost_usd=Decimal("0.50"),
    )


def test_the_first_rule_that_applies_replaces_what_it_names() -> None:
    cautious = replace(
        BALANCED,
        rules=(
            Rule("never", NEVER, candidates=(FLASH,)),
            Rule(
                "first",
                ALWAYS,
                candidates=(OPUS,),
                objective=Objective.BEST,
                floor=QualityFloor(0.97),
                max_cost_usd=Decimal(2),
            ),
            Rule("second", ALWAYS, candidates=(PRO,)),
        ),
    )

    assert cautious.terms_for(CHAT, NO_TIGHTENING, NOON.now) == Terms(
        rule="first",
        candidates=(OPUS,),
        objective=Objective.BEST,
        floor=QualityFloor(0.97),
        min_quality=None,
        max_cost_usd=Decimal(2),
    )


def test_a_rule_keeps_what_it_does_not_name() -> None:
    ruled = replace(BALANCED, rules=(Rule("silent", ALWAYS),))

    assert ruled.terms_for(CHAT, NO_TIGHTENING, NOON.now) == replace(
        BALANCED.terms_for(CHAT, NO_TIGHTENING, NOON.now), rule="silent"
    )


def test_a_rule_may_forbid_spending_anything() -> None:
    ruled = replace(BALANCED, rules=(Rule("free only", ALWAYS, max_cost_usd=Decimal(0)),))

    assert ruled.terms_for(CHAT, NO_TIGHTENING, NOON.now).max_cost_usd == 0


@pytest.mark.parametrize(
    ("match", "holds"),
    [
        (Match(input_tokens_over=999), True),
        (Match(input_tokens_over=1_000), False),
        (Match(input_tokens_over=1_001), False),
        (Match(input_tokens_under=999), False),
        (Match(input_tokens_under=1_000), False),
        (Match(input_tokens_under=1_001), True),
        (Match(input_tokens_over=999, input_tokens_under=1_001), True),
        (Match(tasks=frozenset({Task.CHAT, Task.CODE})), True),
        (Match(tasks=frozenset({Task.CODE})), False),
        (Match(needs=frozenset({Capability.TOOLS})), True),
        (Match(needs=frozenset({Capability.TOOLS, Capability.REASONING})), True),
        (Match(needs=frozenset({Capability.TOOLS, Capability.IMAGE_INPUT})), False),
        (Match(aliases=frozenset({"auto", "fast"})), True),
        (Match(aliases=frozenset({"fast"})), False),
        (Match(tags=frozenset({"nightly"})), True),
        (Match(tags=frozenset({"nightly", "batch"})), True),
        (Match(tags=frozenset({"nightly", "urgent"})), False),
        (Match(tasks=frozenset({Task.CHAT}), aliases=frozenset({"fast"})), False),
        (Match(), True),
    ],
)
def test_a_match_holds_when_every_condition_given_holds(match: Match, *, holds: bool) -> None:
    tagged = replace(
        CHAT, needs=frozenset({Capability.TOOLS, Capability.REASONING}), tags=("nightly", "batch"), alias="auto"
    )

    assert match.holds_for(tagged, NOON.now) is holds


@pytest.mark.parametrize(
    ("of_policy", "of_request", "holds"),
    [
        (None, None, None),
        (None, "0.10", "0.10"),
        ("0.50", None, "0.50"),
        ("0.50", "0.49", "0.49"),
        ("0.50", "0.50", "0.50"),
        ("0.50", "0.51", "0.50"),
        ("0.50", "0", "0"),
    ],
)
def test_of_two_ceilings_the_lower_one_holds(of_policy: str | None, of_request: str | None, holds: str | None) -> None:
    ceiling = replace(BALANCED, max_cost_usd=_usd(of_policy))

    terms = ceiling.terms_for(CHAT, Tightening(max_cost_usd=_usd(of_request)), NOON.now)

    assert terms.max_cost_usd == _usd(holds)


def test_a_requests_ceiling_narrows_a_rules_too() -> None:
    ruled = replace(BALANCED, rules=(Rule("dear", ALWAYS, max_cost_usd=Decimal(2)),))

    assert ruled.terms_for(CHAT, Tightening(max_cost_usd=Decimal(1)), NOON.now).max_cost_usd == 1


def test_a_requests_own_floor_stands_beside_the_policys() -> None:
    terms = BALANCED.terms_for(CHAT, Tightening(min_quality=0.3), NOON.now)

    assert (terms.floor, terms.min_quality) == (QualityFloor(0.92, of="best_candidate"), 0.3)


ceilings = st.none() | st.decimals(0, 10, places=2)


@given(of_policy=ceilings, of_rule=ceilings, of_request=ceilings)
def test_a_request_never_raises_a_ceiling(
    of_policy: Decimal | None, of_rule: Decimal | None, of_request: Decimal | None
) -> None:
    ruled = replace(BALANCED, max_cost_usd=of_policy, rules=(Rule("any", ALWAYS, max_cost_usd=of_rule),))

    before = ruled.terms_for(CHAT, NO_TIGHTENING, NOON.now).max_cost_usd
    after = ruled.terms_for(CHAT, Tightening(max_cost_usd=of_request), NOON.now).max_cost_usd

    assert before is None or (after is not None and after <= before)


def test_a_pinned_model_is_the_only_candidate_and_nothing_is_asked_of_it() -> None:
    assert pinned(OPUS) == Policy(
        name="pinned opus",
        candidates=(OPUS,),
        objective=Objective.CHEAPEST,
        floor=None,
        max_cost_usd=None,
        default_max_output_tokens=32_768,
        banned_models=frozenset(),
        banned_providers=frozenset(),
        rules=(),
    )


def test_a_model_that_a_client_names_is_held_to_the_strictest_terms_it_is_offered_under() -> None:
    non_empty, whole = Check(CheckKind.NON_EMPTY), Check(CheckKind.NOT_TRUNCATED)
    careful = Policy(
        "careful",
        candidates=(OPUS, PRO),
        floor=QualityFloor(0.6),
        max_cost_usd=Decimal("0.50"),
        default_max_output_tokens=4_000,
        banned_providers=frozenset({ProviderName("bad")}),
        verify=(non_empty,),
        buffers_streams=True,
        reasoning_effort=Effort.LOW,
        max_reasoning_effort=Effort.HIGH,
        only_providers=frozenset({ProviderName("one"), ProviderName("two")}),
        data=DataRules(zdr=True),
        rules=(
            Rule("dear", ALWAYS, max_cost_usd=Decimal(9), floor=QualityFloor(0.7)),
            Rule(
                "secret", ALWAYS, only_providers=frozenset({ProviderName("one")}), data=DataRules(ignore=frozenset("x"))
            ),
            Rule("others", ALWAYS, candidates=(PRO,), max_cost_usd=Decimal("0.01")),
        ),
    )
    cheap = Policy(
        "cheap",
        candidates=(FLASH,),
        max_cost_usd=Decimal("0.20"),
        rules=(
            Rule(
                "hard",
                ALWAYS,
                candidates=(OPUS,),
                floor=QualityFloor(0.99, "best_candidate"),
                max_reasoning_effort=Effort.MEDIUM,
                max_latency_ms=500,
                verify=(whole,),
                data=DataRules(regions=frozenset({"eu"})),
            ),
        ),
    )

    assert named_by_client(OPUS, (careful, cheap, pinned(OPUS))) == Policy(
        name="pinned opus",
        candidates=(OPUS,),
        floor=QualityFloor(0.7),
        max_cost_usd=Decimal("0.20"),
        default_max_output_tokens=4_000,
        banned_providers=frozenset({ProviderName("bad")}),
        verify=(non_empty, whole),
        buffers_streams=True,
        max_latency_ms=500,
        reasoning_effort=Effort.LOW,
        max_reasoning_effort=Effort.MEDIUM,
        only_providers=frozenset({ProviderName("one")}),
        data=DataRules(zdr=True, ignore=frozenset("x"), regions=frozenset({"eu"})),
    )
    assert named_by_client(FLASH, (careful, cheap)).max_cost_usd == Decimal("0.20")
    assert named_by_client(FLASH, (careful,)) == pinned(FLASH)


def test_a_downgraded_policy_keeps_everything_but_its_demands_on_quality() -> None:
    demanding = replace(
        BALANCED,
        objective=Objective.BEST,
        banned_models=frozenset({PRO}),
        rules=(
            Rule(
                "code",
                ALWAYS,
                candidates=(OPUS, PRO),
                objective=Objective.BEST,
                floor=QualityFloor(0.97),
                max_cost_usd=Decimal(2),
            ),
        ),
    )

    assert demanding.downgraded() == replace(
        demanding,
        objective=Objective.CHEAPEST,
        floor=None,
        rules=(Rule("code", ALWAYS, candidates=(OPUS, PRO), max_cost_usd=Decimal(2)),),
    )


def test_a_downgrade_leaves_the_requests_own_floor_standing() -> None:
    terms = BALANCED.downgraded().terms_for(CHAT, Tightening(min_quality=0.8), NOON.now)

    assert (terms.floor, terms.min_quality) == (None, 0.8)


def _usd(figure: str | None) -> Decimal | None:
    return None if figure is None else Decimal(figure)


def test_a_shadow_is_held_to_what_guards_the_request_and_to_nothing_else() -> None:
    shadow = Shadow(PRO, 0.1, Budget(1_000, Per.DAY))
    strict = replace(
        BALANCED,
        candidates=(FLASH,),
        banned_models=frozenset({OPUS}),
        max_latency_ms=10,
        weights=((FLASH, 0.5),),
        verify=(Check(CheckKind.NON_EMPTY),),
        shadow=shadow,
        rules=(Rule("eu", ALWAYS, data=DataRules(zdr=True), max_reasoning_effort=Effort.LOW),),
    )
    tightened = Tightening(max_cost_usd=Decimal("0.01"), data=DataRules(deny_collection=True))
    terms = strict.terms_for(CHAT, tightened, NOON.now)

    copied = shadowing(strict, terms, shadow)

    assert copied.terms_for(CHAT, NO_TIGHTENING, NOON.now) == Terms(
        rule=None,
        candidates=(PRO,),
        objective=Objective.CHEAPEST,
        floor=None,
        min_quality=None,
        max_cost_usd=Decimal("0.01"),
        max_reasoning_effort=Effort.LOW,
        data=DataRules(zdr=True, deny_collection=True),
    )
    assert copied.banned_models == {OPUS}
    assert copied.shadow is None
