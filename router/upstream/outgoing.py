"""The body that goes to a provider: the client's own, with the few members changed that we must set.

`model` is the provider's name for it; a limit on the output is always there, so that the hold bounds the bill; a
stream always tells its usage; and OpenRouter gets `provider.max_price`, the rates behind the hold, so that it refuses
rather than exceed them, and a `session_id`, so that it asks the provider again whose cache is warm.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from router.catalog.catalog import Deployment
from router.catalog.prices import Rates
from router.decision.estimate import Estimate
from router.wire.requests import ChatRequest

_LIMITS = ("max_completion_tokens", "max_tokens")
# Members that only OpenRouter understands; other servers refuse what they do not know.
_OPENROUTER_ONLY = ("provider", "transforms", "usage", "session_id", "trace", "debug")


def outgoing_body(
    request: ChatRequest, deployment: Deployment, estimate: Estimate, *, session_id: str | None = None
) -> bytes:
    """The JSON to send for `request` to `deployment` within the limits of `estimate`.

    `session_id` goes to OpenRouter only, and only if the client has not named the conversation itself.
    """
    kind = deployment.provider.kind
    limit_name = "max_completion_tokens" if _keeps_new_name(request, kind) else "max_tokens"
    changes: dict[str, Any] = {"model": deployment.upstream_model, limit_name: estimate.max_output_tokens}
    without = [name for name in _LIMITS if name != limit_name]
    if request.is_stream:
        changes["stream_options"] = {"include_usage": True}
    if kind == "openrouter":
        changes["provider"] = {
            **request.provider_preferences,
            "max_price": _max_price(request.max_price, estimate.dearest_rates),
        }
        if session_id is not None and not request.names_conversation:
            changes["session_id"] = session_id
    else:
        without.extend(_OPENROUTER_ONLY)
    return request.body_with(changes, without=without)


def _keeps_new_name(request: ChatRequest, kind: str) -> bool:
    """DeepSeek and most local servers know `max_tokens` only; OpenRouter takes both (openrouter.md §1.1)."""
    return kind == "openrouter" and "max_completion_tokens" in request.members


def _max_price(asked: Mapping[str, Decimal], rates: Rates) -> dict[str, str]:
    """USD per million tokens, the lower of what the client asks and what was held."""
    ceilings = {"prompt": rates.input.scaleb(6), "completion": rates.output.scaleb(6)}
    for name, figure in asked.items():
        ceilings[name] = min(ceilings.get(name, figure), figure)
    return {name: f"{figure:f}" for name, figure in ceilings.items()}
