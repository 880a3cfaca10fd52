"""What is kept of a request that was refused."""

import gc
import sys

import anyio
import anyio.to_thread
import pytest

from router.errors import InvalidRequest
from router.server.endpoints import read_request
from router.wire.requests import ChatReader

pytestmark = pytest.mark.anyio


async def test_a_long_body_that_is_refused_is_let_go_of_at_once() -> None:
    """Megabytes stayed in a circle of frames until the garbage was collected."""
    body = b'{"a":1,"a":2,"text":"' + b"x" * 1_000_000 + b'"}'
    before = sys.getrefcount(body)
    gc.disable()
    try:
        assert await is_refused(body)
        await anyio.to_thread.run_sync(int)  # the thread has put it out of its hands as well

        assert sys.getrefcount(body) == before
    finally:
        gc.enable()


async def is_refused(body: bytes) -> bool:
    try:
        await read_request(ChatReader(), body, anyio.CapacityLimiter(1))
    except InvalidRequest:
        return True
    return False
