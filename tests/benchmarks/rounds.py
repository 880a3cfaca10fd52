"""The order of measuring: in each round every contestant starts afresh, then each scenario visits all of them in turn.

So the two numbers of a ratio are measured seconds apart, and the machine's slow drift cancels out. Contestants that
are not being measured idle. The mock upstream lives through the whole run. What needs contestants of its own (TLS,
thousands of open streams) comes after them, in the same round; the streams only in the last one, for memory hardly
varies.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.contestants import Prepare, Upstream
from tests.benchmarks.idle_streams import IdleStreams, idle_streams
from tests.benchmarks.laboratory import SETTLE_S, Cores, Laboratory, Measurement, laboratory
from tests.benchmarks.long_prompts import Beside, beside_long_prompts
from tests.benchmarks.noise import Spin, spin
from tests.benchmarks.runners import Runner, running
from tests.benchmarks.scenarios import (
    ALONE,
    LONG_NEW,
    LONG_SEEN,
    PAIR,
    SCENARIOS,
    TLS,
    Scenario,
    ScenarioName,
)

PRODUCT = "penstock"
YARDSTICK = "nginx"
FULLY_MEASURED = (YARDSTICK, PRODUCT)  # the others take part in `Plan.scenarios`
_IDLE_S = 3.0
WARM_UP = Scenario(name="request_1kb", duration_s=0.5, connections=32)
DIRECT = "direct"  # the load generator straight at the mock: what latency is added to


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int
    time_scale: float = 1.0  # of every duration in `scenarios`
    scenarios: tuple[Scenario, ...] = SCENARIOS
    has_extras: bool = True  # idle CPU, long prompts, TLS, two processes, idle streams


@dataclass(frozen=True, slots=True)
class ContestantRound:
    """All that was measured of one contestant in one round."""

    measurements: Mapping[ScenarioName, Measurement]
    start_to_first_200_s: float = 0
    idle_rss_bytes: int = 0
    idle_cpu_share: float | None = None  # of a core, while nobody asks anything
    loaded_rss_bytes: int = 0  # after the scenarios
    beside: Beside | None = None
    idle_streams: IdleStreams | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One round."""

    contestants: Mapping[str, ContestantRound]  # by name; `DIRECT` has no CPU or memory
    spin: Spin


class Bench:
    """Runs rounds against one mock upstream."""

    def __init__(self, contestants: Mapping[str, Prepare], *, directory: Path, plan: Plan, cores: Cores) -> None:
        self._contestants = contestants
        self._directory = directory
        self._plan = plan
        self._cores = cores

    def run(self) -> Iterator[Round]:
        """Measures round after round."""
        with laboratory(self._directory, self._cores) as lab:
            for number in range(self._plan.rounds):
                directory = self._directory / f"round-{number}"
                directory.mkdir()
                one_round = _Round(lab, self._contestants, directory=directory, plan=self._plan)
                one_round.scenarios()
                if self._plan.has_extras:
                    one_round.tls()
                    if number == self._plan.rounds - 1:
                        one_round.idle_streams()
                yield Round(one_round.measured, spin(self._cores.proxy))


class _Round:
    """One round under way: `measured` grows from step to step."""

    def __init__(self, lab: Laboratory, contestants: Mapping[str, Prepare], *, directory: Path, plan: Plan) -> None:
        self.measured = {name: ContestantRound({}) for name in (DIRECT, *contestants)}
        self._lab = lab
        self._contestants = contestants
        self._directory = directory
        self._plan = plan

    def scenarios(self) -> None:
        """Every scenario at all contestants, and long prompts and a second process at those that run anyway."""
        with ExitStack() as stack:
            runners = {name: self._started(stack, name, self._lab.upstream) for name in self._contestants}
            idle_cpu_shares = _cpu_shares(runners, _IDLE_S) if self._plan.has_extras else {}
            for scenario in self._plan.scenarios:
                if scenario.name == "latency":
                    self._note(DIRECT, self._lab.measure_direct(scenario, time_scale=self._plan.time_scale), scenario)
                for name, runner in runners.items():
                    self._measure(name, scenario, runner, time_scale=self._plan.time_scale)
            for name, runner in runners.items():
                self.measured[name] = replace(
                    self.measured[name],
                    start_to_first_200_s=runner.start_to_first_200_s,
                    idle_rss_bytes=runner.idle_rss_bytes,
                    idle_cpu_share=idle_cpu_shares.get(name),
                    loaded_rss_bytes=runner.process.rss_bytes(),
                )
            if self._plan.has_extras:
                self._two_processes(stack, runners)
                self._long_prompts(runners)

    def tls(self) -> None:
        """The 1 KB request with an upstream that speaks TLS."""
        if self._lab.upstream_tls is None:
            return
        with ExitStack() as stack:
            runners = {
                name: self._started(stack, name, self._lab.upstream_tls, suffix="-tls")
                for name in self._contestants
                if name in FULLY_MEASURED
            }
            for name, runner in runners.items():
                self._measure(name, TLS, runner)

    def idle_streams(self) -> None:
        """Thousands of open streams, at one contestant after the other."""
        for name in self._contestants:
            if name in FULLY_MEASURED:
                with ExitStack() as stack:
                    runner = self._started(stack, name, self._lab.upstream, suffix="-idle")
                    self.measured[name] = replace(self.measured[name], idle_streams=idle_streams(self._lab, runner))

    def _two_processes(self, stack: ExitStack, runners: Mapping[str, Runner]) -> None:
        if PRODUCT in runners:
            second = self._started(stack, PRODUCT, self._lab.upstream, suffix="-second")
            self._measure(PRODUCT, ALONE, runners[PRODUCT])
            self._measure(PRODUCT, PAIR, runners[PRODUCT], second)

    def _long_prompts(self, runners: Mapping[str, Runner]) -> None:
        for name, runner in runners.items():
            if name in FULLY_MEASURED:
                self._measure(name, LONG_NEW, runner)
                beside = beside_long_prompts(self._lab, runner)
                self.measured[name] = replace(self.measured[name], beside=beside)
                self._measure(name, LONG_SEEN, runner)

    def _measure(self, name: str, scenario: Scenario, *runners: Runner, time_scale: float = 1.0) -> None:
        self._note(name, self._lab.measure(scenario, *runners, time_scale=time_scale), scenario)

    def _note(self, name: str, measurement: Measurement, scenario: Scenario) -> None:
        before = self.measured[name]
        self.measured[name] = replace(before, measurements={**before.measurements, scenario.name: measurement})

    def _started(self, stack: ExitStack, name: str, upstream: Upstream, *, suffix: str = "") -> Runner:
        """The contestant running and warm."""
        directory = self._directory / (name + suffix)
        directory.mkdir()
        started = running(self._contestants[name], directory=directory, upstream=upstream, core=self._lab.cores.proxy)
        runner = stack.enter_context(started)
        self._lab.measure(WARM_UP, runner)
        return runner


def _cpu_shares(runners: Mapping[str, Runner], seconds: float) -> dict[str, float]:
    """What part of a core each takes in the seconds to come, in which nothing is asked of them."""
    time.sleep(SETTLE_S)
    before_s = {name: runner.process.cpu_s() for name, runner in runners.items()}
    started_s = time.perf_counter()
    time.sleep(seconds)
    spent_s = {name: runner.process.cpu_s() - before_s[name] for name, runner in runners.items()}
    return {name: each_s / (time.perf_counter() - started_s) for name, each_s in spent_s.items()}
