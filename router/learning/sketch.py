"""A histogram of a stream of numbers that forgets: `Sketch`, for means, medians and tails in a kilobyte."""

from math import floor, log2
from typing import Any

_PER_OCTAVE = 8  # buckets for each doubling: a quantile is right to 4.4 %
_FADE = 1.005  # each number counts for so much more than the one before: the last 200 make up two thirds of all weight
_RESCALE_AT = 2.0**40
_ZERO = -10_000  # the bucket of what has no logarithm


class Sketch:
    """Counts in buckets whose bounds grow by a twelfth. The same numbers in the same order give the same sketch."""

    __slots__ = ("_buckets", "_newest", "_sum", "_weight")

    def __init__(self) -> None:
        self._buckets: dict[int, float] = {}
        self._newest = 1.0  # what the next number will weigh
        self._weight = 0.0
        self._sum = 0.0

    def add(self, value: float) -> None:
        bucket = floor(log2(value) * _PER_OCTAVE) if value > 0 else _ZERO
        newest = self._newest
        self._buckets[bucket] = self._buckets.get(bucket, 0.0) + newest
        self._weight += newest
        self._sum += newest * value
        self._newest = newest * _FADE
        if self._newest > _RESCALE_AT:
            self._rescale()

    @property
    def weight(self) -> float:
        """How many numbers it stands for: fresh ones count as one each, faded ones less; 200 at most."""
        return self._weight / self._newest

    @property
    def mean(self) -> float:
        """Exact but for what has faded. Only to be asked when something was added."""
        return self._sum / self._weight

    def quantile(self, share: float) -> float:
        """The number below which that share of the weight lies. Only to be asked when something was added."""
        wanted, passed = share * self._weight, 0.0
        for bucket in sorted(self._buckets):
            passed += self._buckets[bucket]
            if passed >= wanted:
                break
        return _middle(bucket)

    def above(self, value: float) -> tuple[float, float]:
        """Of what is larger: its weight, and its mean, which is 0 if there is none."""
        first = (floor(log2(value) * _PER_OCTAVE) if value > 0 else _ZERO) + 1
        weight = total = 0.0
        for bucket, count in self._buckets.items():
            if bucket >= first:
                weight += count
                total += count * _middle(bucket)
        return (weight / self._newest, total / weight) if weight else (0.0, 0.0)

    def merged(self, other: "Sketch") -> "Sketch":
        """Both together, each by its own weight."""
        both = Sketch()
        for each in (self, other):
            for bucket, count in each._buckets.items():
                both._buckets[bucket] = both._buckets.get(bucket, 0.0) + count / each._newest
            both._weight += each._weight / each._newest
            both._sum += each._sum / each._newest
        return both

    def as_data(self) -> list[Any]:
        """JSON-ready."""
        by = self._newest
        return [self._sum / by, [[bucket, count / by] for bucket, count in sorted(self._buckets.items())]]

    @classmethod
    def from_data(cls, data: list[Any]) -> "Sketch":
        """Raises ValueError, TypeError or KeyError if it is not what `as_data` gives."""
        total, buckets = data
        sketch = cls()
        sketch._buckets = {int(bucket): float(count) for bucket, count in buckets}
        sketch._weight = sum(sketch._buckets.values())
        sketch._sum = float(total)
        return sketch

    def _rescale(self) -> None:
        """Newest weight 1 again; what has faded below a millionth of it goes."""
        by = self._newest
        self._buckets = {bucket: count / by for bucket, count in self._buckets.items() if count > by * 1e-6}
        self._sum /= by
        self._weight /= by
        self._newest = 1.0


def _middle(bucket: int) -> float:
    """Where a bucket's numbers are taken to be, between its bounds."""
    return 0.0 if bucket == _ZERO else float(2.0 ** ((bucket + 0.5) / _PER_OCTAVE))
