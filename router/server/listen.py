"""Sockets and servers: binds ports and runs applications on them until told to stop."""

import math
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio
import uvicorn
from starlette.types import ASGIApp

from router.errors import PenstockError

# Clients keep connections for reuse; a server that closes first makes their next request fail. Load balancers keep idle
# connections 60 s (AWS ALB's default, 2026), so this is above it.
_KEEP_ALIVE_S = 75
_BACKLOG = 2048  # connections that may wait to be accepted; Linux cuts it to net.core.somaxconn


class PortTaken(PenstockError):
    code = "port_taken"


def bound(host: str, port: int) -> socket.socket:
    """A socket listening at the address; port 0 is any free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"Cannot listen on {host}:{port} ({error.strerror}). Stop what is listening there, or choose another "
            "port: --port 0 --admin-port 0 takes any free ones (make run ARGS='--port 0 --admin-port 0')."
        ) from error
    listener.listen(_BACKLOG)  # at once: what connects before the server runs waits instead of being refused
    return listener


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


class _MainServer(uvicorn.Server):
    """A server that ends on SIGINT and SIGTERM and lets the process end in order.

    uvicorn's own raises the signal again once it has stopped, which kills the process around it.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _QuietServer(uvicorn.Server):
    """A server that leaves signals to the main one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """The application runs on the socket while the context is open."""
    server = _QuietServer(_config(app, grace_s=2.0))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        try:
            yield
        finally:
            server.should_exit = True


async def serve_until_stopped(app: ASGIApp, listener: socket.socket, grace_s: float) -> None:
    """The application runs on the socket until the process gets SIGINT or SIGTERM.

    Requests under way then have `grace_s` to end by themselves; after that they are cancelled.
    """
    await _MainServer(_config(app, grace_s=grace_s)).serve([listener])


def _config(app: ASGIApp, *, grace_s: float) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="auto",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=math.ceil(grace_s),
    )
