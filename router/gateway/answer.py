"""A streamed answer, from the moment it has begun until its bill is known: `StreamedAnswer`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, suppress

import anyio

from router.catalog.catalog import ProviderName
from router.errors import PenstockError, UpstreamBroken, UpstreamError
from router.upstream.client import UpstreamReply
from router.upstream.openrouter import cancel_stops_billing
from router.wire.dialect import Editor
from router.wire.events import EventTooLong
from router.wire.replies import Bill, ReplyReader

# A provider that bills to the end although the client is gone is read to the end, for its usage chunk, this long.
_DRAIN_S = 120.0
# So many at the same time: beyond that one is closed at once and booked by the provider's record, lest clients that
# hang up hold ever more connections open (reliability.md §3.3).
MOST_DRAINS = 64
# After [DONE] the provider only has to end the message; its connection is worth that little wait.
_TRAILER_S = 1.0

# Given events as they come, in the midst of reading them: whether they were taken. Neither waits nor raises.
Take = Callable[[bytes], bool]


def takes_nothing(_: bytes) -> bool:
    return False


class StreamedAnswer:
    """Relay `events`, then `finish`, whether or not all events were taken."""

    def __init__(
        self,
        reply: UpstreamReply,
        editor: Editor,
        *,
        provider: ProviderName,
        reader: ReplyReader,
        drains: anyio.CapacityLimiter,
    ) -> None:
        self.cut: UpstreamError | None = None  # why the answer broke off
        self.has_ended = False  # the last event has been handed over: nothing may follow it
        self._reply = reply
        self._provider = provider
        self._reader = reader
        self._drains = drains
        self._editor = editor
        self._begun = b""
        self._take: Take = takes_nothing
        self._left = b""  # what was not taken
        self._is_given_up = False

    @property
    def bill(self) -> Bill | None:
        return self._editor.bill

    @property
    def generation_id(self) -> str | None:
        return self._editor.generation_id

    @property
    def finish_reason(self) -> str | None:
        return self._editor.finish_reason

    @property
    def served_model(self) -> str | None:
        return self._editor.served_model

    async def begin(self) -> None:
        """Read until the answer itself begins, so that a provider that fails before can still be replaced.

        Raises UpstreamError if it fails; then everything is closed.
        """
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._reply.aclose)
            while (chunk := await self._reply.next_chunk()) is not None:
                self._begun = self._fed(chunk)  # comments before the answer were for us: it is here that we wait
                if self._editor.has_begun or self._editor.has_failed:
                    break
            if not self._editor.has_begun:
                raise self._broken_off("ended the stream before it began")
            undo.pop_all()

    async def events(self, *, request_id: str, take: Take = takes_nothing) -> AsyncGenerator[bytes]:
        """The answer's events for the client; ends with `[DONE]`, or with an error event if it broke off.

        While more is waited for, what comes is offered to `take`: only what that leaves is yielded.
        """
        begun, self._begun = self._begun, b""
        yield begun
        del begun  # a client may take the rest slowly, and for long
        self._take = take
        try:
            while self.cut is None and not (self._editor.is_done or self._editor.has_failed):
                if not await self._reply.pump(self._pass_on):
                    break
                left, self._left = self._left, b""
                if left:
                    yield left
        except UpstreamError as error:
            self.cut = error
        finally:
            self._take = takes_nothing  # it is the client's, who holds this: only a garbage collection would free both
        if self._is_given_up:  # it was we who broke it off
            self.cut = None
            return
        if self.cut is None and not self._editor.is_complete:
            self.cut = self._broken_off("ended the stream before the answer was complete")
        self.has_ended = True
        if self.cut is None:
            yield self._editor.end()
        else:
            yield self.broken(self.cut, request_id=request_id)

    def _pass_on(self, chunk: bytes) -> bool:
        """Whether more is welcome."""
        try:
            events = self._fed(chunk)
        except UpstreamError as error:
            self.cut = error
            return False
        if events and not self._take(events):
            self._left = events
            return False
        return not (self._editor.is_done or self._editor.has_failed)

    def broken(self, error: PenstockError, *, request_id: str) -> bytes:
        """The last event for the client, if it is this error that ends the stream."""
        return self._editor.broken(error, request_id=request_id)

    async def give_up(self) -> None:
        """Nobody wants the rest: it is closed at once if that stops the bill, even if `events` is being waited for.

        Otherwise nothing happens: whoever takes the events may stop at the next, and `finish` reads on.
        """
        if not self._editor.is_done and self.cut is None and cancel_stops_billing(self._editor.serving_provider):
            self._is_given_up = True
            with suppress(UpstreamError):
                await self._reply.aclose()

    async def finish(self) -> None:
        """Read what the bill needs, by the provider's rule for streams that are given up, and let the connection go.

        Never raises: what goes wrong now, before the provider's last word, is the reason why the answer is `cut`.
        """
        if not self._is_given_up:
            await self._read_on()
        try:
            await self._reply.aclose()
        except UpstreamError as error:
            self.cut = self.cut or error

    async def _read_on(self) -> None:
        if self._editor.is_done or self.cut is not None:
            await self._drain(_TRAILER_S)
        elif not cancel_stops_billing(self._editor.serving_provider):
            with suppress(anyio.WouldBlock):
                self._drains.acquire_on_behalf_of_nowait(self)
                try:
                    await self._drain(_DRAIN_S)
                finally:
                    self._drains.release_on_behalf_of(self)

    async def _drain(self, at_most_s: float) -> None:
        try:
            with anyio.move_on_after(at_most_s):
                while (chunk := await self._reply.next_chunk()) is not None:
                    self._fed(chunk)
        except UpstreamError as error:
            if not self._editor.is_done:
                self.cut = self.cut or error

    def _fed(self, chunk: bytes) -> bytes:
        try:
            return self._editor.feed(chunk)
        except EventTooLong as error:
            raise UpstreamBroken(
                f"{self._provider} sent an event that does not end.", provider=self._provider
            ) from error

    def _broken_off(self, otherwise: str) -> UpstreamError:
        """The error the provider sent, or else what was wrong with its stream."""
        if self._editor.error is not None:
            # A generation that has a name was begun, and may have been billed for its prompt alone.
            has_begun = self._editor.generation_id is not None
            return self._reader.error(self._editor.error, provider=self._provider, has_begun=has_begun)
        what = "sent an event that is no JSON" if self._editor.has_failed else otherwise
        return UpstreamBroken(f"{self._provider} {what}.", provider=self._provider)
