"""The floor: the least a Python proxy can do, relaying bytes between keep-alive connections and looking at nothing.

It finds message ends to hand upstream connections back, and does none of a proxy's work. What another Python proxy
costs above this is its own doing.

    python -m tests.benchmarks.bare_relay --port 8000 --upstream-port 9000
"""

from __future__ import annotations

import argparse
import asyncio
from collections import deque
from typing import cast

import uvloop

from tests.benchmarks.http1 import MessageReader

POOL_SIZE = 64  # above the most connections any scenario opens


class Pool:
    """Upstream connections, opened once at start; clients wait in line when all are busy."""

    def __init__(self) -> None:
        self.idle: list[Upstream] = []
        self.waiting: deque[Client] = deque()

    def release(self, upstream: Upstream) -> None:
        """Gives a free connection to the longest-waiting client, or keeps it."""
        if self.waiting:
            self.waiting.popleft().take(upstream)
        else:
            self.idle.append(upstream)


class Upstream(asyncio.Protocol):
    """One connection to the upstream; belongs to at most one client at a time."""

    def __init__(self, pool: Pool) -> None:
        self.client: Client | None = None
        self.transport: asyncio.Transport | None = None
        self._pool = pool
        self._reader = MessageReader()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's class is one in all but inheritance

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is not None:
            client.write(data)
        if self._reader.feed(data):
            self._reader.reset()
            self.client = None
            if client is not None:
                client.upstream = None
            self._pool.release(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._pool.idle:
            self._pool.idle.remove(self)
        if self.client is not None:
            self.client.close()


class Client(asyncio.Protocol):
    """One client connection; holds an upstream from a request's first byte to its answer's last."""

    def __init__(self, pool: Pool) -> None:
        self.upstream: Upstream | None = None
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is one in all but inheritance

    def data_received(self, data: bytes) -> None:
        if self.upstream is not None and self.upstream.transport is not None:
            self.upstream.transport.write(data)
            return
        self._unsent.append(data)
        if len(self._unsent) > 1:
            return  # already waiting in line
        if self._pool.idle:
            self.take(self._pool.idle.pop())
        else:
            self._pool.waiting.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._pool.waiting:
            self._pool.waiting.remove(self)
        if self.upstream is not None:
            self.upstream.client = None

    def take(self, upstream: Upstream) -> None:
        """Starts using `upstream` and sends it what has arrived so far."""
        assert upstream.transport is not None
        self.upstream, upstream.client = upstream, self
        upstream.transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def write(self, data: bytes) -> None:
        """Relays bytes of the answer."""
        assert self._transport is not None
        self._transport.write(data)

    def close(self) -> None:
        """Ends the client's connection because its answer cannot be completed."""
        assert self._transport is not None
        self._transport.close()


async def serve(port: int, upstream_port: int) -> None:
    """Relays 127.0.0.1:`port` to 127.0.0.1:`upstream_port` until the process is ended."""
    loop = asyncio.get_running_loop()
    pool = Pool()
    for _ in range(POOL_SIZE):
        _, upstream = await loop.create_connection(lambda: Upstream(pool), "127.0.0.1", upstream_port)
        pool.release(upstream)
    server = await loop.create_server(lambda: Client(pool), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Reads the command line and relays."""
    parser = argparse.ArgumentParser(description="The least a Python proxy can do.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream-port", type=int, required=True)
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.upstream_port))


if __name__ == "__main__":
    main()
