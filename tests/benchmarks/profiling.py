"""Where the time of a request goes: the product under load, sampled by py-spy.

    python -m tests.benchmarks.profiling request|stream|chunk|long [--seconds 8] [--directory .venv/profile]

Prints microseconds of CPU by stage (`stages.py` says what belongs to which) and their sum beside the process's own
clock, and writes a flame graph, `SCENARIO.svg`, and the sampled stacks, `SCENARIO.txt`. Exits with 1 if the sum is more
than a tenth away from the clock. py-spy must be allowed to look into another process: as root, or with
kernel.yama.ptrace_scope = 0.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.contestants import penstock
from tests.benchmarks.laboratory import Laboratory, choose_cores, laboratory
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.rounds import WARM_UP
from tests.benchmarks.runners import Runner, running
from tests.benchmarks.scenarios import CHUNKS_PER_STREAM, LONG_SEEN, SCENARIOS
from tests.benchmarks.stages import STAGES, cpu_by_stage, parsed

TOLERANCE = 0.1
_RATE_HZ = 499  # no multiple of any timer of ours
_RAMP_S = 0.7  # until every connection is at work
_ATTACH_S = 5.0  # what py-spy may need beyond its seconds
_SCENARIOS = {scenario.name: scenario for scenario in SCENARIOS}
_PARTS = {  # what a scenario is asked for, and into how many parts one of its answers is counted
    "request": (_SCENARIOS["request_1kb"], 1),
    "stream": (_SCENARIOS["stream_no_gaps"], 1),
    "chunk": (_SCENARIOS["stream_gaps"], CHUNKS_PER_STREAM),
    "long": (LONG_SEEN, 1),
}


@dataclass(frozen=True, slots=True)
class Profile:
    """CPU microseconds per part (request, stream, chunk or long prompt), all measured over the same seconds."""

    part: str
    by_stage: dict[str, float]
    by_clock: float  # of the process

    @property
    def total(self) -> float:
        return sum(self.by_stage.values())

    @property
    def adds_up(self) -> bool:
        """Whether the stages together are what the process used."""
        return abs(self.total - self.by_clock) <= TOLERANCE * self.by_clock


def profiled(part: str, directory: Path, *, seconds: float) -> Profile:
    """The product's profile under the load of `part`; its files are written into `directory`."""
    scenario, parts = _PARTS[part]
    directory.mkdir(parents=True, exist_ok=True)
    cores = choose_cores()
    with tempfile.TemporaryDirectory(prefix="penstock-profile-") as scratch, laboratory(Path(scratch), cores) as lab:
        (Path(scratch) / "penstock").mkdir()
        with running(penstock, directory=Path(scratch) / "penstock", upstream=lab.upstream, core=cores.proxy) as runner:
            lab.measure(WARM_UP, runner)
            lab.measure(_SCENARIOS["request_100kb"], runner)  # else a long prompt may seem not to fit (guard.py)
            lasting = replace(scenario, duration_s=_RAMP_S + 2 * (seconds + _ATTACH_S))
            with lab.load(lasting, runner.command):
                time.sleep(_RAMP_S)
                cpu_s, completions, by_stage = _sampled(lab, runner, directory / f"{part}.txt", seconds)
                _record(runner, directory / f"{part}.svg", seconds, "--format", "flamegraph")
    if not completions:
        raise BenchmarkError("nothing was answered while the samples were taken")
    scale = 1e6 / (completions * parts)
    return Profile(part, {stage: spent_s * scale for stage, spent_s in by_stage.items()}, cpu_s * scale)


def _sampled(lab: Laboratory, runner: Runner, path: Path, seconds: float) -> tuple[float, int, dict[str, float]]:
    """CPU seconds, completions, and CPU seconds by stage, while the stacks were sampled into `path`."""
    process = runner.process
    seen_before, cpu_before_s, threads_before = lab.completions(), process.cpu_s(), process.cpu_by_thread_s()
    _record(runner, path, seconds, "--format", "raw", "--threads")
    cpu_s = process.cpu_s() - cpu_before_s
    threads = {
        thread: spent_s - threads_before.get(thread, 0.0) for thread, spent_s in process.cpu_by_thread_s().items()
    }
    completions = lab.completions() - seen_before
    stacks = [parsed(line) for line in path.read_text().splitlines()]
    return cpu_s, completions, cpu_by_stage(stacks, threads)


def _record(runner: Runner, path: Path, seconds: float, *options: str) -> None:
    """Lets py-spy watch the product for so long. Without pausing it, which would slow down what is measured.

    Only who holds the interpreter's lock is sampled: a thread that waits for it would count as working where it waits.
    What a thread does without the lock (writes to files, SQLite) is shared out over the rest of it.
    """
    found = subprocess.run(
        [
            str(Path(sys.executable).with_name("py-spy")),
            "record",
            *("--pid", str(runner.process.pid)),
            *("--duration", str(round(seconds))),
            *("--rate", str(_RATE_HZ)),
            *("--output", str(path)),
            *("--nonblocking", "--gil"),
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        raise BenchmarkError(f"py-spy could not watch the product: {found.stderr[-500:] or found.stdout[-500:]}")


def as_table(profile: Profile) -> str:
    """The stages, their sum and the clock, for people."""
    width = max(map(len, STAGES))
    lines = [f"{'stage':<{width}}  µs per {profile.part}   share"]
    for stage, spent_us in sorted(profile.by_stage.items(), key=lambda pair: -pair[1]):
        lines.append(f"{stage:<{width}}  {spent_us:10.1f}   {spent_us / profile.total:5.1%}")
    verdict = "adds up" if profile.adds_up else f"does not add up within {TOLERANCE:.0%}"
    lines.append(f"{'sum':<{width}}  {profile.total:10.1f}")
    lines.append(f"{'the process by its clock':<{width}}  {profile.by_clock:10.1f}   {verdict}")
    return "\n".join(lines)


def main() -> int:
    """Reads the command line, profiles, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profiling", description="Where the time goes.")
    parser.add_argument("part", nargs="?", choices=tuple(_PARTS), default="request")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--directory", type=Path, default=Path(".venv/profile"))
    options = parser.parse_args()
    try:
        profile = profiled(options.part, options.directory, seconds=options.seconds)
    except BenchmarkError as error:
        print(f"profile broken off: {error}", file=sys.stderr)
        return 1
    print(as_table(profile))
    print(f"flame graph: {options.directory / options.part}.svg")
    return 0 if profile.adds_up else 1


if __name__ == "__main__":
    sys.exit(main())
