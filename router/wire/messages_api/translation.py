"""Answers of chat completions as messages of Anthropic's: whole ones, and a whole message as the events of a stream.

Thoughts come first, then what is said, then calls of tools. A thought is signed if the provider signed it, and empty
signatures stand for none: who sends one back to Claude is refused there, as Anthropic would. Logprobs, annotations and
pictures have no place in a message and are left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from router.units import Usage
from router.wire.events import on_one_line
from router.wire.replies import Bill

Block = dict[str, Any]
"""A content block for a message in the making."""

_NULL = Raw(b"null")

_STOPS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
# How OpenRouter calls what hides Claude's thoughts; others' would be refused by Claude, and mean nothing elsewhere.
_HIDDEN_FORMAT = "anthropic-claude-v1"


class Function(Struct):
    name: str | None = None
    arguments: str | None = None


class ToolCall(Struct):
    index: int | None = None
    id: str | None = None
    function: Function | None = None


class ThoughtDetail(Struct):
    """One of OpenRouter's `reasoning_details`."""

    type: str | None = None
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class Said(Struct):
    """A chat's message, or a part of one in a stream."""

    content: str | list[Raw] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[ThoughtDetail] | None = None
    tool_calls: list[ToolCall] | None = None

    @property
    def thoughts(self) -> str:
        """What it thought, under whichever name the provider gives it."""
        told = self.reasoning or self.reasoning_content
        return told or "".join(each.text or each.summary or "" for each in self.reasoning_details or ())

    @property
    def signature(self) -> str:
        return "".join(each.signature or "" for each in self.reasoning_details or ())

    @property
    def hidden(self) -> Sequence[str]:
        """Thoughts that only Claude can read."""
        details = self.reasoning_details or ()
        return [each.data for each in details if each.data is not None and each.format == _HIDDEN_FORMAT]

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(map(_text_of, self.content))
        return self.content or self.refusal or ""


class _TextPart(Struct):
    text: str | None = None


def _text_of(part: Raw) -> str:
    """Of a part of any other shape nothing."""
    try:
        return msgspec.json.decode(part, type=_TextPart).text or ""
    except (msgspec.DecodeError, RecursionError):
        return ""


class Choice(Struct):
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    stop_reason: str | int | None = None  # vLLM's: the sequence that ended it


class Completion(Struct):
    """A chat's answer, whole, or a chunk of one."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None


def completion_in(body: bytes) -> Completion:
    """The chat's answer in `body`, whole or a chunk. Raises ValueError if it is none."""
    try:
        return msgspec.json.decode(body, type=Completion)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def message_of(body: bytes, *, bill: Bill | None, stop_sequences: Sequence[str]) -> dict[str, Any]:
    """The message that says what a whole chat answer says. Raises ValueError if that is no such answer."""
    completion = completion_in(body)
    choice = completion.choices[0] if completion.choices else None
    if choice is None or choice.message is None:
        raise ValueError("an answer without a message")
    said = choice.message
    content: list[Block] = []
    if said.thoughts or said.signature:
        content.append({"type": "thinking", "thinking": said.thoughts, "signature": said.signature})
    content.extend({"type": "redacted_thinking", "data": data} for data in said.hidden)
    if said.text:
        content.append(text_block(said.text))
    for number, call in enumerate(said.tool_calls or ()):
        function = call.function or Function()
        content.append(tool_block(call.id or f"toolu_{number}", function.name or "", arguments_in(function.arguments)))
    has_calls = any(block["type"] == "tool_use" for block in content)
    message = message_frame(completion.id, completion.model)
    message["content"] = content
    message.update(stop_of(choice, has_calls=has_calls, stop_sequences=stop_sequences))
    message["usage"] = usage_of(bill)
    return message


def message_frame(generation_id: str | None, model: str | None) -> dict[str, Any]:
    """A message that says nothing yet."""
    return {
        "id": generation_id or "msg_0",
        "type": "message",
        "role": "assistant",
        "model": model or "",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_of(None),
    }


def text_block(text: str) -> Block:
    return {"type": "text", "text": text, "citations": None}


def tool_block(call_id: str, name: str, arguments: Raw) -> Block:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def arguments_in(written: str | None) -> Raw:
    """The arguments of a call, which are an object in a message: one that is none is given under a name of ours.

    Some providers write nothing where there are none (openrouter.md §1.4). A client's schema finds what is wrong.
    """
    if not (written or "").strip():
        return Raw(b"{}")
    try:
        msgspec.json.decode(written or "", type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return Raw(msgspec.json.encode({"invalid_arguments": written}))
    return Raw((written or "").encode())


def stop_of(choice: Choice, *, has_calls: bool, stop_sequences: Sequence[str]) -> dict[str, str | None]:
    """Why it ended. Some providers say `stop` although tools are called, and agents go by this."""
    reason, sequence = _STOPS.get(choice.finish_reason or "stop", "end_turn"), None
    if reason == "end_turn" and has_calls:
        reason = "tool_use"
    if reason == "end_turn" and isinstance(choice.stop_reason, str) and choice.stop_reason in stop_sequences:
        reason, sequence = "stop_sequence", choice.stop_reason
    elif reason == "end_turn" and choice.native_finish_reason == "stop_sequence":
        reason, sequence = "stop_sequence", stop_sequences[0] if len(stop_sequences) == 1 else None
    return {"stop_reason": reason, "stop_sequence": sequence}


def usage_of(bill: Bill | None) -> dict[str, Any]:
    """A usage object: its input leaves out what was read from the prompt cache and written to it."""
    usage = bill.usage if bill is not None else Usage(input_tokens=0, output_tokens=0)
    told: dict[str, Any] = {
        "input_tokens": max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0),
        "output_tokens": usage.output_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    cost = bill.cost_usd if bill is not None else None
    return told if cost is None else {**told, "cost": Raw(f"{cost:f}".encode())}


def named_event(kind: str, members: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), on_one_line(msgspec.json.encode({"type": kind, **members})))


def events_of(message: Mapping[str, Raw]) -> Iterator[bytes]:
    """A whole message as a stream tells it. Raises ValueError if it has no content."""
    content = msgspec.json.decode(message.get("content", _NULL), type=list[dict[str, Raw]])
    start: dict[str, object] = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    yield named_event("message_start", {"message": start})
    for index, block in enumerate(content):
        begun, deltas = _in_deltas(block)
        yield named_event("content_block_start", {"index": index, "content_block": begun})
        for delta in deltas:
            yield named_event("content_block_delta", {"index": index, "delta": delta})
        yield named_event("content_block_stop", {"index": index})
    ends = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    yield named_event("message_delta", {"delta": ends, "usage": message.get("usage", usage_of(None))})
    yield named_event("message_stop", {})


def _in_deltas(block: Mapping[str, Raw]) -> tuple[Block, list[Block]]:
    """A block as it begins, and what is added to it."""
    match bytes(block.get("type", _NULL)):
        case b'"text"':
            return {**block, "text": ""}, [{"type": "text_delta", "text": block.get("text", "")}]
        case b'"thinking"':
            deltas: list[Block] = [{"type": "thinking_delta", "thinking": block.get("thinking", "")}]
            if bytes(block.get("signature", b'""')) not in (b'""', b"null"):
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {**block, "thinking": "", "signature": ""}, deltas
        case b'"tool_use"':
            written = bytes(block.get("input", b"{}")).decode()
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": written}]
        case _:
            return dict(block), []
