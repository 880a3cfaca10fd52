"""Contestants side by side in one run: measured, printed, and whether the figures may be believed."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.contestants import Prepare
from tests.benchmarks.laboratory import choose_cores
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.report import as_table, noise, problems, reported_rows
from tests.benchmarks.rounds import Bench, Plan


def compared(contestants: Mapping[str, Prepare], plan: Plan) -> int:
    """Measures and prints the table; the process's status, 0 when every scenario was answered."""
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
            rounds = list(Bench(contestants, directory=Path(directory), plan=plan, cores=choose_cores()).run())
    except BenchmarkError as error:
        print(f"comparison broken off: {error}", file=sys.stderr)
        return 1
    print(as_table(reported_rows(rounds, list(contestants)), list(contestants)))
    print("\n".join(noise(rounds)))
    for problem in problems(rounds):
        print(f"not to be believed: {problem}", file=sys.stderr)
    return 1 if problems(rounds) else 0
