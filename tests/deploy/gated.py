"""A provider that sends each next event of a stream only when the test says so, and tells when it was hung up on."""

import json
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PATIENCE_S = 20
# One of those at which hanging up ends the bill, so that Penstock does (router/upstream/openrouter.py).
_SERVED_BY = "DeepSeek"


class GatedProvider:
    """Speaks OpenRouter's chat completions at `base_url`, streamed only: as many words as there were permits."""

    def __init__(self) -> None:
        self.permits = threading.Semaphore(0)
        self.was_hung_up_on = threading.Event()
        self.base_url = ""

    def stream(self, request: BaseHTTPRequestHandler) -> None:
        for number in range(3):
            if number and not self._is_permitted(request):
                self.was_hung_up_on.set()
                return
            request.wfile.write(_event({"delta": {"role": "assistant", "content": f"word{number} "}}))
        request.wfile.write(_event({"delta": {}, "finish_reason": "stop"}))
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "cost": 0.000001}
        request.wfile.write(_event(None, usage=usage) + b"data: [DONE]\n\n")

    def _is_permitted(self, request: BaseHTTPRequestHandler) -> bool:
        for _ in range(_PATIENCE_S * 20):
            if self.permits.acquire(timeout=0.05):
                return True
            readable, _, _ = select.select([request.connection], [], [], 0)
            if readable:  # nothing more is to come from a client but its end
                return False
        return False


def _event(choice: dict[str, object] | None, **more: object) -> bytes:
    choices = [] if choice is None else [{"index": 0, **choice}]
    body = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "deepseek/deepseek-v4-flash",
            "provider": _SERVED_BY, "choices": choices, **more}  # fmt: skip
    return b"data: " + json.dumps(body).encode() + b"\n\n"


@contextmanager
def gated_provider() -> Iterator[GatedProvider]:
    provider = GatedProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            provider.stream(self)

        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            provider.was_hung_up_on.set()  # it could not be written to any more

    with Server(("127.0.0.1", 0), Handler) as server:
        provider.base_url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()
