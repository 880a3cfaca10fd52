"""A provider on plain sockets that speaks until a chosen point and then goes wrong in a chosen way: `FaultyUpstream`.

It runs in threads of its own, so that the loop it torments has no task of its.
"""

import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from router.wire.events import MAX_EVENT_BYTES

Point = Literal["before headers", "after headers", "after the first event", "in an event", "before [DONE]"]
POINTS: tuple[Point, ...] = (
    "before headers",
    "after headers",
    "after the first event",
    "in an event",
    "before [DONE]",
)

DONE = b"data: [DONE]\n\n"
LONG_LINE_BYTES = 64 * 1024 * 1024
_PATIENCE_S = 10.0  # with a proxy that does not close what it should
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


def event(**members: object) -> bytes:
    """A chunk as OpenRouter writes it (openrouter.md §2.2)."""
    head = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1773012759, "model": "m", "provider": "Azure"}
    return b"data: " + json.dumps({**head, **members}, separators=(",", ":")).encode() + b"\n\n"


def said(text: str, finish_reason: str | None = None) -> bytes:
    delta = {"role": "assistant", "content": text}
    return event(choices=[{"index": 0, "delta": delta, "finish_reason": finish_reason}])


WORDS = ("Hello", " from", " the", " other", " side")
FINISH = said("", "stop")
USAGE = event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": 0.00001})
ANSWER = (*map(said, WORDS), FINISH, USAGE)
ERROR = {"code": 502, "message": "Provider disconnected"}


class Wire:
    """One answer's way to the proxy: framed by chunks unless a length was announced, until the fault takes over."""

    def __init__(self, connection: socket.socket, point: Point) -> None:
        self.point = point
        self.rest = b""  # of the event that was begun
        self.struck_s = 0.0  # when the proxy could know, by the monotonic clock
        self._connection = connection
        self._is_chunked = True
        self._held: bytes | None = None

    def raw(self, data: bytes) -> None:
        if self._held is None:
            self._connection.sendall(data)
        else:
            self._held += data

    def at_once(self) -> None:
        """Everything from here on is sent with the next `release`: the proxy sees it in one read."""
        self._held = b""

    def release(self) -> None:
        held, self._held = self._held or b"", None
        self.raw(held)

    def body(self, data: bytes) -> None:
        """More of the body, or, if there is no head yet, bytes where one should be."""
        is_framed = self._is_chunked and self.point != "before headers"
        self.raw(b"%x\r\n%b\r\n" % (len(data), data) if is_framed else data)

    def end(self) -> None:
        """The message ends as it should."""
        if self._is_chunked:
            self.raw(b"0\r\n\r\n")

    def speak(self, length: Callable[[int], int | None], chance: random.Random) -> None:
        """Everything up to the point, under a head that announces `length` of what will be sent, or chunks if None."""
        events = {"after the first event": ANSWER[:1], "in an event": ANSWER[:2], "before [DONE]": ANSWER}
        pieces: list[bytes] = list(events.get(self.point, ()))
        if self.point == "in an event":
            cut = chance.randrange(1, len(pieces[1]) - 2)
            pieces[1], self.rest = pieces[1][:cut], pieces[1][cut:]
        announced = length(sum(map(len, pieces)))
        self._is_chunked = announced is None
        framing = b"transfer-encoding: chunked" if announced is None else b"content-length: %d" % announced
        if self.point != "before headers":
            self.raw(_HEAD + framing + b"\r\n\r\n")
        for piece in pieces:
            self.body(piece)

    def reset(self) -> None:
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()

    def hang_up(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)
        self.wait()

    def wait(self) -> None:
        """Until the proxy closes."""
        self._connection.settimeout(_PATIENCE_S)
        while self._connection.recv(65536):
            pass


def _chunked(_: int) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class Fault:
    strike: Callable[[Wire], None]
    length: Callable[[int], int | None] = _chunked  # announced, of the bytes sent before the fault
    is_silent: bool = False  # only the idle limit can tell
    is_at_once: bool = False  # with all that goes before it
    leaves_whole: bool = False  # before [DONE] nothing is missing but that: the answer is given whole


def _saying(*events: bytes) -> Callable[[Wire], None]:
    """Says these, and goes on as if all were well."""

    def strike(wire: Wire) -> None:
        wire.body(b"".join(events))
        wire.body(DONE)
        wire.end()

    return strike


def _staying(*events: bytes) -> Callable[[Wire], None]:
    """Says these and no more, and does not hang up."""

    def strike(wire: Wire) -> None:
        wire.body(b"".join(events))
        wire.wait()

    return strike


def _long_line(wire: Wire) -> None:
    if wire.point != "before headers":
        wire.raw(b"%x\r\n" % LONG_LINE_BYTES)
    wire.raw(b'data: {"x":"' if wire.point != "in an event" else b"x" * 12)
    piece = b"x" * 65536
    for sent in range(0, LONG_LINE_BYTES, len(piece)):
        wire.raw(piece)
        if sent < MAX_EVENT_BYTES:
            wire.struck_s = time.monotonic()
    wire.wait()


def _bad_utf8(wire: Wire) -> None:
    broken = b'data: {"choices":[{"index":0,"delta":{"content":"caf\xe9"},"finish_reason":null}]}\n\n'
    wire.body(b"\xff\xfe" + wire.rest if wire.rest else broken)
    wire.body(DONE)
    wire.end()


def _silence(wire: Wire) -> None:
    wire.raw(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" if wire.point == "before headers" else b"0\r\n\r\n")


def _wrong_length(wire: Wire) -> None:
    if wire.point == "before headers":
        wire.raw(_HEAD + b"content-length: 12 34\r\n\r\n")
    wire.hang_up()


def _short_length(wire: Wire) -> None:
    """What follows the announced length would be the head of the next answer, if the connection were used again.

    At once: what comes after the connection was lent again nobody can tell from an answer.
    """
    if wire.point == "before headers":
        wire.raw(_HEAD + b"content-length: 0\r\n\r\n")
    wire.raw(b"".join([wire.rest, *ANSWER, DONE]))
    wire.release()


FAULTS: dict[str, Fault] = {
    "reset": Fault(Wire.reset),
    "FIN": Fault(Wire.hang_up),
    "stall": Fault(Wire.wait, is_silent=True),
    "error chunk": Fault(_saying(event(choices=[], error=ERROR))),
    "choice error": Fault(
        _staying(event(choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": ERROR}]))
    ),
    "error after the finish": Fault(_saying(FINISH, event(choices=[], error=ERROR))),
    "bad SSE": Fault(_saying(b'data: {"choices":[{"index":0,"delta":{"content":"Hal\n\n')),
    "bad UTF-8": Fault(_bad_utf8),
    "a line of 64 MB": Fault(_long_line),
    "content-length too long": Fault(_wrong_length, length=lambda sent: sent + 1000),
    "content-length too short": Fault(_short_length, length=lambda sent: sent, is_at_once=True, leaves_whole=True),
    "garbage for a chunk": Fault(lambda wire: wire.raw(b"zz\r\nnonsense\r\n")),
    "silence": Fault(_silence, leaves_whole=True),
}
"""`stall`: not a byte more, the connection stays. `silence`: the message ends in order, the answer does not."""


class FaultyUpstream:
    """Answers chats well, or with the fault it was told; tells records of generations; closes all when it is closed."""

    def __init__(self) -> None:
        self._wire: Wire | None = None  # of the last answer that went wrong
        self._case: tuple[Fault, Point, random.Random] | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._connections: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def struck_s(self) -> float:
        """When the last fault could be known, by the monotonic clock."""
        return 0.0 if self._wire is None else self._wire.struck_s

    def will(self, fault: Fault | None, point: Point, chance: random.Random) -> None:
        """How the chats that follow are answered; well if there is no fault."""
        self._case = None if fault is None else (fault, point, chance)

    def close(self) -> None:
        self._listener.close()
        for connection in tuple(self._connections):
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with suppress(OSError):
                while request := _request(connection):
                    self._answer(connection, request)
        finally:
            self._connections.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET "):
            _whole(connection, b'{"data":{"total_cost":0.00001}}' if b"/generation" in request else b"{}")
            return
        case = self._case
        if case is None:
            wire = Wire(connection, "before [DONE]")
            wire.speak(_chunked, random.Random(0))
            wire.body(DONE)
            wire.end()
            return
        fault, point, chance = case
        wire = Wire(connection, point)
        self._wire = wire
        if fault.is_at_once:
            wire.at_once()
        wire.speak(fault.length, chance)
        wire.struck_s = time.monotonic()
        fault.strike(wire)


def _request(connection: socket.socket) -> bytes:
    """One request, head and body; b"" if the proxy has closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            return b""
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    missing = (int(lengths[0]) if lengths else 0) - len(body)
    while missing > 0:
        missing -= len(connection.recv(65536)) or missing
    return head


def _whole(connection: socket.socket, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection.sendall(head + body)


def text_of(events: Sequence[str]) -> str:
    """What the chunks among these say."""
    deltas = [choice["delta"] for each in events if each != "[DONE]" for choice in json.loads(each).get("choices", ())]
    return "".join(delta.get("content") or "" for delta in deltas)
