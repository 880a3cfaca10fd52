"""Server-sent events of a chat stream, without I/O: a provider's bytes in, the client's bytes out.

Chunks pass as received but for what the OpenAI SDKs choke on (reference: openrouter.md §7, §10):
- `role` stays in the first chunk of each choice only: helpers concatenate it ("assistantassistant…");
- the usage chunk is sent last, and only to a client that asked for it;
- a finish that is repeated is dropped, annotations get an `index`;
- a call of a tool without arguments says `{}` before its choice finishes: some providers say nothing, which is no JSON;
- `[DONE]` is ours to send, once, when the stream ended well; an error ends it without;
- no `id:` or `retry:` lines: every version of openai-python fails on them.

Each event is read once, with a decoder that looks at nothing but what decides whether it needs more: a quarter of a
microsecond, less than one `bytes.find` over it (CPython 3.11, msgspec 0.22, 2026-11). All others leave as the bytes
that came. One that differs from the last only in what it says is not even read (`_Pattern`). An event that no SDK could
read, neither JSON nor UTF-8, ends the stream as an error does. What becomes of an event depends on the events before
it, never on where the provider's bytes were cut.
"""

from typing import Any

from msgspec import DecodeError, Raw, Struct, ValidationError, json

from router.errors import PenstockError
from router.wire.editing import EventEditor
from router.wire.events import data_event, is_named_error, is_utf8, payload_of, without_others
from router.wire.replies import ReplyFacts, ReplyReader, error_body

DONE = b"data: [DONE]\n\n"

# Each with the comma that goes with it, before or behind; most frequent first, and alone last.
_ROLES = (
    b',"role":"assistant"',
    b'"role":"assistant",',
    b', "role": "assistant"',
    b'"role": "assistant", ',
    b', "role":"assistant"',
    b',"role": "assistant"',
    b'"role": "assistant",',
    b'"role":"assistant"',
    b'"role": "assistant"',
)
_NULL = Raw(b"null")
_COMPLETE = frozenset({"stop", "tool_calls"})  # after any other reason, arguments may have been cut off
_NOTHING_SAID = frozenset({b'""', b"null", b"[]", b"{}"})


class _Something(Struct, gc=False):
    """An object, whatever is in it."""


class _SeenFunction(Struct, gc=False):
    arguments: str | None = None


class _SeenCall(Struct, gc=False):
    index: int = 0
    function: _SeenFunction | None = None


class _SeenDelta(Struct, gc=False):
    role: str | None = None
    annotations: Any = None
    tool_calls: list[_SeenCall] | None = None


class _SeenChoice(Struct, gc=False):
    index: int = 0
    delta: _SeenDelta | None = None
    finish_reason: str | None = None
    error: _Something | None = None


class _Seen(Struct, gc=False):
    """What of a chunk tells whether it needs more than its role taken out."""

    choices: list[_SeenChoice] | None = None
    usage: _Something | None = None
    error: _Something | None = None
    object: str | None = None
    type: str | None = None

    @property
    def is_error(self) -> bool:
        """An error that is not wrapped in an `error` member, as vLLM and Anthropic have it."""
        return self.object == "error" or self.type == "error"


def _is_plain(seen: _Seen) -> bool:
    if seen.usage is not None or seen.error is not None or seen.is_error:
        return False
    for each in seen.choices or ():
        if each.finish_reason or each.error is not None:
            return False
        if each.delta is not None and each.delta.annotations is not None:
            return False
    return True


def _calls_tools(seen: _Seen) -> bool:
    for each in seen.choices or ():  # noqa: SIM110  as below
        if each.delta is not None and each.delta.tool_calls:
            return True
    return False


def _has_role(seen: _Seen) -> bool:
    for each in seen.choices or ():  # noqa: SIM110  a generator costs more than all else here
        if each.delta is not None and each.delta.role is not None:
            return True
    return False


class _DeltaChoice(Struct):
    index: int = 0
    delta: dict[str, Raw] | None = None
    finish_reason: str | None = None


class _Deltas(Struct):
    choices: list[_DeltaChoice] | None = None


_SEEN = json.Decoder(_Seen)
_DELTAS = json.Decoder(_Deltas)


class _Pattern:
    """Events that are alike but for the text of one string, and what becomes of them.

    Most of a stream is the same chunk over and over around a few letters. Editing one takes 1.9 us of CPU where reading
    each took 4.0 (CPython 3.11, 2026-11).
    """

    __slots__ = ("_begins", "_ends", "_least_bytes", "_out_begins", "_out_ends")

    def __init__(self, begins: bytes, ends: bytes, *, has_role: bool) -> None:
        """`begins` ends with the quote before the string, `ends` begins with the one behind it."""
        self._begins, self._ends = begins, ends
        self._least_bytes = len(begins) + len(ends)
        if has_role:
            begins, ends = _without_roles(begins), _without_roles(ends)
        self._out_begins, self._out_ends = begins, ends + b"\n\n"

    @classmethod
    def of(cls, event: bytes, *, has_role: bool) -> "_Pattern | None":
        """The pattern of an event on one line that is valid JSON and says something, else None.

        Those bytes stand in JSON only where a string begins that is the value of a member: were they part of a string,
        its quotes would be escaped.
        """
        begins, says, rest = event.partition(b'"content":"')
        text, quote, ends = rest.partition(b'"')
        if not quote or b"\\" in text:
            return None
        return cls(begins + says, quote + ends, has_role=has_role)

    def edited(self, event: bytes) -> bytes | None:
        """What the client gets of an event of this pattern, None for any other."""
        if not (event.startswith(self._begins) and event.endswith(self._ends) and len(event) >= self._least_bytes):
            return None
        text = event[len(self._begins) : len(event) - len(self._ends)]
        if b'"' in text or b"\\" in text or not _is_printable(text):
            return None
        return self._out_begins + text + self._out_ends


def _is_printable(text: bytes) -> bool:
    """Whether it is UTF-8 without control characters."""
    try:
        return text.decode().isprintable()
    except UnicodeDecodeError:
        return False


class StreamEditor(EventEditor):
    """Edits one stream and remembers what its end will be booked by.

    Its `finish_reason` is that of the choice that finished last, and `length` if that cut any of them.
    """

    __slots__ = (
        "_annotations",
        "_calls",
        "_choices",
        "_finished",
        "_held_usage",
        "_pattern",
        "_reader",
        "_roles_missing",
        "_shows_usage",
    )

    def __init__(self, reader: ReplyReader, *, shows_usage: bool, choices: int, has_roles: bool = True) -> None:
        """`has_roles` is false of text completions, whose chunks are the same but for their deltas."""
        super().__init__()
        self._reader = reader
        self._shows_usage = shows_usage
        self._choices = choices
        # Choices whose role the client has not been told.
        self._roles_missing = set(range(choices)) if has_roles else set[int]()
        self._finished: set[int] = set()
        self._annotations: dict[int, int] = {}  # how many each choice has had
        self._calls: dict[int, dict[int, bool]] = {}  # of tools, by choice and index: whether it has any arguments
        self._held_usage = b""
        self._pattern: _Pattern | None = None  # of the last chunk that only said something

    @property
    def is_complete(self) -> bool:
        """Whether the answer reached its end: the provider said so, or gave each choice a reason for finishing."""
        return not self.has_failed and (self.is_done or len(self._finished) >= self._choices)

    def end(self) -> bytes:
        """What the client still has to get once the provider has closed the stream well: usage if asked for, DONE."""
        if not self.is_complete:
            return b""
        return (self._held_usage if self._shows_usage else b"") + DONE

    def broken(self, error: PenstockError, *, request_id: str) -> bytes:
        """The last event of a stream that broke off."""
        return error_event(error_body(error, request_id=request_id))

    def _edited(self, event: bytes) -> bytes:
        """As of any API, but `[DONE]` is looked for in no JSON: an answer is many chunks, most of them small."""
        if self._pattern is not None and not (self.is_done or self.has_failed):
            edited = self._pattern.edited(event)
            if edited is not None:
                return edited
        return self._edited_anew(event)

    def _edited_anew(self, event: bytes) -> bytes:
        event = event.lstrip(b"\n")
        if not event or self.is_done:
            return b""
        is_one_line = event.startswith(b"data: ") and b"\n" not in event
        payload = event[6:] if is_one_line else payload_of(event)
        if payload is None:
            return b"" if self.has_failed else without_others(event)
        try:
            seen = _SEEN.decode(payload)
        except ValidationError:
            seen = None  # an unexpected type somewhere: read member by member
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return self._unreadable(payload)
        if not is_utf8(payload):  # a decoder does not look into the strings that it skips
            return self._unreadable(payload)
        is_error = not is_one_line and is_named_error(event)
        if seen is not None and _calls_tools(seen):
            self._note_calls(seen)
        # The first is read whole in any case: it names the call.
        is_usual = self.has_begun and not (self._roles_missing or self.has_failed or is_error)
        if seen is not None and is_usual and _is_plain(seen):
            return self._plain(seen, event, payload, is_one_line=is_one_line)
        facts = self._reader.facts(payload)
        if facts is None:
            return self._unreadable(payload)
        is_error = is_error or (seen is not None and seen.is_error)
        try:
            return self._edited_chunk(payload, facts, is_error=is_error)
        except (ValueError, KeyError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
            return b"" if self.has_failed else data_event(payload)

    def _note_calls(self, seen: _Seen) -> None:
        for choice in seen.choices or ():
            if choice.delta is None:
                continue
            calls = self._calls.setdefault(choice.index, {})
            for call in choice.delta.tool_calls or ():
                if call.function is not None:  # tools of other types have no arguments that could be empty
                    calls[call.index] = bool(call.function.arguments) or calls.get(call.index, False)

    def _plain(self, seen: _Seen, event: bytes, payload: bytes, *, is_one_line: bool) -> bytes:
        if is_one_line:
            has_role = _has_role(seen)
            if not _calls_tools(seen):
                self._pattern = _Pattern.of(event, has_role=has_role) or self._pattern
            return (_without_roles(event) if has_role else event) + b"\n\n"
        return data_event(_without_roles(payload)) if _has_role(seen) else without_others(event)

    def _unreadable(self, payload: bytes) -> bytes:
        """`[DONE]`, which is no JSON either, or else the end: SDKs raise on what they cannot decode."""
        if payload.strip() == b"[DONE]":
            self.is_done = True
        else:
            self.has_failed = True
        return b""

    def _edited_chunk(self, payload: bytes, facts: ReplyFacts, *, is_error: bool) -> bytes:
        self._note(facts)
        if is_error and not self.has_failed:
            self._fail(payload)
        if self.has_failed:
            return b""
        self.has_begun = True
        deltas = self._deltas_of(payload)
        if facts.bill is not None:
            self._held_usage = _usage_chunk(payload)
            payload = _without_usage(payload)
        if deltas is None:
            return data_event(payload)
        is_news = self._is_news(deltas) if deltas else facts.bill is None
        complete = [each.index for each in deltas if each.finish_reason in _COMPLETE]
        self._finished.update(each.index for each in deltas if each.finish_reason)
        if not is_news:
            return b""
        empty = b"".join(self._empty_arguments(payload, choice) for choice in complete)
        if b'"annotations"' in payload:
            payload = self._with_indexed_annotations(payload, deltas)
        return empty + data_event(self._with_first_roles_only(payload, deltas))

    def _empty_arguments(self, finish: bytes, choice: int) -> bytes:
        """`{}` for each call of the choice that has no arguments, in a chunk before the one that finishes it."""
        without = [index for index, has_arguments in self._calls.pop(choice, {}).items() if not has_arguments]
        if not without:
            return b""
        calls = [{"index": index, "function": {"arguments": "{}"}} for index in without]
        members: dict[str, Any] = dict(_members(finish))
        members["choices"] = [{"index": choice, "delta": {"tool_calls": calls}, "finish_reason": None}]
        return data_event(json.encode(members))

    def _note(self, facts: ReplyFacts) -> None:
        self.generation_id = self.generation_id or facts.generation_id
        self.served_model = self.served_model or facts.model
        self.serving_provider = self.serving_provider or facts.provider
        if facts.bill is not None:
            self.bill = facts.bill
        if self.finish_reason != "length":
            self.finish_reason = facts.finish_reason or self.finish_reason
        if self.has_failed:
            return
        if facts.error is not None:
            self._fail(facts.error)
        elif any(choice.finish_reason == "error" for choice in facts.choices):
            self._fail(b'{"code":502,"message":"the provider ended the answer with an error"}')

    def _fail(self, error: bytes) -> None:
        self.error, self.has_failed = error, True

    def _is_news(self, deltas: list[_DeltaChoice]) -> bool:
        """Whether the chunk says anything new: a choice that has finished says no more but to repeat its finish."""
        return any(each.index not in self._finished or _says_something(each.delta) for each in deltas)

    def _with_first_roles_only(self, payload: bytes, deltas: list[_DeltaChoice]) -> bytes:
        with_role = {each.index for each in deltas if each.delta and bytes(each.delta.get("role", _NULL)) != b"null"}
        told = with_role - self._roles_missing
        self._roles_missing -= with_role
        if not told:
            return payload
        if told == with_role:
            return _without_roles(payload)
        for each in deltas:
            if each.delta and each.index in told:
                each.delta.pop("role", None)
        return _with_deltas(payload, deltas)

    def _with_indexed_annotations(self, payload: bytes, deltas: list[_DeltaChoice]) -> bytes:
        """openai-python's `stream()` raises on annotations without `index`, and merges those of equal index.

        So they are numbered through the stream, per choice (openrouter.md §7). Shapes we do not know pass.
        """
        is_changed = False
        for each in deltas:
            annotations = _annotations(each.delta or {})
            for annotation in annotations:
                annotation.setdefault("index", Raw(b"%d" % self._annotations.get(each.index, 0)))
                self._annotations[each.index] = self._annotations.get(each.index, 0) + 1
            if each.delta and annotations:
                each.delta["annotations"] = Raw(json.encode(annotations))
                is_changed = True
        return _with_deltas(payload, deltas) if is_changed else payload

    def _deltas_of(self, payload: bytes) -> list[_DeltaChoice] | None:
        """The deltas of a chunk, or None if they have a shape we do not know: then it passes as it is."""
        try:
            return _DELTAS.decode(payload).choices or []
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return None


def error_event(body: bytes) -> bytes:
    """An error, already in OpenAI's shape, as the last event of a stream."""
    return data_event(body)


def _without_roles(events: bytes) -> bytes:
    for role in _ROLES:
        events = events.replace(role, b"")
        if b'"role":' not in events:
            break
    return events


def _says_something(delta: dict[str, Raw] | None) -> bool:
    return any(name != "role" and bytes(value) not in _NOTHING_SAID for name, value in (delta or {}).items())


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
    return data_event(json.encode(members))


def _annotations(delta: dict[str, Raw]) -> list[dict[str, Raw]]:
    try:
        return json.decode(delta.get("annotations", _NULL), type=list[dict[str, Raw]] | None) or []
    except ValidationError:
        return []


def _with_deltas(payload: bytes, deltas: list[_DeltaChoice]) -> bytes:
    """The chunk with these deltas in the place of its own."""
    members = _members(payload)
    choices = json.decode(members["choices"], type=list[dict[str, Raw]])
    for choice, each in zip(choices, deltas, strict=True):
        if each.delta is not None:
            choice["delta"] = Raw(json.encode(each.delta))
    members["choices"] = Raw(json.encode(choices))
    return json.encode(members)
