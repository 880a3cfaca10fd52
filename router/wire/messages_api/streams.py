"""A stream of the Messages API on its way from a provider that speaks it: `MessagesEditor`.

Events pass as received but for their frame: each leaves with the `event:` line that the SDKs go by, whether it came
with one or not (OpenRouter's other streams have none), and without `id:` and `retry:`. `[DONE]` is not of this API and
goes no further. `message_stop` is ours to send, once, when the stream ended well; an error ends it without.
"""

import msgspec
from msgspec import Raw

from router.errors import PenstockError
from router.wire.editing import EventEditor
from router.wire.events import is_named_error, is_utf8
from router.wire.foreign import UNREADABLE
from router.wire.messages_api.errors import error_event
from router.wire.messages_api.replies import MessageReader

STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessagesEditor(EventEditor):
    """Edits one stream and remembers what its end will be booked by: an `Editor`."""

    __slots__ = (
        "_has_stopped",
        "_members",
        "_reader",
        "_text",
        "_usage",
    )

    def __init__(self, reader: MessageReader) -> None:
        super().__init__()
        self._reader = reader
        self._members = msgspec.json.Decoder(dict[str, Raw])
        self._text = msgspec.json.Decoder(str)
        self._usage: dict[str, Raw] = {}
        self._has_stopped = False

    @property
    def is_complete(self) -> bool:
        return not self.has_failed and (self._has_stopped or self.finish_reason is not None)

    def end(self) -> bytes:
        return STOP if self.is_complete else b""

    def broken(self, error: PenstockError, *, request_id: str) -> bytes:
        return error_event(error, request_id=request_id)

    def _read(self, event: bytes, payload: bytes) -> bytes:
        try:
            members = self._members.decode(payload)
        except UNREADABLE:
            self.has_failed = True
            return b""
        if not is_utf8(payload):  # a decoder does not look into the strings that it skips
            self.has_failed = True
            return b""
        return self._noted(self._string(members.get("type")), event, payload, members)

    def _noted(self, kind: str | None, event: bytes, payload: bytes, members: dict[str, Raw]) -> bytes:
        match kind:
            case "ping":
                pass
            case "message_start":
                self._start(members)
            case "message_delta":
                self._delta(members)
            case "message_stop":
                self._has_stopped = self.is_done = True
                return b""
            case _:
                error = self._reader.error_in(members)
                if error is None and is_named_error(event):
                    error = payload
                if error is not None:
                    self._fail(error)
                elif kind is not None:
                    self.has_begun = self.has_begun or not self.has_failed
        if self.has_failed or kind is None or not kind.isidentifier():
            return b""  # an event without a type is one that no SDK looks at
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), payload.replace(b"\n", b"\ndata: "))

    def _start(self, members: dict[str, Raw]) -> None:
        self.has_begun = self.has_begun or not self.has_failed
        message = self._object(members.get("message"))
        self.generation_id = self.generation_id or self._string(message.get("id"))
        self.served_model = self.served_model or self._string(message.get("model"))
        self.serving_provider = self.serving_provider or self._string(message.get("provider"))
        self._usage.update(self._reader.usage_in(message))

    def _delta(self, members: dict[str, Raw]) -> None:
        """Its figures are totals; those at the start are guesses, and no bill (an answer that breaks off has none)."""
        self.has_begun = self.has_begun or not self.has_failed
        finish = self._reader.finish(self._object(members.get("delta")))
        self.finish_reason = finish or self.finish_reason
        usage = self._reader.usage_in(members)
        self._usage.update(usage)
        if "output_tokens" in usage and (finish is not None or "cost" in usage):
            self.bill = self._reader.bill(self._usage) or self.bill

    def _fail(self, error: bytes) -> None:
        if not self.has_failed:
            self.error, self.has_failed = error, True

    def _object(self, member: Raw | None) -> dict[str, Raw]:
        try:
            return {} if member is None else self._members.decode(member)
        except UNREADABLE:
            return {}

    def _string(self, member: Raw | None) -> str | None:
        """A name as it is kept."""
        try:
            return None if member is None else self._text.decode(member)[:_NAME_CHARS]
        except UNREADABLE:
            return None


_NAME_CHARS = 200  # the longest real ones have some eighty, and a provider may send megabytes
