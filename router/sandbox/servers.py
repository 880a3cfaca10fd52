"""The other OpenAI-compatible servers the sandbox stands in for, each under a path of its own.

| path | what |
|---|---|
| /deepseek and /deepseek/v1 | DeepSeek's own API: no cost in the usage, cache hits and misses, peak hours |
| /local/v1 | a model server on one's own machine (vLLM, llama.cpp): nothing costs, nothing is recorded; its vectors are
numbers whatever was asked for, and it judges texts |

Neither has OpenRouter's `/generation`; both are on `/sandbox/bill`, what the local server does at nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.sandbox.chat_wire import ChatDialect
from router.sandbox.control import json_response
from router.sandbox.desk import Desk, GeneratingEndpoint
from router.sandbox.embeddings import LOCAL_EMBEDDING_STOCK, EmbeddingDialect, read_embedding_request
from router.sandbox.json_text import JsonObject
from router.sandbox.manners import DEEPSEEK, LOCAL, Manners
from router.sandbox.market import Market
from router.sandbox.moderations import moderate
from router.sandbox.offer import Offer, PeakHours, Provider, Rates
from router.sandbox.requests import ChatRequest, chat_request, read_chat_request, read_object
from router.sandbox.stock import STOCK, Stock, usd_per_mtok


def server_routes(desk: Desk) -> list[Route]:
    """Their endpoints. They share all with OpenRouter's but manners and market."""
    local = replace(desk, manners=LOCAL, market=Market(_LOCAL.stock))
    embeddings = GeneratingEndpoint(
        local, read=read_embedding_request, dialect=EmbeddingDialect, stock=LOCAL_EMBEDDING_STOCK
    )
    return [
        *(route for server in (_DEEPSEEK, _LOCAL) for route in _routes(desk, server)),
        Route("/local/v1/embeddings", embeddings, methods=["POST"]),
        Route("/local/v1/moderations", moderate, methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Server:
    manners: Manners
    stock: Stock
    paths: tuple[str, ...]
    read: Callable[[bytes], ChatRequest]
    listed: Callable[[Offer], JsonObject]


def _routes(desk: Desk, server: _Server) -> list[Route]:
    own = replace(desk, manners=server.manners, market=Market(server.stock))
    chat = GeneratingEndpoint(own, read=server.read, dialect=ChatDialect)

    async def models(_: Request) -> Response:
        return json_response({"object": "list", "data": [server.listed(offer) for offer in server.stock.offers]})

    routes = []
    for path in server.paths:
        routes.append(Route(f"{path}/chat/completions", chat, methods=["POST"]))
        routes.append(Route(f"{path}/models", models))
    return routes


# ----- DeepSeek


def _read_deepseek_request(body: bytes) -> ChatRequest:
    """DeepSeek's `thinking` is its `reasoning`."""
    fields = read_object(body)
    match fields.pop("thinking", None):
        case {"type": "disabled"}:
            fields |= {"reasoning": {"effort": "none"}}
            fields.pop("reasoning_effort", None)
        case {"type": "enabled"}:
            fields.setdefault("reasoning_effort", "high")
    return chat_request(fields)


def _deepseek_listed(offer: Offer) -> JsonObject:
    return {"id": offer.id, "object": "model", "owned_by": "deepseek"}


def _deepseek_offer(model: str, *, rates: Rates, peak: Rates) -> Offer:
    sold = STOCK.find(f"deepseek/{model}")
    assert sold is not None
    return replace(
        sold,
        id=model,
        canonical_slug=model,
        max_completion_tokens=384_000,
        rates=rates,
        peak=PeakHours(((100, 400), (600, 1000)), peak),
        provider=Provider("DeepSeek", "deepseek", cancel_stops_billing=True),
    )


# Prices in force since 2026-09-10 (Flash) and 2026-08-17 (Pro), from genai-prices 0.2.3; twice that in peak hours.
_DEEPSEEK = _Server(
    DEEPSEEK,
    Stock(
        (
            _deepseek_offer(
                "deepseek-v4-flash",
                rates=usd_per_mtok("0.15", "0.6", "0.003"),
                peak=usd_per_mtok("0.3", "1.2", "0.006"),
            ),
            _deepseek_offer(
                "deepseek-v4-pro",
                rates=usd_per_mtok("0.66", "1.98", "0.022"),
                peak=usd_per_mtok("1.32", "3.96", "0.044"),
            ),
        )
    ),
    ("/deepseek", "/deepseek/v1"),
    _read_deepseek_request,
    _deepseek_listed,
)

# ----- a local server


def _local_listed(offer: Offer) -> JsonObject:
    return {
        "id": offer.id,
        "object": "model",
        "created": offer.created,
        "owned_by": "vllm",
        "root": offer.id,
        "parent": None,
        "max_model_len": offer.context_length,
    }


def _local_offer(model: str, *, like: str, context_length: int, tokens_per_s: float) -> Offer:
    sold = STOCK.find(like)
    assert sold is not None
    return replace(
        sold,
        id=model,
        canonical_slug=model,
        context_length=context_length,
        max_completion_tokens=context_length,
        rates=Rates(prompt=Decimal(0), completion=Decimal(0)),
        # A hang-up ends the work, and there is nothing to bill.
        provider=Provider("local", "local", cancel_stops_billing=True),
        temper=replace(sold.temper, time_to_first_token_s=0.2, tokens_per_s=tokens_per_s),
    )


_FLASH = "deepseek/deepseek-v4-flash"
_LOCAL = _Server(
    LOCAL,
    Stock(
        (
            _local_offer("deepseek-v4-flash-q4_k_m", like=_FLASH, context_length=65_536, tokens_per_s=25),
            _local_offer("qwen3-8b", like=_FLASH, context_length=32_768, tokens_per_s=60),
        )
    ),
    ("/local/v1",),
    read_chat_request,
    _local_listed,
)
