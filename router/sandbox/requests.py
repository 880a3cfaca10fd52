"""What a client asked: a chat-completions body read into the fields the sandbox acts on.

The bodies of other endpoints are turned into one of these first.

Unknown parameters are ignored, as OpenRouter does; the `provider` object is the exception (its OpenAPI file forbids
additional properties). A body that makes no sense is a `Refusal` with status 400.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from router.sandbox.json_text import JsonObject, decode
from router.sandbox.refusals import Refusal, invalid

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_PROVIDER_KEYS = frozenset(
    {
        "order",
        "only",
        "ignore",
        "allow_fallbacks",
        "require_parameters",
        "data_collection",
        "zdr",
        "enforce_distillable_text",
        "quantizations",
        "sort",
        "preferred_min_throughput",
        "preferred_max_latency",
        "max_price",
    }
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call."""

    name: str
    description: str
    parameters: object  # its JSON schema, as sent
    source: JsonObject


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether a tool may, must or must not be called, and which."""

    mode: Literal["none", "auto", "required"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """What the content has to look like."""

    type: Literal["text", "json_object", "json_schema"]
    schema: object = None


@dataclass(frozen=True, slots=True)
class ReasoningWish:
    """How much thinking was asked for. `effort` is None when nothing was said, "none" when it was declined."""

    effort: str | None
    max_tokens: int | None
    is_excluded: bool  # think and bill, but do not show


@dataclass(frozen=True, slots=True)
class ProviderPreferences:
    """The hard filters of the `provider` object; its soft preferences have nothing to choose from here."""

    max_prompt_usd_per_mtok: Decimal | None
    max_completion_usd_per_mtok: Decimal | None
    only: tuple[str, ...]
    ignore: tuple[str, ...]
    requires_parameters: bool


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat-completions request."""

    models: tuple[str, ...]  # `model` first, then the fallbacks of `models`
    messages: tuple[JsonObject, ...]
    is_stream: bool
    wants_usage: bool  # `stream_options.include_usage`, which OpenRouter no longer heeds
    max_tokens: int | None
    choices: int
    stop: tuple[str, ...]
    tools: tuple[Tool, ...]
    tool_choice: ToolChoice
    answer_format: AnswerFormat
    reasoning: ReasoningWish
    preferences: ProviderPreferences
    parameters: frozenset[str]  # top-level keys that are present and not null
    is_plain: bool  # texts without the frame of a chat: a prompt, inputs to embed
    is_cached_automatically: bool  # top-level `cache_control`
    responses: JsonObject | None = None  # the body of `/responses` this was read from
    embedding: JsonObject | None = None  # encoding and dimensions asked for, at `/embeddings`

    def last_user_text(self) -> str:
        """What the user said last; empty when no user spoke."""
        return next((text_of(m) for m in reversed(self.messages) if m["role"] == "user"), "")

    def answers_a_tool(self) -> bool:
        """Whether the conversation ends with a tool's result."""
        return bool(self.messages[-1]["role"] == "tool")


def read_chat_request(body: bytes) -> ChatRequest:
    """The request in `body`. Raises Refusal (400) saying which parameter is wrong."""
    return chat_request(read_object(body))


def read_object(body: bytes) -> JsonObject:
    """The JSON object in `body`. Raises Refusal (400)."""
    try:
        fields = decode(body)
    except ValueError as error:
        raise Refusal(400, "Invalid JSON body") from error
    if not isinstance(fields, dict):
        raise Refusal(400, "Invalid JSON body: expected an object")
    return fields


def chat_request(fields: JsonObject, *, is_plain: bool = False) -> ChatRequest:
    """The request these parameters make. Raises Refusal (400) saying which is wrong."""
    tools = _tools(fields.get("tools"))
    return ChatRequest(
        models=_models(fields),
        messages=_messages(fields.get("messages")),
        is_stream=fields.get("stream") is True,
        wants_usage=(fields.get("stream_options") or {}) == {"include_usage": True},
        max_tokens=_max_tokens(fields),
        choices=_positive_integer(fields, "n") or 1,
        stop=_strings(fields.get("stop"), "stop"),
        tools=tools,
        tool_choice=_tool_choice(fields.get("tool_choice"), tools),
        answer_format=_answer_format(fields.get("response_format")),
        reasoning=_reasoning(fields),
        preferences=_preferences(fields.get("provider")),
        parameters=frozenset(key for key, value in fields.items() if value is not None),
        is_plain=is_plain,
        is_cached_automatically=isinstance(fields.get("cache_control"), dict),
    )


def parts_of(message: JsonObject) -> Iterator[JsonObject]:
    """The content parts of a message that carries any; text given as a plain string has none."""
    content = message.get("content")
    if isinstance(content, list):
        yield from (part for part in content if isinstance(part, dict))


def text_of(message: JsonObject) -> str:
    """The text of a message's content, parts joined by newlines."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in parts_of(message) if isinstance(part.get("text"), str))


def _models(fields: JsonObject) -> tuple[str, ...]:
    model, fallbacks = fields.get("model"), fields.get("models")
    named = [model] if isinstance(model, str) and model else []
    if isinstance(fallbacks, list):
        named += [name for name in fallbacks if isinstance(name, str) and name not in named]
    if not named:
        raise invalid("No models provided")
    return tuple(named)


def _messages(value: object) -> tuple[JsonObject, ...]:
    if not isinstance(value, list) or not value:
        raise invalid("Invalid request parameters: `messages` must be an array of at least one message")
    for position, message in enumerate(value):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise invalid(f"Invalid request parameters: `messages.{position}.role` must be one of {sorted(_ROLES)}")
        if not isinstance(message.get("content"), str | list | None):
            raise invalid(f"Invalid request parameters: `messages.{position}.content` must be a string or an array")
    return tuple(value)


def _positive_integer(fields: JsonObject, key: str) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise invalid(f"Invalid request parameters: `{key}` must be an integer of at least 1")
    return value


def _max_tokens(fields: JsonObject) -> int | None:
    given = [_positive_integer(fields, key) for key in ("max_completion_tokens", "max_tokens")]
    return next((value for value in given if value is not None), None)


def _strings(value: object, key: str) -> tuple[str, ...]:
    if value is None:
        return ()
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise invalid(f"Invalid request parameters: `{key}` must be a string or an array of strings")
    return tuple(items)


def _tools(value: object) -> tuple[Tool, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise invalid("Invalid request parameters: `tools` must be an array")
    return tuple(_tool(tool, position) for position, tool in enumerate(value))


def _tool(value: object, position: int) -> Tool:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise invalid(f"Invalid request parameters: `tools.{position}.function.name` must be a string")
    return Tool(
        name=function["name"],
        description=str(function.get("description") or ""),
        parameters=function.get("parameters") or {"type": "object", "properties": {}},
        source=value,
    )


def _tool_choice(value: object, tools: tuple[Tool, ...]) -> ToolChoice:
    match value:
        case None | "auto":
            return ToolChoice("auto")
        case "none":
            return ToolChoice("none")
        case "required":
            return ToolChoice("required")
        case {"type": "function", "function": {"name": str(name)}} if any(tool.name == name for tool in tools):
            return ToolChoice("required", name)
    raise invalid("Invalid request parameters: `tool_choice` must be none, auto, required or name one of `tools`")


def _answer_format(value: object) -> AnswerFormat:
    match value:
        case None | {"type": "text"}:
            return AnswerFormat("text")
        case {"type": "json_object"}:
            return AnswerFormat("json_object")
        case {"type": "json_schema", "json_schema": {"schema": schema}}:
            return AnswerFormat("json_schema", schema)
    raise invalid(
        "Invalid request parameters: `response_format` must be text, json_object or json_schema with a schema"
    )


def _reasoning(fields: JsonObject) -> ReasoningWish:
    wish, alias = fields.get("reasoning"), fields.get("reasoning_effort")
    wish = wish if isinstance(wish, dict) else {}
    effort, budget = wish.get("effort"), wish.get("max_tokens")
    if effort is not None and alias is not None and effort != alias:
        raise invalid("Invalid request parameters: `reasoning_effort` differs from `reasoning.effort`")
    effort = effort or alias
    if effort is None and wish.get("enabled") is False:
        effort = "none"
    if effort is None and (wish.get("enabled") is True or isinstance(budget, int)):
        effort = "medium"
    return ReasoningWish(
        effort=effort if isinstance(effort, str) else None,
        max_tokens=budget if isinstance(budget, int) else None,
        is_excluded=wish.get("exclude") is True or fields.get("include_reasoning") is False,
    )


def _preferences(value: object) -> ProviderPreferences:
    fields = {} if value is None else value
    if not isinstance(fields, dict):
        raise invalid("Invalid request parameters: `provider` must be an object")
    if unknown := sorted(fields.keys() - _PROVIDER_KEYS):
        raise invalid(f"Invalid request parameters: unrecognized key(s) in `provider`: {', '.join(unknown)}")
    max_price = fields.get("max_price") or {}
    if not isinstance(max_price, dict):
        raise invalid("Invalid request parameters: `provider.max_price` must be an object")
    return ProviderPreferences(
        max_prompt_usd_per_mtok=_price(max_price, "prompt"),
        max_completion_usd_per_mtok=_price(max_price, "completion"),
        only=_strings(fields.get("only"), "provider.only"),
        ignore=_strings(fields.get("ignore"), "provider.ignore"),
        requires_parameters=fields.get("require_parameters") is True,
    )


def _price(max_price: JsonObject, key: str) -> Decimal | None:
    value = max_price.get(key)
    if value is None:
        return None
    try:
        # A JSON number arrives as a float; its shortest text is what the client wrote.
        price = Decimal(str(value))
    except InvalidOperation as error:
        raise invalid(f"Invalid request parameters: `provider.max_price.{key}` must be a number") from error
    if not price.is_finite():
        raise invalid(f"Invalid request parameters: `provider.max_price.{key}` must be finite")
    return price
