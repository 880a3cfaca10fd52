"""Who waits until his team has fewer requests under way, and who does not."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import anyio
import pytest

from router.limits.gate import Admission, Quota, Scope, TooManyUnderWay
from router.limits.memory import MemoryGate
from router.limits.queues import Queues
from router.quotas import Limits, ScopeId
from tests.limits.clock import MovableClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def queues() -> Queues:
    clock = MovableClock(datetime(2026, 11, 23, 9, 30, tzinfo=UTC))
    return Queues(MemoryGate(now=clock.now, monotonic_s=clock.monotonic_s))


def quota(*, queue: int, queue_s: float = 5.0) -> Quota:
    limits = Limits(concurrent=1, queue=queue, queue_s=queue_s)
    return Quota((Scope(ScopeId.of_team("search"), (), limits),), ZoneInfo("UTC"))


async def test_without_a_queue_a_request_is_refused_at_once(queues: Queues) -> None:
    await queues.admit(quota(queue=0), tokens=1)

    with pytest.raises(TooManyUnderWay):
        await queues.admit(quota(queue=0), tokens=1)


async def test_who_waits_is_let_in_in_the_order_in_which_they_came(queues: Queues) -> None:
    first = await queues.admit(quota(queue=3), tokens=1)
    order: list[int] = []

    async def wait(number: int) -> None:
        admission = await queues.admit(quota(queue=3), tokens=1)
        order.append(number)
        await queues.leave(admission, tokens=1)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(wait, number)
            await anyio.wait_all_tasks_blocked()
        assert queues.waiting == 3
        with pytest.raises(TooManyUnderWay):  # the queue is full
            await queues.admit(quota(queue=3), tokens=1)
        await queues.leave(first, tokens=1)

    assert order == [0, 1, 2]
    assert queues.waiting == 0


async def test_nobody_overtakes_who_waits(queues: Queues) -> None:
    admissions = [await queues.admit(quota(queue=2), tokens=1)]
    order: list[str] = []

    async def come(name: str) -> None:
        admissions.append(await queues.admit(quota(queue=2), tokens=1))
        order.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(come, "waits")
        await anyio.wait_all_tasks_blocked()
        leaving: Admission = admissions[0]
        await queues.leave(leaving, tokens=1)  # there is room, and somebody was before
        tasks.start_soon(come, "comes")
        await anyio.wait_all_tasks_blocked()
        assert order == ["waits"]
        await queues.leave(admissions[1], tokens=1)

    assert order == ["waits", "comes"]


async def test_who_has_waited_long_enough_is_refused(queues: Queues) -> None:
    await queues.admit(quota(queue=1), tokens=1)

    with pytest.raises(TooManyUnderWay, match="may have 1"):
        await queues.admit(quota(queue=1, queue_s=0.01), tokens=1)

    assert queues.waiting == 0


async def test_who_hangs_up_leaves_his_place(queues: Queues) -> None:
    admission = await queues.admit(quota(queue=1), tokens=1)
    with anyio.move_on_after(0.01):
        await queues.admit(quota(queue=1), tokens=1)

    await queues.leave(admission, tokens=1)

    assert queues.waiting == 0
    await queues.admit(quota(queue=1), tokens=1)  # raises nothing
