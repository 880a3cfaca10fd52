"""A body of Anthropic's Messages API as a `ModelRequest`: the chat request that says the same, and the body beside it.

What could cost more than is held is refused, as in a chat: other models, server tools, dearer tiers. Tools that the
client runs pass; those that only Anthropic's API knows (`bash_20250124` and the like) keep the request to providers
that speak it. Hints that change no answer's shape are left out of the chat request: edits of the context that only drop
what is old, `betas`, display and citation settings that are off.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.messages_api.conversation import Conversation
from router.wire.requests import (
    BodyReader,
    ChatReader,
    ModelRequest,
    Original,
    explained,
    is_given,
    refuse_more_answers,
)


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class _Tool(Struct):
    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: Raw | UnsetType = UNSET
    strict: bool | None = None
    cache_control: Raw | UnsetType = UNSET


class _ToolChoice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class _Format(Struct):
    type: str
    schema: Raw | UnsetType = UNSET


class _OutputConfig(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Edit(Struct):
    type: str


class _ContextManagement(Struct):
    edits: list[_Edit] | None = None


class _Body(Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    system: str | list[Raw] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    tools: list[Raw] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None  # what `output_config.format` was called until 2026
    metadata: _Metadata | None = None
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    context_management: _ContextManagement | None = None
    user: str | None = None
    container: Raw | UnsetType = UNSET
    mcp_servers: Raw | UnsetType = UNSET


# Members that mean the same in both APIs, OpenRouter's among them.
_SAME = ("temperature", "top_p", "top_k", "cache_control", "provider", "session_id", "trace")
# Refused by the reader of chats, in its words.
_UNBOUNDED_IN_CHATS = (
    "models", "route", "preset", "plugins", "web_search_options", "stop_server_tools_when", "deferred_tools",
    "container",
)  # fmt: skip
_UNBOUNDED = {
    "mcp_servers": "servers that the provider calls add prompts and turns of unknown size; call them yourself",
    "fallbacks": "it lets the provider fall back to models outside your team's policy; list candidates in the policy",
}
_TIERS = {"auto": "auto", "default": "default", "flex": "flex", "standard": "default", "standard_only": "default"}
# Tools that the client runs, whose schema only Anthropic's API knows, by the beginning of their type's name, with the
# tokens that the provider writes out for one of them: bash 245, text editor 700, computer 735 and a system prompt of
# 499 (platform.claude.com, tool use pages, 2026-08), rounded up; toolsets are not documented: a judgement.
_CLIENT_TOOLS = {
    "computer_toolset_": 16_384,
    "browser_toolset_": 16_384,
    "bash_2": 1_024,
    "text_editor_2": 1_024,
    "computer_2": 2_048,
    "memory_2": 1_024,
}
_MOST_USER_CHARS = 256  # of OpenRouter's `user`
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})


class MessagesReader:
    """Reads bodies of Anthropic's Messages API; holds the decoders, which are costly to make and safe to share."""

    def __init__(self, chats: ChatReader, *, needs_limit: bool = True) -> None:
        """`needs_limit`: whether `max_tokens` must be there, as in all but a request to count tokens."""
        self._needs_limit = needs_limit
        self._chats = chats
        self._bodies = BodyReader(_Body)
        self._tool = msgspec.json.Decoder(_Tool)

    def read(self, body: bytes) -> ModelRequest:
        """The request in `body`. Raises InvalidRequest naming the member at fault and what was expected there."""
        members, typed = self._bodies.read(body)
        if typed.max_tokens is None and self._needs_limit:
            raise InvalidRequest("max_tokens: Field required.", param="max_tokens", code="invalid_type")
        _refuse_what_cannot_be_bounded(typed, members)
        conversation = Conversation()
        try:
            chat, allowance = self._as_chat(typed, members, conversation)
        except RecursionError as error:  # blocks may have blocks within them, and these others
            raise explained(error) from error
        return self._chats.read_translated(
            chat,
            body=body,
            original=Original(Api.MESSAGES, members, conversation.untranslatable),
            further_bytes=allowance,
        )

    def _as_chat(
        self, typed: _Body, members: Mapping[str, Raw], conversation: Conversation
    ) -> tuple[dict[str, Any], int]:
        """The chat request that says the same, and what its provider may make of its tools beyond what stands there."""
        given = {name: members[name] for name in (*_SAME, *_UNBOUNDED_IN_CHATS) if is_given(members.get(name))}
        chat: dict[str, Any] = {"model": typed.model, **given}
        if typed.system is not None:
            conversation.add_system(typed.system, at="system")
        for index, message in enumerate(typed.messages):
            _add(conversation, message, f"messages[{index}].content")
        chat["messages"] = conversation.messages
        tools, allowance = self._tools(typed, conversation)
        optional = {
            "max_tokens": typed.max_tokens,
            "stream": typed.stream,
            "stop": typed.stop_sequences or None,
            "tools": tools or None,
            "user": _user(typed),
            "service_tier": None if typed.service_tier is None else _TIERS[typed.service_tier],
            "response_format": _response_format(typed),
            "reasoning": _reasoning(typed, conversation),
        }
        chat.update((name, value) for name, value in optional.items() if value is not None)
        if typed.tool_choice is not None and tools:
            chat["tool_choice"] = _tool_choice(typed.tool_choice)
            if typed.tool_choice.disable_parallel_tool_use:
                chat["parallel_tool_calls"] = False
        return chat, allowance

    def _tools(self, typed: _Body, conversation: Conversation) -> tuple[list[dict[str, Any]], int]:
        tools: list[dict[str, Any]] = []
        allowance = 0
        for index, raw in enumerate(typed.tools or ()):
            try:
                tool = self._tool.decode(raw)
            except (msgspec.DecodeError, RecursionError) as error:
                raise explained(error, at=f"tools[{index}]") from error
            if tool.type in (None, "custom"):
                tools.append(_function(tool, f"tools[{index}]"))
                continue
            allowance += _allowance(tool.type or "")
            conversation.cannot_say(f"the tool type {(tool.type or '')[:60]!r}")
            # It stands in for what only the provider can write out, so that there is something to count.
            stand_in = {"name": tool.name or tool.type, "description": bytes(raw).decode()}
            tools.append(_marked({"type": "function", "function": stand_in}, tool))
        return tools, allowance


def _add(conversation: Conversation, message: _Message, at: str) -> None:
    match message.role:
        case "user":
            conversation.add_users(message.content, at=at)
        case "assistant":
            conversation.add_assistants(message.content, at=at)
        case "system":
            conversation.add_system(message.content, at=at)


def _function(tool: _Tool, at: str) -> dict[str, Any]:
    if tool.name is None:
        raise InvalidRequest(f"{at}.name: Field required.", param=f"{at}.name", code="invalid_type")
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if is_given(tool.input_schema):
        function["parameters"] = tool.input_schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return _marked({"type": "function", "function": function}, tool)


def _marked(written: dict[str, Any], tool: _Tool) -> dict[str, Any]:
    return {**written, "cache_control": tool.cache_control} if is_given(tool.cache_control) else written


def _tool_choice(choice: _ToolChoice) -> object:
    match choice.type:
        case "auto" | "none":
            return choice.type
        case "any":
            return "required"
        case "tool":
            if choice.name is None:
                raise InvalidRequest("tool_choice.name: Field required.", param="tool_choice.name", code="invalid_type")
            return {"type": "function", "function": {"name": choice.name}}


def _user(typed: _Body) -> str | None:
    """Left out where it is longer than OpenRouter takes: an agent's may hold a whole account."""
    user = typed.user or (typed.metadata.user_id if typed.metadata is not None else None)
    return user if user is not None and len(user) <= _MOST_USER_CHARS else None


def _response_format(typed: _Body) -> dict[str, Any] | None:
    wanted = (typed.output_config.format if typed.output_config is not None else None) or typed.output_format
    if wanted is None or wanted.type != "json_schema" or wanted.schema is UNSET:
        return None
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": wanted.schema}}


def _reasoning(typed: _Body, conversation: Conversation) -> dict[str, Any] | None:
    """How hard to think. A budget says more than an effort, and a chat takes only one of them (openrouter.md §1.1)."""
    thinking, effort = typed.thinking, typed.output_config.effort if typed.output_config is not None else None
    if thinking is not None and thinking.type == "disabled":
        return {"enabled": False}
    if thinking is not None and thinking.type not in ("enabled", "adaptive"):
        conversation.cannot_say(f"thinking of type {thinking.type[:60]!r}")
    told: dict[str, Any] = {}
    if thinking is not None and thinking.type == "enabled":
        if thinking.budget_tokens is None:
            raise InvalidRequest(
                "thinking.budget_tokens: Field required.", param="thinking.budget_tokens", code="invalid_type"
            )
        told["max_tokens"] = thinking.budget_tokens
    elif effort in _EFFORTS:
        told["effort"] = effort
    elif thinking is not None:
        told["enabled"] = True
    if told and thinking is not None and thinking.display == "omitted":
        told["exclude"] = True
    return told or None


def _allowance(kind: str) -> int:
    for beginning, tokens in _CLIENT_TOOLS.items():
        if kind.startswith(beginning):
            return tokens
    raise InvalidRequest(
        f"The tool type {kind[:60]!r} is not accepted: tools that run at the provider bill fees and turns that cannot "
        "be held in advance; use tools that you run yourself.",
        param="tools",
        code="unsupported_parameter",
    )


def _refuse_what_cannot_be_bounded(typed: _Body, members: Mapping[str, Raw]) -> None:
    for name in ("n", "best_of"):
        refuse_more_answers(members, name)
    for name, reason in _UNBOUNDED.items():
        value = members.get(name)
        if is_given(value) and bytes(value or b"") not in (b"[]", b"{}"):
            raise _refused(name, reason)
    if typed.service_tier is not None and typed.service_tier not in _TIERS:
        raise _refused("service_tier", "it may be billed above the catalog's prices; use 'auto' or 'standard_only'")
    if typed.speed not in (None, "standard"):
        raise _refused("speed", "a faster answer is billed above the catalog's prices; leave it out")
    if typed.inference_geo not in (None, "global"):
        raise _refused("inference_geo", "a region may be billed above the catalog's prices; leave it out")
    for edit in (typed.context_management.edits or ()) if typed.context_management is not None else ():
        if not edit.type.startswith("clear_"):
            raise _refused(
                "context_management", f"{edit.type[:60]!r} writes beyond the limit; compact the conversation yourself"
            )


def _refused(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"`{name}` is not accepted: {reason}.", param=name, code="unsupported_parameter")
