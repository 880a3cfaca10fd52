"""The errors a request can be made to meet before anything is generated, in the shapes OpenRouter gave them.

Bodies follow recorded traffic of 2025-11 to 2026-10, where there is any, else OpenRouter's documentation (2026-08).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from types import MappingProxyType
from typing import TypeAlias

from router.sandbox.json_text import JsonObject, encode
from router.sandbox.offer import Offer
from router.sandbox.refusals import ROUTING_HELP, Refusal, no_endpoints
from router.sandbox.requests import ChatRequest


@dataclass(frozen=True, slots=True)
class Circumstance:
    """What a failure may speak of: what was asked, of whom, when, and the argument of the fault."""

    request: ChatRequest
    offer: Offer
    now: datetime
    argument: str


Failure: TypeAlias = Callable[[Circumstance], Refusal | None]
"""The refusal in these circumstances; None when they do not call for one."""

_CREDITS_PAGE = "https://openrouter.ai/settings/credits"
_ERRORS_PAGE = "https://openrouter.ai/docs/errors"

AVAILABILITY: Mapping[str, int] = MappingProxyType(
    {
        "model_not_found": 400,
        "wrong_endpoint": 400,
        "no_endpoints": 404,
        "model_deprecated": 404,
        "model_unavailable_upstream": 404,
        "capacity_exhausted": 429,
        "temporarily_unavailable": 503,
        "region_restricted": 403,
        "privacy_restricted": 404,
        "constraint_filtered": 404,
        "free_variant_ended": 404,
    }
)
"""Codes of the `availability` object and their status (OpenRouter documentation, 2026-08-19)."""
_ERROR_TYPES = {
    400: "invalid_request",
    403: "permission_denied",
    404: "not_found",
    429: "rate_limit_exceeded",
    503: "provider_overloaded",
}
_RETRYABLE = frozenset({"capacity_exhausted", "temporarily_unavailable"})
_EXCLUDED_BY = {
    "region_restricted": "geo",
    "privacy_restricted": "data_policy:zdr",
    "constraint_filtered": "max_price",
}


def upstream(status: int, message: str, error_type: str) -> Failure:
    """An error of the provider, which OpenRouter names."""

    def fail(met: Circumstance) -> Refusal:
        return Refusal(status, message, metadata={"provider_name": met.offer.provider.name, "error_type": error_type})

    return fail


def rate_limited(met: Circumstance) -> Refusal:
    """The provider's rate limit (wire, 2026-10)."""
    return _rate_limited(met, retry_after="1")


def rate_limited_for(met: Circumstance) -> Refusal:
    """The same, for longer than any client should wait; OpenAI's clients give up above 120 s."""
    return _rate_limited(met, retry_after=met.argument)


def rate_limited_until(met: Circumstance) -> Refusal:
    """The same, `Retry-After` being a date."""
    return _rate_limited(met, retry_after=format_datetime(met.now + timedelta(seconds=30), usegmt=True))


def _rate_limited(met: Circumstance, *, retry_after: str) -> Refusal:
    metadata: JsonObject = {
        "raw": f"{met.offer.id} is temporarily rate-limited upstream. Please retry shortly.",
        "provider_name": met.offer.provider.name,
        "is_byok": False,
        "provider_error_code": "engine_overloaded",
        "limit_source": "upstream_provider_shared_pool",
        "remedy_hint": "Retry after a short delay or add your own provider key.",
    }
    return Refusal(429, "Provider returned error", metadata=metadata, headers={"retry-after": retry_after})


def rate_limited_raw(met: Circumstance) -> Refusal:
    """The older form: `raw` is the upstream's own error, as JSON inside a string."""
    raw = encode(
        {"error": {"message": "Rate limit reached", "type": "rate_limit_error", "code": "rate_limit"}}
    ).decode()
    metadata = {"raw": raw, "provider_name": met.offer.provider.name}
    return Refusal(429, "Provider returned error", metadata=metadata)


def free_tier_exhausted(met: Circumstance) -> Refusal:
    """OpenRouter's own limit on free models: the only refusals with `X-RateLimit-…`, whose reset is in milliseconds."""
    midnight = met.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    headers = {
        "X-RateLimit-Limit": "50",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": f"{int(midnight.timestamp())}000",
    }
    return Refusal(
        429,
        "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day",
        metadata={"headers": headers, "limit_source": "openrouter_free_tier_daily"},
        headers={name.lower(): value for name, value in headers.items()},
    )


def out_of_credits(met: Circumstance) -> Refusal:
    """The account cannot afford the answer. OpenRouter reserves the whole output limit when no max_tokens is given."""
    asked = met.request.max_tokens or met.offer.max_completion_tokens
    return cannot_afford(asked, affordable=asked // 4)


def reservation_too_large(met: Circumstance) -> Refusal | None:
    """The account has credits for so many tokens of output; more of them, or an unlimited answer, is refused."""
    affordable = int(met.argument)
    asked = met.request.max_tokens or met.offer.max_completion_tokens
    return cannot_afford(asked, affordable=affordable) if asked > affordable else None


def cannot_afford(asked: int, *, affordable: int) -> Refusal:
    """402, in tokens of output."""
    return Refusal(
        402,
        f"This request requires more credits, or fewer max_tokens. You requested up to {asked} tokens, but can only "
        f"afford {affordable}. To increase, visit {_CREDITS_PAGE} and add more credits",
        metadata={
            "limit_source": "openrouter_credits",
            "remedy_hint": "Add credits or lower max_tokens.",
            "provider_name": None,
            "previous_errors": [],
        },
    )


def in_flight(_: Circumstance) -> Refusal:
    """402 that passes by itself."""
    return in_flight_budget_exhausted()


def in_flight_budget_exhausted() -> Refusal:
    """402 that passes by itself: what is under way has reserved the rest of the credits."""
    return Refusal(
        402,
        "This request would exceed your available credits given your current in-flight requests. Retry when some of "
        "them have finished.",
        metadata={
            "reason": "in_flight_budget_exhausted",
            "limit_source": "openrouter_in_flight_budget",
            "headers": {"Retry-After": "120"},
        },
        headers={"retry-after": "120"},
    )


def flagged(met: Circumstance) -> Refusal:
    """403: moderation."""
    metadata = {
        "reasons": ["violence"],
        "flagged_input": met.request.last_user_text()[:100],
        "provider_name": met.offer.provider.name,
        "model_slug": met.offer.id,
    }
    message = f"{met.offer.id} requires moderation on {met.offer.provider.name}. Your input was flagged."
    return Refusal(403, message, metadata=metadata)


def injection_suspected(_: Circumstance) -> Refusal:
    """403: a guardrail of the account."""
    metadata = {"patterns": ["ignore_previous_instructions"], "error_type": "permission_denied"}
    return Refusal(403, "Request blocked: prompt injection patterns detected", metadata=metadata)


def no_endpoints_at_all(met: Circumstance) -> Refusal:
    """404: nobody serves the model."""
    return Refusal(404, f"No endpoints found for {met.offer.id}.")


def too_dear(_: Circumstance) -> Refusal:
    """404: `provider.max_price` leaves nobody."""
    return no_endpoints(
        f"No endpoints found that satisfy the max price for this request. {ROUTING_HELP}", step="Filter by Max Price"
    )


def not_allowed(met: Circumstance) -> Refusal:
    """404: `provider.only` leaves nobody."""
    return only_others(met.offer, ("azure",))


def only_others(offer: Offer, only: tuple[str, ...]) -> Refusal:
    """404: the request allows only providers who do not serve the model."""
    slug = offer.provider.slug
    return no_endpoints(
        f"No allowed providers are available for the selected model. Providers serving {offer.id}: {slug}, "
        f"but your request's provider.only preference permits only: {', '.join(only)}.",
        step="Filter by Allowed Providers",
        requested_providers=list(only),
        available_providers=[slug],
    )


def unavailable(met: Circumstance) -> Refusal:
    """An error with an `availability` object, and no `code`, as documented; whoever reads it looks at `retryable`."""
    code, model, status = met.argument, met.offer.id, AVAILABILITY[met.argument]
    is_retryable = code in _RETRYABLE
    availability: JsonObject = {"code": code, "retryable": is_retryable}
    if is_retryable:
        availability["retry_after"] = 40
    availability["requested_models"] = [model]
    availability["affected_providers"] = [met.offer.provider.slug]
    if code in _EXCLUDED_BY:
        availability["excluded_by"] = [_EXCLUDED_BY[code]]
    if code == "constraint_filtered":
        availability["constraint"] = {"field": "provider.max_price", "detail": "no endpoint is that cheap"}
    availability["docs_url"] = f"{_ERRORS_PAGE}#{code}"
    provider = {"provider": met.offer.provider.slug, "code": code, "status": status}
    error: JsonObject = {
        "message": f"{model} cannot be served: {code.replace('_', ' ')}.",
        "error_type": _ERROR_TYPES[status],
        "http_status": status,
        "availability": availability,
        "metadata": {"previous_errors": [provider]},
    }
    return Refusal(status, str(error["message"]), error=error, headers={"retry-after": "40"} if is_retryable else None)


def overloaded_for_a_while(met: Circumstance) -> Refusal:
    """503 that says when to come back."""
    metadata = {"provider_name": met.offer.provider.name, "error_type": "provider_overloaded"}
    return Refusal(503, "Service temporarily unavailable", metadata=metadata, headers={"retry-after": "2"})


def late(met: Circumstance) -> Refusal:
    """503 after so many real seconds, whatever the time scale: the provider tried."""
    metadata = {"provider_name": met.offer.provider.name, "error_type": "provider_unavailable"}
    return Refusal(503, "Service temporarily unavailable", metadata=metadata, after_s=float(met.argument))


def html(_: Circumstance) -> Refusal:
    """502 from the edge before OpenRouter, which speaks HTML."""
    page = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>502</h1></body></html>"
    return Refusal(502, "Bad Gateway", content=page)
