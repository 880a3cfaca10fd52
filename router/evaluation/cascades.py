"""Cheap first, a second cheap model beside it, and the strong one where the two do not agree: measured on outcomes.

The files say who was right, not what was answered. Two right answers to a question with one answer agree; a right and a
wrong one do not; of two wrong ones it is not recorded, and the share that agree is an assumption that the caller names.
"""

from dataclasses import dataclass

import numpy as np

from router.training.outcomes import Floats

_LOT_SEED = 11


@dataclass(frozen=True, slots=True)
class CascadeResult:
    """What accepting agreed answers and escalating the others comes to."""

    quality_of_strong: float  # mean score, as a share of the strong model's
    escalated: float  # share of prompts
    balanced_accuracy: float  # of the verifier: mean of what it accepts of right answers and rejects of wrong ones

    def cost_of_strong(self, price_ratio: float) -> float:
        """As a share of always asking the strong model, which costs `price_ratio` times either cheap one."""
        return 2 / price_ratio + self.escalated


def agreement_cascade(cheap: Floats, second: Floats, strong: Floats, *, agree_when_wrong: float) -> CascadeResult:
    """`agree_when_wrong`: the share of prompts that both get wrong where they give the same answer. Reproducible."""
    right, also_right = cheap > 0.5, second > 0.5
    lots = np.random.default_rng(_LOT_SEED).random(len(cheap))
    agree = (right & also_right) | (~right & ~also_right & (lots < agree_when_wrong))
    quality = np.where(agree, cheap, strong).mean() / strong.mean()
    accepts = float(agree[right].mean()) if right.any() else 1.0
    rejects = float((~agree)[~right].mean()) if (~right).any() else 1.0
    return CascadeResult(float(quality), float((~agree).mean()), (accepts + rejects) / 2)


def agreement_when_wrong(cheap: Floats, second: Floats, *, balanced_accuracy: float) -> float:
    """The share of agreeing wrong answers that gives a verifier this balanced accuracy, at most 1 and at least 0."""
    right, also_right = cheap > 0.5, second > 0.5
    accepts = float((right & also_right).sum() / max(right.sum(), 1))
    both_wrong = float((~right & ~also_right).sum() / max((~right).sum(), 1))
    accepted_wrong = 1 - (2 * balanced_accuracy - accepts)
    return float(np.clip(accepted_wrong / both_wrong, 0.0, 1.0)) if both_wrong else 0.0
