"""The command line of the benchmark: measures, prints the table, and exits non-zero when the figures mean nothing.

    python -m tests.benchmarks            the full run, under seven minutes
    python -m tests.benchmarks --quick    one short round of the main loads, to see that everything runs

A missed target does not fail the run: absolute figures depend on the machine, and judging is the reader's.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.contestants import Prepare, available
from tests.benchmarks.hold import raise_open_files_limit
from tests.benchmarks.laboratory import Cores, choose_cores
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.report import as_json, as_table, noise, problems, reported_rows
from tests.benchmarks.rounds import YARDSTICK, Bench, Plan, Round

FULL_ROUNDS = 5
QUICK_TIME_SCALE = 0.25
CONTESTANTS = ("nginx", "penstock", "bare")


def main() -> int:
    """Runs the benchmark; 0 when every scenario was answered, 1 otherwise."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the children are ended too
    options = _parser().parse_args()
    plan = Plan(
        rounds=options.rounds or (1 if options.quick else FULL_ROUNDS),
        time_scale=QUICK_TIME_SCALE if options.quick else 1.0,
        has_extras=not options.quick,
    )
    contestants = _chosen(options.contestants or (["nginx", "penstock"] if options.quick else list(available())))
    raise_open_files_limit()
    cores = choose_cores()
    notes = _notes(plan, list(contestants), cores)
    print("\n".join(notes), flush=True)
    try:
        rounds = _measure(contestants, plan, cores)
    except BenchmarkError as error:
        print(f"benchmark broken off: {error}", file=sys.stderr)
        return 1
    rows = reported_rows(rounds, list(contestants))
    print(as_table(rows, list(contestants)))
    notes += noise(rounds)
    print("\n".join(noise(rounds)))
    if options.json:
        options.json.write_text(json.dumps(as_json(rows, rounds, notes), indent=1) + "\n")
    for problem in problems(rounds):
        print(f"not to be believed: {problem}", file=sys.stderr)
    return 1 if problems(rounds) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measures what the proxy costs.")
    parser.add_argument("--quick", action="store_true", help="a smoke run of under 20 seconds")
    parser.add_argument("--rounds", type=int, help=f"rounds to take medians of (default {FULL_ROUNDS})")
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, help="default: all that can run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE as well")
    return parser


def _chosen(names: Sequence[str]) -> dict[str, Prepare]:
    runnable = available()
    return {name: runnable[name] for name in names if name in runnable}


def _notes(plan: Plan, contestants: Sequence[str], cores: Cores) -> list[str]:
    notes = [f"{plan.rounds} rounds of {', '.join(contestants)}, interleaved; all on 127.0.0.1"]
    if cores.proxy is None:
        notes.append("one core only: nothing is pinned, and the load generator takes time from the proxy")
    else:
        notes.append(f"pinned: proxy under test on core {cores.proxy}, mock upstream and load on core {cores.others}")
    if YARDSTICK not in contestants:
        notes.append("nginx is left out, so there are no ratios; `apt-get install nginx-light` brings them")
    return notes


def _measure(contestants: dict[str, Prepare], plan: Plan, cores: Cores) -> list[Round]:
    started_s = time.perf_counter()
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        for one_round in Bench(contestants, directory=Path(directory), plan=plan, cores=cores).run():
            rounds.append(one_round)
            elapsed_s = time.perf_counter() - started_s
            print(f"round {len(rounds)} of {plan.rounds} done after {elapsed_s:.0f} s", file=sys.stderr, flush=True)
    return rounds


if __name__ == "__main__":
    sys.exit(main())
