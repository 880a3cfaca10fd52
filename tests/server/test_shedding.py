"""What a client gets that is turned away at the door, on real connections, and what becomes of the connection."""

import asyncio
import itertools
import json
import random
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from router.errors import Overloaded
from router.keys import Caller, KeyId, TeamName
from router.limits.overload import Overload
from router.limits.shares import Shares, Shed
from router.server.auth import CALLER
from router.server.connections import GuardedConnection, ServerConfig
from router.server.deadlines import Deadlines
from router.server.replies import AS_OPENAI, send_json
from router.server.shedding import Door, Room, overloaded
from router.server.starting import Starts

pytestmark = pytest.mark.anyio

PATH = "/v1/chat/completions"
REQUEST_ID = "req_" + "a" * 22


class OneKey:
    """A key of team `noisy`, whose secret is right if it says so."""

    def admit(self, scope: Scope) -> TeamName | None:
        key = dict(scope["headers"])[b"authorization"]
        if b"noisy" not in key or b"wrong" in key:
            return None
        scope[CALLER] = Caller(TeamName("noisy"), KeyId("1"))
        return TeamName("noisy")


class Setup:
    """A server that bears seven requests of one team, and counts what reaches its application."""

    def __init__(self) -> None:
        self.starts = Starts(monotonic_s=time.monotonic)
        self.shares = Shares(most_under_way=8, weight_of=lambda _: 1.0, monotonic_s=lambda: 0.0)
        self.overload = Overload(
            self.shares,
            monotonic_s=lambda: 0.0,
            sleep=asyncio.sleep,
            starts=self.starts,
            busy=lambda: (0.0, 0.0),
            memory_share=lambda: 0.0,
            shed=lambda *_: None,
        )
        self.deadlines = Deadlines(most=100)
        self.reached: list[str] = []  # paths
        self.state = ServerState()
        self.port = 0

    @property
    def connections(self) -> list[GuardedConnection]:
        return [each for each in self.state.connections if isinstance(each, GuardedConnection)]

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await send_json(send, {"said": scope["path"]})

    def fill(self) -> None:
        while self.overload.enter("noisy") is None:
            pass

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        door = Door(
            self.overload,
            starts=self.starts,
            keys=OneKey(),
            paths={PATH: AS_OPENAI},
            new_request_id=lambda: REQUEST_ID,
            chance=random.Random(1),
        )
        config = ServerConfig(
            self.app,
            deadlines=self.deadlines,
            door=door,
            interface="asgi3",
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
        )
        config.load()
        loop, state = asyncio.get_running_loop(), self.state
        server = await loop.create_server(lambda: GuardedConnection(config, state, {}), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield
            for connection in tuple(state.connections):
                connection.transport.abort()
            while state.connections:  # noqa: ASYNC110 - uvicorn offers no event
                await asyncio.sleep(0)


def request(*, path: str = PATH, key: str = "Bearer noisy", body: bytes = b"{}", method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: h\r\nAuthorization: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head)
    assert length is not None
    return head, await reader.readexactly(int(length[1]))


async def test_a_request_that_is_turned_away_never_reaches_the_application_and_its_connection_is_kept() -> None:
    setup = Setup()
    async with setup.serving():
        setup.fill()
        async with connected(setup.port) as (reader, writer):
            writer.write(request(body=b'{"a": 1}'))
            head, body = await answer(reader)
            setup.overload.leave("noisy")
            writer.write(request(body=b'{"a": 2}'))
            second, _ = await answer(reader)

    assert head.startswith("HTTP/1.1 503 ")
    assert json.loads(body)["error"]["code"] == "overloaded"
    assert "x-should-retry: true\r\n" in head
    assert f"x-request-id: {REQUEST_ID}\r\n" in head
    assert 1 <= int(re.findall(r"retry-after: (\d+)", head)[0]) <= 4
    assert second.startswith("HTTP/1.1 200 ")
    assert len(setup.reached) == 1


async def test_a_connection_is_idle_once_the_rest_of_what_was_turned_away_has_come_and_late_until_then() -> None:
    setup = Setup()
    async with setup.serving():
        setup.fill()
        async with connected(setup.port) as (reader, writer):
            asked = request(body=b"x" * 1000)
            writer.write(asked[:-500])
            await answer(reader)
            waited_for_rest = len(setup.deadlines.bodies), len(setup.deadlines.idle)
            writer.write(asked[-500:] + request())
            await answer(reader)
            waited_for_next = len(setup.deadlines.bodies), len(setup.deadlines.idle)

    assert waited_for_rest == (1, 0)
    assert waited_for_next == (0, 1)


async def test_what_comes_behind_a_request_that_ends_its_connection_is_not_asked_about() -> None:
    setup = Setup()
    async with setup.serving():
        setup.fill()
        async with connected(setup.port) as (reader, writer):
            expecting = request().replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
            writer.write(expecting + request(path="/v1/feedback"))
            head, _ = await answer(reader)
            rest = await reader.read()

    assert "connection: close\r\n" in head
    assert rest == b""
    assert len(setup.reached) == 0


async def test_a_long_request_is_turned_away_before_its_body_has_come() -> None:
    setup = Setup()
    async with setup.serving():
        setup.fill()
        async with connected(setup.port) as (reader, writer):
            writer.write(request(body=b"x" * 100_000)[:500])
            head, _ = await answer(reader)

    assert head.startswith("HTTP/1.1 503 ")
    assert "connection: close\r\n" in head
    assert len(setup.reached) == 0


@pytest.mark.parametrize(
    "other",
    [
        request(path="/livez", method="GET"),
        request(path="/v1/feedback"),
        request(path=PATH, method="GET"),
        request(key="Bearer of nobody we know"),
        request(key="Bearer noisy but wrong"),
    ],
)
async def test_what_is_no_work_of_that_team_goes_its_way(other: bytes) -> None:
    setup = Setup()
    async with setup.serving():
        setup.fill()
        async with connected(setup.port) as (reader, writer):
            writer.write(other)
            head, _ = await answer(reader)

    assert head.startswith("HTTP/1.1 200 ")
    assert len(setup.reached) == 1


async def test_of_those_who_come_together_only_as_many_pass_as_there_is_room_for() -> None:
    setup = Setup()
    async with setup.serving():
        setup.fill()
        setup.overload.leave("noisy")
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(connected(setup.port)) for _ in range(5)]
            for _, writer in connections:
                writer.write(request())
            heads = [(await answer(reader))[0] for reader, _ in connections]

    assert sorted(head[9:12] for head in heads) == ["200", *["503"] * 4]


async def test_of_those_who_come_together_a_few_begin_in_each_turn_and_nobody_else_waits_for_them() -> None:
    setup = Setup()
    setup.shares.limit_under_way(1_000)
    async with setup.serving(), AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(setup.port)) for _ in range(13)]
        while len(setup.state.connections) < len(clients):  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0)
        *working, asking = setup.connections
        for each in working:  # all in one turn
            each.data_received(request())
        asking.data_received(request(path="/livez"))
        reached, health = [], None
        for turn in range(8):
            await asyncio.sleep(0)
            reached.append(setup.reached.count(PATH))
            health = turn if health is None and "/livez" in setup.reached else health
        answers = await asyncio.gather(*(answer(reader) for reader, _ in clients))

    assert [after - before for before, after in itertools.pairwise([0, *reached])].count(4) == 3
    assert max(reached) == 12
    assert health == 0
    assert {head.splitlines()[0] for head, _ in answers} == {"HTTP/1.1 200 OK"}


async def test_a_wrong_key_takes_nobodys_place() -> None:
    setup = Setup()
    async with setup.serving():
        setup.fill()
        setup.overload.leave("noisy")
        async with connected(setup.port) as (reader, writer):
            writer.write(request(key="Bearer noisy but wrong"))
            await answer(reader)
            writer.write(request())
            head, _ = await answer(reader)

    assert head.startswith("HTTP/1.1 200 ")


def test_those_who_are_turned_away_together_do_not_come_back_together() -> None:
    chance = random.Random(1)

    waits_s = [overloaded(Shed.LOOP_LAG, chance).retry_after_s or 0.0 for _ in range(100)]

    assert len(set(waits_s)) == 100
    assert 1.0 <= min(waits_s) < 1.2
    assert 2.8 < max(waits_s) <= 3.0


async def test_who_passes_the_door_and_finds_no_room_is_told_the_same() -> None:
    setup = Setup()
    room = Room(setup.overload, random.Random(1))
    setup.fill()

    refusal = room.enter("noisy")

    assert isinstance(refusal, Overloaded)
    assert refusal.status == 503
    assert refusal.should_retry
