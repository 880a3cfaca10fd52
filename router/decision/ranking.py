"""Who comes first among the eligible: one key function per objective."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from hashlib import blake2b
from operator import itemgetter
from typing import Any

from router.decision.eligibility import Candidate
from router.decision.policy import USD_PER_POINT, Objective


def cheapest(candidate: Candidate) -> tuple[Any, ...]:
    return (candidate.estimate.ranked_usd, -candidate.quality)


def best(candidate: Candidate) -> tuple[Any, ...]:
    return (-candidate.quality, candidate.estimate.ranked_usd)


def value(usd_per_point: Decimal) -> Callable[[Candidate], tuple[Any, ...]]:
    """Points of quality that are not worth their expected cost, less those that are: the least is worth most."""

    def loss(candidate: Candidate) -> tuple[Any, ...]:
        points = 100 * Decimal(repr(candidate.quality))
        return (candidate.estimate.ranked_usd / usd_per_point - points, -candidate.quality)

    return loss


_first = itemgetter(0)


def key_of(objective: Objective, usd_per_point: Decimal) -> Callable[[Candidate], tuple[Any, ...]]:
    """By what the candidates are put in order; the least comes first."""
    match objective:
        case Objective.CHEAPEST:
            return cheapest
        case Objective.BEST:
            return best
        case Objective.VALUE:
            return value(usd_per_point)


def ranked(
    candidates: Iterable[Candidate], objective: Objective, *, seed: int, usd_per_point: Decimal = USD_PER_POINT
) -> tuple[Candidate, ...]:
    """The candidates in order of preference. Exact ties are broken by the seed, the same way everywhere."""
    key = key_of(objective, usd_per_point)
    keyed = sorted([(key(candidate), candidate) for candidate in candidates], key=_first)
    begun = 0  # the first of those that are equal so far
    for number in range(1, len(keyed) + 1):
        if number == len(keyed) or keyed[number][0] != keyed[begun][0]:
            if number > begun + 1:  # drawing lots costs more than all the rest of the ranking
                keyed[begun:number] = sorted(keyed[begun:number], key=lambda pair: _lot(pair[1], seed))
            begun = number
    return tuple([candidate for _, candidate in keyed])


def _lot(candidate: Candidate, seed: int) -> bytes:
    # No CRC: it is linear, so that of four replicas with names of one length it drew one for half of all seeds.
    return blake2b(f"{seed}:{candidate.deployment.id}".encode(), digest_size=8).digest()
