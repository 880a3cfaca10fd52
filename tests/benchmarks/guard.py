"""The guard against slow creep: CPU per request, as a multiple of nginx's, against the recorded one.

    python -m tests.benchmarks.guard            a minute; 1 if a ratio is more than a quarter above the recorded one
    python -m tests.benchmarks.guard --record   measures longer and writes `recorded.json`

Judged are the request of 1 KB and the next turn of a conversation of 5 MB. Streams are left to `make bench`: what nginx
itself takes for the same one was 270 us in some runs and 510 in others (2026-11-30), by how many chunks it finds in one
read, and the ratio with it.

Only ratios of figures measured seconds apart on the same core are compared, never times. A machine that is busy with
other things can still spoil a round, so that a ratio found too high is measured once more with more rounds, and
only that second finding counts. Ratios move with the kind of machine: record anew where they are to be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from router.config.settings import environment
from tests.benchmarks.contestants import nginx, nginx_binary, penstock
from tests.benchmarks.laboratory import choose_cores
from tests.benchmarks.processes import BenchmarkError
from tests.benchmarks.report import problems, reported_rows
from tests.benchmarks.rounds import PRODUCT, YARDSTICK, Bench, Plan
from tests.benchmarks.scenarios import LONG_SEEN, SCENARIOS

RECORDED = Path(__file__).with_name("recorded.json")
TOLERANCE = 0.25
ROUNDS, MORE_ROUNDS = 5, 9  # about one minute and two
# The mock tells as many tokens for every prompt. By those of 100 KB it is learned that a long prompt still fits.
_GUARDED = (*(one for one in SCENARIOS if one.name in ("request_1kb", "request_100kb")), LONG_SEEN)

JUDGED = ("CPU per request, 1 KB, 32 connections", "5 MB prompt, its next turn, CPU")

Ratios = Mapping[str, float]  # by the title of the row


def main() -> int:
    """Compares or records; 0 when no ratio has crept up, or where there is no nginx to compare with."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guard", description="Has the cost crept up?")
    parser.add_argument("--record", action="store_true", help="write the ratios of now to recorded.json")
    options = parser.parse_args()
    if nginx_binary() is None:
        print("nginx is not installed, so there is nothing to compare with (Debian: apt-get install nginx-light)")
        return 1 if options.record or environment().get("CI") == "true" else 0
    try:
        return _record() if options.record else _guard()
    except BenchmarkError as error:
        print(f"guard broken off: {error}", file=sys.stderr)
        return 1


def crept_up(found: Ratios, recorded: Ratios) -> dict[str, str]:
    """What is wrong with each ratio that exceeds its recorded one by more than the tolerance, or has none."""
    wrong: dict[str, str] = {}
    for title, ratio in found.items():
        before = recorded.get(title)
        if before is None:
            wrong[title] = f"{title}: no ratio is recorded; `make bench-record` writes it"
        elif ratio > before * (1 + TOLERANCE):
            wrong[title] = f"{title}: {ratio:.2f} x nginx, {ratio / before - 1:.0%} above the recorded {before:.2f}"
    return wrong


def _guard() -> int:
    recorded: Ratios = json.loads(RECORDED.read_text())["ratios"]
    found = _measured(ROUNDS)
    wrong = crept_up({title: found[title] for title in JUDGED}, recorded)
    if wrong:
        print("\n".join(wrong.values()))
        print(
            f"This may be the machine's mood: measuring once more, {MORE_ROUNDS} rounds instead of {ROUNDS} …",
            flush=True,
        )
        found = _measured(MORE_ROUNDS)
        wrong = crept_up({title: found[title] for title in JUDGED}, recorded)
    for title, ratio in found.items():
        print(f"{title}: {ratio:.2f} x nginx (recorded: {recorded.get(title, 0):.2f})")
    if wrong:
        print("The cost has crept up, in two measurements:", *wrong.values(), sep="\n", file=sys.stderr)
        print("Mend it, or say why in the commit that runs `make bench-record`.", file=sys.stderr)
    return 1 if wrong else 0


def _record() -> int:
    ratios = {title: round(ratio, 2) for title, ratio in _measured(MORE_ROUNDS).items()}
    recorded = {"recorded": time.strftime("%Y-%m-%d"), "rounds": MORE_ROUNDS, "ratios": ratios}
    RECORDED.write_text(json.dumps(recorded, indent=2) + "\n")
    print(RECORDED.read_text(), end="")
    return 0


def _measured(rounds: int) -> dict[str, float]:
    """The ratios now: paired within each round, then the median."""
    plan = Plan(rounds=rounds, time_scale=0.5, scenarios=_GUARDED, has_extras=False)
    contestants = {YARDSTICK: nginx, PRODUCT: penstock}
    with tempfile.TemporaryDirectory(prefix="penstock-guard-") as directory:
        found = list(Bench(contestants, directory=Path(directory), plan=plan, cores=choose_cores()).run())
    for problem in problems(found):
        raise BenchmarkError(problem)
    ratios = {row.title: row.ratios_to_nginx.get(PRODUCT) for row in reported_rows(found, list(contestants))}
    return {title: ratio.median for title, ratio in ratios.items() if ratio is not None}


if __name__ == "__main__":
    sys.exit(main())
