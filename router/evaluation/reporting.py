"""A judgement as rows for people and as data for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan

from router.evaluation.judging import Judgement, RouterLine
from router.evaluation.metrics import Curve, arena_score

HEADINGS = (
    "router",
    "APGR",
    "95 %",
    "CPT(50)",
    "CPT(80)",
    "strong calls for 95 %",
    "for 99 %",
    "cost there",
    "RouterArena",
)


@dataclass(frozen=True, slots=True)
class Prices:
    """What calls cost, for the figures that depend on it."""

    ratio: float = 10.0  # of a strong call to a cheap one
    strong_usd_per_thousand: float = 10.0  # a thousand strong calls; GPT-5's on RouterArena cost 10.02

    def cost_of_strong(self, strong_share: float) -> float:
        """As a share of asking the strong model always."""
        return strong_share + (1 - strong_share) / self.ratio

    def arena(self, curve: Curve) -> float:
        """RouterArena's score at the point of the curve where it is highest."""
        return max(
            arena_score(quality, self.strong_usd_per_thousand * self.cost_of_strong(share))
            for share, quality in zip(curve.strong_share, curve.quality, strict=True)
        )


def rows_of(judgement: Judgement, prices: Prices) -> Sequence[Sequence[str]]:
    """One row a router, under HEADINGS; always cheap and always strong among them."""
    first = judgement.lines[0].curve
    ends = [
        _end("always cheap", first.cheap_quality, 0.0, prices),
        _end("always strong", first.strong_quality, 1.0, prices),
    ]
    return [_row(line, prices) for line in judgement.lines] + ends


def _row(line: RouterLine, prices: Prices) -> Sequence[str]:
    curve = line.curve
    ninety_nine = curve.share_for(0.99)
    low_high = line.apgr_interval
    return (
        line.name,
        f"{curve.apgr:.3f}",
        "" if low_high is None else f"{low_high[0]:.3f}-{low_high[1]:.3f}",
        f"{100 * curve.cpt(0.5):.1f}",
        f"{100 * curve.cpt(0.8):.1f}",
        f"{100 * curve.share_for(0.95):.1f}",
        f"{100 * ninety_nine:.1f}",
        f"{prices.cost_of_strong(ninety_nine):.2f}",
        f"{100 * prices.arena(curve):.1f}",
    )


def _end(name: str, quality: float, strong_share: float, prices: Prices) -> Sequence[str]:
    cost = prices.cost_of_strong(strong_share)
    arena = arena_score(quality, prices.strong_usd_per_thousand * cost)
    return (name, "", "", "", "", "", "", f"{cost:.2f}", f"{100 * arena:.1f}")


def curve_rows(line: RouterLine, prices: Prices) -> Sequence[Sequence[str]]:
    """The points of a curve: share of strong calls, quality, its share of the strong model's, cost."""
    curve = line.curve
    return [
        (
            f"{100 * share:.0f}",
            f"{quality:.4f}",
            f"{100 * quality / curve.strong_quality:.1f}",
            f"{prices.cost_of_strong(share):.3f}",
        )
        for share, quality in zip(curve.strong_share, curve.quality, strict=True)
    ]


def as_data(judgement: Judgement, prices: Prices) -> Mapping[str, object]:
    """Everything, for programs. Shares are from 0 to 1; `apgr` and CPT are null where the strong model is no better."""
    calibration = judgement.calibration
    return {
        "split": judgement.split,
        "prompts": judgement.prompts,
        "models": {name: {"cheap": pair[0], "strong": pair[1]} for name, pair in judgement.names.items()},
        "prices": asdict(prices),
        "expected_calibration_error": None
        if calibration is None
        else {"cheap": calibration[0], "strong": calibration[1]},
        "apgr_by_file": {name: _number(apgr) for name, apgr in judgement.by_file.items()},
        "routers": [_line_data(line, prices) for line in judgement.lines],
    }


def _line_data(line: RouterLine, prices: Prices) -> Mapping[str, object]:
    curve = line.curve
    return {
        "router": line.name,
        "apgr": _number(curve.apgr),
        "apgr_95": None if isnan(curve.apgr) else line.apgr_interval,
        "cpt_50": None if isnan(curve.apgr) else curve.cpt(0.5),
        "cpt_80": None if isnan(curve.apgr) else curve.cpt(0.8),
        "strong_share_for_95": curve.share_for(0.95),
        "strong_share_for_99": curve.share_for(0.99),
        "router_arena": prices.arena(curve),
        "strong_share": curve.strong_share,
        "quality": curve.quality,
        "cost": [prices.cost_of_strong(share) for share in curve.strong_share],
        "cheap_quality": curve.cheap_quality,
        "strong_quality": curve.strong_quality,
    }


def _number(value: float) -> float | None:
    return None if isnan(value) else value  # it has no JSON
