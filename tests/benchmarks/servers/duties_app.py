"""An application that shows what a server does to it, on one server: `duties.py` asks it.

python -m tests.benchmarks.servers.duties_app penstock|granian PORT      with granian on PYTHONPATH
"""

from __future__ import annotations

import importlib
import json
import sys

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from router.server.listen import bound, serve_until_stopped

HEAD_S = 1.0  # what a client is given for its head, by a server that counts
FLOOD_PIECE = bytes(64 * 1024)
FLOOD_PIECES = 4096
STREAM_PIECES = 15
PIECE_S = 0.1


class Duties:
    """By path: `/silent` and `/begun` wait for the client's end, `/flood` sends, `/stream` drips, `/seen` tells."""

    def __init__(self) -> None:
        self.hang_ups: dict[str, int] = {}  # noticed, by path
        self.flooded_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        match scope["path"]:
            case "/silent":
                await self._until_hang_up(scope, receive)
            case "/begun":
                await _begin(send)
                await send({"type": "http.response.body", "body": b"begun", "more_body": True})
                await self._until_hang_up(scope, receive)
            case "/flood":
                await _begin(send)
                for _ in range(FLOOD_PIECES):
                    await send({"type": "http.response.body", "body": FLOOD_PIECE, "more_body": True})
                    self.flooded_bytes += len(FLOOD_PIECE)
            case "/stream":
                await _begin(send)
                for _ in range(STREAM_PIECES):
                    await send({"type": "http.response.body", "body": b"piece", "more_body": True})
                    await anyio.sleep(PIECE_S)
                await send({"type": "http.response.body", "body": b"end"})
            case "/seen":
                seen = {"hang_ups": self.hang_ups, "flooded_bytes": self.flooded_bytes}
                await _begin(send)
                await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
            case _:
                while (await receive()).get("more_body"):
                    pass
                await _begin(send)
                await send({"type": "http.response.body", "body": b"ok"})

    async def _until_hang_up(self, scope: Scope, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.hang_ups[scope["path"]] = self.hang_ups.get(scope["path"], 0) + 1


async def _begin(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def serve(server: str, port: int) -> None:
    """Serves until SIGTERM."""
    app: ASGIApp = Duties()
    if server == "granian":
        on_granian = importlib.import_module("tests.benchmarks.servers.on_granian")
        await on_granian.serve_until_stopped(app, bound("127.0.0.1", port), head_s=HEAD_S)
    else:
        await serve_until_stopped(app, bound("127.0.0.1", port))


if __name__ == "__main__":
    anyio.run(serve, sys.argv[1], int(sys.argv[2]), backend_options={"use_uvloop": True})
