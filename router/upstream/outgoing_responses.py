"""The body that goes to a provider that speaks the Responses API: the client's own, with what must be set.

Set are `model`, the limit on the output, and `store: false`, as nothing is stored here and what the provider would keep
nobody could ask for; then what is set in a chat: OpenRouter's `provider` and `session_id`, and how hard to think.
"""

from typing import Any

from msgspec import Raw

from router.catalog.catalog import Deployment, Effort
from router.decision.estimate import Estimate
from router.upstream.orders import OPENROUTER_ONLY, Orders, reasoning_at_openrouter, said_to_openrouter
from router.wire.requests import ModelRequest

# Null at OpenAI means the same as absent, and its clients send it; OpenRouter's schema has no null for these (its
# OpenAPI file, 2026-08-22; `tests/upstream/openrouter_responses_request.json`).
_NEVER_NULL_AT_OPENROUTER = frozenset(
    {
        "cache_control", "debug", "image_config", "modalities", "models", "plugins", "session_id",
        "stop_server_tools_when", "stream", "text", "tool_choice", "tools", "top_k", "trace", "user",
    }
)  # fmt: skip


def responses_body(request: ModelRequest, deployment: Deployment, estimate: Estimate, orders: Orders) -> bytes:
    """The JSON to send for a request that came by the Responses API, within the limits of `estimate`."""
    original = request.original
    assert original is not None
    changes: dict[str, Any] = {
        "model": deployment.upstream_model,
        "max_output_tokens": estimate.max_output_tokens,
        "store": False,
    }
    without: list[str] = []
    is_openrouter = deployment.provider.kind == "openrouter"
    if orders.effort is not None:
        given = original.members.get("reasoning")
        changes["reasoning"] = (
            reasoning_at_openrouter(given, request, orders.effort, limit=estimate.max_output_tokens)
            if is_openrouter
            else _reasoning(given, request, orders.effort)
        )
    if is_openrouter:
        without.extend(name for name, value in original.members.items() if _is_unwanted_null(name, value))
        changes.update(said_to_openrouter(request, estimate, orders))
    else:
        without.extend(OPENROUTER_ONLY)
    return original.body_with(changes, without=without)


def _is_unwanted_null(name: str, value: Raw) -> bool:
    return name in _NEVER_NULL_AT_OPENROUTER and bytes(value) == b"null"


def _reasoning(given: Raw | None, request: ModelRequest, effort: Effort) -> dict[str, Any]:
    """As OpenAI has it, which knows no budget in tokens."""
    said = reasoning_at_openrouter(given, request, effort, limit=0)
    said.pop("max_tokens", None)
    return {**said, "effort": effort.value}
