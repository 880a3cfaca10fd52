"""Sockets and servers: binds ports and runs applications on them until told to stop."""

import asyncio
import errno
import math
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sized
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import anyio
import uvicorn
from starlette.types import ASGIApp

from router.config.snapshot import Listen, UnixSocket
from router.errors import PenstockError
from router.server.accepting import Acceptor
from router.server.connections import UNREAD_S, GuardedConnection, ServerConfig, TurnsAway
from router.server.deadlines import Deadlines

# After the grace: for error events to be taken, and for what is owed to be told by providers or by their records, which
# are asked for 16 s (gateway/call.py).
_LAST_WORDS_S, _SETTLE_S = 3.0, 20.0
_TICK_S = 0.1
_STDIN = 0
_BACKLOG = 4096  # connections that may wait to be accepted; Linux cuts it to net.core.somaxconn, which is as many
# Of the files that may be open: the rest is for calls to providers (assembly/machine.py), stores and journals, which
# nobody else may use up. The two ports of one process have shares of their own.
MOST_CONNECTIONS = 0.495
ADMIN_CONNECTIONS = 1 / 32
# Of more files no more are for connections: an idle one takes 7 KiB, and services may open a million files.
_MOST_FILES = 100_000


class PortTaken(PenstockError):
    code = "port_taken"


def bound(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A socket listening at the address; port 0 is any free one. Raises PortTaken.

    Several that are `is_shared` may listen at one address: the kernel spreads connections among them.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
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


@contextmanager
def bound_file(path: Path) -> Iterator[socket.socket]:
    """A socket listening in the file system, that its owner alone may open. Raises PortTaken.

    What an earlier process has left there is replaced; one that still listens is not. It is made beside it and renamed:
    there is no moment at which others could open it, nor one at which nothing is there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_socket():
            raise FileExistsError(errno.EEXIST, "there is a file that is no socket")
        if is_answering(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.unlink(missing_ok=True)
        listener.bind(str(new))
        new.chmod(0o600)
        listener.listen(_BACKLOG)
        own = new.stat().st_ino
        new.rename(path)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"Cannot listen on unix:{path} ({error.strerror}). Stop what is listening there, or name another path in "
            "admin.listen of penstock.yaml, in a directory that can be written."
        ) from error
    try:
        yield listener
    finally:
        listener.close()
        with suppress(FileNotFoundError):
            if path.stat().st_ino == own:  # else it is another process's by now
                path.unlink()


def is_answering(path: Path) -> bool:
    """Whether somebody listens at the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True  # so many wait there already that one more cannot
        except OSError:
            return False
    return True


@contextmanager
def bound_admin(listen: Listen | UnixSocket) -> Iterator[socket.socket]:
    """The admin port's socket. Raises PortTaken."""
    if isinstance(listen, UnixSocket):
        with bound_file(listen.path) as listener:
            yield listener
    else:
        with bound(listen.host, listen.port) as listener:
            yield listener


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


async def _nobody() -> None:
    pass


def _untold(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Stop:
    """How an application is stopped, as operations.md tells it, and who is told that it can be."""

    notice_s: float = 0.0  # new connections are still served for so long, until balancers have noticed
    grace_s: float = 0.0  # in all, until what is under way is cut off
    serves: Callable[[], None] = lambda: None  # called when it has begun to serve
    begin: Callable[[], None] = lambda: None  # called by the signal's handler: no request is welcome any more
    cut_off: Callable[[], Awaitable[None]] = _nobody  # every request under way is told that it ends now


class Terminal:
    """The terminal that this process was started from, if it was: when that goes, SIGHUP asks for no reload."""

    def __init__(self) -> None:
        self._was_there = os.isatty(_STDIN)

    @property
    def has_gone(self) -> bool:
        return self._was_there and not os.isatty(_STDIN)


class _MainServer(uvicorn.Server):
    """A server that ends on SIGTERM, or at a terminal on SIGINT, and lets the process end in order.

    SIGINT gives no notice: who presses ^C stands behind no balancer. A second signal ends the grace, and nothing else:
    what is under way is cut off, settled and booked all the same. (uvicorn's own server forgets the lifespan then, and
    raises the signal again once it has stopped, which kills the process around it.)
    """

    def __init__(self, config: uvicorn.Config, stop: Stop, hung_up: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._stop = stop
        self._hung_up = hung_up
        self._terminal = Terminal()
        self._is_stopping = self._is_noticed = self._is_hurried = False
        self._stopping_since_s: float | None = None  # by the loop's clock

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        if self._hung_up is not None:
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self.handle_hangup)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._is_stopping:
            self._is_hurried = True
        else:
            self._is_stopping = True
            self._is_noticed = sig == signal.SIGINT
            self._stop.begin()
        if not self.started:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._stop.serves()

    def handle_hangup(self, sig: int, frame: FrameType | None) -> None:
        """Somebody asks for a reload; or the terminal has gone that this was started from: a reason to stop."""
        if self._terminal.has_gone:
            self.handle_exit(signal.SIGTERM, frame)
        elif self._hung_up is not None:
            self._hung_up()

    async def main_loop(self) -> None:
        """Until the notice is over. The ticks are uvicorn's: it has something to do at each."""
        counter = 0
        while not (self._is_stopping and self._is_notice_over()):
            await self.on_tick(counter)
            counter += 1
            await asyncio.sleep(_TICK_S)

    def _is_notice_over(self) -> bool:
        """Counted from when the signal is first seen, a tenth of a second after it at most unless the loop is busy."""
        now_s = asyncio.get_running_loop().time()
        if self._stopping_since_s is None:
            self._stopping_since_s = now_s
        return self._is_noticed or self._is_hurried or now_s >= self._stopping_since_s + self._stop.notice_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_grace)
            await super().shutdown(sockets)
            tasks.cancel_scope.cancel()

    async def _end_grace(self) -> None:
        """Cut off what is still under way, give it the time to settle, and then do not wait for it any more."""
        loop = asyncio.get_running_loop()
        ends_s = (loop.time() if self._stopping_since_s is None else self._stopping_since_s) + self._stop.grace_s
        while loop.time() < ends_s and not self._is_hurried:  # noqa: ASYNC110 - a signal's handler sets no event
            await asyncio.sleep(_TICK_S)
        state = self.server_state
        with anyio.move_on_after(_LAST_WORDS_S):
            await self._stop.cut_off()
            await _emptied(state.connections)
        for connection in tuple(state.connections):  # takes nothing, or has not asked to the end
            connection.transport.abort()
        with anyio.move_on_after(_SETTLE_S):
            await _emptied(state.tasks)
        for task in tuple(state.tasks):
            task.cancel()


async def _emptied(under_way: Sized) -> None:
    while under_way:  # noqa: ASYNC110 - uvicorn offers no event, and looks ten times a second itself
        await asyncio.sleep(_TICK_S)


class _QuietServer(uvicorn.Server):
    """A server that leaves signals to the main one."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    app: ASGIApp,
    listener: socket.socket,
    *,
    refused: Callable[[str], None] = _untold,
    share: float = MOST_CONNECTIONS,
) -> AsyncIterator[None]:
    """The application runs on the socket while the context is open. `refused` gets the reason of every connection that
    is refused. `share`: of the files that may be open, so many may be its connections."""
    server = _QuietServer(_config(app, listener, grace_s=2.0, refused=refused, share=share))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [listener])
        try:
            yield
        finally:
            server.should_exit = True


async def serve_until_stopped(
    app: ASGIApp,
    listener: socket.socket,
    stop: Stop | None = None,
    unread_s: float = UNREAD_S,
    hung_up: Callable[[], None] | None = None,
    *,
    refused: Callable[[str], None] = _untold,
    door: TurnsAway | None = None,
) -> None:
    """The application runs on the socket until the process gets SIGINT or SIGTERM, and is stopped by those rules.

    A client that takes nothing of what waits for it for `unread_s` is cut off. `hung_up` is called on SIGHUP, by the
    signal's handler; without it SIGHUP ends the process. `refused` is told as in `serving`. `door`
    turns requests away before they reach the application.
    """
    stop = stop or Stop()
    config = _config(app, listener, grace_s=None, refused=refused, unread_s=unread_s, door=door)
    await _MainServer(config, stop, hung_up).serve([listener])


def most_connections(files: int, share: float) -> int:
    """How many connections there may be, of so many files that may be open (RLIMIT_NOFILE; -1 is without a limit)."""
    return int(min(files, _MOST_FILES) * share) if files >= 0 else int(_MOST_FILES * share)


def _config(
    app: ASGIApp,
    listener: socket.socket,
    *,
    grace_s: float | None,
    refused: Callable[[str], None],
    unread_s: float = UNREAD_S,
    share: float = MOST_CONNECTIONS,
    door: TurnsAway | None = None,
) -> ServerConfig:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    listener.setblocking(False)
    most = most_connections(files, share)
    return ServerConfig(
        app,
        deadlines=Deadlines(most=most),
        accepted=Acceptor(listener, most=most).one_came,
        unread_s=unread_s,
        refused=refused,
        door=door,
        http=GuardedConnection,
        ws="none",
        lifespan="auto",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=grace_s if grace_s is None else math.ceil(grace_s),
    )
