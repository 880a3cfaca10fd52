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
    """`GET /`: how many tasks are not done, which objects there are most of, and how many were in circles, which only a
    garbage collection frees."""

    def log_message(self, format: str, *args: object) -> None:
        """To nobody."""

    def do_GET(self) -> None:
        in_circles = gc.collect()
        objects = gc.get_objects()
        tasks = sum(isinstance(each, asyncio.Task) and not each.done() for each in objects)
        types = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
        most = dict(types.most_common(_MOST_TYPES))
        body = json.dumps({"tasks": tasks, "objects": most, "in_circles": in_circles}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    looking = ThreadingHTTPServer(("127.0.0.1", int(sys.argv.pop(1))), _Looking)
    threading.Thread(target=looking.serve_forever, daemon=True).start()
    main()
