"""One client's connection: uvicorn's, guarded against those who send or take slowly, much, or ambiguously.

Of uvicorn 0.54 the life of a connection, its flow control and its queue of pipelined requests are used. How a request
is read is ours: uvicorn waits for ever for a head, a body, and for a client to take its answer; it bounds neither head
nor trailers, which it puts among the headers; and it writes its 400 into the midst of an answer that is under way. What
is refused, and why, is in edge.py; what is turned away for want of room, in shedding.py; how long is waited, in
deadlines.py; how answers are written, in answering.py.
"""

import asyncio
import urllib.parse
from collections import deque
from collections.abc import Callable, Mapping, Sized
from functools import partial
from typing import Any, Protocol, cast

import httptools
import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from router.server.answering import SEND_NOW, Answering, Lingering
from router.server.deadlines import BODY_BEHIND_S, BODY_BYTES_PER_S, BODY_S, Deadlines, Line, leave
from router.server.edge import (
    FRAMING_PER_BYTE,
    MOST_AHEAD,
    MOST_FRAMING_BYTES,
    MOST_HEAD_BYTES,
    MOST_TARGET_BYTES,
    Refusal,
    Refused,
    fault_of,
)

# What may wait for a client before whoever writes to it is made to wait. The kernel's own buffer comes on top.
_HIGH_WATER_BYTES, _LOW_WATER_BYTES = 32 * 1024, 8 * 1024

UNREAD_S = 300.0

# A request of at most so many bytes that is turned away is read to its end, so that its connection can be used again.
_SMALL_BODY_BYTES = 64 * 1024

# What of a request is awaited next. A connection that is refused awaits nothing.
_START, _HEAD, _BODY, _REFUSED = range(4)


_UNHURRIED = frozenset({Refusal.CROWDED, Refusal.SLOW_HEAD, Refusal.SLOW_BODY})


def _nobody(*_: object) -> None:
    pass


class TurnsAway(Protocol):
    """Answers requests by their heads while there is no room for them."""

    @property
    def is_guarded(self) -> bool:
        """Whether requests are to be asked about before they begin."""
        ...

    def turned_away(self, scope: Scope, *, is_last: bool) -> bytes | None:
        """The whole answer to a request that is not let in; None if it may be."""
        ...

    def begin(self, scope: Scope, begin: Callable[[], None]) -> None:
        """Have a request begin that was not turned away: at once, or when its turn has come."""
        ...


class ServerConfig(uvicorn.Config):
    """uvicorn's, and what the connections of one server have in common."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        deadlines: Deadlines,
        accepted: Callable[[Callable[[], asyncio.Protocol], Sized], None] = _nobody,
        unread_s: float = UNREAD_S,
        refused: Callable[[str], None] = _nobody,
        door: TurnsAway | None = None,
        **options: Any,  # noqa: ANN401 - uvicorn's own
    ) -> None:
        """`accepted` is told of each connection that was accepted: how to make the protocol of another, and which there
        are.
        `unread_s`: how long a client may take nothing of what waits for it. `refused` is told the reason of each
        connection that is refused. `door` may answer requests in the application's place."""
        super().__init__(app, **options)
        self.accepted = accepted
        self.deadlines = deadlines
        self.unread_s = unread_s
        self.refused = refused
        self.door = door


class _TurnedAway:
    """Stands in the place of the answer to a request that was turned away: what follows of it is passed over."""

    response_started = response_complete = True
    disconnected = False

    @property
    def message_event(self) -> "_TurnedAway":
        return self

    def set(self) -> None:
        """Nobody waits for more of the request."""


class _NothingMore(Exception):
    """Ends the reading of a connection whose last answer is given."""


class GuardedConnection(HttpToolsProtocol):
    """A connection by the rules of this room's edge, closed also when none of what waits for the client has been taken
    for `unread_s`, while or after it is written."""

    config: ServerConfig
    line: Line | None = None  # of those that are waited for (deadlines.py)

    _awaits = _START
    _begun = 0  # requests of which something was read
    _head_bytes = 0  # of the head that is being read, without the read that it will end in
    _framing_bytes = 0  # of a body, beyond what its content allows
    _came_bytes = 0  # of a body since it was looked at
    _body_due_s = _body_ends_s = 0.0
    _refusal: tuple[Refusal, str] | None = None  # to be told when the requests before have been answered

    _timer: asyncio.TimerHandle | None = None
    _unread_bytes = 0  # when they were last counted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        super().connection_made(transport)
        self.config.accepted(self._another, self.connections)
        self._unanswered: deque[Answering] = deque()  # the first is being answered, the others wait for it
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES, low=_LOW_WATER_BYTES)
        deadlines = self.config.deadlines
        if len(self.connections) > deadlines.most and not deadlines.make_room():
            self._refuse(Refusal.CROWDED)
            return
        deadlines.enter(deadlines.heads, self, self.loop)

    def _another(self) -> "GuardedConnection":
        """For another connection of the same server."""
        return GuardedConnection(config=self.config, server_state=self.server_state, app_state=self.app_state)

    def connection_lost(self, exc: Exception | None) -> None:
        """Every request is told: uvicorn tells only the last that has come, which may wait for one that is answered."""
        leave(self)
        super().connection_lost(exc)
        for cycle in self._unanswered:
            cycle.hung_up()
        self._cancel_timer()

    # What comes.

    def data_received(self, data: bytes) -> None:
        awaits = self._awaits
        if awaits == _BODY:
            self._came_bytes += len(data)
            self._framing_bytes += len(data)
        elif awaits == _REFUSED:
            return
        elif awaits == _START and data[0] < 0x21:  # a head begins with a letter
            data = data.lstrip(b"\r\n")
            if not data:  # and the deadline is the one before
                return
        if awaits != _BODY and self._head_bytes + len(data) > MOST_HEAD_BYTES:
            self._read_in_pieces(data)
        else:
            self._read(data)
        if self._awaits == _START:
            if self.cycle.response_complete:  # it was turned away, and nobody says once more that it is answered
                self.config.deadlines.enter(self.config.deadlines.idle, self, self.loop)
            elif self.line is not None:
                leave(self)
        elif self._awaits != _REFUSED:
            self._wait(since=awaits)

    def _read(self, data: bytes | memoryview) -> None:
        begun = self._begun
        begun += self._awaits == _START
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as found:
            self._read_without_upgrade(data[found.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, Refused):
                self._refuse(cause.refusal)
            elif not isinstance(cause, _NothingMore):
                self._refuse(Refusal.MALFORMED, f" ({error})")
        else:
            if self._awaits == _HEAD:
                # Where the last of several heads began in a read is not told: then it is counted from the next.
                self._head_bytes += len(data) if self._begun <= begun else 0
                if self._head_bytes >= MOST_HEAD_BYTES:
                    is_target = len(self.url) > MOST_TARGET_BYTES
                    self._refuse(Refusal.TARGET_TOO_LONG if is_target else Refusal.HEAD_TOO_LARGE)

    def _read_in_pieces(self, data: bytes) -> None:
        """So that no head is parsed beyond its limit."""
        rest = memoryview(data)
        while rest and self._awaits in (_START, _HEAD):
            size = MOST_HEAD_BYTES - self._head_bytes
            piece, rest = rest[:size], rest[size:]
            self._read(piece)
        if rest and self._awaits == _BODY:
            self._read(rest)

    def _read_without_upgrade(self, rest: bytes | memoryview) -> None:
        """Read the head again without the offer to speak another protocol, which may be ignored (RFC 9110, 7.8).

        Java's client makes one with its first request. llhttp takes what follows for that protocol.
        """
        scope, headers = self.scope, self.headers
        kept = [header for header in headers if header[0] not in (b"upgrade", b"connection", b"http2-settings")]
        if any(name == b"connection" and b"close" in value.lower() for name, value in headers):
            kept.append((b"connection", b"close"))
        line = f"{scope['method']} {self.url.decode()} HTTP/{scope['http_version']}"
        head = b"%b\r\n%b\r\n" % (line.encode(), b"".join(b"%b: %b\r\n" % header for header in kept))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._awaits = _START
        self._read(head)
        if rest and self._awaits != _REFUSED:
            self._read(rest)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaits = _HEAD
        self._head_bytes = 0
        self._begun += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._awaits == _HEAD:  # else it is a trailer, and nobody here wants one
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """uvicorn's, without a second look at the URL, and with an answer of ours."""
        parser, scope, headers = self.parser, cast("Scope", self.scope), self.headers
        version, target = parser.get_http_version(), self.url
        method = parser.get_method().decode("ascii")
        if method == "CONNECT":
            raise Refused(Refusal.CONNECT)
        fields = dict(headers)
        fault = fault_of(version, target, headers, fields)
        if fault is not None:
            raise Refused(fault)
        if len(self.pipeline) >= MOST_AHEAD:
            raise Refused(Refusal.AHEAD)
        raw_path, _, query = target.partition(b"?")
        path = raw_path.decode("ascii")
        scope["method"] = method
        scope["http_version"] = version
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"] = raw_path
        scope["query_string"] = query
        if parser.should_upgrade():
            return  # it is read again
        before = cast("Answering | None", self.cycle)
        door = self.config.door
        is_next = before is None or before.response_complete
        if door is not None and is_next and door.is_guarded:
            is_last = version == "1.0" or not parser.should_keep_alive() or b"expect" in fields or not _is_small(fields)
            if self._is_turned_away(door, is_last=is_last):
                return
        self.cycle = cycle = Answering(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=b"expect" in fields,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope[SEND_NOW] = cycle.send_now
        self._unanswered.append(cycle)
        self._awaits = _BODY
        self._head_bytes = self._framing_bytes = 0
        if not is_next:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))
        elif door is None:
            self._start_asgi_task(cycle, self.app)
        else:
            door.begin(scope, partial(self._start_asgi_task, cycle, self.app))

    def _is_turned_away(self, door: TurnsAway, *, is_last: bool) -> bool:
        """Whether the request whose head has come is answered already. `is_last`: no other can come after it."""
        if self.scope["method"] != "POST" or self.flow.write_paused:  # who takes no answers is the application's affair
            return False
        answer = door.turned_away(cast("Scope", self.scope), is_last=is_last)
        if answer is None:
            return False
        self.server_state.total_requests += 1
        self.cycle = cast("Answering", _TurnedAway())
        self.transport.write(answer)
        self._watch_reader()
        if is_last or b"\r\nconnection: close\r\n" in answer:
            self._awaits = _REFUSED
            leave(self)
            Lingering.on(self.transport)
            raise _NothingMore
        self._awaits = _BODY
        self._head_bytes = self._framing_bytes = 0
        return True

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            return
        self._framing_bytes -= (1 + FRAMING_PER_BYTE) * len(body)
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._awaits != _BODY:
            return  # it is read again
        self._awaits = _START
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    # Who is waited for.

    def _wait(self, *, since: int) -> None:
        """A request is not whole; `since` is what was awaited before the read that has just been taken."""
        deadlines = self.config.deadlines
        if self._awaits == _HEAD:
            if self.line is not deadlines.heads:
                deadlines.enter(deadlines.heads, self, self.loop)
        elif since != _BODY or self.line is not deadlines.bodies:
            now_s = self.loop.time()
            self._came_bytes = self._framing_bytes = 0
            self._body_due_s = now_s + BODY_BEHIND_S
            self._body_ends_s = now_s + BODY_S
            deadlines.enter(deadlines.bodies, self, self.loop)
        elif self._framing_bytes > MOST_FRAMING_BYTES:
            self._refuse(Refusal.FRAMING)
        else:
            self._framing_bytes = max(self._framing_bytes, 0)

    def head_too_late(self) -> None:
        if self.flow.read_paused:  # by us, until the requests before are answered
            self.config.deadlines.enter(self.config.deadlines.heads, self, self.loop)
        else:
            self._refuse(Refusal.SLOW_HEAD)

    def idle_too_long(self) -> None:
        leave(self)
        self.timeout_keep_alive_handler()

    @property
    def is_at_rest(self) -> bool:
        cycle = cast("Answering | None", self.cycle)
        is_answered = cycle is None or cycle.response_complete
        return is_answered and not self.transport.get_write_buffer_size()

    def give_way(self) -> None:
        self.config.refused(Refusal.CROWDED.reason)
        leave(self)
        self.transport.abort()

    def look_at_body(self, now_s: float, waited_s: float) -> None:
        came_bytes, self._came_bytes = self._came_bytes, 0
        if self.flow.read_paused:  # whoever reads it is the slow one
            self._body_due_s = now_s + BODY_BEHIND_S
            self._body_ends_s += waited_s
            return
        self._body_due_s = min(self._body_due_s + came_bytes / BODY_BYTES_PER_S, now_s + BODY_BEHIND_S)
        if now_s >= min(self._body_due_s, self._body_ends_s):
            self._refuse(Refusal.SLOW_BODY)

    # How it ends.

    def _refuse(self, refusal: Refusal, detail: str = "") -> None:
        """Nothing more is read. The refusal is told after the answers to the requests before, and then it is closed."""
        awaited, self._awaits = self._awaits, _REFUSED
        leave(self)
        self.config.refused(refusal.reason)
        cycle = cast("Answering | None", self.cycle)  # None before the first request
        if (
            awaited == _BODY and cycle is not None
        ):  # the request is the one of the latest cycle, which nobody is to answer any more
            if self.pipeline:
                self.pipeline.popleft()
                self._refusal = (refusal, detail)
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        elif cycle is not None and not cycle.response_complete:
            self._refusal = (refusal, detail)
            return
        self._tell(refusal, detail)

    def _tell(self, refusal: Refusal, detail: str) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(refusal.answer(self.server_state.default_headers, detail))
        if refusal in _UNHURRIED:  # nothing more has come that would have to be read
            self.transport.close()
        else:
            Lingering.on(self.transport)
        self._watch_reader()

    def on_response_complete(self) -> None:
        """uvicorn's, without a timer for each request."""
        self.server_state.total_requests += 1
        self._unanswered.popleft()
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
            elif self._refusal is not None:
                self._tell(*self._refusal)
            elif self._awaits == _START:
                deadlines = self.config.deadlines
                deadlines.enter(deadlines.idle, self, self.loop)
        self._watch_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:  # also when the connection is lost
        super().resume_writing()
        self._cancel_timer()

    def _watch_reader(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        if self._timer is None and unread_bytes:
            self._unread_bytes = unread_bytes
            self._timer = self.loop.call_later(self.config.unread_s, self._timer_rang)

    def _timer_rang(self) -> None:
        self._timer = None
        is_taken = self.transport.get_write_buffer_size() < self._unread_bytes
        if is_taken:
            self._watch_reader()
            return
        cycle = cast("Answering | None", self.cycle)
        if self.flow.write_paused or cycle is None or cycle.response_complete:
            self.transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_small(fields: Mapping[bytes, bytes]) -> bool:
    """Whether the body that follows these headers is short, and they say so."""
    length = fields.get(b"content-length", b"")
    return length.isdigit() and int(length) <= _SMALL_BODY_BYTES
