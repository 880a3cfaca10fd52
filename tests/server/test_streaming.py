"""What is sent to one client when its request ends in more than one way at a time."""

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import anyio
import pytest
from starlette.types import Message

from router.errors import PenstockError, Unavailable
from router.gateway.exchange import Exchange
from router.gateway.idempotency import Idempotency
from router.keys import TeamName
from router.server.streaming import Client
from router.storage.sqlite import SqliteStore
from router.storage.store import AnswerStore, Claim, Claimed
from router.wire.dialect import InOpenAIsWords

pytestmark = pytest.mark.anyio

STOPPING = Unavailable("This instance is being stopped.")
DATA, DONE, ERROR = b"data: {}\n\n", b"data: [DONE]\n\n", b'data: {"error":{}}\n\n'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Answered:
    """An exchange whose answer is there."""

    client_is_gone = is_cut_off = has_ended = False
    body: bytes | None = None
    dialect, request_id = InOpenAIsWords(), "req_1"

    def __init__(self, while_it_opens: Callable[[], Awaitable[None]] | None = None) -> None:
        self._while_it_opens = while_it_opens

    async def open(self) -> None:
        if self._while_it_opens is not None:
            await self._while_it_opens()

    async def stream(self, _: Callable[[bytes], bool]) -> AsyncGenerator[bytes]:
        yield DATA
        self.has_ended = True
        yield DONE

    def error_event(self, _: PenstockError) -> bytes:
        return ERROR

    async def give_up(self) -> None:
        pass


class Wire:
    """What the client gets, one message when it is asked for one."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self._room = anyio.Semaphore(0)

    async def receive(self) -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(self, message: Message) -> None:
        await self._room.acquire()
        self.sent.append(message.get("body", b""))

    def take(self, messages: int) -> None:
        for _ in range(messages):
            self._room.release()


def client_of(exchange: Answered, wire: Wire) -> Client:
    return Client(cast("Exchange", exchange), wire.receive, wire.send, headers=lambda _: (), comment_every_s=10)


@pytest.mark.parametrize(("taken", "told"), [(1, [b"", DATA, ERROR, b""]), (2, [b"", DATA, DONE, b""])])
async def test_a_stream_that_is_cut_off_while_it_is_taken_slowly_ends_once(taken: int, told: list[bytes]) -> None:
    """After `[DONE]` there came an error event."""
    exchange, wire = Answered(), Wire()
    client = client_of(exchange, wire)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.relay)
        wire.take(taken)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(client.cut_off, STOPPING)
        await anyio.wait_all_tasks_blocked()
        wire.take(10)

    assert wire.sent == told
    assert exchange.is_cut_off is (ERROR in told)


@pytest.mark.parametrize("body", [None, b"{}"])
async def test_a_request_that_is_cut_off_in_the_moment_its_answer_comes_is_told_so_unless_it_has_all_of_it(
    body: bytes | None,
) -> None:
    """A stream went on, until its connection was closed without a word."""

    async def cut_off() -> None:
        await client.cut_off(STOPPING)

    exchange, wire = Answered(cut_off), Wire()
    exchange.body = body
    client = client_of(exchange, wire)

    assert await client.wait() is (body is not None)
    assert exchange.is_cut_off is (body is None)


async def test_a_client_that_had_hung_up_before_a_stop_was_not_cut_off() -> None:
    exchange = Answered()
    exchange.client_is_gone = True

    wire = Wire()
    wire.take(10)
    client = client_of(exchange, wire)
    await client.relay()
    await client.cut_off(STOPPING)

    assert not exchange.is_cut_off


async def test_the_key_of_a_request_that_failed_is_free_before_its_client_hears_of_it(tmp_path: Path) -> None:
    """Whoever asked again at once was told that the failed request was under way (409)."""
    with closing(SqliteStore(tmp_path / "penstock.sqlite")) as store:
        keys, team, heard = Idempotency(store, now=lambda: datetime(2026, 11, 30, tzinfo=UTC)), TeamName("search"), []

        async def ask_again(message: Message) -> None:
            if message["type"] == "http.response.start":
                async with keys.once(team, "order-20", b"tea", request_id="req_2") as again:
                    heard.append((message["status"], again.answer))

        async with keys.once(team, "order-20", b"tea", request_id="req_1") as once:
            exchange = cast("Exchange", Answered())
            client = Client(exchange, Wire().receive, ask_again, headers=lambda _: (), comment_every_s=10, once=once)
            await client.refuse(STOPPING)

    assert heard == [(503, None)]


async def test_a_store_that_does_not_answer_keeps_no_error_from_the_client() -> None:
    gone_on = threading.Event()

    class Silent:
        def claim_answer(self, claim: Claim, *, at: datetime, until: datetime) -> Claimed | None:
            return None

        def give_up_claim(self, claim: Claim) -> None:
            gone_on.wait(30)

    keys, told = Idempotency(cast("AnswerStore", Silent()), now=lambda: datetime(2026, 11, 30, tzinfo=UTC)), []

    async def tell(message: Message) -> None:
        told.append(message["type"])

    with anyio.fail_after(10):
        async with keys.once(TeamName("search"), "order-20", b"tea", request_id="req_1") as once:
            exchange = cast("Exchange", Answered())
            client = Client(exchange, Wire().receive, tell, headers=lambda _: (), comment_every_s=10, once=once)
            await client.refuse(STOPPING)
    gone_on.set()

    assert told == ["http.response.start", "http.response.body"]
