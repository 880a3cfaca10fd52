"""The command line of the torture: runs the experiments, prints a table, exits with 1 if a figure was missed.

python -m tests.torture money                      everything, about twenty minutes
python -m tests.torture money --short              the same, small, two minutes
python -m tests.torture money --only a,c --seed 7  two of them, with another seed
python -m tests.torture money --stores shared      with several processes on Redis and PostgreSQL
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Protocol

from tests.torture import bound, clock, crash, crowd, cuts, full_disk, laws, outages, paused
from tests.torture.result import Result, as_data, as_table
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun

SEED = 20261123


class Experiment(Protocol):
    """A module of this package."""

    TITLE: str

    def run(self, setting: Setting, command: str) -> Coroutine[None, None, Result]:
        """Carry it out in an empty directory; `command` is what would do so again."""


EXPERIMENTS: Mapping[str, Experiment] = {
    "a": crash,
    "b": crowd,
    "c": cuts,
    "d": full_disk,
    "e": clock,
    "f": laws,
    "s": outages,
    "p": paused,
    "g": bound,
}


def main() -> int:
    options = _parser().parse_args()
    letters: list[str] = options.only.split(",") if options.only else list(EXPERIMENTS)
    results = [_run(letter, options) for letter in letters]
    sys.stdout.write(as_table(results) + "\n")
    if options.json:
        options.json.write_text(json.dumps(as_data(results), indent=1, ensure_ascii=False) + "\n")
    missed = [f"{result.experiment}: {figure.name}" for result in results for figure in result.missed]
    if missed:
        sys.stderr.write(f"\n{len(missed)} figure(s) missed: {'; '.join(missed)}\n")
    return 1 if missed else 0


def _run(letter: str, options: argparse.Namespace) -> Result:
    experiment = EXPERIMENTS[letter]
    command = _command(letter, options)
    sys.stderr.write(f"{letter}  {experiment.TITLE} ...\n")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-torture-") as directory:
        setting = Setting(options.seed, options.short, options.stores, Path(directory))
        try:
            return asyncio.run(experiment.run(setting, command))
        except CannotRun as reason:
            return Result(letter, experiment.TITLE, command, (), time.monotonic() - started_s, left_out=str(reason))


def _command(letter: str, options: argparse.Namespace) -> str:
    short = " --short" if options.short else ""
    return f"python -m tests.torture money --only {letter} --stores {options.stores} --seed {options.seed}{short}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Tries to make the books wrong.")
    parser.add_argument("subject", choices=("money",))
    parser.add_argument("--short", action="store_true", help="a small version of each experiment")
    parser.add_argument("--only", metavar="LETTERS", help=f"some of {','.join(EXPERIMENTS)}")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--stores", choices=("sqlite", "shared"), default="sqlite")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
