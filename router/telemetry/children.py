"""The labelled children of a metric, looked up once each: `Children`."""

from typing import TypeVar

from prometheus_client import Counter, Histogram

_Metric = TypeVar("_Metric", Counter, Histogram)


class Children(dict[tuple[str, ...], _Metric]):
    """By the values of their labels, in the order of the labels; made when first asked for.

    `labels()` checks and converts its arguments and takes a lock each time: 1.7 us of CPU, and 0.2 us here.
    """

    def __init__(self, metric: _Metric) -> None:
        super().__init__()
        self._metric: _Metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> _Metric:
        child: _Metric = self._metric.labels(*labels)
        self[labels] = child
        return child
