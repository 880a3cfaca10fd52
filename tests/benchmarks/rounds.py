"""The order of measuring: in each round every contestant starts afresh, then each scenario visits all of them in turn.

So the two numbers of a ratio are measured seconds apart, and the machine's slow drift cancels out. Contestants that are
not being measured idle. The mock upstream lives through the whole run.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.contestants import Command, Prepare
from tests.benchmarks.load import LoadResult, Workload, arguments
from tests.benchmarks.processes import ChildProcess
from tests.benchmarks.runners import START_TIMEOUT_S, Runner, running
from tests.benchmarks.scenarios import SCENARIOS, Scenario, ScenarioName

LOAD_TIMEOUT_S = 60.0
WARM_UP = Scenario(name="request_1kb", duration_s=0.5, connections=32)
SETTLE_S = 0.2  # work a proxy puts off (ledger batches, log flushes) still belongs to its requests
DIRECT = "direct"  # the load generator straight at the mock: what latency is added to


@dataclass(frozen=True, slots=True)
class Cores:
    """Where processes run; None means wherever the kernel likes."""

    proxy: int | None
    others: int | None  # mock upstream and load generator


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int
    time_scale: float  # of every scenario's duration


@dataclass(frozen=True, slots=True)
class Measurement:
    """One scenario at one contestant in one round."""

    load: LoadResult
    cpu_s: float  # of the contestant
    answered_without_upstream: int  # successes the mock never saw; anything but 0 is a wrong measurement

    @property
    def failures(self) -> int:
        """Requests that must not have ended as they did."""
        return sum(self.load.failures.values()) + self.answered_without_upstream


@dataclass(frozen=True, slots=True)
class ContestantRound:
    """All that was measured of one contestant in one round."""

    measurements: Mapping[ScenarioName, Measurement]
    start_to_first_200_s: float
    idle_rss_bytes: int
    loaded_rss_bytes: int


Round = Mapping[str, ContestantRound]  # by contestant's name


class Bench:
    """Runs rounds against one mock upstream."""

    def __init__(self, contestants: Mapping[str, Prepare], *, directory: Path, plan: Plan, cores: Cores) -> None:
        self._contestants = contestants
        self._directory = directory
        self._plan = plan
        self._cores = cores

    def run(self) -> Iterator[Round]:
        """Measures round after round; the direct latency is in each round under `DIRECT`, with no CPU or memory."""
        argv = (sys.executable, "-m", "tests.benchmarks.mock_upstream")
        with ChildProcess(argv, log_path=self._directory / "mock.log", core=self._cores.others) as mock:
            upstream_port = mock.announced_port(START_TIMEOUT_S)
            for number in range(self._plan.rounds):
                directory = self._directory / f"round-{number}"
                directory.mkdir()
                yield self._round(directory, upstream_port)

    def _round(self, directory: Path, upstream_port: int) -> Round:
        measured: dict[str, dict[ScenarioName, Measurement]] = {name: {} for name in (DIRECT, *self._contestants)}
        with ExitStack() as stack:
            runners: dict[str, Runner] = {}
            for name, prepare in self._contestants.items():
                (directory / name).mkdir()
                started = running(
                    prepare, directory=directory / name, upstream_port=upstream_port, core=self._cores.proxy
                )
                runners[name] = stack.enter_context(started)
                self._load(WARM_UP, runners[name].command, time_scale=1)
            for scenario in SCENARIOS:
                if scenario.name == "latency":
                    straight = Command(argv=(), port=upstream_port)
                    measured[DIRECT][scenario.name] = self._measure(scenario, straight, None, upstream_port)
                for name, runner in runners.items():
                    measurement = self._measure(scenario, runner.command, runner.process, upstream_port)
                    measured[name][scenario.name] = measurement
            return {name: _contestant_round(runners.get(name), measured[name]) for name in measured}

    def _measure(
        self, scenario: Scenario, command: Command, process: ChildProcess | None, upstream_port: int
    ) -> Measurement:
        completions_before = _completions(upstream_port)
        cpu_before_s = process.cpu_s() if process else 0.0
        load = self._load(scenario, command, time_scale=self._plan.time_scale)
        time.sleep(SETTLE_S)
        cpu_s = process.cpu_s() - cpu_before_s if process else 0.0
        seen = _completions(upstream_port) - completions_before
        return Measurement(load=load, cpu_s=cpu_s, answered_without_upstream=max(0, load.successes - seen))

    def _load(self, scenario: Scenario, command: Command, *, time_scale: float) -> LoadResult:
        workload = Workload(
            port=command.port,
            connections=scenario.connections,
            duration_s=scenario.duration_s * time_scale,
            rate_per_s=scenario.rate_per_s,
            prompt_bytes=scenario.prompt_bytes,
            is_streamed=scenario.is_streamed,
            gap_ms=scenario.gap_ms,
            api_key=command.api_key,
        )
        argv = (sys.executable, "-m", "tests.benchmarks.load", *arguments(workload))
        log_path = self._directory / "load.log"
        with ChildProcess(argv, log_path=log_path, core=self._cores.others) as process:
            process.wait_for_success(LOAD_TIMEOUT_S)
        return LoadResult(**json.loads(log_path.read_text()))


def choose_cores() -> Cores:
    """The proxy alone on the first core, everything else on the second; no pinning with one core."""
    cores = sorted(os.sched_getaffinity(0))
    return Cores(proxy=cores[0], others=cores[1]) if len(cores) > 1 else Cores(proxy=None, others=None)


def _contestant_round(runner: Runner | None, measurements: Mapping[ScenarioName, Measurement]) -> ContestantRound:
    if runner is None:
        return ContestantRound(measurements, start_to_first_200_s=0, idle_rss_bytes=0, loaded_rss_bytes=0)
    return ContestantRound(
        measurements,
        start_to_first_200_s=runner.start_to_first_200_s,
        idle_rss_bytes=runner.idle_rss_bytes,
        loaded_rss_bytes=runner.process.rss_bytes(),
    )


def _completions(upstream_port: int) -> int:
    """How many chat completions the mock has been asked for."""
    with urllib.request.urlopen(f"http://127.0.0.1:{upstream_port}/mock/stats", timeout=LOAD_TIMEOUT_S) as answer:
        completions: int = json.loads(answer.read())["completions"]
        return completions
