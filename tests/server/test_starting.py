"""Whose turn it is to begin, on a real event loop."""

import asyncio

import pytest
from starlette.types import Scope

from router.server.starting import CAME_S, Starts

pytestmark = pytest.mark.anyio


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_few_begin_in_each_turn_of_the_loop_in_the_order_in_which_they_came() -> None:
    starts, begun, so_far = Starts(monotonic_s=Clock()), list[int](), list[tuple[int, int]]()
    for number in range(11):
        starts.begin({}, lambda number=number: begun.append(number))  # type: ignore[misc]
    for _ in range(4):
        so_far.append((len(begun), starts.waiting))
        await asyncio.sleep(0)

    assert so_far == [(4, 7), (4, 3), (8, 0), (11, 0)]
    assert begun == list(range(11))


async def test_who_comes_one_at_a_time_begins_at_once() -> None:
    starts, begun = Starts(monotonic_s=Clock()), list[int]()
    for number in range(20):
        starts.begin({}, lambda number=number: begun.append(number))  # type: ignore[misc]
        assert begun[-1] == number
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_who_comes_while_others_wait_begins_behind_them_and_nobody_is_left() -> None:
    starts, begun = Starts(monotonic_s=Clock()), list[str]()

    def first() -> None:
        begun.append("first")
        starts.begin({}, lambda: begun.append("last"))

    for _ in range(4):
        starts.begin({}, lambda: None)
    starts.begin({}, first)
    for _ in range(4):
        starts.begin({}, lambda: begun.append("second"))
    for _ in range(6):
        await asyncio.sleep(0)

    assert begun == ["first", *["second"] * 4, "last"]
    assert starts.waiting == 0


async def test_one_that_fails_to_begin_leaves_the_others_their_turn() -> None:
    starts, begun, told = Starts(monotonic_s=Clock()), list[int](), list[str]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))

    def fails() -> None:
        raise RuntimeError("it cannot")

    for _ in range(4):
        starts.begin({}, lambda: None)
    starts.begin({}, fails)
    with pytest.raises(RuntimeError):
        Starts(monotonic_s=Clock()).begin({}, fails)  # whoever has it begin at once hears of it himself
    for number in range(5):
        starts.begin({}, lambda number=number: begun.append(number))  # type: ignore[misc]
    for _ in range(4):
        await asyncio.sleep(0)

    assert begun == list(range(5))
    assert told == ["it cannot"]


async def test_how_long_the_next_has_waited_is_told() -> None:
    clock = Clock()
    starts = Starts(monotonic_s=clock)
    for _ in range(4):
        starts.begin({}, lambda: None)
    assert starts.waited_s() == 0

    scopes: list[Scope] = [{} for _ in range(5)]
    clock.now_s = 1.0
    for scope in scopes:
        starts.begin(scope, lambda: None)
    assert {scope[CAME_S] for scope in scopes} == {1.0}
    clock.now_s = 1.25
    starts.begin({}, lambda: None)
    assert starts.waited_s() == 0.25

    await asyncio.sleep(0)
    clock.now_s = 1.5
    assert starts.waited_s() == 0.5  # one that came with the first

    await asyncio.sleep(0)
    assert starts.waited_s() == 0
