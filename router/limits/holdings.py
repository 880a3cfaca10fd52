"""What one process has in Redis, kept here as well: Redis is told of it again when it has lost it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from router.limits.calendar import Span
from router.limits.gate import Admission, Reservation

# The ledger never hears of a call that was not made; that nothing was owed for it is worth telling again this long.
_NOTHING_OWED_KEPT_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is set aside."""

    reservation: Reservation
    spans: tuple[Span, ...]
    made_s: float  # when it was asked for


@dataclass(frozen=True, slots=True)
class Recent:
    """A settlement that the ledger may not have yet."""

    spans: tuple[Span, ...]
    nano_usd: int
    settled_s: float


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A request that counts as concurrent."""

    id: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Departure:
    """A request that is over; Redis must hear of it."""

    under_way: UnderWay
    expected_tokens: int
    used_tokens: int


@dataclass(frozen=True, slots=True)
class Correction:
    """An amount to be added to what was spent."""

    spans: tuple[Span, ...]
    nano_usd: int


@dataclass(slots=True)
class Holdings:
    """Everything of this process that Redis has, or has still to hear of."""

    holds: dict[str, Hold] = field(default_factory=dict)  # until Redis has confirmed that they are settled
    to_settle: dict[str, int] = field(default_factory=dict)  # nano-dollars by reservation, not confirmed yet
    recent: dict[str, Recent] = field(default_factory=dict)
    under_way: dict[Admission, UnderWay] = field(default_factory=dict)
    departures: dict[str, Departure] = field(default_factory=dict)
    corrections: dict[str, Correction] = field(default_factory=dict)
    adoptions: dict[str, Correction] = field(default_factory=dict)  # by reservation: over, and perhaps not held there

    def settled(self, reservation_id: str, *, is_known: bool, now_s: float) -> None:
        """Redis has confirmed the settlement; `is_known` is false if it had no such hold."""
        nano_usd = self.to_settle.pop(reservation_id, None)
        hold = self.holds.pop(reservation_id, None)
        if nano_usd is None or hold is None:
            return
        if not is_known:
            self.adoptions[reservation_id] = Correction(hold.spans, nano_usd)
        self.recent[reservation_id] = Recent(hold.spans, nano_usd, now_s)

    def registered(self, *, corrections: Iterable[str], adoptions: Iterable[str], is_late: bool) -> None:
        """Redis has taken what was `told_again`, and these had been made in the ledger before.

        Counters that are rebuilt take them from there. Counters that had been rebuilt already may lack them: then what
        adds is told all the same, for counting twice until the window ends is better than not counting.
        """
        for waiting, ids in ((self.corrections, corrections), (self.adoptions, adoptions)):
            for each in ids:
                if each in waiting and not (is_late and waiting[each].nano_usd > 0):
                    del waiting[each]

    def forget_booked(self, booked: Iterable[str], *, now_s: float) -> None:
        """The ledger has these: what it says includes them from now on."""
        for reservation_id in booked:
            self.recent.pop(reservation_id, None)
        forgotten = [
            reservation_id
            for reservation_id, recent in self.recent.items()
            if recent.nano_usd == 0 and recent.settled_s + _NOTHING_OWED_KEPT_S <= now_s
        ]
        for reservation_id in forgotten:
            del self.recent[reservation_id]

    def told_again(self, purses: Iterable[str]) -> str:
        """All of it and the purses that are counted, as the function `register` takes it."""
        return json.dumps(
            {
                "holds": [
                    [reservation_id, hold.reservation.held_nano_usd, hold.spans]
                    for reservation_id, hold in self.holds.items()
                ],
                "recent": [
                    [reservation_id, recent.nano_usd, recent.spans] for reservation_id, recent in self.recent.items()
                ],
                "under_way": [[scope, each.id] for each in self.under_way.values() for scope in each.scopes],
                "purses": list(purses),
            }
        )
