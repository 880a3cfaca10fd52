"""What a prompt of a million tokens does to everybody else: the same load and probes, without it and beside it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from tests.benchmarks.laboratory import Laboratory, load_result, waits
from tests.benchmarks.load import LoadResult
from tests.benchmarks.probe import Waits
from tests.benchmarks.runners import Runner
from tests.benchmarks.scenarios import LONG_BESIDE, OTHERS, Scenario

_PROBES_PER_S = 500.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What others saw during one stretch of `OTHERS`."""

    others: LoadResult
    probes: Waits
    long: LoadResult | None  # the long prompts, where there were any


@dataclass(frozen=True, slots=True)
class Beside:
    """The same without long prompts and beside them, seconds apart."""

    calm: Seen
    beside: Seen


def beside_long_prompts(laboratory: Laboratory, runner: Runner) -> Beside:
    """Both stretches, one after the other."""
    return Beside(calm=_seen(laboratory, runner, long=None), beside=_seen(laboratory, runner, long=LONG_BESIDE))


def _seen(laboratory: Laboratory, runner: Runner, *, long: Scenario | None) -> Seen:
    with ExitStack() as stack:
        long_task = stack.enter_context(laboratory.load(long, runner.command)) if long else None
        others = stack.enter_context(laboratory.load(OTHERS, runner.command))
        port, duration, rate = runner.command.port, OTHERS.duration_s, _PROBES_PER_S
        probe = laboratory.task("probe", f"--port={port}", f"--duration-s={duration}", f"--rate-per-s={rate}")
        prober = stack.enter_context(probe)
        return Seen(load_result(others), waits(prober), load_result(long_task) if long_task else None)
