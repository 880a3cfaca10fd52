"""When a process welcomes requests: from the end of its start until it is told to stop."""

import anyio
import pytest

from router.server.life import Life

pytestmark = pytest.mark.anyio


async def test_requests_are_welcome_between_the_start_and_the_word_to_stop() -> None:
    done: list[str] = []
    seen: list[bool] = []

    async def start() -> None:
        seen.append(life.is_ready)
        done.append("start")

    async def end() -> None:
        done.append("end")

    life = Life(starting=[start], beside=[], stopping=[end])
    async with life.lived(None):
        seen.append(life.is_ready)
        life.stop()
        seen.append(life.is_ready)
        assert life.is_stopping

    assert seen == [False, True, False]
    assert done == ["start", "end"]


async def test_a_process_that_is_told_to_stop_while_it_starts_never_welcomes_requests() -> None:
    life = Life(starting=[], beside=[], stopping=[])
    life.stop()

    async with life.lived(None):
        assert not life.is_ready


async def test_requests_are_welcome_once_what_runs_beside_has_let_the_start_settle() -> None:
    begun = anyio.Event()
    seen: list[str] = []

    async def settle() -> None:
        await begun.wait()
        seen.append(f"settled, {life.is_ready}")

    async def run() -> None:
        seen.append("runs")
        begun.set()

    life = Life(starting=[], beside=[run], settling=[settle], stopping=[])
    async with life.lived(None):
        seen.append(f"lives, {life.is_ready}")

    assert seen == ["runs", "settled, False", "lives, True"]
