"""The command line of the torture: runs the experiments, prints a table, exits with 1 if a figure was missed.

python -m tests.torture money                      everything on both kinds of stores, about an hour
python -m tests.torture money --short              the same, small, about eight minutes
python -m tests.torture money --only a,c --seed 7  two of them, with another seed
python -m tests.torture money --stores shared      only with several processes on Redis and PostgreSQL
python -m tests.torture upstream                   providers that break in mid-stream, about three minutes
python -m tests.torture security                   what strangers and crowds may try, about fifty minutes
python -m tests.torture metrics                    dashboards and rules on a Prometheus, about twelve minutes
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.torture import (
    aborts,
    audited,
    bound,
    canaries,
    clock,
    crash,
    crowd,
    cuts,
    dead_model,
    egress,
    floods,
    framing,
    full_disk,
    fuzz,
    keys,
    laws,
    liars,
    matrix,
    odd_bytes,
    outages,
    overload,
    paused,
    readers,
    refusing_models,
    restarts,
    scraped,
    senders,
    soak,
    tenants,
    upstream_faults,
    workers,
)
from tests.torture.result import Result, as_data, as_markdown, as_table
from tests.torture.setting import Setting, Stores
from tests.torture.stores import CannotRun

SEED = 20261123


class Experiment(Protocol):
    """A module of this package."""

    TITLE: str

    def run(self, setting: Setting, command: str) -> Coroutine[None, None, Result]:
        """Carry it out in an empty directory; `command` is what would do so again."""


MONEY: Mapping[str, Experiment] = {
    "a": crash,
    "b": crowd,
    "c": cuts,
    "d": full_disk,
    "e": clock,
    "f": laws,
    "s": outages,
    "p": paused,
    "w": workers,
    "g": bound,
}
UPSTREAM: Mapping[str, Experiment] = {
    "u": upstream_faults,
    "r": restarts,
    "h": aborts,
    "k": readers,
    "o": dead_model,
    "l": refusing_models,
}
METRICS: Mapping[str, Experiment] = {"m": scraped}
SECURITY: Mapping[str, Experiment] = {
    "egress": egress,
    "keys": keys,
    "matrix": matrix,
    "audit": audited,
    "canaries": canaries,
    "senders": senders,
    "floods": floods,
    "framing": framing,
    "fuzz": fuzz,
    "bytes": odd_bytes,
    "liars": liars,
    "overload": overload,
    "tenants": tenants,
    "soak": soak,
}
SUBJECTS: Mapping[str, Mapping[str, Experiment]] = {
    "money": MONEY,
    "upstream": UPSTREAM,
    "metrics": METRICS,
    "security": SECURITY,
}
EXPERIMENTS: Mapping[str, Experiment] = {**MONEY, **UPSTREAM, **METRICS, **SECURITY}

ONLY_ON: Mapping[str, Stores] = {
    "s": "shared",
    "p": "shared",
    "w": "shared",
    "g": "sqlite",
    "u": "sqlite",
    "r": "shared",
    "h": "sqlite",
    "k": "sqlite",
    "o": "sqlite",
    "l": "sqlite",
    "m": "shared",
    "egress": "sqlite",
    "matrix": "sqlite",
    "audit": "sqlite",
    "senders": "sqlite",
    "floods": "sqlite",
    "framing": "sqlite",
    "fuzz": "sqlite",
    "bytes": "sqlite",
    "liars": "sqlite",
    "overload": "sqlite",
    "tenants": "sqlite",
    "soak": "sqlite",
}
"""Experiments that need several processes, and such as have nothing to do with stores."""


def main() -> int:
    options = _parser().parse_args()
    started_s = time.monotonic()
    letters: list[str] = options.only.split(",") if options.only else list(SUBJECTS[options.subject])
    results = [_run(letter, stores, options) for letter, stores in _runs(letters, options.stores)]
    sys.stdout.write(as_table(results) + f"\n\n{len(results)} experiments in {time.monotonic() - started_s:,.0f} s\n")
    if options.markdown:
        options.markdown.write_text(as_markdown(results), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(as_data(results), indent=1, ensure_ascii=False) + "\n")
    missed = [f"{result.experiment}: {figure.name}" for result in results for figure in result.missed]
    if missed:
        sys.stderr.write(f"\n{len(missed)} figure(s) missed: {'; '.join(missed)}\n")
    return 1 if missed else 0


def _runs(letters: Sequence[str], stores: str) -> Iterator[tuple[str, Stores]]:
    """What is run on which stores; where it makes no difference, or there is no choice, once."""
    kinds: tuple[Stores, ...] = ("sqlite", "shared")
    for kind in kinds:
        for letter in letters:
            if stores == kind or (stores == "both" and ONLY_ON.get(letter, kind) == kind):
                yield letter, kind


def _run(letter: str, stores: Stores, options: argparse.Namespace) -> Result:
    experiment = EXPERIMENTS[letter]
    command = _command(letter, stores, options)
    sys.stderr.write(f"{letter}  {experiment.TITLE}, {stores} ...\n")
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-torture-") as directory:
        setting = Setting(options.seed, options.short, stores, Path(directory))
        try:
            return asyncio.run(experiment.run(setting, command))
        except CannotRun as reason:
            return Result(letter, experiment.TITLE, command, (), time.monotonic() - started_s, left_out=str(reason))


def _command(letter: str, stores: Stores, options: argparse.Namespace) -> str:
    short = " --short" if options.short else ""
    return f"python -m tests.torture {options.subject} --only {letter} --stores {stores} --seed {options.seed}{short}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Tries to make it go wrong.")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--short", action="store_true", help="a small version of each experiment")
    parser.add_argument("--only", metavar="LETTERS", help=f"some of {','.join(EXPERIMENTS)}")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--stores", choices=("sqlite", "shared", "both"), default="both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to FILE as well")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the same as tables of docs/reliability.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
