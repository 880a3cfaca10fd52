"""A Responses request, read as the chat request that says the same: `ResponsesReader`.

Nothing is stored here, as at OpenRouter: what refers to an earlier answer, or wants this one kept, is refused. So is
what would cost more than can be held, as in a chat.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.requests import (
    MOST_OUTPUT_TOKENS,
    BodyReader,
    ChatReader,
    ModelRequest,
    Original,
    explained,
    in_range,
    is_given,
    refuse_more_answers,
)
from router.wire.responses_api.as_chat import ChatMessages
from router.wire.responses_api.tools import (
    ToolChoice,
    ToolDefinition,
    allowed_names,
    chat_choice,
    functions,
    refuse_choice,
    refuse_what_runs_at_the_provider,
    why_no_chat_offers,
)


class _Reasoning(Struct):
    effort: str | None = None
    max_tokens: int | None = None  # OpenRouter's
    enabled: bool | None = None  # OpenRouter's


class _Text(Struct):
    format: Raw | UnsetType = UNSET
    verbosity: str | None = None


class _Format(Struct):
    type: str
    name: Raw | UnsetType = UNSET
    description: Raw | UnsetType = UNSET
    schema: Raw | UnsetType = UNSET
    strict: Raw | UnsetType = UNSET


class _Body(Struct):
    model: str
    input: str | list[Raw] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    reasoning: _Reasoning | None = None
    text: _Text | None = None
    tools: list[ToolDefinition] | None = None
    tool_choice: Raw | UnsetType = UNSET
    include: list[str] | None = None
    top_logprobs: int | None = None
    truncation: str | None = None
    background: bool | None = None
    modalities: list[str] | None = None
    n: int | None = None


# Why each is refused, unless it is null or an empty list.
_REFUSED = {
    "previous_response_id": "nothing is stored here; send the whole conversation in `input`",
    "conversation": "nothing is stored here; send the whole conversation in `input`",
    "prompt": "a prompt stored at a provider can change the model and its price unseen; spell it out in the request",
    "context_management": "compaction bills tokens beyond `max_output_tokens`; shorten the conversation yourself",
    "background_options": "answers are not kept to be fetched later; ask for it at once, or as a stream",
}
# What a chat calls the same. Most that bills or chooses in some other way is refused by the reader of chats.
_SAME_IN_A_CHAT = (
    "model", "stream", "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "user", "service_tier",
    "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier", "session_id", "provider",
    "cache_control", "trace", "debug", "modalities", "image_config", "models", "route", "preset", "plugins",
    "web_search_options", "stop_server_tools_when", "deferred_tools", "container",
)  # fmt: skip
# What is said to a chat in another way, what only the answer repeats, and what changes nothing where it is read.
_SAID_OTHERWISE = frozenset(
    {
        "input", "instructions", "max_output_tokens", "reasoning", "text", "tools", "tool_choice",
        "parallel_tool_calls", "include", "metadata", "client_metadata", "store", "truncation", "background",
        "max_tool_calls", "stream_options", "top_logprobs", "n",
    }
)  # fmt: skip
_KNOWN = _SAID_OTHERWISE.union(_SAME_IN_A_CHAT)
_BROUGHT_BY_AN_ITEM = {"type": "custom", "custom": {"name": "additional_tools"}}
_LOGPROBS = "message.output_text.logprobs"


class ResponsesReader:
    """Reads Responses requests."""

    def __init__(self, chats: ChatReader) -> None:
        self._chats = chats
        self._bodies = BodyReader(_Body)

    def read(self, body: bytes) -> ModelRequest:
        """The request in `body`. Raises InvalidRequest naming the member at fault and what was expected there."""
        members, typed = self._bodies.read(body)
        _refuse_what_is_not_served(members, typed)
        choice = _choice(typed.tool_choice)
        refuse_choice(choice)
        try:
            refuse_what_runs_at_the_provider(typed.tools or ())
            messages = _messages(typed)
        except RecursionError as error:  # items are decoded one by one, and may have tools within tools
            raise explained(error) from error
        chat: dict[str, Any] = {name: members[name] for name in _SAME_IN_A_CHAT if is_given(members.get(name))}
        chat["messages"] = messages.messages()
        if typed.max_output_tokens is not None:
            chat["max_completion_tokens"] = in_range("max_output_tokens", typed.max_output_tokens, MOST_OUTPUT_TOKENS)
        chat.update(_thinking(typed.reasoning))
        chat.update(_text(typed.text))
        why_not = messages.why_not or _why_not(members, typed)
        if typed.tools:
            told, unsaid = chat_choice(choice, typed.tools)
            why_not = why_not or why_no_chat_offers(typed.tools) or unsaid
            chat.update(_tools(members, typed.tools, choice, told))
        if messages.has_tools:  # which need a model that takes tools, and bring its provider's own prompt for them
            chat.setdefault("tools", [_BROUGHT_BY_AN_ITEM])
        return self._chats.read_translated(
            chat,
            body=body,
            original=Original(
                Api.RESPONSES,
                members,
                untranslatable=None if why_not is None else f"No chat request can say the same: it has {why_not}.",
            ),
        )


def _refuse_what_is_not_served(members: Mapping[str, Raw], typed: _Body) -> None:
    refuse_more_answers(members, "best_of")
    for name, reason in _REFUSED.items():
        value = members.get(name)
        if is_given(value) and value is not None and bytes(value) not in (b"[]", b"{}"):
            raise InvalidRequest(f"`{name}` is not accepted: {reason}.", param=name, code="unsupported_parameter")
    if typed.background:
        raise InvalidRequest(
            "`background` is not accepted: answers are not kept to be fetched later; ask for it as a stream.",
            param="background",
            code="unsupported_parameter",
        )
    if typed.n not in (None, 1):
        raise InvalidRequest(
            "`n` is not accepted: a response has one answer; send the request again for another.",
            param="n",
            code="unsupported_parameter",
        )


def _choice(given: Raw | UnsetType) -> str | ToolChoice | None:
    if given is UNSET:
        return None
    try:
        return msgspec.json.decode(given, type=str | ToolChoice | None)
    except msgspec.ValidationError as error:
        message = "`tool_choice` must be 'auto', 'none', 'required', or an object that names a tool."
        raise InvalidRequest(message, param="tool_choice", code="invalid_type") from error


def _messages(typed: _Body) -> ChatMessages:
    if not typed.input:
        message = "`input` is missing or empty; send a text, or a list of at least one item."
        raise InvalidRequest(message, param="input", code="empty_array" if typed.input == [] else "missing_input")
    messages = ChatMessages()
    if typed.instructions:
        messages.add_text("system", typed.instructions)
    if isinstance(typed.input, str):
        messages.add_text("user", typed.input)
    else:
        for index, item in enumerate(typed.input):
            messages.add(item, f"input[{index}]")
    return messages


def _thinking(reasoning: _Reasoning | None) -> dict[str, Any]:
    """In OpenAI's word where that says it, which every server knows; else in OpenRouter's."""
    if reasoning is None:
        return {}
    if reasoning.max_tokens is None and reasoning.enabled is None:
        return {} if reasoning.effort is None else {"reasoning_effort": reasoning.effort}
    members = {"effort": reasoning.effort, "max_tokens": reasoning.max_tokens, "enabled": reasoning.enabled}
    return {"reasoning": {name: value for name, value in members.items() if value is not None}}


def _text(text: _Text | None) -> dict[str, Any]:
    if text is None:
        return {}
    said: dict[str, Any] = {} if text.verbosity is None else {"verbosity": text.verbosity}
    if not isinstance(text.format, Raw) or not is_given(text.format):
        return said
    try:
        wanted = msgspec.json.decode(text.format, type=_Format)
    except msgspec.ValidationError as error:
        message = "`text.format` must be an object with a `type`."
        raise InvalidRequest(message, param="text.format", code="invalid_type") from error
    if wanted.type == "text":
        return said
    if wanted.type != "json_schema":
        return {**said, "response_format": {"type": wanted.type}}
    members = {name: getattr(wanted, name) for name in ("name", "description", "schema", "strict")}
    schema = {name: value for name, value in members.items() if is_given(value)}
    return {**said, "response_format": {"type": "json_schema", "json_schema": schema}}


def _tools(
    members: Mapping[str, Raw], tools: list[ToolDefinition], choice: str | ToolChoice | None, told: object
) -> dict[str, Any]:
    """Servers refuse a choice among no tools."""
    made: dict[str, Any] = {"tools": functions(tools, allowed=allowed_names(choice, tools))}
    if told is not None:
        made["tool_choice"] = told
    if is_given(members.get("parallel_tool_calls")):
        made["parallel_tool_calls"] = members["parallel_tool_calls"]
    return made if made["tools"] else {}


def _why_not(members: Mapping[str, Raw], typed: _Body) -> str | None:
    """What beside input and tools a chat cannot say."""
    unknown = next((name for name, value in members.items() if name not in _KNOWN and is_given(value)), None)
    if unknown is not None:
        return f"a member `{unknown[:60]}`"
    if typed.truncation not in (None, "disabled"):
        return f"`truncation` {typed.truncation[:60]!r}"
    if typed.top_logprobs or _LOGPROBS in (typed.include or ()):
        return "a wish for logprobs"
    if set(typed.modalities or ()) - {"text"}:
        return "a wish for more than text"
    return None
