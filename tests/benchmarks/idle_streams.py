"""What an open stream holds on to: memory of a contestant with thousands that have begun and say nothing more."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.benchmarks.laboratory import Laboratory
from tests.benchmarks.runners import Runner

FEW, MANY = 1_000, 8_000
_OPEN_TIMEOUT_S = 90.0
_SETTLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Held:
    """Streams that were to be open at once."""

    asked: int
    held: int
    rss_bytes: int


@dataclass(frozen=True, slots=True)
class IdleStreams:
    """One contestant's memory: warm and without any stream, then with more and more of them."""

    without_bytes: int
    held: tuple[Held, ...]

    def bytes_each(self) -> float | None:
        """Of one stream, by the first step; None if not all were held."""
        first = self.held[0]
        return (first.rss_bytes - self.without_bytes) / first.held if first.held == first.asked else None

    def all_bytes(self) -> int | None:
        """Of the whole process with all streams; None if not all were held."""
        last = self.held[-1]
        return last.rss_bytes if last.held == last.asked else None


def idle_streams(laboratory: Laboratory, runner: Runner, *, steps: Sequence[int] = (FEW, MANY)) -> IdleStreams:
    """Memory at each step: so many streams are open at once then. They are left by their clients at the end."""
    without_bytes = runner.process.rss_bytes()
    found: list[Held] = []
    port, key = runner.command.port, runner.command.api_key
    with ExitStack() as stack:
        for total in steps:
            before = found[-1] if found else Held(0, 0, without_bytes)
            options = (f"--streams={total - before.asked}",)
            holder = stack.enter_context(laboratory.task("hold", f"--port={port}", f"--api-key={key}", *options))
            held = holder.process.announced_number("holding", _OPEN_TIMEOUT_S)
            time.sleep(_SETTLE_S)
            found.append(Held(total, before.held + held, runner.process.rss_bytes()))
    return IdleStreams(without_bytes, tuple(found))
