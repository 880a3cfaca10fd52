"""What a ledger says of two models as rows for people and as data for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan, sqrt

from router.evaluation.metrics import Curve, arena_score
from router.evaluation.off_policy import LedgerJudgement, LedgerLine, Level

HEADINGS = (
    "router",
    "APGR",
    "95 %",
    "CPT(50)",
    "CPT(80)",
    "strong calls for 95 %",
    "for 99 %",
    "$ per 1,000 there",
    "RouterArena",
)
LEVEL_HEADINGS = ("", "mean score", "95 %", "$ per 1,000", "95 %", "scored", "of drawn")
CURVE_HEADINGS = ("strong %", "quality", "% of strong", "$ per 1,000")

_UNEQUAL = 3.0  # standard errors between the shares that are scored


def rows_of(judgement: LedgerJudgement) -> Sequence[Sequence[str]]:
    """One row a router, under HEADINGS."""
    return [_row(each) for each in judgement.lines]


def _row(line: LedgerLine) -> Sequence[str]:
    curve, bounds = line.router.curve, line.router.apgr_interval
    ninety_nine = curve.share_for(0.99)
    return (
        line.router.name,
        f"{curve.apgr:.3f}",
        "" if bounds is None else f"{bounds[0]:.3f}-{bounds[1]:.3f}",
        f"{100 * share_recovering(curve, 0.5):.1f}",
        f"{100 * share_recovering(curve, 0.8):.1f}",
        f"{100 * curve.share_for(0.95):.1f}",
        f"{100 * ninety_nine:.1f}",
        f"{usd_at(line, ninety_nine):.2f}",
        f"{100 * _arena(line):.1f}",
    )


def level_rows(judgement: LedgerJudgement) -> Sequence[Sequence[str]]:
    """Always cheap, always strong, and what was done, under LEVEL_HEADINGS."""
    share, score, usd = judgement.as_it_was
    scored = judgement.cheap_level.scored + judgement.strong_level.scored
    return [
        _level("always cheap", judgement.cheap_level),
        _level("always strong", judgement.strong_level),
        (f"as it was, {share:.1%} strong", f"{score:.4f}", "", f"{usd:.2f}", "", str(scored), ""),
    ]


def _level(name: str, level: Level) -> Sequence[str]:
    low, high = level.quality_95
    return (
        name,
        f"{level.quality:.4f}",
        f"{low:.4f}-{high:.4f}",
        f"{level.usd_per_thousand:.2f}",
        f"{level.usd_95[0]:.2f}-{level.usd_95[1]:.2f}",
        str(level.scored),
        f"{level.scored / level.drawn:.1%}",
    )


def curve_rows(line: LedgerLine) -> Sequence[Sequence[str]]:
    """The points of a curve, under CURVE_HEADINGS."""
    curve = line.router.curve
    return [
        (f"{100 * share:.0f}", f"{quality:.4f}", f"{100 * quality / curve.strong_quality:.1f}", f"{usd:.2f}")
        for share, quality, usd in zip(curve.strong_share, curve.quality, line.usd_per_thousand, strict=True)
    ]


def share_recovering(curve: Curve, part: float) -> float:
    """CPT: the least share of strong calls, 0 to 1, at which `part` of the gap is recovered; curves here go up and
    down by chance, where `Curve.cpt` wants them to rise."""
    wanted = curve.cheap_quality + part * (curve.strong_quality - curve.cheap_quality)
    return curve.share_for(wanted / curve.strong_quality)


def usd_at(line: LedgerLine, share: float) -> float:
    """Dollars for a thousand requests at that share of strong calls, between the points too."""
    shares, usd = line.router.curve.strong_share, line.usd_per_thousand
    for number in range(1, len(shares)):
        if shares[number] >= share and shares[number] > shares[number - 1]:
            part = (share - shares[number - 1]) / (shares[number] - shares[number - 1])
            return usd[number - 1] + part * (usd[number] - usd[number - 1])
    return usd[-1]


def _arena(line: LedgerLine) -> float:
    """RouterArena's score at the point of the curve where it is highest."""
    points = zip(line.router.curve.quality, line.usd_per_thousand, strict=True)
    return max(arena_score(min(max(quality, 0.0), 1.0), usd) for quality, usd in points)


def is_scored_unequally(judgement: LedgerJudgement) -> bool:
    """Whether answers of one model were scored more often than those of the other, by more than chance explains."""
    one, other = judgement.cheap_level, judgement.strong_level
    both = (one.scored + other.scored) / (one.drawn + other.drawn)
    error = sqrt(both * (1.0 - both) * (1.0 / one.drawn + 1.0 / other.drawn))
    return abs(one.scored / one.drawn - other.scored / other.drawn) > _UNEQUAL * error


def as_data(judgement: LedgerJudgement) -> Mapping[str, object]:
    """Everything, for programs. Shares are from 0 to 1; what is a share of the gap is null where none can be told."""
    known, (share, score, usd) = judgement.known, judgement.as_it_was
    return {
        "models": {"cheap": judgement.cheap, "strong": judgement.strong},
        "requests": {
            "answered": known.requests,
            "scored": known.scored,
            "judged": judgement.cheap_level.scored + judgement.strong_level.scored,
            "conversations": judgement.conversations,
            "both_outcomes_known": known.escalated,
            "not_judged": {each.value: count for each, count in judgement.unused.items()},
            "shadow_copies": known.shadows,
        },
        "scored_unequally": is_scored_unequally(judgement),
        "always_cheap": asdict(judgement.cheap_level),
        "always_strong": asdict(judgement.strong_level),
        "as_it_was": {"strong_share": share, "quality": score, "usd_per_thousand": usd},
        "gap": judgement.gap,
        "gap_95": judgement.gap_95,
        "has_gap": judgement.has_gap,
        "routers": [_line_data(each, has_gap=judgement.has_gap) for each in judgement.lines],
    }


def _line_data(line: LedgerLine, *, has_gap: bool) -> Mapping[str, object]:
    curve = line.router.curve
    has_gap = has_gap and not isnan(curve.apgr)
    return {
        "router": line.router.name,
        "apgr": curve.apgr if has_gap else None,
        "apgr_95": line.router.apgr_interval if has_gap else None,
        "cpt_50": share_recovering(curve, 0.5) if has_gap else None,
        "cpt_80": share_recovering(curve, 0.8) if has_gap else None,
        "strong_share_for_95": curve.share_for(0.95) if has_gap else None,
        "strong_share_for_99": curve.share_for(0.99) if has_gap else None,
        "router_arena": _arena(line),
        "strong_share": curve.strong_share,
        "quality": curve.quality,
        "usd_per_thousand": line.usd_per_thousand,
    }
