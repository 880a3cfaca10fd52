"""A provider that answers each model in the mood it was put in, and notes when which was asked: `MoodyUpstream`."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

from tests.torture.faulty_upstream import DONE, FINISH, USAGE, said

Mood = Literal["well", "503", "429", "429 without a time", "reset", "silent"]

RETRY_AFTER_S = 5
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

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side closes it."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while await self._answer(reader, writer):
                pass
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection lives on."""
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET "):
            writer.write(_reply("404 Not Found", b"{}"))
            return True
        length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(int(length.split(b":")[1])))
        mood = self.moods[body["model"]]
        self.asked.append(Asked(time.monotonic(), body["model"], mood))
        match mood:
            case "well" if body.get("stream"):
                writer.write(_reply("200 OK", _STREAM, kind="text/event-stream"))
            case "well":
                writer.write(_reply("200 OK", _WHOLE))
            case "503":
                writer.write(_refusal("503 Service Unavailable"))
            case "429":
                writer.write(_refusal("429 Too Many Requests", f"retry-after: {RETRY_AFTER_S}\r\n"))
            case "429 without a time":
                writer.write(_refusal("429 Too Many Requests"))
            case "reset":
                writer.transport.abort()
                return False
            case "silent":
                await reader.read()  # until the proxy gives up
                return False
        await writer.drain()
        return True


@asynccontextmanager
async def moody_upstream() -> AsyncIterator[MoodyUpstream]:
    """It serves while the context is open; whoever is connected must have gone when it is closed."""
    upstream = MoodyUpstream()
    async with asyncio.TaskGroup() as connections:
        server = await asyncio.start_server(
            lambda reader, writer: connections.create_task(upstream.serve(reader, writer)), "127.0.0.1", 0, backlog=1024
        )
        upstream.port = server.sockets[0].getsockname()[1]
        try:
            yield upstream
        finally:
            server.close()


def _refusal(status: str, headers: str = "") -> bytes:
    body = json.dumps({"error": {"message": "Provider returned error", "code": int(status[:3])}}).encode()
    return _reply(status, body, headers=headers)


def _reply(status: str, body: bytes, *, kind: str = "application/json", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body
