"""Which deployments have read which beginnings of prompts, in little room: `Sightings`.

A hundred thousand beginnings are remembered for hours. As objects, in the order of their use, one took 280 bytes and
five blocks of memory; as a number in one of two dictionaries it takes 120.
"""

import msgspec

from router.catalog.catalog import DeploymentId

_WHAT_BITS = 18  # of a number, below its milliseconds since the epoch: 59 bits together, which Python keeps in 32 bytes
_WHATS = 1 << _WHAT_BITS


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """A deployment has read a prompt up to a mark."""

    deployment: DeploymentId
    at_s: float  # seconds since the epoch, to the millisecond, by the clock of whoever saw it
    ended: str  # the kind of task of the prompt that ended there, before the answer; empty: none did


class Sightings:
    """Sightings by the digest of what was read: of each deployment the latest. Those that were put longest ago are
    forgotten first, half of them at a time."""

    def __init__(self, *, most: int) -> None:
        """`most` digests are remembered, and at least half as many."""
        self._most_new = max(most // 2, 1)
        self._new: dict[int, int | tuple[int, ...]] = {}
        self._old: dict[int, int | tuple[int, ...]] = {}
        self._whats: list[tuple[DeploymentId, str]] = []  # deployments with what ended, by their number
        self._numbers: dict[tuple[DeploymentId, str], int] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def at(self, digest: int) -> list[Sighting]:
        """Who has read that, who was put last at the end."""
        return [self._read(each) for each in self._kept(digest)]

    def put(self, digest: int, seen: Sighting) -> None:
        """Remember it, unless a later sighting of the same deployment is remembered. That a prompt ended there stays
        remembered with a later one where none did."""
        if len(self._whats) == _WHATS:  # of hundreds of catalogs
            self._begin_anew()
        kept = self._kept(digest)
        deployment, ended, at_ms = seen.deployment, seen.ended, int(seen.at_s * 1000)
        others: tuple[int, ...] = ()
        for each in kept:
            its, its_ended = self._whats[each % _WHATS]
            if its != deployment:
                others += (each,)
            elif each >> _WHAT_BITS >= at_ms:
                return
            else:
                ended = ended or its_ended
        mine = at_ms << _WHAT_BITS | self._number(deployment, ended)
        self._old.pop(digest, None)
        self._new[digest] = (*others, mine) if others else mine
        if len(self._new) >= self._most_new:
            self._old, self._new = self._new, {}

    def _kept(self, digest: int) -> tuple[int, ...]:
        found = self._new.get(digest)
        if found is None:
            found = self._old.get(digest, ())
        return (found,) if isinstance(found, int) else found

    def _read(self, kept: int) -> Sighting:
        deployment, ended = self._whats[kept % _WHATS]
        return Sighting(deployment, (kept >> _WHAT_BITS) / 1000, ended)

    def _number(self, deployment: DeploymentId, ended: str) -> int:
        what = (deployment, ended)
        number = self._numbers.get(what)
        if number is None:
            number = self._numbers[what] = len(self._whats)
            self._whats.append(what)
        return number

    def _begin_anew(self) -> None:
        self._new, self._old, self._whats, self._numbers = {}, {}, [], {}
