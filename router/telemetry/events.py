"""Counters and histograms as plain figures, made into Prometheus' families only when they are read.

The client library's own take a lock for every figure that is touched, so that any thread may count: a request touches
two dozen, which cost 22 us of CPU, and cost 6 us here. These are for one thread, the event loop's; whoever reads them
may be another. What is exported is the same, sample by sample (the tests hold the two beside each other).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import inf

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]  # the values, in the order of the names


class EventCounter(Collector):
    """Counts of what happened, by labels; a set of labels is exported once something was counted with it."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._counts: dict[Labels, int] = {}

    def add(self, labels: Labels, count: int = 1) -> None:
        counts = self._counts
        counts[labels] = counts.get(labels, 0) + count

    def collect(self) -> Iterable[CounterMetricFamily]:
        (family,) = self.describe()
        for labels, count in list(self._counts.items()):
            family.add_metric(labels, float(count))
        return (family,)

    def describe(self) -> tuple[CounterMetricFamily]:
        return (CounterMetricFamily(self._name, self._documentation, labels=self._labels),)


class EventHistogram(Collector):
    """How figures spread over buckets, by labels; one without labels is exported from the start on."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> None:
        """`buckets` are the highest figures that each of them holds, ascending; one for all that is higher is added."""
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._bounds = (*buckets, inf)
        self._spreads: dict[Labels, _Spread] = {}
        if not self._labels:
            self._spreads[()] = _Spread(len(self._bounds))

    def observe(self, figure: float, labels: Labels = ()) -> None:
        spread = self._spreads.get(labels)
        if spread is None:
            spread = self._spreads[labels] = _Spread(len(self._bounds))
        spread.counts[bisect_left(self._bounds, figure)] += 1
        spread.sum += figure

    def collect(self) -> Iterable[HistogramMetricFamily]:
        (family,) = self.describe()
        for labels, spread in list(self._spreads.items()):
            family.add_metric(labels, self._cumulated(spread), spread.sum)
        return (family,)

    def describe(self) -> tuple[HistogramMetricFamily]:
        return (HistogramMetricFamily(self._name, self._documentation, labels=self._labels),)

    def _cumulated(self, spread: "_Spread") -> list[tuple[str, float]]:
        """How many figures are at most as high as each bound."""
        buckets: list[tuple[str, float]] = []
        count = 0
        for bound, more in zip(self._bounds, spread.counts, strict=True):
            count += more
            buckets.append((floatToGoString(bound), float(count)))  # type: ignore[no-untyped-call]  # 0.26 has no types here
        return buckets


class _Spread:
    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0
