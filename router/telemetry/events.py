"""Counters and histograms as plain figures, made into Prometheus' families only when they are read.

The client library's own take a lock for every figure that is touched, so that any thread may count: a request touches
two dozen, which cost 22 us of CPU, and cost 6 us here. These are for one thread, the event loop's; whoever reads them
may be another. What is exported is the same, sample by sample (the tests hold the two beside each other).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf

from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from router.telemetry.figures import FEW, Bound, Family, Figures, Labels

Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class EventCounter(Collector):
    """Counts of what happened, by labels; a set of labels is exported once something was counted with it."""

    def __init__(
        self, figures: Figures, name: str, documentation: str, labels: Sequence[str], *, bound: Bound = FEW
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._figures = figures
        self._family = Family(figures, name, self._labels, bound=bound)
        self._places = self._family.places
        self._ints = figures.ints

    def add(self, labels: Labels, count: int = 1) -> None:
        place = self._places.get(labels)
        if place is None:
            place = self._family.place(labels)
        self._ints[place] += count

    def collect(self) -> Iterable[CounterMetricFamily]:
        (family,) = self.describe()
        everybody = self._figures.counts()
        for labels, place in self._figures.series(self._name):
            family.add_metric(labels, float(sum(counts[place] for counts in everybody)))
        return (family,)

    def describe(self) -> tuple[CounterMetricFamily]:
        return (CounterMetricFamily(self._name, self._documentation, labels=self._labels),)


class EventHistogram(Collector):
    """How figures spread over buckets, by labels; one without labels is exported from the start on.

    A series is a number for each bucket, and the sum of all figures.
    """

    def __init__(
        self,
        figures: Figures,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        bound: Bound = FEW,
    ) -> None:
        """`buckets` are the highest figures that each of them holds, ascending; one for all that is higher is added.

        `bound` is of sets of labels, of which each is exported as buckets, a sum and a count.
        """
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._bounds = (*buckets, inf)
        self._figures = figures
        self._family = Family(figures, name, self._labels, width=len(self._bounds) + 1, bound=bound)
        self._places = self._family.places
        self._ints, self._floats = figures.ints, figures.floats
        self._sum_at = len(self._bounds)  # from the place on
        self._exemplars: dict[tuple[int, int], Exemplar] = {}  # the last of each bucket, by place and bucket
        if not self._labels:
            self._family.place(())

    def observe(self, figure: float, labels: Labels = (), exemplar: Exemplar | None = None) -> None:
        """`exemplar` is an observation that can be looked at, this one: it is shown with the bucket it fell into."""
        place = self._places.get(labels)
        if place is None:
            place = self._family.place(labels)
        bucket = bisect_left(self._bounds, figure)
        self._ints[place + bucket] += 1
        self._floats[place + self._sum_at] += figure
        if exemplar is not None:
            self._exemplars[place, bucket] = exemplar

    def collect(self) -> Iterable[HistogramMetricFamily]:
        (family,) = self.describe()
        everybody = self._figures.sums()
        for labels, place in self._figures.series(self._name):
            total = sum(sums[place + self._sum_at] for sums in everybody)
            family.add_metric(labels, self._cumulated(place), total)
        return (family,)

    def describe(self) -> tuple[HistogramMetricFamily]:
        return (HistogramMetricFamily(self._name, self._documentation, labels=self._labels),)

    def _cumulated(self, place: int) -> list[Bucket]:
        """How many figures are at most as high as each bound."""
        buckets: list[Bucket] = []
        everybody = self._figures.counts()
        count = 0
        for bucket, bound in enumerate(self._bounds):
            count += sum(counts[place + bucket] for counts in everybody)
            le = floatToGoString(bound)  # type: ignore[no-untyped-call]  # 0.26 has no types here
            exemplar = self._exemplars.get((place, bucket))
            buckets.append((le, float(count)) if exemplar is None else (le, float(count), exemplar))
        return buckets
