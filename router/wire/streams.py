"""Server-sent events of a chat stream, without I/O: a provider's bytes in, the client's bytes out.

Chunks pass as received but for what the OpenAI SDKs choke on (reference: openrouter.md §7, §10):
- `role` stays in the first chunk of each choice only: helpers concatenate it ("assistantassistant…");
- the usage chunk is sent last, and only to a client that asked for it;
- a finish that is repeated is dropped, annotations get an `index`;
- `[DONE]` is ours to send, once, when the stream ended well; an error ends it without;
- no `id:` or `retry:` lines: every version of openai-python fails on them.

Most chunks are not parsed: a few `find`s tell that they hold nothing of interest. The byte patterns cannot occur inside
a JSON string, where each quotation mark is preceded by a backslash.
"""

from msgspec import UNSET, Raw, Struct, UnsetType, ValidationError, json

from router.wire.responses import Bill, ReplyFacts, ReplyReader

DONE = b"data: [DONE]\n\n"

# An event longer than this is not one: image output comes as base64 in one event, a few MB at most.
MAX_EVENT_BYTES = 16 * 1024 * 1024

_INTERESTING = (
    b'"finish_reason":"',
    b'"finish_reason": "',
    b'"usage":{',
    b'"usage": {',
    b'"error":',
    b"[DONE]",
    b'"annotations":[',
    b'"annotations": [',
)
_ROLES = (
    b'"role":"assistant",',
    b',"role":"assistant"',
    b'"role":"assistant"',
    b'"role": "assistant", ',
    b', "role": "assistant"',
    b'"role": "assistant"',
)


class EventTooLong(Exception):
    """The provider sent more than `MAX_EVENT_BYTES` without ending the event."""


class _Delta(Struct):
    role: str | None = None
    content: Raw | UnsetType = UNSET
    reasoning: Raw | UnsetType = UNSET
    tool_calls: Raw | UnsetType = UNSET
    refusal: Raw | UnsetType = UNSET
    audio: Raw | UnsetType = UNSET
    images: Raw | UnsetType = UNSET


class _DeltaChoice(Struct):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Deltas(Struct):
    choices: list[_DeltaChoice] = []


class StreamEditor:
    """Edits one stream and remembers what its end will be booked by.

    `feed` everything that arrives, then call `end`; both give bytes for the client. Afterwards, and at any time
    before, the attributes say what has been seen.
    """

    __slots__ = (
        "_buffer",
        "_deltas",
        "_finished",
        "_held_usage",
        "_reader",
        "_roles_missing",
        "_shows_usage",
        "bill",
        "error",
        "generation_id",
        "has_begun",
        "is_done",
        "served_model",
        "serving_provider",
    )

    def __init__(self, reader: ReplyReader, *, shows_usage: bool, choices: int) -> None:
        self.bill: Bill | None = None
        self.error: bytes | None = None  # the provider's error object, as received
        self.generation_id: str | None = None
        self.served_model: str | None = None
        self.serving_provider: str | None = None
        self.has_begun = False  # a data event other than an error has been seen
        self.is_done = False  # the provider's [DONE] has been seen
        self._reader = reader
        self._deltas = json.Decoder(_Deltas)
        self._shows_usage = shows_usage
        self._roles_missing = set(range(choices))  # choices whose role the client has not been told
        self._finished: set[int] = set()
        self._held_usage = b""
        self._buffer = b""

    @property
    def is_complete(self) -> bool:
        """Whether the answer reached its end: the provider said so, or gave a reason for finishing."""
        return self.error is None and (self.is_done or bool(self._finished))

    def feed(self, data: bytes) -> bytes:
        """The part of `data`, and of what was kept back before, that the client may have now."""
        if self._buffer:
            data = self._buffer + data
        if b"\r" in data:
            data = _with_line_feeds(data)
        cut = data.rfind(b"\n\n") + 2
        if cut == 1:
            self._keep(data)
            return b""
        events = data if cut == len(data) else data[:cut]
        self._keep(data[cut:])
        if self._roles_missing or any(pattern in events for pattern in _INTERESTING):
            return b"".join([self._edited(event) for event in events.split(b"\n\n") if event])
        return _without_roles(_without_foreign_lines(events))

    def end(self) -> bytes:
        """What the client still has to get once the provider has closed the stream well: usage if asked for, DONE."""
        if not self.is_complete:
            return b""
        return (self._held_usage if self._shows_usage else b"") + DONE

    def _keep(self, rest: bytes) -> None:
        if len(rest) > MAX_EVENT_BYTES:
            raise EventTooLong
        self._buffer = rest

    def _edited(self, event: bytes) -> bytes:
        """One event, without its blank line, as the client gets it: possibly not at all."""
        payload = _payload(event)
        if payload is None:
            return _without_foreign_lines(event + b"\n\n")
        if self.is_done:
            return b""
        if payload == b"[DONE]":
            self.is_done = True
            return b""
        facts = self._reader.facts(payload)
        if facts is None:
            return _data(payload)  # not ours to judge: SDKs report an event they cannot read
        return self._edited_chunk(payload, facts)

    def _edited_chunk(self, payload: bytes, facts: ReplyFacts) -> bytes:
        self.generation_id = self.generation_id or facts.generation_id
        self.served_model = self.served_model or facts.model
        self.serving_provider = self.serving_provider or facts.provider
        if facts.bill is not None:
            self.bill = facts.bill
        if facts.error is not None:
            self.error = self.error or facts.error
            return b""
        if any(choice.finish_reason == "error" for choice in facts.choices):
            self.error = b'{"code":502,"message":"the provider ended the answer with an error"}'
            return b""
        self.has_begun = True
        deltas = self._deltas_of(payload)
        if deltas is None:
            return _data(payload)
        is_news = self._is_news(deltas) if deltas else facts.bill is None
        self._finished.update(each.index for each in deltas if each.finish_reason)
        if facts.bill is not None:
            self._held_usage = _usage_chunk(payload)
            payload = _without_usage(payload)
        if not is_news:
            return b""
        if b'"annotations"' in payload:
            payload = _with_indexed_annotations(payload)
        return _data(self._with_first_roles_only(payload, deltas))

    def _is_news(self, deltas: list[_DeltaChoice]) -> bool:
        """Whether the chunk says anything that the client has not been told: text, a call, a role, a new finish."""
        return any(
            (each.finish_reason is not None and each.index not in self._finished)
            or _says_something(each.delta)
            or (each.finish_reason is None and self.bill is None)  # an empty delta before the end, with or without role
            for each in deltas
        )

    def _with_first_roles_only(self, payload: bytes, deltas: list[_DeltaChoice]) -> bytes:
        first = {each.index for each in deltas if each.delta is not None and each.delta.role} & self._roles_missing
        self._roles_missing -= first
        return payload if first else _without_roles(payload)

    def _deltas_of(self, payload: bytes) -> list[_DeltaChoice] | None:
        """The deltas of a chunk, or None if they have a shape we do not know: then it passes as it is."""
        try:
            return self._deltas.decode(payload).choices
        except (ValidationError, UnicodeDecodeError):
            return None


def error_event(body: bytes) -> bytes:
    """An error, already in OpenAI's shape, as the last event of a stream."""
    return _data(body)


def _data(payload: bytes) -> bytes:
    return b"data: " + payload + b"\n\n"


def _payload(event: bytes) -> bytes | None:
    """The data of an event, or None if it has none (a comment)."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _without_foreign_lines(events: bytes) -> bytes:
    """Events without `id:`, `retry:` and `event:` lines; the common case costs three searches."""
    if b"\nid:" not in events and b"\nretry:" not in events and not events.startswith((b"id:", b"retry:")):
        return events
    kept = [line for line in events.split(b"\n") if not line.startswith((b"id:", b"retry:"))]
    return b"\n".join(kept)


def _without_roles(events: bytes) -> bytes:
    if b'"role":' not in events:
        return events
    for role in _ROLES:
        events = events.replace(role, b"")
    return events


def _with_line_feeds(data: bytes) -> bytes:
    """CRLF as LF. A CR at the very end waits for its LF, which may come with the next bytes."""
    return data.replace(b"\r\n", b"\n")


def _says_something(delta: _Delta | None) -> bool:
    if delta is None:
        return False
    said = (delta.content, delta.reasoning, delta.tool_calls, delta.refusal, delta.audio, delta.images)
    return any(each is not UNSET and bytes(each) not in (b'""', b"null", b"[]") for each in said)


def _members(payload: bytes) -> dict[str, Raw]:
    return json.decode(payload, type=dict[str, Raw])


def _without_usage(payload: bytes) -> bytes:
    members = _members(payload)
    members.pop("usage", None)
    return json.encode(members)


def _usage_chunk(payload: bytes) -> bytes:
    """The chunk as OpenAI sends usage: with an empty list of choices."""
    members = _members(payload)
    members["choices"] = Raw(b"[]")
    return _data(json.encode(members))


def _with_indexed_annotations(payload: bytes) -> bytes:
    """openai-python's `stream()` raises on annotations without `index` in more than one chunk (openrouter.md §7)."""
    members = _members(payload)
    choices = json.decode(members["choices"], type=list[dict[str, Raw]])
    for choice in choices:
        delta = json.decode(choice.get("delta", Raw(b"{}")), type=dict[str, Raw])
        annotations = json.decode(delta.get("annotations", Raw(b"[]")), type=list[dict[str, Raw]])
        for index, annotation in enumerate(annotations):
            annotation.setdefault("index", Raw(str(index).encode()))
        if annotations:
            delta["annotations"] = Raw(json.encode(annotations))
            choice["delta"] = Raw(json.encode(delta))
    members["choices"] = Raw(json.encode(choices))
    return json.encode(members)
