"""Locked requirements, as pip-compile writes them: `locked`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.utils import canonicalize_name

LOCKS = Path(__file__).resolve().parents[2] / "deploy" / "requirements"

_PINNED = re.compile(r"([A-Za-z0-9._-]+)==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


class Locked(NamedTuple):
    """One requirement. Any of the hashes may be that of the file which is installed: wheels differ by platform."""

    name: str  # canonical
    version: str  # empty if the line does not name one
    hashes: tuple[str, ...]  # SHA-256, in hexadecimal digits
    line: str


def locked(file: Path) -> Iterator[Locked]:
    text = re.sub(r"\\\n\s*", " ", file.read_text(encoding="utf-8"))
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        pinned = _PINNED.match(line)
        name, version = (canonicalize_name(pinned[1]), pinned[2]) if pinned else ("", "")
        yield Locked(name, version, tuple(_HASH.findall(line)), line)
