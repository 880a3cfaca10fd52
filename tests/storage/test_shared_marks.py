"""Processes share what they have seen of prompt caches through Redis, and nothing of it can fail or delay a request."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import anyio
import pytest

from router.assembly.with_redis import redis_client
from router.catalog.catalog import DeploymentId
from router.learning.warmth import Warmth
from router.storage.shared_marks import RedisMarks
from tests.learning.moments import ALL, GPT, answered, at, prompt
from tests.limits.redis_server import RedisServer

FLASH = DeploymentId("openrouter:deepseek/flash")
OTHER = DeploymentId("openrouter:openai/gpt")

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.close()


@asynccontextmanager
async def marks_on(server: RedisServer, monotonic_s: Callable[[], float] = monotonic) -> AsyncIterator[RedisMarks]:
    marks = RedisMarks(redis_client(server.url), root="{test}", monotonic_s=monotonic_s)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(marks.run)
            yield marks
            tasks.cancel_scope.cancel()
    finally:
        await marks.aclose()


async def written(marks: RedisMarks, digests: Sequence[int]) -> list[tuple[int, tuple[DeploymentId, float, str]]]:
    """What is known of the marks as soon as anything is."""
    with anyio.fail_after(5):
        while not (seen := await marks.seen(digests)):  # noqa: ASYNC110 - another connection's write is waited for
            await anyio.sleep(0.01)
    return sorted(seen)


async def test_what_one_process_has_seen_another_knows(server: RedisServer) -> None:
    async with marks_on(server) as one, marks_on(server) as other:
        one.put([1, 2**64 - 1], FLASH, at_s=1_000.25, ended="code", keep_s=60)

        assert await written(other, [2**64 - 1, 1, 5]) == [
            (1, (FLASH, 1_000.25, "")),
            (2**64 - 1, (FLASH, 1_000.25, "code")),
        ]


async def test_the_latest_sighting_of_each_deployment_counts_in_whatever_order_they_are_written(
    server: RedisServer,
) -> None:
    async with marks_on(server) as marks:
        for at_s, deployment in ((20.0, FLASH), (10.0, FLASH), (5.0, OTHER)):
            marks.put([1], deployment, at_s=at_s, ended="chat", keep_s=60)
        await written(marks, [1])

        assert sorted(await marks.seen([1])) == [(1, (FLASH, 20.0, "chat")), (1, (OTHER, 5.0, "chat"))]


async def test_marks_expire_by_themselves_and_a_shorter_life_does_not_cut_a_longer_one(server: RedisServer) -> None:
    async with marks_on(server) as marks:
        marks.put([1], FLASH, at_s=10.0, ended="", keep_s=600)
        marks.put([1], FLASH, at_s=20.0, ended="", keep_s=60)
        await written(marks, [1])

        (key,) = server.client.keys("*")
        assert key == "{test}:warm:0000000000000001"
        assert 590_000 < int(server.client.pttl(key)) <= 600_000


async def test_a_turn_that_goes_to_another_replica_finds_its_prompt_warm(server: RedisServer) -> None:
    first, second = prompt(2_000), prompt(2_000, 2_200, 2_500)
    async with marks_on(server) as shared, marks_on(server) as also_shared:
        one, other = Warmth(ALL, shared=shared), Warmth(ALL, shared=also_shared)
        one.observe(answered(first, GPT))
        await written(also_shared, [first.prefix[-1].digest])

        foreseen = await other.outlook(second, at(60), [GPT])

    assert foreseen.warm_tokens == {GPT.id: 15 * 128}


async def test_a_redis_that_hangs_is_given_up_and_then_left_alone_for_a_second(server: RedisServer) -> None:
    now_s = 0.0
    async with marks_on(server, lambda: now_s) as marks:
        marks.put([1], FLASH, at_s=10.0, ended="", keep_s=600)
        known = await written(marks, [1])
        server.freeze()
        try:
            with anyio.fail_after(1):
                assert await marks.seen([1]) == []
        finally:
            server.thaw()

        now_s = 0.999
        assert await marks.seen([1]) == []
        now_s = 1.0
        assert await written(marks, [1]) == known


async def test_without_redis_everything_is_unknown_and_nothing_fails(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with marks_on(server) as marks:
        server.kill()
        marks.put([1], FLASH, at_s=10.0, ended="", keep_s=600)

        assert await marks.seen([1]) == []
        assert await marks.seen([]) == []
        server.start()
        with anyio.fail_after(10):
            while not await marks.seen([2]):
                marks.put([2], FLASH, at_s=20.0, ended="", keep_s=600)
                await anyio.sleep(0.1)

    assert [record.message.partition(" for")[0] for record in caplog.records] == [
        "Redis does not answer",
        "Redis answers again",
    ]
