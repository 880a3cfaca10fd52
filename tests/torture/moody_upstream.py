"""A provider that answers each model in the mood it was put in, and notes when which was asked: `MoodyUpstream`."""

import json
import socket
import struct
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.torture.faulty_upstream import DONE, FINISH, USAGE, said

Mood = Literal["well", "503", "429", "429 without a time", "reset", "silent"]

RETRY_AFTER_S = 5
_MOST_HEAD_BYTES = 65_536
COST_NANO_USD = 10_000  # of every answer; in `USAGE` too
_WHOLE = json.dumps(
    {
        "id": "gen-1",
        "object": "chat.completion",
        "created": 1773012759,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello from here"}}
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": 0.00001},
    }
).encode()
_STREAM = b"".join([said("Hello"), said(" from here"), FINISH, USAGE, DONE])


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: when it had come, by the monotonic clock, and how it was met."""

    at_s: float
    model: str
    mood: Mood


@dataclass(slots=True)
class MoodyUpstream:
    port: int = 0
    moods: defaultdict[str, Mood] = field(default_factory=lambda: defaultdict(lambda: "well"))
    asked: list[Asked] = field(default_factory=list)

    @property
    def billed_nano_usd(self) -> int:
        return COST_NANO_USD * sum(call.mood == "well" for call in self.asked)

    def asked_of(self, model: str, *, since_s: float = 0.0) -> list[Asked]:
        return [call for call in self.asked if call.model == model and call.at_s >= since_s]

    async def serve(self, connection: SocketStream) -> None:
        """One connection, until either side closes it."""
        received = BufferedByteReceiveStream(connection)
        async with connection:
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                while await self._answer(connection, received):
                    pass

    async def _answer(self, connection: SocketStream, received: BufferedByteReceiveStream) -> bool:
        """Whether the connection lives on."""
        head = await received.receive_until(b"\r\n\r\n", _MOST_HEAD_BYTES)
        if head.startswith(b"GET "):
            await connection.send(_reply("404 Not Found", b"{}"))
            return True
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = json.loads(await received.receive_exactly(int(length.split(b":")[1])))
        mood = self.moods[body["model"]]
        self.asked.append(Asked(time.monotonic(), body["model"], mood))
        match mood:
            case "well" if body.get("stream"):
                await connection.send(_reply("200 OK", _STREAM, kind="text/event-stream"))
            case "well":
                await connection.send(_reply("200 OK", _WHOLE))
            case "503":
                await connection.send(_refusal("503 Service Unavailable"))
            case "429":
                await connection.send(_refusal("429 Too Many Requests", f"retry-after: {RETRY_AFTER_S}\r\n"))
            case "429 without a time":
                await connection.send(_refusal("429 Too Many Requests"))
            case "reset":
                raw = connection.extra(SocketAttribute.raw_socket)
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case "silent":
                await received.receive()  # until the proxy gives up
                return False
        return True


@asynccontextmanager
async def moody_upstream() -> AsyncIterator[MoodyUpstream]:
    """It serves while the context is open."""
    upstream = MoodyUpstream()
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1024) as listener,
        anyio.create_task_group() as tasks,
    ):
        upstream.port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, upstream.serve)
        try:
            yield upstream
        finally:
            tasks.cancel_scope.cancel()


def _refusal(status: str, headers: str = "") -> bytes:
    body = json.dumps({"error": {"message": "Provider returned error", "code": int(status[:3])}}).encode()
    return _reply(status, body, headers=headers)


def _reply(status: str, body: bytes, *, kind: str = "application/json", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
