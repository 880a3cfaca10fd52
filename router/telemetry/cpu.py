"""How long this process and its event loop have been at work, or would have been, had it been their turn: `busy`."""

import time
from pathlib import Path
from typing import NamedTuple

_SCHEDSTAT = Path("/proc/self/schedstat")  # of the main thread, which is the event loop's
_NS = 1_000_000_000


class Busy(NamedTuple):
    """Seconds since the process began. What is left of an interval is time in which there was nothing to do: a loop
    that is late, and has such, has no more to do than it can, but shares its core with others."""

    all_s: float  # CPU that all threads have had, and what the loop has waited for a core
    loop_s: float  # CPU of the loop alone: without what it waits for a core, or for another thread's turn to end


def busy(schedstat: Path = _SCHEDSTAT) -> Busy:
    """To be called on the event loop, in the main thread. Where the kernel does not tell (`CONFIG_SCHED_INFO`) how long
    the loop has waited for a core, that is left out."""
    try:
        waited_s = int(schedstat.read_bytes().split()[1]) / _NS
    except (OSError, IndexError):
        waited_s = 0.0
    return Busy(time.process_time() + waited_s, time.thread_time())
