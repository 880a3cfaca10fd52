"""The client's end of one HTTP exchange: writing to it, noticing that it has gone, and hanging up on it."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import anyio
from starlette.types import Receive, Send

from router.sandbox.json_text import encode


@runtime_checkable
class _Closable(Protocol):
    def close(self) -> None: ...


class Connection:
    """Writes go nowhere once the client has gone; they never raise for it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone = anyio.Event()

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up (or has been hung up on)."""
        return self._gone.is_set()

    async def watch(self) -> None:
        """Waits until the client has gone. The request body must have been read before."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def wait_until_gone(self) -> None:
        """Returns when the client has gone; needs `watch` running beside it."""
        await self._gone.wait()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends the status line and headers."""
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Sends a part of the body."""
        if not self.is_gone:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Sends the last part of the body."""
        if not self.is_gone:
            await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def respond(self, status: int, body: object, headers: Mapping[str, str]) -> None:
        """Sends a whole JSON response."""
        data = encode(body)
        fixed = {"content-type": "application/json", "content-length": str(len(data))}
        await self.start(status, fixed | dict(headers))
        await self.finish(data)

    async def drop(self) -> None:
        """Closes the connection under the client, mid-response or before it; what was written is still delivered.

        ASGI has no message for this. Under uvicorn `send` is a method of the object that owns the transport, which is
        reached through it; anything that wraps `send` takes this away, hence the error.
        """
        transport = getattr(getattr(self._send, "__self__", None), "transport", None)
        if not isinstance(transport, _Closable):
            raise RuntimeError("to drop connections the sandbox must run directly under uvicorn, without middleware")
        transport.close()
        await self.wait_until_gone()
