"""From a request to the generation it leads to: the path that all generating endpoints of a server share."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from router.sandbox.accounts import Account, authenticate
from router.sandbox.admission import Admission, admit
from router.sandbox.answers import Choice, Writer
from router.sandbox.billing import Bill
from router.sandbox.conduct import Conduct
from router.sandbox.connection import Connection
from router.sandbox.failures import Circumstance
from router.sandbox.fault_source import HEADER, FaultSource
from router.sandbox.faults import Fault, Quirk
from router.sandbox.json_text import JsonObject
from router.sandbox.manners import Manners
from router.sandbox.market import Market
from router.sandbox.offer import Offer
from router.sandbox.orders import Order
from router.sandbox.prompt_cache import Clock, PromptCache
from router.sandbox.prompt_tokens import PromptSize, measure
from router.sandbox.refusals import Refusal
from router.sandbox.request_log import RequestLog
from router.sandbox.requests import ChatRequest
from router.sandbox.scenario import Scenario
from router.sandbox.serving import Serving
from router.sandbox.stock import Stock
from router.sandbox.wire import Dialect


@dataclass(frozen=True, slots=True)
class Desk:
    """What the requests to one server are dealt with by. The servers of a sandbox share all but the first two."""

    manners: Manners
    market: Market
    account: Account
    writer: Writer
    faults: FaultSource
    scenario: Scenario
    conduct: Conduct
    cache: PromptCache
    bill: Bill
    log: RequestLog
    clock: Clock
    ids: random.Random
    time_scale: float


class GeneratingEndpoint:
    """An ASGI application. It writes to the connection itself, since it may have to hang up on it.

    `read` understands the body of a request, or raises Refusal; `dialect` words what comes of it. `stock` is what it
    serves; without it, what the market sells. `refused` words its errors; without it, as its server does.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        read: Callable[[bytes], ChatRequest],
        dialect: Callable[[Order], Dialect],
        stock: Stock | None = None,
        refused: Callable[[Refusal], JsonObject] | None = None,
    ) -> None:
        self._desk = desk
        self._refused = refused or desk.manners.refused
        self._stock = stock
        self._read = read
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        desk, connection = self._desk, Connection(receive, send)
        try:
            order = await self._accept(request.headers, body)
        except Refusal as refusal:
            await refuse(connection, refusal, desk.manners, self._refused)
            return
        serving = Serving(
            order,
            self._dialect(order),
            connection=connection,
            bill=desk.bill,
            clock=desk.clock,
            time_scale=desk.time_scale,
        )
        with desk.account.reserved(order):
            await serving.run()

    async def _accept(self, headers: Mapping[str, str], body: bytes) -> Order:
        """The generation this request leads to. Raises Refusal when it leads to none."""
        desk = self._desk
        key = authenticate(headers, desk.manners)
        created_at = desk.clock()
        desk.log.add(at=created_at, headers=headers, body=body)
        request = self._read(body)
        size = await measure(request, desk.writer.count_tokens)
        admission, fault = self._route(request, size, headers.get(HEADER))
        return Order(
            id=desk.manners.new_id(created_at, desk.ids),
            admission=admission,
            cache_use=desk.cache.use(request, size, offer=admission.offer, account=key),
            choices=self._choices(admission, fault),
            fault=fault,
            created_at=created_at,
            pace=desk.conduct.pace(admission.offer),
            manners=desk.manners,
        )

    def _choices(self, admission: Admission, fault: Fault) -> tuple[Choice, ...]:
        if admission.request.choices == 0:
            return ()
        choices = self._desk.writer.write(
            admission,
            empties_arguments=fault.quirk is Quirk.EMPTY_ARGUMENTS,
            breaks_json=fault.quirk is Quirk.BAD_JSON,
        )
        if fault.quirk is Quirk.NO_COMPLETION:
            return tuple(replace(choice, reasoning=(), body=(), tool_call=None) for choice in choices)
        return choices

    def _route(self, request: ChatRequest, size: PromptSize, header: str | None) -> tuple[Admission, Fault]:
        """The first of the request's models that can serve it. Raises the last model's Refusal when none can."""
        desk = self._desk
        refusal = Refusal(404, "No endpoints found.")
        for name in request.models:
            model, _, wish = name.partition("#")
            try:
                sold = (self._stock or desk.market.stock).find(model)
                if sold is None:
                    raise desk.manners.unknown_model(model)
                offer = desk.conduct.of(sold).at(desk.clock())
                fault = self._fault(request, offer, wish or header)
                admission = admit(request, offer, model=desk.market.reply_model(model, offer), size=size)
                desk.account.check(admission)
                met = Circumstance(request, offer, desk.clock(), fault.argument)
                failure = None if fault.failure is None else fault.failure(met)
                if failure is None:
                    return admission, fault
                refusal = failure
            except Refusal as refused:
                refusal = refused
        raise refusal

    def _fault(self, request: ChatRequest, offer: Offer, wish: str | None) -> Fault:
        desk = self._desk
        return (
            desk.faults.wished(request, header=wish, model=offer.id)
            or desk.scenario.fault(offer)
            or desk.conduct.outage(offer)
            or desk.faults.drawn()
        )


async def refuse(
    connection: Connection, refusal: Refusal, manners: Manners, worded: Callable[[Refusal], JsonObject]
) -> None:
    """Says no, in the server's words."""
    await anyio.sleep(refusal.after_s)
    refusal = manners.adapted(refusal)
    if refusal.content is not None:
        headers = {"content-type": "text/html; charset=utf-8"} | refusal.headers
        await connection.send_content(refusal.status, refusal.content, headers)
        return
    await connection.respond(refusal.status, worded(refusal), refusal.headers)
