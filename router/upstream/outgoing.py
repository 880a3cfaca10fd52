"""The body that goes to a provider: the client's own, with the few members changed that we must set.

`model` is the provider's name for it; a limit on the output is always there, so that the hold bounds the bill; a
stream always tells its usage; OpenRouter gets `provider.max_price`, the rates behind the hold, so that it refuses
rather than exceed them, `provider`'s data rules, the stricter of policy and client, and a `session_id`, so that it asks
the provider again whose cache is warm; and where the policy decides how hard to think, that is said in the provider's
own words. What OpenAI takes as null and OpenRouter does not is left out there, which means the same.
"""

from typing import Any

import msgspec
from msgspec import Raw

from router.apis import Api
from router.catalog.catalog import Deployment, Effort
from router.decision.estimate import Estimate
from router.upstream.orders import (
    NO_ORDERS,
    OPENROUTER_ONLY,
    Orders,
    reasoning_at_openrouter,
    said_to_openrouter,
)
from router.upstream.outgoing_messages import messages_body
from router.upstream.outgoing_responses import responses_body
from router.wire.requests import ModelRequest

_LIMITS = ("max_completion_tokens", "max_tokens")

# Null at OpenAI means the same as absent, and its clients send it; OpenRouter's schema has no null for these (its
# OpenAPI file, 2026-08-22; `tests/upstream/openrouter_chat_request.json`).
_NEVER_NULL_AT_OPENROUTER = frozenset(
    {
        "cache_control", "debug", "image_config", "metadata", "modalities", "models", "plugins", "reasoning",
        "response_format", "route", "session_id", "stop_server_tools_when", "stream", "tool_choice", "tools", "trace",
        "user",
    }
)  # fmt: skip

_NEVER_NULL_OF_EMBEDDINGS = frozenset({"dimensions", "encoding_format", "input_type"})

# DeepSeek's own API knows three efforts and rounds the others up (api-docs.deepseek.com, guides/thinking_mode, read
# 2026-11): medium would be high. We round down, as a cap must.
_AT_DEEPSEEK = {
    Effort.MINIMAL: "low",
    Effort.LOW: "low",
    Effort.MEDIUM: "low",
    Effort.HIGH: "high",
    Effort.XHIGH: "high",
    Effort.MAX: "max",
}
# Other ways to ask for thinking, which would contradict what we set.
_OTHER_WORDS = ("reasoning", "reasoning_effort", "include_reasoning", "thinking")


def spoken_to(request: ModelRequest, deployment: Deployment) -> Api:
    """By which API the deployment is asked: the client's own where it can be. Decisions name only who speaks one."""
    for api in request.apis:
        if api in deployment.apis:
            return api
    raise AssertionError("a decision names only who can be asked")


def outgoing_body(
    request: ModelRequest, deployment: Deployment, estimate: Estimate, *, orders: Orders = NO_ORDERS
) -> bytes:
    """The JSON to send for `request` to `deployment`, by the API it is asked by, within the limits of `estimate`."""
    match spoken_to(request, deployment):
        case Api.CHAT:
            return _chat_body(request, deployment, estimate, orders)
        case Api.RESPONSES:
            return responses_body(request, deployment, estimate, orders)
        case Api.MESSAGES:
            return messages_body(request, deployment, estimate, orders)
        case Api.COMPLETIONS | Api.EMBEDDINGS | Api.MODERATIONS:
            return _prompt_body(request, deployment, estimate, orders)


def _chat_body(request: ModelRequest, deployment: Deployment, estimate: Estimate, orders: Orders) -> bytes:
    kind = deployment.provider.kind
    limit_name = "max_completion_tokens" if _keeps_new_name(request, kind) else "max_tokens"
    changes: dict[str, Any] = {"model": deployment.upstream_model, limit_name: estimate.max_output_tokens}
    without = [name for name in _LIMITS if name != limit_name]
    if request.is_stream:
        changes["stream_options"] = _stream_options(request)
    if orders.effort is not None:
        without.extend(_OTHER_WORDS)
        changes.update(_thinking(request, kind, orders.effort, limit=estimate.max_output_tokens))
    if kind == "openrouter":
        without.extend(name for name in _NEVER_NULL_AT_OPENROUTER & request.members.keys() if _is_null(request, name))
        changes.update(said_to_openrouter(request, estimate, orders))
    else:
        without.extend(OPENROUTER_ONLY)
    return request.body_with(changes, without=without)


def _prompt_body(request: ModelRequest, deployment: Deployment, estimate: Estimate, orders: Orders) -> bytes:
    """Of prompts without the frame of a chat: the client's own members, and a limit only where something is written."""
    kind, writes = deployment.provider.kind, request.api is Api.COMPLETIONS
    changes: dict[str, Any] = {"model": deployment.upstream_model}
    without = [] if not writes else ["max_completion_tokens"]
    if writes:
        changes["max_tokens"] = estimate.max_output_tokens
    if request.is_stream:
        changes["stream_options"] = _stream_options(request)
    if orders.effort is not None and writes:
        without.extend(_OTHER_WORDS)
        changes.update(_thinking(request, kind, orders.effort, limit=estimate.max_output_tokens))
    if kind == "openrouter":
        nullable = _NEVER_NULL_AT_OPENROUTER | _NEVER_NULL_OF_EMBEDDINGS
        without.extend(name for name in nullable & request.members.keys() if _is_null(request, name))
        provider = said_to_openrouter(request, estimate, orders)["provider"]
        if not writes and "completion" not in request.max_price:
            del provider["max_price"]["completion"]  # a ceiling of nothing, on what is not sold
        changes["provider"] = provider
    else:
        without.extend(OPENROUTER_ONLY)
    return request.body_with(changes, without=without)


def _stream_options(request: ModelRequest) -> dict[str, Any]:
    """The client's own, `include_obfuscation` or what is new tomorrow, with usage asked for whatever it says."""
    given = request.members.get("stream_options")
    own: dict[str, Raw] = (msgspec.json.decode(given, type=dict[str, Raw] | None) or {}) if given is not None else {}
    return {**own, "include_usage": True}


def _is_null(request: ModelRequest, name: str) -> bool:
    return bytes(request.members[name]) == b"null"


def _keeps_new_name(request: ModelRequest, kind: str) -> bool:
    """DeepSeek and most local servers know `max_tokens` only; OpenRouter takes both (openrouter.md §1.1)."""
    return kind == "openrouter" and "max_completion_tokens" in request.members


def _thinking(request: ModelRequest, kind: str, effort: Effort, *, limit: int) -> dict[str, Any]:
    """How each kind of provider is told to think just so hard."""
    if kind == "deepseek":
        if effort is Effort.NONE:
            return {"thinking": {"type": "disabled"}}
        return {"thinking": {"type": "enabled"}, "reasoning_effort": _AT_DEEPSEEK[effort]}
    if kind == "openai_compatible":
        return {"reasoning_effort": effort.value}
    return {"reasoning": reasoning_at_openrouter(request.members.get("reasoning"), request, effort, limit=limit)}
