"""The figures of the report: one row each, how it is computed from the rounds, and the target it is judged by.

Targets are those of the issue "As cheap as a compiled gateway"; ratios to nginx wherever the machine's speed would
decide an absolute figure.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.laboratory import Measurement
from tests.benchmarks.load import LoadResult
from tests.benchmarks.long_prompts import Seen
from tests.benchmarks.rounds import DIRECT, YARDSTICK, ContestantRound, Round
from tests.benchmarks.scenarios import CHUNKS_PER_STREAM, ScenarioName

# A row's figures for one contestant, one for each round; None where nothing was answered.
Series = list[float | None]
Figures = Callable[[Sequence[Round], str], Series]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. Lower is better wherever there is a target."""

    title: str
    unit: str
    figures: Figures
    judged_by: Literal["ratio to nginx", "value"]
    target: float | None = None  # at most this
    stretch: float | None = None


def _cpu_us(scenario: ScenarioName, *, parts: int = 1) -> Figures:
    """CPU microseconds of the contestant per success, or per each of a success's `parts`."""

    def figure(measured: Measurement | None) -> float | None:
        if measured is None or not measured.load.successes:
            return None
        return measured.cpu_s * 1e6 / (measured.load.successes * parts)

    return lambda rounds, name: [figure(one_round.contestants[name].measurements.get(scenario)) for one_round in rounds]


def _added_latency_ms(percentile: Callable[[LoadResult], float]) -> Figures:
    """How much later than straight from the mock.

    The direct latency taken off is its median over the rounds: a hiccup of the machine in the one direct measurement of
    a round would otherwise make everyone in that round look fast.
    """

    def latencies_ms(rounds: Sequence[Round], name: str) -> Series:
        found = [one_round.contestants[name].measurements.get("latency") for one_round in rounds]
        return [percentile(one.load) if one and one.load.successes else None for one in found]

    def figures(rounds: Sequence[Round], name: str) -> Series:
        direct_ms = [latency_ms for latency_ms in latencies_ms(rounds, DIRECT) if latency_ms is not None]
        if not direct_ms:
            return [None] * len(rounds)
        baseline_ms = statistics.median(direct_ms)
        return [None if latency_ms is None else latency_ms - baseline_ms for latency_ms in latencies_ms(rounds, name)]

    return figures


def _quotient(above: Figures, below: Figures) -> Figures:
    """One figure to another of the same contestant, round by round."""

    def figures(rounds: Sequence[Round], name: str) -> Series:
        pairs = zip(above(rounds, name), below(rounds, name), strict=True)
        return [upper / lower if upper and lower else None for upper, lower in pairs]

    return figures


def _beyond_the_copy(figure: Figures) -> Figures:
    """What it costs above nginx, round by round: nginx does nothing but copy."""

    def figures(rounds: Sequence[Round], name: str) -> Series:
        if name == YARDSTICK or YARDSTICK not in rounds[0].contestants:
            return [None] * len(rounds)
        pairs = zip(figure(rounds, name), figure(rounds, YARDSTICK), strict=True)
        return [own - copy if own and copy else None for own, copy in pairs]

    return figures


def _beside(figure: Callable[[Seen], float], *, is_calm: bool = False) -> Figures:
    """What others saw beside long prompts, or without them."""

    def of(measured: ContestantRound) -> float | None:
        if measured.beside is None:
            return None
        seen = measured.beside.calm if is_calm else measured.beside.beside
        return figure(seen) if seen.others.successes and seen.probes.probes else None

    return _per_round(of)


def _per_round(figure: Callable[[ContestantRound], float | None]) -> Figures:
    return lambda rounds, name: [figure(one_round.contestants[name]) for one_round in rounds]


def _scaled(figure: Figures, factor: float) -> Figures:
    return lambda rounds, name: [None if value is None else value * factor for value in figure(rounds, name)]


def _kib_per_stream(measured: ContestantRound) -> float | None:
    each = measured.idle_streams.bytes_each() if measured.idle_streams else None
    return None if each is None else each / 1024


def _many_streams_mb(measured: ContestantRound) -> float | None:
    total = measured.idle_streams.all_bytes() if measured.idle_streams else None
    return None if total is None else total / 1e6


def _open_streams(measured: ContestantRound) -> float | None:
    return float(measured.idle_streams.held[-1].held) if measured.idle_streams else None


_request = _cpu_us("request_1kb")
_stream = _cpu_us("stream_no_gaps")
_chunk = _cpu_us("stream_gaps", parts=CHUNKS_PER_STREAM)
_large_request = _cpu_us("request_100kb")
_p50 = _added_latency_ms(lambda load: load.latency_p50_ms)
_p99 = _added_latency_ms(lambda load: load.latency_p99_ms)
_idle_rss = _per_round(lambda measured: measured.idle_rss_bytes / 1e6)
_idle_cpu = _scaled(_per_round(lambda measured: measured.idle_cpu_share), 1e3)
_loaded_rss = _per_round(lambda measured: measured.loaded_rss_bytes / 1e6)
_large_to_small = _quotient(_large_request, _request)
_tls_request = _cpu_us("request_tls")
_tls_to_plain = _quotient(_tls_request, _request)
_pair_to_alone = _quotient(_cpu_us("request_pair"), _cpu_us("request_alone"))
_long_new = _scaled(_cpu_us("long_prompt_new"), 1e-3)
_long_seen = _scaled(_cpu_us("long_prompt_seen"), 1e-3)
_calm_stall = _beside(lambda seen: seen.probes.p999_ms, is_calm=True)
_stall = _beside(lambda seen: seen.probes.p999_ms)
_calm_p99 = _beside(lambda seen: seen.others.latency_p99_ms, is_calm=True)
_others_p99 = _beside(lambda seen: seen.others.latency_p99_ms)
_start = _per_round(lambda measured: measured.start_to_first_200_s)

ROWS = (
    Row("CPU per request, 1 KB, 32 connections", "µs", _request, "ratio to nginx", target=12, stretch=8),
    Row("CPU per stream, 64 chunks without gaps", "µs", _stream, "ratio to nginx", target=4, stretch=2.5),
    Row("CPU per chunk, 16 streams, 5 ms gaps", "µs", _chunk, "ratio to nginx", target=3, stretch=2.2),
    Row("added latency p50 at 100 requests/s", "ms", _p50, "value", target=0.8, stretch=0.5),
    Row("added latency p99 at 100 requests/s", "ms", _p99, "value", target=3, stretch=1.5),
    Row("CPU per request, 100 KB prompt", "µs", _large_request, "ratio to nginx"),
    Row("CPU of a 100 KB prompt to 1 KB", "x", _large_to_small, "value", target=3),
    Row("CPU per request, 1 KB, upstream with TLS", "µs", _tls_request, "ratio to nginx"),
    Row("CPU with TLS upstream to plain", "x", _tls_to_plain, "value"),
    Row("CPU per request, two processes to one", "x", _pair_to_alone, "value", target=1.05),
    Row("5 MB prompt, conversation unseen, CPU", "ms", _long_new, "ratio to nginx"),
    Row("5 MB prompt, its next turn, CPU", "ms", _long_seen, "ratio to nginx"),
    Row("5 MB prompt, its next turn, beyond nginx", "ms", _beyond_the_copy(_long_seen), "value", target=60),
    Row("loop stall p99.9, 1 KB load alone", "ms", _calm_stall, "value"),
    Row("loop stall p99.9, beside 5 MB prompts", "ms", _stall, "value", target=10),
    Row("others' p99, 1 KB load alone", "ms", _calm_p99, "value"),
    Row("others' p99, beside 5 MB prompts", "ms", _others_p99, "value"),
    Row("others' p99, beside to alone", "x", _quotient(_others_p99, _calm_p99), "value", target=1.5),
    Row("CPU idle, in a second", "ms", _idle_cpu, "value"),
    Row("RSS idle", "MB", _idle_rss, "value", target=90),
    Row("RSS after load", "MB", _loaded_rss, "value"),
    Row("RSS per idle stream, of 1,000", "KiB", _per_round(_kib_per_stream), "value", target=64),
    Row("RSS with 8,000 streams", "MB", _per_round(_many_streams_mb), "value", target=600),
    Row("streams open of 8,000", "", _per_round(_open_streams), "value"),
    Row("start to first 200", "s", _start, "value", target=1.5, stretch=0.8),
)
