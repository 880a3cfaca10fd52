"""Gauges: what is read at the moment of a scrape rather than counted, of this process or of all workers together."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from router.telemetry.figures import OTHER, Bound, Family, Figures, Labels


class Merge(Enum):
    """What several workers' readings are made into; also what readings are that have to share a series."""

    SUM = auto()
    MAX = auto()
    MIN = auto()
    MEAN = auto()  # of the workers that have one


@dataclass(frozen=True, slots=True)
class Shape:
    """A gauge's name without prefix, what it says, and its labels."""

    name: str
    documentation: str
    labels: tuple[str, ...] = ()


class WorkerGauge(Collector):
    """A gauge of which every worker has readings of its own. Those of workers that are dead do not count."""

    def __init__(
        self,
        figures: Figures,
        shape: Shape,
        read: Callable[[], Mapping[Labels, float]],
        *,
        merge: Merge,
        bound: Bound,
    ) -> None:
        self._shape = shape
        self._read = read
        self._merge = merge
        self._figures = figures
        self._name = f"penstock_{shape.name}"
        self._family = Family(
            figures, self._name, shape.labels, width=2, bound=bound
        )  # a reading, and whether it is one

    def publish(self) -> None:
        """What is read now is what others see of this worker, until the next time."""
        floats = self._figures.floats
        readings: dict[int, list[float]] = {}
        for labels, reading in self._read().items():
            readings.setdefault(self._family.place(labels), []).append(reading)
        for place, some in readings.items():
            floats[place] = self._merged(some)
            floats[place + 1] = 1.0
        for _, place in self._figures.series(self._name):
            if place not in readings:
                floats[place + 1] = 0.0

    def collect(self) -> Iterable[GaugeMetricFamily]:
        self.publish()
        (family,) = self.describe()
        workers = self._figures.readings()
        for labels, place in self._figures.series(self._name):
            known = [readings[place] for readings in workers if readings[place + 1]]
            if known:
                family.add_metric(labels, self._merged(known))
        return (family,)

    def describe(self) -> tuple[GaugeMetricFamily]:
        return (GaugeMetricFamily(self._name, self._shape.documentation, labels=self._shape.labels),)

    def _merged(self, readings: list[float]) -> float:
        if self._merge is Merge.MAX:
            return max(readings)
        if self._merge is Merge.MIN:
            return min(readings)
        return sum(readings) / (len(readings) if self._merge is Merge.MEAN else 1)


class OneGauge(Collector):
    """A gauge without labels that is the same for whichever worker is asked."""

    def __init__(self, shape: Shape, read: Callable[[], float]) -> None:
        self._shape = shape
        self._read = read

    def collect(self) -> Iterable[GaugeMetricFamily]:
        (family,) = self.describe()
        family.add_metric((), self._read())
        return (family,)

    def describe(self) -> tuple[GaugeMetricFamily]:
        return (GaugeMetricFamily(f"penstock_{self._shape.name}", self._shape.documentation),)


def within(readings: Iterable[tuple[Labels, tuple[int, ...]]], most: int) -> dict[Labels, tuple[int, ...]]:
    """The first readings as they are; what is more than `most` summed up under `other`, which is one of them."""
    kept: dict[Labels, tuple[int, ...]] = {}
    for labels, figures in readings:
        place = labels if len(kept) < most - 1 else (OTHER,) * len(labels)
        before = kept.get(place)
        kept[place] = figures if before is None else tuple(map(sum, zip(before, figures, strict=True)))
    return kept
