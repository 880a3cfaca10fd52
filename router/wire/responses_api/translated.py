"""A chat's answer as a response: a whole one (`response_of`), and a stream on its way (`TranslatedEditor`).

A stream is mended first as a chat's is (wire/streams.py), and then told event by event. Usage, thoughts, refusals,
calls and the reason of the end go over into the words of the Responses API; the answer repeats what was asked, as
OpenAI's does, and says `store: false`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.errors import PenstockError
from router.wire.events import payload_of
from router.wire.foreign import UNREADABLE
from router.wire.over_chat import OverChat
from router.wire.replies import short_name
from router.wire.requests import ModelRequest, is_given
from router.wire.responses_api.events import error_events, event
from router.wire.responses_api.output import Event, Output
from router.wire.responses_api.replies import REASONS
from router.wire.responses_api.tools import offered_by
from router.wire.streams import StreamEditor

# What a response repeats of its request, and what it says where nothing was asked (OpenRouter's recordings of 2026-08).
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "temperature": None,
    "top_p": None,
    "top_logprobs": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "metadata": {},
    "text": {"format": {"type": "text"}},
    "reasoning": None,
    "truncation": "disabled",
    "user": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
}


class _Delta(Struct):
    """Of a message: what it says, or says more."""

    content: Any = None
    refusal: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: Any = None
    annotations: Any = None


class _Choice(Struct):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None


class ChatAnswer(Struct):
    """A whole answer of a chat, or a chunk: what of it goes over into a response."""

    id: Any = None
    created: Any = None
    model: Any = None
    service_tier: Any = None
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET


class _Draft:
    """A response while it is told."""

    def __init__(self, request: ModelRequest) -> None:
        original = request.original
        self._asked: Mapping[str, Raw] = {} if original is None else original.members
        self._tools = offered_by(self._asked)
        self._head: dict[str, Any] = {}
        self._output: Output | None = None
        self._reason: str | None = None
        self._usage: dict[str, Any] | None = None
        self._service_tier: Any = None

    @property
    def has_begun(self) -> bool:
        return self._output is not None

    def add(self, chat: ChatAnswer) -> Iterator[Event]:
        """What a chunk, or a whole answer, tells."""
        if self._output is None:
            yield from self._begin(chat)
        assert self._output is not None
        self._service_tier = self._service_tier or chat.service_tier
        if isinstance(chat.usage, Raw):
            self._usage = _usage(_object(chat.usage)) or self._usage
        for choice in chat.choices or ():
            said = choice.message or choice.delta
            if said is not None:
                yield from _told(said, self._output)
            self._reason = _text(choice.finish_reason) or self._reason

    def finish(self) -> Iterator[Event]:
        """The end."""
        assert self._output is not None
        yield from self._output.finish(self._status)
        response = self.response()
        yield f"response.{response['status']}", {"response": response}

    def response(self) -> dict[str, Any]:
        """As it is at its end."""
        assert self._output is not None
        why = REASONS.get(self._reason or "")
        return {
            **self._response(self._status, self._output.items),
            "completed_at": self._head["created_at"] if self._status == "completed" else None,
            "incomplete_details": None if why is None else {"reason": why},
            "usage": self._usage,
        }

    def unfinished(self) -> dict[str, Any] | None:
        """As it is where it breaks off, with what is done of it; None if it has not begun."""
        if self._output is None:
            return None
        return self._response("in_progress", [item for item in self._output.items if item])

    @property
    def _status(self) -> str:
        return "incomplete" if self._reason in REASONS else "completed"

    def _begin(self, chat: ChatAnswer) -> Iterator[Event]:
        created_at = chat.created if isinstance(chat.created, int) else 0
        name = short_name(_text(chat.id)) or "resp"
        self._output = Output(self._tools, name=name)
        self._head = {"id": name, "object": "response", "created_at": created_at, "model": _text(chat.model)}
        started = self._response("in_progress", [])
        yield "response.created", {"response": started}
        yield "response.in_progress", {"response": started}

    def _response(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        given = {name: value for name in _REPEATED if (value := self._asked.get(name)) is not None}
        repeated = {name: value for name, value in given.items() if bytes(value) != b"null"}
        return {
            **self._head,
            "status": status,
            "completed_at": None,
            "output": output,
            "error": None,
            "incomplete_details": None,
            **_REPEATED,
            **repeated,
            "service_tier": self._service_tier or "default",
            "background": False,
            "previous_response_id": None,
            "store": False,
            "usage": None,
        }


class TranslatedEditor(OverChat):
    """Turns one stream of a chat into one of a response. What is asked of its end is the chat editor's to say."""

    def __init__(self, chat: StreamEditor, request: ModelRequest, chunks: "msgspec.json.Decoder[ChatAnswer]") -> None:
        """`chat` must show its usage. `chunks` is costly to make, and safe to share."""
        super().__init__(chat)
        self._draft = _Draft(request)
        self._chunks = chunks
        self._next_number = 0
        self._is_unreadable = False

    @property
    def has_failed(self) -> bool:
        return super().has_failed or self._is_unreadable

    @property
    def is_complete(self) -> bool:
        return super().is_complete and not self._is_unreadable

    def feed(self, data: bytes) -> bytes:
        return self._translated(self._chat.feed(data))

    def end(self) -> bytes:
        """The usage comes last in a chat, and so does what ends the response."""
        told = self._translated(self._chat.end())
        if not self.is_complete:
            return b""
        if not self._draft.has_begun:
            told += self._numbered(self._draft.add(ChatAnswer()))
        return told + self._numbered(self._draft.finish())

    def broken(self, error: PenstockError, *, request_id: str) -> bytes:
        return error_events(
            error, request_id=request_id, sequence_number=self._next_number, response=self._draft.unfinished()
        )

    def _translated(self, events: bytes) -> bytes:
        return b"".join([self._told(each) for each in events.split(b"\n\n") if each]) if events else b""

    def _told(self, event: bytes) -> bytes:
        payload = payload_of(event)
        if payload is None:
            return event + b"\n\n"
        if payload == b"[DONE]" or self._is_unreadable:
            return b""
        try:
            chunk = self._chunks.decode(payload)
        except UNREADABLE:
            self._is_unreadable = True
            return b""
        return self._numbered(self._draft.add(chunk))

    def _numbered(self, events: Iterable[Event]) -> bytes:
        told = []
        for kind, members in events:
            told.append(event(kind, self._next_number, **members))
            self._next_number += 1
        return b"".join(told)


def response_of(chat: ChatAnswer, request: ModelRequest) -> bytes:
    """A whole chat completion as a response. Raises ValueError if it is none."""
    if not chat.choices:
        raise ValueError("a completion without a choice")
    draft = _Draft(request)
    for _ in (*draft.add(chat), *draft.finish()):
        pass
    return msgspec.json.encode(draft.response())


def _told(said: _Delta, output: Output) -> Iterator[Event]:
    thoughts = _text(said.reasoning_content) or _text(said.reasoning)  # providers give the same under both names
    if thoughts:
        yield from output.add_thoughts(thoughts)
    if text := _text(said.content):
        yield from output.add_text(text)
    if refusal := _text(said.refusal):
        yield from output.add_refusal(refusal)
    for annotation in _objects(said.annotations):
        yield from output.add_annotation(_annotation(annotation))
    for position, call in enumerate(_objects(said.tool_calls)):
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index = call.get("index")
        yield from output.add_to_call(
            index if isinstance(index, int) else position,
            call_id=_text(call.get("id")),
            name=_text(function.get("name")),
            arguments=_text(function.get("arguments")),
        )


def _annotation(annotation: dict[str, Any]) -> dict[str, Any]:
    """What a chat has in an object of its own, a response has beside the type."""
    kind = annotation.get("type")
    inside = annotation.get(kind) if isinstance(kind, str) else None
    return {"type": kind, **inside} if isinstance(inside, dict) else annotation


def _text(value: object) -> str:
    """A text, or those of its parts."""
    if isinstance(value, list):
        return "".join(_text(part.get("text")) for part in _objects(value))
    return value if isinstance(value, str) else ""


def _objects(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_ZERO = Raw(b"0")
_OBJECT = msgspec.json.Decoder(dict[str, Raw] | None)
_RENAMED = frozenset({"prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"})


def _usage(usage: Mapping[str, Raw]) -> dict[str, Any] | None:
    """A chat's usage by the names of the Responses API; `cost` and whatever else it tells as it came."""
    if not usage:
        return None
    inputs = _object(usage.get("prompt_tokens_details"))
    outputs = _object(usage.get("completion_tokens_details"))
    cached = _given(inputs.get("cached_tokens")) or _given(usage.get("prompt_cache_hit_tokens")) or _ZERO
    used = _given(usage.get("prompt_tokens")) or _ZERO, _given(usage.get("completion_tokens")) or _ZERO
    return {
        "input_tokens": used[0],
        "input_tokens_details": {
            **inputs,
            "cached_tokens": cached,
            "cache_write_tokens": _given(inputs.get("cache_write_tokens")) or _ZERO,
        },
        "output_tokens": used[1],
        "output_tokens_details": {**outputs, "reasoning_tokens": _given(outputs.get("reasoning_tokens")) or _ZERO},
        "total_tokens": _sum(used),
        **{name: value for name, value in usage.items() if name not in _RENAMED},
    }


def _given(value: Raw | None) -> Raw | None:
    return value if is_given(value) else None


def _sum(counts: Iterable[Raw]) -> int:
    try:
        return sum(msgspec.json.decode(count, type=int) for count in counts)
    except msgspec.DecodeError:
        return 0


def _object(given: Raw | None) -> Mapping[str, Raw]:
    try:
        return {} if given is None else _OBJECT.decode(given) or {}
    except UNREADABLE:
        return {}
