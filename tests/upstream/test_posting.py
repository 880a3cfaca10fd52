"""What a thread posts goes the way of calls to providers: no redirect, no proxy, no address that is not looked at."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest

from router.upstream.posting import Posting
from router.upstream.transport import Resolve, resolved
from tests.upstream.faulty_server import FaultyServer, Peer, answer, faulty_server
from tests.upstream.test_egress import resolving

pytestmark = pytest.mark.anyio

DEADLINE_S = 5.0


@asynccontextmanager
async def posting(
    server: FaultyServer,
    *,
    host: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
    is_private: bool | None = None,
    timeout_s: float = DEADLINE_S,
    resolve: Resolve = resolved,
) -> AsyncIterator[Posting]:
    url = f"http://{host}:{server.origin.port}/v1/traces"
    post = Posting(url, headers or {}, is_private=is_private, timeout_s=timeout_s, resolve=resolve)
    try:
        yield post
    finally:
        await anyio.to_thread.run_sync(post.close)


def always(reply: bytes) -> Callable[[Peer], Awaitable[None]]:
    async def script(peer: Peer) -> None:
        while await peer.request():
            await peer.send(reply)

    return script


async def posted(post: Posting, message: bytes = b"spans") -> tuple[int, bytes]:
    return await anyio.to_thread.run_sync(post, message)


async def test_messages_go_over_one_connection_with_the_headers_that_were_given() -> None:
    seen: list[bytes] = []

    async def taking(peer: Peer) -> None:
        while request := await peer.request():
            seen.append(request)
            await peer.send(answer(b"taken", status=b"202 Accepted"))

    async with faulty_server(taking) as server, posting(server, headers={"authorization": "Bearer t"}) as post:
        assert [await posted(post, b"one"), await posted(post, b"two")] == [(202, b"taken")] * 2
        assert server.connections == 1

    assert seen[0].startswith(b"POST /v1/traces HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nauthorization: Bearer t\r\n" in seen[0]
    assert [each.partition(b"\r\n\r\n")[2] for each in seen] == [b"one", b"two"]


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    hung_up = anyio.Event()

    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer(b"taken"))
        peer.hang_up()
        hung_up.set()

    async with faulty_server(once) as server, posting(server) as post:
        assert await posted(post) == (200, b"taken")
        await hung_up.wait()  # nothing of the posting runs meanwhile
        assert await posted(post) == (200, b"taken")
        assert server.connections == 2


async def test_a_redirect_is_not_followed_and_a_proxy_of_the_environment_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    reply = answer(b"", status=b"307 Temporary Redirect", headers=b"location: http://127.0.0.1:9/\r\n")

    async with faulty_server(always(reply)) as server, posting(server) as post:
        assert await posted(post) == (307, b"")
        assert server.connections == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254"])
async def test_a_public_name_that_leads_into_a_private_network_is_not_connected_to(address: str) -> None:
    async with (
        faulty_server(always(answer(b"mine"))) as server,
        posting(server, host="collector.example", resolve=resolving(address)) as post,
    ):
        with pytest.raises(OSError, match=r"^AddressRefused$"):
            await posted(post)

        assert server.connections == 0


async def test_a_name_in_a_private_network_is_connected_to_where_that_is_said() -> None:
    async with (
        faulty_server(always(answer(b"mine"))) as server,
        posting(server, host="collector.example", is_private=True, resolve=resolving("127.0.0.1")) as post,
    ):
        assert await posted(post) == (200, b"mine")


async def test_closing_does_not_wait_for_a_message_under_way_nor_disturb_it() -> None:
    asked, closed = anyio.Event(), anyio.Event()

    async def slow(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await closed.wait()
        await peer.send(answer(b"taken"))

    got: list[tuple[int, bytes]] = []
    async with faulty_server(slow) as server, posting(server) as post, anyio.create_task_group() as tasks:

        async def one() -> None:
            got.append(await posted(post))

        tasks.start_soon(one)
        await asked.wait()
        post.close()
        closed.set()

    assert got == [(200, b"taken")]


async def test_what_is_never_answered_ends_in_time() -> None:
    async with faulty_server(Peer.until_closed) as server, posting(server, timeout_s=0.05) as post:
        with pytest.raises(OSError, match=r"^ReadTimeout$"):
            await posted(post)


async def test_of_an_answer_without_end_so_much_is_read() -> None:
    async def endless(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while True:
            await peer.send(b"x" * 10_000)

    async with faulty_server(endless) as server, posting(server) as post:
        status, said = await posted(post)

    assert (status, len(said)) == (200, 65_536)


async def test_what_is_no_url_that_can_be_called_is_an_error_of_the_delivery() -> None:
    post = Posting("http://ä..b/", {}, is_private=None, timeout_s=DEADLINE_S)

    with pytest.raises(OSError, match=r"^BadAddress$"):
        await posted(post)
    await anyio.to_thread.run_sync(post.close)
