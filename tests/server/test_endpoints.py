"""What is kept of a request that was refused, and what is told of one that was answered."""

import gc
import secrets
import sys
import time
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.assembly.house import assemble
from router.config.loader import load
from router.errors import InvalidRequest
from router.keys import TeamName, written
from router.server.endpoints import read_request
from router.server.listen import bound, port_of, serving
from router.server.starting import CAME_S
from router.wire.requests import ChatReader
from tests.server.asgi import body_in_parts, call, get, scope_of
from tests.server.configured import configured
from tests.torture.lying_upstream import lying_upstream

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


async def test_what_a_request_has_waited_for_its_turn_to_begin_is_told_as_ours(tmp_path: Path) -> None:
    with lying_upstream(0) as upstream:
        environment = {"STATE_DIRECTORY": str(tmp_path), "OPENROUTER_API_KEY": "sk-or-t"}
        house = assemble(load(configured(tmp_path, upstream.port), environment=environment))
        key = written(house.keys.lend(TeamName("search"), secrets.token_bytes))
        scope = scope_of("/v1/chat/completions", method="POST", headers=[("authorization", f"Bearer {key}")])
        scope[CAME_S] = time.monotonic() - 60.0
        body = b'{"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "Hm?"}]}'

        data = bound("127.0.0.1", 0)
        async with serving(house.data, data), httpx2.AsyncClient() as client:
            await client.get(f"http://127.0.0.1:{port_of(data)}/livez")  # answered once it has started
            answer = await call(house.data, scope, body_in_parts(body))
            told = (await get(house.admin, "/metrics")).body.decode()
    sums = {
        sample.name: sample.value
        for family in text_string_to_metric_families(told)
        for sample in family.samples
        if sample.name.endswith("_seconds_sum")
    }
    assert answer.status == 200
    assert 60 <= sums["penstock_overhead_seconds_sum"] < 65
    assert 60 <= sums["penstock_request_duration_seconds_sum"] < 65
