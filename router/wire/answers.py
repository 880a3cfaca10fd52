"""What a reply says, choice by choice: text, tool calls and how it ended, from a whole body or from a stream's events.

Read only where a policy verifies answers. Permissive, like all reading of replies: what has an unexpected type is taken
for absent, and so fails the check that needed it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Called:
    """A function that an answer calls."""

    name: str
    arguments: str  # JSON as the model wrote it


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice of a reply."""

    text: str | None
    calls: tuple[Called, ...] = ()
    finish_reason: str | None = None
    refusal: str | None = None
    has_media: bool = False  # images or audio

    @property
    def is_empty(self) -> bool:
        return not (self.calls or self.has_media or (self.text or "").strip() or (self.refusal or "").strip())


def answers_in(body: bytes) -> tuple[Answer, ...]:
    """The choices of a whole reply; none if it is not one."""
    return tuple(_answer(choice) for choice in _choices(body))


def answers_in_events(events: bytes) -> tuple[Answer, ...]:
    """The choices of a stream, given all its events as a client gets them, in the order of their index."""
    parts: dict[int, _Parts] = {}
    for payload in _payloads(events):
        for choice in _choices(payload):
            index = choice.get("index")
            parts.setdefault(index if isinstance(index, int) else 0, _Parts()).add(choice)
    return tuple(parts[index].answer() for index in sorted(parts))


@dataclass(slots=True)
class _Parts:
    """A choice while its deltas are put together."""

    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    arguments: dict[int, list[str]] = field(default_factory=dict)
    finish_reason: str | None = None
    has_media: bool = False

    def add(self, choice: dict[str, Any]) -> None:
        self.finish_reason = _text(choice.get("finish_reason")) or self.finish_reason
        delta = _object(choice.get("delta"))
        self.text.append(_content(delta.get("content")) or "")
        self.refusal.append(_text(delta.get("refusal")) or "")
        self.has_media = self.has_media or _has_media(delta)
        for position, call in enumerate(_objects(delta.get("tool_calls"))):
            index = call.get("index")
            number = index if isinstance(index, int) else position
            function = _object(call.get("function"))
            self.names[number] = self.names.get(number) or _text(function.get("name")) or ""
            self.arguments.setdefault(number, []).append(_text(function.get("arguments")) or "")

    def answer(self) -> Answer:
        return Answer(
            text="".join(self.text) or None,
            calls=tuple(Called(self.names[number], "".join(self.arguments[number])) for number in sorted(self.names)),
            finish_reason=self.finish_reason,
            refusal="".join(self.refusal) or None,
            has_media=self.has_media,
        )


def _answer(choice: dict[str, Any]) -> Answer:
    message = _object(choice.get("message"))
    functions = [_object(call.get("function")) for call in _objects(message.get("tool_calls"))]
    return Answer(
        text=_content(message.get("content")),
        calls=tuple(Called(_text(each.get("name")) or "", _text(each.get("arguments")) or "") for each in functions),
        finish_reason=_text(choice.get("finish_reason")),
        refusal=_text(message.get("refusal")),
        has_media=_has_media(message),
    )


def _payloads(events: bytes) -> Iterator[bytes]:
    for event in events.split(b"\n\n"):
        lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield b"\n".join(lines)


def _choices(body: bytes) -> Sequence[dict[str, Any]]:
    try:
        return _objects(_object(msgspec.json.decode(body)).get("choices"))
    except _UNREADABLE:
        return ()


def _has_media(message: dict[str, Any]) -> bool:
    return bool(message.get("images") or message.get("audio"))


def _content(content: object) -> str | None:
    """Text, or the text of its parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text")) or "" for part in _objects(content)) or None
    return _text(content)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
