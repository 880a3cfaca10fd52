"""The data port's endpoints that put a request to a model, whichever API it came by.

`ModelEndpoint` is the response object that owns the settlement: it enters the exchange, has its client (streaming.py)
told what the exchange yields, and leaving the exchange closes the books, whatever happened in between.
"""

from collections.abc import Callable
from typing import Protocol

import anyio
import anyio.to_thread
from starlette.types import Receive, Scope, Send

from router.apis import Api
from router.decision.explain import as_data
from router.errors import OutsideKeyScope, PenstockError, Unavailable
from router.gateway.answer import Take, takes_nothing
from router.gateway.cache import Recall
from router.gateway.exchange import Exchange
from router.gateway.idempotency import Idempotency, Once
from router.gateway.in_force import InForce
from router.keys import Caller, KeyScope
from router.quality.verify import Verdict
from router.server.answering import SEND_NOW
from router.server.auth import CALLER
from router.server.paces import pace_headers
from router.server.replies import (
    REQUEST_ID,
    ClientGone,
    Headers,
    one_header,
    read_body,
    send_body,
    send_error,
    send_json,
)
from router.server.shedding import Room
from router.server.starting import CAME_S
from router.server.streaming import Client
from router.telemetry.tracing import RequestTrace
from router.units import usd_text
from router.wire.controls import controls_from
from router.wire.requests import ModelRequest
from router.wire.trace_context import Headers as TracedHeaders
from router.wire.trace_context import trace_id_of

BeginTrace = Callable[[TracedHeaders], RequestTrace]

_INLINE_BODY_BYTES = 256 * 1024  # reading these takes a millisecond, and a thread a tenth of one


class RequestReader(Protocol):
    """Reads the bodies of one API."""

    def read(self, body: bytes, /) -> ModelRequest:
        """The request in `body`. Raises InvalidRequest naming the member at fault and what was expected there."""
        ...


async def read_request(reader: RequestReader, body: bytes, readers: anyio.CapacityLimiter) -> ModelRequest:
    """The request in `body`. Raises InvalidRequest.

    Megabytes are read in a thread: each step of it holds the interpreter for some milliseconds, and between two of them
    others have their turn. The threads are none of those that the books and the admin port use.
    """
    if len(body) <= _INLINE_BODY_BYTES:
        return reader.read(body)
    try:
        return await anyio.to_thread.run_sync(reader.read, body, limiter=readers)
    except PenstockError as error:
        # Among the frames it came through is anyio's, which holds the future that holds the error: a circle, in which
        # megabytes would stay until the garbage is collected.
        raise error.with_traceback(None)  # noqa: B904 - it is the same


class Underway:
    """The clients that are being served."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self.is_cut_off = False  # nobody is served any more

    def enter(self, client: Client) -> None:
        self._clients.add(client)

    def leave(self, client: Client) -> None:
        self._clients.remove(client)

    async def cut_off(self) -> None:
        """End every request under way: with an error, or a stream with an error event. What they cost is settled."""
        self.is_cut_off = True
        async with anyio.create_task_group() as tasks:
            for client in tuple(self._clients):
                tasks.start_soon(client.cut_off, _stopping())


class ModelEndpoint:
    """`POST /v1/...`, of one API."""

    def __init__(
        self,
        in_force: InForce,
        api: Api,
        *,
        reader: RequestReader,
        underway: Underway,
        idempotency: Idempotency,
        refused: Callable[[str], None],
        room: Room,
        begin_trace: BeginTrace | None = None,
    ) -> None:
        """`begin_trace` takes a request's headers; None: nobody records traces."""
        self._in_force = in_force
        self._api = api
        self._dialect = in_force.current.dialects[api]  # of every configuration
        self._reader = reader
        self._underway = underway
        self._idempotency = idempotency
        self._refused = refused
        self._room = room
        self._begin_trace = begin_trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        team = scope[CALLER].team
        error = self._room.enter(team)
        if error is not None:
            await self._refuse(send, error, scope[REQUEST_ID])
            return
        try:
            await self._carry(scope, receive, send)
        finally:
            self._room.leave(team)

    async def _carry(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = self._in_force.current
        received_s: float = scope.get(CAME_S) or before.monotonic_s()
        trace = None if self._begin_trace is None else self._begin_trace(scope["headers"])
        request_id: str = scope[REQUEST_ID]
        caller: Caller = scope[CALLER]
        try:
            require_api(caller, self._api)
            controls = controls_from(scope["headers"])
            key = one_header(scope, b"idempotency-key")
            body = await read_body(scope, receive, limit_bytes=before.snapshot.settings.max_body_bytes)
            request = await read_request(self._reader, body, self._room.readers)
        except PenstockError as error:
            self._refused(error.code)
            await self._refuse(send, error, request_id)
            return
        except ClientGone:
            return
        if self._underway.is_cut_off:  # it was still being sent then
            await self._refuse(send, _stopping(), request_id)
            return
        exchange = Exchange(
            self._in_force.current,  # from here to its end
            caller=caller,
            request=request,
            controls=controls,
            request_id=request_id,
            received_s=received_s,
            trace_id=trace_id_of(scope["headers"]) if trace is None else trace.recorded_id,
            trace=trace,
        )
        if controls.is_dry_run:
            await self._answer_dry_run(exchange, send)
        elif key is None or request.is_stream:
            await self._answer(exchange, receive, send, send_now=scope.get(SEND_NOW, takes_nothing))
        else:
            asked = b"\0".join((self._api.encode(), repr(controls).encode(), _bounds_of(caller.scope), body))
            await self._answer_once(exchange, caller, key, asked, receive, send)

    async def _answer_once(
        self, exchange: Exchange, caller: Caller, key: str, asked: bytes, receive: Receive, send: Send
    ) -> None:
        """Answer as before, if the request was answered before."""
        try:
            async with self._idempotency.once(caller.team, key, asked, request_id=exchange.request_id) as once:
                if once.answer is None:
                    await self._answer(exchange, receive, send, once=once)
                    return
                again = [(b"idempotent-replayed", b"true"), (b"x-original-request-id", once.answer.request_id.encode())]
                await send_body(send, once.answer.body, headers=[*once.answer.headers, *again])
        except PenstockError as error:
            self._refused(error.code)
            await self._refuse(send, error, exchange.request_id)

    async def _answer(
        self,
        exchange: Exchange,
        receive: Receive,
        send: Send,
        *,
        once: Once | None = None,
        send_now: Take = takes_nothing,
    ) -> None:
        client = Client(
            exchange,
            receive,
            send,
            headers=self._headers,
            comment_every_s=exchange.comment_every_s,
            once=once,
            send_now=send_now,
        )
        async with exchange:
            self._underway.enter(client)
            try:
                if not exchange.request.is_stream:
                    await self._serve(exchange, client)
                    return
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.watch)
                    await self._serve(exchange, client)
                    tasks.cancel_scope.cancel()
            finally:
                self._underway.leave(client)

    async def _serve(self, exchange: Exchange, client: Client) -> None:
        try:
            is_answered = await client.wait()
        except PenstockError as error:
            if exchange.plan is None:
                self._refused(error.code)
            await client.refuse(error)
            return
        if not is_answered:
            await client.refuse(_stopping())
        elif exchange.body is None:
            await client.relay()
        else:
            await exchange.settle_told()
            await client.give(exchange.body, headers=_costs(exchange))

    async def _answer_dry_run(self, exchange: Exchange, send: Send) -> None:
        try:
            plan = await exchange.plan_only()
        except PenstockError as error:
            await self._refuse(send, error, exchange.request_id)
            return
        await send_json(send, as_data(plan.decision, plan.profile))

    async def _refuse(self, send: Send, error: PenstockError, request_id: str) -> None:
        await send_error(send, error, body=self._dialect.error_body(error, request_id=request_id))

    def _headers(self, exchange: Exchange) -> list[tuple[bytes, bytes]]:
        headers = [(b"x-penstock-config", exchange.config_version.encode())]
        if exchange.plan is not None:
            headers.append((b"x-penstock-decision", exchange.plan.decision.name.encode("ascii", "replace")))
        if exchange.recall is not None:
            headers.extend(_of_cache(exchange.recall))
        if (left := exchange.pace_left) is not None:
            headers += pace_headers(left)
        call = exchange.answered
        if call is not None:
            deployment = call.candidate.deployment
            headers.append((b"x-penstock-model", deployment.model.name.encode()))
            headers.append((b"x-penstock-provider", deployment.provider.name.encode()))
            if call.candidate.effort_in_force is not None:
                headers.append((b"x-penstock-effort", call.candidate.effort_in_force.value.encode()))
            if exchange.verdict is not None:
                headers.append((b"x-penstock-verified", _verified(exchange.verdict)))
            if call.ended_s is not None:
                headers.append((b"openai-processing-ms", str(round((call.ended_s - call.started_s) * 1000)).encode()))
        return headers


def require_api(caller: Caller, api: Api) -> None:
    """Raises OutsideKeyScope if the caller's key may not ask by that API."""
    apis = caller.scope.apis
    if apis is not None and api not in apis:
        raise OutsideKeyScope(f"This API key may ask only by {', '.join(sorted(apis))}, and not by {api.value}.")


def _bounds_of(scope: KeyScope) -> bytes:
    """What decides which answers a key may be given; nothing for one that may have every answer of its team."""
    if scope.models is None and scope.aliases is None:
        return b""
    return repr([sorted(names) if names is not None else None for names in (scope.models, scope.aliases)]).encode()


def _stopping() -> Unavailable:
    return Unavailable("This instance is being stopped, and the answer took longer than it could wait. Ask again.")


def _costs(exchange: Exchange) -> Headers:
    cost, saved = exchange.cost_nano_usd, exchange.saved_nano_usd
    headers = [] if cost is None else [(b"x-penstock-cost-usd", usd_text(cost).encode())]
    if saved is not None:
        headers.append((b"x-penstock-saved-usd", usd_text(saved).encode()))
    return headers


def _of_cache(recall: Recall) -> Headers:
    found = recall.found
    if found is None:
        return [(b"x-penstock-cache", b"miss")]
    return [
        (b"x-penstock-cache", b"hit"),
        (b"age", str(recall.age_s).encode()),
        (b"x-penstock-model", found.model.encode()),
        (b"x-penstock-provider", found.provider.encode()),
        (b"x-original-request-id", found.request_id.encode()),
    ]


def _verified(verdict: Verdict) -> bytes:
    if verdict.failed is not None:
        return b"false"
    return b"true" if verdict.is_known else b"unknown"
