"""The upstream transport over real sockets: what goes out, what comes back, and everything that can break."""

import asyncio
import itertools
import os
import random
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import pytest
from aiohappyeyeballs import AddrInfoType
from hypothesis import given, settings
from hypothesis import strategies as st

from router.upstream.connection import MAX_BUFFERED_BODY_BYTES, MAX_HEAD_BYTES, READ_BYTES, RawResponse, Timeouts
from router.upstream.faults import (
    ConnectError,
    ConnectTimeout,
    LocalProtocolError,
    PoolTimeout,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TransportError,
    UnsupportedProtocol,
    WriteError,
    WriteTimeout,
    is_unsent,
)
from router.upstream.transport import Origin, PreparedHead, Resolve, UpstreamTransport
from tests.upstream.faulty_server import DEADLINE_S, Peer, answer, chunked, faulty_server

pytestmark = pytest.mark.anyio

T = TypeVar("T")

LARGE_BODY = bytes(30_000_000)  # more than the kernel buffers of both sides hold
SHORT_S = 0.05  # a timeout that is meant to expire
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


async def send(
    transport: UpstreamTransport,
    origin: Origin,
    *,
    method: bytes = b"POST",
    body: bytes = b"",
    timeouts: Timeouts = Timeouts(),  # noqa: B008  frozen
) -> RawResponse:
    return await transport.ask(PreparedHead(origin, method, b"/", []), body, timeouts)


async def read_all(response: RawResponse) -> bytes:
    return b"".join([chunk async for chunk in response.chunks()])


async def until(is_true: Callable[[], bool]) -> None:
    """Lets the loop run until the condition holds. The test's deadline ends a wait in vain."""
    while not is_true():
        await anyio.lowlevel.checkpoint()


async def pass_time(seconds: float) -> None:
    """Real time, where a timeout is what is tested: the event loop's clock is not ours to set."""
    await anyio.sleep(seconds)


def in_background(request: Coroutine[None, None, T]) -> asyncio.Task[T]:
    """A task that can be cancelled alone. The caller keeps it, hence no task group."""
    return asyncio.get_running_loop().create_task(request)


def always(reply: bytes) -> Callable[[Peer], Any]:
    """A script that gives every request the same answer."""

    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(reply)

    return script


def once(*pieces: bytes) -> Callable[[Peer], Any]:
    """A script that answers one request with these pieces and closes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)

    return script


async def echo(peer: Peer) -> None:
    """Answers with the request's own body."""
    while request := await peer.request():
        await peer.send(answer(request.partition(b"\r\n\r\n")[2]))


# What goes out and what comes back


async def test_a_request_goes_out_as_written_and_its_answer_comes_back_as_sent() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(
            b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nX-Empty:\r\nx-two: 1\r\nX-Two: 2\r\n"
            b"content-length: 2\r\n\r\nno"
        )

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        headers = [(b"Authorization", b"Bearer x"), (b"Content-Length", b"999"), (b"host", b"evil")]
        head = PreparedHead(server.origin, b"POST", b"/v1/chat/completions?a=b", headers)
        response = await transport.ask(head, b"{}", Timeouts())
        body = await read_all(response)

    host = b"127.0.0.1:%d" % server.origin.port
    assert seen == [
        b"POST /v1/chat/completions?a=b HTTP/1.1\r\nhost: " + host + b"\r\nAuthorization: Bearer x\r\n"
        b"content-length: 2\r\n\r\n{}"
    ]
    assert response.status == 429
    assert response.headers == [
        (b"Retry-After", b"7"), (b"X-Empty", b""), (b"x-two", b"1"), (b"X-Two", b"2"), (b"content-length", b"2")
    ]  # fmt: skip
    assert body == b"no"


@pytest.mark.parametrize(
    ("method", "target", "header"),
    [
        (b"POST", b"/", (b"x", b"a\r\nevil: 1")),
        (b"POST", b"/", (b"x", b"a\nevil: 1")),
        (b"POST", b"/", (b"x", b"a\r")),
        (b"POST", b"/", (b"x\r\nevil", b"1")),
        (b"POST", b"/", (b"x", b"a\0b")),
        (b"POST", b"/ HTTP/1.1\r\nevil: 1\r\n", (b"x", b"1")),
        (b"POST", b"/a b", (b"x", b"1")),
        (b"PO ST", b"/", (b"x", b"1")),
    ],
)
def test_nothing_that_could_start_a_header_of_its_own_is_sent(
    method: bytes, target: bytes, header: tuple[bytes, bytes]
) -> None:
    with pytest.raises(LocalProtocolError):
        PreparedHead(Origin("http", "h", 80), method, target, [header])


def test_a_call_may_have_headers_of_its_own_and_the_next_one_does_not() -> None:
    head = PreparedHead(Origin("http", "h", 80), b"POST", b"/", [(b"a", b"1")])

    more = head.with_headers([(b"traceparent", b"00-x"), (b"tracestate", b"b=2")])

    lines = b"POST / HTTP/1.1\r\nhost: h\r\na: 1\r\n"
    assert more.encoded(2) == lines + b"traceparent: 00-x\r\ntracestate: b=2\r\ncontent-length: 2\r\n\r\n"
    assert more.headers == [(b"a", b"1"), (b"traceparent", b"00-x"), (b"tracestate", b"b=2")]
    assert head.encoded(2) == lines + b"content-length: 2\r\n\r\n"
    for value in (b"1\r\nb: 2", b"1\n", b"\0"):
        with pytest.raises(LocalProtocolError):
            head.with_headers([(b"a", value)])


@pytest.mark.parametrize(
    ("origin", "header"),
    [
        (Origin("http", "h", 80), b"h"),
        (Origin("https", "h", 443), b"h"),
        (Origin("http", "h", 443), b"h:443"),
        (Origin("https", "::1", 443), b"[::1]"),
        (Origin("https", "::1", 8443), b"[::1]:8443"),
    ],
)
def test_the_host_header_names_the_port_only_if_it_is_not_the_usual_one(origin: Origin, header: bytes) -> None:
    assert origin.host_header == header


async def test_a_large_request_arrives_whole() -> None:
    body = bytes(range(256)) * 40_000  # 10 MB

    async with faulty_server(echo) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin, body=body)

        assert await read_all(response) == body


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=300),
    chunk_sizes=st.lists(st.integers(1, 50), max_size=10),
    cuts=st.sets(st.integers(1, 600), max_size=30),
    is_chunked=st.booleans(),
)
def test_the_body_is_the_same_however_the_upstream_cuts_it(
    body: bytes, chunk_sizes: list[int], cuts: set[int], is_chunked: bool
) -> None:
    if is_chunked:
        ends = [0, *itertools.accumulate(chunk_sizes), len(body)]
        pieces = [body[start:end] for start, end in itertools.pairwise(ends)]
        message = CHUNKED_HEAD + chunked(*[piece for piece in pieces if piece])
    else:
        message = answer(body)
    edges = [0, *sorted(cut for cut in cuts if cut < len(message)), len(message)]
    parts = [message[start:end] for start, end in itertools.pairwise(edges)]

    async def scenario() -> tuple[bytes, int]:
        async with faulty_server(once(*parts)) as server, UpstreamTransport() as transport:
            response = await send(transport, server.origin)
            return await read_all(response), response.status

    assert anyio.run(scenario) == (body, 200)


async def test_what_arrived_since_the_last_read_comes_as_one_piece() -> None:
    async with faulty_server(once(CHUNKED_HEAD, chunked(b"a", b"b", b"c"))) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)
        await until(lambda: server.connections == 1 and transport.idle_connections == 1)

        assert await response.read_chunk() == b"abc"
        assert await response.read_chunk() is None
        assert await response.read_chunk() is None


async def test_provisional_answers_are_skipped() -> None:
    reply = b"HTTP/1.1 100 Continue\r\nx-not: this\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"final")

    async with faulty_server(once(reply)) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)

        assert (response.status, response.headers) == (200, [(b"content-length", b"5")])
        assert await read_all(response) == b"final"


@pytest.mark.parametrize(
    ("method", "reply", "body", "connections"),
    [
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", 1),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", b"", 1),
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", b"", 2),
        (b"GET", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", 1),
        (b"GET", b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", b"ok", 2),
        (b"GET", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", 2),
        (b"GET", b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", b"ok", 1),
        (b"GET", CHUNKED_HEAD + b"2;ext=1\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n", b"ok", 1),
    ],
    ids=["204", "304", "head", "empty", "close", "http-1.0", "http-1.0-keep-alive", "chunked-with-trailer"],
)
async def test_an_answer_ends_where_its_kind_says_and_its_connection_is_kept_if_it_may(
    method: bytes, reply: bytes, body: bytes, connections: int
) -> None:
    async with faulty_server(always(reply)) as server, UpstreamTransport() as transport:
        for _ in range(2):
            response = await send(transport, server.origin, method=method)
            assert await read_all(response) == body
            assert b"x-trailer" not in dict(response.headers)

        assert server.connections == connections


@pytest.mark.parametrize("headers", [b"", b"transfer-encoding: gzip\r\n"])
async def test_a_body_without_a_length_ends_with_the_connection(headers: bytes) -> None:
    reply = b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"

    async with faulty_server(once(reply, b"a", b"b")) as server, UpstreamTransport() as transport:
        assert await read_all(await send(transport, server.origin)) == b"ab"
        assert transport.open_connections == 0


# Connections and who gets them


async def test_a_connection_is_used_again() -> None:
    async with faulty_server(echo) as server, UpstreamTransport() as transport:
        for body in (b"one", b"two", b"three"):
            assert await read_all(await send(transport, server.origin, body=body)) == body

        assert (server.connections, transport.open_connections, transport.idle_connections) == (1, 1, 1)


async def test_every_request_gets_its_own_answer_when_many_share_few_connections() -> None:
    # A reader that woke up late once cleared the flag by which the connection's next reader was to be woken.
    async with faulty_server(echo) as server, UpstreamTransport(max_connections=8) as transport:

        async def ask(worker: int) -> None:
            for turn in range(20):
                body = b"%d/%d" % (worker, turn)
                assert await read_all(await send(transport, server.origin, body=body)) == body

        async with anyio.create_task_group() as tasks:
            for worker in range(32):
                tasks.start_soon(ask, worker)

        assert server.connections == 8
        assert (transport.open_connections, transport.idle_connections, transport.waiting_requests) == (8, 8, 0)


async def test_the_connection_used_last_is_used_next() -> None:
    served_by: list[int] = []
    may_end = {1: anyio.Event(), 2: anyio.Event()}

    async def script(peer: Peer) -> None:
        number = server.connections
        while await peer.request():
            served_by.append(number)
            await peer.send(CHUNKED_HEAD)
            await may_end[number].wait()
            await peer.send(chunked(b"x"))

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        first = await send(transport, server.origin)
        second = await send(transport, server.origin)
        may_end[2].set()
        await read_all(second)
        may_end[1].set()
        await read_all(first)
        await read_all(await send(transport, server.origin))

        assert served_by == [1, 2, 1]


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    closed = anyio.Event()

    async def script(peer: Peer) -> None:
        await always(answer())(peer)
        closed.set()

    async with faulty_server(script) as server, UpstreamTransport(idle_s=SHORT_S) as transport:
        await read_all(await send(transport, server.origin, timeouts=Timeouts(read_s=60)))
        assert transport.idle_connections == 1
        await closed.wait()

        assert (transport.open_connections, transport.idle_connections) == (0, 0)


async def test_requests_waiting_for_a_connection_are_served_in_the_order_they_came() -> None:
    served: list[bytes] = []
    gate = anyio.Event()

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            await gate.wait()
            served.append(request[-1:])
            await peer.send(answer())

    async with faulty_server(script) as server, UpstreamTransport(max_connections=1) as transport:

        async def ask(body: bytes) -> None:
            await read_all(await send(transport, server.origin, body=body))

        async with anyio.create_task_group() as tasks:
            for number, body in enumerate((b"1", b"2", b"3", b"4")):
                tasks.start_soon(ask, body)
                await until(lambda number=number: transport.waiting_requests == number)  # type: ignore[misc]
            gate.set()

        assert served == [b"1", b"2", b"3", b"4"]
        assert server.connections == 1


async def test_a_request_that_finds_no_free_connection_in_time_was_not_sent() -> None:
    async with faulty_server(Peer.until_closed) as server, UpstreamTransport(max_connections=1) as transport:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, transport, server.origin)
            await until(lambda: server.connections == 1)
            with pytest.raises(PoolTimeout) as caught:
                await send(transport, server.origin, timeouts=Timeouts(pool_s=SHORT_S))
            tasks.cancel_scope.cancel()

        assert is_unsent(caught.value)
        assert (transport.waiting_requests, transport.open_connections) == (0, 0)


async def test_a_freed_slot_wakes_the_request_that_waits_for_it() -> None:
    async with faulty_server(once(answer(headers=b"connection: close\r\n"))) as server:
        async with UpstreamTransport(max_connections=1) as transport, anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(send, transport, server.origin)

        assert server.connections == 5


async def test_thousands_of_cancelled_requests_leak_no_slot() -> None:
    """As httpcore 1.0.9 does (encode/httpcore#1093, read 2026-11-23): it answers none of the probes."""

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            if request.endswith(b"probe"):
                await peer.send(answer())
            else:
                await peer.send(CHUNKED_HEAD, b"1\r\nx\r\n")

    async def one_that_is_cancelled(transport: UpstreamTransport, origin: Origin) -> None:
        response = await send(transport, origin)
        await read_all(response)

    async with faulty_server(script) as server, UpstreamTransport(max_connections=10) as transport:
        for wave in range(40):
            async with anyio.create_task_group() as tasks:
                for _ in range(100):
                    tasks.start_soon(one_that_is_cancelled, transport, server.origin)
                for _ in range(wave):  # each wave is cut down a little later in its life
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
        answered = 0
        for _ in range(100):
            response = await send(transport, server.origin, body=b"probe", timeouts=Timeouts(pool_s=1, read_s=5))
            answered += await read_all(response) == b"ok"

        assert answered == 100
        assert transport.open_connections == transport.idle_connections <= 10
        assert transport.waiting_requests == 0


@pytest.mark.parametrize(("headers", "kept"), [(b"", 1), (b"connection: close\r\n", 0)], ids=["connection", "slot"])
async def test_a_request_cancelled_in_the_moment_of_its_turn_passes_it_on(headers: bytes, kept: int) -> None:
    go_on = anyio.Event()

    async def script(peer: Peer) -> None:
        while await peer.request():
            await go_on.wait()
            await peer.send(answer(headers=headers))

    async with faulty_server(script) as server, UpstreamTransport(max_connections=1) as transport:
        first = in_background(send(transport, server.origin))
        await until(lambda: server.connections == 1)
        second = in_background(send(transport, server.origin))
        third = in_background(send(transport, server.origin))
        await until(lambda: transport.waiting_requests == 2)
        go_on.set()
        await until(lambda: transport.waiting_requests == 1)
        second.cancel()  # it has been given the connection or slot and has not run since
        await asyncio.wait([first, second, third])

        assert second.cancelled()
        assert third.result().status == 200
        assert (transport.open_connections, transport.idle_connections) == (kept, kept)


async def test_a_connection_that_dies_while_it_is_handed_over_is_replaced() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.hang_up(answer())  # the client's loop finds the answer and the end of the connection together

    async with faulty_server(script) as server, UpstreamTransport(max_connections=1) as transport:
        sending = [in_background(send(transport, server.origin)) for _ in range(4)]
        await asyncio.wait(sending)

        assert [task.result().status for task in sending] == [200] * 4
        assert server.connections == 4


# What is sent, and how the connection ends if it does.
WAYS_TO_ANSWER: list[tuple[tuple[bytes, ...], Callable[[Peer], None] | None]] = [
    ((CHUNKED_HEAD, chunked(b"a", b"b" * 300_000)), None),
    ((answer(),), None),
    ((answer(),), Peer.hang_up),
    ((b"not HTTP",), None),
    ((), Peer.hang_up),
    ((), Peer.reset),
    ((CHUNKED_HEAD, b"1\r\nx\r\n"), Peer.hang_up),
    ((CHUNKED_HEAD, b"1\r\nx\r\n"), Peer.reset),
]


@pytest.mark.parametrize("seed", range(5))
async def test_every_slot_comes_back_whatever_upstreams_and_clients_do(seed: int) -> None:
    dice = random.Random(seed)

    async def script(peer: Peer) -> None:
        while await peer.request():
            pieces, end = dice.choice(WAYS_TO_ANSWER)
            await peer.send(*pieces)
            if end is not None:
                end(peer)
                return

    async def client(transport: UpstreamTransport, origin: Origin) -> None:
        for _ in range(20):
            with suppress(TransportError), anyio.move_on_after(dice.choice([0, 0.001, 0.003, 1])):
                timeouts = Timeouts(pool_s=dice.choice([0.001, 1]), read_s=1)
                response = await send(transport, origin, timeouts=timeouts)
                if dice.random() < 0.8:
                    await read_all(response)
                await response.aclose()

    async with faulty_server(script) as server, UpstreamTransport(max_connections=4) as transport:
        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(client, transport, server.origin)

        assert transport.waiting_requests == 0
        assert transport.open_connections == transport.idle_connections <= 4
        await transport.aclose()
        assert transport.open_connections == 0


# Reused connections that are no longer there


async def test_a_kept_connection_that_the_upstream_closed_is_replaced_without_a_word() -> None:
    async with faulty_server(once(answer())) as server, UpstreamTransport() as transport:
        for _ in range(3):
            assert await read_all(await send(transport, server.origin)) == b"ok"
            await until(lambda: transport.open_connections == 0)

        assert server.connections == 3


async def test_a_close_that_the_loop_has_not_seen_yet_is_noticed_before_writing() -> None:
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await always(answer())(peer)

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        await read_all(await send(transport, server.origin))
        await until(lambda: transport.idle_connections == 1)
        peers[0].hang_up()  # from here to the write of the next request the loop does not run

        assert await read_all(await send(transport, server.origin)) == b"ok"
        assert server.connections == 2


async def test_a_kept_connection_that_dies_after_the_request_was_written_is_an_error_and_not_repeated() -> None:
    requests: list[bytes] = []

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())
        await peer.send(answer())
        requests.append(await peer.request())

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        await read_all(await send(transport, server.origin, body=b"1"))
        with pytest.raises(RemoteProtocolError, match="without an answer") as caught:
            await send(transport, server.origin, body=b"2")

        assert not is_unsent(caught.value)
        assert [request[-1:] for request in requests] == [b"1", b"2"]
        assert transport.open_connections == 0


async def test_bytes_after_an_answer_do_not_become_part_of_the_next() -> None:
    async with faulty_server(always(answer(b"first") + b"HTTP/1.1 200 O")) as server, UpstreamTransport() as transport:
        for _ in range(2):
            assert await read_all(await send(transport, server.origin)) == b"first"

        assert server.connections == 2


async def test_bytes_nobody_asked_for_close_an_idle_connection() -> None:
    script = once(answer(), b"HTTP/1.1 408 Request Timeout\r\n\r\n")

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        await read_all(await send(transport, server.origin))
        await until(lambda: transport.open_connections == 0)


# What breaks, and what it is called


async def test_a_refused_connection_is_an_error_of_a_request_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async with UpstreamTransport() as transport:
        with pytest.raises(ConnectError) as caught:
            await send(transport, Origin("http", "127.0.0.1", port))

        assert is_unsent(caught.value)
        assert transport.open_connections == 0


async def test_a_name_that_cannot_be_looked_up_is_a_connect_error() -> None:
    async with UpstreamTransport() as transport:
        with pytest.raises(ConnectError):
            await send(transport, Origin("http", "a" * 64 + ".invalid", 80))

        assert transport.open_connections == 0


def addresses(*hosts: str) -> Resolve:
    """A resolver that knows one name, and these addresses of it."""

    async def resolve(host: str, port: int) -> list[AddrInfoType]:
        assert host == "provider.example"
        return [info for each in hosts for info in socket.getaddrinfo(each, port, type=socket.SOCK_STREAM)]

    return resolve


@contextmanager
def unanswered(host: str, port: int) -> Iterator[None]:
    """An address that answers no SYN, as one that is routed nowhere: the queue of its listener is full."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket(family))
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect((host, port))
        yield


@pytest.mark.parametrize("dead", ["127.0.0.2", "::1"])
async def test_an_address_that_does_not_answer_does_not_use_up_the_time_to_connect(dead: str) -> None:
    if ":" in dead and not socket.has_dualstack_ipv6():
        pytest.skip("needs IPv6 on loopback")

    async with faulty_server(echo) as server, UpstreamTransport(resolve=addresses(dead, "127.0.0.1")) as transport:
        origin = server.origin._replace(host="provider.example", is_private=True)
        with unanswered(dead, server.origin.port):
            response = await send(transport, origin, body=b"one", timeouts=Timeouts(connect_s=DEADLINE_S / 4))
            assert await read_all(response) == b"one"
            assert transport.open_connections == 1

            assert await read_all(await send(transport, origin, body=b"two")) == b"two"
            assert server.connections == 1


async def test_an_address_that_refuses_is_passed_over_at_once() -> None:
    async with (
        faulty_server(echo) as server,
        UpstreamTransport(resolve=addresses("127.0.0.2", "127.0.0.3", "127.0.0.1")) as transport,
    ):
        origin = server.origin._replace(host="provider.example", is_private=True)
        response = await send(transport, origin, body=b"x", timeouts=Timeouts(connect_s=0.2))  # less than the stagger

        assert await read_all(response) == b"x"


async def test_a_name_of_which_no_address_answers_is_a_connect_timeout_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    before = set(os.listdir("/proc/self/fd"))
    with unanswered("127.0.0.2", port), unanswered("127.0.0.3", port):
        async with UpstreamTransport(resolve=addresses("127.0.0.2", "127.0.0.3")) as transport:
            with pytest.raises(ConnectTimeout):
                await send(
                    transport,
                    Origin("http", "provider.example", port, is_private=True),
                    timeouts=Timeouts(connect_s=0.4),
                )

            assert transport.open_connections == 0
    assert set(os.listdir("/proc/self/fd")) == before


async def test_a_handshake_that_never_ends_is_a_connect_timeout() -> None:
    async with faulty_server(Peer.until_closed) as server, UpstreamTransport() as transport:
        with pytest.raises(ConnectTimeout) as caught:
            await send(transport, server.origin._replace(scheme="https"), timeouts=Timeouts(connect_s=SHORT_S))

        assert is_unsent(caught.value)
        assert transport.open_connections == 0


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200",)], ids=["nothing", "half-a-head"])
async def test_an_upstream_that_does_not_answer_is_a_read_timeout(pieces: tuple[bytes, ...]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        await peer.until_closed()

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        with pytest.raises(ReadTimeout) as caught:
            await send(transport, server.origin, timeouts=Timeouts(read_s=SHORT_S))

        assert not is_unsent(caught.value)
        assert transport.open_connections == 0


async def test_a_stream_that_stalls_is_a_read_timeout_after_what_came_before() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, b"1\r\nx\r\n")
        await peer.until_closed()

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin, timeouts=Timeouts(read_s=SHORT_S))

        assert await response.read_chunk() == b"x"
        for _ in range(2):
            with pytest.raises(ReadTimeout):
                await response.read_chunk()


async def test_a_sink_gets_each_piece_as_it_comes_until_it_has_enough_and_then_the_reader_gets_the_rest() -> None:
    taken: list[bytes] = []

    def sink(piece: bytes) -> bool:
        taken.append(piece)
        return piece != b"b"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await peer.send(b"1\r\na\r\n")
        await until(lambda: b"a" in taken)
        await peer.send(b"1\r\nb\r\n")
        await until(lambda: b"b" in taken)
        await peer.send(b"1\r\nc\r\n0\r\n\r\n")

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)

        assert await response.pump(sink)
        assert taken == [b"a", b"b"]
        assert await response.read_chunk() == b"c"
        assert not await response.pump(sink)
        assert transport.idle_connections == 1


async def test_a_sink_whose_stream_stalls_gets_what_came_and_then_the_read_timeout() -> None:
    taken: list[bytes] = []

    def sink(piece: bytes) -> bool:
        taken.append(piece)
        return True

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await peer.send(b"1\r\nx\r\n")
        await until(lambda: bool(taken))
        await peer.until_closed()

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin, timeouts=Timeouts(read_s=SHORT_S))

        with pytest.raises(ReadTimeout):
            await response.pump(sink)
        assert taken == [b"x"]


async def test_the_read_timeout_counts_from_read_to_read_and_not_over_the_whole_answer() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        for _ in range(12):
            await pass_time(0.05)
            await peer.send(b"1\r\nx\r\n")
        await peer.send(b"0\r\n\r\n")

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin, timeouts=Timeouts(read_s=0.5))

        assert await read_all(response) == b"x" * 12


async def trickling(peer: Peer) -> None:
    """Answers without end, a byte now and then."""
    await peer.request()
    await peer.send(CHUNKED_HEAD)
    while True:
        await peer.send(b"1\r\nx\r\n")
        await pass_time(SHORT_S / 5)


async def test_an_answer_that_trickles_is_a_read_timeout_when_its_whole_is_due() -> None:
    async with faulty_server(trickling) as server, UpstreamTransport() as transport:
        timeouts = Timeouts(read_s=DEADLINE_S, whole_s=SHORT_S)
        response = await send(transport, server.origin, timeouts=timeouts)
        with pytest.raises(ReadTimeout, match="whole"):
            await read_all(response)

        assert transport.open_connections == 0


async def test_what_was_due_of_one_answer_is_not_due_of_the_next_on_its_connection() -> None:
    async with faulty_server(echo) as server, UpstreamTransport() as transport:
        await read_all(await send(transport, server.origin, timeouts=Timeouts(whole_s=SHORT_S)))

        await pass_time(2 * SHORT_S)
        assert await read_all(await send(transport, server.origin, body=b"x")) == b"x"
        assert server.connections == 1


async def test_a_reader_that_takes_its_time_is_not_a_read_timeout() -> None:
    go_on = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD, b"1\r\nx\r\n")
        await go_on.wait()
        await peer.send(chunked(b"y"))

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin, timeouts=Timeouts(read_s=0.3))
        await pass_time(0.4)
        go_on.set()

        assert await read_all(response) == b"xy"


@contextmanager
def listening_socket() -> Iterator[tuple[socket.socket, Origin]]:
    """A bare socket, for a server that leaves what it is sent in the kernel; event loops read ahead."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener, Origin("http", "127.0.0.1", listener.getsockname()[1])


async def test_an_upstream_that_does_not_take_the_request_is_a_write_timeout() -> None:
    with listening_socket() as (_, origin), anyio.fail_after(DEADLINE_S):
        async with UpstreamTransport() as transport:
            with pytest.raises(WriteTimeout) as caught:
                await send(transport, origin, body=LARGE_BODY, timeouts=Timeouts(write_s=SHORT_S))

            assert not is_unsent(caught.value)
            assert transport.open_connections == 0


async def test_an_upstream_that_takes_the_request_slowly_is_not_a_write_timeout() -> None:
    loop = asyncio.get_running_loop()

    async def take_slowly(listener: socket.socket) -> None:
        peer, _ = await loop.sock_accept(listener)
        with peer:
            left_bytes = len(LARGE_BODY)
            while left_bytes > 0:
                await pass_time(0.005)
                left_bytes -= len(await loop.sock_recv(peer, 200_000))
            await loop.sock_sendall(peer, answer())

    with listening_socket() as (listener, origin), anyio.fail_after(DEADLINE_S):
        async with UpstreamTransport() as transport, anyio.create_task_group() as tasks:
            tasks.start_soon(take_slowly, listener)
            started_s = loop.time()
            response = await send(transport, origin, body=LARGE_BODY, timeouts=Timeouts(write_s=0.5))

            assert response.status == 200
            assert loop.time() - started_s > 0.5


async def test_a_request_that_is_never_taken_whole_ends_when_its_answer_is_due() -> None:
    loop = asyncio.get_running_loop()

    async def take_for_ever(listener: socket.socket) -> None:
        peer, _ = await loop.sock_accept(listener)
        with peer:
            while await loop.sock_recv(peer, 10_000):
                await pass_time(SHORT_S / 10)

    with listening_socket() as (listener, origin), anyio.fail_after(DEADLINE_S):
        async with UpstreamTransport() as transport, anyio.create_task_group() as tasks:
            tasks.start_soon(take_for_ever, listener)
            with pytest.raises(ReadTimeout, match="whole"):
                await send(transport, origin, body=LARGE_BODY, timeouts=Timeouts(write_s=1.0, whole_s=0.3))
            tasks.cancel_scope.cancel()


async def test_an_answer_to_a_request_not_taken_in_full_is_read_and_the_connection_not_used_again() -> None:
    loop = asyncio.get_running_loop()

    with listening_socket() as (listener, origin), anyio.fail_after(DEADLINE_S):
        async with UpstreamTransport() as transport:
            sending = in_background(send(transport, origin, body=LARGE_BODY, timeouts=Timeouts(write_s=5)))
            peer, _ = await loop.sock_accept(listener)
            with peer:
                await loop.sock_recv(peer, 1000)
                await loop.sock_sendall(peer, answer(b"too large", status=b"413 Content Too Large"))
                response = await sending

                assert (response.status, await read_all(response)) == (413, b"too large")
                assert transport.open_connections == 0


@pytest.mark.parametrize(
    ("reply", "received"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", b"half"),
        (CHUNKED_HEAD + b"4\r\nhalf\r\n", b"half"),
        (CHUNKED_HEAD + b"a\r\nhalf", b"half"),
        (CHUNKED_HEAD + b"4\r\nhalf\r\n0\r\n", b"half"),
        (CHUNKED_HEAD + b"4\r\nhalf\r\nnot a length\r\n", b"half"),
    ],
    ids=["content-length", "between-chunks", "in-a-chunk", "before-the-last-line", "bad-chunk"],
)
async def test_a_body_cut_short_is_never_taken_for_a_whole_one(reply: bytes, received: bytes) -> None:
    async with faulty_server(once(reply)) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)
        chunk = await response.read_chunk()
        with pytest.raises(RemoteProtocolError) as caught:
            await response.read_chunk()

        assert chunk == received
        assert not is_unsent(caught.value)
        assert transport.open_connections == 0


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-len",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
    ids=["nothing", "half", "ssh", "status", "header", "two-lengths", "length-and-chunked", "upgrade", "bare-101"],
)
async def test_an_answer_that_is_not_http_is_a_protocol_error(reply: bytes) -> None:
    async with faulty_server(once(reply)) as server, UpstreamTransport() as transport:
        with pytest.raises(RemoteProtocolError):
            await send(transport, server.origin)

        assert transport.open_connections == 0


@pytest.mark.parametrize("pieces", [(), (CHUNKED_HEAD, b"1\r\nx\r\n")], ids=["before-the-head", "in-the-body"])
async def test_a_reset_is_a_read_error(pieces: tuple[bytes, ...]) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        peer.reset()

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        with pytest.raises(ReadError) as caught:
            await read_all(await send(transport, server.origin))

        assert not is_unsent(caught.value)
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert transport.open_connections == 0


async def test_a_reset_while_the_request_goes_out_is_a_write_error() -> None:
    async def script(peer: Peer) -> None:
        await until(lambda: server.connections == 1)
        peer.reset()

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        with pytest.raises((WriteError, ReadError)) as caught:
            await send(transport, server.origin, body=LARGE_BODY)

        assert not is_unsent(caught.value)
        assert transport.open_connections == 0


# Limits


@pytest.mark.parametrize(("excess", "is_read"), [(-1, True), (0, True), (1, False)], ids=["below", "at", "above"])
@pytest.mark.parametrize("piece_bytes", [200_000, 1_000], ids=["in-one-piece", "in-many"])
async def test_a_head_is_read_up_to_its_limit(excess: int, is_read: bool, piece_bytes: int) -> None:
    length = b"content-length: 100000\r\n"
    value = b"v" * (MAX_HEAD_BYTES + excess - len(length) - len(b"x: \r\n"))
    message = b"HTTP/1.1 200 OK\r\n" + length + b"x: " + value + b"\r\n\r\n" + b"b" * 100_000
    pieces = [message[start : start + piece_bytes] for start in range(0, len(message), piece_bytes)]

    async with faulty_server(once(*pieces)) as server, UpstreamTransport() as transport:
        if is_read:
            response = await send(transport, server.origin)
            assert response.headers[1] == (b"x", value)
            assert len(await read_all(response)) == 100_000
        else:
            with pytest.raises(RemoteProtocolError, match="65536"):
                await send(transport, server.origin)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 997 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (CHUNKED_HEAD + b"1\r\nx\r\n0\r\n", b"x: " + b"y" * 997 + b"\r\n"),
        (CHUNKED_HEAD + b"1;", b"y" * 1000),
    ],
    ids=["headers", "one-header", "provisional-answers", "trailers", "chunk-extension"],
)
async def test_an_endless_head_or_framing_is_cut_off(start: bytes, more: bytes) -> None:
    sent_bytes = 0

    async def script(peer: Peer) -> None:
        nonlocal sent_bytes
        await peer.request()
        await peer.send(start)
        while True:
            await peer.send(more)
            sent_bytes += len(more)

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        with pytest.raises(RemoteProtocolError):
            await read_all(await send(transport, server.origin))

        assert sent_bytes < 8 * MAX_HEAD_BYTES  # what was under way in the kernel included
        assert transport.open_connections == 0


async def test_a_slow_reader_stops_the_upstream_rather_than_filling_memory() -> None:
    total_bytes = 40_000_000
    sent_bytes = 0

    async def script(peer: Peer) -> None:
        nonlocal sent_bytes
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total_bytes)
        while sent_bytes < total_bytes:
            await peer.send(b"x" * 100_000)
            sent_bytes += 100_000

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)
        before = -1
        while sent_bytes != before:  # until the kernel's buffers on both sides are full too
            before = sent_bytes
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
        sizes = [len(chunk) async for chunk in response.chunks()]

        assert before < total_bytes / 2
        assert max(sizes) <= MAX_BUFFERED_BODY_BYTES + READ_BYTES
        assert sum(sizes) == total_bytes
        assert transport.idle_connections == 1


# Closing, cancelling, sharing


async def test_the_connection_is_free_when_the_last_byte_is_here_even_if_nobody_has_read_it() -> None:
    async with faulty_server(echo) as server, UpstreamTransport(max_connections=1) as transport:
        first = await send(transport, server.origin, body=b"first" * 100_000)
        while transport.idle_connections == 0:
            chunk = await first.read_chunk()
            assert chunk is not None
        second = await send(transport, server.origin, body=b"second")

        await first.aclose()  # late, and none of its business any more
        assert await read_all(second) == b"second"
        assert server.connections == 1


async def test_closing_an_answer_early_closes_its_connection_and_frees_the_slot() -> None:
    closed = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + b"1\r\nx\r\n")
        await peer.until_closed()
        closed.set()

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)
        await response.aclose()
        await response.aclose()
        await closed.wait()

        assert transport.open_connections == 0
        assert await response.read_chunk() == b"x"  # had arrived
        with pytest.raises(ReadError):
            await response.read_chunk()


async def test_a_read_can_be_cancelled_and_taken_up_again() -> None:
    go_on = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await go_on.wait()
        await peer.send(chunked(b"later"))

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)
        with anyio.move_on_after(SHORT_S) as scope:
            await response.read_chunk()
        go_on.set()

        assert scope.cancelled_caught
        assert await response.read_chunk() == b"later"
        assert await response.read_chunk() is None


async def test_closing_the_transport_ends_everything_under_way() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await peer.until_closed()

    async with faulty_server(script) as server:
        transport = UpstreamTransport(max_connections=1)
        response = await send(transport, server.origin)
        reading = in_background(response.read_chunk())
        waiting = in_background(send(transport, server.origin))
        await until(lambda: transport.waiting_requests == 1)
        await transport.aclose()
        await asyncio.wait([reading, waiting])

        assert isinstance(reading.exception(), ReadError)
        assert isinstance(waiting.exception(), ConnectError)
        assert transport.open_connections == 0
        with pytest.raises(ConnectError):
            await send(transport, server.origin)


async def test_other_schemes_are_refused() -> None:
    async with UpstreamTransport() as transport:
        with pytest.raises(UnsupportedProtocol):
            await send(transport, Origin("ftp", "127.0.0.1", 21))


async def test_a_redirect_is_an_answer_like_any_other_and_proxies_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    reply = answer(b"", status=b"302 Found", headers=b"location: http://127.0.0.1:1/\r\nset-cookie: a=b\r\n")

    async with faulty_server(always(reply)) as server, UpstreamTransport() as transport:
        response = await send(transport, server.origin)

        assert response.status == 302


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and self-signed certificate for `localhost` in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", path, "-out", f"{path}.crt"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_tls_connections_are_verified_and_used_again(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=f"{certificate}.crt")

    async with (
        faulty_server(echo, ssl_context=server_context(certificate)) as server,
        UpstreamTransport(ssl_context=trusting) as transport,
    ):
        for body in (b"one", b"two" * 500_000, b"three"):
            assert await read_all(await send(transport, server.origin, body=body)) == body

        assert server.connections == 1


@pytest.mark.parametrize("fault", ["unknown issuer", "wrong name"])
async def test_a_certificate_that_does_not_verify_means_nothing_is_sent(certificate: Path, fault: str) -> None:
    requests: list[bytes] = []

    async def script(peer: Peer) -> None:
        requests.append(await peer.request())

    cafile = f"{certificate}.crt" if fault == "wrong name" else None
    host = "127.0.0.1" if fault == "wrong name" else "localhost"
    async with (
        faulty_server(script, ssl_context=server_context(certificate)) as server,
        UpstreamTransport(ssl_context=ssl.create_default_context(cafile=cafile)) as transport,
    ):
        with pytest.raises(ConnectError, match="certificate") as caught:
            await send(transport, server.origin._replace(host=host))

        assert is_unsent(caught.value)
        assert transport.open_connections == 0
        assert requests in ([], [b""])


async def test_connections_to_servers_that_nobody_is_configured_for_are_closed_once_they_are_idle() -> None:
    async with faulty_server(echo) as one, faulty_server(echo) as other, UpstreamTransport() as transport:
        kept, gone = one.origin, other.origin
        await read_all(await send(transport, kept, body=b"1"))
        await read_all(await send(transport, gone, body=b"2"))
        under_way = await send(transport, gone, body=b"3" * 1_000_000)

        transport.keep_only({kept})
        during = transport.pools
        answered = await read_all(under_way)
        transport.keep_only({kept})

        assert during == {kept, gone}
        assert answered == b"3" * 1_000_000
        assert transport.pools == {kept}
        assert transport.idle_connections == transport.open_connections == 1
