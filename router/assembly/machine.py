"""What one process bears on the machine it is on, and who keeps it from more."""

import resource
import time
from collections.abc import Callable

import anyio

from router.config.snapshot import OverloadLimits
from router.limits.overload import Overload
from router.limits.shares import Shares
from router.telemetry.cpu import busy
from router.telemetry.memory import MemoryUse, memory_limit_bytes
from router.telemetry.metrics import Metrics

# Measured: 8,000 streams that wait are 466 MB (docs/capacity.md). A request is two open files, and a fifth is left for
# connections that ask nothing just now, for the admin port and for the stores.
_MOST_UNDER_WAY = 8_000
_FILES_OF_OUR_OWN = 256
_REQUESTS_PER_FILE = 0.4


def make_overload(limits: OverloadLimits, *, weight_of: Callable[[str], float], metrics: Metrics) -> Overload:
    """Who lets requests in. `weight_of` is what a team's share weighs."""
    memory = MemoryUse(limit_bytes=limits.memory_bytes or memory_limit_bytes(), processes=metrics.workers)
    return Overload(
        Shares(most_under_way=limits.under_way or most_under_way(), weight_of=weight_of, monotonic_s=time.monotonic),
        monotonic_s=time.monotonic,
        sleep=anyio.sleep,
        busy=busy,
        memory_share=memory.share,
        shed=metrics.shed,
    )


def most_under_way() -> int:
    """How many requests this process may have under way, by the files that it may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(_MOST_UNDER_WAY, max(int((files - _FILES_OF_OUR_OWN) * _REQUESTS_PER_FILE), 64))
