"""The command line of the mutation tests: runs mutmut, prints the score of each module, exits with 1 below 85 %.

python -m tests.mutation                    everything anew; the better part of an hour on two cores
python -m tests.mutation --resume           goes on where a run was interrupted
python -m tests.mutation --again MODULE...  these once more, e.g. router.units after its tests have changed
python -m tests.mutation --report           the table of what has been found out already

`mutmut results` names the mutants that survived, `mutmut show NAME` shows what was changed.
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.mutation.score import rows, table, timed_out, total, unfinished

REQUIRED_PERCENT = 85.0

_MUTMUT = Path(sys.executable).with_name("mutmut")
_WORKSHOP = Path("mutants")  # mutmut's own copy of the tree, with what it has found out


def main() -> int:
    options = _parser().parse_args()
    if not _MUTMUT.exists():
        sys.stderr.write("mutmut is not installed; `make mutation` installs it.\n")
        return 2
    if not options.report:
        if not (options.resume or options.again):
            shutil.rmtree(_WORKSHOP, ignore_errors=True)
        patterns = [f"{module}.x*" for module in options.again]
        ended = subprocess.run([_MUTMUT, "run", *patterns], check=False)
        if ended.returncode != 0:
            return ended.returncode
        late = timed_out(_results())
        if late:
            # One at a time, so that a busy machine is not taken for a loop without end.
            subprocess.run([_MUTMUT, "run", "--max-children", "1", *late], check=True)
    shown = rows(_results(), _modules())
    score = total(shown)
    sys.stdout.write(f"\n{table(shown)}\n")
    if not score.mutants or unfinished(score):
        sys.stderr.write(f"\n{unfinished(score)} mutants were not tried; go on with --resume.\n")
        return 1
    if score.percent < REQUIRED_PERCENT:
        sys.stderr.write(f"\n{score.percent:.1f} % is below the {REQUIRED_PERCENT:.0f} % required.\n")
        return 1
    return 0


def _results() -> str:
    return subprocess.run([_MUTMUT, "results", "--all", "true"], check=True, capture_output=True, text=True).stdout


def _modules() -> list[str]:
    """The modules that mutmut is told to change."""
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    paths: list[str] = settings["tool"]["mutmut"]["only_mutate"]
    return [path.removesuffix(".py").replace("/", ".") for path in paths]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="Mutation tests of the money.")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--resume", action="store_true", help="go on where a run was interrupted")
    chosen.add_argument("--again", nargs="+", default=[], metavar="MODULE", help="try the mutants of these once more")
    chosen.add_argument("--report", action="store_true", help="only print what has been found out already")
    return parser


if __name__ == "__main__":
    sys.exit(main())
