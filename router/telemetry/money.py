"""Counters of dollars that are kept as integer nano-dollars, so that they agree with the ledger for ever.

A float counter that adds 0.0000134 a billion times drifts from the sum; this one converts once, when it is read.
"""

from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from router.units import NANO_USD_PER_USD


class NanoUsdCounter(Collector):
    """A counter with labels, fed in nano-dollars and exported in dollars."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = tuple(labels)
        self._nano_usd: dict[tuple[str, ...], int] = {}

    def add(self, labels: tuple[str, ...], nano_usd: int) -> None:
        self._nano_usd[labels] = self._nano_usd.get(labels, 0) + nano_usd

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, nano_usd in list(self._nano_usd.items()):
            family.add_metric(labels, nano_usd / NANO_USD_PER_USD)
        yield family

    def describe(self) -> Iterable[CounterMetricFamily]:
        return [CounterMetricFamily(self._name, self._documentation, labels=self._labels)]
