"""How much of the memory that this process may have it has: `MemoryUse`, read from /proc and from its control group."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NO_LIMIT_BYTES = 1 << 60  # version 1 of control groups writes a number about as large for none


class MemoryUse:
    """The resident memory of this process beside its share of the limit. On systems without /proc it is zero."""

    def __init__(self, *, limit_bytes: int, processes: int = 1) -> None:
        """`limit_bytes` are divided among so many processes that serve together."""
        self._limit_bytes = max(limit_bytes // processes, 1)

    def share(self) -> float:
        """From 0 to 1, or beyond where the limit is not of the system's making."""
        return resident_bytes() / self._limit_bytes


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """What this process has in memory; 0 where that is not told."""
    try:
        return int(statm.read_bytes().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """What this process may have: the least of its control groups' limits and the machine's memory.

    `root` is the directory that /proc and /sys are in.
    """
    return min((_machine_bytes(root), *_group_limits(root)))


def _machine_bytes(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return _NO_LIMIT_BYTES
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")), _NO_LIMIT_BYTES)


def _group_limits(root: Path) -> Iterator[int]:
    """Of the group and of all that it is in: `0::/a/b` in version 2, `4:memory:/a/b` in version 1."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mounted, file = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mounted, file = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        for each in (group, *group.parents):
            yield _limit_in(mounted / each / file)


def _limit_in(file: Path) -> int:
    try:
        text = file.read_text().strip()
    except OSError:
        return _NO_LIMIT_BYTES
    return int(text) if text.isdigit() else _NO_LIMIT_BYTES  # `max`
