"""The models on sale as OpenRouter lists them: prices are strings, in USD per token."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from router.sandbox.json_text import JsonObject
from router.sandbox.offer import Offer, PeakHours, Rates

HEADERS = {"cache-control": "public, max-age=300, stale-while-revalidate=3600, stale-if-error=3600"}
"""How long `/models` may be kept (wire, 2026-08)."""


def page(
    offers: tuple[Offer, ...],
    *,
    offset: int,
    limit: int,
    now: datetime,
    listed: Mapping[str, JsonObject],
    has_oddities: bool = False,
    outputs: str = "text",
) -> JsonObject:
    """The body of `/models`, from `offset`, at most `limit` of them; `listed` replaces members of some."""
    models = [_model(offer, now, outputs) | listed.get(offer.id, {}) for offer in offers]
    if has_oddities and offers:
        models += _oddities(offers[0], now)
    end = offset + limit
    following = f"/api/v1/models?offset={end}&limit={limit}" if end < len(models) else None
    return {"data": models[offset:end], "total_count": len(models), "links": {"next": following}}


def endpoints(offer: Offer, *, now: datetime, is_out: bool) -> JsonObject:
    """The body of `/models/{id}/endpoints`: every model here has one endpoint."""
    endpoint = {
        "name": f"{offer.provider.name} | {offer.canonical_slug}",
        "model_id": offer.id,
        "model_name": offer.name,
        "context_length": offer.context_length,
        "pricing": _pricing(offer, now) | {"discount": 0},
        "provider_name": offer.provider.name,
        "tag": offer.provider.slug,
        "quantization": "unknown",
        "max_completion_tokens": offer.max_completion_tokens,
        "max_prompt_tokens": None,
        "supported_parameters": list(offer.supported_parameters),
        "status": -1 if is_out else 0,
        "uptime_last_30m": 50 if is_out else 100,
        "uptime_last_5m": None,
        "uptime_last_1d": 100,
        "supports_implicit_caching": offer.caching == "automatic",
        "latency_last_30m": None,
        "throughput_last_30m": None,
    }
    described = {key: value for key, value in _model(offer, now).items() if key in _DESCRIPTION}
    return {"data": described | {"endpoints": [endpoint]}}


_DESCRIPTION = frozenset({"id", "name", "created", "description", "architecture"})
_DEFAULT_PARAMETERS = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "repetition_penalty")


def _model(offer: Offer, now: datetime, outputs: str = "text") -> JsonObject:
    model: JsonObject = {
        "id": offer.id,
        "canonical_slug": offer.canonical_slug,
        "hugging_face_id": "",
        "name": offer.name,
        "created": offer.created,
        "description": f"{offer.name}, as sold by the sandbox.",
        "context_length": offer.context_length,
        "architecture": {
            "modality": f"{'+'.join(offer.input_modalities)}->{outputs}",
            "input_modalities": list(offer.input_modalities),
            "output_modalities": [outputs],
            "tokenizer": offer.tokenizer,
            "instruct_type": None,
        },
        "pricing": _pricing(offer, now),
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


def _oddities(offer: Offer, now: datetime) -> Iterator[JsonObject]:
    """What OpenRouter lists and nobody should take for a model: a router, a batch id, an alias, one without limits."""
    model = _model(offer, now)
    unpriced = {"prompt": "-1", "completion": "-1"}
    half = {name: _plain(Decimal(price) / 2) for name, price in model["pricing"].items() if name != "overrides"}
    yield model | {"id": "openrouter/auto", "canonical_slug": "openrouter/auto", "pricing": unpriced}
    yield model | {"id": f"{offer.id}:batch", "pricing": half}
    yield model | {"id": f"~{offer.id}-latest", "alias_target": {"slug": offer.id, "name": offer.name}}
    limits = {"context_length": None, "max_completion_tokens": None, "is_moderated": False}
    bare = {"top_provider": limits, "default_parameters": {}, "hugging_face_id": None}
    yield model | bare | {"id": "openrouter/unlimited", "canonical_slug": "openrouter/unlimited"}


def _pricing(offer: Offer, now: datetime) -> JsonObject:
    pricing: JsonObject = _rates(offer.at(now).rates)
    overrides: list[JsonObject] = []
    if offer.peak is not None:
        overrides += _hours(offer.peak, offer.rates)
    if offer.long_context is not None:
        tier = {"min_prompt_tokens": offer.long_context.above_prompt_tokens} | _rates(offer.long_context.rates)
        overrides.append(tier)
    return pricing | ({"overrides": overrides} if overrides else {})


def _hours(peak: PeakHours, base: Rates) -> Iterator[JsonObject]:
    """Every hour of the day is named, since the prices above them are those of the hour in which they are read."""
    windows = sorted(peak.windows)
    for position, (start, end) in enumerate(windows):
        yield {"utc_start": start, "utc_end": end} | _rates(peak.rates)
        following = windows[(position + 1) % len(windows)][0]
        if following != end:
            yield {"utc_start": end, "utc_end": following} | _rates(base)


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
