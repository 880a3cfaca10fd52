"""One attempt at a provider over a real socket: what is sent, and what each way to fail is called."""

import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Generic, TypeVar

import anyio
import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from router.apis import Api
from router.catalog.catalog import Deployment, ProviderKind, ProviderName
from router.errors import UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout, UpstreamUnreachable
from router.keys import Secret
from router.units import Usage
from router.upstream.client import MAX_BODY_BYTES, Endpoint, Transport, UpstreamClient, UpstreamReply
from router.upstream.transport import UpstreamTransport
from router.wire.replies import Bill, ReplyReader
from tests.upstream.deployments import deployment
from tests.upstream.faulty_server import DEADLINE_S, Peer, answer, chunked, faulty_server
from tests.upstream.through_httpx2 import ThroughHttpx2

pytestmark = pytest.mark.anyio

SHORT_S = 0.05  # a timeout that is meant to expire
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
NAME = ProviderName("openrouter")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


_Carries = TypeVar("_Carries", bound=Transport)


class Provider(Generic[_Carries]):
    """A provider at a port of this machine, and our client for it."""

    def __init__(self, port: int, transport: _Carries, *, first_byte_s: float, between_bytes_s: float) -> None:
        self.deployment: Deployment = deployment(base_url=f"http://127.0.0.1:{port}/api/v1/")
        endpoint = Endpoint(
            provider=self.deployment.provider,
            api_key=Secret("sk-or-v1-test"),
            connect_s=SHORT_S if first_byte_s == SHORT_S else DEADLINE_S,
            first_byte_s=first_byte_s,
            between_bytes_s=between_bytes_s,
        )
        self.transport = transport
        self.client = UpstreamClient(transport, {NAME: endpoint}, ReplyReader())

    async def chat(self, body: bytes = b"{}", *, is_stream: bool = False) -> UpstreamReply:
        return await self.client.ask(self.deployment, Api.CHAT, body, is_stream=is_stream)

    async def whole(self) -> bytes:
        """The body of a whole answer."""
        async with aclosing(await self.chat()) as reply:
            return await reply.body()

    async def failure(self) -> UpstreamError:
        """The error that asking for a whole answer ends with."""
        with pytest.raises(UpstreamError) as caught:
            await self.whole()
        return caught.value


@asynccontextmanager
async def provider(
    script: Callable[[Peer], Awaitable[None]],
    *,
    first_byte_s: float = DEADLINE_S,
    between_bytes_s: float = DEADLINE_S,
    max_connections: int = 10,
) -> AsyncIterator[Provider[UpstreamTransport]]:
    """A provider that does what the script says."""
    async with faulty_server(script) as server, UpstreamTransport(max_connections=max_connections) as transport:
        yield Provider(server.origin.port, transport, first_byte_s=first_byte_s, between_bytes_s=between_bytes_s)


def replying(*pieces: bytes, is_kept_open: bool = False) -> Callable[[Peer], Awaitable[None]]:
    """A script that answers one request with these pieces, and then closes or waits."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if is_kept_open:
            await peer.until_closed()

    return script


def refusing(status: bytes, *, headers: bytes = b"", message: str = "why") -> Callable[[Peer], Awaitable[None]]:
    body = json.dumps({"error": {"message": message, "code": int(status[:3])}}).encode()
    return replying(answer(body, status=status, headers=headers))


# What is sent, and good answers


async def test_a_chat_is_posted_with_our_key_and_comes_back_as_sent() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(answer(b'{"id":"gen-1"}', headers=b"x-generation-id: gen-1\r\n"))

    async with provider(script) as upstream, aclosing(await upstream.chat(b'{"model":"m"}')) as reply:
        assert (reply.is_stream, reply.generation_id) == (False, "gen-1")
        assert await reply.body() == b'{"id":"gen-1"}'

    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert body == b'{"model":"m"}'
    assert head.startswith(b"POST /api/v1/chat/completions HTTP/1.1\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"authorization: bearer sk-or-v1-test" in lines
    assert b"accept-encoding: identity" in lines
    assert b"content-type: application/json" in lines


async def test_a_provider_without_a_key_is_sent_none() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(answer(b"{}"))

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        local = deployment("openai_compatible", base_url=f"http://127.0.0.1:{server.origin.port}/v1")
        endpoint = Endpoint(
            provider=local.provider,
            api_key=None,
            connect_s=DEADLINE_S,
            first_byte_s=DEADLINE_S,
            between_bytes_s=DEADLINE_S,
        )
        client = UpstreamClient(transport, {local.provider.name: endpoint}, ReplyReader())
        async with aclosing(await client.ask(local, Api.CHAT, b"{}", is_stream=False)) as reply:
            await reply.body()

    assert b"authorization" not in seen[0].lower()


@pytest.mark.parametrize("kind", [b"text/event-stream", b"text/event-stream; charset=utf-8", b"Text/Event-Stream"])
async def test_a_stream_is_handed_over_piece_by_piece(kind: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    more = anyio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head + b"7\r\n: one\n\n\r\n")
        await more.wait()
        await peer.send(b"7\r\n: two\n\n\r\n0\r\n\r\n")

    async with provider(script) as upstream, aclosing(await upstream.chat(is_stream=True)) as reply:
        assert reply.is_stream
        first = await reply.next_chunk()
        more.set()
        rest = [await reply.next_chunk(), await reply.next_chunk()]

    assert (first, rest) == (b": one\n\n", [b": two\n\n", None])


async def test_a_connection_serves_the_next_request_after_an_answer_or_an_error() -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(answer(b'{"error":{"code":429}}', status=b"429 No"))

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        upstream = Provider(server.origin.port, transport, first_byte_s=DEADLINE_S, between_bytes_s=DEADLINE_S)
        for _ in range(3):
            await upstream.failure()

        assert (server.connections, transport.idle_connections) == (1, 1)


async def test_our_client_agrees_with_a_real_http_server() -> None:
    async def chat(request: Request) -> StreamingResponse | JSONResponse:
        if (await request.json())["stream"]:
            return StreamingResponse(iter([b"data: 1\n\n", b"data: [DONE]\n\n"]), media_type="text/event-stream")
        return JSONResponse({"error": {"message": "busy", "code": 503}}, 503, headers={"retry-after": "3"})

    app = Starlette(routes=[Route("/api/v1/chat/completions", chat, methods=["POST"])])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        async with anyio.create_task_group() as tasks, UpstreamTransport() as transport:
            tasks.start_soon(server.serve, [listener])
            with anyio.fail_after(DEADLINE_S):
                while not server.started:
                    await anyio.lowlevel.checkpoint()
                port = listener.getsockname()[1]
                upstream = Provider(port, transport, first_byte_s=DEADLINE_S, between_bytes_s=DEADLINE_S)
                async with aclosing(await upstream.chat(b'{"stream":true}', is_stream=True)) as reply:
                    stream = await reply.body()
                with pytest.raises(UpstreamRefused) as caught:
                    await upstream.chat(b'{"stream":false}')
            server.should_exit = True

    assert stream == b"data: 1\n\ndata: [DONE]\n\n"
    assert (caught.value.upstream_status, caught.value.retry_after_s) == (503, 3.0)


# The provider says no


@pytest.mark.parametrize(
    "status", [b"400 No", b"402 No", b"404 No", b"408 No", b"429 No", b"500 No", b"503 No", b"529 No"]
)
async def test_an_error_status_is_a_refusal_and_nothing_is_owed(status: bytes) -> None:
    async with provider(refusing(status)) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamRefused)
    assert error.upstream_status == int(status[:3])
    assert error.provider == "openrouter"
    assert not error.may_be_owed


@pytest.mark.parametrize("status", [b"302 Found", b"304 Not Modified"])
async def test_a_status_that_no_completion_has_is_a_refusal_too(status: bytes) -> None:
    async with provider(replying(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamRefused)
    assert error.status == 502


@pytest.mark.parametrize("status", [b"201 Created", b"202 Accepted", b"204 No Content", b"206 Partial Content"])
async def test_a_good_status_that_is_not_expected_may_be_owed(status: bytes) -> None:
    async with provider(replying(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamBroken)
    assert error.may_be_owed


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (b"7", 7.0),
        (b"0", 0.0),
        (b"120", 120.0),
        (b"86400", 86_400.0),
        (b"1.5", None),
        (b"-1", None),
        (b"", None),
        (b"soon", None),
        (b"Wed, 21 Oct 2026 07:28:00 GMT", None),
        (b"\xb2", None),  # a superscript two, which Python takes for a digit and float() does not
        (b"9" * 400, None),
    ],
)
async def test_how_long_to_wait_is_read_from_the_answer(retry_after: bytes, expected: float | None) -> None:
    async with provider(refusing(b"429 No", headers=b"retry-after: " + retry_after + b"\r\n")) as upstream:
        error = await upstream.failure()

    assert error.retry_after_s == expected


@pytest.mark.parametrize(
    ("retry_after", "date", "expected"),
    [
        (b"Wed, 21 Oct 2026 07:28:40 GMT", b"Wed, 21 Oct 2026 07:28:00 GMT", 40.0),  # whatever our own clock says
        (b"Wed, 21 Oct 2026 07:28:00 GMT", b"Wed, 21 Oct 2026 07:28:40 GMT", 0.0),
        (b"Wed, 21 Oct 2026 07:28:40 GMT", b"now", None),
        (b"Wed, 21 Oct 2026 07:28:40", b"Wed, 21 Oct 2026 07:28:00 GMT", None),
        (b"Wed, 21 Oct 2026 07:28:40 +9999999999999", b"Wed, 21 Oct 2026 07:28:00 GMT", None),
        (b"Wed, 21 Oct 99999 07:28:40 GMT", b"Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
async def test_a_date_to_wait_for_is_read_by_the_clock_that_wrote_it(
    retry_after: bytes, date: bytes, expected: float | None
) -> None:
    headers = b"retry-after: " + retry_after + b"\r\ndate: " + date + b"\r\n"
    async with provider(refusing(b"429 No", headers=headers)) as upstream:
        error = await upstream.failure()

    assert error.retry_after_s == expected


async def test_what_a_refusal_says_is_passed_on() -> None:
    async with provider(refusing(b"429 No", message="at capacity")) as upstream:
        error = await upstream.failure()

    assert error.message == "openrouter answered 429: at capacity"


@pytest.mark.parametrize("status", [b"401 No", b"402 No"])
async def test_a_refusal_of_our_own_account_is_not(status: bytes) -> None:
    async with provider(refusing(status, message="Key sk-or-v1-test has 0 credits")) as upstream:
        error = await upstream.failure()

    assert "credits" not in error.message
    assert "sk-or" not in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"content-length: 100000\r\n\r\n" + b"x" * 100_000,
        b"content-length: 100\r\n\r\n{",
        b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\r\n",
    ],
    ids=["too long", "cut", "malformed", "empty"],
)
async def test_a_refusal_whose_body_cannot_be_had_is_still_a_refusal(body: bytes) -> None:
    async with provider(replying(b"HTTP/1.1 429 No\r\nretry-after: 7\r\n" + body)) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamRefused)
    assert (error.upstream_status, error.retry_after_s, error.may_be_owed) == (429, 7.0, False)
    assert error.message == "openrouter answered 429: no message"


async def test_a_refusal_whose_body_never_comes_is_still_a_refusal() -> None:
    script = replying(b"HTTP/1.1 503 No\r\ncontent-length: 100\r\n\r\n", is_kept_open=True)

    async with provider(script, first_byte_s=SHORT_S) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamRefused)
    assert error.upstream_status == 503


# The provider does not answer, or not to the end


async def test_a_provider_that_does_not_listen_is_unreachable_and_nothing_is_owed() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # not listening: refused, and nobody else gets the port
        async with UpstreamTransport() as transport:
            upstream = Provider(deaf.getsockname()[1], transport, first_byte_s=DEADLINE_S, between_bytes_s=DEADLINE_S)
            error = await upstream.failure()

    assert isinstance(error, UpstreamUnreachable)
    assert (error.status, error.may_be_owed) == (502, False)


async def test_a_request_that_gets_no_connection_in_time_was_not_sent() -> None:
    script = replying(STREAM_HEAD, is_kept_open=True)

    async with (
        provider(script, first_byte_s=SHORT_S, max_connections=1) as upstream,
        aclosing(await upstream.chat(is_stream=True)),
    ):
        error = await upstream.failure()

    assert isinstance(error, UpstreamUnreachable)
    assert "PoolTimeout" in error.message


async def test_a_url_that_is_not_http_is_unreachable() -> None:
    async with UpstreamTransport() as transport:
        ftp = deployment(base_url="ftp://127.0.0.1/v1")
        endpoint = Endpoint(
            provider=ftp.provider,
            api_key=None,
            connect_s=DEADLINE_S,
            first_byte_s=DEADLINE_S,
            between_bytes_s=DEADLINE_S,
        )
        with pytest.raises(UpstreamUnreachable):
            await UpstreamClient(transport, {NAME: endpoint}, ReplyReader()).ask(ftp, Api.CHAT, b"{}", is_stream=False)


async def test_silence_before_the_head_is_a_timeout_and_may_be_owed() -> None:
    async with provider(replying(is_kept_open=True), first_byte_s=SHORT_S) as upstream:
        error = await upstream.failure()

        assert upstream.transport.open_connections == 0
    assert isinstance(error, UpstreamTimeout)
    assert (error.status, error.may_be_owed) == (504, True)


async def test_silence_within_a_stream_is_a_timeout_after_what_came_before_it() -> None:
    script = replying(STREAM_HEAD + b"3\r\nabc\r\n", is_kept_open=True)

    async with (
        provider(script, between_bytes_s=SHORT_S) as upstream,
        aclosing(await upstream.chat(is_stream=True)) as reply,
    ):
        assert await reply.next_chunk() == b"abc"
        with pytest.raises(UpstreamTimeout):
            await reply.next_chunk()


async def test_a_stream_has_its_own_patience() -> None:
    """A first byte that may take long does not allow silence between bytes, nor the other way round."""
    async with provider(replying(is_kept_open=True), between_bytes_s=SHORT_S) as upstream:
        with pytest.raises(UpstreamTimeout):
            await upstream.chat(is_stream=True)


@pytest.mark.parametrize(
    "reply",
    [b"", b"HTTP/1.1 200 OK\r\ncont", b"not HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"],
    ids=["closed", "cut", "not HTTP", "malformed"],
)
async def test_a_head_that_breaks_off_may_be_owed(reply: bytes) -> None:
    async with provider(replying(reply)) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamBroken)
    assert (error.status, error.may_be_owed) == (502, True)
    assert "before answering" in error.message


@pytest.mark.parametrize(
    "rest",
    [
        b"content-length: 10\r\n\r\nabc",
        b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
    ids=["short", "unfinished", "malformed"],
)
async def test_a_body_that_breaks_off_may_be_owed(rest: bytes) -> None:
    async with provider(replying(b"HTTP/1.1 200 OK\r\n" + rest)) as upstream:
        error = await upstream.failure()

        assert upstream.transport.open_connections == 0
    assert isinstance(error, UpstreamBroken)
    assert error.may_be_owed
    assert "while answering" in error.message


async def test_a_connection_that_is_reset_may_be_owed() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD + b"3\r\nabc\r\n")
        peer.reset()

    async with provider(script) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamBroken)


async def test_a_body_may_be_as_long_as_the_bound_and_no_longer() -> None:
    async with provider(replying(answer(bytes(MAX_BODY_BYTES)))) as upstream:
        assert len(await upstream.whole()) == MAX_BODY_BYTES
    async with provider(replying(answer(bytes(MAX_BODY_BYTES + 1)))) as upstream:
        error = await upstream.failure()

    assert isinstance(error, UpstreamBroken)
    assert error.may_be_owed


async def test_a_reply_closed_early_closes_its_connection() -> None:
    async with provider(replying(STREAM_HEAD + b"3\r\nabc\r\n", is_kept_open=True)) as upstream:
        async with aclosing(await upstream.chat(is_stream=True)):
            assert upstream.transport.open_connections == 1

        assert upstream.transport.open_connections == 0


# The provider's own record of a call

RECORD = b'{"data":{"total_cost":0.0015,"native_tokens_prompt":10,"native_tokens_completion":25}}'


async def test_a_record_is_asked_for_by_the_id_of_the_generation() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(answer(RECORD))

    async with provider(script) as upstream:
        bill = await upstream.client.record(NAME, "gen-1&id=gen-2 \r\n")

    assert bill == Bill(usage=Usage(input_tokens=10, output_tokens=25), cost_usd=Decimal("0.0015"))
    line = seen[0].partition(b"\r\n")[0]
    assert line.startswith(b"GET /api/v1/generation?id=gen-1%26id%3Dgen-2")
    assert line.count(b" ") == 2
    assert b"authorization: Bearer sk-or-v1-test" in seen[0]


@pytest.mark.parametrize(
    "reply",
    [
        answer(b'{"error":{"code":404,"message":"Generation not found"}}', status=b"404 Not Found"),
        answer(RECORD, status=b"500 No"),
        answer(b"{}"),
        answer(b"<html>"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n" + RECORD,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked(b"x" * 100_000),
        b"",
    ],
    ids=["not yet", "failed", "no record", "no JSON", "cut", "too long", "closed"],
)
async def test_a_record_that_cannot_be_had_is_none_for_now(reply: bytes) -> None:
    async with provider(replying(reply)) as upstream:
        assert await upstream.client.record(NAME, "gen-1") is None


async def test_a_record_that_does_not_come_in_time_is_none_for_now() -> None:
    async with provider(replying(is_kept_open=True), first_byte_s=SHORT_S) as upstream:
        assert await upstream.client.record(NAME, "gen-1") is None


@pytest.mark.parametrize(("kind", "keeps"), [("openrouter", True), ("deepseek", False), ("openai_compatible", False)])
async def test_only_openrouter_keeps_records(kind: ProviderKind, keeps: bool) -> None:
    asked = deployment(kind).provider
    endpoint = Endpoint(provider=asked, api_key=None, connect_s=1, first_byte_s=1, between_bytes_s=1)
    async with UpstreamTransport() as transport:
        client = UpstreamClient(transport, {asked.name: endpoint}, ReplyReader())

        assert client.keeps_records(asked.name) is keeps


# Compressed although we ask for identity


BOMB = gzip.compress(bytes(200_000_000), 1)  # under a megabyte
# One block that stands for 128 KiB takes four bytes (RFC 8878 §3.1.1.2): 200 MB again, in 6 KB.
ZSTD_BOMB = b"\x28\xb5\x2f\xfd\x00\x38" + ((131_072 << 3) | 0b010).to_bytes(3, "little") + b"\0"
CODINGS = {
    "gzip": (b"content-encoding: gzip\r\n", BOMB),
    "gzip among others": (b"Content-Encoding: identity, GZIP\r\n", BOMB),
    "br": (b"content-encoding: br\r\n", BOMB),
    "zstd": (b"content-encoding: zstd\r\n", ZSTD_BOMB + ZSTD_BOMB[6:] * 1_525),
    "in the transfer coding": (b"transfer-encoding: gzip, chunked\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(BOMB), BOMB)),
}
KINDS = {"stream": b"content-type: text/event-stream\r\n", "whole": b"content-type: application/json\r\n"}
MOST_GROWTH_BYTES = 8 * 1024 * 1024


def peak_rss_bytes(*, reset: bool = False) -> int:
    """The most this process has held since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("status", [b"200 OK", b"503 Service Unavailable"])
async def test_a_bomb_is_refused_and_never_unpacked(status: bytes, coding: str, kind: str) -> None:
    header, body = CODINGS[coding]
    length = b"" if b"transfer" in header else b"content-length: %d\r\n" % len(body)
    head = b"HTTP/1.1 %b\r\n%b%b%b\r\n" % (status, header, KINDS[kind], length)
    before = peak_rss_bytes(reset=True)

    async with provider(replying(head, body)) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await _taken(upstream, is_stream=kind == "stream")
        assert upstream.transport.open_connections == 0

    if status == b"200 OK":
        assert isinstance(caught.value, UpstreamBroken)
        assert "compressed its answer" in caught.value.message
    else:  # the status alone says what is to be done
        assert isinstance(caught.value, UpstreamRefused)
        assert caught.value.upstream_status == 503
    assert peak_rss_bytes() - before < MOST_GROWTH_BYTES


async def _taken(upstream: Provider[UpstreamTransport], *, is_stream: bool) -> None:
    """The head of a good answer is taken all the same: it names the call, by which its cost can be asked for."""
    reply = await upstream.chat(is_stream=is_stream)
    async with aclosing(reply):
        while await reply.next_chunk() is not None:
            pytest.fail("something of it was handed out")


@pytest.mark.parametrize("coding", [b"content-encoding: identity\r\n", b"content-encoding:\r\n"])
async def test_an_answer_that_says_it_is_not_compressed_is_taken(coding: bytes) -> None:
    async with provider(replying(answer(b"{}", headers=coding))) as upstream:
        assert await upstream.whole() == b"{}"


async def test_a_list_that_is_compressed_is_refused() -> None:
    script = replying(answer(BOMB, headers=b"content-encoding: gzip\r\n"))

    async with provider(script) as upstream:
        with pytest.raises(UpstreamBroken):
            await upstream.client.models_page(NAME, None)


# Through another of httpx2's transports


async def test_any_transport_of_httpx2_may_carry_the_requests() -> None:
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.send(answer(b'{"id":"gen-1"}', headers=b"X-Generation-Id: gen-1\r\n"))

    async with faulty_server(script) as server, httpx2.AsyncHTTPTransport() as transport:
        upstream = Provider(
            server.origin.port, ThroughHttpx2(transport), first_byte_s=DEADLINE_S, between_bytes_s=DEADLINE_S
        )
        async with aclosing(await upstream.chat(b'{"model":"m"}')) as reply:
            assert (reply.status, reply.generation_id, await reply.body()) == (200, "gen-1", b'{"id":"gen-1"}')

    assert seen[0].startswith(b"POST /api/v1/chat/completions HTTP/1.1\r\n")
    assert seen[0].endswith(b'\r\n\r\n{"model":"m"}')


async def test_another_transport_keeps_to_the_time_for_a_whole_answer_as_ours_does() -> None:
    async with httpx2.AsyncHTTPTransport() as transport, faulty_server(trickling) as server:
        for each in (ThroughHttpx2(transport), UpstreamTransport()):
            upstream = Provider(server.origin.port, each, first_byte_s=SHORT_S, between_bytes_s=DEADLINE_S)
            assert type(await upstream.failure()) is UpstreamTimeout
            await each.aclose()


async def trickling(peer: Peer) -> None:
    """Answers without end, each piece long before the next is missed."""
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\nx\r\n")
        await anyio.sleep(SHORT_S / 10)


async def test_what_goes_wrong_in_another_transport_is_told_alike() -> None:
    async with httpx2.AsyncHTTPTransport() as transport, faulty_server(Peer.until_closed) as server:
        upstream = Provider(
            server.origin.port, ThroughHttpx2(transport), first_byte_s=SHORT_S, between_bytes_s=DEADLINE_S
        )
        with pytest.raises(UpstreamTimeout):
            await upstream.chat()
