"""What one process bears on the machine it is on, and who keeps it from more."""

import resource
import time
from collections.abc import Callable

import anyio

from router.config.snapshot import OverloadLimits
from router.limits.overload import Overload, Starting
from router.limits.shares import Shares
from router.telemetry.cpu import busy
from router.telemetry.memory import MemoryUse, memory_limit_bytes
from router.telemetry.metrics import Metrics

# Measured: 8,000 streams that wait are 463 MB (docs/capacity.md). Who is alone may have an eighth less than all.
# A request is two open files, of which the one to its client is counted among the connections (server/listen.py):
# together with those, and with stores, journal and admin port, they are no more than there are.
_MOST_UNDER_WAY = 10_000
_FILES_OF_OUR_OWN = 256
_REQUESTS_PER_FILE = 0.465


def make_overload(
    limits: OverloadLimits, *, weight_of: Callable[[str], float], starts: Starting, metrics: Metrics
) -> Overload:
    """Who lets requests in. `weight_of` is what a team's share weighs."""
    memory = MemoryUse(limit_bytes=limits.memory_bytes or memory_limit_bytes(), processes=metrics.workers)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = limits.under_way or most_under_way(files)
    return Overload(
        Shares(most_under_way=most, weight_of=weight_of, monotonic_s=time.monotonic),
        monotonic_s=time.monotonic,
        sleep=anyio.sleep,
        starts=starts,
        busy=busy,
        memory_share=memory.share,
        shed=metrics.shed,
    )


def most_under_way(files: int) -> int:
    """How many requests a process may have under way that may open so many files (RLIMIT_NOFILE; -1 is without a
    limit)."""
    if files < 0:
        return _MOST_UNDER_WAY
    return min(_MOST_UNDER_WAY, max(int((files - _FILES_OF_OUR_OWN) * _REQUESTS_PER_FILE), 64))
