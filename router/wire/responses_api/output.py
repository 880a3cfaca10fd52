"""A response in the making, out of what a chat says: `Output`. Its items, the events that tell of them, its end.

Events come in OpenAI's order: an item is added, its part is added, deltas, the part is done, the item is done.
Thoughts, text with refusal, and each call are items of their own, in the order in which they begin.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from router.wire.responses_api.tools import CUSTOM_INPUT, Offered

Event = tuple[str, dict[str, Any]]

_ID_CHARS = 40  # OpenAI takes ids of 64 characters back
_NO_ID = re.compile("[^A-Za-z0-9]")


@dataclass(slots=True)
class _Item:
    index: int
    id: str


@dataclass(slots=True)
class _Thoughts(_Item):
    text: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Part:
    kind: str  # output_text or refusal
    text: list[str] = field(default_factory=list)
    annotations: list[Any] = field(default_factory=list)

    def finished(self) -> dict[str, Any]:
        text = "".join(self.text)
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": self.annotations, "logprobs": []}


@dataclass(slots=True)
class _Message(_Item):
    parts: list[_Part] = field(default_factory=list)


@dataclass(slots=True)
class _Call(_Item):
    call_id: str
    stands_for: Offered
    arguments: list[str] = field(default_factory=list)


class Output:
    """What has been said so far. `add_...` give the events that tell the client so."""

    def __init__(self, tools: Mapping[str, Offered], *, name: str) -> None:
        """`tools`: what the chat's functions stand for. `name`: the response's id, after which its items are named."""
        self.items: list[dict[str, Any]] = []  # in the order of their index; empty while they are not done
        self._tools = tools
        self._suffix = _NO_ID.sub("", name)[-_ID_CHARS:]
        self._open: _Thoughts | _Message | None = None
        self._calls: dict[int, _Call] = {}  # by their index in the chat

    def add_thoughts(self, text: str) -> Iterator[Event]:
        if not isinstance(self._open, _Thoughts):
            yield from self._close("completed")
            self._open = _Thoughts(*self._next("rs"))
            item = {"id": self._open.id, "type": "reasoning", "status": "in_progress", "summary": []}
            yield "response.output_item.added", {"output_index": self._open.index, "item": item}
        self._open.text.append(text)
        yield "response.reasoning_text.delta", {**_at(self._open, 0), "delta": text}

    def add_text(self, text: str) -> Iterator[Event]:
        yield from self._add_to_message("output_text", text)

    def add_refusal(self, text: str) -> Iterator[Event]:
        yield from self._add_to_message("refusal", text)

    def add_annotation(self, annotation: object) -> Iterator[Event]:
        """To the text that is being said; nothing where there is none."""
        if isinstance(self._open, _Message) and self._open.parts[-1].kind == "output_text":
            part = self._open.parts[-1]
            place = {**_at(self._open, len(self._open.parts) - 1), "annotation_index": len(part.annotations)}
            part.annotations.append(annotation)
            yield "response.output_text.annotation.added", {**place, "annotation": annotation}

    def add_to_call(self, index: int, *, call_id: str, name: str, arguments: str) -> Iterator[Event]:
        """The beginning of the chat's call of that index, or more of its arguments."""
        call = self._calls.get(index)
        if call is None:
            yield from self._close("completed")
            stands_for = self._tools.get(name) or Offered(name)
            position, item_id = self._next("ctc" if stands_for.is_custom else "fc")
            call_id = call_id or f"call_{self._suffix}_{position}"
            call = self._calls[index] = _Call(position, item_id, call_id, stands_for)
            item = _call_item(call, "", "in_progress")
            yield "response.output_item.added", {"output_index": position, "item": item}
        if arguments:
            call.arguments.append(arguments)
            if not call.stands_for.is_custom:  # of a custom tool they are told as one, once they can be read
                place = {"output_index": call.index, "item_id": call.id}
                yield "response.function_call_arguments.delta", {**place, "delta": arguments}

    def finish(self, status: str) -> Iterator[Event]:
        """Nothing more is said. `status`, completed or incomplete, is that of what was being said."""
        yield from self._close(status)
        for call in self._calls.values():
            yield from self._finish_call(call, status)
        self._calls = {}

    def _add_to_message(self, kind: str, text: str) -> Iterator[Event]:
        if not isinstance(self._open, _Message):
            yield from self._close("completed")
            self._open = _Message(*self._next("msg"))
            item = _message_item(self._open, "in_progress")
            yield "response.output_item.added", {"output_index": self._open.index, "item": item}
        message = self._open
        if not message.parts or message.parts[-1].kind != kind:
            if message.parts:
                yield from _part_done(message)
            message.parts.append(_Part(kind))
            place = _at(message, len(message.parts) - 1)
            yield "response.content_part.added", {**place, "part": _Part(kind).finished()}
        message.parts[-1].text.append(text)
        place = _at(message, len(message.parts) - 1)
        if kind == "refusal":
            yield "response.refusal.delta", {**place, "delta": text}
        else:
            yield "response.output_text.delta", {**place, "delta": text, "logprobs": []}

    def _close(self, status: str) -> Iterator[Event]:
        """The thoughts or the message that are open are done."""
        item, self._open = self._open, None
        if item is None:
            return
        if isinstance(item, _Message):
            yield from _part_done(item)
            done = _message_item(item, status)
        else:
            text = "".join(item.text)
            yield "response.reasoning_text.done", {**_at(item, 0), "text": text}
            content = [{"type": "reasoning_text", "text": text}]
            done = {"id": item.id, "type": "reasoning", "status": status, "summary": [], "content": content}
        yield self._done(item, done)

    def _finish_call(self, call: _Call, status: str) -> Iterator[Event]:
        place = {"output_index": call.index, "item_id": call.id}
        if not call.arguments and not call.stands_for.is_custom and status == "completed":
            call.arguments.append("{}")  # for a tool without any some providers send nothing, which is no JSON
            yield "response.function_call_arguments.delta", {**place, "delta": "{}"}
        arguments = "".join(call.arguments)
        if call.stands_for.is_custom:
            text = _custom_input(arguments)
            yield "response.custom_tool_call_input.delta", {**place, "delta": text}
            yield "response.custom_tool_call_input.done", {**place, "input": text}
        else:
            text = arguments
            said = {"name": call.stands_for.name, "arguments": text}
            yield "response.function_call_arguments.done", {**place, **said}
        yield self._done(call, _call_item(call, text, status))

    def _next(self, kind: str) -> tuple[int, str]:
        """The index and the id of the next item."""
        index = len(self.items)
        self.items.append({})  # its place
        return index, f"{kind}_{self._suffix}_{index}"

    def _done(self, item: _Item, done: dict[str, Any]) -> Event:
        self.items[item.index] = done
        return "response.output_item.done", {"output_index": item.index, "item": done}


def _at(item: _Item, content_index: int) -> dict[str, Any]:
    return {"output_index": item.index, "item_id": item.id, "content_index": content_index}


def _part_done(message: _Message) -> Iterator[Event]:
    part, place = message.parts[-1], _at(message, len(message.parts) - 1)
    done = part.finished()
    if part.kind == "refusal":
        yield "response.refusal.done", {**place, "refusal": done["refusal"]}
    else:
        yield "response.output_text.done", {**place, "text": done["text"], "logprobs": []}
    yield "response.content_part.done", {**place, "part": done}


def _message_item(message: _Message, status: str) -> dict[str, Any]:
    content = [part.finished() for part in message.parts]
    return {"id": message.id, "type": "message", "role": "assistant", "status": status, "content": content}


def _call_item(call: _Call, text: str, status: str) -> dict[str, Any]:
    tool = call.stands_for
    kind, said = ("custom_tool_call", "input") if tool.is_custom else ("function_call", "arguments")
    item = {"id": call.id, "type": kind, "status": status, "call_id": call.call_id, "name": tool.name, said: text}
    return item if tool.namespace is None else {**item, "namespace": tool.namespace}


def _custom_input(arguments: str) -> str:
    """The text that a model gave a custom tool through its function; whatever it gave, if that is not one string."""
    try:
        given = msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return arguments
    text = given.get(CUSTOM_INPUT, "" if not given else None)
    return text if isinstance(text, str) else arguments
