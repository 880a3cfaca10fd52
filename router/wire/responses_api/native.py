"""A stream of the Responses API on its way from a provider that speaks it: `NativeEditor`.

Events leave as the bytes that came, under their name; the last one with all its counts (mending.py). The events that
only say that a response has been created are kept until the answer itself begins: a provider that fails before can
still be replaced, and the client sees one response only. What ends it is `response.completed` or
`response.incomplete`; whatever says that it has failed becomes the end of a failed stream in our words, and so does an
end without one of these. No `id:` or `retry:` lines, as in a chat.
"""

from msgspec import UNSET, DecodeError, Raw, json

from router.errors import PenstockError
from router.wire.editing import EventEditor
from router.wire.events import MAX_EVENT_BYTES, is_named_error, is_utf8, without_others
from router.wire.replies import FALSY
from router.wire.responses_api.events import error_events, named
from router.wire.responses_api.mending import with_all_counts
from router.wire.responses_api.replies import ResponsesReplyReader, StreamEvent, error_with_status

_BEFORE_THE_ANSWER = frozenset({"response.created", "response.in_progress", "response.queued"})
_ENDS = frozenset({"response.completed", "response.incomplete"})
# `response.error` is OpenRouter's (its documentation of 2026-08).
_FAILURES = frozenset({"response.failed", "response.cancelled", "response.error", "error"})


# The many events of a stream, which have nothing that we act on: one look tells, and they pass under their name.
_SAID = {
    kind: f"event: {kind}\n".encode()
    for kind in (
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.custom_tool_call_input.delta",
    )
}


class NativeEditor(EventEditor):
    """Edits one stream and remembers what its end will be booked by."""

    __slots__ = (
        "_first",
        "_held",
        "_held_bytes",
        "_next_number",
        "_replies",
        "is_complete",
    )

    def __init__(self, replies: ResponsesReplyReader) -> None:
        super().__init__()
        self.is_complete = False
        self._replies = replies
        self._held: list[bytes] = []  # of before the answer
        self._held_bytes = 0
        self._next_number = 0
        self._first = b""  # the first response that was told

    def end(self) -> bytes:
        """Nothing: the provider's own last event has said it all."""
        return b""

    def broken(self, error: PenstockError, *, request_id: str) -> bytes:
        """The end of a stream that broke off, numbered after the last that the client has had."""
        number = self._next_number if self.has_begun else 0
        return error_events(error, request_id=request_id, sequence_number=number, response=self._started())

    def _started(self) -> dict[str, Raw] | None:
        """The response as its provider first told it, if it did."""
        try:
            return json.decode(self._first, type=dict[str, Raw]) if self.has_begun and self._first else None
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _read(self, event: bytes, payload: bytes) -> bytes:
        seen = self._replies.event(payload) if is_utf8(payload) else None
        if seen is None:
            self.has_failed = True
            return b""
        if self.has_begun and not self.has_failed and seen.is_plain and seen.type in _SAID and _is_one_line(event):
            self._next_number = self._next_number if seen.sequence_number is None else seen.sequence_number + 1
            return _SAID[seen.type] + event + b"\n\n"
        return self._seen(seen, event, payload)

    def _seen(self, seen: StreamEvent, event: bytes, payload: bytes) -> bytes:
        error = _error_in(seen, payload, self._note(seen), is_named=is_named_error(event))
        if error is not None and not self.has_failed:
            self.error, self.has_failed = error, True
        if self.has_failed:
            return b""
        if seen.sequence_number is not None:
            self._next_number = seen.sequence_number + 1
        if seen.type in _ENDS:
            self.is_done = self.is_complete = True
            mended = with_all_counts(payload)
            if mended is not payload:
                event, payload = b"data: " + mended.replace(b"\n", b"\ndata: "), mended
        edited = _relayed(seen, event, payload)
        if not self.has_begun and seen.type in _BEFORE_THE_ANSWER and self._held_bytes < MAX_EVENT_BYTES:
            self._held.append(edited)
            self._held_bytes += len(edited)
            return b""
        self.has_begun = True
        before, self._held = self._held, []
        return b"".join([*before, edited]) if before else edited

    def _note(self, seen: StreamEvent) -> bytes | None:
        """Remember what the event's response says, if it has one; the error in it."""
        facts = None if seen.response is UNSET else self._replies.facts(bytes(seen.response))
        if facts is None:
            return None
        if not self._first and isinstance(seen.response, Raw):
            self._first = bytes(seen.response)
        self.generation_id = self.generation_id or facts.generation_id
        self.served_model = self.served_model or facts.model
        self.serving_provider = self.serving_provider or facts.provider
        if facts.bill is not None:
            self.bill = facts.bill
        if seen.type in _ENDS:
            self.finish_reason = facts.finish_reason
        return facts.error


def _error_in(seen: StreamEvent, payload: bytes, inside: bytes | None, *, is_named: bool) -> bytes | None:
    """The error that an event is, in any of the shapes it may have; None if it is none. `inside`: of its response."""
    if seen.error is not UNSET and bytes(seen.error) not in FALSY:
        return error_with_status(bytes(seen.error), seen.error_type)
    if inside is None and (seen.type in _FAILURES or is_named):
        return error_with_status(payload, seen.error_type)
    return inside


def _relayed(seen: StreamEvent, event: bytes, payload: bytes) -> bytes:
    if _is_one_line(event):
        return named(seen.type, event)
    if any(line.startswith(b"event:") for line in event.split(b"\n")):
        return without_others(event)
    return named(seen.type, b"data: " + payload.replace(b"\n", b"\ndata: "))


def _is_one_line(event: bytes) -> bool:
    return event.startswith(b"data: ") and b"\n" not in event
