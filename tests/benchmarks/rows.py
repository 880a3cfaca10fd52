"""The figures of the report: one row each, how it is computed from the rounds, and the target it is judged by.

Targets are those of the issue "As cheap as a compiled gateway"; ratios to nginx wherever the machine's speed would
decide an absolute figure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.load import LoadResult
from tests.benchmarks.rounds import DIRECT, ContestantRound, Measurement, Round
from tests.benchmarks.scenarios import CHUNKS_PER_STREAM, ScenarioName

# A row's figures for one contestant, one for each round; None where nothing was answered.
Series = list[float | None]
Figures = Callable[[Sequence[Round], str], Series]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. Lower is better in every row."""

    title: str
    unit: str
    figures: Figures
    judged_by: Literal["ratio to nginx", "value"]
    target: float | None = None  # at most this
    stretch: float | None = None


def _cpu_us(scenario: ScenarioName, *, parts: int = 1) -> Figures:
    """CPU microseconds of the contestant per success, or per each of a success's `parts`."""

    def figure(measured: Measurement) -> float | None:
        return measured.cpu_s * 1e6 / (measured.load.successes * parts) if measured.load.successes else None

    return lambda rounds, name: [figure(one_round[name].measurements[scenario]) for one_round in rounds]


def _added_latency_ms(percentile: Callable[[LoadResult], float]) -> Figures:
    """How much later than straight from the mock.

    The direct latency taken off is its median over the rounds: a hiccup of the machine in the one direct measurement of
    a round would otherwise make everyone in that round look fast.
    """

    def latencies_ms(rounds: Sequence[Round], name: str) -> Series:
        loads = [one_round[name].measurements["latency"].load for one_round in rounds]
        return [percentile(load) if load.successes else None for load in loads]

    def figures(rounds: Sequence[Round], name: str) -> Series:
        direct_ms = [latency_ms for latency_ms in latencies_ms(rounds, DIRECT) if latency_ms is not None]
        if not direct_ms:
            return [None] * len(rounds)
        baseline_ms = statistics.median(direct_ms)
        return [None if latency_ms is None else latency_ms - baseline_ms for latency_ms in latencies_ms(rounds, name)]

    return figures


def _large_to_small(rounds: Sequence[Round], name: str) -> Series:
    pairs = zip(_large_request(rounds, name), _request(rounds, name), strict=True)
    return [large / small if large and small else None for large, small in pairs]


def _per_round(figure: Callable[[ContestantRound], float]) -> Figures:
    return lambda rounds, name: [figure(one_round[name]) for one_round in rounds]


_request = _cpu_us("request_1kb")
_stream = _cpu_us("stream_no_gaps")
_chunk = _cpu_us("stream_gaps", parts=CHUNKS_PER_STREAM)
_large_request = _cpu_us("request_100kb")
_p50 = _added_latency_ms(lambda load: load.latency_p50_ms)
_p99 = _added_latency_ms(lambda load: load.latency_p99_ms)
_idle_rss = _per_round(lambda measured: measured.idle_rss_bytes / 1e6)
_loaded_rss = _per_round(lambda measured: measured.loaded_rss_bytes / 1e6)
_start = _per_round(lambda measured: measured.start_to_first_200_s)

ROWS = (
    Row("CPU per request, 1 KB, 32 connections", "µs", _request, "ratio to nginx", target=12, stretch=8),
    Row("CPU per stream, 64 chunks without gaps", "µs", _stream, "ratio to nginx", target=4, stretch=2.5),
    Row("CPU per chunk, 16 streams, 5 ms gaps", "µs", _chunk, "ratio to nginx", target=3, stretch=2.2),
    Row("added latency p50 at 100 requests/s", "ms", _p50, "value", target=0.8, stretch=0.5),
    Row("added latency p99 at 100 requests/s", "ms", _p99, "value", target=3, stretch=1.5),
    Row("CPU per request, 100 KB prompt", "µs", _large_request, "ratio to nginx"),
    Row("CPU of a 100 KB prompt to 1 KB", "x", _large_to_small, "value", target=3),
    Row("RSS idle", "MB", _idle_rss, "value", target=90),
    Row("RSS after load", "MB", _loaded_rss, "value"),
    Row("start to first 200", "s", _start, "value", target=1.5, stretch=0.8),
)
