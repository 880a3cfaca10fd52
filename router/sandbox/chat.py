"""`POST /api/v1/chat/completions`: reads the request, decides what is to happen to it, and has it served."""

import random
import string
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from router.sandbox.accounts import authenticate
from router.sandbox.admission import Admission, admit, find_offer
from router.sandbox.answers import Writer
from router.sandbox.billing import Bill
from router.sandbox.connection import Connection
from router.sandbox.faults import HEADER, Fault, FaultSource
from router.sandbox.market import Market
from router.sandbox.prompt_cache import Clock, PromptCache
from router.sandbox.prompt_tokens import PromptSize, measure
from router.sandbox.refusals import Refusal
from router.sandbox.request_log import RequestLog
from router.sandbox.requests import ChatRequest, read_chat_request
from router.sandbox.serving import Order, Serving

_ID_CHARACTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Desk:
    """What a chat request is dealt with by."""

    market: Market
    writer: Writer
    faults: FaultSource
    cache: PromptCache
    bill: Bill
    log: RequestLog
    clock: Clock
    ids: random.Random
    time_scale: float


class ChatEndpoint:
    """The ASGI application behind the path. It writes to the connection itself, since it may have to hang up on it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        connection = Connection(receive, send)
        try:
            order = await self._accept(request.headers, body)
        except Refusal as refusal:
            await connection.respond(refusal.status, refusal.body(), refusal.headers)
            return
        desk = self._desk
        serving = Serving(order, connection=connection, bill=desk.bill, clock=desk.clock, time_scale=desk.time_scale)
        await serving.run()

    async def _accept(self, headers: Mapping[str, str], body: bytes) -> Order:
        """The generation this request leads to. Raises Refusal when it leads to none."""
        desk = self._desk
        account = authenticate(headers)
        created_at = desk.clock()
        desk.log.add(at=created_at, headers=headers, body=body)
        request = read_chat_request(body)
        size = await measure(request, desk.writer.count_tokens)
        admission, fault = self._route(request, size, headers.get(HEADER))
        choices = desk.writer.write(admission, empties_arguments=fault.empties_arguments, breaks_json=fault.breaks_json)
        return Order(
            id=f"gen-{int(created_at.timestamp())}-{''.join(desk.ids.choices(_ID_CHARACTERS, k=20))}",
            admission=admission,
            cache_use=desk.cache.use(request, size, offer=admission.offer, account=account),
            choices=choices,
            fault=fault,
            created_at=created_at,
        )

    def _route(self, request: ChatRequest, size: PromptSize, wish: str | None) -> tuple[Admission, Fault]:
        """The first of the request's models that can serve it. Raises the last model's Refusal when none can."""
        refusal = Refusal(404, "No endpoints found.")
        for model in request.models:
            try:
                offer = find_offer(model, self._desk.market.stock)
                fault = self._desk.faults.fault_for(request, header=wish, model=offer.id)
                admission = admit(request, offer, model=self._desk.market.reply_model(model, offer), size=size)
                if fault.refusal is None:
                    return admission, fault
                refusal = fault.refusal(request, offer)
            except Refusal as refused:
                refusal = refused
        raise refusal
