"""What is turned away while the process is asked for too much (limits/overload.py), and in which words.

`Door` answers before a request has been taken up, from its head alone: that costs a twentieth of what a request costs,
and so a process can turn away ten times what it can do. The key is checked first, always: whoever is not turned away
takes a place of his team's, and a stranger is told the same as ever, by the application, whether the process is busy or
not, and whether there is a key of that id or not. `overloaded` is the same answer as an error, for those turned away
later.
"""

import random
from collections.abc import Callable, Mapping
from typing import Protocol

import anyio
from starlette.types import Scope

from router.errors import Overloaded
from router.limits.overload import Overload
from router.limits.shares import Shed
from router.server.replies import Wording
from router.server.starting import Starts

_WAIT_S = {Shed.LOOP_LAG: (1.0, 3.0), Shed.UNDER_WAY: (1.0, 3.0), Shed.MEMORY: (2.0, 10.0)}
_WHAT = {
    Shed.LOOP_LAG: "More requests come than this instance can work off, and your team has had its share of them.",
    Shed.UNDER_WAY: "As many requests are under way as this instance bears, and your team has its share of them.",
    Shed.MEMORY: "This instance is short of memory.",
}
_MOST_READERS = 4  # threads that read long bodies; they take turns in the interpreter anyway
_ID = "0" * 26  # in the place of the request's name, where an answer tells it


class KnowsKeys(Protocol):
    def admit(self, scope: Scope) -> str | None:
        """The team that sends the request; None if nobody is let in with it. Its scope then says what was found."""
        ...


def overloaded(reason: Shed, chance: random.Random) -> Overloaded:
    """The error for a request that was not let in. Those who were turned away together do not come back together."""
    return Overloaded(f"{_WHAT[reason]} Ask again later, or another instance.", wait_s=chance.uniform(*_WAIT_S[reason]))


class Door:
    """Turns requests away that would not be let in, by their heads."""

    def __init__(
        self,
        overload: Overload,
        *,
        starts: Starts,
        keys: KnowsKeys,
        paths: Mapping[str, Wording],
        new_request_id: Callable[[], str],
        chance: random.Random,
    ) -> None:
        """`paths` are those of work that is turned away, and how answers below them are worded."""
        self._overload = overload
        self._starts = starts
        self._keys = keys
        self._answers = {(path, reason): _Answer(reason, wording) for path, wording in paths.items() for reason in Shed}
        self._paths = frozenset(paths)
        self._new_request_id = new_request_id
        self._chance = chance

    @property
    def is_guarded(self) -> bool:
        """Whether anybody may be turned away now, or waits to begin. False nearly always, and then nobody need be."""
        return self._overload.is_guarded or self._starts.waiting > 0

    def turned_away(self, scope: Scope, *, is_last: bool) -> bytes | None:
        """The whole answer to a request that is not let in; None if it may be.

        With `is_last` it says that the connection ends with it, which it may say in any case.
        """
        path: str = scope["path"]
        if path not in self._paths:
            return None
        team = self._keys.admit(scope)
        if team is None:
            return None
        reason = self._overload.turns_away(team)
        if reason is None:
            self._overload.promise(team)
            return None
        wait_s = self._chance.uniform(*_WAIT_S[reason])
        is_last = is_last or self._overload.is_short_of_memory
        return self._answers[path, reason].written(self._new_request_id(), wait_s=wait_s, is_last=is_last)

    def begin(self, scope: Scope, begin: Callable[[], None]) -> None:
        """Have a request begin that was not turned away: in its turn, if it is work."""
        if scope["path"] in self._paths:
            self._starts.begin(scope, begin)
        else:
            begin()


class _Answer:
    """An answer, but for the name of the request and the time to wait."""

    def __init__(self, reason: Shed, wording: Wording) -> None:
        error = Overloaded(f"{_WHAT[reason]} Ask again later, or another instance.", wait_s=_WAIT_S[reason][0])
        self._body = wording.error_body(error, _ID)
        self._names_request = _ID.encode() in self._body
        self._id_headers = [name + b": " for name in wording.request_id_headers]
        self._head = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nx-should-retry: true\r\n"

    def written(self, request_id: str, *, wait_s: float, is_last: bool) -> bytes:
        name = request_id.encode()
        body = self._body.replace(_ID.encode(), name) if self._names_request else self._body
        names = b"".join([each + name + b"\r\n" for each in self._id_headers])
        close = b"connection: close\r\n" if is_last else b""
        wait_ms = int(wait_s * 1000) + 1
        waits = b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (-(-wait_ms // 1000), wait_ms)
        return b"%b%b%b%bcontent-length: %d\r\n\r\n%b" % (self._head, waits, names, close, len(body), body)


class Room:
    """The room of one process for work that costs money."""

    def __init__(self, overload: Overload, chance: random.Random) -> None:
        self._overload = overload
        self._chance = chance
        self.leave = overload.leave
        self.readers = anyio.CapacityLimiter(_MOST_READERS)

    def enter(self, team: str) -> Overloaded | None:
        """Let a request of the team in, which then must `leave`; or why it is not let in."""
        reason = self._overload.enter(team)
        return None if reason is None else overloaded(reason, self._chance)
