"""The wheel, built in a place of its own, always the same to the byte: `python -m tests.supply_chain.wheel DIR`.

Hatchling sorts what it packs, and writes no owner and no mode but whether a file may be run. The time within is that of
the last commit, or of SOURCE_DATE_EPOCH where that is set.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

_SOURCES = ("router", "config", "pyproject.toml", "README.md", "LICENSE")


def source_date_epoch() -> str:
    """Seconds since 1970 that files in the wheel are dated by."""
    given = os.environ.get("SOURCE_DATE_EPOCH")  # noqa: TID251 - what builders agree on (reproducible-builds.org)
    if given:
        return given
    command = ["git", "-C", str(CHECKOUT), "log", "-1", "--format=%ct"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def built(directory: Path, *, epoch: str) -> Path:
    """The wheel, made of a copy of the sources without what machines have left there."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="penstock-wheel-") as place:
        for name in _SOURCES:
            source, copy = CHECKOUT / name, Path(place, name)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            else:
                shutil.copy(source, copy)
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory.resolve())],
            cwd=place,
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},  # noqa: TID251 - a child inherits our surroundings
            capture_output=True,
            check=True,
        )
    [wheel] = directory.glob("*.whl")
    return wheel


def main() -> int:
    epoch = source_date_epoch()
    with tempfile.TemporaryDirectory(prefix="penstock-wheel-again-") as place:
        once, again = (built(Path(where), epoch=epoch) for where in (sys.argv[1], place))
        digests = [hashlib.sha256(each.read_bytes()).hexdigest() for each in (once, again)]
    if digests[0] != digests[1]:
        sys.stderr.write(f"wheel: built twice, and not the same: {digests}\n")
        return 1
    sys.stdout.write(f"{digests[0]}  {once}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
