"""What a reply says, choice by choice: text, tool calls and how it ended, from a whole body or from a stream's events.

Read only where a policy verifies answers. Permissive, like all reading of replies: what has an unexpected type is taken
for absent, and so fails the check that needed it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from router.wire.foreign import as_object, as_objects, as_text, decoded


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
    return tuple(_answer(choice) for choice in choices_in(body))


def answers_in_events(events: bytes) -> tuple[Answer, ...]:
    """The choices of a stream, given all its events as a client gets them, in the order of their index."""
    parts: dict[int, _Parts] = {}
    for payload in _payloads(events):
        for choice in choices_in(payload):
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
        self.finish_reason = as_text(choice.get("finish_reason")) or self.finish_reason
        delta = as_object(choice.get("delta"))
        self.text.append(_content(delta.get("content")) or "")
        self.refusal.append(as_text(delta.get("refusal")) or "")
        self.has_media = self.has_media or _has_media(delta)
        for position, call in enumerate(as_objects(delta.get("tool_calls"))):
            index = call.get("index")
            number = index if isinstance(index, int) else position
            function = as_object(call.get("function"))
            self.names[number] = self.names.get(number) or as_text(function.get("name")) or ""
            self.arguments.setdefault(number, []).append(as_text(function.get("arguments")) or "")

    def answer(self) -> Answer:
        return Answer(
            text="".join(self.text) or None,
            calls=tuple(Called(self.names[number], "".join(self.arguments[number])) for number in sorted(self.names)),
            finish_reason=self.finish_reason,
            refusal="".join(self.refusal) or None,
            has_media=self.has_media,
        )


def _answer(choice: dict[str, Any]) -> Answer:
    message = as_object(choice.get("message"))
    functions = [as_object(call.get("function")) for call in as_objects(message.get("tool_calls"))]
    return Answer(
        text=_content(message.get("content")),
        calls=tuple(
            Called(as_text(each.get("name")) or "", as_text(each.get("arguments")) or "") for each in functions
        ),
        finish_reason=as_text(choice.get("finish_reason")),
        refusal=as_text(message.get("refusal")),
        has_media=_has_media(message),
    )


def _payloads(events: bytes) -> Iterator[bytes]:
    for event in events.split(b"\n\n"):
        lines = [line[5:] for line in event.split(b"\n") if line.startswith(b"data:")]
        if lines:
            yield b"\n".join(lines)


def choices_in(body: bytes) -> Sequence[dict[str, Any]]:
    """The choices of a body or a chunk as they came."""
    return as_objects(as_object(decoded(body)).get("choices"))


def _has_media(message: dict[str, Any]) -> bool:
    return bool(message.get("images") or message.get("audio"))


def _content(content: object) -> str | None:
    """Text, or the text of its parts."""
    if isinstance(content, list):
        return "".join(as_text(part.get("text")) or "" for part in as_objects(content)) or None
    return as_text(content)
