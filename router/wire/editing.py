"""What is edited event by event, and what has been seen of it, whichever API the provider speaks: `EventEditor`."""

from router.wire.events import EventSplitter, payload_of, without_others
from router.wire.replies import Bill


class EventEditor:
    """The half of an `Editor` that its API does not change.

    `feed` everything that arrives, then call `end`; both give bytes for the client. Afterwards, and at any time
    before, the attributes say what has been seen.
    """

    __slots__ = (
        "_splitter",
        "bill",
        "error",
        "finish_reason",
        "generation_id",
        "has_begun",
        "has_failed",
        "is_done",
        "served_model",
        "serving_provider",
    )

    def __init__(self) -> None:
        self.bill: Bill | None = None
        self.error: bytes | None = None  # the provider's error object, as received
        self.has_failed = False  # with that error, or with an event that nobody can read
        self.finish_reason: str | None = None
        self.generation_id: str | None = None
        self.served_model: str | None = None
        self.serving_provider: str | None = None
        self.has_begun = False  # an event of the answer itself has been seen
        self.is_done = False  # the provider's [DONE] has been seen, or its API's own end
        self._splitter = EventSplitter()

    def feed(self, data: bytes) -> bytes:
        """The part of `data`, and of what was kept back before, that the client may have now.

        Nothing after an error or an end; but what follows an error is still read for its usage.
        """
        events = self._splitter.whole_events(data)
        if not events:
            return b""
        if events.find(b"\n\n") == len(events) - 2:
            return self._edited(events[:-2])
        return b"".join([self._edited(event) for event in events.split(b"\n\n") if event])

    def _edited(self, event: bytes) -> bytes:
        """One event, without its blank line, as the client gets it: possibly not at all."""
        event = event.lstrip(b"\n")
        if not event or self.is_done:
            return b""
        payload = payload_of(event)
        if payload is None:
            return b"" if self.has_failed else without_others(event)
        if payload.strip() == b"[DONE]":
            self.is_done = True
            return b""
        return self._read(event, payload)

    def _read(self, event: bytes, payload: bytes) -> bytes:
        """One event that says something, as the client gets it."""
        raise NotImplementedError
