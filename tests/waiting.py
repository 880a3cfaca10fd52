"""Waiting for a condition in another process, with a deadline, in place of sleeping and hoping."""

import threading
import time
from collections.abc import Callable


def eventually(is_so: Callable[[], bool], *, within_s: float) -> None:
    """Return as soon as `is_so`; fail if that has not happened within so many seconds."""
    deadline_s = time.monotonic() + within_s
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline_s, f"this did not come true within {within_s} s"
        pause.wait(0.02)
