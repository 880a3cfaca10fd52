"""Cost/quality curves of a router between a cheap and a strong model, and what is read off them.

The definitions are RouteLLM's (arXiv 2406.18665 v4; evals/benchmarks.py and evals/evaluate.py, read 2026-11-30), so
that figures may be compared: thresholds at the ten deciles of the score, eleven points from no strong call to all; PGR
is the share of the gap between the two models that is recovered; APGR the area under PGR over the share of strong
calls, 1/2 for a router that draws lots; CPT(x) the share of strong calls at which x of the gap is recovered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np

from router.training.outcomes import Floats

_DECILES = np.linspace(0.0, 1.0, 11)

# RouterArena, router_evaluation/compute_scores.py at 4714a9a: dollars per thousand queries between which cost counts.
_ARENA_DEAREST_USD = 200.0
_ARENA_CHEAPEST_USD = 0.0044
_ARENA_BETA = 0.1


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from no strong call to strong calls only."""

    strong_share: tuple[float, ...]  # of all calls, ascending
    quality: tuple[float, ...]  # mean score there
    cheap_quality: float
    strong_quality: float

    @property
    def apgr(self) -> float:
        """Average performance gap recovered; nan where the strong model is no better."""
        gap = self.strong_quality - self.cheap_quality
        if gap <= 0:
            return float("nan")
        above = np.array(self.quality) - self.cheap_quality
        width = self.strong_share[-1] - self.strong_share[0]
        return float(np.trapezoid(above, self.strong_share) / (gap * width)) if width else float("nan")

    def cpt(self, part: float) -> float:
        """The share of strong calls, 0 to 1, at which `part` of the gap is recovered."""
        wanted = self.cheap_quality + part * (self.strong_quality - self.cheap_quality)
        return float(np.interp(wanted, self.quality, self.strong_share))

    def share_for(self, part: float) -> float:
        """The least share of strong calls at which quality is `part` of the strong model's, between the points too."""
        wanted = part * self.strong_quality
        for number in range(len(self.quality)):
            if self.quality[number] >= wanted:
                if number == 0:
                    return self.strong_share[0]
                low, high = self.quality[number - 1], self.quality[number]
                at = (wanted - low) / (high - low)
                return self.strong_share[number - 1] + at * (self.strong_share[number] - self.strong_share[number - 1])
        return 1.0


def curve_of(score: Floats, cheap: Floats, strong: Floats) -> Curve:
    """The curve of a router that sends the prompts with the highest score to the strong model."""
    thresholds = np.quantile(score, _DECILES)
    shares, qualities = [], []
    for number, threshold in enumerate(thresholds):
        chosen = score > threshold if number == len(thresholds) - 1 else score >= threshold
        shares.append(float(chosen.mean()))
        qualities.append(float(np.where(chosen, strong, cheap).mean()))
    return Curve(tuple(shares[::-1]), tuple(qualities[::-1]), float(cheap.mean()), float(strong.mean()))


def interval(score: Floats, cheap: Floats, strong: Floats, *, draws: int = 300, seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of APGR over prompts drawn with replacement; nan if it has none. Reproducible by its seed."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        rows = random.integers(0, len(score), len(score))
        found.append(curve_of(score[rows], cheap[rows], strong[rows]).apgr)
    if np.isnan(found).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def calibration_error(probability: Floats, outcome: Floats, *, bins: int = 10) -> float:
    """The expected calibration error: |mean probability − mean outcome|, averaged over equally full bins."""
    order = np.argsort(probability, kind="stable")
    parts: Sequence[np.ndarray] = np.array_split(order, min(bins, len(order)))
    return float(sum(len(part) * abs(probability[part].mean() - outcome[part].mean()) for part in parts) / len(order))


def arena_score(quality: float, usd_per_thousand: float) -> float:
    """RouterArena's score, 0 to 1: a weighted harmonic mean of accuracy and of cheapness on a log scale."""
    cost = min(max(usd_per_thousand, _ARENA_CHEAPEST_USD), _ARENA_DEAREST_USD)
    cheapness = (log2(_ARENA_DEAREST_USD) - log2(cost)) / (log2(_ARENA_DEAREST_USD) - log2(_ARENA_CHEAPEST_USD))
    below = _ARENA_BETA * quality + cheapness
    return (1 + _ARENA_BETA) * quality * cheapness / below if below else 0.0
