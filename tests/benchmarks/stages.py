"""Where a microsecond belongs: the table that says which stage of a request a sampled stack is attributed to.

A stack is read from its innermost frame outwards, and the first frame that the table knows decides. So what others do
for us (msgspec, splintr, SQLite, asyncio, anyio) belongs to the stage that asked for it, as does what their compiled
parts do, since no frame of theirs is in the table. Where no frame is known it is the event loop's own: polling, reading
and writing sockets, timers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

REST = "event loop, sockets, all other"

# Beginnings of places. What stands further up wins, so that an exception precedes its rule.
_RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("authentication", ("router/server/auth.py", "router/keys.py")),
    (
        "HTTP with clients",  # parsing, routing, writing answers
        ("uvicorn/", "starlette/", "router/server/"),
    ),
    (
        "HTTP with upstreams",
        ("router/upstream/connection.py", "router/upstream/transport.py", "router/upstream/client.py", "httpx2/"),
    ),
    ("body to send", ("router/upstream/o", "router/wire/editing.py")),  # outgoing*, orders, openrouter
    ("breakers", ("router/upstream/breaker.py", "router/gateway/failover.py")),
    (
        "relaying, reading the answer",
        (
            "router/gateway/answer.py",
            "router/wire/answers.py",
            "router/wire/dialect.py",
            "router/wire/events.py",
            "router/wire/over_chat.py",
            "router/wire/replies.py",
            "router/wire/streams.py",
            "router/wire/whole.py",
        ),
    ),
    ("reading the request", ("router/wire/",)),
    ("counting tokens", ("router/tokens/",)),
    ("task features", ("router/quality/",)),
    ("record of the decision", ("router/decision/recorded.py",)),
    ("decision", ("router/decision/", "router/catalog/", "router/gateway/planning.py", "router/gateway/profile.py")),
    ("limits and holds", ("router/limits/", "router/quotas.py")),
    ("journal", ("router/storage/journal.py",)),
    (
        "ledger entry",
        (
            "router/ledger.py",
            "router/gateway/exchange.py:Exchange._entry",  # and `_entry_if_lost`
            "router/gateway/call.py:Call._attempt",
            "router/gateway/call.py:Call.attempt",
        ),
    ),
    ("settlement", ("router/gateway/settlement.py", "router/gateway/call.py")),
    ("metrics", ("router/telemetry/", "prometheus_client/")),
    ("learning", ("router/learning/",)),
    ("ledger (SQLite)", ("router/storage/",)),
    ("carrying the request", ("router/gateway/",)),
)
STAGES = (*(stage for stage, _ in _RULES), REST)

_THREAD = re.compile(r"thread \((\d+)\)")
_FRAME = re.compile(r"(.*) \(([^()]*?)(?::\d+)?\)$")


@dataclass(frozen=True, slots=True)
class Stack:
    """One line of `py-spy record --format raw --threads`: the same stack, seen so often."""

    thread_id: int  # the kernel's
    places: tuple[str, ...]  # "file:function", outermost first
    samples: int


def parsed(line: str) -> Stack:
    """The stack of a line. Raises ValueError for one that py-spy would not write."""
    frames, _, samples = line.rstrip("\n").rpartition(" ")
    thread, *rest = frames.split(";")
    match = _THREAD.match(thread)
    if match is None:
        raise ValueError(f"expected a line that begins with its thread, got {line[:80]!r}")
    read = (_FRAME.match(frame) for frame in rest)
    return Stack(int(match[1]), tuple(f"{frame[2]}:{frame[1]}" for frame in read if frame), int(samples))


def stage_of(places: Sequence[str]) -> str:
    """The stage that a stack belongs to."""
    for place in reversed(places):
        for stage, starts in _RULES:
            if place.startswith(starts):
                return stage
    return REST


def cpu_by_stage(stacks: Iterable[Stack], cpu_s: Mapping[int, float]) -> dict[str, float]:
    """Seconds of CPU by stage, each thread's own time shared out over its samples; stages without any are left out.

    `cpu_s` is by thread. A thread that waits for the core is sampled like one that has it: samples tell what a thread
    did, its clock how long. The time of a thread that was never sampled is the rest's.
    """
    samples: dict[int, Counter[str]] = {}
    for stack in stacks:
        samples.setdefault(stack.thread_id, Counter())[stage_of(stack.places)] += stack.samples
    found = dict.fromkeys(STAGES, 0.0)
    for thread_id, spent_s in cpu_s.items():
        seen = samples.get(thread_id, Counter({REST: 1}))
        for stage, count in seen.items():
            found[stage] += spent_s * count / seen.total()
    return {stage: spent_s for stage, spent_s in found.items() if spent_s}
