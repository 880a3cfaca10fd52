"""Where cached answers lie: what is put is found until its time, or until others need the room; outages are misses."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from router.assembly.with_redis import redis_client
from router.storage.answer_shelves import MemoryShelf
from router.storage.shared_shelf import RedisShelf
from tests.limits.redis_server import RedisServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_memory_gives_an_answer_until_its_time(clock: Clock) -> None:
    shelf = MemoryShelf(monotonic_s=clock)

    await shelf.put(b"key", b"answer", ttl_s=10)
    clock.now_s += 9.9
    assert await shelf.get(b"key") == b"answer"
    clock.now_s += 0.1

    assert await shelf.get(b"key") is None
    assert await shelf.get(b"another") is None


async def test_memory_keeps_what_was_asked_for_last(clock: Clock) -> None:
    shelf = MemoryShelf(monotonic_s=clock, most_bytes=30)
    for key in (b"a", b"b", b"c"):
        await shelf.put(key, key * 10, ttl_s=10)
    await shelf.get(b"a")

    await shelf.put(b"d", b"d" * 10, ttl_s=10)
    await shelf.put(b"huge", b"h" * 31, ttl_s=10)
    await shelf.put(b"a", b"a" * 9, ttl_s=10)

    found = [await shelf.get(key) for key in (b"a", b"b", b"c", b"d", b"huge")]
    assert found == [b"a" * 9, None, b"c" * 10, b"d" * 10, None]


@pytest.fixture
async def redis(tmp_path: Path, clock: Clock) -> AsyncIterator[tuple[RedisServer, RedisShelf]]:
    with closing(RedisServer(tmp_path)) as server:
        server.start()
        shelf = RedisShelf(redis_client(server.url, is_text=False), root="test", monotonic_s=clock)
        yield server, shelf
        await shelf.aclose()


async def test_redis_gives_bytes_as_they_were_put_until_their_time(
    redis: tuple[RedisServer, RedisShelf], clock: Clock
) -> None:
    _, shelf = redis
    content = bytes(range(256))

    await shelf.put(b"\0\xff", content, ttl_s=3600)
    await shelf.put(b"short", content, ttl_s=0.0001)

    assert await shelf.get(b"\0\xff") == content
    assert await shelf.get(b"another") is None


async def test_without_redis_nothing_is_found_nothing_raised_and_it_is_asked_again_after_a_rest(
    redis: tuple[RedisServer, RedisShelf], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, shelf = redis
    await shelf.put(b"key", b"answer", ttl_s=3600)
    server.kill()

    assert await shelf.get(b"key") is None
    await shelf.put(b"key", b"lost", ttl_s=3600)
    server.start()
    assert await shelf.get(b"key") is None  # it is left alone for a second
    clock.now_s += 1.0
    await shelf.put(b"key", b"new", ttl_s=3600)

    assert await shelf.get(b"key") == b"new"
    assert [record.message.partition(" for ")[0] for record in caplog.records] == [
        "Redis does not answer",
        "Redis answers again",
    ]
