"""Laws of policies in full: ten thousand requests under ten thousand policies with every term there is.

Drawn with a seed rather than by Hypothesis: these are many, and always the same.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from router.catalog.catalog import (
    Capability,
    Catalog,
    DataHandling,
    Deployment,
    DeploymentId,
    Effort,
    Model,
    ModelName,
    Provider,
    ProviderKind,
    ProviderName,
    Task,
)
from router.decision.data_rules import NO_DATA_RULES, DataRules, unmet
from router.decision.decide import Decision, decide
from router.decision.eligibility import Reason
from router.decision.explain import as_data, notes
from router.decision.facts import (
    NO_EXPERIENCE,
    NO_TIGHTENING,
    Conditions,
    Latency,
    OutputForecast,
    RequestProfile,
    Tightening,
)
from router.decision.matching import Match, Modality, Schedule, Weekday
from router.decision.policy import Guard, Objective, Policy, QualityFloor, Rule
from router.decision.recorded import Remembering
from router.quality.cascade import Accuracy
from router.quality.language import Language
from router.quality.predictor import NO_LESSON, Lesson, TablePredictor
from router.quality.verify import CheckKind
from tests.decision.builders import CHAT, always, at, model, per_mtok
from tests.replacing import replace

CASES = 10_000
MODELS = tuple(ModelName(name) for name in ("flash", "pro", "opus", "kimi"))
PROVIDERS: Mapping[str, ProviderKind] = {"cloud": "openrouter", "local": "openai_compatible", "direct": "deepseek"}
REGIONS = (None, "eu", "us")
ZONE = ZoneInfo("Europe/Berlin")
_T = TypeVar("_T")


class Learned:
    """An experience in which less thinking is usually, but not always, less writing."""

    def __init__(self, chance: random.Random) -> None:
        self._latencies = {
            f"{provider}:{name}": chance.choice((None, Latency(chance.choice((0.2, 1.0, 5.0)), 50.0)))
            for provider in PROVIDERS
            for name in MODELS
        }
        self._outputs = {effort: chance.choice((100, 400, 3_000)) for effort in (None, *Effort)}

    def input_ratio(self, what: Model, profile: RequestProfile) -> float:
        return NO_EXPERIENCE.input_ratio(what, profile)

    def output(self, _: Deployment, __: RequestProfile, effort: Effort | None) -> OutputForecast:
        return OutputForecast(self._outputs[effort], self._outputs[effort] // 2)

    def latency(self, deployment: Deployment, _: RequestProfile) -> Latency | None:
        return self._latencies[deployment.id]

    def quality(self, _: Model, __: RequestProfile, ___: Effort | None) -> Lesson:
        return NO_LESSON

    def accuracy(self, check: CheckKind, profile: RequestProfile) -> Accuracy:
        return NO_EXPERIENCE.accuracy(check, profile)

    def judged(self, _: RequestProfile) -> float:
        return 60.0


@dataclass(frozen=True, slots=True)
class Case:
    profile: RequestProfile
    policy: Policy
    catalog: Catalog
    conditions: Conditions
    tightening: Tightening

    def decided(self, tightening: Tightening | None = None) -> Decision:
        return decide(
            self.profile,
            self.policy,
            self.catalog,
            self.conditions,
            quality=TablePredictor(),
            tightening=self.tightening if tightening is None else tightening,
        )


def cases(seed: int, count: int = CASES) -> Iterator[Case]:
    chance = random.Random(seed)
    for _ in range(count):
        yield Case(profile(chance), policy(chance), catalog(chance), conditions(chance), tightening(chance))


def maybe(chance: random.Random, *values: _T) -> _T | None:
    return chance.choice(values) if chance.random() < 0.3 else None


def some(chance: random.Random, values: tuple[_T, ...]) -> frozenset[_T]:
    return frozenset(chance.sample(values, chance.randint(1, len(values))))


def profile(chance: random.Random) -> RequestProfile:
    tokens = chance.choice((1, 1_000, 5_000, 15_000))
    effort = maybe(chance, *Effort)
    needs = {Capability.REASONING} if effort not in (None, Effort.NONE) or chance.random() < 0.1 else set()
    needs |= {each for each in (Capability.TOOLS, Capability.IMAGE_INPUT) if chance.random() < 0.15}
    return replace(
        CHAT,
        input_tokens=tokens,
        input_bytes=tokens * 4,
        max_output_tokens=maybe(chance, 1, 500, 2_000),
        choices=chance.choice((1, 1, 2)),
        needs=frozenset(needs),
        task=chance.choice((Task.CHAT, Task.CODE)),
        is_stream=chance.random() < 0.5,
        effort=effort,
        language=chance.choice((Language.EN, Language.DE, Language.OTHER)),
        difficulty=chance.choice((0.1, 0.5, 0.9)),
    )


def match(chance: random.Random) -> Match:
    return Match(
        languages=maybe(chance, frozenset({Language.DE})) or frozenset(),
        modalities=maybe(chance, frozenset({Modality.IMAGE}), frozenset({Modality.TEXT})) or frozenset(),
        difficulty_over=maybe(chance, 0.4),
        schedule=maybe(
            chance,
            Schedule(ZONE, ((time(22), time(6)),)),
            Schedule(ZONE, weekdays=frozenset({Weekday.SATURDAY, Weekday.SUNDAY})),
        ),
    )


def data_rules(chance: random.Random) -> DataRules:
    if chance.random() < 0.7:
        return NO_DATA_RULES
    return DataRules(
        zdr=chance.random() < 0.3,
        deny_collection=chance.random() < 0.3,
        regions=maybe(chance, frozenset({"eu"}), frozenset({"eu", "us"})),
        only=maybe(chance, frozenset({"deepinfra", "local"}), frozenset({"azure"})),
        ignore=maybe(chance, frozenset({"direct"})) or frozenset(),
    )


def only(chance: random.Random) -> frozenset[ProviderName] | None:
    return some(chance, tuple(map(ProviderName, PROVIDERS))) if chance.random() < 0.2 else None


def ceiling(chance: random.Random) -> Decimal | None:
    return maybe(chance, Decimal("0.001"), Decimal("0.02"), Decimal("0.1"))


def floor(chance: random.Random) -> QualityFloor | None:
    return maybe(chance, QualityFloor(0.6), QualityFloor(0.9, of="best_candidate"))


def weights(chance: random.Random) -> tuple[tuple[ModelName, float], ...] | None:
    return maybe(chance, ((MODELS[0], 0.7), (MODELS[1], 0.3)), ((MODELS[2], 0.2),))


def rule(chance: random.Random, number: int) -> Rule:
    return Rule(
        f"rule {number}",
        match(chance),
        candidates=maybe(chance, MODELS, MODELS[1:], MODELS[:1]),
        objective=maybe(chance, *Objective),
        floor=floor(chance),
        max_cost_usd=ceiling(chance),
        max_latency_ms=maybe(chance, 500, 5_000),
        reasoning_effort=maybe(chance, Effort.NONE, Effort.LOW, Effort.HIGH),
        max_reasoning_effort=maybe(chance, Effort.NONE, Effort.LOW, Effort.MEDIUM),
        weights=weights(chance),
        only_providers=only(chance),
        data=data_rules(chance),
    )


def policy(chance: random.Random) -> Policy:
    return Policy(
        name="law",
        candidates=chance.choice((MODELS, MODELS, MODELS[:2])),
        objective=chance.choice(list(Objective)),
        floor=floor(chance),
        max_cost_usd=ceiling(chance),
        default_max_output_tokens=chance.choice((1_000, 200, 32_768)),
        banned_models=maybe(chance, frozenset(MODELS[:1])) or frozenset(),
        banned_providers=maybe(chance, frozenset({ProviderName("local")})) or frozenset(),
        rules=tuple(rule(chance, number) for number in range(chance.randint(0, 3))),
        max_latency_ms=maybe(chance, 500, 5_000),
        reasoning_effort=maybe(chance, Effort.NONE, Effort.LOW, Effort.HIGH),
        max_reasoning_effort=maybe(chance, Effort.NONE, Effort.LOW, Effort.MEDIUM),
        weights=weights(chance) or (),
        only_providers=only(chance),
        data=data_rules(chance),
        confidence=chance.choice((0.5, 0.5, 0.8, 0.99)),
        usd_per_point=chance.choice((Decimal("0.00001"), Decimal("0.01"))),
    )


def catalog(chance: random.Random) -> Catalog:
    return Catalog({name: tuple(deployments(chance, name)) for name in MODELS}, version="c1")


def deployments(chance: random.Random, name: ModelName) -> Iterator[Deployment]:
    what = replace(
        model(
            name,
            quality=chance.choice((0.5, 0.7, 0.9)),
            capabilities=chance.choice((frozenset(Capability), frozenset({Capability.REASONING, Capability.TOOLS}))),
            max_output_tokens=chance.choice((2_000, 20_000)),
        ),
        efforts=maybe(chance, frozenset({Effort.NONE, Effort.HIGH}), frozenset({Effort.LOW})) or frozenset(),
        default_effort=maybe(chance, Effort.HIGH),
    )
    prices = always(per_mtok(chance.choice(("0.1", "1", "5")), chance.choice(("0.4", "4", "20"))))
    for provider in sorted(some(chance, tuple(PROVIDERS))):
        handling = DataHandling(chance.random() < 0.5, chance.random() < 0.5, chance.choice(REGIONS))
        hosted = at(provider, what, prices)
        yield replace(
            hosted, provider=Provider(ProviderName(provider), PROVIDERS[provider], "http://x.example"), data=handling
        )


def conditions(chance: random.Random) -> Conditions:
    return Conditions(
        now=datetime(2026, 11, 23, tzinfo=UTC) + timedelta(hours=chance.randrange(24 * 7)),
        seed=chance.getrandbits(48),
        experience=Learned(chance),
    )


def tightening(chance: random.Random) -> Tightening:
    return Tightening(
        max_cost_usd=ceiling(chance),
        min_quality=maybe(chance, 0.6, 0.8),
        max_latency_ms=maybe(chance, 300, 2_000),
        max_effort=maybe(chance, Effort.NONE, Effort.LOW),
        data=data_rules(chance),
    )


def ids(decision: Decision) -> list[DeploymentId]:
    return [each.deployment.id for each in decision.ranked]


def test_what_is_explained_is_what_is_served() -> None:
    """The command, a dry run and a request call `decide` with equal arguments, made anew each time."""
    chosen = 0
    for explained, served in zip(cases(1), cases(1), strict=True):
        told = json.loads(json.dumps(as_data(explained.decided(), explained.profile)))
        decision = served.decided()

        assert [f"{each['provider']}:{each['model']}" for each in told["candidates"]] == ids(decision)
        assert [each["effort"] for each in told["candidates"]] == [
            each.effort and each.effort.value for each in decision.ranked
        ]
        assert told["rule"] == decision.terms.rule
        assert told["arm"] == decision.arm
        assert {each["deployment"] for each in told["rejections"]} == {each.deployment for each in decision.rejected}
        chosen += decision.chosen is not None
    assert CASES / 5 < chosen < CASES  # the draw is worth something


def test_a_decision_is_the_same_again_and_in_any_order_of_the_catalog() -> None:
    for case in cases(2, CASES // 8):
        reordered = replace(case.catalog, deployments=dict(reversed(list(case.catalog.deployments.items()))))

        assert replace(case, catalog=reordered).decided() == case.decided() == case.decided()


def test_a_request_that_tightens_nothing_gets_the_terms_that_were_worked_out_before() -> None:
    for case in cases(6, CASES // 8):
        anew = replace(case.policy, rules=tuple(replace(each) for each in case.policy.rules))

        known = case.policy.terms_for(case.profile, NO_TIGHTENING, case.conditions.now)

        assert known == anew.terms_for(case.profile, Tightening(), case.conditions.now)
        assert known.rule == next(
            (each.name for each in anew.rules if each.when.holds_for(case.profile, case.conditions.now)), None
        )
        assert case.decided(NO_TIGHTENING) == case.decided(Tightening())


def test_who_is_unavailable_is_not_asked_what_it_would_take() -> None:
    for case in cases(7, CASES // 8):
        asked = Remembering(case.conditions.experience)
        decision = replace(case, conditions=replace(case.conditions, experience=asked)).decided()

        assert not {key.partition(" ")[0] for key in asked.answers().outputs} & set(case.conditions.unavailable)
        assert {each.reason for each in decision.rejected if each.deployment in case.conditions.unavailable} <= {
            *(Reason.BANNED, Reason.DATA_RULES, Reason.UNAVAILABLE)
        }


def test_a_tightened_request_is_served_by_nobody_the_policy_refuses_and_never_at_a_higher_worst_case() -> None:
    for case in cases(3, CASES // 2):
        before, after = case.decided(NO_TIGHTENING), case.decided()
        worst = {each.deployment.id: each.estimate.worst_usd for each in before.ranked}

        assert set(ids(after)) <= set(worst)
        for each in after.ranked:
            assert each.estimate.worst_usd <= worst[each.deployment.id]
        if after.ranked:
            assert max(each.estimate.worst_usd for each in after.ranked) <= max(worst.values())
        assert after.quality_bar >= before.quality_bar


def test_a_lower_ceiling_alone_never_raises_the_worst_case_of_what_is_chosen() -> None:
    for case in cases(4, CASES // 4):
        if case.policy.weights or any(rule.weights for rule in case.policy.rules):
            continue  # an arm that is too dear leaves its share to one that need not be cheaper than the one before
        before = case.decided(NO_TIGHTENING).chosen
        after = case.decided(Tightening(max_cost_usd=case.tightening.max_cost_usd)).chosen

        if after is not None:
            assert before is not None
            assert after.estimate.worst_usd <= before.estimate.worst_usd


def test_every_limit_of_policy_rule_and_request_is_kept() -> None:
    for case in cases(5, CASES // 4):
        decision = case.decided()
        terms = decision.terms
        for each in decision.ranked:
            assert terms.max_cost_usd is None or each.estimate.worst_usd <= terms.max_cost_usd
            assert terms.max_latency_ms is None or each.latency_ms is None or each.latency_ms <= terms.max_latency_ms
            assert each.quality >= (terms.min_quality or 0)
        if case.tightening.max_cost_usd is not None:
            assert terms.max_cost_usd is not None
            assert terms.max_cost_usd <= case.tightening.max_cost_usd


def test_who_is_banned_or_handles_data_otherwise_is_never_chosen_whatever_the_rules_say() -> None:
    for case in cases(6, CASES // 4):
        bans = case.policy
        for each in case.decided().ranked:
            deployment = each.deployment
            assert deployment.model.name not in bans.banned_models
            assert deployment.provider.name not in bans.banned_providers
            assert bans.only_providers is None or deployment.provider.name in bans.only_providers
            assert unmet(bans.data, deployment) is None
            assert unmet(case.tightening.data, deployment) is None


def test_a_guard_only_ever_takes_candidates_away() -> None:
    chance = random.Random(7)
    for case in cases(7, CASES // 4):
        guard = Guard(frozenset(MODELS[2:3]), frozenset(), only(chance), data_rules(chance))
        free = replace(case, policy=replace(case.policy, floor=None, rules=()))
        guarded = replace(free, policy=free.policy.within(guard))

        left = [each for each in free.decided().ranked if each.deployment.model.name not in guard.banned_models]
        allowed = {
            each.deployment.id
            for each in left
            if (guard.only_providers is None or each.deployment.provider.name in guard.only_providers)
            and unmet(guarded.decided().terms.data, each.deployment) is None
        }
        assert set(ids(guarded.decided())) == allowed


def test_the_arm_is_first_and_the_others_follow_in_the_order_of_the_objective() -> None:
    drawn = 0
    for case in cases(8, CASES // 4):
        decision = case.decided()
        if decision.arm is None:
            continue
        drawn += 1
        without = replace(
            case,
            policy=replace(
                case.policy, weights=(), rules=tuple(replace(rule, weights=()) for rule in case.policy.rules)
            ),
        ).decided()
        models = [each.deployment.model.name for each in decision.ranked]
        first = [each for each in ids(without) if each.endswith(f":{decision.arm}")]

        assert models[0] == decision.arm
        assert ids(decision) == first + [each for each in ids(without) if each not in first]
        assert f"falls to {decision.arm}" in " ".join(notes(decision))
    assert drawn > CASES / 80


def test_every_turn_of_a_conversation_stays_in_its_arm() -> None:
    shares = ((MODELS[0], 0.5), (MODELS[1], 0.5))
    for case in cases(9, CASES // 10):
        split = replace(case, policy=replace(case.policy, rules=(), weights=shares, max_latency_ms=None))
        later = replace(split, conditions=replace(split.conditions, now=split.conditions.now + timedelta(hours=1)))

        if set(ids(split.decided())) == set(ids(later.decided())):
            assert split.decided().arm == later.decided().arm
