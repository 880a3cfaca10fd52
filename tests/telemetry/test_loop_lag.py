"""How late the event loop is, is seen by who asks within a quarter of a minute."""

import anyio
import pytest

from router.telemetry.loop_lag import LoopLag

pytestmark = pytest.mark.anyio


class Loop:
    """A clock whose sleeper wakes up as late as is told beforehand, and in the end never."""

    def __init__(self, *late_s: float) -> None:
        self.now_s = 100.0
        self.beats = 0
        self._late_s = list(late_s)

    async def sleep(self, seconds: float) -> None:
        if not self._late_s:
            await anyio.sleep_forever()
        self.now_s += seconds + self._late_s.pop(0)

    def beat(self) -> None:
        self.beats += 1


async def lag_after(*late_s: float) -> tuple[float, int]:
    loop = Loop(*late_s)
    lag = LoopLag(monotonic_s=lambda: loop.now_s, sleep=loop.sleep, beat=loop.beat)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lag.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    return round(lag.worst_s(), 6), loop.beats


async def test_the_worst_of_the_last_fifteen_seconds_is_told() -> None:
    assert await lag_after() == (0, 0)
    assert await lag_after(0.001, 0.25, 0.002) == (0.25, 3)
    assert await lag_after(0.25, *[0.001] * 29) == (0.25, 30)
    assert await lag_after(0.25, *[0.001] * 30) == (0.001, 31)


async def test_a_clock_that_wakes_up_early_is_no_lag() -> None:
    assert await lag_after(-0.1) == (0, 1)
