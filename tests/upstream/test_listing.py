"""A list of models, fetched page by page over a real socket: to its end, from one server, or not at all."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest

from router.catalog.catalog import ProviderName
from router.catalog.listing import Listed, ListingReader
from router.errors import PricingError, UpstreamBroken, UpstreamRefused, UpstreamUnreachable
from router.keys import Secret
from router.upstream.client import Endpoint, UpstreamClient
from router.upstream.listing import listed_models
from router.upstream.transport import UpstreamTransport
from router.wire.replies import ReplyReader
from tests.upstream.deployments import deployment
from tests.upstream.faulty_server import DEADLINE_S, Peer, answer, faulty_server

pytestmark = pytest.mark.anyio

NAME = ProviderName("openrouter")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def page(*names: str, following: str | None = None) -> bytes:
    models = [{"id": name, "pricing": {"prompt": "0.000001", "completion": "0.000002"}} for name in names]
    return json.dumps({"data": models, "links": {"next": following}}).encode()


Fetch = Callable[[], Awaitable[tuple[Listed, ...]]]


@asynccontextmanager
async def provider(*bodies: bytes, status: bytes = b"200 OK", seen: list[bytes] | None = None) -> AsyncIterator[Fetch]:
    """A provider that answers with these bodies, one after the other, and a way to fetch the models a and z from it."""
    left = list(bodies)

    async def script(peer: Peer) -> None:
        while left:
            request = await peer.request()
            if seen is not None:
                seen.append(request)
            await peer.send(answer(left.pop(0), status=status))

    async with faulty_server(script) as server, UpstreamTransport() as transport:
        yield fetch_from(transport, server.origin.port)


def fetch_from(transport: UpstreamTransport, port: int) -> Fetch:
    where = deployment(base_url=f"http://127.0.0.1:{port}/api/v1/")
    endpoint = Endpoint(where.provider, Secret("sk-or-v1-test"), DEADLINE_S, DEADLINE_S, DEADLINE_S)
    client = UpstreamClient(transport, {NAME: endpoint}, ReplyReader())
    return partial(listed_models, client, ListingReader(), NAME, {"a/a", "z/z"})


def names(listed: Sequence[Listed]) -> list[str]:
    return [each.name for each in listed]


async def test_all_pages_are_read_where_the_list_says_it_goes_on() -> None:
    seen: list[bytes] = []
    first, second = page("a/a", "b/b", following="/api/v1/models?offset=2"), page("c/c", "z/z")

    async with provider(first, second, seen=seen) as fetch:
        assert names(await fetch()) == ["a/a", "z/z"]

    assert [request.split(b" HTTP/1.1")[0] for request in seen] == [
        b"GET /api/v1/models",
        b"GET /api/v1/models?offset=2",
    ]


async def test_what_is_not_in_the_first_list_is_looked_for_among_the_models_for_embeddings() -> None:
    seen: list[bytes] = []

    async with provider(page("a/a"), page("e/e", "z/z"), seen=seen) as fetch:
        assert names(await fetch()) == ["a/a", "z/z"]

    assert [request.split(b" HTTP/1.1")[0] for request in seen] == [
        b"GET /api/v1/models",
        b"GET /api/v1/embeddings/models",
    ]


@pytest.mark.parametrize("second", [page(), b"{", page("e/e", following="https://evil.example/models")])
async def test_a_second_list_that_cannot_be_read_costs_nothing_of_the_first(second: bytes) -> None:
    async with provider(page("a/a"), second) as fetch:
        assert names(await fetch()) == ["a/a"]


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/api/v1/models",
        "//evil.example/models",
        "http://127.0.0.1:1/api/v1/models",
        "https://127.0.0.1/x",
        "http://[",
        "file:///etc/passwd",
    ],
)
async def test_our_key_is_not_carried_to_another_server(following: str) -> None:
    async with provider(page("a/a", following=following)) as fetch:
        with pytest.raises(UpstreamBroken):
            await fetch()


async def test_a_list_without_end_is_given_up() -> None:
    pages = [page(f"b/{number}", following=f"/api/v1/models?offset={number + 1}") for number in range(25)]

    async with provider(*pages) as fetch:
        with pytest.raises(PricingError, match="does not end"):
            await fetch()


async def test_an_empty_list_is_not_believed() -> None:
    async with provider(page()) as fetch:
        with pytest.raises(PricingError, match="empty"):
            await fetch()


async def test_a_page_that_cannot_be_read_spoils_the_whole_list() -> None:
    async with provider(page("a/a", following="/api/v1/models?offset=1"), b'{"data": [') as fetch:
        with pytest.raises(PricingError):
            await fetch()


async def test_a_provider_that_refuses_or_is_gone_is_an_upstream_error() -> None:
    async with provider(b'{"error": {"message": "later", "code": 503}}', status=b"503 Unavailable") as fetch:
        with pytest.raises(UpstreamRefused, match="later"):
            await fetch()

    async with UpstreamTransport() as transport:
        with pytest.raises(UpstreamUnreachable):
            await fetch_from(transport, 1)()
