"""`teams/NAME.yaml` as a `Team`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import time
from zoneinfo import ZoneInfo

from router.catalog.catalog import ArmName, ModelName, Named, ProviderName, Score, Task, arm_of
from router.config.catalog_file import plain_scores, scores_by_effort
from router.config.schema.checks import CheckSection
from router.config.schema.conditions import WhenSection
from router.config.schema.models import FiguresSection
from router.config.schema.policies import DataSection, FloorSection, PolicySection, RuleSection, ShadowSection
from router.config.schema.teams import (
    AliasSection,
    AllowanceSection,
    BudgetSection,
    LimitsSection,
    TeamFile,
    TeamLimitsSection,
)
from router.config.snapshot import Caching, PromptKeeping, Team
from router.decision.arms import Weights
from router.decision.data_rules import NO_DATA_RULES, DataRules
from router.decision.matching import Match, Schedule
from router.decision.policy import MIDDLE, USD_PER_POINT, Guard, Policy, QualityFloor, Rule, Shadow, pinned
from router.keys import TeamName
from router.quality.verify import Check
from router.quotas import Allowance, Budget, Limits
from router.units import nano_usd


def team(file: TeamFile) -> Team:
    """The team of a validated file whose models, providers and policies are all known."""
    zone = ZoneInfo(file.time_zone)
    guard = Guard(
        banned_models=frozenset(_models(file.banned_models)),
        banned_providers=frozenset(_providers(file.banned_providers)),
        only_providers=_only(file.only_providers),
        data=_data(file.data),
    )
    policies = {name: _policy(name, section, zone).within(guard) for name, section in file.policies.items()}
    return Team(
        name=TeamName(file.team),
        baseline=None if file.baseline is None else ModelName(file.baseline),
        zone=zone,
        budgets=tuple(_budget(section) for section in file.budgets),
        limits=_team_limits(file.limits),
        weight=file.limits.weight,
        each_key=_allowance(file.each_key),
        projects={tag: _allowance(section) for tag, section in file.projects.items()},
        aliases={alias: _target(section, policies, guard) for alias, section in file.aliases.items()},
        policies=policies,
        cache=None if file.cache is None else Caching(file.cache.ttl_s, is_always=file.cache.when == "always"),
        prompts=None if file.prompts is None else PromptKeeping(file.prompts.kept_days, file.prompts.sample_share),
        learns_quality=file.learning.quality,
        guard=guard,
        quality=_own_figures(file.quality),
    )


def _own_figures(sections: dict[str, FiguresSection]) -> dict[Named, dict[Task, Score]]:
    """By arm; figures by effort become those of an arm each."""
    figures: defaultdict[Named, dict[Task, Score]] = defaultdict(dict)
    for name, section in sections.items():
        figures[ArmName(name)].update(plain_scores(section, are_own=True))
        for task, scores in scores_by_effort(section, are_own=True).items():
            for effort, score in scores.items():
                figures[ArmName(f"{arm_of(ArmName(name)).model}@{effort.value}")][task] = score
    return dict(figures)


def _target(section: AliasSection, policies: dict[str, Policy], guard: Guard) -> Policy:
    if section.policy is not None:
        return policies[section.policy]
    assert section.model is not None  # the schema demands one of the two
    return pinned(ArmName(section.model)).within(guard)


def _budget(section: BudgetSection) -> Budget:
    return Budget(limit_nano_usd=nano_usd(section.limit_usd), per=section.per, when_spent=section.when_spent)


def _limits(section: LimitsSection) -> Limits:
    return Limits(
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        concurrent=section.concurrent,
    )


def _team_limits(section: TeamLimitsSection) -> Limits:
    return replace(_limits(section), queue=section.queue, queue_s=section.queue_s)


def _allowance(section: AllowanceSection) -> Allowance:
    return Allowance(budgets=tuple(_budget(budget) for budget in section.budgets), limits=_limits(section.limits))


def _policy(name: str, section: PolicySection, zone: ZoneInfo) -> Policy:
    return Policy(
        name=name,
        candidates=_arms(section.candidates),
        objective=section.objective,
        floor=_floor(section.quality),
        max_cost_usd=section.max_cost_usd,
        default_max_output_tokens=section.default_max_output_tokens,
        may_shorten=section.may_shorten,
        banned_models=frozenset(_models(section.banned_models)),
        banned_providers=frozenset(_providers(section.banned_providers)),
        rules=tuple(_rule(rule, zone) for rule in section.rules),
        verify=_checks(section.verify),
        max_escalations=section.max_escalations,
        buffers_streams=section.buffer,
        max_latency_ms=section.max_latency_ms,
        first_token_timeout_s=section.first_token_timeout_s,
        reasoning_effort=section.reasoning_effort,
        max_reasoning_effort=section.max_reasoning_effort,
        weights=_weights(section.weights or {}),
        only_providers=_only(section.only_providers),
        data=_data(section.data),
        shadow=None if section.shadow is None else _shadow(section.shadow),
        usd_per_point=section.usd_per_point or USD_PER_POINT,
        confidence=section.confidence or MIDDLE,
        explore=section.explore,
        start=section.start,
    )


def _rule(section: RuleSection, zone: ZoneInfo) -> Rule:
    return Rule(
        name=section.name,
        when=_match(section.when, zone),
        candidates=None if section.candidates is None else _arms(section.candidates),
        objective=section.objective,
        floor=_floor(section.quality),
        max_cost_usd=section.max_cost_usd,
        verify=None if section.verify is None else _checks(section.verify),
        max_latency_ms=section.max_latency_ms,
        reasoning_effort=section.reasoning_effort,
        max_reasoning_effort=section.max_reasoning_effort,
        weights=None if section.weights is None else _weights(section.weights),
        only_providers=_only(section.only_providers),
        data=_data(section.data),
        usd_per_point=section.usd_per_point,
        confidence=section.confidence,
    )


def _checks(sections: list[CheckSection]) -> tuple[Check, ...]:
    return tuple(Check(section.kind, section.pattern, tuple(section.languages)) for section in sections)


def _match(section: WhenSection, zone: ZoneInfo) -> Match:
    return Match(
        input_tokens_over=section.input_tokens.over if section.input_tokens else None,
        input_tokens_under=section.input_tokens.under if section.input_tokens else None,
        tasks=frozenset(section.task),
        needs=frozenset(section.needs),
        aliases=frozenset(section.alias),
        tags=frozenset(section.tags),
        languages=frozenset(section.language),
        modalities=frozenset(section.modalities),
        difficulty_over=section.difficulty.over if section.difficulty else None,
        difficulty_under=section.difficulty.under if section.difficulty else None,
        schedule=_schedule(section, zone),
    )


def _schedule(section: WhenSection, zone: ZoneInfo) -> Schedule | None:
    if not section.hour and not section.weekdays:
        return None
    return Schedule(zone, tuple(_hours(text) for text in section.hour), frozenset(section.weekdays))


def _hours(text: str) -> tuple[time, time]:
    begins, _, ends = text.partition("-")
    return time.fromisoformat(begins), time.fromisoformat("00:00" if ends == "24:00" else ends)


def _data(section: DataSection | None) -> DataRules:
    if section is None:
        return NO_DATA_RULES
    return DataRules(
        zdr=section.zdr,
        deny_collection=section.collection == "deny",
        regions=None if section.regions is None else frozenset(section.regions),
        only=None if section.only is None else frozenset(section.only),
        ignore=frozenset(section.ignore),
    )


def _shadow(section: ShadowSection) -> Shadow:
    budget = Budget(limit_nano_usd=nano_usd(section.budget_usd), per=section.per)
    return Shadow(model=ArmName(section.model), share=section.share, budget=budget)


def _weights(section: dict[str, float]) -> Weights:
    return tuple((ArmName(name), share) for name, share in section.items())


def _only(names: Sequence[str] | None) -> frozenset[ProviderName] | None:
    return None if names is None else frozenset(_providers(names))


def _providers(names: Sequence[str]) -> tuple[ProviderName, ...]:
    return tuple(ProviderName(name) for name in names)


def _floor(section: FloorSection | None) -> QualityFloor | None:
    if section is None:
        return None
    return QualityFloor(at_least=section.at_least, of=section.of or "one")


def _arms(names: list[str]) -> tuple[Named, ...]:
    return tuple(ArmName(name) for name in names)


def _models(names: list[str]) -> tuple[ModelName, ...]:
    return tuple(ModelName(name) for name in names)
