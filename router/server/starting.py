"""The turn of a request to begin: `Starts`.

Whoever asks for something waits for the turn of the event loop that he comes in, also if he only asks for the health of
the process, or is turned away. A request that begins is most of a millisecond of that turn. Of hundreds that came at
once all began in one turn, which took as long as all of them, and whoever came meanwhile made the next turn longer
still. So a few begin in each turn, and the others wait here.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.types import Scope

CAME_S = "penstock.came_s"  # where the time at which a request came that waited stands in its ASGI scope

_AT_ONCE = 4  # in one turn of the loop, which then takes some 4 ms


class Starts:
    """Of one process. To be used on its event loop."""

    def __init__(self, *, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._begun = 0  # in this turn
        self._is_turn_due = False

    def begin(self, scope: Scope, begin: Callable[[], None]) -> None:
        """Have a request begin: at once, or in a later turn if that many have begun in this one or others wait."""
        if self._begun < _AT_ONCE and not self._waiting:
            self._begun += 1
            begin()
        else:
            now_s = scope[CAME_S] = self._monotonic_s()
            self._waiting.append((now_s, begin))
        if not self._is_turn_due:
            self._is_turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    @property
    def waiting(self) -> int:
        """How many wait to begin."""
        return len(self._waiting)

    def waited_s(self) -> float:
        """How long the one has waited that is to begin next; 0: nobody waits."""
        return self._monotonic_s() - self._waiting[0][0] if self._waiting else 0.0

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._begun = min(len(self._waiting), _AT_ONCE)
        for _ in range(self._begun):
            _, begin = self._waiting.popleft()
            loop.call_soon(begin)
        self._is_turn_due = self._begun > 0
        if self._is_turn_due:
            loop.call_soon(self._turn)
