"""Requests that were let in while there is not enough for all, and their turn to begin: `Starts`.

Whoever is turned away waits for the turn of the event loop that his request comes in. A request that begins is most of
a millisecond of that turn: where twenty come at once, of which six are let in, these six made the other fourteen wait
for them, and whoever came meanwhile made the next turn longer still. So only a few begin in each turn.
"""

import asyncio
from collections import deque
from collections.abc import Callable

_AT_ONCE = 4  # in one turn of the loop, which then takes some 4 ms


class Starts:
    """Of one process. To be used on its event loop."""

    def __init__(self, *, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()

    def later(self, begin: Callable[[], None]) -> None:
        """Have a request begin, after those that wait already."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._some)
        self._waiting.append((self._monotonic_s(), begin))

    def waited_s(self) -> float:
        """How long the one has waited that is to begin next; 0: nobody waits."""
        return self._monotonic_s() - self._waiting[0][0] if self._waiting else 0.0

    def _some(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(min(len(self._waiting), _AT_ONCE)):
            _, begin = self._waiting.popleft()
            loop.call_soon(begin)
        if self._waiting:
            loop.call_soon(self._some)
