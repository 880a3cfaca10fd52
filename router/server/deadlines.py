"""How long connections may keep us waiting: `Deadlines`, of all connections of a server, by one timer.

A timer for each connection would cost every request two calls of the event loop. Here a request that comes in one read
costs an entry in a dictionary, and the timer runs only while somebody is waited for.
"""

import asyncio
from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Protocol

HEAD_S = 10.0  # from a head's first byte to its last, and from a connection to the end of its first head
# Clients keep connections for reuse; a server that closes first makes their next request fail. Load balancers keep idle
# connections 60 s (AWS ALB's default, 2026), so this is above it.
IDLE_S = 75.0
# A body may be behind its least rate by so much at any time: a second for each KiB that has not come.
BODY_BYTES_PER_S, BODY_BEHIND_S = 1024, 10.0
# And all of it must have come by then: 32 MiB at 0.9 Mbit/s. What was sent is in memory as long.
BODY_S = 300.0
_SWEEP_S = 0.5
# Closing one takes some 60 us of the loop: of thousands that are late together so many are closed in one turn, and a
# pause lets whoever else is served have theirs.
_CLOSED_AT_ONCE, _PAUSE_S = 16, 0.005
# How many of a line are asked whether they can give way: whoever fills it with such as cannot buys no time of ours.
_MOST_ASKED = 100

Line = dict["Waiting", float]
"""Connections by when they entered it, the earliest first."""


class Waiting(Protocol):
    """A connection as this module sees it."""

    line: Line | None  # where it stands now

    @property
    def is_at_rest(self) -> bool:
        """No answer is made or on its way to the client."""
        ...

    def idle_too_long(self) -> None: ...

    def head_too_late(self) -> None: ...

    def look_at_body(self, now_s: float, waited_s: float) -> None:
        """Called `waited_s` after the last time."""
        ...

    def give_way(self) -> None:
        """To a new connection, for which there is no room."""
        ...


class Deadlines:
    """The connections of one server that are waited for. `most` is how many connections there may be at once."""

    def __init__(self, *, most: int) -> None:
        self.most = most
        self.idle: Line = {}  # between two requests
        self.heads: Line = {}
        self.bodies: Line = {}
        self._timer: asyncio.TimerHandle | None = None
        self._swept_s = 0.0

    def enter(self, line: Line, connection: Waiting, loop: asyncio.AbstractEventLoop) -> None:
        """The connection is waited for in this line, and in no other."""
        before = connection.line
        if before is not None:
            del before[connection]
        connection.line = line
        line[connection] = loop.time()
        if self._timer is None:
            self._swept_s = loop.time()
            self._timer = loop.call_later(_SWEEP_S, self._sweep, loop)

    def make_room(self) -> bool:
        """Close whoever is idle longest, or else has kept us waiting for a head longest, or else has not taken the end
        of an answer for longest. False: there is nobody."""
        resting = (each for line in (self.idle, self.heads) for each in islice(line, _MOST_ASKED) if each.is_at_rest)
        connection = next(resting, None) or next(iter(self.idle), None)
        if connection is None:
            return False
        connection.give_way()
        return True

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        self._go_on(self._closing(now_s, now_s - self._swept_s), loop)
        self._swept_s = now_s

    def _go_on(self, closing: Iterator[None], loop: asyncio.AbstractEventLoop) -> None:
        closed = sum(1 for _ in islice(closing, _CLOSED_AT_ONCE))
        if closed == _CLOSED_AT_ONCE:
            self._timer = loop.call_later(_PAUSE_S, self._go_on, closing, loop)
        elif self.heads or self.idle or self.bodies:
            self._timer = loop.call_later(_SWEEP_S, self._sweep, loop)
        else:
            self._timer = None

    def _closing(self, now_s: float, waited_s: float) -> Iterator[None]:
        """Closes those that are too late, one for each step."""
        for connection in _since(self.heads, now_s - HEAD_S):
            connection.head_too_late()
            yield
        for connection in _since(self.idle, now_s - IDLE_S):
            connection.idle_too_long()
            yield
        for connection in tuple(self.bodies):
            if connection.line is self.bodies:
                connection.look_at_body(now_s, waited_s)
                if connection.line is not self.bodies:
                    yield


def _since(line: Line, latest_s: float) -> Iterator[Waiting]:
    """Who has entered it by then and is in it still; they may leave it on the way."""
    late = [connection for connection, _ in takewhile(lambda each: each[1] <= latest_s, line.items())]
    return (connection for connection in late if line.get(connection, latest_s + 1) <= latest_s)


def leave(connection: Waiting) -> None:
    """The connection is not waited for any more."""
    if connection.line is not None:
        del connection.line[connection]
        connection.line = None
