"""The command line: the product on its own server, on uvicorn's connections and on granian, in one run with nginx.

python -m tests.benchmarks.servers .venv/servers
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.benchmarks.comparison import compared
from tests.benchmarks.contestants import Command, Upstream, available, penstock
from tests.benchmarks.rounds import Plan
from tests.benchmarks.scenarios import SCENARIOS

_COMPARED = tuple(one for one in SCENARIOS if one.name in ("request_1kb", "stream_no_gaps", "stream_gaps", "latency"))


def on(server: str, directory: Path, upstream: Upstream, *, installed: Path) -> Command:
    """The product with another server under it."""
    command = penstock(directory, upstream)
    argv = tuple(
        f"tests.benchmarks.servers.on_{server}" if word == "router.cli.main" else word for word in command.argv
    )
    return replace(command, argv=argv, env={**command.env, "PYTHONPATH": str(installed.resolve())})


def main() -> int:
    """Measures and prints the table; 0 when every scenario was answered."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.servers", description="Servers for the product.")
    parser.add_argument("directory", type=Path, help="where make put granian")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--time-scale", type=float, default=0.6, help="of every load's duration")
    options = parser.parse_args()
    contestants = {name: prepare for name, prepare in available().items() if name != "bare"} | {
        name: partial(on, name, installed=options.directory) for name in ("uvicorn", "granian")
    }
    plan = Plan(rounds=options.rounds, scenarios=_COMPARED, has_extras=False, time_scale=options.time_scale)
    return compared(contestants, plan)


if __name__ == "__main__":
    sys.exit(main())
