"""The tools of a Responses request: which are accepted, and what a chat can offer of them.

A chat has functions only. A custom tool, whose input is free text, is offered as a function with one string; the
functions of a namespace under names that contain it. `offered` tells from a function's name what it stands for, so that
an answer can name it as its client did.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.errors import InvalidRequest
from router.wire.requests import is_given

# What is allowed rather than what is not: a tool that is new tomorrow, and runs at the provider, must not slip through.
# The client runs these itself (OpenAI's API reference, 2026-11; `shell` and `tool_search` are looked at closer below).
_CLIENTS_OWN = frozenset(
    {
        "function", "custom", "namespace", "local_shell", "shell", "apply_patch", "computer", "computer_use",
        "computer_use_preview", "tool_search",
    }
)  # fmt: skip
_CHOICES = _CLIENTS_OWN | {"allowed_tools"}
_CHOICE_WORDS = frozenset({"auto", "none", "required"})

# The one member of the function that stands for a custom tool.
CUSTOM_INPUT = "input"
_CUSTOM_PARAMETERS = {
    "type": "object",
    "properties": {CUSTOM_INPUT: {"type": "string", "description": "The tool's whole input, as plain text."}},
    "required": [CUSTOM_INPUT],
    "additionalProperties": False,
}
# They are read again when the answer comes, deeper in the stack, where nothing may fail any more: it is paid for.
_MOST_LEVELS = 8
_LONGEST_NAME = 64  # of a function, at OpenAI and DeepSeek


class _Environment(Struct):
    type: str | None = None


class _Format(Struct):
    type: str | None = None


class ToolDefinition(Struct):
    """One of a request's `tools`; `type` says which of the other members count."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw | UnsetType = UNSET
    strict: bool | None = None
    cache_control: Raw | UnsetType = UNSET
    format: _Format | None = None  # of a custom tool
    tools: "list[ToolDefinition] | None" = None  # of a namespace
    environment: Raw | UnsetType = UNSET  # of a shell: where it runs; of a computer something else
    execution: str | None = None  # of a tool search


class _NamedTool(Struct):
    type: str | None = None
    name: str | None = None


class ToolChoice(Struct):
    """`tool_choice`, where it is an object."""

    type: str
    name: str | None = None
    mode: str | None = None  # of `allowed_tools`
    tools: list[_NamedTool] | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """What a function in the chat stands for."""

    name: str
    namespace: str | None = None
    is_custom: bool = False


def refuse_what_runs_at_the_provider(
    tools: Sequence[ToolDefinition], path: str = "tools", *, levels: int = _MOST_LEVELS
) -> None:
    """Raises InvalidRequest naming the first tool that its client does not run itself."""
    if tools and not levels:
        raise InvalidRequest(
            f"Tools are nested more than {_MOST_LEVELS} deep; a namespace holds functions.",
            param=path,
            code="unsupported_parameter",
        )
    for index, tool in enumerate(tools):
        where = f"{path}[{index}]"
        kind = tool.type
        if kind == "shell" and _place(tool) not in (None, "local"):
            kind = f"shell in {_place(tool)}"
        elif kind == "tool_search" and tool.execution != "client":
            kind = "tool_search at the server"
        elif kind in _CLIENTS_OWN:
            refuse_what_runs_at_the_provider(tool.tools or (), f"{where}.tools", levels=levels - 1)
            continue
        raise InvalidRequest(
            f"The tool type {kind[:60]!r} is not accepted: tools that run at the provider bill fees that cannot be "
            "held in advance; leave it out, or use tools that you run yourself, such as 'function'.",
            param=where,
            code="unsupported_parameter",
        )


def refuse_choice(choice: str | ToolChoice | None) -> None:
    """Raises InvalidRequest if a tool is demanded that runs at the provider, or the choice is none."""
    if choice is None or (choice in _CHOICE_WORDS if isinstance(choice, str) else choice.type in _CHOICES):
        return
    named = choice if isinstance(choice, str) else choice.type
    raise InvalidRequest(
        f"`tool_choice` {named[:60]!r} is not accepted; use 'auto', 'none', 'required', or a tool that you run.",
        param="tool_choice",
        code="unsupported_parameter",
    )


def chat_name(name: str, namespace: str | None) -> str:
    """What a function is called in the chat."""
    return name if namespace is None else f"{namespace}__{name}"


def offered(tools: Sequence[ToolDefinition]) -> Mapping[str, Offered]:
    """What the chat's functions stand for, by name; of kinds that a chat cannot offer nothing."""
    return {chat_name(each.name, each.namespace): each for each, _ in _flat(tools)}


def offered_by(members: Mapping[str, Raw]) -> Mapping[str, Offered]:
    """The same for the members of a request that has been read."""
    given = members.get("tools")
    return {} if given is None else offered(msgspec.json.decode(given, type=list[ToolDefinition] | None) or ())


def why_no_chat_offers(tools: Sequence[ToolDefinition]) -> str | None:
    """What keeps a chat from offering the same tools; None if nothing does."""
    for each in (each for tool in tools for each in (tool.tools or () if tool.type == "namespace" else (tool,))):
        if each.type not in ("function", "custom"):
            return f"a tool of type {each.type[:60]!r}"
        if each.format is not None and each.format.type not in (None, "text"):
            return f"a custom tool whose input has a {(each.format.type or '')[:60]!r} format"
    names = [chat_name(each.name, each.namespace) for each, _ in _flat(tools)]
    if len(set(names)) < len(names):
        return "two tools with the same name"
    if any(each.namespace is not None for each, _ in _flat(tools)) and any(len(name) > _LONGEST_NAME for name in names):
        return "a namespace and a function whose names are too long for one name"
    return None


def functions(tools: Sequence[ToolDefinition], *, allowed: frozenset[str] | None = None) -> list[dict[str, Any]]:
    """The tools as a chat offers them; for kinds that it cannot offer something to be counted.

    `allowed`: only those names.
    """
    made = []
    for each, tool in _flat(tools):
        if allowed is None or chat_name(each.name, each.namespace) in allowed:
            made.append(_function(each, tool))
    others = (tool for tool in tools if tool.type not in ("function", "custom", "namespace"))
    return [*made, *({"type": "custom", "custom": {"name": tool.type}} for tool in others)]


def chat_choice(choice: str | ToolChoice | None, tools: Sequence[ToolDefinition]) -> tuple[Any, str | None]:
    """The choice as a chat says it, or else what it cannot say."""
    if choice is None or isinstance(choice, str):
        return choice, None
    if choice.type in ("function", "custom"):
        named = _names(tools, [_NamedTool(choice.type, choice.name)])
        if len(named) == 1:
            return {"type": "function", "function": {"name": next(iter(named))}}, None
    if choice.type == "allowed_tools" and choice.mode in ("auto", "required"):
        return choice.mode, None
    return None, f"a tool choice of type {choice.type[:60]!r}"


def allowed_names(choice: str | ToolChoice | None, tools: Sequence[ToolDefinition]) -> frozenset[str] | None:
    """The chat's names of the tools that `tool_choice` narrows the choice to; None if it does not."""
    if isinstance(choice, ToolChoice) and choice.type == "allowed_tools":
        return _names(tools, choice.tools or ())
    return None


def _place(tool: ToolDefinition) -> str | None:
    """Where a shell runs; None if nothing is said, which is with the client."""
    if not isinstance(tool.environment, Raw) or not is_given(tool.environment):
        return None
    try:
        return msgspec.json.decode(tool.environment, type=_Environment).type or "an unknown place"
    except msgspec.DecodeError:
        return "an unknown place"


def _names(tools: Sequence[ToolDefinition], named: Sequence[_NamedTool]) -> frozenset[str]:
    """A namespace stands for all its functions."""
    wanted = {each.name for each in named}
    return frozenset(
        name for name, each in offered(tools).items() if each.name in wanted or each.namespace in wanted - {None}
    )


def _flat(tools: Sequence[ToolDefinition]) -> Iterator[tuple[Offered, ToolDefinition]]:
    for tool in tools:
        inside = tool.tools or () if tool.type == "namespace" else (tool,)
        namespace = tool.name if tool.type == "namespace" else None
        for each in inside:
            if each.type in ("function", "custom") and each.name:
                yield Offered(each.name, namespace, is_custom=each.type == "custom"), each


def _function(each: Offered, tool: ToolDefinition) -> dict[str, Any]:
    function: dict[str, Any] = {"name": chat_name(each.name, each.namespace)}
    if tool.description is not None:
        function["description"] = tool.description
    if each.is_custom:
        function["parameters"] = _CUSTOM_PARAMETERS
    elif is_given(tool.parameters):
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    made: dict[str, Any] = {"type": "function", "function": function}
    return {**made, "cache_control": tool.cache_control} if is_given(tool.cache_control) else made
