"""Shares of an experiment: which arm a request falls to. The same seed falls to the same arm, in every process.

How likely each was is told by `chances`, so that what came of the arms can be compared.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from math import log

from router.catalog.catalog import Named

_BYTES = 8
_LEAST = 1e-9  # of a share: what is left of 0.1 + 0.2 + 0.7 by the rules of floats is no arm

Weights = Sequence[tuple[Named, float]]


def drawn(weights: Weights, eligible: Collection[Named], *, seed: int, experiment: str) -> Named | None:
    """The arm that the seed falls to, among those that may serve; None: to what the shares leave to the objective.

    An arm that may not serve leaves its share to the others, in proportion to theirs; whoever was in another arm stays
    there (weighted rendezvous hashing: each arm draws -ln(u) / share, and the lowest wins).
    """
    best: Named | None = None
    left = 1.0 - sum(share for _, share in weights)
    lowest = _draw("", left, seed, experiment) if left > _LEAST else None
    for arm, share in weights:
        if arm in eligible:
            draw = _draw(arm, share, seed, experiment)
            if lowest is None or draw < lowest:
                best, lowest = arm, draw
    return best


def chances(weights: Weights, eligible: Collection[Named]) -> Mapping[Named | None, float]:
    """The probability of each arm that `drawn` may return for these, over all seeds; they sum to 1."""
    shares: dict[Named | None, float] = {arm: share for arm, share in weights if arm in eligible}
    left = 1.0 - sum(share for _, share in weights)
    if left > _LEAST:
        shares[None] = left
    if not shares:
        return {None: 1.0}
    total = sum(shares.values())
    return {arm: share / total for arm, share in shares.items()}


def _draw(arm: str, share: float, seed: int, experiment: str) -> float:
    digest = blake2b(f"{experiment}\n{arm}\n{seed}".encode(), digest_size=_BYTES).digest()
    uniform = (int.from_bytes(digest) + 0.5) / 2 ** (
        8 * _BYTES
    )  # never 0; 1 only by rounding, where the logarithm is 0
    return -log(uniform) / share
