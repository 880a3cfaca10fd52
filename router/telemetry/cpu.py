"""How long this process has been at work, or would have been, had it been its turn."""

import time
from pathlib import Path

_SCHEDSTAT = Path("/proc/self/schedstat")  # of the main thread, which is the event loop's
_NS = 1_000_000_000


def busy_s(schedstat: Path = _SCHEDSTAT) -> float:
    """Seconds of CPU that all threads have had, and those in which the event loop waited for a core.

    What is left of an interval is time in which there was nothing to do: a loop that is late, and has such, has no
    more to do than it can, but shares its core with others. Where the kernel does not tell (`CONFIG_SCHED_INFO`), the
    waiting is left out.
    """
    try:
        waited_ns = int(schedstat.read_bytes().split()[1])
    except (OSError, IndexError):
        waited_ns = 0
    return time.process_time() + waited_ns / _NS
