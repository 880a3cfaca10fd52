"""`teams/NAME.yaml` as a `Team`."""

from zoneinfo import ZoneInfo

from router.catalog.catalog import ModelName, ProviderName
from router.config.schema import (
    AliasSection,
    AllowanceSection,
    BudgetSection,
    CheckSection,
    FloorSection,
    LimitsSection,
    PolicySection,
    RuleSection,
    TeamFile,
    WhenSection,
)
from router.config.snapshot import Team
from router.decision.policy import Match, Policy, QualityFloor, Rule, pinned
from router.keys import TeamName
from router.quality.verify import Check
from router.quotas import Allowance, Budget, Limits
from router.units import nano_usd


def team(file: TeamFile) -> Team:
    """The team of a validated file whose models, providers and policies are all known."""
    policies = {name: _policy(name, section) for name, section in file.policies.items()}
    return Team(
        name=TeamName(file.team),
        baseline=None if file.baseline is None else ModelName(file.baseline),
        zone=ZoneInfo(file.time_zone),
        budgets=tuple(_budget(section) for section in file.budgets),
        limits=_limits(file.limits),
        each_key=_allowance(file.each_key),
        projects={tag: _allowance(section) for tag, section in file.projects.items()},
        aliases={alias: _target(section, policies) for alias, section in file.aliases.items()},
        policies=policies,
    )


def _target(section: AliasSection, policies: dict[str, Policy]) -> Policy:
    if section.policy is not None:
        return policies[section.policy]
    assert section.model is not None  # the schema demands one of the two
    return pinned(ModelName(section.model))


def _budget(section: BudgetSection) -> Budget:
    return Budget(limit_nano_usd=nano_usd(section.limit_usd), per=section.per, when_spent=section.when_spent)


def _limits(section: LimitsSection) -> Limits:
    return Limits(
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        concurrent=section.concurrent,
    )


def _allowance(section: AllowanceSection) -> Allowance:
    return Allowance(budgets=tuple(_budget(budget) for budget in section.budgets), limits=_limits(section.limits))


def _policy(name: str, section: PolicySection) -> Policy:
    return Policy(
        name=name,
        candidates=_models(section.candidates),
        objective=section.objective,
        floor=_floor(section.quality),
        max_cost_usd=section.max_cost_usd,
        default_max_output_tokens=section.default_max_output_tokens,
        may_shorten=section.may_shorten,
        banned_models=frozenset(_models(section.banned_models)),
        banned_providers=frozenset(ProviderName(provider) for provider in section.banned_providers),
        rules=tuple(_rule(rule) for rule in section.rules),
        verify=_checks(section.verify),
        max_escalations=section.max_escalations,
        buffers_streams=section.buffer,
    )


def _rule(section: RuleSection) -> Rule:
    return Rule(
        name=section.name,
        when=_match(section.when),
        candidates=None if section.candidates is None else _models(section.candidates),
        objective=section.objective,
        floor=_floor(section.quality),
        max_cost_usd=section.max_cost_usd,
        verify=None if section.verify is None else _checks(section.verify),
    )


def _checks(sections: list[CheckSection]) -> tuple[Check, ...]:
    return tuple(Check(section.kind, section.pattern) for section in sections)


def _match(section: WhenSection) -> Match:
    return Match(
        input_tokens_over=section.input_tokens.over if section.input_tokens else None,
        input_tokens_under=section.input_tokens.under if section.input_tokens else None,
        tasks=frozenset(section.task),
        needs=frozenset(section.needs),
        aliases=frozenset(section.alias),
        tags=frozenset(section.tags),
    )


def _floor(section: FloorSection | None) -> QualityFloor | None:
    if section is None:
        return None
    return QualityFloor(at_least=section.at_least, of=section.of or "one")


def _models(names: list[str]) -> tuple[ModelName, ...]:
    return tuple(ModelName(name) for name in names)
