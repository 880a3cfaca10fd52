"""The stream of a chat as a stream of messages: `TranslatedEditor`.

A chat's editor mends what the provider sends; each chunk that it would give to a client becomes events here. Blocks of
a message come one after the other, while parts of several calls may come mixed in a chat: one block is open, and what
belongs to another waits until the open one can be closed, which is at once but for a call whose arguments are not
complete. What comes of a chunk depends on the chunks before it, never on where the bytes were cut.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from router.errors import PenstockError
from router.wire.events import payload_of
from router.wire.messages_api.errors import error_event
from router.wire.messages_api.streams import STOP
from router.wire.messages_api.translation import (
    Choice,
    Said,
    ToolCall,
    completion_in,
    message_frame,
    named_event,
    stop_of,
    text_block,
    tool_block,
    usage_of,
)
from router.wire.over_chat import OverChat
from router.wire.streams import StreamEditor


@dataclass(slots=True)
class _Block:
    """A content block that has begun, or waits to."""

    kind: str  # thinking, redacted_thinking, text or tool_use
    call: int = -1  # the index of a call in the chat
    call_id: str = ""
    name: str = ""
    written: list[str] = field(default_factory=list)
    signature: str = ""

    def is_closable(self) -> bool:
        """Whether nothing more can belong to it. A call's arguments are whole when they are JSON."""
        if self.kind != "tool_use":
            return True
        try:
            msgspec.json.decode("".join(self.written), type=Raw)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    def begun(self) -> dict[str, Any]:
        match self.kind:
            case "thinking":
                return {"type": "thinking", "thinking": "", "signature": ""}
            case "redacted_thinking":
                return {"type": "redacted_thinking", "data": "".join(self.written)}
            case "tool_use":
                return tool_block(self.call_id, self.name, Raw(b"{}"))
        return text_block("")


class TranslatedEditor(OverChat):
    """Turns one stream of a chat into one of messages: an `Editor`."""

    __slots__ = (
        "_choice",
        "_closed",
        "_input_tokens",
        "_is_told",
        "_next_index",
        "_open",
        "_stop_sequences",
        "_waiting",
    )

    def __init__(self, chat: StreamEditor, *, stop_sequences: Sequence[str], input_tokens: int) -> None:
        """`input_tokens` are those expected: Claude Code takes them from the start of a message (vercel/ai#17326)."""
        super().__init__(chat)
        self._input_tokens = input_tokens
        self._stop_sequences = stop_sequences
        self._is_told = False  # that there is a message
        self._open: _Block | None = None
        self._waiting: list[_Block] = []
        self._next_index = 0
        self._closed: dict[int, str] = {}  # the calls that are told, by index: the id of the last
        self._choice = Choice()  # the last one that gave a reason for its end

    def feed(self, data: bytes) -> bytes:
        chunks = self._chat.feed(data)
        return b"".join([self._translated(event) for event in chunks.split(b"\n\n") if event]) if chunks else b""

    def end(self) -> bytes:
        if not self.is_complete:
            return b""
        events = [] if self._is_told else [self._start(None, None)]
        events.extend(self._close())
        for block in self._waiting:
            events.extend([*self._begin(block), *self._close()])
        stop = stop_of(self._choice, has_calls=bool(self._closed), stop_sequences=self._stop_sequences)
        events.append(named_event("message_delta", {"delta": stop, "usage": usage_of(self.bill)}))
        return b"".join([*events, STOP])

    def broken(self, error: PenstockError, *, request_id: str) -> bytes:
        return error_event(error, request_id=request_id)

    def _translated(self, event: bytes) -> bytes:
        payload = payload_of(event)
        if payload is None:
            return event + b"\n\n"  # a comment
        try:
            chunk = completion_in(payload)
        except ValueError:  # of a shape that we do not know
            return b""
        events = [] if self._is_told else [self._start(chunk.id, chunk.model)]
        for choice in chunk.choices or ():
            if choice.delta is not None:
                events.extend(self._said(choice.delta))
            if choice.finish_reason:
                self._choice = choice
        return b"".join(events)

    def _start(self, generation_id: str | None, model: str | None) -> bytes:
        self._is_told = True
        message = message_frame(generation_id, model)
        message["usage"]["input_tokens"] = self._input_tokens
        return named_event("message_start", {"message": message})

    def _said(self, delta: Said) -> Iterator[bytes]:
        if delta.thoughts or delta.signature:
            block = self._last("thinking")
            yield from self._advance()
            block.signature += delta.signature
            yield from self._write(block, delta.thoughts)
        for data in delta.hidden:
            self._waiting.append(_Block("redacted_thinking", written=[data]))
            yield from self._advance()
        if text := delta.text:
            block = self._last("text")
            yield from self._advance()
            yield from self._write(block, text)
        for call in delta.tool_calls or ():
            yield from self._called(call)

    def _called(self, call: ToolCall) -> Iterator[bytes]:
        block = self._block_of(call)
        if block is not None:
            yield from self._advance()
            yield from self._write(block, (call.function.arguments if call.function is not None else None) or "")

    def _last(self, kind: str) -> _Block:
        """The last block if it is of this kind, or else a new one."""
        last = self._waiting[-1] if self._waiting else self._open
        if last is not None and last.kind == kind:
            return last
        self._waiting.append(_Block(kind))
        return self._waiting[-1]

    def _block_of(self, call: ToolCall) -> _Block | None:
        """The block of a call; None if that has been told, and something empty follows.

        Some providers give the id in every delta, and some the same index to every call.
        """
        index = call.index or 0
        for block in (*reversed(self._waiting), self._open):
            if block is not None and block.call == index and call.id in (None, "", block.call_id):
                return block
        if index in self._closed and call.id in (None, "", self._closed[index]):
            return None
        name = (call.function.name if call.function is not None else None) or ""
        self._waiting.append(_Block("tool_use", call=index, call_id=call.id or f"toolu_{index}", name=name))
        return self._waiting[-1]

    def _advance(self) -> Iterator[bytes]:
        """Close what can be closed, and tell what has waited for that; the last stays open."""
        while self._waiting and (self._open is None or self._open.is_closable()):
            yield from self._close()
            yield from self._begin(self._waiting.pop(0))

    def _begin(self, block: _Block) -> Iterator[bytes]:
        self._open = block
        yield named_event("content_block_start", {"index": self._next_index, "content_block": block.begun()})
        if block.written and block.kind != "redacted_thinking":
            yield self._delta(block, "".join(block.written))

    def _write(self, block: _Block, text: str) -> Iterator[bytes]:
        if text:
            block.written.append(text)
            if block is self._open:
                yield self._delta(block, text)

    def _close(self) -> Iterator[bytes]:
        block, self._open = self._open, None
        if block is None:
            return
        if block.signature:
            delta = {"type": "signature_delta", "signature": block.signature}
            yield named_event("content_block_delta", {"index": self._next_index, "delta": delta})
        if block.kind == "tool_use":
            self._closed[block.call] = block.call_id
        yield named_event("content_block_stop", {"index": self._next_index})
        self._next_index += 1

    def _delta(self, block: _Block, text: str) -> bytes:
        match block.kind:
            case "thinking":
                delta = {"type": "thinking_delta", "thinking": text}
            case "tool_use":
                delta = {"type": "input_json_delta", "partial_json": text}
            case _:
                delta = {"type": "text_delta", "text": text}
        return named_event("content_block_delta", {"index": self._next_index, "delta": delta})
