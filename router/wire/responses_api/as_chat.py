"""The input of a Responses request as the messages of a chat that says the same.

What no chat can say keeps its place as something to be counted, and `why_not` says what it was. Left out on the way,
as no model behind a chat gets to see them: ids and states of items, annotations, encrypted reasoning, and summaries of
reasoning, which are not what the model thought.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.errors import InvalidRequest
from router.wire.requests import is_given
from router.wire.responses_api.tools import (
    CUSTOM_INPUT,
    ToolDefinition,
    chat_name,
    refuse_what_runs_at_the_provider,
)

# Items that stand for something a provider has stored, or make it work beyond the answer.
_REFUSED_ITEMS = {
    "item_reference": "nothing is stored here that it could refer to; send the item itself",
    "compaction_trigger": "compaction bills tokens beyond `max_output_tokens`; shorten the conversation yourself",
}


class _Header(Struct):
    type: str | None = None
    role: str | None = None


class Part(Struct):
    """One part of an item's content; `type` says which of the other members count."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET


class _Message(Struct):
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part] | None = None


class _FunctionCall(Struct):
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None


class _CustomCall(Struct):
    call_id: str
    name: str
    input: str
    namespace: str | None = None


class _CallOutput(Struct):
    call_id: str
    output: str | list[Part]


class _Reasoning(Struct):
    content: list[Part] | None = None


class _AdditionalTools(Struct):
    tools: list[ToolDefinition]


class _Screenshot(Struct):
    output: Part


class _MadePicture(Struct):
    result: str | None = None  # base64


_Item = TypeVar("_Item", bound=Struct)


class ChatMessages:
    """The messages, while items are added in their order.

    What the model said between two messages of others is one message of a chat: its text, its thoughts and all calls.
    """

    def __init__(self) -> None:
        self.why_not: str | None = None  # what no chat can say
        self.has_tools = False  # among the items
        self._messages: list[dict[str, Any]] = []
        self._own: dict[str, Any] | None = None  # the model's message in the making

    def messages(self) -> list[dict[str, Any]]:
        """All that was added."""
        self._close()
        return self._messages

    def add_text(self, role: str, text: str) -> None:
        """A message that is nothing but text."""
        self._close()
        self._messages.append({"role": role, "content": text})

    def add(self, item: Raw, path: str) -> None:
        """One item of `input`. Raises InvalidRequest, with the path of what is wrong in it."""
        kind = _read(item, _Header, path).type or "message"
        if kind in _REFUSED_ITEMS:
            raise InvalidRequest(
                f"An item of type {kind!r} is not accepted: {_REFUSED_ITEMS[kind]}.",
                param=path,
                code="unsupported_parameter",
            )
        match kind:
            case "message":
                self._add_message(_read(item, _Message, path))
            case "function_call":
                call = _read(item, _FunctionCall, path)
                self._add_call(call.call_id, chat_name(call.name, call.namespace), call.arguments)
            case "custom_tool_call":
                custom = _read(item, _CustomCall, path)
                arguments = msgspec.json.encode({CUSTOM_INPUT: custom.input}).decode()
                self._add_call(custom.call_id, chat_name(custom.name, custom.namespace), arguments)
            case "function_call_output" | "custom_tool_call_output":
                self._add_output(_read(item, _CallOutput, path))
            case "reasoning":
                self._add_thoughts(_read(item, _Reasoning, path))
            case _:
                self._add_foreign(kind, item, path)

    def _add_message(self, message: _Message) -> None:
        if message.role == "assistant":
            self._add_own(message.content)
            return
        self._close()
        # Where there is no `developer` it is `system`, and where there is it means the same (OpenAI, model spec).
        role = "user" if message.role == "user" else "system"
        content = message.content if isinstance(message.content, str) else self._parts(message.content or ())
        self._messages.append({"role": role, "content": content})

    def _add_own(self, content: str | list[Part] | None) -> None:
        own = self._own_message()
        text, refusal = content if isinstance(content, str) else "", ""
        foreign: list[Part] = []
        for part in content if isinstance(content, list) else ():
            if part.type in ("output_text", "input_text", "text"):
                text += part.text or ""
            elif part.type == "refusal":
                refusal += part.refusal or ""
            else:
                self._never(f"a part of type {part.type[:60]!r} in what the model said")
                foreign.append(part)
        if own.get("content") and text:
            own["content"] += f"\n\n{text}"
        elif text:
            own["content"] = text
        if refusal:
            own["refusal"] = refusal
        if foreign:  # OpenRouter takes pictures and files there too: they are counted where a chat has them
            self._close()
            self._messages.append({"role": "user", "content": self._parts(foreign, always=True)})

    def _add_call(self, call_id: str, name: str, arguments: str) -> None:
        call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
        self._own_message().setdefault("tool_calls", []).append(call)

    def _add_thoughts(self, reasoning: _Reasoning) -> None:
        own = self._own_message()
        thoughts = "".join(part.text or "" for part in reasoning.content or ())
        if thoughts:
            own["reasoning_content"] = own.get("reasoning_content", "") + thoughts

    def _add_output(self, output: _CallOutput) -> None:
        self._close()
        content = output.output if isinstance(output.output, str) else self._parts(output.output)
        if isinstance(content, list) and any(part["type"] != "text" for part in content):
            self._never("a picture or file as what a tool gave")
        self._messages.append({"role": "tool", "tool_call_id": output.call_id, "content": content})

    def _add_foreign(self, kind: str, item: Raw, path: str) -> None:
        """An item of a kind that a chat does not have; its text is counted, and if we do not know it, all it may be."""
        self._never(f"an item of type {kind[:60]!r}")
        self._close()
        content: list[dict[str, Any]] = [{"type": "text", "text": bytes(item).decode()}]
        if kind == "computer_call_output":
            picture = msgspec.structs.replace(_read(item, _Screenshot, path).output, type="input_image")
            content = self._parts([picture], always=True)
        elif kind == "image_generation_call":
            made = _read(item, _MadePicture, path).result or ""
            content = self._parts([Part("input_image", image_url=f"data:image/png;base64,{made}")], always=True)
        elif kind in ("additional_tools", "tool_search_output"):
            tools = _read(item, _AdditionalTools, path).tools
            refuse_what_runs_at_the_provider(tools, f"{path}.tools")
            self.has_tools = self.has_tools or bool(tools)
        elif kind not in _KNOWN_BY_THEIR_TEXT:
            content.append({"type": kind})
        self._messages.append({"role": "user", "content": content})

    def _parts(self, parts: Sequence[Part], *, always: bool = False) -> Any:  # noqa: ANN401 - a chat's content
        """A chat's parts; a single text as the plain string that every server knows."""
        made = [self._part(part) for part in parts]
        if not always and len(made) == 1 and made[0].keys() == {"type", "text"}:
            return made[0]["text"]
        return made

    def _part(self, part: Part) -> dict[str, Any]:
        match part.type:
            case "input_text" | "output_text" | "text":
                made: dict[str, Any] = {"type": "text", "text": part.text or ""}
            case "input_image":
                if part.image_url is None:
                    self._never("a picture by the id of a file")
                made = {"type": "image_url", "image_url": {"url": part.image_url or ""}}
                if part.detail is not None:
                    made["image_url"]["detail"] = part.detail
            case "input_file":
                if part.file_data is None:
                    self._never("a file by its address or id")
                made = {"type": "file", "file": _given(filename=part.filename, file_data=part.file_data)}
            case "input_audio":
                made = {"type": "input_audio", "input_audio": part.input_audio}
            case other:
                self._never(f"a part of type {other[:60]!r}")
                made = {"type": other, **_given(text=part.text)}
        return {**made, "cache_control": part.cache_control} if is_given(part.cache_control) else made

    def _own_message(self) -> dict[str, Any]:
        """The model's message in the making."""
        if self._own is None:
            self._own = {"role": "assistant", "content": None}
        return self._own

    def _close(self) -> None:
        if self._own is not None:
            if self._own["content"] is None and "tool_calls" not in self._own and "refusal" not in self._own:
                self._own["content"] = ""
            self._messages.append(self._own)
            self._own = None

    def _never(self, what: str) -> None:
        self.why_not = self.why_not or what


# Items that are no longer than their text, whoever made them; of others nobody knows.
_KNOWN_BY_THEIR_TEXT = frozenset(
    {
        "computer_call", "local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output",
        "apply_patch_call", "apply_patch_call_output", "web_search_call", "file_search_call", "code_interpreter_call",
        "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call", "tool_search_call",
    }
)  # fmt: skip


def _given(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value is not None}


def _read(item: Raw, kind: type[_Item], path: str) -> _Item:
    try:
        return msgspec.json.decode(item, type=kind)
    except msgspec.ValidationError as error:
        text, _, inside = str(error).partition(" - at `$")
        where = f"{path}{inside.rstrip('`')}"
        raise InvalidRequest(f"{text} at {where}.", param=where, code="invalid_type") from error
