"""`penstock` on granian: its command line with another server under it.

python -m tests.benchmarks.servers.on_granian serve --config DIRECTORY --port 8000
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from starlette.types import ASGIApp

import router.cli.serve
from router.cli.main import main
from router.server.connections import TurnsAway
from router.server.listen import Stop


async def serve_until_stopped(
    app: ASGIApp,
    listener: socket.socket,
    stop: Stop | None = None,
    unread_s: float = 0.0,
    hung_up: Callable[[], None] | None = None,
    door: TurnsAway | None = None,
    head_s: float = 30.0,
    *,
    refused: Callable[[str], None] = lambda _: None,
) -> None:
    """In place of `router.server.listen`'s. The port is opened anew, for granian opens its own."""
    host, port = listener.getsockname()[:2]
    listener.close()
    server = Server(
        app,
        host,
        port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=int(head_s * 1000)),
        websockets=False,
        backlog=2048,
        log_enabled=False,
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve()


if __name__ == "__main__":
    router.cli.serve.serve_until_stopped = serve_until_stopped  # type: ignore[attr-defined]
    main()
