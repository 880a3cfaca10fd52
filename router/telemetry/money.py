"""Counters of dollars that are kept as integer nano-dollars, so that they agree with the ledger for ever.

A float counter that adds 0.0000134 a billion times drifts from the sum; this one converts once, when it is read.
"""

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from router.telemetry.figures import FEW, Bound, Family, Figures, Labels
from router.units import NANO_USD_PER_USD


class NanoUsdCounter(Collector):
    """A counter with labels, fed in nano-dollars and exported in dollars."""

    def __init__(
        self, figures: Figures, name: str, documentation: str, labels: Sequence[str], *, bound: Bound = FEW
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._figures = figures
        self._family = Family(figures, name, self._labels, bound=bound)
        self._places = self._family.places
        self._money = figures.money

    def add(self, labels: Labels, nano_usd: int) -> int:
        """Count from the next `Figures.commit` on; the place where it is counted."""
        place = self._places.get(labels)
        if place is None:
            place = self._family.place(labels)
        self._money[place] += nano_usd
        return place

    def move(self, place: int, nano_usd: int, *, into: tuple[str, str], counted_as: int) -> None:
        """Take an amount away from where it was counted, and count another in its stead: the same, but for one label.

        `into` is the label and its value.
        """
        name, value = into
        at = self._labels.index(name)
        labels = self._family.labels_at(place)
        self._money[place] -= nano_usd
        self.add((*labels[:at], value, *labels[at + 1 :]), counted_as)

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        everybody = self._figures.counts()
        for labels, place in self._figures.series(self._name):
            family.add_metric(labels, sum(counts[place] for counts in everybody) / NANO_USD_PER_USD)
        yield family

    def describe(self) -> Iterable[CounterMetricFamily]:
        return [CounterMetricFamily(self._name, self._documentation, labels=self._labels)]
