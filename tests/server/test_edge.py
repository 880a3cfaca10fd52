"""What strangers may do to a connection: on a real server, over real sockets, by whatever they send."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from router.server.connections import GuardedConnection, ServerConfig
from router.server.deadlines import BODY_BEHIND_S, BODY_BYTES_PER_S, BODY_S, HEAD_S, IDLE_S, Deadlines
from router.server.edge import MOST_AHEAD, MOST_HEAD_BYTES, MOST_HEADERS, MOST_TARGET_BYTES, Refusal, fault_of
from tests.torture.ambiguous import AMBIGUOUS, PLAIN
from tests.torture.framing import Recorder, answered, recording

GET = b"GET /asked HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /asked HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

pytestmark = pytest.mark.anyio


async def status(port: int, *pieces: bytes) -> int:
    return int((await answered(port, b"".join(pieces))).split(b" ", 2)[1])


async def test_the_plain_request_is_answered() -> None:
    async with recording() as (recorder, port):
        assert await status(port, PLAIN) == 200
        assert len(recorder.heads) == 1


async def test_nothing_that_can_be_read_in_two_ways_is_read() -> None:
    async with recording() as (recorder, port):
        answers = await asyncio.gather(*(answered(port, request) for request in AMBIGUOUS.values()))

    wrong = [name for name, answer in zip(AMBIGUOUS, answers, strict=True) if not answer.startswith(b"HTTP/1.1 4")]
    assert (recorder.heads, wrong) == ([], [])


async def test_who_asks_for_a_tunnel_is_told_what_may_be_asked() -> None:
    async with recording() as (_, port):
        answer = await answered(port, b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nallow: GET, HEAD, POST\r\n" in answer


async def test_a_refusal_is_an_error_in_openais_shape_and_the_last_word() -> None:
    async with recording() as (_, port):
        answer = await answered(port, b"GET /asked HTTP/1.1\r\n\r\n" + GET)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head
    assert b'"code":"host_missing"' in body
    assert b'"type":"invalid_request_error"' in body


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET /" + b"x" * (MOST_TARGET_BYTES - 1) + b" HTTP/1.1\r\nHost: h\r\n", 200),
        (b"GET /" + b"x" * MOST_TARGET_BYTES + b" HTTP/1.1\r\nHost: h\r\n", 414),
        (b"GET /" + b"x" * 1_000_000, 414),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * (MOST_HEADERS - 2), 200),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * (MOST_HEADERS - 1), 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 30_000 + b"\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"y" * MOST_HEAD_BYTES + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 100_000, 431),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, bytes) else str(value),
)
async def test_a_head_has_its_limits_and_may_reach_them(head: bytes, expected: int) -> None:
    async with recording() as (_, port):
        assert await status(port, head, b"Connection: close\r\n\r\n") == expected


async def test_a_long_body_in_the_same_read_is_not_taken_for_a_long_head() -> None:
    body = b"x" * 200_000
    async with recording() as (_, port):
        head = b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert await status(port, head, body) == 200


@pytest.mark.parametrize(
    ("framing", "expected"),
    [
        (b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", 200),
        (b"1;name=value\r\nx\r\n0\r\nx-trailer: 1\r\n\r\n", 200),
        (b"1;" + b"x" * 1_000_000 + b"\r\nx\r\n0\r\n\r\n", 400),  # one read takes 256 KiB and is looked at as a whole
        (b"0\r\n" + b"x: y\r\n" * 200_000 + b"\r\n", 400),
    ],
    ids=["small chunks", "an extension and a trailer", "a long extension", "many trailers"],
)
async def test_chunks_may_be_small_and_what_is_not_content_may_not_be_much(framing: bytes, expected: int) -> None:
    async with recording() as (_, port):
        answer = await answered(port, CHUNKED + framing + b"end\r\n\r\n")  # which ends it

    assert answer.startswith(b"HTTP/1.1 %d" % expected)


async def test_trailers_are_not_headers() -> None:
    async with recording() as (recorder, port):
        await answered(port, CHUNKED + b"0\r\nauthorization: Bearer k\r\nhost: other\r\n\r\n", within_s=0.3)

    assert recorder.heads[0]["headers"] == [(b"host", b"h"), (b"transfer-encoding", b"chunked")]


async def test_an_offer_to_speak_another_protocol_is_ignored() -> None:
    """Java's client makes one with its first request, and uvicorn lost the body then."""
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    request = b"POST /asked?a=b HTTP/1.1\r\nHost: h\r\n" + offer + b"Content-Length: 2\r\n\r\n{}"
    async with recording() as (recorder, port):
        answer = await answered(port, request + GET, within_s=0.5)

    assert answer.count(b"HTTP/1.1 200") == 2
    assert [(head["method"], head["raw_path"]) for head in recorder.heads] == [("POST", b"/asked"), ("GET", b"/asked")]


@pytest.mark.parametrize("request_", [b"OPTIONS / HTTP/1.0\r\n\r\n", b"GET /livez HTTP/1.0\r\n\r\n"])
async def test_a_balancer_may_ask_in_http_1_0_without_a_host(request_: bytes) -> None:
    async with recording() as (_, port):
        assert await status(port, request_) == 200


async def test_empty_lines_before_a_request_are_passed_over() -> None:
    async with recording() as (_, port):
        answer = await answered(port, b"\r\n\r\n" + GET + b"\r\n" + GET, within_s=0.3)

    assert answer.count(b"HTTP/1.1 200") == 2


async def test_requests_that_wait_for_earlier_answers_are_bounded_and_the_earlier_ones_answered() -> None:
    async with recording() as (recorder, port):
        answer = await answered(port, GET * 1000)

    assert len(recorder.heads) == MOST_AHEAD + 1
    assert answer.count(b"HTTP/1.1 200") == MOST_AHEAD + 1
    assert answer.count(b"too_many_ahead") == 1


async def test_a_refusal_never_stands_within_an_answer() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        begun.set()
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"last"})

    async with connected(app) as (told, connection):
        connection.data_received(GET)
        await begun.wait()
        connection.data_received(b"no request\r\n\r\n")
        assert b"400" not in told()
        go_on.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        answer, _, refusal = told().partition(b"0\r\n\r\n")
        assert answer.endswith(b"5\r\nfirst\r\n4\r\nlast\r\n")
        assert refusal.startswith(b"HTTP/1.1 400")


# Deadlines, by a clock of the test's own.


class Clock:
    """A loop as connections and deadlines see it: its time and its timers are ours."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self._timers: list[tuple[float, Callable[..., None], tuple[object, ...]]] = []

    def time(self) -> float:
        return self.now_s

    def call_later(self, delay_s: float, call: Callable[..., None], *arguments: object) -> "Clock":
        self._timers.append((self.now_s + delay_s, call, arguments))
        return self

    def cancel(self) -> None:
        """Of timers, which here ring all the same."""

    def create_task(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        return asyncio.get_running_loop().create_task(work)

    @property
    def timers(self) -> int:
        return len(self._timers)

    def pass_by(self, seconds: float) -> None:
        ends_s = self.now_s + seconds
        while self._timers and min(timer[0] for timer in self._timers) <= ends_s:
            timer = min(self._timers, key=lambda each: each[0])
            self._timers.remove(timer)
            self.now_s, call, arguments = timer
            call(*arguments)
        self.now_s = ends_s


class Socket:
    """A transport that remembers what was written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False
        self.unread_bytes = 0
        self.protocol: object = None

    def write(self, data: bytes) -> None:
        self.written += b"" if self.is_closed else data

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def is_reading(self) -> bool:
        return True

    def get_protocol(self) -> object:
        return self.protocol

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol

    def get_extra_info(self, _: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def nothing(self, **_: int) -> None:
        pass

    set_write_buffer_limits = pause_reading = resume_reading = write_eof = nothing


class Server:
    """Connections of one server, without a network; its `clock` moves when it is told to."""

    def __init__(self, app: ASGIApp, *, most: int = 1000) -> None:
        self.clock = Clock()
        self.refused: list[str] = []
        self._config = ServerConfig(
            app,
            deadlines=Deadlines(most=most),
            refused=self.refused.append,
            lifespan="off",
            ws="none",
            log_config=None,
        )
        self._config.load()
        self._state = ServerState()

    def connect(self) -> tuple[GuardedConnection, Socket]:
        connection = GuardedConnection(
            config=self._config, server_state=self._state, app_state={}, _loop=cast("Any", self.clock)
        )
        socket = Socket()
        socket.protocol = connection
        connection.connection_made(cast("Any", socket))
        return connection, socket


@asynccontextmanager
async def connected(app: ASGIApp) -> AsyncIterator[tuple[Callable[[], bytes], GuardedConnection]]:
    connection, socket = Server(app).connect()
    yield lambda: socket.written, connection
    connection.connection_lost(None)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads to the end, and answers nothing before that."""
    while (message := await receive()).get("more_body", False):
        pass
    if message["type"] != "http.disconnect":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


SWEEP_S = 0.5
POST = b"POST /asked HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.parametrize("beginning", [b"", b"G", b"GET / HTTP/1.1\r\nHost: h\r\nX: ", b"\r\n"])
async def test_a_head_that_is_late_is_not_waited_for_however_often_a_byte_comes(beginning: bytes) -> None:
    server = Server(silent)
    connection, socket = server.connect()
    if beginning:
        connection.data_received(beginning)

    for _ in range(int(HEAD_S) - 1):
        server.clock.pass_by(1.0)
        if beginning not in (b"", b"\r\n"):
            connection.data_received(b"x" if beginning != b"G" else b"")
    assert not socket.is_closed

    server.clock.pass_by(1.0 + 2 * SWEEP_S)
    assert (socket.is_closed, server.refused) == (True, ["slow_head"])
    assert socket.written.startswith(b"HTTP/1.1 408")


async def test_of_many_that_are_late_together_a_few_are_closed_in_a_turn_and_all_within_a_second() -> None:
    """All of 2,000 at once were a tenth of a second in which nobody else was served."""
    server = Server(silent)
    sockets = [server.connect()[1] for _ in range(100)]
    closed = [0]
    server.clock.pass_by(HEAD_S - 0.01)

    for _ in range(1000):
        server.clock.pass_by(0.001)
        closed.append(sum(socket.is_closed for socket in sockets))

    assert closed[-1] == 100
    assert max(after - before for before, after in pairwise(closed)) <= 16


async def test_a_connection_between_two_requests_is_kept_for_longer_and_closed_without_a_word() -> None:
    server = Server(silent)
    connection, socket = server.connect()
    connection.data_received(GET)
    await settle()

    server.clock.pass_by(IDLE_S - 1)
    connection.data_received(b"\r\n")  # which is no request, and no reason to wait anew
    assert not socket.is_closed

    server.clock.pass_by(1 + 2 * SWEEP_S)
    assert (socket.is_closed, server.refused, socket.written.count(b"HTTP/1.1")) == (True, [], 1)


async def test_the_time_of_a_second_head_begins_with_its_first_byte() -> None:
    server = Server(silent)
    connection, socket = server.connect()
    connection.data_received(GET)
    await settle()
    server.clock.pass_by(HEAD_S * 3)

    connection.data_received(GET[:10])
    server.clock.pass_by(HEAD_S - 1)
    assert not socket.is_closed
    server.clock.pass_by(1 + 2 * SWEEP_S)
    assert server.refused == ["slow_head"]


async def test_who_waits_for_an_answer_is_waited_for() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.Event().wait()

    server = Server(never)
    connection, socket = server.connect()
    connection.data_received(GET)
    await settle()

    server.clock.pass_by(1_000)

    assert not socket.is_closed
    connection.connection_lost(None)


@pytest.mark.parametrize("first_bytes", [0, 40_000])
async def test_a_body_that_trickles_is_given_up_also_after_much_of_it_has_come(first_bytes: int) -> None:
    server = Server(silent)
    connection, socket = server.connect()
    connection.data_received(POST + b"x" * first_bytes)
    await settle()

    for _ in range(int(BODY_BEHIND_S) - 1):
        connection.data_received(b"x")
        await settle()
        server.clock.pass_by(1.0)
    assert not socket.is_closed
    server.clock.pass_by(1.0 + 2 * SWEEP_S)

    assert (socket.is_closed, server.refused) == (True, ["slow_body"])
    assert socket.written.startswith(b"HTTP/1.1 408")


async def test_a_body_at_the_least_rate_is_read_until_its_time_is_over() -> None:
    server = Server(silent)
    connection, socket = server.connect()
    connection.data_received(POST)
    await settle()

    for _ in range(int(BODY_S) - 1):
        connection.data_received(b"x" * BODY_BYTES_PER_S)
        await settle()
        server.clock.pass_by(1.0)
    assert not socket.is_closed
    connection.data_received(b"x" * BODY_BYTES_PER_S)
    server.clock.pass_by(1.0 + 2 * SWEEP_S)

    assert server.refused == ["slow_body"]


async def test_a_body_that_we_do_not_read_ourselves_is_not_late() -> None:
    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    server = Server(busy)
    connection, socket = server.connect()
    connection.data_received(POST + b"x" * 100_000)
    await settle()

    server.clock.pass_by(2 * BODY_S)

    assert not socket.is_closed
    connection.connection_lost(None)


async def test_a_new_connection_takes_the_place_of_the_one_that_has_been_idle_longest() -> None:
    server = Server(silent, most=2)
    idle, of_idle = server.connect()
    idle.data_received(GET)
    await settle()
    _, of_silent = server.connect()
    server.clock.pass_by(1)

    _, of_new = server.connect()
    assert [of_idle.is_closed, of_silent.is_closed, of_new.is_closed] == [True, False, False]

    idle.connection_lost(None)
    _, newest = server.connect()
    assert [of_silent.is_closed, of_new.is_closed, newest.is_closed] == [True, False, False]
    assert server.refused == ["crowded", "crowded"]


async def test_nobody_loses_an_answer_that_is_made_or_on_its_way_to_a_new_connection() -> None:
    """Strangers without a key once cut long answers to slow readers, by opening more connections than there may be."""
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()

    server, slow_server = Server(silent, most=3), Server(slow, most=1)
    reader, of_reader = server.connect()
    reader.data_received(GET)
    await settle()
    of_reader.unread_bytes = 1
    idle, of_idle = server.connect()
    idle.data_received(GET)
    await settle()
    _, of_stranger = server.connect()
    ahead, of_ahead = slow_server.connect()
    ahead.data_received(GET + GET[:10])  # and so it is waited for a head

    server.connect()
    idle.connection_lost(None)
    server.connect()
    slow_server.connect()

    assert [of_reader.is_closed, of_idle.is_closed, of_stranger.is_closed] == [False, True, True]
    assert not of_ahead.is_closed
    assert slow_server.refused == ["crowded"]
    ahead.connection_lost(None)


async def test_where_nobody_rests_whoever_has_not_taken_his_answer_for_longest_gives_way() -> None:
    server = Server(silent, most=1)
    reader, of_reader = server.connect()
    reader.data_received(GET)
    await settle()
    of_reader.unread_bytes = 1

    _, of_new = server.connect()

    assert [of_reader.is_closed, of_new.is_closed] == [True, False]


async def test_where_everybody_is_being_answered_a_new_connection_is_told_to_come_again() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    server = Server(never, most=1)
    connection, socket = server.connect()
    connection.data_received(GET)

    _, of_new = server.connect()

    assert (socket.is_closed, of_new.is_closed) == (False, True)
    assert of_new.written.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1" in of_new.written
    connection.connection_lost(None)


async def test_nobody_is_waited_for_by_a_timer_when_there_is_nobody() -> None:
    server = Server(silent)
    connection, _ = server.connect()
    connection.connection_lost(None)

    server.clock.pass_by(2 * SWEEP_S)

    assert server.clock.timers == 0


@settings(max_examples=60)
@given(st.lists(st.integers(1, 400), max_size=30), st.booleans())
def test_a_request_means_the_same_however_it_is_cut(cuts: list[int], has_twins: bool) -> None:
    head = b"POST /a%20b?c=d HTTP/1.1\r\nHost: h\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
    request = head + b"3;x\r\nabc\r\n0\r\nT: u\r\n\r\n"
    data = request * (2 if has_twins else 1)

    async def heads() -> list[tuple[object, ...]]:
        recorder = Recorder()
        connection, _ = Server(recorder).connect()
        rest = data
        for size in cuts:
            piece, rest = rest[:size], rest[size:]
            if piece:
                connection.data_received(piece)
                await settle()
        if rest:
            connection.data_received(rest)
        await asyncio.sleep(0.001 if has_twins else 0)
        await settle()
        connection.connection_lost(None)
        return [(head["path"], head["raw_path"], head["query_string"], head["headers"]) for head in recorder.heads]

    headers = [(b"host", b"h"), (b"x", b"y"), (b"transfer-encoding", b"chunked")]
    expected = [("/a b", b"/a%20b", b"c=d", headers)] * (2 if has_twins else 1)
    assert asyncio.run(heads()) == expected


def test_every_reason_has_a_name_and_a_status_of_its_own_kind() -> None:
    assert len({each.reason for each in Refusal}) == len(Refusal)
    assert all(400 <= each.status < 500 or each is Refusal.CROWDED for each in Refusal)


@pytest.mark.parametrize("host", [b"h", b"example.com:8000", b"127.0.0.1", b"[::1]:80", b"h_x"])
def test_hosts_that_are_names_or_addresses_are_taken(host: bytes) -> None:
    assert fault_of("1.1", b"/", [(b"host", host)], {b"host": host}) is None
