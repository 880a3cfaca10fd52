"""A `Decision` in words: as plain data for machines, as a table for people."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from router.decision.decide import Decision
from router.decision.eligibility import Candidate, Rejection
from router.decision.facts import RequestProfile
from router.decision.policy import Terms


def as_data(decision: Decision, profile: RequestProfile) -> dict[str, Any]:
    """The decision as JSON-ready data. Dollars are strings, so that no reader rounds them."""
    chosen = decision.chosen
    floor = decision.terms.floor
    return {
        "chosen": None
        if chosen is None
        else {"model": chosen.deployment.model.name, "provider": chosen.deployment.provider.name},
        "policy": decision.policy,
        "rule": decision.terms.rule,
        "objective": decision.terms.objective.value,
        "quality_floor": None if floor is None else {"at_least": floor.at_least, "of": floor.of},
        "quality_bar": round(decision.quality_bar, 6),
        "max_cost_usd": _plain(decision.terms.max_cost_usd),
        "verify": _verification(decision, profile),
        **_further_terms(decision.terms),
        "arm": decision.arm,
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
            {"check": check.kind.value, "pattern": check.pattern, "applies": check in applying}
            for check in terms.verify
        ],
        "max_escalations": terms.max_escalations,
        "buffer": terms.buffers_streams,
    }


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
    }


def notes(decision: Decision) -> tuple[str, ...]:
    """What the figures alone do not say: which arm was drawn, what is set in the request, what is not known."""
    terms = decision.terms
    told: list[str] = []
    if terms.weights:
        shares = ", ".join(f"{model} {share:g}" for model, share in terms.weights)
        fell = f"this request falls to {decision.arm}" if decision.arm else "this request is left to the objective"
        told.append(f"shares {shares}: {fell}")
    for candidate in decision.ranked:
        if candidate.effort is not None:
            told.append(f"{candidate.deployment.id} is asked for reasoning effort {candidate.effort.value}")
        if terms.max_latency_ms is not None and candidate.latency_ms is None:
            told.append(f"{candidate.deployment.id} has not been measured yet, so max_latency_ms lets it pass")
    return tuple(told)


def _further_terms(terms: Terms) -> dict[str, Any]:
    data = terms.data
    return {
        "min_quality": terms.min_quality,
        "max_latency_ms": terms.max_latency_ms,
        "reasoning_effort": terms.reasoning_effort and terms.reasoning_effort.value,
        "max_reasoning_effort": terms.max_reasoning_effort and terms.max_reasoning_effort.value,
        "weights": [list(arm) for arm in terms.weights],
        "only_providers": _sorted(terms.only_providers),
        "data": {
            "zdr": data.zdr,
            "deny_collection": data.deny_collection,
            "regions": _sorted(data.regions),
            "only": _sorted(data.only),
            "ignore": _sorted(data.ignore),
        },
    }


def _sorted(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def rejections_as_data(rejected: Sequence[Rejection]) -> list[dict[str, Any]]:
    return [
        {"deployment": each.deployment, "model": each.model, "reason": each.reason.value, "detail": each.detail}
        for each in rejected
    ]


def as_table(decision: Decision, profile: RequestProfile) -> str:
    """The decision for a terminal: a line on the request, a table of the eligible, a line per rejection."""
    lines = [
        f"policy {decision.name} · objective {decision.terms.objective.value} · "
        f"good enough: {decision.quality_bar:.4f} · catalog {decision.catalog_version}",
        f"request: {profile.input_tokens} input tokens (o200k), task {profile.task.value}, "
        f"language {profile.language.value}, difficulty {profile.difficulty:.2f}, "
        f"needs {', '.join(sorted(profile.needs)) or 'nothing special'}",
    ]
    if decision.terms.verify:
        checks = ", ".join(check.kind.value for check in decision.terms.checks_for(profile))
        lines.append(f"verified by: {checks or 'nothing, as none of the checks applies'}")
    lines.append("")
    lines += _aligned([_HEADINGS, *(_row(rank, each) for rank, each in enumerate(decision.ranked, start=1))])
    if not decision.ranked:
        lines.append("  nobody may serve this request")
    lines += [f"  {note}" for note in notes(decision)]
    if decision.rejected:
        lines += ["", "rejected:"]
        lines += _aligned([(each.deployment, each.reason.value, each.detail) for each in decision.rejected])
    return "\n".join(lines)


_HEADINGS = (
    "rank",
    "model",
    "provider",
    "quality",
    "expected $",
    "later $",
    "at worst $",
    "input",
    "cached",
    "output",
    "output limit",
)


def _row(rank: int, candidate: Candidate) -> tuple[str, ...]:
    estimate = candidate.estimate
    return (
        f"{rank}{' ←' if rank == 1 else ''}",
        candidate.deployment.model.name,
        candidate.deployment.provider.name,
        f"{candidate.quality:.3f}{'' if candidate.quality_is_known else ' ?'}",
        f"{estimate.expected_usd:.6f}",
        f"{estimate.later_usd:.6f}",
        f"{estimate.worst_usd:.6f}",
        str(estimate.input_tokens),
        str(estimate.cached_tokens),
        str(estimate.output_tokens),
        str(estimate.max_output_tokens),
    )


def _candidate(rank: int, candidate: Candidate) -> dict[str, Any]:
    estimate = candidate.estimate
    return {
        "rank": rank,
        "model": candidate.deployment.model.name,
        "provider": candidate.deployment.provider.name,
        "upstream_model": candidate.deployment.upstream_model,
        "quality": candidate.quality,
        "quality_is_known": candidate.quality_is_known,
        "expected_usd": _plain(estimate.expected_usd),
        "later_usd": _plain(estimate.later_usd),
        "worst_usd": _plain(estimate.worst_usd),
        "input_tokens": estimate.input_tokens,
        "output_tokens": estimate.output_tokens,
        "cached_tokens": estimate.cached_tokens,
        "cache_write_tokens": estimate.cache_write_tokens,
        "reasoning_tokens": estimate.reasoning_tokens,
        "input_tokens_bound": estimate.input_tokens_bound,
        "max_output_tokens": estimate.max_output_tokens,
        "effort": candidate.effort and candidate.effort.value,
        "latency_ms": candidate.latency_ms,
    }


def _plain(figure: Decimal | None) -> str | None:
    return None if figure is None else f"{figure:f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    ]
