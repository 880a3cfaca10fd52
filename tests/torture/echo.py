"""A provider that answers everybody with what he alone has said, and bills a sum of his own: no two answers are alike.

A prompt holds `[nonce=TEAM/NUMBER]`. The answer says it, and so do the generation's id, the tokens and the cost.

    python -m tests.torture.echo      prints `listening on PORT`; `GET /bill` tells what was billed, by generation
"""

import asyncio
import json
import random
import re
import sys
from typing import Any, cast

import uvloop

from tests.benchmarks.http1 import MessageReader
from tests.benchmarks.mock_upstream import json_response

_NONCE = re.compile(rb"\[nonce=([a-z0-9]+)/(\d+)\]")
_LONGEST_PAUSE_S = 0.03
_BASE_NANO_USD = 1_000


def generation_id(team: str, number: int) -> str:
    return f"gen-{team}-{number}"


def cost_nano_usd(number: int) -> int:
    return _BASE_NANO_USD + number


def input_tokens(number: int) -> int:
    return 10 + number % 89_983  # a prime, so that neighbours differ


class Echo:
    def __init__(self) -> None:
        self.billed: dict[str, int] = {}
        self.chance = random.Random(1)


class _Connection(asyncio.Protocol):
    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._reader = MessageReader()
        self._request = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._request += data
        if self._reader.feed(data):
            request, self._request = self._request, b""
            self._reader.reset()
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        assert self._transport is not None
        found = _NONCE.search(request)
        if found is None:
            told: Any = self._echo.billed if request.startswith(b"GET /bill ") else {"data": []}
            self._transport.write(json_response(told))
            return
        team, number = found[1].decode(), int(found[2])
        self._echo.billed[generation_id(team, number)] = cost_nano_usd(number)
        is_stream = b'"stream":true' in request.replace(b" ", b"")
        pieces = _stream(team, number) if is_stream else [_whole(team, number)]
        self._send(pieces)

    def _send(self, pieces: list[bytes]) -> None:
        assert self._transport is not None
        if self._transport.is_closing():
            return
        pause_s = self._echo.chance.random() * _LONGEST_PAUSE_S
        asyncio.get_running_loop().call_later(pause_s, self._send_first, pieces)

    def _send_first(self, pieces: list[bytes]) -> None:
        assert self._transport is not None
        self._transport.write(pieces[0])
        if len(pieces) > 1:
            self._send(pieces[1:])


def _usage(number: int) -> dict[str, Any]:
    tokens = input_tokens(number)
    return {
        "prompt_tokens": tokens,
        "completion_tokens": 5,
        "total_tokens": tokens + 5,
        "cost": cost_nano_usd(number) / 1e9,
    }


def _whole(team: str, number: int) -> bytes:
    message = {"role": "assistant", "content": f"[{team}/{number}]"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    return json_response(_envelope(team, number, "chat.completion", choices) | {"usage": _usage(number)})


def _stream(team: str, number: int) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    words = [{"role": "assistant", "content": ""}, {"content": f"[{team}/"}, {"content": f"{number}]"}]
    deltas: list[list[Any]] = [[{"index": 0, "delta": word, "finish_reason": None}] for word in words]
    last: list[Any] = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    events = [_event(team, number, choices) for choices in (*deltas, last)]
    events[0] = head + events[0]
    return [*events, _event(team, number, [], usage=_usage(number)) + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]


def _event(team: str, number: int, choices: list[Any], *, usage: dict[str, Any] | None = None) -> bytes:
    content = _envelope(team, number, "chat.completion.chunk", choices) | ({"usage": usage} if usage else {})
    return _chunk(b"data: " + json.dumps(content).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _envelope(team: str, number: int, kind: str, choices: list[Any]) -> dict[str, Any]:
    return {
        "id": generation_id(team, number),
        "object": kind,
        "created": 1773012759,
        "model": "google/gemini-3.1-flash-lite",
        "choices": choices,
    }


async def serve() -> None:
    echo = Echo()
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(echo), "127.0.0.1", 0, backlog=2048)
    sys.stdout.write(f"listening on {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
