"""Whether Redis can be asked: who finds out that it cannot, who opens the way again, and what is said meanwhile."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from router.assembly.with_redis import redis_client
from router.errors import Unavailable
from router.limits.asking import NoAnswer
from router.limits.functions import BudgetFunctions
from router.limits.link import Link
from tests.limits.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def away(tmp_path: Path) -> AsyncIterator[Link]:
    """To a Redis that is not there."""
    functions = BudgetFunctions(redis_client(f"unix://{tmp_path}/nobody.sock"))
    yield Link(functions, monotonic_s=lambda: 5.0)
    await functions.aclose()


def opened(link: Link) -> Link:
    link.epoch, link.is_open = "e1", True
    return link


async def is_woken(link: Link) -> bool:
    """Whether the background would begin its next round at once."""
    with anyio.move_on_after(0.01) as patience:
        await link.wait(60.0)
    return not patience.cancelled_caught


async def test_a_new_link_is_closed_and_was_never_heard_of(away: Link) -> None:
    assert (away.epoch, away.is_open, away.is_answered, away.heard_s) == (None, False, False, float("-inf"))
    assert not await is_woken(away)


async def test_nothing_is_asked_before_an_epoch_is_known_and_open(away: Link) -> None:
    away.is_open = True
    with pytest.raises(Unavailable):
        away.require_open()
    away.epoch, away.is_open = "e1", False
    with pytest.raises(Unavailable) as refusal:
        away.require_open()
    assert refusal.value.message == (
        "Budgets and limits cannot be checked now, so nothing that has any is let through. Try again soon."
    )

    away.is_open = True

    assert away.require_open() == "e1"


async def test_whoever_gets_no_answer_closes_the_link_wakes_the_background_and_says_so_once(
    away: Link, caplog: pytest.LogCaptureFixture
) -> None:
    opened(away)

    for _ in range(2):
        with pytest.raises(Unavailable) as refusal:
            await away.ask("beat", "p1", 1)
        assert isinstance(refusal.value.__cause__, NoAnswer)

    assert away.is_open is False
    assert away.epoch == "e1"  # it may be the same when Redis is back
    assert await is_woken(away)
    (said,) = caplog.record_tuples
    assert said[:2] == ("penstock.redis", logging.WARNING)
    assert said[2].startswith("Redis does not answer, so budgets and limits cannot be checked: beat: ")


async def test_a_link_whose_epoch_was_given_up_meanwhile_is_not_opened(away: Link) -> None:
    """A process once hung for good: open, and with no epoch to deliver anything in."""
    away.is_answered = True
    away.lost(NoAnswer("a call from before, given up while the background attached again"))

    away.opened("e1", 7.0)

    assert (away.is_open, away.epoch) == (False, None)


async def test_a_redis_that_was_never_there_is_said_to_be_away_once_and_to_be_back_once(
    away: Link, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        away.lost(NoAnswer("beat: refused"))
    for asked_s in (1.0, 2.0):
        away.epoch = "e1"
        away.opened("e1", asked_s)

    assert (away.is_open, away.heard_s) == (True, 2.0)
    assert caplog.messages == [
        "Redis does not answer, so budgets and limits cannot be checked: beat: refused",
        "Redis answers again, and its counters are right: budgets and limits are checked",
    ]


async def test_a_redis_that_is_there_from_the_start_is_not_worth_a_word(
    away: Link, caplog: pytest.LogCaptureFixture
) -> None:
    away.opened("e1", 1.0)

    assert caplog.messages == []


async def test_what_redis_answers_is_handed_on(clocked_redis: RedisServer) -> None:
    functions = BudgetFunctions(redis_client(clocked_redis.url), root="{link}")
    link = opened(Link(functions, monotonic_s=lambda: 5.0))

    reply = await link.ask("begin", "p1", "e1", 0, 1_000)

    assert reply == await functions.call("begin", "p1", "e1", 0, 1_000)
    assert link.is_open
    assert not await is_woken(link)
    await functions.aclose()


async def test_a_redis_that_knows_another_epoch_is_attached_to_again_in_the_background(away: Link) -> None:
    opened(away)

    assert isinstance(away.attach_again(), Unavailable)

    assert away.is_open is False
    assert await is_woken(away)


async def test_what_was_given_in_an_epoch_that_has_ended_is_registered_again(away: Link) -> None:
    opened(away).register_again_if_changed("e1")
    assert (away.epoch, away.is_open) == ("e1", True)

    away.register_again_if_changed("e0")

    assert (away.epoch, away.is_open) == (None, False)
    assert await is_woken(away)


async def test_the_background_sleeps_until_it_is_woken_and_not_longer_than_it_wants(away: Link) -> None:
    await away.wait(0.001)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(away.wait, 60.0)
        await anyio.lowlevel.checkpoint()
        away.wake()
    assert not await is_woken(away)
