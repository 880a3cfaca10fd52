"""A `Decision` in words: the one object that the command, dry runs, the admin port and the console show.

`as_data` is the object for machines; `summary`, `candidates_told`, `qualities_told` and `rejections_told` are its words
for people, which each outlet lays out in its own way. A new field of `Estimate` or `Terms` is in the data by itself; a
new column for people is a line in `_COLUMNS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import msgspec

from router.catalog.catalog import Effort
from router.decision.cascading import CascadeArm
from router.decision.decide import Decision
from router.decision.eligibility import Candidate, Rejection
from router.decision.estimate import Estimate
from router.decision.exploring import Exploration
from router.decision.facts import RequestProfile
from router.decision.policy import MIDDLE, Objective, Terms
from router.quality.predictor import Forecast


def as_data(decision: Decision, profile: RequestProfile) -> dict[str, Any]:
    """The decision as JSON-ready data. Dollars are strings, so that no reader rounds them."""
    chosen = decision.chosen
    return {
        "chosen": None
        if chosen is None
        else {"model": chosen.deployment.model.name, "provider": chosen.deployment.provider.name},
        "policy": decision.policy,
        **_fields_of(decision.terms, Terms, _TERMS_NAMES, without=_TOLD_OTHERWISE),
        "quality_bar": round(decision.quality_bar, 6),
        "verify": _verification(decision, profile),
        "arm": decision.arm,
        "cascade": _cascade(decision.cascade),
        "exploration": _exploration(decision.exploration),
        "propensity": decision.propensity,
        "drawn_from": decision.drawn_from,
        "notes": list(notes(decision)),
        "catalog_version": decision.catalog_version,
        "profile": profile_as_data(profile),
        "candidates": [_candidate(rank, candidate) for rank, candidate in enumerate(decision.ranked, start=1)],
        "rejections": rejections_as_data(decision.rejected),
    }


def _verification(decision: Decision, profile: RequestProfile) -> dict[str, Any] | None:
    """The checks of the policy, and which of them an answer to this request will be put to; None if it has none."""
    terms = decision.terms
    if not terms.verify:
        return None
    applying = terms.checks_for(profile)
    return {
        "checks": [
            {
                "check": check.kind.value,
                "pattern": check.pattern,
                "languages": [language.value for language in check.languages],
                "applies": check in applying,
            }
            for check in terms.verify
        ],
        "max_escalations": terms.max_escalations,
        "buffer": terms.buffers_streams,
    }


def _cascade(arm: CascadeArm | None) -> dict[str, Any] | None:
    """Who is asked first, and who where a check fails."""
    if arm is None:
        return None
    return {
        "first": arm.first.id,
        "then": arm.then.id,
        "opinion": None if arm.opinion is None else arm.opinion.id,
        "quality": round(arm.probability, 6),
        "escalated": round(arm.escalated, 6),
        "expected_usd": f"{arm.expected_usd:.12f}",
        "sensitivity": round(arm.accuracy.sensitivity, 6),
        "specificity": round(arm.accuracy.specificity, 6),
    }


def _exploration(drawn: Exploration | None) -> dict[str, Any] | None:
    """Who is tried in which share of conversations, in whose place, and whether this is one of them."""
    if drawn is None:
        return None
    return {"tries": drawn.other.id, "instead_of": drawn.usual.id, "share": drawn.share, "is_drawn": drawn.is_drawn}


def profile_as_data(profile: RequestProfile) -> dict[str, Any]:
    """The profile as JSON-ready data: what the ledger keeps of a request."""
    return {
        "alias": profile.alias,
        "input_tokens": profile.input_tokens,
        "input_bytes": profile.input_bytes,
        "images": profile.images,
        "max_output_tokens": profile.max_output_tokens,
        "choices": profile.choices,
        "needs": sorted(profile.needs),
        "task": profile.task.value,
        "has_unbounded_parts": profile.has_unbounded_parts,
        "asks_one_hour_cache": profile.asks_one_hour_cache,
        "is_stream": profile.is_stream,
        "tags": list(profile.tags),
        "team": profile.team,
        "effort": None if profile.effort is None else profile.effort.value,
        "prefix": [list(mark) for mark in profile.prefix],
        "language": profile.language.value,
        "difficulty": profile.difficulty,
        "asks_cache": profile.asks_cache,
        "cache_breakpoints": list(profile.cache_breakpoints),
        "apis": [api.value for api in profile.apis],
        "prompts": profile.prompts,
        "longest_prompt_tokens": profile.longest_prompt_tokens,
        "id_tokens": profile.id_tokens,
        "echoes_prompt": profile.echoes_prompt,
        "signals": msgspec.to_builtins(profile.signals),
    }


def notes(decision: Decision) -> tuple[str, ...]:
    """What the figures alone do not say: which arm was drawn, what is set in the request, what is not known."""
    terms = decision.terms
    told: list[str] = []
    if terms.weights:
        shares = ", ".join(f"{model} {share:g}" for model, share in terms.weights)
        fell = f"this request falls to {decision.arm}" if decision.arm else "this request is left to the objective"
        if decision.exploration is None and decision.propensity is not None:
            fell += f" (a probability of {decision.propensity:.3g})"
        told.append(f"shares {shares}: {fell}")
    arm = decision.cascade
    if arm is not None:
        opinion = "" if arm.opinion is None else f", and {arm.opinion.id} for a second opinion"
        told.append(
            f"{arm.first.id} is asked first{opinion}, and {arm.then.id} where a check fails "
            f"({arm.escalated:.0%} of such requests): together {arm.probability:.3f} good for ${arm.expected_usd:.6f}"
        )
    if decision.is_new_work:
        told.append("this kind of work has not been judged often enough: it starts at the best (start: strong)")
    drawn = decision.exploration
    if drawn is not None:
        first = drawn.other if drawn.is_drawn else drawn.usual
        whose = "those that `weights` leave" if terms.weights else "all conversations"
        told.append(
            f"explore: in {drawn.share:.3g} of {whose} {drawn.other.id} goes first, to be judged, instead of "
            f"{drawn.usual.id}; in this one {first.id} does (a probability of {decision.propensity:.3g})"
        )
    for candidate in decision.ranked:
        if candidate.effort is not None:
            told.append(f"{candidate.deployment.id} is asked for reasoning effort {candidate.effort.value}")
        if terms.max_latency_ms is not None and candidate.latency_ms is None:
            told.append(f"{candidate.deployment.id} has not been measured yet, so max_latency_ms lets it pass")
    return tuple(told)


def rejections_as_data(rejected: Sequence[Rejection]) -> list[dict[str, Any]]:
    return [
        {
            "deployment": each.deployment,
            "model": each.model,
            "effort": None if each.effort is None else each.effort.value,
            "reason": each.reason.value,
            "detail": each.detail,
        }
        for each in rejected
    ]


@dataclass(frozen=True, slots=True)
class Told:
    """Words in rows and columns, not laid out yet."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def summary(decision: Decision, profile: RequestProfile) -> tuple[str, ...]:
    """A line on the terms, a line on the request, and one on what its answer is verified by, if anything."""
    lines: tuple[str, ...] = (
        f"policy {decision.name} · objective {_objective(decision.terms)} · "
        f"good enough: {_bar(decision.quality_bar, decision.terms)} · catalog {decision.catalog_version}",
        f"request: {profile.input_tokens} input tokens (o200k), task {profile.task.value}, "
        f"language {profile.language.value}, difficulty {profile.difficulty:.2f}, "
        f"needs {', '.join(sorted(profile.needs)) or 'nothing special'}",
    )
    if decision.terms.verify:
        checks = ", ".join(check.kind.value for check in decision.terms.checks_for(profile))
        lines = (*lines, f"verified by: {checks or 'nothing, as none of the checks applies'}")
    return lines


def _objective(terms: Terms) -> str:
    if terms.objective is Objective.VALUE:
        return f"value at ${terms.usd_per_point.normalize():f} a point"
    return terms.objective.value


def _bar(quality: float, terms: Terms) -> str:
    if not quality:
        return "any quality"
    return f"{quality:.4f}" if terms.confidence == MIDDLE else f"{quality:.4f} with confidence {terms.confidence:g}"


def candidates_told(decision: Decision) -> Told:
    """The eligible in their order. What is nothing for all of them has no column."""
    ranked = list(enumerate(decision.ranked, start=1))
    columns = [
        (each.heading, [each.told(rank, candidate) for rank, candidate in ranked])
        for each in _COLUMNS
        if each.is_always or any(each.told(rank, candidate) != "0" for rank, candidate in ranked)
    ]
    rows = zip(*(cells for _, cells in columns), strict=True)
    return Told(tuple(heading for heading, _ in columns), tuple(rows))


def qualities_told(decision: Decision) -> Told:
    """Of the eligible in their order: how good, between what in four cases of five, and what moved that most."""
    rows = [
        (
            candidate.id,
            f"{candidate.quality:.3f}",
            f"{candidate.forecast.low:.2f} to {candidate.forecast.high:.2f}",
            "; ".join(part.words for part in candidate.forecast.parts[:_MOST_PARTS]),
        )
        for candidate in decision.ranked
        if candidate.forecast is not None
    ]
    return Told(("candidate", "quality", "80 % of cases", "moved most by"), tuple(rows))


_MOST_PARTS = 3


def rejections_told(rejected: Sequence[Rejection]) -> Told:
    return Told(
        ("deployment", "reason", "detail"),
        tuple((each.id, each.reason.value, each.detail) for each in rejected),
    )


def _at_effort(name: str, effort: Effort | None) -> str:
    return name if effort is None else f"{name}@{effort.value}"


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    told: Callable[[int, Candidate], str]
    is_always: bool = True  # False: only where it is not 0 for everyone


_COLUMNS = (
    _Column("rank", lambda rank, _: f"{rank} ←" if rank == 1 else str(rank)),
    _Column("model", lambda _, each: _at_effort(each.deployment.model.name, each.arm.effort and each.effort_in_force)),
    _Column("provider", lambda _, each: each.deployment.provider.name),
    _Column("quality", lambda _, each: f"{each.quality:.3f}{'' if each.quality_is_known else ' ?'}"),
    _Column("expected $", lambda _, each: f"{each.estimate.expected_usd:.6f}"),
    _Column("later $", lambda _, each: _later(each.estimate.later_usd), is_always=False),
    _Column("at worst $", lambda _, each: f"{each.estimate.worst_usd:.6f}"),
    _Column("input", lambda _, each: str(each.estimate.input_tokens)),
    _Column("cached", lambda _, each: str(each.estimate.cached_tokens), is_always=False),
    _Column("output", lambda _, each: str(each.estimate.output_tokens)),
    _Column("reasoning", lambda _, each: str(each.estimate.reasoning_tokens), is_always=False),
    _Column("output limit", lambda _, each: str(each.estimate.max_output_tokens)),
)


def _later(usd: Decimal) -> str:
    return f"{usd:.6f}" if usd else "0"


# The first three are told together, under `verify`; the others are said already, by other names.
_TOLD_OTHERWISE = ("verify", "max_escalations", "buffers_streams", "arms", "has_twins", "caution")

# What a field is called where its own name would not say enough.
_TERMS_NAMES = {"floor": "quality_floor", "candidates": "considered"}


def _candidate(rank: int, candidate: Candidate) -> dict[str, Any]:
    deployment = candidate.deployment
    return {
        "rank": rank,
        "model": deployment.model.name,
        "provider": deployment.provider.name,
        "upstream_model": deployment.upstream_model,
        "candidate": candidate.arm.name,
        **_fields_of(candidate, Candidate, without=("deployment", "arm", "estimate", "forecast")),
        "forecast": None if candidate.forecast is None else _forecast(candidate.forecast),
        **_fields_of(candidate.estimate, Estimate, without=("dearest_rates",)),
    }


def _forecast(forecast: Forecast) -> dict[str, Any]:
    """The interval of 80 %, and what moved the probability most."""
    return {
        "low": round(forecast.low, 4),
        "high": round(forecast.high, 4),
        "parts": [
            {"name": part.name, "log_odds": round(part.log_odds, 4), "words": part.words}
            for part in forecast.parts[:_MOST_PARTS]
        ],
    }


def _fields_of(
    value: object, kind: type[Any], names: Mapping[str, str] | None = None, *, without: Sequence[str] = ()
) -> dict[str, Any]:
    """Every field of a dataclass or a msgspec struct, those that are yet to be invented included."""
    return {(names or {}).get(name, name): _plain(getattr(value, name)) for name in _names(kind) if name not in without}


def _names(kind: type[Any]) -> tuple[str, ...]:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    return tuple(each.name for each in fields(kind))


def _plain(value: object) -> object:
    """The value as JSON has it."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(str(_plain(each)) for each in value)
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, msgspec.Struct) or (is_dataclass(value) and not isinstance(value, type)):
        return _fields_of(value, type(value))
    return value
