"""Who comes first among the eligible: one key function per objective."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from hashlib import blake2b
from operator import itemgetter
from typing import Any

from router.decision.eligibility import Candidate
from router.decision.policy import Objective

# A probability of zero would make a good answer infinitely dear; it is ranked as one in a million instead.
_LEAST_QUALITY = Decimal("0.000001")


def cheapest(candidate: Candidate) -> tuple[Any, ...]:
    return (candidate.estimate.ranked_usd, -candidate.quality)


def best(candidate: Candidate) -> tuple[Any, ...]:
    return (-candidate.quality, candidate.estimate.ranked_usd)


def value(candidate: Candidate) -> tuple[Any, ...]:
    """Expected dollars per good answer."""
    quality = max(Decimal(repr(candidate.quality)), _LEAST_QUALITY)
    return (candidate.estimate.ranked_usd / quality, -candidate.quality)


_KEYS: dict[Objective, Callable[[Candidate], tuple[Any, ...]]] = {
    Objective.CHEAPEST: cheapest,
    Objective.BEST: best,
    Objective.VALUE: value,
}

_first = itemgetter(0)


def ranked(candidates: Iterable[Candidate], objective: Objective, *, seed: int) -> tuple[Candidate, ...]:
    """The candidates in order of preference. Exact ties are broken by the seed, the same way everywhere."""
    key = _KEYS[objective]
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
