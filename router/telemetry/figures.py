"""Where counters keep their numbers: `Figures`, the `OwnFigures` of a process that serves alone, and `Family`.

A series, which is the name of a metric and its label values, has a place: so many numbers in a row. Whoever counts
keeps the place and adds to the number there; whoever reads sums what every worker has at the place. A `Family` gives
out the places of one metric, and no more of them than its `Bound` allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Labels = tuple[str, ...]  # the values, in the order of the names

MOST_HELD = 8192  # calls in doubt that are remembered, to be counted anew once their cost is told: the newest
OTHER = "other"  # the label value of what is counted together, once a metric has as many series as it may


class Ints(Protocol):
    """Whole numbers by place."""

    def __getitem__(self, place: int, /) -> int: ...

    def __setitem__(self, place: int, number: int, /) -> None: ...


class Floats(Protocol):
    """Other numbers by place. A place has either."""

    def __getitem__(self, place: int, /) -> float: ...

    def __setitem__(self, place: int, number: float, /) -> None: ...


class Figures(Protocol):
    """The numbers of one process, and how those of all that count together are read."""

    ints: Ints  # of this process
    floats: Floats
    money: Ints  # the same numbers as `ints`, for amounts that must agree with the ledger: added with `commit`

    def place(self, family: str, labels: Labels, *, width: int, most: int) -> int | None:
        """Where the series has its `width` numbers; None if it has none, and the family has `most` series already."""

    def series(self, family: str) -> list[tuple[Labels, int]]:
        """Every series of the family and its place, in the order in which they began."""

    def counts(self) -> Sequence[Ints]:
        """The whole numbers of everybody, also of workers that are dead."""

    def sums(self) -> Sequence[Floats]:
        """The other numbers of everybody, also of workers that are dead."""

    def readings(self) -> Sequence[Floats]:
        """The other numbers of those that live."""

    def silences_s(self) -> Sequence[float]:
        """For how long each of the others that live has not beaten."""

    def beat(self) -> None:
        """This process lives, and its event loop turns."""

    @property
    def workers(self) -> int:
        """How many processes live that count together."""

    @property
    def restarts(self) -> int:
        """How often a worker was started in the place of one that had died."""

    def hold(self, call_id: str, place: int, nano_usd: int) -> None:
        """Note that the amount at the place has this much of a call whose cost may still be told."""

    def release(self, call_id: str) -> tuple[int, int] | None:
        """Forget it: its place, and how much; None if this process has not counted it."""

    def held(self) -> list[str]:
        """The calls noted, oldest first."""

    def commit(self, request_id: str | None = None) -> None:
        """All that was added to `money`, held and released since the last time counts from now on, or none of it.

        With it, that this request of this process has been counted.
        """

    def has_counted(self, process: str, request_id: str, is_last: bool, /) -> bool:
        """Whether the dead process counted a request that it had written down as done, the last one or an earlier,
        in numbers that are still read here."""


class OwnFigures:
    """The numbers of a process that serves alone: lists, which cost nothing beside the counting itself."""

    def __init__(self) -> None:
        self._ints: list[int] = []
        self._floats: list[float] = []
        self._places: dict[str, dict[Labels, int]] = {}
        self._held: dict[str, tuple[int, int]] = {}
        self.ints: Ints = self._ints
        self.floats: Floats = self._floats
        self.money: Ints = self._ints
        self.workers = 1
        self.restarts = 0

    def place(self, family: str, labels: Labels, *, width: int, most: int) -> int | None:
        places = self._places.setdefault(family, {})
        place = places.get(labels)
        if place is None and len(places) < most:
            place = places[labels] = len(self._ints)
            self._ints.extend([0] * width)
            self._floats.extend([0.0] * width)
        return place

    def series(self, family: str) -> list[tuple[Labels, int]]:
        return list(self._places.get(family, {}).items())

    def counts(self) -> Sequence[Ints]:
        return (self._ints,)

    def sums(self) -> Sequence[Floats]:
        return (self._floats,)

    def readings(self) -> Sequence[Floats]:
        return (self._floats,)

    def silences_s(self) -> Sequence[float]:
        return ()

    def beat(self) -> None:
        """Nobody listens."""

    def hold(self, call_id: str, place: int, nano_usd: int) -> None:
        if len(self._held) >= MOST_HELD:
            del self._held[next(iter(self._held))]
        self._held[call_id] = (place, nano_usd)

    def release(self, call_id: str) -> tuple[int, int] | None:
        return self._held.pop(call_id, None)

    def held(self) -> list[str]:
        return list(self._held)

    def commit(self, request_id: str | None = None) -> None:
        """It is done already: these numbers die with their process."""

    def has_counted(self, *_: object) -> bool:
        """Never: what a dead process counted is gone with it."""
        return False


@dataclass(frozen=True, slots=True)
class Bound:
    """How many series a metric may have, and what is kept apart of those that are too many.

    The first two thirds have their labels as they are. The next are counted by their team, and `other` in the place of
    the rest; the last `folded` places are for what has `other` in the place of the team too. Labels in `kept`, which
    have few values and of our own making, stay as they are all the while.
    """

    most: int
    kept: tuple[str, ...] = ()
    folded: int = 1  # how many values the labels in `kept` have together


# Of a metric whose labels have few values of our own making; and what tests take.
FEW = Bound(most=64)
_TEAM = "team"
_MOST_REMEMBERED = 10_000  # label values and their place; beyond, the place is looked for every time


class Family:
    """The series of one metric."""

    def __init__(self, figures: Figures, name: str, labels: Sequence[str], *, width: int = 1, bound: Bound) -> None:
        self.places: dict[Labels, int] = {}  # those known; several may share one
        self._figures = figures
        self._name = name
        self._labels = tuple(labels)
        self._width = width
        self._bound = bound

    def place(self, labels: Labels) -> int:
        """Where these labels are counted, among others' if the metric has its most already."""
        place = self.places.get(labels)
        if place is None:
            place = self._found(labels)
            if len(self.places) < _MOST_REMEMBERED:
                self.places[labels] = place
        return place

    def labels_at(self, place: int) -> Labels:
        """The label values counted at the place."""
        return next(labels for labels, each in self._figures.series(self._name) if each == place)

    def _found(self, labels: Labels) -> int:
        by_team = self._bound.most - self._bound.folded
        whole = by_team * 2 // 3 if _TEAM in self._labels and len(self._labels) > 1 else by_team
        for folded, most in (
            (labels, whole),
            (self._folded(labels, (*self._bound.kept, _TEAM)), by_team),
            (self._folded(labels, self._bound.kept), self._bound.most),
        ):
            place = self._figures.place(self._name, folded, width=self._width, most=most)
            if place is not None:
                return place
        # `folded` was too low a guess: nothing is lost in sum, and the bound stands.
        return self._figures.series(self._name)[-1][1]

    def _folded(self, labels: Labels, kept: Sequence[str]) -> Labels:
        return tuple(value if name in kept else OTHER for name, value in zip(self._labels, labels, strict=True))
