"""A provider that says everything it should not, and a collector of traces that keeps whatever it gets."""

import gzip
import json
import re
import socket
import struct
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_MOOD = re.compile(rb"DO-([a-z0-9_]+)-OD")
STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 451, 500, 502, 503, 504, 524, 529)
BROKEN = (
    "error_in_200",
    "error_text",
    "no_json",
    "odd_error",
    "redirect",
    "compressed",
    "reset_at_once",
    "reset_in_body",
    "short",
    "silent",
)
STREAMED = ("sse_error", "sse_error_later", "sse_reset", "sse_end", "sse_no_json", "sse_well", "sse_stall")


def asks_for(mood: str) -> str:
    """Text that puts the provider in that mood."""
    return f"DO-{mood}-OD"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A proxy that hangs up is what is wanted."""


class TellingProvider(_Server):
    """Quotes the prompt and the key in its errors, and answers with `answers`, by what part of an answer they are."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        super().__init__(_Telling)
        self.answers = answers
        self.moods_met: set[str] = set()
        self.keys_seen: set[str] = set()
        self.stalled = 0


class _Telling(BaseHTTPRequestHandler):
    server: TellingProvider
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """To nobody."""

    def do_GET(self) -> None:
        self._refuse(500, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.keys_seen.add(self.headers["authorization"] or "")
        asked = _MOOD.search(body)
        mood = "well" if asked is None else asked[1].decode()
        self.server.moods_met.add(mood)
        if mood.isdigit():
            self._refuse(int(mood), body)
        elif b'"stream":true' in body.replace(b" ", b"") and not mood.startswith("reset"):
            self._stream(mood, body)
        else:
            self._whole(mood, body)

    def _error(self, status: int, body: bytes) -> dict[str, object]:
        """In which everything is quoted that was sent."""
        key = self.headers["authorization"] or ""
        coded = b64encode(f"x:{key.removeprefix('Bearer ')}".encode()).decode()
        words = body[-300:].decode(errors="replace")
        said = f"Incorrect API key: {key}; basic {coded}; {key[7:20]}...{key[-9:]}; for {words}"
        metadata = {"raw": json.dumps({"key": key, "request": words}), "provider_name": key}
        return {"message": said, "code": status, "type": key, "param": words, "metadata": metadata}

    def _refuse(self, status: int, body: bytes) -> None:
        content = json.dumps({"error": self._error(status, body), "user_id": self.headers["authorization"]}).encode()
        headers = {"retry-after": "0", "x-echo": self.headers["authorization"] or ""}
        self._send(status, content, headers=headers)

    def _whole(self, mood: str, body: bytes) -> None:
        key = self.headers["authorization"] or ""
        error = json.dumps({"error": self._error(502, body)}).encode()
        odd = json.dumps({"error": json.dumps(self._error(400, body))}).encode()
        plain: dict[str, tuple[int, bytes, dict[str, str]]] = {
            "error_in_200": (200, error, {}),
            "error_text": (500, f"<h1>{key}</h1>".encode() + body, {"content-type": "text/html"}),
            "odd_error": (400, odd, {}),
            "no_json": (200, b"Sorry. " + body, {}),
            "redirect": (302, body, {"location": f"http://{key[7:]}@127.0.0.1/"}),
            "compressed": (200, gzip.compress(body), {"content-encoding": "gzip"}),
        }
        if mood in plain:
            status, content, headers = plain[mood]
            self._send(status, content, headers=headers)
        elif mood == "reset_at_once":
            self._reset()
        elif mood in ("reset_in_body", "sse_reset"):
            self._begin(200, "application/json", 100_000)
            self.wfile.write(body[:200])
            self._reset()
        elif mood == "short":
            self._begin(200, "application/json", len(body) + 100)
            self.wfile.write(body)
            self.close_connection = True
        elif mood in ("silent", "sse_stall"):
            self._stall()
        else:
            self._send(200, json.dumps(self._answer()).encode(), headers={})

    def _answer(self) -> dict[str, object]:
        said = self.server.answers
        text = said["content"]
        head: dict[str, object] = {"id": "gen-1", "model": "m"}
        if self.path.endswith("/responses"):
            part = {"type": "output_text", "text": text, "annotations": []}
            output = [{"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}]
            spent = {"input_tokens": 5, "output_tokens": 5, "total_tokens": 10}
            return {**head, "object": "response", "status": "completed", "output": output, "usage": spent}
        if self.path.endswith("/messages"):
            answer = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": text}]}
            return {**head, **answer, "stop_reason": "end_turn", "usage": {"input_tokens": 5, "output_tokens": 5}}
        message = {"role": "assistant", "content": text, "reasoning": said["reasoning"], "tool_calls": self._calls()}
        usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": 0.00001}
        choice = {"index": 0, "message": message, "text": text, "finish_reason": "stop"}
        return {**head, "object": "chat.completion", "created": 1, "choices": [choice], "usage": usage}

    def _calls(self) -> list[dict[str, object]]:
        function = {"name": "look_up", "arguments": json.dumps({"of": self.server.answers["arguments"]})}
        return [{"id": "call_1", "type": "function", "index": 0, "function": function}]

    def _stream(self, mood: str, body: bytes) -> None:
        if mood == "silent":
            self._stall()
            return
        self._begin(200, "text/event-stream")
        said = self.server.answers
        beginning = self._chunk({"role": "assistant", "content": said["content"], "reasoning": said["reasoning"]})
        match mood:
            case "sse_error":
                self._piece(self._event({"error": self._error(502, body)}))
            case "sse_error_later":
                self._piece(beginning)
                self._piece(self._event({"error": self._error(502, body), "choices": [{"finish_reason": "error"}]}))
            case "sse_reset" | "reset_in_body":
                self._piece(beginning)
                self._reset()
                return
            case "sse_no_json" | "no_json":
                self._piece(beginning)
                self._piece(b"data: {" + body + b"\n\n")
            case "sse_stall":
                self._piece(beginning)
                self._stall()
                return
            case "sse_end":
                self._piece(beginning)
            case _:
                self._piece(beginning)
                self._piece(self._chunk({"tool_calls": self._calls()}, "stop"))
                usage = {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "cost": 0.00001}
                self._piece(self._event({"choices": [], "usage": usage}))
                self._piece(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, delta: Mapping[str, object], finish_reason: str | None = None) -> bytes:
        return self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})

    def _event(self, members: Mapping[str, object]) -> bytes:
        head = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: " + json.dumps({**head, **members}).encode() + b"\n\n"

    def _piece(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
        self.wfile.flush()

    def _begin(self, status: int, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        if length is None:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(length))
        self.end_headers()
        self.wfile.flush()

    def _send(self, status: int, body: bytes, *, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        all_headers = {"content-type": "application/json", "content-length": str(len(body)), **headers}
        for name, value in all_headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _stall(self) -> None:
        self.server.stalled += 1
        self.connection.settimeout(60)
        try:
            self.connection.recv(1)  # until the proxy gives up
        except OSError:
            time.sleep(0)
        self.close_connection = True


class Collector(_Server):
    """An OTLP collector."""

    def __init__(self) -> None:
        super().__init__(_Collecting)
        self.bodies: list[bytes] = []
        self.headers_seen: list[str] = []


class _Collecting(BaseHTTPRequestHandler):
    server: Collector
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """To nobody."""

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.server.headers_seen.append(str(self.headers))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


@contextmanager
def running(server: _Server) -> Iterator[int]:
    """Its port, while it serves."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
