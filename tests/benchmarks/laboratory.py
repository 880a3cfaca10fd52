"""Where contestants are measured: a mock upstream that lives through the whole run, and the loads put on them."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.contestants import Command, Upstream
from tests.benchmarks.load import LoadResult, Workload, arguments
from tests.benchmarks.probe import Waits
from tests.benchmarks.processes import BenchmarkError, ChildProcess, free_port
from tests.benchmarks.runners import START_TIMEOUT_S, Runner
from tests.benchmarks.scenarios import Scenario

LOAD_TIMEOUT_S = 60.0
SETTLE_S = 0.2  # work a proxy puts off (ledger batches, log flushes) still belongs to its requests


@dataclass(frozen=True, slots=True)
class Cores:
    """Where processes run; None means wherever the kernel likes."""

    proxy: int | None
    others: int | None  # mock upstream and load generators


def choose_cores() -> Cores:
    """The proxy alone on the first core, everything else on the second; no pinning with one core."""
    cores = sorted(os.sched_getaffinity(0))
    return Cores(proxy=cores[0], others=cores[1]) if len(cores) > 1 else Cores(proxy=None, others=None)


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
class Task:
    """A load generator, prober or holder that was started."""

    process: ChildProcess
    log_path: Path

    def output(self) -> dict[str, object]:
        """The JSON object it printed, waited for."""
        self.process.wait_for_success(LOAD_TIMEOUT_S)
        printed: dict[str, object] = json.loads(self.log_path.read_text())
        return printed


@dataclass(frozen=True, slots=True)
class Laboratory:
    """The mock upstream, and how to load whoever relays to it."""

    directory: Path
    cores: Cores
    upstream: Upstream
    upstream_tls: Upstream | None  # the same mock with TLS; None without the `openssl` program
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def measure(self, scenario: Scenario, *runners: Runner, time_scale: float = 1.0) -> Measurement:
        """The scenario at one runner, or shared out over several at once: their CPU time and answers together."""
        cpu_before_s = sum(runner.process.cpu_s() for runner in runners)
        measured = self._loaded(scenario, [runner.command for runner in runners], time_scale=time_scale)
        cpu_s = sum(runner.process.cpu_s() for runner in runners) - cpu_before_s
        return Measurement(measured.load, cpu_s, measured.answered_without_upstream)

    def measure_direct(self, scenario: Scenario, *, time_scale: float = 1.0) -> Measurement:
        """The scenario straight at the mock, whose CPU time is nobody's figure."""
        return self._loaded(scenario, [Command(argv=(), port=self.upstream.port)], time_scale=time_scale)

    @contextmanager
    def load(self, scenario: Scenario, command: Command, *, time_scale: float = 1.0, share: int = 1) -> Iterator[Task]:
        """A load generator at work with its `share`-th part of the connections, ended with the context."""
        workload = Workload(
            port=command.port,
            connections=scenario.connections // share,
            duration_s=scenario.duration_s * time_scale,
            request_limit=scenario.request_limit,
            rate_per_s=scenario.rate_per_s,
            prompt_bytes=scenario.prompt_bytes,
            is_streamed=scenario.is_streamed,
            gap_ms=scenario.gap_ms,
            api_key=command.api_key,
            history_bytes=scenario.history_bytes,
            history_seed=scenario.history_seed,
            headers=command.headers,
        )
        with self.task("load", *arguments(workload)) as task:
            yield task

    @contextmanager
    def task(self, module: str, *options: str) -> Iterator[Task]:
        """A program of this package at work beside the contestant, ended with the context."""
        log_path = self.directory / f"{module}-{next(self._numbers)}.log"
        argv = (sys.executable, "-m", f"tests.benchmarks.{module}", *options)
        with ChildProcess(argv, log_path=log_path, core=self.cores.others) as process:
            yield Task(process, log_path)

    def completions(self) -> int:
        """How many chat completions the mock has been asked for."""
        stats_url = f"http://127.0.0.1:{self.upstream.port}/mock/stats"
        with urllib.request.urlopen(stats_url, timeout=LOAD_TIMEOUT_S) as answer:
            completions: int = json.loads(answer.read())["completions"]
            return completions

    def _loaded(self, scenario: Scenario, commands: Sequence[Command], *, time_scale: float) -> Measurement:
        completions_before = self.completions()
        with ExitStack() as stack:
            tasks = [
                stack.enter_context(self.load(scenario, command, time_scale=time_scale, share=len(commands)))
                for command in commands
            ]
            load = together([load_result(task) for task in tasks])
        time.sleep(SETTLE_S)
        seen = self.completions() - completions_before
        return Measurement(load=load, cpu_s=0.0, answered_without_upstream=max(0, load.successes - seen))


@contextmanager
def laboratory(directory: Path, cores: Cores) -> Iterator[Laboratory]:
    """A laboratory with its mock running, and its files in the empty `directory`."""
    certificate = self_made_certificate(directory)
    tls_port = free_port()
    tls = ("--tls-port", str(tls_port), "--certificate", str(certificate)) if certificate else ()
    argv = (sys.executable, "-m", "tests.benchmarks.mock_upstream", *tls)
    with ChildProcess(argv, log_path=directory / "mock.log", core=cores.others) as mock:
        upstream = Upstream(mock.announced_port(START_TIMEOUT_S))
        yield Laboratory(directory, cores, upstream, Upstream(tls_port, certificate) if certificate else None)


def self_made_certificate(directory: Path) -> Path | None:
    """A PEM file with a certificate for loopback and its key; None without the `openssl` program."""
    path = directory / "certificate.pem"
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")  # as most providers have, 2026
    try:
        subprocess.run(
            ["openssl", "req", "-x509", *key, *subject, "-keyout", str(path), "-out", str(directory / "public.pem")],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        return None
    except subprocess.CalledProcessError as error:
        raise BenchmarkError(f"openssl made no certificate: {error.stderr.decode(errors='replace')}") from error
    path.write_text(path.read_text() + (directory / "public.pem").read_text())
    return path


def load_result(task: Task) -> LoadResult:
    """What a load generator reports, waited for."""
    return LoadResult(**task.output())  # type: ignore[arg-type]  # its own fields, by way of JSON


def waits(task: Task) -> Waits:
    """What a prober reports, waited for."""
    return Waits(**task.output())  # type: ignore[arg-type]  # its own fields, by way of JSON


def together(results: Sequence[LoadResult]) -> LoadResult:
    """The results of loads that ran at the same time; latencies are those of the slowest."""
    kinds = {kind for result in results for kind in result.failures}
    return LoadResult(
        successes=sum(result.successes for result in results),
        failures={kind: sum(result.failures.get(kind, 0) for result in results) for kind in sorted(kinds)},
        duration_s=max(result.duration_s for result in results),
        latency_p50_ms=max(result.latency_p50_ms for result in results),
        latency_p99_ms=max(result.latency_p99_ms for result in results),
        first_byte_p50_ms=max(result.first_byte_p50_ms for result in results),
    )
