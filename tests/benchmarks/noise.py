"""How far the machine's own speed moved meanwhile: the same pure-Python work, measured in every round."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class Spin:
    """One measurement of the fixed work."""

    cpu_ms: float  # moves with the core's clock and with what its sibling does
    wall_ms: float  # above that by what others took of the core


def spin(core: int | None) -> Spin:
    """Does the fixed work on the core, or wherever the kernel likes."""
    own_cores = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        total = 0
        for number in range(_STEPS):
            total += number & 7
        return Spin((time.process_time() - cpu_s) * 1000, (time.perf_counter() - wall_s) * 1000)
    finally:
        os.sched_setaffinity(0, own_cores)
