"""pyreqwest (reqwest, hyper and rustls; a thread of tokio's beside the event loop), straight behind our seam.

Its own transport for httpx is for httpx's classes; `_ForHttpx2` does the same with httpx2's. Time-outs are
the client's, for those of a request are for the whole of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import httpx2
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.request import StreamRequest
from pyreqwest.response import Response

from router.upstream.client import Transport
from router.upstream.connection import Timeouts
from router.upstream.faults import ReadError
from router.upstream.transport import PreparedHead
from tests.upstream.through_httpx2 import ThroughHttpx2

_TIMEOUT = timedelta(seconds=60)


def http1(trusted: Path | None) -> Transport:
    return _Pyreqwest(_builder(trusted).http1_only().build())


def http2(trusted: Path | None) -> Transport:
    return _Pyreqwest(_builder(trusted).http2(enable=True).build())


def through_httpx2(trusted: Path | None) -> Transport:
    return ThroughHttpx2(_ForHttpx2(_builder(trusted).http1_only().build()))


def _builder(trusted: Path | None) -> ClientBuilder:
    builder = ClientBuilder().no_proxy().follow_redirects(enable=False).read_timeout(_TIMEOUT).connect_timeout(_TIMEOUT)
    # rustls takes no certificate that is its own authority, as the front's is; nothing is verified but at handshakes.
    return builder if trusted is None else builder.danger_accept_invalid_certs(enable=True)


class _Pyreqwest:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def ask(self, head: PreparedHead, body: bytes, timeouts: Timeouts) -> _Answer:
        origin = head.origin
        url = f"{origin.scheme}://{origin.host}:{origin.port}{head.target.decode('ascii')}"
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers]
        request = self._client.request(head.method.decode("ascii"), url).headers(headers).body_bytes(body)
        sent = request.build_streamed()
        try:
            return _Answer(sent, await sent.__aenter__())
        except PyreqwestError as error:
            raise ReadError(str(error)) from error


class _Answer:
    def __init__(self, request: StreamRequest, response: Response) -> None:
        self._request = request
        self._response = response
        self._reader = response.body_reader

    @property
    def status(self) -> int:
        return int(self._response.status)

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._response.headers.items()]

    async def read_chunk(self) -> bytes | None:
        try:
            piece = await self._reader.read_chunk()
        except PyreqwestError as error:
            raise ReadError(str(error)) from error
        return None if piece is None else bytes(piece)

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        while (piece := await self.read_chunk()) is not None:
            if not sink(piece):
                return True
        return False

    async def aclose(self) -> None:
        await self._request.__aexit__(None, None, None)


class _ForHttpx2(httpx2.AsyncBaseTransport):
    def __init__(self, client: Client) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = self._client.request(request.method, str(request.url)).headers(request.headers.multi_items())
        sent = asked.body_bytes(request.content).build_streamed()
        response = await sent.__aenter__()
        return httpx2.Response(response.status, headers=list(response.headers.items()), stream=_Body(sent, response))

    async def aclose(self) -> None:
        await self._client.close()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, request: StreamRequest, response: Response) -> None:
        self._request = request
        self._reader = response.body_reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._reader.read_chunk()) is not None:
            yield bytes(piece)

    async def aclose(self) -> None:
        await self._request.__aexit__(None, None, None)
