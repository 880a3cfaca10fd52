"""Who might have come first, had the lot fallen otherwise, and how likely: `drawn_from`.

Two lots may fall for a conversation: for an arm of an experiment (`weights`), and, where that leaves the choice to the
objective, for the second choice (`explore`). Their probabilities are known, so that the answers of those drawn can be
compared without guessing why one was chosen.
"""

from collections.abc import Mapping, Sequence

from router.catalog.catalog import Named
from router.decision.arms import Weights, chances
from router.decision.eligibility import Candidate
from router.decision.exploring import Exploration


def drawn_from(order: Sequence[Candidate], weights: Weights, exploration: Exploration | None) -> dict[Named, float]:
    """The probability of each to be first, summing to 1; empty where only one could be.

    `order` is that of the objective, before any lot; `exploration` the draw among those that no arm of `weights` takes.
    """
    known: dict[Named, float] = {}
    for arm, chance in _chances(order, weights).items():
        if arm is not None:
            first = next(each for each in order if each.arm.name == arm)
            _add(known, first, chance)
        elif exploration is None:
            _add(known, order[0], chance)
        else:
            _add(known, exploration.usual, chance * (1.0 - exploration.share))
            _add(known, exploration.other, chance * exploration.share)
    return known if len(known) > 1 else {}


def _chances(order: Sequence[Candidate], weights: Weights) -> Mapping[Named | None, float]:
    if not order:
        return {}
    return chances(weights, {each.arm.name for each in order}) if weights else {None: 1.0}


def _add(known: dict[Named, float], candidate: Candidate, chance: float) -> None:
    known[candidate.asked] = known.get(candidate.asked, 0.0) + chance
