"""The body that goes to a provider by Anthropic's Messages API: the client's own, but for the members that we must set.

As for a chat (`outgoing`): the provider's name for the model, a limit on the output, and to OpenRouter the prices held,
the data rules and a name for the conversation. Where the policy decides how hard to think, that is said by
`output_config.effort` with thinking on, and by `thinking` where there shall be none; a client's budget for thinking
stays, cut to what the effort would give.

Claude refuses thoughts that it has not signed. In a conversation whose turns were answered by several models those of
the others come back with an empty signature, and are left out of what goes to Claude. Nor does the note go out that
Claude Code puts before its system prompt, which is another one in every request and spoils every prompt cache.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from router.catalog.catalog import Deployment, Effort
from router.decision.estimate import Estimate
from router.upstream.orders import Orders, said_to_openrouter, thinking_tokens
from router.wire.messages_api.conversation import BILLING_NOTE, is_billing_note
from router.wire.requests import ModelRequest

# Members that only OpenRouter understands (its OpenAPI file, 2026-08-22); other servers refuse what they do not know.
_OPENROUTER_ONLY = ("provider", "session_id", "trace", "user", "models", "plugins", "route", "stop_server_tools_when")
# Null means the same as absent, and OpenRouter's schema has none for these.
_NEVER_NULL = frozenset(
    {
        "cache_control", "max_tokens", "metadata", "models", "output_config", "plugins", "provider", "service_tier",
        "session_id", "stop_sequences", "stream", "system", "temperature", "thinking", "tool_choice", "tools", "top_k",
        "top_p", "trace", "user",
    }
)  # fmt: skip
# The API has no word for the least effort of others.
_EFFORTS = {
    Effort.MINIMAL: "low",
    Effort.LOW: "low",
    Effort.MEDIUM: "medium",
    Effort.HIGH: "high",
    Effort.XHIGH: "xhigh",
    Effort.MAX: "max",
}
# Whose models sign their thoughts; by the catalog's names.
_SIGNS = "anthropic/"
_UNSIGNED = re.compile(rb'"signature"\s*:\s*""')
_LEAST_BUDGET = 1_024  # tokens for thinking that Anthropic takes (platform.claude.com, extended thinking, 2026-08)


class _Text(Struct):
    text: str | None = None


class _Thought(Struct):
    type: str
    signature: str | None = None


def messages_body(request: ModelRequest, deployment: Deployment, estimate: Estimate, orders: Orders) -> bytes:
    """The JSON to send for a request that came by the Messages API, within the limits of `estimate`."""
    max_tokens, effort = estimate.max_output_tokens, orders.effort
    original = request.original
    assert original is not None
    changes: dict[str, Any] = {"model": deployment.upstream_model, "max_tokens": max_tokens}
    without = [name for name in original.members if name in _NEVER_NULL and bytes(original.members[name]) == b"null"]
    if deployment.provider.kind == "openrouter":
        changes.update(said_to_openrouter(request, estimate, orders))
    else:
        without.extend(_OPENROUTER_ONLY)
    if BILLING_NOTE.encode() in bytes(original.members.get("system", b"")):
        changes["system"] = _without_note(original.members["system"])
    if deployment.model.name.startswith(_SIGNS) and _UNSIGNED.search(original.members["messages"]):
        changes["messages"] = _signed_only(original.members["messages"])
    if effort is not None:
        thinking, output_config = _thinking(
            request, original.members, effort, thinking_tokens(effort, limit=max_tokens)
        )
        changes["thinking"] = thinking
        if output_config:
            changes["output_config"] = output_config
        else:
            without.append("output_config")
    elif request.reasoning_tokens is not None and request.reasoning_tokens >= max_tokens:
        # The limit was lowered to the money that is left, and a budget must stay below it.
        changes["thinking"], _ = _thinking(request, original.members, Effort.MAX, max_tokens - 1)
    return original.body_with(changes, without=without)


def _thinking(
    request: ModelRequest, members: Mapping[str, Raw], effort: Effort, most_tokens: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`thinking` and `output_config` for this effort, with what else the client has said in them."""
    config = {name: value for name, value in _object(members, "output_config").items() if name != "effort"}
    shown = {name: value for name, value in _object(members, "thinking").items() if name == "display"}
    budget = request.reasoning_tokens
    if effort is Effort.NONE or (budget is not None and min(budget, most_tokens) < _LEAST_BUDGET):
        return {"type": "disabled"}, config
    if budget is not None:
        return {"type": "enabled", "budget_tokens": min(budget, most_tokens), **shown}, config
    return {"type": "adaptive", **shown}, {**config, "effort": _EFFORTS[effort]}


def _without_note(system: Raw) -> Raw | list[Raw]:
    """The system prompt without the blocks that are such a note; as it came where it is no list of blocks."""
    if not bytes(system).startswith(b"["):
        return system
    blocks = msgspec.json.decode(system, type=list[Raw])
    return [block for block in blocks if not is_billing_note(msgspec.json.decode(block, type=_Text).text)]


def _signed_only(messages: Raw) -> list[dict[str, Any]]:
    """The messages without thoughts that nobody has signed; one that held nothing else is left out."""
    kept: list[dict[str, Any]] = []
    for message in msgspec.json.decode(messages, type=list[dict[str, Raw]]):
        content = message["content"]
        if not _UNSIGNED.search(content) or not bytes(content).startswith(b"["):
            kept.append({**message})
            continue
        blocks = msgspec.json.decode(content, type=list[Raw])
        signed = [block for block in blocks if not _is_unsigned(block)]
        if signed:
            kept.append({**message, "content": signed})
    return kept


def _is_unsigned(block: Raw) -> bool:
    read = msgspec.json.decode(block, type=_Thought)
    return read.type == "thinking" and not read.signature


def _object(members: Mapping[str, Raw], name: str) -> dict[str, Raw]:
    return msgspec.json.decode(members.get(name, b"null"), type=dict[str, Raw] | None) or {}
