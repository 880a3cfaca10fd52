"""`POST /embeddings`: texts in, vectors of length one out. Texts that share words are near to one another."""

import base64
import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from router.sandbox.billing import Charge, Tokens
from router.sandbox.chat_wire import error_body, openrouter_headers
from router.sandbox.faults import Quirk
from router.sandbox.json_text import JsonObject
from router.sandbox.offer import Offer, Provider, Rates, Temper
from router.sandbox.orders import Order
from router.sandbox.refusals import invalid
from router.sandbox.requests import ChatRequest, chat_request, read_object, text_of
from router.sandbox.stock import Stock

_PLACES_PER_WORD = 8
_LARGEST_INPUT = 2_048
"""Texts in one request, as at OpenAI."""


def read_embedding_request(body: bytes) -> ChatRequest:
    """The request in `body`, each input a message. Raises Refusal (400) saying which parameter is wrong."""
    fields = read_object(body)
    if fields.get("encoding_format") not in (None, "float", "base64"):
        raise invalid("Invalid request parameters: `encoding_format` must be float or base64")
    dimensions = fields.get("dimensions")
    if dimensions is not None and (not isinstance(dimensions, int) or dimensions < 1):
        raise invalid("Invalid request parameters: `dimensions` must be an integer of at least 1")
    messages = [{"role": "user", "content": text} for text in texts_in(fields.get("input"), "input")]
    asked = {key: value for key, value in fields.items() if key in ("model", "provider", "user")}
    request = chat_request(asked | {"messages": messages}, is_plain=True)
    wish = {"encoding_format": fields.get("encoding_format"), "dimensions": dimensions}
    return replace(request, choices=0, embedding=wish)


class EmbeddingDialect:
    """One order as embeddings. There are no streams of them."""

    api_type = "embeddings"

    def __init__(self, order: Order) -> None:
        self._order = order

    def headers(self) -> dict[str, str]:
        return openrouter_headers(self._order.id) if self._order.manners.names_provider else {}

    def usage(self, tokens: Tokens, cost: Charge) -> JsonObject:
        counts: JsonObject = {"prompt_tokens": tokens.prompt, "total_tokens": tokens.prompt}
        tells = self._order.manners.reports_cost and self._order.fault.quirk is not Quirk.NO_COST
        return counts | {"cost": cost.total_usd} if tells else counts

    def whole(self, usage: JsonObject) -> JsonObject:
        request, offer = self._order.admission.request, self._order.admission.offer
        wish = request.embedding or {}
        size = min(wish.get("dimensions") or _DIMENSIONS[offer.id], _DIMENSIONS[offer.id])
        # A server on one's own machine may not know of base64, as llama.cpp did not for long.
        packed = _base64 if wish.get("encoding_format") == "base64" and self._order.manners.names_provider else list
        vectors = [packed(vector(text_of(message), size)) for message in request.messages]
        body: JsonObject = {
            "object": "list",
            "data": [{"object": "embedding", "embedding": each, "index": i} for i, each in enumerate(vectors)],
            "model": self._order.admission.model,
            "id": self._order.id,
        }
        if self._order.manners.names_provider:
            body["provider"] = offer.provider.name
        lacks_usage = self._order.fault.quirk in (Quirk.NO_USAGE, Quirk.LATE_RECORD)
        return body if lacks_usage else body | {"usage": usage}

    def whole_broken(self) -> JsonObject:
        return self.error_body()

    def error_body(self) -> JsonObject:
        return error_body(self._order.id)


def vector(text: str, size: int) -> list[float]:
    """A vector of length one: each word adds to a few places that its hash names."""
    places = [0.0] * size
    for word in text.lower().split() or [""]:
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=5 * _PLACES_PER_WORD).digest()
        for start in range(0, len(digest), 5):
            place = int.from_bytes(digest[start : start + 4], "big") % size
            places[place] += 1.0 if digest[start + 4] & 1 else -1.0
    length = math.sqrt(sum(each * each for each in places)) or 1.0
    return [each / length for each in places]


def _base64(values: list[float]) -> str:
    """Little-endian 32-bit floats, which is what OpenAI's clients ask for unless told otherwise."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def texts_in(value: object, name: str) -> list[str]:
    """The texts of a member that holds one, several, or tokens. Raises Refusal (400)."""
    match value:
        case str():
            return [value]
        case [int(), *_]:
            return [_token_text(value)]
        case [_, *_] if len(value) <= _LARGEST_INPUT:
            return [_text(item) for item in value]
    raise invalid(f"Invalid request parameters: `{name}` must be a text, tokens, or an array of at most 2048 of them")


def _text(item: object) -> str:
    match item:
        case str():
            return item
        case [int(), *_]:
            return _token_text(item)
        case {"content": [*parts]}:
            return text_of({"content": parts})
    raise invalid("Invalid request parameters: an array holds something that is neither a text nor tokens")


def _token_text(tokens: Sequence[object]) -> str:
    """A text of as many tokens: nobody here knows what the numbers stand for."""
    return "".join(f" {chr(ord('a') + token % 26)}" for token in tokens if isinstance(token, int))


_TEMPER = Temper(
    time_to_first_token_s=0.08,
    tokens_per_s=1_000,
    words=0,
    words_per_chunk=1,
    skill=1,
    tokenizer_percent=100,
    tools_tokens=0,
    image_tokens=0,
)


def _offer(model: str, name: str, provider: Provider, *, usd_per_mtok: str, context_length: int) -> Offer:
    return Offer(
        id=model,
        canonical_slug=model,
        name=name,
        created=1_761_000_000,
        context_length=context_length,
        max_completion_tokens=0,
        rates=Rates(prompt=Decimal(usd_per_mtok).scaleb(-6), completion=Decimal(0)),
        long_context=None,
        provider=provider,
        input_modalities=("text",),
        tokenizer="Other",
        is_moderated=False,
        supported_parameters=(),
        reasoning=None,
        caching="automatic",
        temper=_TEMPER,
    )


_OPENAI = Provider("OpenAI", "openai", cancel_stops_billing=True)
_NEBIUS = Provider("Nebius", "nebius", cancel_stops_billing=False)
# Prices and sizes as their makers publish them; OpenRouter's own list of embedding models was not at hand.
EMBEDDING_STOCK = Stock(
    (
        _offer(
            "openai/text-embedding-3-small",
            "OpenAI: Text Embedding 3 Small",
            _OPENAI,
            usd_per_mtok="0.02",
            context_length=8_192,
        ),
        _offer(
            "openai/text-embedding-3-large",
            "OpenAI: Text Embedding 3 Large",
            _OPENAI,
            usd_per_mtok="0.13",
            context_length=8_192,
        ),
        _offer(
            "qwen/qwen3-embedding-8b",
            "Qwen: Qwen3 Embedding 8B",
            _NEBIUS,
            usd_per_mtok="0.01",
            context_length=32_768,
        ),
    )
)
# A hang-up ends the work, and there is nothing to bill.
_LOCAL = Provider("local", "local", cancel_stops_billing=True)
LOCAL_EMBEDDING_STOCK = Stock(
    (_offer("bge-m3", "BGE M3", _LOCAL, usd_per_mtok="0", context_length=8_192),),
)
_DIMENSIONS = {
    "bge-m3": 1_024,
    "openai/text-embedding-3-small": 1_536,
    "openai/text-embedding-3-large": 3_072,
    "qwen/qwen3-embedding-8b": 4_096,
}
