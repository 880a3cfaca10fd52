"""Any of httpx2's transports in the place of our own, to compare, and to see that the seam is one: `ThroughHttpx2`."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx2

from router.upstream import faults
from router.upstream.connection import Timeouts
from router.upstream.transport import PreparedHead


class ThroughHttpx2:
    """Carries requests by another transport, at the price of httpx2's request and response objects (transport.py)."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def ask(self, head: PreparedHead, body: bytes, timeouts: Timeouts) -> "Httpx2Answer":
        """The answer to one request, as soon as its head is here. Raises TransportError."""
        host = head.origin.host
        url = httpx2.URL(
            scheme=head.origin.scheme,
            host=f"[{host}]" if ":" in host else host,
            port=head.origin.port,
            raw_path=head.target,
        )
        request = httpx2.Request(
            head.method.decode("ascii"),
            url,
            headers=head.headers,
            content=body,
            extensions={
                "timeout": {
                    "connect": timeouts.connect_s,
                    "read": timeouts.read_s,
                    "write": timeouts.write_s,
                    "pool": timeouts.pool_s,
                }
            },
        )
        due_s = math.inf if timeouts.whole_s is None else asyncio.get_running_loop().time() + timeouts.whole_s
        async with _in_time(due_s):
            return Httpx2Answer(await self._transport.handle_async_request(request), due_s)

    async def aclose(self) -> None:
        await self._transport.aclose()


class Httpx2Answer:
    """An answer whose head is here."""

    def __init__(self, response: httpx2.Response, due_s: float) -> None:
        """`due_s`, by the loop's clock, is when all of it must have come."""
        self._response = response
        self._due_s = due_s
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        self._pieces = aiter(response.stream)

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        return self._response.headers.raw

    async def read_chunk(self) -> bytes | None:
        async with _in_time(self._due_s):
            return await anext(self._pieces, None)

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        while (chunk := await self.read_chunk()) is not None:
            if not sink(chunk):
                return True
        return False

    async def aclose(self) -> None:
        await self._response.aclose()


@asynccontextmanager
async def _in_time(due_s: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(None if due_s == math.inf else due_s):
            yield
    except TimeoutError as error:
        raise faults.ReadTimeout("the answer was not whole in time") from error
    except httpx2.TransportError as error:
        kind = getattr(faults, type(error).__name__, faults.TransportError)
        raise kind(str(error)) from error
