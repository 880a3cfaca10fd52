"""How late the event loop is: what every request waits for that is not its own."""

from collections import deque
from collections.abc import Awaitable, Callable

TICK_S = 0.5
_TICKS = 30  # 15 s: a scrape every quarter of a minute misses no pause


class LoopLag:
    """Wakes up twice a second and sees how late it is. To be run beside the requests."""

    def __init__(
        self,
        *,
        monotonic_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        beat: Callable[[], None],
    ) -> None:
        """`beat` is called at every tick."""
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._beat = beat
        self._late_s: deque[float] = deque([0.0], maxlen=_TICKS)

    def worst_s(self) -> float:
        """The longest delay of the last 15 seconds."""
        return max(self._late_s)

    async def run(self) -> None:
        while True:
            due_s = self._monotonic_s() + TICK_S
            await self._sleep(TICK_S)
            self._late_s.append(max(0.0, self._monotonic_s() - due_s))
            self._beat()
