"""A share of conversations goes to the second choice, so that its answers are judged as well: `explored`.

Only among candidates that have passed every check, the quality floor too, so within the request's limits. Drawn from
the seed of the conversation: its turns stay together, and who decides again draws the same.
"""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from router.decision.eligibility import Candidate

_BYTES = 8


class Exploration(msgspec.Struct, frozen=True, gc=False):
    """Between whom a conversation was drawn, and how it fell."""

    usual: Candidate  # goes first in the other conversations
    other: Candidate  # goes first in a share of them, to be judged
    share: float
    is_drawn: bool  # this conversation is one of the share


def explored(
    order: Sequence[Candidate], *, instead: Candidate | None, share: float, seed: int, experiment: str
) -> tuple[tuple[Candidate, ...], Exploration | None]:
    """The order, perhaps with another first, and the draw that has decided it; None where there is nobody to try.

    `instead` is whom to try; None: the first in the order that is another model, or thinks otherwise.
    """
    if not order:
        return (), None
    first = order[0]
    other = instead if instead is not None and _differs(instead, first) else _neighbour(order)
    if other is None:
        return tuple(order), None
    digest = blake2b(f"{experiment}\nexplore\n{seed}".encode(), digest_size=_BYTES).digest()
    if int.from_bytes(digest) >= share * 2 ** (8 * _BYTES):
        return tuple(order), Exploration(first, other, share, is_drawn=False)
    return (other, *(each for each in order if each is not other)), Exploration(first, other, share, is_drawn=True)


def _neighbour(order: Sequence[Candidate]) -> Candidate | None:
    return next((each for each in order if _differs(each, order[0])), None)


def _differs(one: Candidate, other: Candidate) -> bool:
    return (one.deployment.model.name, one.effort) != (other.deployment.model.name, other.effort)
