"""The models on sale as OpenRouter lists them: prices are strings, in USD per token."""

from collections.abc import Mapping
from decimal import Decimal

from router.sandbox.json_text import JsonObject
from router.sandbox.offer import Offer, Rates

HEADERS = {"cache-control": "public, max-age=300, stale-while-revalidate=3600, stale-if-error=3600"}
"""How long `/models` may be kept (wire, 2026-08)."""


def page(
    offers: tuple[Offer, ...], *, offset: int, limit: int, shown: Mapping[str, JsonObject] | None = None
) -> JsonObject:
    """The body of `/models`, from `offset`, at most `limit` of them; `shown` replaces the pricing of some."""
    end = offset + limit
    following = f"/api/v1/models?offset={end}&limit={limit}" if end < len(offers) else None
    return {
        "data": [_model(offer) | _replaced(offer, shown or {}) for offer in offers[offset:end]],
        "total_count": len(offers),
        "links": {"next": following},
    }


def endpoints(offer: Offer) -> JsonObject:
    """The body of `/models/{id}/endpoints`: every model here has one endpoint."""
    endpoint = {
        "name": f"{offer.provider.name} | {offer.canonical_slug}",
        "model_id": offer.id,
        "model_name": offer.name,
        "context_length": offer.context_length,
        "pricing": _pricing(offer) | {"discount": 0},
        "provider_name": offer.provider.name,
        "tag": offer.provider.slug,
        "quantization": "unknown",
        "max_completion_tokens": offer.max_completion_tokens,
        "max_prompt_tokens": None,
        "supported_parameters": list(offer.supported_parameters),
        "status": 0,
        "uptime_last_30m": 100,
        "uptime_last_5m": None,
        "uptime_last_1d": 100,
        "supports_implicit_caching": offer.caching == "automatic",
        "latency_last_30m": None,
        "throughput_last_30m": None,
    }
    described = {key: value for key, value in _model(offer).items() if key in _DESCRIPTION}
    return {"data": described | {"endpoints": [endpoint]}}


_DESCRIPTION = frozenset({"id", "name", "created", "description", "architecture"})
_DEFAULT_PARAMETERS = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "repetition_penalty")


def _model(offer: Offer) -> JsonObject:
    model: JsonObject = {
        "id": offer.id,
        "canonical_slug": offer.canonical_slug,
        "hugging_face_id": "",
        "name": offer.name,
        "created": offer.created,
        "description": f"{offer.name}, as sold by the sandbox.",
        "context_length": offer.context_length,
        "architecture": {
            "modality": f"{'+'.join(offer.input_modalities)}->text",
            "input_modalities": list(offer.input_modalities),
            "output_modalities": ["text"],
            "tokenizer": offer.tokenizer,
            "instruct_type": None,
        },
        "pricing": _pricing(offer),
        "top_provider": {
            "context_length": offer.context_length,
            "max_completion_tokens": offer.max_completion_tokens,
            "is_moderated": offer.is_moderated,
        },
        "per_request_limits": None,
        "supported_parameters": sorted(offer.supported_parameters),
        "default_parameters": dict.fromkeys(_DEFAULT_PARAMETERS),
        "supported_voices": None,
        "knowledge_cutoff": None,
        "expiration_date": None,
        "links": {"details": f"/api/v1/models/{offer.canonical_slug}/endpoints"},
    }
    if offer.reasoning is not None:
        model["reasoning"] = {
            "mandatory": offer.reasoning.is_mandatory,
            "default_enabled": offer.reasoning.reasons_unasked,
            "supported_efforts": list(offer.reasoning.efforts),
            "default_effort": offer.reasoning.default_effort,
        }
    return model


def _replaced(offer: Offer, shown: Mapping[str, JsonObject]) -> JsonObject:
    return {"pricing": shown[offer.id]} if offer.id in shown else {}


def _pricing(offer: Offer) -> JsonObject:
    pricing: JsonObject = _rates(offer.rates)
    if offer.long_context is not None:
        tier = {"min_prompt_tokens": offer.long_context.above_prompt_tokens} | _rates(offer.long_context.rates)
        pricing["overrides"] = [tier]
    return pricing


def _rates(rates: Rates) -> JsonObject:
    prices = {
        "prompt": rates.prompt,
        "completion": rates.completion,
        "request": rates.request,
        "image": rates.image,
        "input_cache_read": rates.cache_read,
        "input_cache_write": rates.cache_write,
    }
    return {name: _plain(price) for name, price in prices.items() if price is not None}


def _plain(usd_per_token: Decimal) -> str:
    """Without exponent and without trailing zeros: 0.00000009."""
    return f"{usd_per_token.normalize():f}"
