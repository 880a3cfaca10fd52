"""A provider over a real socket that answers each question about a call with the next of its answers."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from router.catalog.catalog import Provider, ProviderKind, ProviderName
from router.units import Usage
from router.upstream.client import Endpoint, UpstreamClient
from router.upstream.transport import UpstreamTransport
from router.wire.replies import ReplyReader
from tests.upstream.faulty_server import DEADLINE_S, Peer, answer, faulty_server

NOT_YET = answer(b"{}", status=b"404 Not Found")
ABSURD = answer(b'{"data":{"total_cost":-1}}')
BILLED = Usage(input_tokens=7, output_tokens=3)


def record(nano_usd: int) -> bytes:
    """The record of a call of BILLED that cost this."""
    told = {"total_cost": nano_usd / 10**9, "native_tokens_prompt": 7, "native_tokens_completion": 3}
    return answer(json.dumps({"data": told}).encode())


@dataclass
class Records:
    """Our client for the provider, what it was asked, and how long was waited in between."""

    client: UpstreamClient
    asked: list[bytes]
    slept_s: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)


@asynccontextmanager
async def records(
    answers: Sequence[bytes], *, kind: ProviderKind = "openrouter", at_once: int = 1
) -> AsyncIterator[Records]:
    """`at_once` questions must have come before the first of them is answered."""
    left, asked = list(answers), list[bytes]()
    all_there = anyio.Event()

    async def script(peer: Peer) -> None:
        while request := await peer.request():
            asked.append(request.split(b" HTTP/")[0])
            if len(asked) == at_once:
                all_there.set()
            await all_there.wait()
            await peer.send(left.pop(0))

    async with faulty_server(script) as server, UpstreamTransport(max_connections=10) as transport:
        provider = Provider(ProviderName(kind), kind=kind, base_url=f"http://127.0.0.1:{server.origin.port}/api/v1")
        endpoint = Endpoint(
            provider, api_key=None, connect_s=DEADLINE_S, first_byte_s=DEADLINE_S, between_bytes_s=DEADLINE_S
        )
        yield Records(UpstreamClient(transport, {provider.name: endpoint}, ReplyReader()), asked)
