"""The HTTP/1.1 client under every upstream call: a bounded pool of connections per origin, and nothing else.

Owns who may use which connection, in which order, and for how long an idle one is kept. It follows no redirect, keeps
no cookie, reads no proxy from the environment, decodes nothing, and opens connections only to the origin it is told, at
an address of it that `egress.py` has nothing against.

CPU per request of 1 KB each way over 32 kept connections on loopback (2026-11-23, uvloop 0.23, two noisy cores):
httpx2's own transport 330 to 430 µs, this one with httpx2's request and response objects 37 to 47 µs, without them 13
to 16 µs, a bare protocol that only writes and waits 8 to 9 µs.

What may have reached the upstream is told by the error (`faults.py`).
"""

import asyncio
import logging
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import NamedTuple, Self

from aiohappyeyeballs import AddrInfoType, start_connection

from router.upstream.address import DEFAULT_PORTS
from router.upstream.connection import READ_BYTES, Connection, RawResponse, Timeouts
from router.upstream.egress import objection
from router.upstream.faults import (
    AddressRefused,
    ConnectError,
    ConnectTimeout,
    LocalProtocolError,
    PoolTimeout,
    ReadError,
    UnsupportedProtocol,
)

# `PreparedHead` writes these itself: two opinions about where a message ends are how requests are smuggled.
_FRAMING_HEADERS = frozenset({b"host", b"content-length", b"transfer-encoding"})
_METHODS_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})

# A name's next address is tried as well when one has not answered for so long, families in turn: RFC 8305's own choice.
# uvloop's and asyncio's own create_connection wait for the kernel to give an address up, which is longer than we wait.
_NEXT_ADDRESS_S = 0.25

log = logging.getLogger("penstock.upstream")

Resolve = Callable[[str, int], Awaitable[Sequence[AddrInfoType]]]  # addresses of a host's port, best first


class Origin(NamedTuple):
    """Where to connect. A tuple because it is hashed for every request, and a tuple does that in C."""

    scheme: str  # "http" or "https"
    host: str  # name or address, ASCII, IPv6 without brackets
    port: int
    is_private: bool = False  # its name may lead into a private network

    @property
    def host_header(self) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}").encode("ascii")


async def resolved(host: str, port: int) -> Sequence[AddrInfoType]:
    """What the system's resolver says, in its order (RFC 6724). Raises OSError and UnicodeError."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


class PreparedHead:
    """What calls of one kind have in common, checked and put into bytes once: all but the length of the body.

    `target` is path and query as they go on the wire, encoded. Host and framing headers are written for the caller, and
    dropped from `headers`. Raises LocalProtocolError for a head that would not be one line per header.
    """

    __slots__ = ("_begins", "_may_have_body", "headers", "method", "origin", "target")

    def __init__(self, origin: Origin, method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.origin = origin
        self.method = method
        self.target = target
        self.headers = [header for header in headers if header[0].lower() not in _FRAMING_HEADERS]
        lines = [b"%b %b HTTP/1.1" % (method, target), b"host: " + origin.host_header]
        lines += [b"%b: %b" % header for header in self.headers]
        self._begins = b"\r\n".join(lines) + b"\r\n"
        self._may_have_body = method in _METHODS_WITH_BODY
        # Counting line ends in the whole is ten times cheaper than looking into each value.
        ends = (self._begins.count(b"\r"), self._begins.count(b"\n"))
        if ends != (len(lines), len(lines)) or b"\0" in self._begins or lines[0].count(b" ") != 2:
            raise LocalProtocolError("a header, the method or the target holds a line end, NUL or blank")

    def with_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> "PreparedHead":
        """This head with some more headers, for one call. Raises LocalProtocolError if they are no line each."""
        more = b"".join([b"%b: %b\r\n" % header for header in headers])
        if (more.count(b"\r"), more.count(b"\n")) != (len(headers), len(headers)) or b"\0" in more:
            raise LocalProtocolError("a header holds a line end or NUL")
        head = PreparedHead.__new__(PreparedHead)  # nothing that was checked is checked again
        head.origin, head.method, head.target = self.origin, self.method, self.target
        head.headers = [*self.headers, *headers]
        head._begins = self._begins + more
        head._may_have_body = self._may_have_body
        return head

    def encoded(self, body_bytes: int) -> bytes:
        """The head of a request whose body is so long, as it goes on the wire."""
        if body_bytes or self._may_have_body:
            return b"%bcontent-length: %d\r\n\r\n" % (self._begins, body_bytes)
        return self._begins + b"\r\n"


class UpstreamTransport:
    """Sends requests over kept-alive connections, at most `max_connections` to each origin.

    The limit is far above what one process serves (8,000 streams at a time in the benchmark): it is there so that a
    provider that hangs takes no more than that of this machine's ports and files.

    Idle connections are closed after `idle_s` seconds; the one used last is used next, so that the others may expire.
    """

    def __init__(
        self,
        *,
        max_connections: int = 10_000,
        idle_s: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolve = resolved,
    ) -> None:
        self._max_connections = max_connections
        self._idle_s = idle_s
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._resolve = resolve
        self._pools: dict[Origin, _Pool] = {}  # origins come from configurations only

    @property
    def open_connections(self) -> int:
        """Connections to all origins together: idle, in use, and being made."""
        return sum(pool.taken_slots for pool in self._pools.values())

    @property
    def idle_connections(self) -> int:
        return sum(len(pool.idle) for pool in self._pools.values())

    @property
    def waiting_requests(self) -> int:
        """Requests that wait for a connection because all are in use."""
        return sum(len(pool.waiters) for pool in self._pools.values())

    async def ask(self, head: PreparedHead, body: bytes, timeouts: Timeouts) -> RawResponse:
        """The answer to one request, as soon as its head is here. Read it to the end or close it."""
        pool = self._pools.get(head.origin) or self._make_pool(head.origin)
        connection = pool.take_idle() or await pool.acquire(timeouts)
        return await connection.exchange(
            head.encoded(len(body)), body, timeouts, is_head_request=head.method == b"HEAD"
        )

    def keep_only(self, origins: Collection[Origin]) -> None:
        """Close the idle connections to all others, and forget their pools once nobody uses them any more.

        To be called again until `pools` says that they are gone; a request under way is not disturbed.
        """
        for origin in [each for each in self._pools if each not in origins]:
            pool = self._pools[origin]
            pool.close_idle()
            if not pool.taken_slots and not pool.waiters:
                del self._pools[origin]

    @property
    def pools(self) -> frozenset[Origin]:
        """The servers that connections are kept for."""
        return frozenset(self._pools)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection. Answers under way end with ReadError, waiting requests with ConnectError."""
        for pool in self._pools.values():
            pool.close()

    def _make_pool(self, origin: Origin) -> "_Pool":
        if origin.scheme not in DEFAULT_PORTS:
            raise UnsupportedProtocol(f"expected http or https, got {origin.scheme!r}")
        ssl_context = self._ssl_context if origin.scheme == "https" else None
        pool = self._pools[origin] = _Pool(origin, self._max_connections, self._idle_s, ssl_context, self._resolve)
        return pool


class _Pool:
    """The connections to one origin.

    A slot is the right to have one connection: `taken_slots` counts those idle, lent, or being made, and never exceeds
    the limit. A freed slot or connection goes to the request that has waited longest before anything else is done with
    it, hence: while anyone waits, nothing is idle and every slot is taken, and no newcomer overtakes. Everything
    that gives back is a plain function: a cancelled task cannot be interrupted in it.
    """

    def __init__(
        self,
        origin: Origin,
        max_connections: int,
        idle_s: float,
        ssl_context: ssl.SSLContext | None,
        resolve: Resolve,
    ) -> None:
        self.host_header = origin.host_header
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.taken_slots = 0
        self.idle: list[Connection] = []  # used last, last
        # A waiter gets a connection, or None for a slot to fill. Ordered, and a cancelled one leaves in O(1).
        self.waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._origin = origin
        self._max_connections = max_connections
        self._idle_s = idle_s
        self._ssl_context = ssl_context
        self._resolve = resolve
        self._connections: set[Connection] = set()
        self._is_closed = False
        self._has_told_refusal = False

    def take_idle(self) -> Connection | None:
        """The idle connection used last that the upstream has not closed, or None."""
        while self.idle:
            connection = self.idle.pop()
            if connection.is_usable():
                return connection
            connection.abort(ReadError("closed by the upstream while idle"))
        return None

    async def acquire(self, timeouts: Timeouts) -> Connection:
        """A connection when none is idle: a new one if a slot is free, else the first that others are done with."""
        if self._is_closed:
            raise ConnectError("the transport is closed")
        while self.taken_slots >= self._max_connections:
            connection = await self._wait_for_turn(timeouts.pool_s)
            if connection is None:
                return await self._connect(timeouts.connect_s)
            if connection.is_usable():
                return connection
            connection.abort(ReadError("closed by the upstream while it changed hands"))
        self.taken_slots += 1
        return await self._connect(timeouts.connect_s)

    def take_back(self, connection: Connection) -> None:
        if not self._hand_over(connection):
            self.idle.append(connection)
            connection.rest(self._idle_s)

    def forget(self, connection: Connection) -> None:
        self._connections.remove(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._free_slot()

    def close_idle(self) -> None:
        while self.idle:
            self.idle.pop().abort(ReadError("nobody is configured there any more"))

    def close(self) -> None:
        self._is_closed = True
        while self.waiters:
            waiter, _ = self.waiters.popitem(last=False)
            waiter.set_exception(ConnectError("the transport was closed"))
        for connection in tuple(self._connections):
            connection.abort(ReadError("the transport was closed"))

    def _free_slot(self) -> None:
        if not self._hand_over(None):
            self.taken_slots -= 1

    def _hand_over(self, connection: Connection | None) -> bool:
        while self.waiters:
            waiter, _ = self.waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    async def _wait_for_turn(self, pool_s: float | None) -> Connection | None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self.waiters[waiter] = None
        timer = None if pool_s is None else loop.call_later(pool_s, self._give_up, waiter, pool_s)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Cancelled in the very moment of its turn: what it was given goes to the next.
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                connection = waiter.result()
                if connection is None:
                    self._free_slot()
                elif connection in self._connections:
                    self.take_back(connection)
            raise
        finally:
            self.waiters.pop(waiter, None)
            if timer is not None:
                timer.cancel()

    def _give_up(self, waiter: asyncio.Future[Connection | None], pool_s: float) -> None:
        if not waiter.done():
            self.waiters.pop(waiter, None)
            waiter.set_exception(PoolTimeout(f"all {self._max_connections} connections in use for {pool_s} s"))

    async def _connect(self, connect_s: float | None) -> Connection:
        """A new connection for a slot that is already taken. The slot is freed again if it comes to nothing."""
        connection = Connection(self, asyncio.get_running_loop())
        self._connections.add(connection)
        try:
            await self._open_socket(connection, connect_s)
        except BaseException:
            connection.abort(ConnectError("not connected"))
            raise
        return connection

    async def _open_socket(self, connection: Connection, connect_s: float | None) -> None:
        host = self._origin.host
        try:
            async with asyncio.timeout(connect_s):
                addresses = self._permitted(await self._resolve(host, self._origin.port))
                connected = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S)
                try:
                    await asyncio.get_running_loop().create_connection(
                        lambda: connection,
                        sock=connected,
                        ssl=self._ssl_context,
                        server_hostname=host if self._ssl_context is not None else None,
                    )
                except BaseException:
                    connected.close()  # no effect if the loop has done so
                    raise
        except TimeoutError as error:  # also the kernel's own ETIMEDOUT
            raise ConnectTimeout(f"no connection to {self._origin.host} within {connect_s} s") from error
        # UnicodeError from names that cannot be encoded; uvloop raises RuntimeError for a descriptor it still holds.
        except (OSError, UnicodeError, RuntimeError) as error:
            raise ConnectError(f"no connection to {self._origin.host}: {error}") from error
        if connection.is_closed:
            raise ConnectError(f"the connection to {self._origin.host} was closed before it was used")

    def _permitted(self, addresses: Sequence[AddrInfoType]) -> list[AddrInfoType]:
        """Those that may be connected to. Raises AddressRefused if there are only others, OSError if there are none."""
        host, is_private = self._origin.host, self._origin.is_private
        permitted, objections = [], []
        for each in addresses:
            address = str(each[4][0])
            why = objection(address, host=host, is_private=is_private)
            if why is None:
                permitted.append(each)
            else:
                objections.append(f"{address}, which {why}")
        if not addresses:
            raise OSError("the name has no address")
        if not permitted:
            refusal = AddressRefused(f"{host} resolves to {'; '.join(objections)}")
            if not self._has_told_refusal:  # clients learn no address of ours, and every request would tell it
                self._has_told_refusal = True
                log.warning("%s: nothing is sent there (private_network in docs/egress.md)", refusal)
            raise refusal
        return permitted
