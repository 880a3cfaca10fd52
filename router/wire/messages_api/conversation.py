"""Anthropic's messages as the messages of a chat: `Conversation`.

A message of Anthropic's holds blocks of all kinds, one of a chat has a place for each: what tools said comes first, in
messages of its own; pictures that a tool gave back go into the user's message that follows, as most chat servers take
text only from tools; what the model thought stands beside what it said. What no chat can say is kept in a form that is
counted, and is said in `untranslatable`.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.errors import InvalidRequest
from router.wire.requests import explained, is_given

Chat = dict[str, Any]
"""A message, or a part of one, for a chat request in the making."""

_Read = TypeVar("_Read")

# How the line begins that Claude Code since 2.1.36 puts before its system prompt. A part of it is another one in every
# request, so that every prompt cache misses, and it says nothing to a model (anthropics/claude-code#68900, 2026-06).
BILLING_NOTE = "x-anthropic-billing-header:"

# How OpenRouter calls what proves Claude's thoughts (openrouter.md §1.4).
_THOUGHT_FORMAT = "anthropic-claude-v1"


class _Block(Struct):
    """What a block of any kind may have that is read; members of the same name differ in type, and so are kept raw."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: Raw | UnsetType = UNSET
    id: str | None = None
    name: str | None = None
    input: Raw | UnsetType = UNSET
    tool_use_id: str | None = None
    tool_name: str | None = None
    content: Raw | UnsetType = UNSET
    source: Raw | UnsetType = UNSET
    title: str | None = None
    context: str | None = None
    is_error: bool | None = None
    citations: Raw | UnsetType = UNSET
    cache_control: Raw | UnsetType = UNSET


class _Source(Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Raw | UnsetType = UNSET


class _Citing(Struct):
    enabled: bool | None = None


def is_billing_note(text: str | None) -> bool:
    """Whether the text is that line and nothing else."""
    return text is not None and text.startswith(BILLING_NOTE) and "\n" not in text.strip()


class Conversation:
    """The messages of a chat in the making."""

    def __init__(self) -> None:
        self.messages: list[Chat] = []
        self.untranslatable: str | None = None  # the first thing of it that no chat can say
        self._content: msgspec.json.Decoder[str | list[Raw]] = msgspec.json.Decoder(str | list[Raw])
        self._block = msgspec.json.Decoder(_Block)
        self._source = msgspec.json.Decoder(_Source)
        self._citing: msgspec.json.Decoder[_Citing | list[Raw] | None] = msgspec.json.Decoder(
            _Citing | list[Raw] | None
        )

    def add_system(self, content: str | Sequence[Raw], *, at: str) -> None:
        parts = [part for part in self._parts(content, at) if not is_billing_note(part.get("text"))]
        if parts:
            self.messages.append({"role": "system", "content": _short(parts)})

    def add_users(self, content: str | Sequence[Raw], *, at: str) -> None:
        """The results of tools, each a message, and then what the user says and shows."""
        if isinstance(content, str):
            self.messages.append({"role": "user", "content": content})
            return
        said: list[Chat] = []
        results = 0
        for index, raw in enumerate(content):
            block, place = self._read_block(raw, f"{at}[{index}]"), f"{at}[{index}]"
            if block.type == "tool_result":
                results += 1
                said.extend(self._add_result(block, place))
            else:
                said.extend(self._part(block, raw, place))
        if said or not results:
            self.messages.append({"role": "user", "content": _short(said)})

    def add_assistants(self, content: str | Sequence[Raw], *, at: str) -> None:
        if isinstance(content, str):
            self.messages.append({"role": "assistant", "content": content})
            return
        said: list[Chat] = []
        calls: list[Chat] = []
        thoughts: list[str] = []
        proofs: list[Chat] = []
        for index, raw in enumerate(content):
            place = f"{at}[{index}]"
            block = self._read_block(raw, place)
            match block.type:
                case "tool_use":
                    calls.append(_call(block, place))
                case "thinking":
                    thoughts.append(block.thinking or "")
                    if block.signature:  # without one it proves nothing, and may be another model's
                        proofs.append(_proof(block))
                case "redacted_thinking":
                    proofs.append({"type": "reasoning.encrypted", "data": _text_of(block.data, f"{place}.data")})
                case _:
                    said.extend(self._part(block, raw, place))
        message: Chat = {"role": "assistant", "content": _short(said) if said or not calls else None}
        if calls:
            message["tool_calls"] = calls
        if any(thoughts):
            # OpenRouter's name for it and DeepSeek's, whose API wants it back (openrouter.md §1.4).
            message["reasoning"] = message["reasoning_content"] = "\n\n".join(thoughts)
        if proofs:
            message["reasoning_details"] = [
                {**proof, "format": _THOUGHT_FORMAT, "index": index} for index, proof in enumerate(proofs)
            ]
        self.messages.append(message)

    def cannot_say(self, what: str) -> None:
        """Only who speaks this API can be asked; the first reason is told."""
        self.untranslatable = self.untranslatable or what

    def _add_result(self, block: _Block, at: str) -> list[Chat]:
        """What a tool said becomes a message; its pictures and files are given back."""
        if block.tool_use_id is None:
            raise _missing(f"{at}.tool_use_id")
        parts = self._parts(self._read_content(block.content, f"{at}.content"), f"{at}.content")
        texts = [part for part in parts if part["type"] == "text"]
        if not texts and block.is_error:
            texts = [{"type": "text", "text": "Error"}]  # a chat has no other place to say so
        if is_given(block.cache_control):
            texts = texts or [{"type": "text", "text": ""}]
            texts[-1] = {**texts[-1], "cache_control": block.cache_control}
        self.messages.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": _short(texts)})
        return [part for part in parts if part["type"] != "text"]

    def _parts(self, content: str | Sequence[Raw], at: str) -> list[Chat]:
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if content else []
        parts: list[Chat] = []
        for index, raw in enumerate(content):
            place = f"{at}[{index}]"
            parts.extend(self._part(self._read_block(raw, place), raw, place))
        return parts

    def _part(self, block: _Block, raw: Raw, at: str) -> list[Chat]:
        """What a chat shows of one block: usually one part."""
        match block.type:
            case "text":
                if block.text is None:
                    raise _missing(f"{at}.text")
                parts: list[Chat] = [{"type": "text", "text": block.text}]
            case "image":
                parts = [self._picture(block, at)]
            case "document":
                parts = self._document(block, at)
            case "search_result":
                parts = self._search_result(block, at)
            case "tool_reference":
                parts = [{"type": "text", "text": block.tool_name or ""}]
            case other:
                # Its length is what only its provider knows: a part of an unknown kind is held for with the window.
                self.cannot_say(f"a content block of type {other[:60]!r}")
                parts = [{"type": other, "text": bytes(raw).decode()}]
        if parts and is_given(block.cache_control):
            parts[-1]["cache_control"] = block.cache_control
        return parts

    def _picture(self, block: _Block, at: str) -> Chat:
        source = self._read_source(block, at)
        match source.type:
            case "base64":
                url = _data_url(source, f"{at}.source")
            case "url" if source.url is not None:
                url = source.url
            case other:
                self.cannot_say(f"a picture by a source of type {other[:60]!r}")
                url = other
        return {"type": "image_url", "image_url": {"url": url}}

    def _document(self, block: _Block, at: str) -> list[Chat]:
        if self._cites(block, at):
            self.cannot_say("citations")
        source, name = self._read_source(block, at), block.title or "document"
        match source.type:
            case "text":
                parts: list[Chat] = [{"type": "text", "text": source.data or ""}]
            case "content":
                place = f"{at}.source.content"
                parts = self._parts(self._read_content(source.content, place), place)
            case "base64":
                parts = [{"type": "file", "file": {"filename": name, "file_data": _data_url(source, f"{at}.source")}}]
            case "url":
                parts = [{"type": "file", "file": {"filename": name, "file_data": source.url or ""}}]
            case other:
                self.cannot_say(f"a document by a source of type {other[:60]!r}")
                parts = [{"type": "file", "file": {"file_id": source.file_id or other}}]
        told = [text for text in (block.title, block.context) if text]
        return [{"type": "text", "text": "\n".join(told)}, *parts] if told else parts

    def _search_result(self, block: _Block, at: str) -> list[Chat]:
        if self._cites(block, at):
            self.cannot_say("citations")
        source = _text_of(block.source, f"{at}.source")
        head = {"type": "text", "text": "\n".join(filter(None, (block.title, source)))}
        return [head, *self._parts(self._read_content(block.content, f"{at}.content"), f"{at}.content")]

    def _cites(self, block: _Block, at: str) -> bool:
        if block.citations is UNSET:
            return False
        asked = _decoded(self._citing, block.citations, f"{at}.citations")
        return isinstance(asked, _Citing) and bool(asked.enabled)

    def _read_block(self, raw: Raw, at: str) -> _Block:
        return _decoded(self._block, raw, at)

    def _read_source(self, block: _Block, at: str) -> _Source:
        if block.source is UNSET:
            raise _missing(f"{at}.source")
        return _decoded(self._source, block.source, f"{at}.source")

    def _read_content(self, content: Raw | UnsetType, at: str) -> str | list[Raw]:
        return _decoded(self._content, content, at) if isinstance(content, Raw) and is_given(content) else ""


def _short(parts: list[Chat]) -> str | list[Chat]:
    """The parts as a text where they are one and no more: every chat server takes that."""
    if not parts:
        return ""
    if len(parts) == 1 and parts[0].keys() == {"type", "text"} and parts[0]["type"] == "text":
        text: str = parts[0]["text"]
        return text
    return parts


def _call(block: _Block, at: str) -> Chat:
    if block.id is None or block.name is None:
        raise _missing(f"{at}.{'id' if block.id is None else 'name'}")
    arguments = bytes(block.input).decode() if isinstance(block.input, Raw) and is_given(block.input) else "{}"
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _proof(block: _Block) -> Chat:
    return {"type": "reasoning.text", "text": block.thinking or "", "signature": block.signature}


def _data_url(source: _Source, at: str) -> str:
    if source.data is None or source.media_type is None:
        raise _missing(f"{at}.{'data' if source.data is None else 'media_type'}")
    return f"data:{source.media_type};base64,{source.data}"


def _text_of(member: Raw | UnsetType, at: str) -> str:
    if member is UNSET:
        raise _missing(at)
    try:
        return msgspec.json.decode(member, type=str)
    except (msgspec.DecodeError, RecursionError) as error:
        raise explained(error, at=at) from error


def _decoded(decoder: "msgspec.json.Decoder[_Read]", raw: Raw, at: str) -> _Read:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise explained(error, at=at) from error


def _missing(path: str) -> InvalidRequest:
    """In Anthropic's own words."""
    return InvalidRequest(f"{path}: Field required.", param=path, code="invalid_type")
