"""The team's file: groups of deployments and fallbacks as aliases and policies.

LiteLLM spreads requests over a group's deployments, and asks fallbacks where they fail. Penstock asks the cheapest that
is good enough. So a group of one model is an alias for it; a group of several is a policy that may choose any of them;
where the config says who comes first (weights, order, fallbacks) the policy has `weights`, which say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal

from router.apis import Api
from router.catalog.catalog import Effort
from router.cli.litellm.deployments import ALIAS, Serving, distinct
from router.cli.litellm.names import slug
from router.cli.litellm.settings import Allowance, Terms
from router.cli.new_config import quoted

AUTO = "auto"
_FLOOR = "{at_least: 0.92, of: best_candidate}"  # what `penstock init` writes
_SHARE = Decimal("0.0001")
_REST = "default_max_output_tokens"


@dataclass(slots=True)
class Policy:
    name: str
    candidates: list[str]
    comment: str = ""
    weights: dict[str, Decimal] = field(default_factory=dict)
    has_floor: bool = False
    terms: list[str] = field(default_factory=list)  # lines of YAML


@dataclass(slots=True)
class TeamPlan:
    """What the file will say, and what of the config it could not."""

    policies: list[Policy] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)  # alias → model
    chosen: dict[str, str] = field(default_factory=dict)  # alias → policy
    to_do: list[str] = field(default_factory=list)


def plan(
    groups: Mapping[str, Sequence[Serving]], terms: Terms, *, rated: frozenset[str], auto: Sequence[str]
) -> TeamPlan:
    """The aliases and policies. `rated`: models with figures of quality; `auto`: what `auto` chooses from."""
    planned = TeamPlan()
    for group, servings in groups.items():
        if servings[0].api == Api.CHAT:
            _plan_text(planned, group, servings, groups, terms, rated)
        else:
            _plan_pinned(planned, group, servings)
    for alias, group in terms.aliases.items():
        _plan_alias(planned, alias, group)
    if AUTO not in planned.models and AUTO not in planned.chosen:
        _plan_auto(planned, auto, terms, rated)
    return planned


def _plan_pinned(planned: TeamPlan, group: str, servings: Sequence[Serving]) -> None:
    models = distinct(servings)
    planned.models[group] = models[0]
    if len(models) > 1:
        planned.to_do.append(
            f"{group}: {models[0]} alone answers; vectors of different models cannot be compared, so "
            f"{', '.join(models[1:])} needs an alias of its own"
        )


def _plan_text(
    planned: TeamPlan,
    group: str,
    servings: Sequence[Serving],
    groups: Mapping[str, Sequence[Serving]],
    terms: Terms,
    rated: frozenset[str],
) -> None:
    own = distinct([each for each in servings if each.api == Api.CHAT])
    named = [*terms.fallbacks.get(group, ()), *(each for each in terms.for_all if each != group)]
    further = [each for each in named if each in groups]
    after = [
        model
        for model in dict.fromkeys(model for each in further for model in distinct(groups[each]))
        if model not in own
        and all(each.api == Api.CHAT for name in further for each in groups[name] if each.model == model)
    ]
    extra = _extra(servings, terms)
    if len(own) == 1 and not after and not extra:
        planned.models[group] = own[0]
        return
    policy = Policy(slug(group, [each.name for each in planned.policies], instead="group"), [*own, *after], terms=extra)
    policy.weights = _weights(servings, own, is_first=bool(after))
    if after:
        policy.comment = f"{', '.join(own)} first, by `weights`; the others where it may not serve, or fails."
    elif policy.weights:
        policy.comment = "Shares, as in LiteLLM, of the conversations; without `weights` the cheapest is asked."
    elif len(own) > 1:
        policy.comment = (
            "LiteLLM spread requests over these; here the cheapest is asked, and the others where it fails."
        )
        policy.has_floor = rated.issuperset(own)
    planned.policies.append(policy)
    planned.chosen[group] = policy.name


def _extra(servings: Sequence[Serving], terms: Terms) -> list[str]:
    """Terms of the policy that the deployments, or the settings, name."""
    limits = [each.max_output_tokens for each in servings if each.max_output_tokens is not None]
    firsts = [each.first_token_s for each in servings if each.first_token_s is not None]
    efforts = [each.effort for each in servings if each.effort is not None]
    firsts += [terms.first_token_s] if terms.first_token_s is not None and not firsts else []
    lines = [f"{_REST}: {min(limits)} # where a client names no limit"] if limits else []
    lines += [f"first_token_timeout_s: {_decimal(min(firsts))}"] if firsts else []
    return [*lines, *([f"reasoning_effort: {min(efforts, key=list(Effort).index).value}"] if efforts else [])]


def _weights(servings: Sequence[Serving], own: Sequence[str], *, is_first: bool) -> dict[str, Decimal]:
    """Shares of the group's own models: by `order`, by `weight`, or in equal parts where fallbacks must come after."""
    orders = [each.order for each in servings if each.order is not None]
    if orders and len(own) > 1:
        first = [each for each in servings if each.order == min(orders)]
        return _shares({model: Decimal(1) for model in distinct(first)})
    if any(each.weight is not None for each in servings) and len(own) > 1:
        sums = dict.fromkeys(own, Decimal(0))
        for each in servings:
            sums[each.model] += each.weight or 0
        return _shares({model: weight for model, weight in sums.items() if weight})
    return _shares(dict.fromkeys(own, Decimal(1))) if is_first else {}


def _shares(weights: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Parts of 1 that come to 1."""
    total = sum(weights.values())
    shares = {model: (weight / total).quantize(_SHARE, rounding=ROUND_DOWN) for model, weight in weights.items()}
    largest = max(shares, key=lambda model: shares[model])
    shares[largest] += 1 - sum(shares.values())
    return {model: share for model, share in shares.items() if share}


def _plan_alias(planned: TeamPlan, alias: str, group: str) -> None:
    if not ALIAS.fullmatch(alias) or alias in planned.models or alias in planned.chosen:
        planned.to_do.append(
            "an alias of model_group_alias is the name of a group too, or has characters that none may have"
        )
    elif group in planned.models:
        planned.models[alias] = planned.models[group]
    elif group in planned.chosen:
        planned.chosen[alias] = planned.chosen[group]
    else:
        planned.to_do.append(f"{alias}: an alias of a group that came to nothing")


def _plan_auto(planned: TeamPlan, models: Sequence[str], terms: Terms, rated: frozenset[str]) -> None:
    """`auto`: of all that the config has, the cheapest that is good enough."""
    candidates = [model for model in models if model in rated] or list(models)
    name = slug(AUTO, [each.name for each in planned.policies])
    which = "these, which models.yaml rates" if rated.issuperset(candidates) else "these"
    policy = Policy(name, candidates, f"New: of {which}, the cheapest that is good enough for the request.")
    policy.has_floor = rated.issuperset(candidates) and len(candidates) > 1
    policy.terms = [] if terms.first_token_s is None else [f"first_token_timeout_s: {_decimal(terms.first_token_s)}"]
    planned.policies.append(policy)
    planned.chosen[AUTO] = name


def team_file(team: str, planned: TeamPlan, terms: Terms, *, providers: Sequence[str], source: str) -> str:
    """The text of teams/TEAM.yaml. `providers`: the only ones that may be asked."""
    lines = [
        "# yaml-language-server: $schema=../schemas/team.json",
        "#",
        f"# Team {team}, made of the LiteLLM config {source}. ../IMPORT.md says what became of each of its keys;",
        "# docs/policies.md has all that can be said here.",
        f"team: {team}",
        "",
        "# What the team used before: savings are measured against it.",
        "# baseline: openai/gpt-5.4",
        "",
        *_allowance(terms.team, ""),
    ]
    if not terms.team.budgets:
        lines += [
            "# No budget: nothing bounds what the team may spend.",
            "# budgets: [{limit_usd: 100, per: month}]",
            "",
        ]
    each_key = _allowance(terms.each_key, "  ")
    if each_key:
        lines += ["# Of every key of the team.", "each_key:", *each_key]
    if terms.cache_s is not None:
        lines += [f"cache: {{ttl_s: {_decimal(terms.cache_s)}, when: always}}", ""]
    lines += [
        "# Who was asked by LiteLLM; models.yaml may have others for the same models.",
        f"only_providers: [{', '.join(providers)}]",
        "",
        "# What clients write in `model`.",
        "aliases:",
    ]
    lines += [f"  {quoted(alias)}: {{policy: {policy}}}" for alias, policy in planned.chosen.items()]
    lines += [f"  {quoted(alias)}: {{model: {quoted(model)}}}" for alias, model in planned.models.items()]
    lines += ["", "policies:"] if planned.policies else []
    for policy in planned.policies:
        lines += _policy(policy)
    return "\n".join(lines).rstrip("\n") + "\n"


def _policy(policy: Policy) -> list[str]:
    lines = [f"  # {policy.comment}"] if policy.comment else []
    lines += [f"  {policy.name}:", "    candidates:", *(f"      - {quoted(model)}" for model in policy.candidates)]
    lines.append("    objective: cheapest")
    if policy.has_floor:
        lines.append(f"    quality: {_FLOOR}")
    if policy.weights:
        shares = ", ".join(f"{quoted(model)}: {_decimal(share)}" for model, share in policy.weights.items())
        lines.append(f"    weights: {{{shares}}}")
    return [*lines, *(f"    {term}" for term in policy.terms), ""]


def _allowance(allowance: Allowance, indent: str) -> list[str]:
    lines = []
    if allowance.budgets:
        lines.append(f"{indent}budgets:")
        lines += [
            f"{indent}  - {{limit_usd: {_decimal(budget.limit_usd)}, per: {budget.per.value}, when_spent: reject}}"
            for budget in allowance.budgets
        ]
    if allowance.limits:
        limits = ", ".join(f"{limit}: {number}" for limit, number in allowance.limits.items())
        lines.append(f"{indent}limits: {{{limits}}}")
    return [*lines, ""] if lines else []


def _decimal(number: Decimal) -> str:
    return f"{number.normalize():f}"
