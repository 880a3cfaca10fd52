"""Builds the sandbox: an ASGI application with OpenRouter's paths, and `/sandbox/...` for whoever tests against it.

| path | what |
|---|---|
| POST /api/v1/chat/completions, /api/v1/completions, /api/v1/responses | answers, streamed or whole |
| POST /api/v1/messages | the same by Anthropic's API |
| POST /api/v1/embeddings | vectors, as floats or base64 |
| GET /api/v1/models, /api/v1/models/count, /api/v1/models/{id}/endpoints | what is on sale, no key needed |
| GET /api/v1/embeddings/models | the same of embeddings |
| GET /api/v1/key, /api/v1/credits | the account; the latter for management keys |
| GET /api/v1/generation?id= | one generation once its billing has ended |
| /deepseek/..., /local/v1/... | other servers: see `servers` |
| /sandbox/... | for whoever tests against it: see `control` |
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from router.sandbox import listing
from router.sandbox.accounts import Account, authenticate, require_management_key
from router.sandbox.answers import Writer
from router.sandbox.billing import Bill
from router.sandbox.chat_wire import ChatDialect
from router.sandbox.completions import CompletionDialect, read_completion_request
from router.sandbox.conduct import Conduct
from router.sandbox.connection import Connection
from router.sandbox.control import Control, json_response, refused
from router.sandbox.desk import Desk, GeneratingEndpoint
from router.sandbox.embeddings import EMBEDDING_STOCK, EmbeddingDialect, read_embedding_request
from router.sandbox.fault_source import FaultSource
from router.sandbox.json_text import encode
from router.sandbox.manners import OPENROUTER
from router.sandbox.market import Market
from router.sandbox.messages import MessagesDialect, error_envelope, read_messages_request
from router.sandbox.prompt_cache import Clock, PromptCache
from router.sandbox.prompt_tokens import TokenCounter
from router.sandbox.refusals import Refusal, invalid, not_found
from router.sandbox.request_log import RequestLog
from router.sandbox.requests import read_chat_request
from router.sandbox.responses import ResponsesDialect, read_responses_request
from router.sandbox.scenario import Scenario
from router.sandbox.seeds import repeatable
from router.sandbox.servers import server_routes
from router.sandbox.stock import STOCK, Stock

_LARGEST_PAGE = 1_000


def sandbox_app(
    *,
    count_tokens: TokenCounter,
    clock: Clock,
    time_scale: float = 1.0,
    seed: int = 0,
    fault_rate: float = 0.0,
    spread: float = 0.0,
    scenario: bytes | None = None,
    stock: Stock = STOCK,
) -> ASGIApp:
    """A simulated OpenRouter with an empty bill.

    `count_tokens` counts o200k_base tokens; it is called from worker threads for long prompts. `clock` gives the time
    in UTC; it dates generations and ends prompt caches. Delays are real seconds times `time_scale`; 0 means none.
    `fault_rate` is the share of requests, 0 to 1, that go wrong without being asked to. `spread` is how much speeds
    differ from one answer to the next: the standard deviation of their logarithms. `stock` is what is on sale.
    `scenario` is played from the start. Raises Refusal if it cannot be read.
    Must run directly under uvicorn: middleware that wraps `send` takes away the means to drop a connection.
    """
    bill, log = Bill(), RequestLog()
    account = Account(bill)
    desk = Desk(
        manners=OPENROUTER,
        market=Market(stock),
        account=account,
        writer=Writer(count_tokens=count_tokens, seed=seed),
        faults=FaultSource(rate=fault_rate, seed=repeatable("faults", seed)),
        scenario=Scenario(),
        conduct=Conduct(spread=spread, seed=repeatable("conduct", seed)),
        cache=PromptCache(clock=clock),
        bill=bill,
        log=log,
        clock=clock,
        ids=repeatable("ids", seed, clock().isoformat()),
        time_scale=time_scale,
    )
    generating = [
        Route(f"/api/v1/{path}", GeneratingEndpoint(desk, read=read, dialect=dialect, stock=sold), methods=["POST"])
        for path, read, dialect, sold in (
            ("chat/completions", read_chat_request, ChatDialect, None),
            ("completions", read_completion_request, CompletionDialect, None),
            ("responses", read_responses_request, ResponsesDialect, None),
            ("embeddings", read_embedding_request, EmbeddingDialect, EMBEDDING_STOCK),
        )
    ]
    by_messages = GeneratingEndpoint(desk, read=read_messages_request, dialect=MessagesDialect, refused=error_envelope)
    generating.append(Route("/api/v1/messages", by_messages, methods=["POST"]))
    counter, control = _Counter(desk), Control(desk)
    if scenario is not None:
        control.play(scenario)
    return Router(
        routes=[
            *generating,
            Route("/api/v1/models", counter.models),
            Route("/api/v1/models/count", counter.count),
            Route("/api/v1/embeddings/models", counter.embedding_models),
            Route("/api/v1/models/{model:path}/endpoints", counter.endpoints),
            Route("/api/v1/key", counter.key),
            Route("/api/v1/credits", counter.credits),
            Route("/api/v1/generation", counter.generation),
            *server_routes(desk),
            *control.routes(),
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
            limit = int(request.query_params.get("limit", self._desk.market.page_size or _LARGEST_PAGE))
        except ValueError:
            return refused(invalid("`offset` and `limit` must be integers"))
        if offset < 0 or not 1 <= limit <= _LARGEST_PAGE:
            return refused(invalid(f"`offset` must not be negative, `limit` lies between 1 and {_LARGEST_PAGE}"))
        market = self._desk.market
        if market.listing == "down":
            return refused(Refusal(503, "Service temporarily unavailable"))
        offers = () if market.listing == "empty" else market.stock.offers
        body = encode(
            listing.page(
                offers,
                offset=offset,
                limit=limit,
                now=self._desk.clock(),
                listed=market.listed,
                has_oddities=market.has_oddities,
            )
        )
        if market.listing == "broken":
            body = body[: len(body) // 2]
        return Response(body, media_type="application/json", headers=listing.HEADERS)

    async def embedding_models(self, request: Request) -> Response:
        models = listing.page(
            EMBEDDING_STOCK.offers,
            offset=0,
            limit=_LARGEST_PAGE,
            now=self._desk.clock(),
            listed={},
            outputs="embeddings",
        )
        return json_response(models)

    async def count(self, request: Request) -> Response:
        return json_response({"data": {"count": len(self._desk.market.stock.offers)}})

    async def endpoints(self, request: Request) -> Response:
        model = request.path_params["model"]
        offer = self._desk.market.stock.find(model)
        if offer is None:
            return refused(not_found(f"Model {model} not found"))
        return json_response(listing.endpoints(offer, now=self._desk.clock(), is_out=self._desk.conduct.is_out(offer)))

    async def key(self, request: Request) -> Response:
        try:
            key = authenticate(request.headers, self._desk.manners)
        except Refusal as refusal:
            return refused(refusal)
        return json_response(self._desk.account.describe(key))

    async def credits(self, request: Request) -> Response:
        try:
            require_management_key(authenticate(request.headers, self._desk.manners))
        except Refusal as refusal:
            return refused(refusal)
        return json_response(self._desk.account.credits())

    async def generation(self, request: Request) -> Response:
        generation_id = request.query_params.get("id", "")
        try:
            authenticate(request.headers, self._desk.manners)
        except Refusal as refusal:
            return refused(refusal)
        generation = self._desk.bill.read(generation_id, missing_reads=self._desk.account.missing_reads)
        if generation is None or generation.server != "openrouter":
            return refused(not_found(f"Generation {generation_id} not found"))
        return json_response({"data": generation.record()})


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    refusal = not_found(f"No such path: {scope['path']}")
    await Connection(receive, send).respond(refusal.status, refusal.body(), {})
