"""`penstock serve` that can be looked into: what it holds in memory is told on a port of its own.

python -m tests.torture.opened PORT serve --config ...      as `penstock serve --config ...`
"""

import asyncio
import gc
import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from router.cli.main import main

_MOST_TYPES = 60


class _Looking(BaseHTTPRequestHandler):
    """`GET /`: how many tasks are not done, and which objects there are most of."""

    def log_message(self, format: str, *args: object) -> None:
        """To nobody."""

    def do_GET(self) -> None:
        gc.collect()
        objects = gc.get_objects()
        tasks = sum(isinstance(each, asyncio.Task) and not each.done() for each in objects)
        types = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
        body = json.dumps({"tasks": tasks, "objects": dict(types.most_common(_MOST_TYPES))}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    looking = ThreadingHTTPServer(("127.0.0.1", int(sys.argv.pop(1))), _Looking)
    threading.Thread(target=looking.serve_forever, daemon=True).start()
    main()
