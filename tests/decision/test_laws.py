"""Laws of the decision: what holds for every request, policy and catalog.

Prices, qualities and limits are drawn from few values, so that ties, thresholds and empty choices are common.
"""

import json
import subprocess
import sys
from collections import Counter
from datetime import time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.apis import Api
from router.catalog.catalog import Capability, Catalog, Deployment, DeploymentId, Model, ModelName, ProviderName, Task
from router.catalog.prices import Price, PriceEntry, PriceList, Rates, Tier, cost
from router.decision.decide import Decision, decide
from router.decision.eligibility import Reason
from router.decision.estimate import Estimate, estimate
from router.decision.explain import as_data
from router.decision.facts import NO_TIGHTENING, Conditions, RequestProfile, Tightening
from router.decision.matching import Match
from router.decision.policy import Objective, Policy, QualityFloor, Rule
from router.decision.ranking import key_of
from router.quality.predictor import TablePredictor
from router.units import Usage
from tests.decision.builders import CHAT, NOON, always, at, catalog, model, per_mtok, policy
from tests.replacing import replace

MODELS = tuple(ModelName(name) for name in ("flash", "pro", "opus", "kimi", "glm"))
PROVIDERS = ("cloud", "local")
IDS = tuple(DeploymentId(f"{provider}:{name}") for provider in PROVIDERS for name in MODELS)
NEEDS = (Capability.TOOLS, Capability.JSON_SCHEMA, Capability.REASONING)

usd_per_mtok = st.sampled_from([Decimal(figure) for figure in ("0", "0.1", "1", "2", "2.5", "10", "40")])
fees_usd = st.sampled_from([Decimal(figure) for figure in ("0", "0", "0.001", "0.02")])  # per call or image
qualities = st.sampled_from([0.0, 0.2, 0.5, 0.6, 0.7, 0.9, 1.0])
ceilings = st.sampled_from([None, None, None, *(Decimal(usd) for usd in ("10", "2", "0.5", "0.05", "0.01", "0"))])
absolute_floors = st.none() | st.builds(QualityFloor, qualities, of=st.just("one"))
floors = absolute_floors | st.builds(QualityFloor, qualities, of=st.just("best_candidate"))
needs = st.sampled_from([frozenset[Capability](), frozenset[Capability](), frozenset(NEEDS[:1]), frozenset(NEEDS[1:])])


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    write_1h_surcharge = draw(usd_per_mtok)  # a longer life is never cheaper
    write = draw(usd_per_mtok)
    return Rates.per_mtok(
        input_usd=draw(usd_per_mtok),
        output_usd=draw(usd_per_mtok),
        cached_input_usd=draw(usd_per_mtok),
        cache_write_usd=write,
        cache_write_1h_usd=write + write_1h_surcharge,
        request_usd=draw(fees_usd),
        image_usd=draw(fees_usd),
    )


@st.composite
def prices(draw: st.DrawFn) -> Price:
    thresholds = sorted(draw(st.sets(st.sampled_from([500, 1_000, 5_000, 50_000]), max_size=2)))
    return Price(base=draw(rates()), tiers=tuple(Tier(threshold, draw(rates())) for threshold in thresholds))


CHEAP_INPUT = Price(per_mtok("1", "10", cached_input_usd="0.1", cache_write_usd="12"))
CHEAP_OUTPUT = Price(per_mtok("3", "1"))
FREE = Price(per_mtok("0", "0"))
WITH_FEES = Price(per_mtok("1", "2", request_usd="0.003", image_usd="0.001"))
LONG_IS_DEARER = Price(per_mtok("2", "8"), tiers=(Tier(5_000, per_mtok("4", "12", cached_input_usd="0.4")),))
PEAK_BEGINS_SOON = PriceList(
    (
        PriceEntry(CHEAP_OUTPUT, source="a law"),
        PriceEntry(LONG_IS_DEARER, source="a law", daily=(time(12, 10), time(14))),
    )
)
price_lists = st.sampled_from(
    [
        always(CHEAP_INPUT),
        always(CHEAP_INPUT),  # twice, for ties
        always(CHEAP_OUTPUT),
        always(FREE),
        always(WITH_FEES),
        always(LONG_IS_DEARER),
        PEAK_BEGINS_SOON,
        PriceList(()),
    ]
)
kinds = st.builds(
    model,
    name=st.just(""),
    quality=st.sampled_from([0.2, 0.5, 0.6, 0.7, 0.9, 1.0]),
    capabilities=st.sampled_from([frozenset(NEEDS), frozenset(NEEDS), frozenset(NEEDS[:1]), frozenset()]),
    token_ratio=st.sampled_from([0.8, 1.0, 1.25]),
    context_tokens=st.sampled_from([200_000, 200_000, 200_000, 2_000]),
    max_output_tokens=st.sampled_from([20_000, 20_000, 2_000, 100]),
)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """Each model at one provider or two."""
    deployments: dict[ModelName, tuple[Deployment, ...]] = {}
    for name in MODELS:
        what = replace(draw(kinds), name=name)
        providers = draw(st.sampled_from([("cloud",), ("local",), ("cloud", "local")]))
        deployments[name] = tuple(at(provider, what, draw(price_lists)) for provider in providers)
    return Catalog(deployments=deployments, version="c1")


@st.composite
def policies(draw: st.DrawFn, floor: st.SearchStrategy[QualityFloor | None] = floors) -> Policy:
    candidates = st.sampled_from([MODELS, MODELS[::-1], MODELS[:2], MODELS[2:]])
    rule = st.builds(
        Rule,
        name=st.sampled_from(["first", "second"]),
        when=st.builds(
            Match, input_tokens_over=st.none() | st.just(1_000), tasks=st.frozensets(st.sampled_from([Task.CODE]))
        ),
        candidates=st.none() | candidates,
        objective=st.none() | st.sampled_from(Objective),
        floor=floor,
        max_cost_usd=ceilings,
        usd_per_point=st.none() | st.sampled_from([Decimal("0.000001"), Decimal("0.01")]),
        confidence=st.none() | st.sampled_from([0.5, 0.9]),
    )
    return Policy(
        name="law",
        candidates=draw(candidates),
        objective=draw(st.sampled_from(Objective)),
        floor=draw(floor),
        max_cost_usd=draw(ceilings),
        default_max_output_tokens=draw(st.sampled_from([1_000, 1_000, 200, 32_768])),
        banned_models=draw(st.sampled_from([frozenset(), frozenset(), frozenset(MODELS[:1])])),
        banned_providers=draw(st.sampled_from([frozenset(), frozenset(), frozenset({ProviderName("local")})])),
        rules=tuple(draw(st.lists(rule, max_size=2))),
        confidence=draw(st.sampled_from([0.5, 0.5, 0.75, 0.99])),
    )


@st.composite
def profiles(draw: st.DrawFn) -> RequestProfile:
    input_tokens = draw(st.sampled_from([1_000, 1, 1_001, 5_001, 15_000]))
    return replace(
        CHAT,
        input_tokens=input_tokens,
        input_bytes=input_tokens * 4,  # more than any token ratio here, as in every prompt of words
        images=draw(st.sampled_from([0, 0, 1])),
        max_output_tokens=draw(st.sampled_from([None, None, None, 1, 100, 500, 2_000, 2_001])),
        choices=draw(st.sampled_from([1, 1, 2, 5])),
        needs=draw(needs),
        task=draw(st.sampled_from([Task.CHAT, Task.CODE, Task.REASONING])),
        has_unbounded_parts=draw(st.sampled_from([False, False, False, True])),
        asks_one_hour_cache=draw(st.booleans()),
        asks_cache=draw(st.booleans()),
    )


conditions = st.builds(
    Conditions,
    now=st.just(NOON.now),
    unavailable=st.dictionaries(st.sampled_from(IDS), st.just("down"), max_size=2),
    seed=st.integers(0, 3),
    warm_tokens=st.dictionaries(st.sampled_from(IDS), st.sampled_from([0, 500, 1_024, 20_000]), max_size=3),
    further_turns=st.sampled_from([0, 1, 10]),
    growth_tokens=st.sampled_from([0, 700]),
    later_tokens=st.dictionaries(st.sampled_from(IDS), st.sampled_from([0, 500, 1_024, 20_000]), max_size=3),
)
tightenings = st.builds(Tightening, max_cost_usd=ceilings, min_quality=st.none() | qualities)


def decided(
    profile: RequestProfile,
    rules: Policy,
    among: Catalog,
    when: Conditions = NOON,
    tightening: Tightening = NO_TIGHTENING,
) -> Decision:
    return decide(profile, rules, among, when, quality=TablePredictor(), tightening=tightening)


def ranked_ids(decision: Decision) -> list[DeploymentId]:
    return [each.deployment.id for each in decision.ranked]


@given(profiles(), policies(), catalogs(), conditions, tightenings)
def test_a_decision_depends_on_its_arguments_alone(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, tightening: Tightening
) -> None:
    reordered = replace(among, deployments=dict(reversed(list(among.deployments.items()))))
    as_before = replace(when, unavailable=dict(reversed(list(when.unavailable.items()))))

    first = decided(profile, rules, among, when, tightening)

    assert decided(profile, rules, among, when, tightening) == first
    assert decided(profile, rules, reordered, as_before, tightening) == first


def test_every_process_decides_alike_whatever_its_hash_seed() -> None:
    root = Path(__file__).parents[2]

    def corpus(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "tests.decision.corpus"],
            cwd=root,
            env={"PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    first = corpus("0")

    assert len(first.splitlines()) == 48
    assert len({json.loads(line)["chosen"]["model"] for line in first.splitlines() if '"chosen": {' in line}) > 1
    assert {corpus(hash_seed) for hash_seed in ("1", "20261123")} == {first}


@given(profiles(), policies(), catalogs(), conditions, tightenings)
def test_every_candidate_is_either_ranked_or_rejected_and_only_once(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, tightening: Tightening
) -> None:
    decision = decided(profile, rules, among, when, tightening)

    judged = Counter([*ranked_ids(decision), *(each.deployment for each in decision.rejected)])
    assert judged == Counter(each.id for arm in decision.terms.arms for each in among.of(arm.model))


@given(profiles(), policies(), catalogs(), conditions, tightenings)
def test_nobody_is_chosen_who_was_rejected(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, tightening: Tightening
) -> None:
    decision = decided(profile, rules, among, when, tightening)

    rejected = {each.deployment for each in decision.rejected}
    assert decision.chosen is None or decision.chosen.deployment.id not in rejected
    assert not rejected & set(ranked_ids(decision))


@given(profiles(), policies(), catalogs(), conditions, tightenings)
def test_whoever_is_ranked_may_serve(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, tightening: Tightening
) -> None:
    decision = decided(profile, rules, among, when, tightening)

    for candidate in decision.ranked:
        deployment, forecast = candidate.deployment, candidate.estimate
        assert deployment.model.name not in rules.banned_models
        assert deployment.provider.name not in rules.banned_providers
        assert deployment.id not in when.unavailable
        assert profile.needs <= deployment.model.capabilities
        assert forecast.input_tokens + min(forecast.max_output_tokens, 1) <= deployment.context_tokens
        assert forecast.max_output_tokens <= deployment.max_output_tokens
        assert decision.terms.max_cost_usd is None or forecast.worst_usd <= decision.terms.max_cost_usd
        assert candidate.quality >= decision.quality_bar >= (tightening.min_quality or 0)


@given(profiles(), policies(), catalogs(), conditions, tightenings)
def test_nobody_is_ranked_before_one_the_objective_prefers(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, tightening: Tightening
) -> None:
    decision = decided(profile, rules, among, when, tightening)

    key = key_of(decision.terms.objective, decision.terms.usd_per_point)
    assert all(key(first) <= key(second) for first, second in pairwise(decision.ranked))


@given(profiles(), policies(), catalogs(), conditions, tightenings)
def test_what_is_explained_is_what_was_decided(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, tightening: Tightening
) -> None:
    decision = decided(profile, rules, among, when, tightening)

    told = json.loads(json.dumps(as_data(decision, profile)))

    assert [f"{each['provider']}:{each['model']}" for each in told["candidates"]] == ranked_ids(decision)
    for each, candidate in zip(told["candidates"], decision.ranked, strict=True):
        assert Decimal(each["expected_usd"]) == candidate.estimate.expected_usd
        assert Decimal(each["later_usd"]) == candidate.estimate.later_usd
        assert Decimal(each["worst_usd"]) == candidate.estimate.worst_usd
    assert [each["deployment"] for each in told["rejections"]] == [each.deployment for each in decision.rejected]


def estimated(profile: RequestProfile, price: Price, *, max_cost_usd: Decimal | None = None, warm: int = 0) -> Estimate:
    roomy = at("cloud", model("m", token_ratio=1.25, context_tokens=1_000_000), always(price))
    when = replace(NOON, warm_tokens={roomy.id: warm})
    result = estimate(profile, roomy, conditions=when, default_max_output_tokens=32_768, max_cost_usd=max_cost_usd)
    assert result is not None
    return result


def dearer(base: Rates, surcharge: Rates) -> Rates:
    return Rates(
        input=base.input + surcharge.input,
        output=base.output + surcharge.output,
        cached_input=base.cached_input + surcharge.cached_input,
        cache_write=base.cache_write + surcharge.cache_write,
        cache_write_1h=base.cache_write_1h + surcharge.cache_write_1h,
        request=base.request + surcharge.request,
        image=base.image + surcharge.image,
    )


@given(
    profile=profiles(),
    base=rates(),
    long_surcharge=rates(),
    more_input=st.integers(0, 5_000),
    more_output=st.integers(0, 3_000),
    more_choices=st.integers(0, 3),
)
def test_more_tokens_are_never_expected_to_cost_less(
    profile: RequestProfile, base: Rates, long_surcharge: Rates, more_input: int, more_output: int, more_choices: int
) -> None:
    """Where long prompts cost more a token, as everywhere they are priced apart."""
    price = Price(base, tiers=(Tier(1_250, dearer(base, long_surcharge)),))
    limit = profile.max_output_tokens
    more = replace(
        profile,
        input_tokens=profile.input_tokens + more_input,
        input_bytes=profile.input_bytes + 4 * more_input,
        max_output_tokens=None if limit is None else limit + more_output,
        choices=profile.choices + more_choices,
    )

    less_usd, more_usd = estimated(profile, price), estimated(more, price)

    assert more_usd.expected_usd >= less_usd.expected_usd
    assert more_usd.worst_usd >= less_usd.worst_usd


@given(profiles(), prices(), rates(), ceilings)
def test_dearer_prices_are_never_expected_to_cost_less(
    profile: RequestProfile, price: Price, surcharge: Rates, ceiling: Decimal | None
) -> None:
    raised = Price(
        dearer(price.base, surcharge),
        tuple(Tier(tier.above_input_tokens, dearer(tier.rates, surcharge)) for tier in price.tiers),
    )

    before, after = (estimated(profile, each, max_cost_usd=ceiling) for each in (price, raised))

    assert after.expected_usd >= before.expected_usd


@given(profiles(), rates(), st.sampled_from([0, 1, 500, 1_024, 20_000]), st.integers(0, 2_000))
def test_a_warmer_prompt_is_never_expected_to_cost_more(
    profile: RequestProfile, drawn: Rates, warm: int, more: int
) -> None:
    """Where reading from a cache costs no more than reading anew, as everywhere."""
    price = Price(replace(drawn, cached_input=min(drawn.cached_input, drawn.input)))

    assert estimated(profile, price, warm=warm + more).expected_usd <= estimated(profile, price, warm=warm).expected_usd


@given(profiles(), policies(), catalogs(), conditions)
def test_nothing_is_expected_to_cost_more_than_at_worst(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions
) -> None:
    for candidate in decided(profile, rules, among, when).ranked:
        assert candidate.estimate.input_tokens <= candidate.estimate.input_tokens_bound
        assert candidate.estimate.expected_usd <= candidate.estimate.worst_usd


@st.composite
def usages_within(draw: st.DrawFn, *, input_tokens: int, output_tokens: int) -> Usage:
    """Any usage of at most so many tokens, those counted both as read and as written included."""
    used = draw(st.integers(0, input_tokens) | st.just(input_tokens))
    part_of_it = st.integers(0, used) | st.just(used)
    return Usage(
        input_tokens=used,
        output_tokens=draw(st.integers(0, output_tokens) | st.just(output_tokens)),
        cached_tokens=draw(part_of_it),
        cache_write_tokens=draw(part_of_it),
    )


@st.composite
def prices_with_a_peak(draw: st.DrawFn) -> PriceList:
    starts = draw(st.sampled_from([time(10), time(12), time(12, 5), time(12, 15), time(12, 30)]))
    return PriceList(
        (
            PriceEntry(draw(prices()), source="a law"),
            PriceEntry(draw(prices()), source="a law", daily=(starts, draw(st.sampled_from([time(13), time(9)])))),
        )
    )


@settings(max_examples=500)  # the law that every hold rests on
@given(
    profile=profiles(),
    what=kinds,
    price_list=prices_with_a_peak(),
    begun_after_min=st.integers(0, 15),
    ceiling=ceilings,
    data=st.data(),
)
def test_no_call_within_the_limits_sent_costs_more_than_the_worst_case(
    profile: RequestProfile,
    what: Model,
    price_list: PriceList,
    begun_after_min: int,
    ceiling: Decimal | None,
    data: st.DataObject,
) -> None:
    """Whether a provider bills all choices as one call or each as its own, at any price of the next quarter hour."""
    deployment = at("cloud", what, price_list)
    limits = estimate(profile, deployment, conditions=NOON, default_max_output_tokens=1_000, max_cost_usd=ceiling)
    price = price_list.at(NOON.now + timedelta(minutes=begun_after_min))
    assert limits is not None
    assert price is not None
    output_tokens = limits.max_output_tokens
    together = data.draw(
        usages_within(input_tokens=limits.input_tokens_bound, output_tokens=profile.choices * output_tokens)
    )
    apart = data.draw(usages_within(input_tokens=limits.input_tokens_bound, output_tokens=output_tokens))

    for billed_at in (price, _with_hour_long_writes(price)) if profile.asks_one_hour_cache else (price,):
        assert cost(together, billed_at, images=profile.images) <= limits.worst_usd
        assert profile.choices * cost(apart, billed_at, images=profile.images) <= limits.worst_usd


@settings(max_examples=300)
@given(
    profile=profiles(),
    what=kinds,
    price_list=prices_with_a_peak(),
    prompts=st.integers(1, 4),
    per_prompt=st.integers(1, 3),
    limit=st.sampled_from([0, 1, 16, 5_000]),
    echoes=st.booleans(),
    data=st.data(),
)
def test_no_prompts_within_the_limits_sent_cost_more_than_the_worst_case(
    profile: RequestProfile,
    what: Model,
    price_list: PriceList,
    prompts: int,
    per_prompt: int,
    limit: int,
    *,
    echoes: bool,
    data: st.DataObject,
) -> None:
    """Whether a provider bills prompts that it gets side by side as one call, or each as its own, and reads them once
    or anew for each of their answers; and whether it bills what it repeats."""
    asked = replace(
        profile,
        prompts=prompts,
        longest_prompt_tokens=profile.input_tokens if prompts > 1 else 0,
        choices=prompts * per_prompt,
        max_output_tokens=limit,
        echoes_prompt=echoes,
        apis=(Api.COMPLETIONS,),
    )
    limits = estimate(asked, at("cloud", what, price_list), conditions=NOON, default_max_output_tokens=1_000)
    price = price_list.at(NOON.now)
    assert limits is not None
    assert price is not None
    bound = limits.input_tokens_bound
    repeated = bound if echoes else 0
    together = data.draw(usages_within(input_tokens=bound, output_tokens=asked.choices * limit + per_prompt * repeated))
    read_anew = data.draw(usages_within(input_tokens=bound, output_tokens=prompts * limit + repeated))
    each = data.draw(usages_within(input_tokens=bound // prompts, output_tokens=limit + repeated // prompts))

    for billed_at in (price, _with_hour_long_writes(price)) if profile.asks_one_hour_cache else (price,):
        assert cost(together, billed_at, images=profile.images) <= limits.worst_usd
        assert per_prompt * cost(read_anew, billed_at, images=profile.images) <= limits.worst_usd
        assert asked.choices * cost(each, billed_at, images=profile.images) <= limits.worst_usd


def _with_hour_long_writes(price: Price) -> Price:
    return Price(
        replace(price.base, cache_write=price.base.cache_write_1h),
        tuple(replace(tier, rates=replace(tier.rates, cache_write=tier.rates.cache_write_1h)) for tier in price.tiers),
    )


@given(profiles(), policies(), catalogs(), conditions, tightenings)
def test_a_tightened_request_is_served_by_nobody_new(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, tightening: Tightening
) -> None:
    before = decided(profile, rules, among, when)
    after = decided(profile, rules, among, when, tightening)

    assert set(ranked_ids(after)) <= set(ranked_ids(before))
    assert after.quality_bar >= before.quality_bar


@given(profiles(), policies(), catalogs(), conditions, ceilings)
def test_a_lower_ceiling_never_raises_the_worst_case_of_what_is_chosen(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, ceiling: Decimal | None
) -> None:
    """Whoever is chosen stays so while its worst case is within the ceiling; whoever replaces it is below both."""
    before = decided(profile, rules, among, when).chosen
    after = decided(profile, rules, among, when, Tightening(max_cost_usd=ceiling)).chosen

    if after is not None:
        assert before is not None
        assert after.estimate.worst_usd <= before.estimate.worst_usd


@given(profiles(), policies(), catalogs(), conditions, qualities)
def test_who_asks_for_more_quality_gets_it_and_is_expected_to_pay_no_less(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, min_quality: float
) -> None:
    rules = replace(rules, objective=Objective.CHEAPEST, rules=())
    before = decided(profile, rules, among, when).chosen
    after = decided(profile, rules, among, when, Tightening(min_quality=min_quality)).chosen

    if after is not None:
        assert before is not None
        assert after.quality >= min_quality
        assert after.estimate.ranked_usd >= before.estimate.ranked_usd


def test_more_quality_may_cost_more_at_worst() -> None:
    """So not every tightening lowers the worst case: only a ceiling does."""
    flash = at("cloud", model("flash", quality=0.5), always(per_mtok("1", "1")))
    opus = at("cloud", model("opus", quality=0.9), always(per_mtok("5", "5")))

    def worst_usd(tightening: Tightening) -> Decimal:
        chosen = decided(CHAT, policy("flash", "opus"), catalog(flash, opus), tightening=tightening).chosen
        assert chosen is not None
        return chosen.estimate.worst_usd

    assert worst_usd(Tightening(min_quality=0.9)) > worst_usd(NO_TIGHTENING)


def test_a_shorter_answer_may_cost_more_at_worst() -> None:
    """A lower limit can move the request to a model whose input is cheap as expected and dear at worst."""
    long_answers = at("cloud", model("long"), always(per_mtok("3", "1")))
    short_answers = at("cloud", model("short"), always(per_mtok("1", "10", cache_write_usd="12")))

    def chosen(limit: int) -> tuple[str, Decimal]:
        profile = replace(CHAT, max_output_tokens=limit)
        first = decided(profile, policy("long", "short"), catalog(long_answers, short_answers)).ranked[0]
        return first.deployment.model.name, first.estimate.worst_usd

    assert chosen(300) == ("long", Decimal("0.0123"))  # 4,000 x $3/M + 300 x $1/M; expected $0.0033 against $0.004
    assert chosen(100) == ("short", Decimal("0.049"))  # 4,000 x $12/M + 100 x $10/M; expected $0.002 against $0.0031


@given(profiles(), policies(floor=absolute_floors), catalogs(), conditions, st.sampled_from(MODELS))
def test_one_more_candidate_never_raises_the_cost_of_the_cheapest_at_an_absolute_floor(
    profile: RequestProfile, rules: Policy, among: Catalog, when: Conditions, added: ModelName
) -> None:
    rules = replace(rules, objective=Objective.CHEAPEST, rules=())
    more = replace(rules, candidates=tuple(dict.fromkeys((*rules.candidates, added))))
    before = decided(profile, rules, among, when).chosen
    after = decided(profile, more, among, when).chosen

    if before is not None:
        assert after is not None
        assert after.estimate.ranked_usd <= before.estimate.ranked_usd


def test_at_a_relative_floor_a_better_candidate_may_raise_the_cost() -> None:
    """It raises the bar for all: that is what a relative floor asks for."""
    flash = at("cloud", model("flash", quality=0.5), always(per_mtok("1", "1")))
    opus = at("cloud", model("opus", quality=0.9), always(per_mtok("5", "5")))
    relative = replace(policy("flash", "opus"), floor=QualityFloor(0.9, of="best_candidate"))

    decision = decided(CHAT, relative, catalog(flash, opus))

    assert ranked_ids(decision) == ["cloud:opus"]
    assert [each.reason for each in decision.rejected] == [Reason.BELOW_QUALITY]
    assert ranked_ids(decided(CHAT, relative, catalog(flash))) == ["cloud:flash"]


@pytest.mark.parametrize("objective", list(Objective))
def test_the_objective_orders_the_eligible_and_admits_nobody(objective: Objective) -> None:
    flash = at("cloud", model("flash", quality=0.5), always(per_mtok("1", "1")))
    opus = at("cloud", model("opus", quality=0.9), always(per_mtok("5", "5")))
    rules = replace(policy("flash", "opus"), objective=objective, floor=QualityFloor(0.6))

    assert ranked_ids(decided(CHAT, rules, catalog(flash, opus))) == ["cloud:opus"]
