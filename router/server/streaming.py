"""The client of one request, from its question to the end of its answer: `Client`.

Its head is sent once, and its answer ends once; nothing follows the end. A client of a stream that waits long for the
first event gets the head and a comment, and then comments: load balancers take a silent connection for a dead one (AWS
ALB and nginx after 60 s, 2026). A comment is no answer, so another provider may still be asked behind it; but with the
head the status is gone, and what fails afterwards is told by an error event.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import aclosing

import anyio
from starlette.types import Receive, Send

from router.errors import PenstockError
from router.gateway.answer import Take, takes_nothing
from router.gateway.exchange import Exchange
from router.gateway.idempotency import Once
from router.server.replies import JSON_TYPE, Headers, send_body, send_error

COMMENT = b": penstock waiting\n\n"

_EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx in front must not collect the stream
)
# The server keeps what it is given until the client takes it; in pieces it says sooner that this is enough.
_PIECE_BYTES = 32 * 1024


class Client:
    """Whoever waits for the answer of an exchange."""

    def __init__(
        self,
        exchange: Exchange,
        receive: Receive,
        send: Send,
        *,
        headers: Callable[[Exchange], Headers],
        comment_every_s: float,
        once: Once | None = None,
        send_now: Take = takes_nothing,
    ) -> None:
        """`headers` are asked when the head is sent, which may be before anybody has answered. With `once` a whole
        answer is kept before it is given. `send_now` sends a piece of a stream without waiting, where it can."""
        self._exchange = exchange
        self._receive = receive
        self._send = send
        self._send_now = send_now
        self._headers = headers
        self._comment_every_s = comment_every_s
        self._once = once
        self._waiting: anyio.CancelScope | None = None  # for the answer, as long as there is none
        self._has_head = False
        self._is_over = False  # whatever the client gets has been handed to the server
        # Relay, watch and a stop may all have something to send. asyncio's lock, free, costs a quarter of anyio's.
        self._turn = asyncio.Lock()

    async def wait(self) -> bool:
        """Open the exchange; False if that was cut off. Raises PenstockError."""
        with anyio.CancelScope() as self._waiting:
            await self._exchange.open()
        was_cancelled, self._waiting = self._waiting.cancelled_caught, None
        if self._exchange.is_cut_off and not was_cancelled:  # in the moment in which the answer came
            self._exchange.is_cut_off = self._exchange.body is None
        return not (was_cancelled or self._exchange.is_cut_off)

    async def watch(self) -> None:
        """Send comments as long as it waits, and give the exchange up when it hangs up. For streams only."""
        while True:
            with anyio.move_on_after(math.inf if self._waiting is None else self._comment_every_s):
                if (await self._receive())["type"] == "http.disconnect":
                    break
                continue
            async with self._turn:
                if self._waiting is not None:
                    await self._begin()
                    await self._send_data(COMMENT)
        if not self._is_over:  # a server also says so once the answer is complete
            self._exchange.client_is_gone = True
            await self._exchange.give_up()

    async def relay(self) -> None:
        """Send the exchange's events as they come, until they end, or the client or a stop ends them."""
        async with self._turn:
            await self._begin()
        async with aclosing(self._exchange.stream(self._take_now)) as events:
            async for data in events:
                async with self._turn:
                    if self._is_over or self._exchange.client_is_gone:
                        return
                    await self._send_data(data)
        async with self._turn:
            if not self._is_over and not self._exchange.client_is_gone:
                await self._end()

    def _take_now(self, data: bytes) -> bool:
        """Send events in the moment in which they come, unless that takes a turn, or time."""
        if self._turn.locked() or self._is_over or self._exchange.client_is_gone or len(data) > _PIECE_BYTES:
            return False
        return self._send_now(data)

    async def give(self, body: bytes, *, headers: Headers) -> None:
        """A whole answer; as a stream to a client that asked for one: SDKs skip all else, and raise nothing."""
        if self._exchange.request.is_stream:
            async with self._turn:
                await self._begin(headers)
                await self._send_data(self._exchange.dialect.as_stream(body))
                await self._end()
            return
        out = [JSON_TYPE, *self._headers(self._exchange), *headers]
        if self._once is not None:
            async with self._turn:  # who has something else to send meanwhile finds that it is over
                await self._once.keep(body, out)
        self._has_head = self._is_over = True
        await send_body(self._send, body, headers=out)

    async def refuse(self, error: PenstockError) -> None:
        """The error in place of an answer, or at its end. No effect on a client that has all it gets."""
        async with self._turn:
            if self._is_over:
                return
            if self._has_head:
                await self._send_data(self._exchange.error_event(error))
                await self._end()
            else:
                self._has_head = self._is_over = True
                if self._once is not None:
                    await self._once.free()
                body = self._exchange.dialect.error_body(error, request_id=self._exchange.request_id)
                await send_error(self._send, error, body=body, headers=self._headers(self._exchange))

    async def cut_off(self, reason: PenstockError) -> None:
        """Nothing is waited for any more: who waits in `wait` returns, and a stream ends here with an error event."""
        if self._is_over or self._exchange.has_ended:
            return
        self._exchange.is_cut_off = not self._exchange.client_is_gone  # who hung up before was not cut off
        if self._waiting is not None:
            self._waiting.cancel()
            return
        await self.refuse(reason)
        await self._exchange.give_up()

    async def _begin(self, headers: Headers = ()) -> None:
        if not self._has_head:
            self._has_head = True
            all_headers = [*_EVENTS, *self._headers(self._exchange), *headers]
            await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})

    async def _send_data(self, data: bytes) -> None:
        for start in range(0, len(data) or 1, _PIECE_BYTES):  # nothing is sent, too: with it the head leaves
            piece = data if len(data) <= _PIECE_BYTES else data[start : start + _PIECE_BYTES]
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def _end(self) -> None:
        self._is_over = True
        await self._send({"type": "http.response.body", "body": b""})
