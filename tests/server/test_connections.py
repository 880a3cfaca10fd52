"""What goes over the wire is what uvicorn's own cycle would have sent, and a head that is no head is never sent."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from router.server.answering import SEND_NOW
from router.server.connections import GuardedConnection, ServerConfig
from router.server.deadlines import Deadlines

START = "http.response.start"
BODY = "http.response.body"
GET = b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n"


class Socket:
    """A transport that remembers what was written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        if not self.is_closed:
            self.writes.append(data)

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, _: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, *, high: int, low: int) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


def saying(messages: Sequence[Message], raised: list[str], *, now: Sequence[bytes] = ()) -> ASGIApp:
    """Sends the messages, and says which was refused."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            try:
                await send(message)
            except RuntimeError:
                raised.append(message["type"])
                raise
        raised.extend([str(scope[SEND_NOW](piece)) for piece in now])

    return app


def connected(kind: type[HttpToolsProtocol], app: ASGIApp, state: ServerState, socket: Socket) -> HttpToolsProtocol:
    config = ServerConfig(
        app, deadlines=Deadlines(most=10), lifespan="off", ws="none", access_log=False, log_config=None
    )
    config.load()
    connection = kind(config=config, server_state=state, app_state={})
    connection.connection_made(cast("Any", socket))
    return connection


async def answered(kind: type[HttpToolsProtocol], app: ASGIApp, request: bytes) -> Socket:
    """What a connection of that kind sends of the application's answers."""
    state, socket = ServerState(), Socket()
    connection = connected(kind, app, state, socket)
    connection.data_received(request)
    while state.tasks:
        await asyncio.gather(*state.tasks)
    connection.connection_lost(None)
    return socket


async def both(messages: Sequence[Message], request: bytes) -> tuple[Socket, Socket]:
    sockets = []
    said: list[list[str]] = []
    for kind in (HttpToolsProtocol, GuardedConnection):
        said.append([])
        sockets.append(await answered(kind, saying(messages, said[-1]), request))
    usual, ours = said
    # A request whose connection is closed already is told so by ours, and what it says goes nowhere without a mistake.
    assert ours == usual or (sockets[1].is_closed and ours == usual[: len(ours)])
    return sockets[0], sockets[1]


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": START, "status": status, "headers": list(headers)}


def body(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": BODY, "body": data, "more_body": more}


HEADERS = [
    (b"content-type", b"text/plain"),
    (b"Content-Length", b"4"),
    (b"content-length", b"0"),
    (b"transfer-encoding", b"chunked"),
    (b"connection", b"close"),
    (b"connection", b"keep-alive, Close"),
    (b"x", b"tab\tand caf\xe9"),
]
REQUESTS = [
    GET,
    GET * 3,
    GET.replace(b"GET", b"HEAD"),
    GET.replace(b"1.1", b"1.0"),
    GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"),
    b"POST /x HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi",
]
MESSAGES = st.lists(
    st.builds(start, *[st.sampled_from(HEADERS)] * 2, status=st.sampled_from([200, 204, 304, 404]))
    | st.builds(body, st.sampled_from([b"", b"four", b"x" * 100_000]), more=st.booleans()),
    max_size=4,
)


@given(st.builds(start, st.sampled_from(HEADERS), st.sampled_from(HEADERS)), MESSAGES, st.sampled_from(REQUESTS))
@example(start(), [body(b"four", more=True), body(b"four")], GET)
@example(start(HEADERS[1]), [body(b"four")], GET)
@example(start(HEADERS[1]), [body(b"four")], REQUESTS[2])
@example(start(HEADERS[0]), [body(b"four")], REQUESTS[2])
@example(start(status=204), [body()], GET)
@example(start(), [body(b"four")], REQUESTS[3])
@example(start(), [body(b"four")], REQUESTS[5])
@example(start(HEADERS[4]), [body(b"four")], GET * 3)
def test_whatever_an_application_sends_leaves_as_uvicorn_would_have_sent_it(
    first: Message, rest: list[Message], request: bytes
) -> None:
    usual, ours = asyncio.run(both([first, *rest], request))

    assert ours.is_closed == usual.is_closed
    told, meant = b"".join(ours.writes), b"".join(usual.writes)
    assert told == meant or meant.startswith(told)
    if told != meant:  # an answer that was wrong is closed without its head, and never with more than uvicorn's
        assert usual.is_closed


BAD = [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"\0", b"\x7f", b"a\r\n\r\nbody"]


@pytest.mark.parametrize("header", [*((b"x", bad) for bad in BAD), *((bad, b"x") for bad in [*BAD, b"a:b", b"a b"])])
def test_a_header_that_would_be_more_than_one_line_is_never_sent(header: tuple[bytes, bytes]) -> None:
    usual, ours = asyncio.run(both([start(header), body(b"four")], GET))

    assert ours.writes == usual.writes == []
    assert ours.is_closed


def test_a_whole_answer_is_one_write() -> None:
    _, ours = asyncio.run(both([start((b"content-length", b"4")), body(b"four")], GET))

    assert len(ours.writes) == 1


def test_a_piece_is_sent_at_once_only_between_the_head_and_the_end() -> None:
    """And never of an answer whose length was told: nobody would count."""

    def sent(*messages: Message) -> tuple[list[str], bytes]:
        said: list[str] = []
        app = saying(messages, said, now=[b"now"])
        return said, b"".join(asyncio.run(answered(GuardedConnection, app, GET)).writes)

    assert sent(start(), body(b"a", more=True)) == (["True"], sent(start(), body(b"a", more=True))[1])
    assert sent(start(), body(b"a", more=True))[1].endswith(b"1\r\na\r\n3\r\nnow\r\n")
    assert sent(start())[0] == ["False"]
    assert sent(start((b"content-length", b"4")), body(b"a", more=True))[0] == ["False"]


HEAD_OF_A_POST = b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "is_closed"),
    [
        (GET, False),
        (HEAD_OF_A_POST + b"{}", False),
        (HEAD_OF_A_POST + b"{", True),
        (HEAD_OF_A_POST, True),
        (HEAD_OF_A_POST.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"), True),
    ],
)
def test_a_connection_whose_request_was_answered_before_its_end_is_not_used_for_another(
    request_: bytes, *, is_closed: bool
) -> None:
    """HAProxy does not send the rest any more, and the next request's head would be taken for it."""

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start((b"content-length", b"0"), status=401))
        await send(body())

    socket = asyncio.run(answered(GuardedConnection, refusing, request_))

    assert (b"connection: close" in b"".join(socket.writes)) == is_closed


@pytest.mark.anyio
async def test_a_client_that_hangs_up_with_another_request_behind_is_told_to_the_one_that_is_answered() -> None:
    """uvicorn told the other: a stream once went on being made, and its next piece was a mistake of ours in the log."""
    heard: list[str] = []
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        heard.append((await receive())["type"])
        await send({"type": START, "status": 200, "headers": []})
        await send({"type": BODY, "body": b"too late"})

    state, socket = ServerState(), Socket()
    connection = connected(GuardedConnection, app, state, socket)

    connection.data_received(GET + GET)
    await begun.wait()
    connection.connection_lost(None)
    async with asyncio.timeout(10):
        while state.tasks:
            await asyncio.gather(*state.tasks)

    assert (heard, socket.writes) == (["http.disconnect"], [])


@pytest.mark.anyio
async def test_an_answer_to_a_connection_that_is_closed_for_what_came_behind_is_no_mistake_of_ours() -> None:
    """The 400 closes it; uvloop's transports then take nothing, and raise."""
    raised: list[str] = []

    class Strict(Socket):
        def write(self, data: bytes) -> None:
            if self.is_closed:
                raise RuntimeError("the handler is closed")
            super().write(data)

    app = saying([{"type": START, "status": 200, "headers": []}, {"type": BODY, "body": b"x"}], raised)
    state, socket = ServerState(), Strict()
    connection = connected(GuardedConnection, app, state, socket)

    connection.data_received(GET + b"no request\r\n\r\n")
    while state.tasks:
        await asyncio.gather(*state.tasks)

    assert raised == []
    assert socket.is_closed
