"""One HTTP/1.1 connection to an upstream: bytes to and from a socket, one request and its answer at a time.

Owns the parser, the read buffer and its bound, the read, write and idle deadlines, and the translation of what can go
wrong on a socket into the errors of `faults.py`. Who may use which connection is `transport.py`'s business.

There is no task per connection. The event loop calls `buffer_updated`; httptools calls the `on_*` methods from within;
the one reader, if it is waiting, is woken once per read, or not even that: see `RawResponse.pump`.
"""

import asyncio
import math
import select
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from router.upstream.faults import ReadError, ReadTimeout, RemoteProtocolError, WriteError, WriteTimeout

# All chosen by us.
READ_BYTES = (
    32 * 1024
)  # taken from a socket at once: asyncio's and uvloop's own 256 KiB would be a stream's whole share
MAX_BUFFERED_BODY_BYTES = 16 * 1024  # unread; the read that crosses it is still taken
MAX_HEAD_BYTES = 64 * 1024  # of header lines, however they arrive
# The backstop for heads, 1xx answers, trailers and chunk extensions that never end: bytes without result in a row.
MAX_FRUITLESS_BYTES = 2 * MAX_HEAD_BYTES
MAX_JOINED_WRITE_BYTES = 64 * 1024  # up to here copying head and body together costs a few µs, and is one write


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one request may wait for each thing, in seconds; None waits for ever."""

    connect_s: float | None = None  # name resolution, TCP and TLS together
    read_s: float | None = None  # from one read to the next, the first included
    write_s: float | None = None  # without the upstream taking any byte of the request
    pool_s: float | None = None  # for a connection while all are in use
    whole_s: float | None = None  # for the whole answer, from sending the request to reading the last byte


class ConnectionOwner(Protocol):
    """Whoever lends connections out and wants to know what became of them."""

    read_buffer: memoryview  # of READ_BYTES

    def take_back(self, connection: "Connection") -> None:
        """The answer is complete and the connection is fit for another request."""

    def forget(self, connection: "Connection") -> None:
        """The connection is closed. Called once."""


class RawResponse:
    """An answer whose head has arrived: status, headers as received, and the body piece by piece.

    Read it to the end or call `aclose`. The connection goes back to its pool when the last byte *arrives*, even if the
    reader is still behind; closing before that closes the connection, for the rest of the body would have to be read.
    """

    __slots__ = (
        "_buffered_bytes",
        "_connection",
        "_error",
        "_is_complete",
        "_pieces",
        "_sink",
        "_waiter",
        "_wants_more",
        "headers",
        "status",
    )

    def __init__(self, connection: "Connection") -> None:
        self.status = 0  # 0 only until the head is here, which callers never see
        self.headers: list[tuple[bytes, bytes]] = []
        self._connection = connection
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0
        self._is_complete = False
        self._error: Exception | None = None
        # Here and not on the connection, which may serve the next request before this one's reader has woken up.
        self._waiter: asyncio.Future[None] | None = None
        self._sink: Callable[[bytes], bool] | None = None  # the reader's, while it pumps
        self._wants_more = True  # what the sink said last

    async def read_chunk(self) -> bytes | None:
        """All that has arrived since the last call, waiting for at least one byte; None at the end.

        The body as sent, nothing decoded. May be cancelled and called again. What arrived before a failure is returned
        first; then ReadTimeout, ReadError, or RemoteProtocolError if the upstream stopped in mid-message.
        """
        while not self._pieces:
            if self._is_complete:
                return None
            if self._error is not None:
                raise _anew(self._error)
            await self._connection.wait_for_news(self)
        return self._taken()

    async def pump(self, sink: Callable[[bytes], bool]) -> bool:
        """Give `sink` each piece that arrives until it returns False; whether that was so, and not the body's end.

        Pieces and errors are those of `read_chunk`. But `sink` is called by the event loop in the moment in which a
        piece arrives, which wakes no task: it must neither wait nor raise.
        """
        self._sink, self._wants_more = sink, True
        try:
            while True:
                if self._pieces:
                    self._wants_more = sink(self._taken())
                if not self._wants_more:
                    return True
                if self._is_complete:
                    return False
                if self._error is not None:
                    raise _anew(self._error)
                await self._connection.wait_for_news(self)
        finally:
            self._sink = None

    def pass_on(self) -> bool:
        """Give the waiting reader's sink what has arrived, if it has one; whether the reader may sleep on.

        A flood waits for the reader's turn: passed on at once it comes as fast as the provider can send, and for that
        the kernel makes its receive buffer as large as it goes, megabytes for each client that reads slowly.
        """
        if self._sink is None or not self._pieces or self._waiter is None or self._waiter.done():
            return False
        if self._buffered_bytes > MAX_BUFFERED_BODY_BYTES:
            return False
        self._wants_more = self._sink(self._taken())
        return self._wants_more and not self._is_complete

    def _taken(self) -> bytes:
        pieces = self._pieces
        chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._buffered_bytes = 0
        self._connection.resume(self)
        return chunk

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body to its end. Leaving the loop early, by cancellation too, closes the connection."""
        try:
            while (chunk := await self.read_chunk()) is not None:
                yield chunk
        finally:
            self.close()

    def close(self) -> None:
        """Says that nobody will read on. No effect on an answer that has arrived completely."""
        self._connection.abandon(self)

    async def aclose(self) -> None:
        """`close`, for callers who expect to await; never suspends, so it also works in a cancelled task."""
        self.close()


class Connection(asyncio.BufferedProtocol):
    """A socket with its parser. Idle, or lent to one request whose answer is `_response`."""

    def __init__(self, owner: ConnectionOwner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._poll = select.poll()
        self.is_closed = False

        self._response: RawResponse | None = None
        self._timeouts = Timeouts()
        self._due_s = math.inf  # by the loop's clock: all of the answer must have come by then
        self._is_head_request = False
        self._can_be_reused = False
        self._fruitless_bytes = 0  # received since a head was finished or a body byte came
        self._is_reading_paused = False
        self._has_unsent_bytes = False
        self._unsent_bytes = 0  # when the deadline was last moved; only kept while there are any

        self._deadline = math.inf  # by the loop's clock; see _arm
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    # What the pool and the transport call

    def is_usable(self) -> bool:
        """False if the upstream has hung up, also if the loop has not come round to telling us.

        The poll (under 1 µs) closes most of the window in which a provider's idle timeout meets our next request,
        which then may or may not have been served. Idle, there is nothing an upstream could rightly send, so readable
        means a FIN, a TLS alert or nonsense. (A late TLS session ticket costs us a new connection; that is rare.)
        """
        transport = self._transport
        return not (self.is_closed or transport is None or transport.is_closing() or self._poll.poll(0))

    def rest(self, idle_s: float) -> None:
        """Closes the connection after `idle_s` seconds unless it is used again."""
        self._arm(self._loop.time() + idle_s)

    async def exchange(self, head: bytes, body: bytes, timeouts: Timeouts, *, is_head_request: bool) -> RawResponse:
        """Sends one request and returns as soon as the head of the final answer is here; 1xx answers are skipped.

        Every error from here on may mean that the request was received. Cancelling closes the connection.
        """
        transport = self._transport
        assert transport is not None, "exchange needs a connected connection"
        response = self._response = RawResponse(self)
        self._timeouts = timeouts
        self._due_s = math.inf if timeouts.whole_s is None else self._loop.time() + timeouts.whole_s
        self._is_head_request = is_head_request
        self._fruitless_bytes = 0
        if len(body) > MAX_JOINED_WRITE_BYTES:
            transport.writelines((head, body))
        else:
            transport.write(head + body)
        try:
            while not response.status:
                if response._error is not None:
                    raise _anew(response._error)
                await self.wait_for_news(response)
        except BaseException:
            self.abandon(response)
            raise
        return response

    async def wait_for_news(self, response: RawResponse) -> None:
        """Suspends the one reader of `response`, which is under way, until bytes arrive or it ends.

        The deadline counts from now.
        """
        self._restart_deadline()
        response._waiter = self._loop.create_future()
        try:
            await response._waiter
        finally:
            response._waiter = None

    def resume(self, response: RawResponse) -> None:
        """Reads on after `response`, if it is still the current one, has been emptied by its reader."""
        if self._is_reading_paused and self._response is response:
            self._resume_reading()

    def abandon(self, response: RawResponse) -> None:
        """Closes the connection if `response` is not complete. After that the connection serves someone else."""
        if self._response is response:
            self.abort(ReadError("the answer was closed before its end"))

    def abort(self, error: Exception) -> None:
        """Closes the socket now; an answer under way ends with `error`. The second call has no effect."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._parser = None  # it holds this connection
        response, self._response = self._response, None
        if response is not None:
            response._error = error
            _wake_reader(response)
        self._owner.forget(self)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are, but do not derive from it
        if self.is_closed:  # given up while connecting
            transport.abort()
            return
        self._transport = transport
        # "Paused" then means exactly that bytes are left unsent. (high=0 makes asyncio's TLS pause on an empty buffer.)
        transport.set_write_buffer_limits(high=1, low=0)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the loop's wish; it is ours to choose
        """Where the next read goes: one place for all, for what is read is parsed, and copied, before the next read."""
        return self._owner.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = self._owner.read_buffer[:nbytes]
        response = self._response
        if response is None:
            self.abort(RemoteProtocolError("the upstream sent bytes nobody asked for"))
            return
        self._fruitless_bytes += len(data)
        parser = self._parser
        assert parser is not None, "an answer is under way"
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._can_be_reused = False
            if not response._is_complete:
                # The context is what one of our own on_* methods raised.
                self.abort(RemoteProtocolError(f"the upstream's answer is not valid: {error.__context__ or error}"))
                return
        if response.pass_on():
            self._restart_deadline()
            return
        if response._is_complete:
            self._finish()
        elif self._fruitless_bytes > MAX_FRUITLESS_BYTES:
            self.abort(RemoteProtocolError(f"over {MAX_FRUITLESS_BYTES} bytes of headers or chunk framing"))
        elif response._buffered_bytes > MAX_BUFFERED_BODY_BYTES and not self._is_reading_paused:
            self._is_reading_paused = True
            if self._transport is not None:
                self._transport.pause_reading()
        _wake_reader(response)

    def eof_received(self) -> None:
        self._hung_up(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._hung_up(exc)

    def pause_writing(self) -> None:
        self._has_unsent_bytes = True
        self._unsent_bytes = self._count_unsent_bytes()
        self._restart_deadline()

    def resume_writing(self) -> None:
        self._has_unsent_bytes = False
        self._restart_deadline()

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._response is None or self._response._is_complete:
            raise RemoteProtocolError("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        response = self._response
        if response is not None and not response.status:  # after the head these are trailers: dropped
            response.headers.append((name, value))

    def on_headers_complete(self) -> None:
        response = self._response
        assert response is not None
        if self._fruitless_bytes > MAX_HEAD_BYTES:  # the only heads worth an exact count
            head_bytes = sum(len(name) + len(value) + len(": \r\n") for name, value in response.headers)
            if head_bytes > MAX_HEAD_BYTES:
                raise RemoteProtocolError(f"{head_bytes} bytes of headers, at most {MAX_HEAD_BYTES} are read")
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:
            if status == 101:
                raise RemoteProtocolError("the upstream switches to a protocol we did not ask for")
            response.headers.clear()
            return
        response.status = status
        self._fruitless_bytes = 0
        if self._is_head_request:
            # httptools cannot be told that no body follows, so its state is lost: this connection is not used again.
            self._can_be_reused = False
            response._is_complete = True

    def on_body(self, data: bytes) -> None:
        response = self._response
        if response is not None and not response._is_complete:
            response._pieces.append(data)
            response._buffered_bytes += len(data)
            self._fruitless_bytes = 0

    def on_message_complete(self) -> None:
        response = self._response
        if response is not None and response.status and not response._is_complete:
            response._is_complete = True
            assert self._parser is not None
            self._can_be_reused = self._parser.should_keep_alive()

    # How an exchange ends

    def _finish(self) -> None:
        self._response = None
        if self._is_reading_paused:
            self._resume_reading()
        if self._can_be_reused and not self._has_unsent_bytes:
            self._owner.take_back(self)
        else:
            self.abort(ReadError("not kept alive"))

    def _hung_up(self, exc: Exception | None) -> None:
        """The upstream closed its side (`exc` is None) or the connection broke. Called up to twice."""
        response = self._response
        if response is None or self.is_closed:
            self.abort(ReadError("the idle connection was closed"))
        elif exc is None and response.status and _ends_at_eof(response.headers):
            response._is_complete = True
            self._can_be_reused = False
            self._finish()
            _wake_reader(response)
        elif exc is None:
            what = "in mid-answer" if response.status else "without an answer"
            self.abort(RemoteProtocolError(f"the upstream closed the connection {what}"))
        else:
            is_write = self._has_unsent_bytes or isinstance(exc, BrokenPipeError)
            error_type = WriteError if is_write else ReadError
            error = error_type(f"the connection broke: {type(exc).__name__}")
            error.__cause__ = exc
            self.abort(error)

    def _count_unsent_bytes(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _resume_reading(self) -> None:
        self._is_reading_paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # Deadlines: moving one is an assignment. The single timer may ring early; it then looks again and sleeps on.

    def _restart_deadline(self) -> None:
        timeout_s = self._timeouts.write_s if self._has_unsent_bytes else self._timeouts.read_s
        deadline = self._due_s
        if timeout_s is not None:
            next_due = self._loop.time() + timeout_s
            if next_due < deadline:
                deadline = next_due
        if deadline == math.inf:
            self._deadline = math.inf
        else:
            self._arm(deadline)

    def _arm(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is not None:
            if self._timer_at <= deadline:
                return
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_at(deadline, self._timer_rang)

    def _timer_rang(self) -> None:
        self._timer = None
        if self._deadline == math.inf:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
        elif self._response is None:
            self.abort(ReadError("idle for too long"))
        elif self._response._waiter is None:
            return  # the reader is busy elsewhere; its next wait arms the timer again
        elif self._loop.time() >= self._due_s:
            self.abort(ReadTimeout(f"the answer was not whole within {self._timeouts.whole_s} s"))
        elif self._has_unsent_bytes and self._count_unsent_bytes() < self._unsent_bytes:
            self._unsent_bytes = self._count_unsent_bytes()
            self._restart_deadline()
        elif self._has_unsent_bytes:
            self.abort(WriteTimeout(f"no byte of the request was taken for {self._timeouts.write_s} s"))
        else:
            self.abort(ReadTimeout(f"nothing was received for {self._timeouts.read_s} s"))


def _anew(error: Exception) -> Exception:
    """The error that ended an answer, to be raised: the one that is kept would hold by its traceback the reader's
    frames, and with them the request, until the garbage is collected."""
    new = type(error)(*error.args)
    new.__cause__ = error.__cause__
    return new


def _wake_reader(response: RawResponse) -> None:
    waiter = response._waiter
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _ends_at_eof(headers: list[tuple[bytes, bytes]]) -> bool:
    """True if only the end of the connection ends this body (RFC 9112 §6.3). Looked at only when that end comes."""
    fields = {name.lower(): value.lower() for name, value in headers}
    if b"transfer-encoding" in fields:
        return not fields[b"transfer-encoding"].endswith(b"chunked")
    return b"content-length" not in fields
