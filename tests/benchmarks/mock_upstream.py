"""A cheap simulated OpenRouter: answers chat completions from prepared bytes, so that the proxy is what is measured.

Shapes follow OpenRouter's wire format as captured in 2026 (comment line first, `role` on every chunk, finish chunk,
usage chunk with `cost`, `[DONE]`); every answer has its own generation id. Markers in the prompt text steer a stream,
because text is what every proxy relays untouched:
`[chunks=64]` and `[gap=5ms]`. `/mock/stats` tells what was served. A second port may speak TLS.

    python -m tests.benchmarks.mock_upstream --port 0        prints `listening on PORT`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import secrets
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import uvloop

from tests.benchmarks.http1 import MessageReader

DEFAULT_CHUNKS = 64
BACKLOG = 4096  # thousands of streams are opened at once
_CHUNKS_MARKER = re.compile(rb"\[chunks=(\d{1,5})\]")
_GAP_MARKER = re.compile(rb"\[gap=(\d{1,7})ms\]")
_MODEL_VALUE = re.compile(rb'\s*:\s*"([^"]{1,200})"')
_ID_PLACEHOLDER = b"gen-1773012759-" + b"#" * 20  # as long as a real id, so replacing it moves no offsets
_SENTENCE = "The gate lets just enough water through and keeps what the turbine does not need for the dry months ahead."
_REPLY_TEXT = " ".join([_SENTENCE] * 3)
_USAGE: dict[str, object] = {
    "prompt_tokens": 254,
    "completion_tokens": 70,
    "total_tokens": 324,
    "cost": 0.00005516,  # 254 * $0.14 + 70 * $0.28 per million: deepseek-v4-flash as listed on 2026-04-24
    "is_byok": False,
    "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
    "cost_details": {
        "upstream_inference_cost": 0.00005516,
        "upstream_inference_prompt_cost": 0.00003556,
        "upstream_inference_completions_cost": 0.0000196,
    },
    "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0, "audio_tokens": 0},
}
_MODELS = {
    "data": [
        {
            "id": "deepseek/deepseek-v4-flash",
            "canonical_slug": "deepseek/deepseek-v4-flash",
            "name": "DeepSeek: DeepSeek V4 Flash",
            "context_length": 1048576,
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.00000014", "completion": "0.00000028"},
            "top_provider": {"context_length": 1048576, "max_completion_tokens": 65536, "is_moderated": False},
            "supported_parameters": ["max_tokens", "temperature", "tools", "response_format", "seed", "stop"],
        }
    ]
}
_KEY = {"data": {"label": "sk-or-bench", "usage": 0, "limit": None, "limit_remaining": None, "is_free_tier": False}}


@dataclass(slots=True)
class Stats:
    """What this process has served since it started."""

    completions: int = 0  # chat completions asked for, streamed or not
    streams: int = 0  # of these, streamed
    chunks: int = 0  # content chunks announced in those streams


class MockConnection(asyncio.Protocol):
    """One keep-alive connection; reads a whole request, then answers it."""

    def __init__(self, stats: Stats, id_prefix: str) -> None:
        self._stats = stats
        self._id_prefix = id_prefix
        self._reader = MessageReader()
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is one in all but inheritance

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if len(self._parts) > 4:
            # What says how to answer stands at either end of a request. Joining all of one of 5 MB, and searching it,
            # would hold up everybody else's answers, which would look like the proxy's doing.
            del self._parts[2]
        if self._reader.feed(data):
            request = b"".join(self._parts)
            self._parts.clear()
            self._reader.reset()
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        assert self._transport is not None
        path = request[: request.find(b" HTTP/1.")].partition(b" ")[2]
        if path.endswith(b"/chat/completions"):
            self._complete(self._transport, request)
        elif path.endswith(b"/models"):
            self._transport.write(json_response(_MODELS))
        elif path.endswith(b"/key"):
            self._transport.write(json_response(_KEY))
        elif path == b"/mock/stats":
            self._transport.write(json_response(asdict(self._stats)))
        else:
            self._transport.write(
                json_response({"error": {"code": 404, "message": "Not Found"}}, status=b"404 Not Found")
            )

    def _complete(self, transport: asyncio.Transport, request: bytes) -> None:
        self._stats.completions += 1
        generation_id = f"gen-1773012759-{self._id_prefix}{self._stats.completions:010d}".encode()
        model = requested_model(request)
        if not is_streamed(request):
            transport.write(prepared_reply(model).replace(_ID_PLACEHOLDER, generation_id))
            return
        chunks = _marker(_CHUNKS_MARKER, request, DEFAULT_CHUNKS)
        self._stats.streams += 1
        self._stats.chunks += chunks
        template, ends = prepared_stream(model, chunks)
        payload = template.replace(_ID_PLACEHOLDER, generation_id)
        StreamedAnswer(transport, payload, ends, gap_s=_marker(_GAP_MARKER, request, 0) / 1000).send_next()


class StreamedAnswer:
    """One stream being sent: each chunk is a write of its own, `gap_s` apart or as fast as the loop turns."""

    __slots__ = ("_ends", "_gap_s", "_loop", "_next", "_payload", "_transport")

    def __init__(self, transport: asyncio.Transport, payload: bytes, ends: tuple[int, ...], *, gap_s: float) -> None:
        self._transport = transport
        self._payload = payload
        self._ends = ends
        self._gap_s = gap_s
        self._next = 0
        self._loop = asyncio.get_running_loop()

    def send_next(self) -> None:
        """Writes one piece and arranges for the next."""
        if self._transport.is_closing():
            return
        start = self._ends[self._next - 1] if self._next else 0
        self._transport.write(self._payload[start : self._ends[self._next]])
        self._next += 1
        if self._next == len(self._ends):
            return
        if self._gap_s:
            self._loop.call_later(self._gap_s, self.send_next)
        else:
            self._loop.call_soon(self.send_next)


def requested_model(request: bytes) -> str:
    """The body's `model`, found without parsing: inside JSON text the quotes would be escaped."""
    at = request.find(b'"model"')
    match = _MODEL_VALUE.match(request, at + 7) if at >= 0 else None
    return match[1].decode() if match else "unknown"


def is_streamed(request: bytes) -> bool:
    """Whether the body says `"stream": true`, with or without white space."""
    at = request.find(b'"stream"')
    return at >= 0 and request[at + 8 : at + 24].lstrip(b" :\t\n").startswith(b"true")


def _marker(pattern: re.Pattern[bytes], request: bytes, default: int) -> int:
    match = pattern.search(request)
    return int(match[1]) if match else default


def json_response(value: object, *, status: bytes = b"200 OK") -> bytes:
    """A whole HTTP response with `value` as its body."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


@lru_cache(maxsize=16)
def prepared_reply(model: str) -> bytes:
    """A non-streamed response of about 1 KB with the id still to be filled in."""
    message = {"role": "assistant", "content": _REPLY_TEXT, "refusal": None, "reasoning": None}
    choice = {"index": 0, "logprobs": None, "finish_reason": "stop", "native_finish_reason": "stop", "message": message}
    return json_response(_envelope(model, "chat.completion", [choice]) | {"usage": _USAGE})


@lru_cache(maxsize=16)
def prepared_stream(model: str, chunks: int) -> tuple[bytes, tuple[int, ...]]:
    """A streamed response with the id still to be filled in, and the offsets at which its writes end."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        # Tells nginx to relay each chunk at once, as `proxy_buffering off` would, but only for streams.
        b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    first = head + _http_chunk(b": OPENROUTER PROCESSING\n\n") + _http_chunk(_event(model, [_delta("")]))
    words = _SENTENCE.split()
    contents = [_http_chunk(_event(model, [_delta(" " + words[n % len(words)])])) for n in range(chunks)]
    finish = _http_chunk(_event(model, [_delta("", finish_reason="stop")]))
    usage = _http_chunk(_event(model, [], usage=_USAGE))
    last = finish + usage + _http_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
    pieces = [first, *contents, last]
    ends: list[int] = []
    for piece in pieces:
        ends.append((ends[-1] if ends else 0) + len(piece))
    return b"".join(pieces), tuple(ends)


def _http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(model: str, choices: Sequence[Mapping[str, object]], *, usage: dict[str, object] | None = None) -> bytes:
    chunk = _envelope(model, "chat.completion.chunk", choices) | ({"usage": usage} if usage else {})
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _envelope(model: str, kind: str, choices: Sequence[Mapping[str, object]]) -> dict[str, object]:
    return {
        "id": _ID_PLACEHOLDER.decode(),
        "object": kind,
        "created": 1773012759,
        "model": model,
        "provider": "DeepSeek",
        "choices": choices,
    }


def _delta(content: str, *, finish_reason: str | None = None) -> dict[str, object]:
    delta = {"content": content, "role": "assistant"}
    return {"index": 0, "delta": delta, "finish_reason": finish_reason, "native_finish_reason": finish_reason}


async def serve(port: int, *, tls_port: int | None = None, certificate: Path | None = None) -> None:
    """Serves on 127.0.0.1 until the process is ended; port 0 takes a free one. `certificate` holds its key too."""
    loop = asyncio.get_running_loop()
    stats = Stats()
    id_prefix = secrets.token_hex(5)  # ids stay unique when a proxy outlives this process

    def connection() -> MockConnection:
        return MockConnection(stats, id_prefix)

    server = await loop.create_server(connection, "127.0.0.1", port, backlog=BACKLOG)
    if tls_port is not None and certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        await loop.create_server(connection, "127.0.0.1", tls_port, backlog=BACKLOG, ssl=context)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser(description="A cheap simulated OpenRouter for benchmarks.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls-port", type=int)
    parser.add_argument("--certificate", type=Path, help="PEM with certificate and key, for --tls-port")
    options = parser.parse_args()
    uvloop.run(serve(options.port, tls_port=options.tls_port, certificate=options.certificate))


if __name__ == "__main__":
    main()
