"""Builds the sandbox: an ASGI application with OpenRouter's paths, and `/sandbox/...` for whoever tests against it.

| path | what |
|---|---|
| POST /api/v1/chat/completions | answers, streamed or whole |
| GET /api/v1/models, /api/v1/models/{id}/endpoints | what is on sale, no key needed |
| GET /api/v1/key, /api/v1/generation?id= | the account; one generation once its billing has ended |
| GET, DELETE /sandbox/bill | every generation with its nano-dollars; DELETE begins a new bill |
| GET, DELETE /sandbox/requests | the last chat requests as received, without secrets |
| GET, PATCH, DELETE /sandbox/market | prices and names that change while requests go on: see `market.py` |
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from router.sandbox import accounts, listing
from router.sandbox.answers import Writer
from router.sandbox.billing import Bill
from router.sandbox.chat import ChatEndpoint, Desk
from router.sandbox.connection import Connection
from router.sandbox.faults import FaultSource
from router.sandbox.json_text import encode
from router.sandbox.market import Market
from router.sandbox.prompt_cache import Clock, PromptCache
from router.sandbox.prompt_tokens import TokenCounter
from router.sandbox.refusals import Refusal, invalid, not_found
from router.sandbox.request_log import RequestLog
from router.sandbox.seeds import repeatable
from router.sandbox.stock import STOCK, Stock

_LARGEST_PAGE = 1_000


def sandbox_app(
    *,
    count_tokens: TokenCounter,
    clock: Clock,
    time_scale: float = 1.0,
    seed: int = 0,
    fault_rate: float = 0.0,
    stock: Stock = STOCK,
) -> ASGIApp:
    """A simulated OpenRouter with an empty bill.

    `count_tokens` counts o200k_base tokens; it is called from worker threads for long prompts. `clock` gives the time
    in UTC; it dates generations and ends prompt caches. Delays are real seconds times `time_scale`; 0 means none.
    `fault_rate` is the share of requests, 0 to 1, that go wrong without being asked to. `stock` is what is on sale.
    Must run directly under uvicorn: middleware that wraps `send` takes away the means to drop a connection.
    """
    desk = Desk(
        market=Market(stock),
        writer=Writer(count_tokens=count_tokens, seed=seed),
        faults=FaultSource(rate=fault_rate, seed=repeatable("faults", seed)),
        cache=PromptCache(clock=clock),
        bill=Bill(),
        log=RequestLog(),
        clock=clock,
        ids=repeatable("ids", seed, clock().isoformat()),
        time_scale=time_scale,
    )
    counter = _Counter(desk)
    return Router(
        routes=[
            Route("/api/v1/chat/completions", ChatEndpoint(desk), methods=["POST"]),
            Route("/api/v1/models", counter.models),
            Route("/api/v1/models/{model:path}/endpoints", counter.endpoints),
            Route("/api/v1/key", counter.key),
            Route("/api/v1/generation", counter.generation),
            Route("/sandbox/bill", counter.bill, methods=["GET", "DELETE"]),
            Route("/sandbox/requests", counter.requests, methods=["GET", "DELETE"]),
            Route("/sandbox/market", counter.market, methods=["GET", "PATCH", "DELETE"]),
        ],
        default=_no_such_path,
    )


class _Counter:
    """The endpoints that answer from what is known already."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def models(self, request: Request) -> Response:
        try:
            offset = int(request.query_params.get("offset", 0))
            limit = int(request.query_params.get("limit", _LARGEST_PAGE))
        except ValueError:
            return _refused(invalid("`offset` and `limit` must be integers"))
        if offset < 0 or not 1 <= limit <= _LARGEST_PAGE:
            return _refused(invalid(f"`offset` must not be negative, `limit` lies between 1 and {_LARGEST_PAGE}"))
        market = self._desk.market
        if market.listing == "down":
            return _refused(Refusal(503, "Service temporarily unavailable"))
        offers = () if market.listing == "empty" else market.stock.offers
        body = encode(listing.page(offers, offset=offset, limit=limit, shown=market.shown))
        if market.listing == "broken":
            body = body[: len(body) // 2]
        return Response(body, media_type="application/json", headers=listing.HEADERS)

    async def endpoints(self, request: Request) -> Response:
        model = request.path_params["model"]
        offer = self._desk.market.stock.find(model)
        return _json(listing.endpoints(offer)) if offer else _refused(not_found(f"Model {model} not found"))

    async def key(self, request: Request) -> Response:
        try:
            key = accounts.authenticate(request.headers)
        except Refusal as refusal:
            return _refused(refusal)
        return _json(accounts.describe(key, used_usd=self._desk.bill.total_usd()))

    async def generation(self, request: Request) -> Response:
        generation_id = request.query_params.get("id", "")
        try:
            accounts.authenticate(request.headers)
        except Refusal as refusal:
            return _refused(refusal)
        generation = self._desk.bill.find(generation_id)
        if generation is None:
            return _refused(not_found(f"Generation {generation_id} not found"))
        return _json({"data": generation.record()})

    async def bill(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._desk.bill.reset()
        return _json(self._desk.bill.as_json())

    async def market(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._desk.market.reset()
        elif request.method == "PATCH":
            try:
                self._desk.market.change(await request.body())
            except Refusal as refusal:
                return _refused(refusal)
        return _json(self._desk.market.as_json())

    async def requests(self, request: Request) -> Response:
        if request.method == "DELETE":
            self._desk.log.reset()
        return _json(self._desk.log.as_json())


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    refusal = not_found(f"No such path: {scope['path']}")
    await Connection(receive, send).respond(refusal.status, refusal.body(), {})


def _json(body: object) -> Response:
    return Response(encode(body), media_type="application/json")


def _refused(refusal: Refusal) -> Response:
    return Response(
        encode(refusal.body()), status_code=refusal.status, media_type="application/json", headers=refusal.headers
    )
