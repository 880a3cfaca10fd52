"""Several processes that serve one address: started, started again when they die, stopped together.

`Supervisor` is the parent's. It serves nothing itself, and holds the sockets: what connects while a worker is started
again waits. `Link` is a worker's end of the connection between the two, by which it says that it serves, and hears when
its parent is gone.

Each worker has a listening socket of its own at the address (SO_REUSEPORT), among which the kernel spreads connections
by their addresses. With one socket in common, the worker that wakes up first takes all that wait: of 32 connections
that came at once, one of two workers got between 50 and 100 %, and with sockets of their own between 50 and 62 %
(uvloop, Linux 6, 2026-11-30). The admin port, on which nothing depends on balance, has one in common.
"""

import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterable, Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import anyio
import anyio.abc

from router.server.listen import PortTaken, Terminal, bound, port_of
from router.server.supervision import Supervisor

log = logging.getLogger("penstock.workers")

# What a worker says on the link. With `_KEEP` comes a file descriptor: what whoever is started after it may need.
_READY, _STOPPING, _KEEP = b"r", b"s", b"k"
# A worker that dies is started again at once; if that one dies within a minute too, after a pause that doubles.
_LIVES_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


class WorkerSockets:
    """The listening sockets of all workers, as their parent holds them. Raises PortTaken."""

    def __init__(self, data: tuple[str, int], admin: socket.socket, *, workers: int) -> None:
        """`admin` is the admin port's, which all have in common."""
        host, port = data
        with bound(host, port) as alone:  # two parents could share a port, and each would take it for its own
            port = port_of(alone)
        self._host, self._port = host, port
        self._data: list[socket.socket | None] = []
        for _ in range(workers):
            self._data.append(bound(host, port, is_shared=True))
        self.admin = admin

    def data(self, index: int) -> socket.socket:
        """The data port's socket of that worker."""
        found = self._data[index]
        if found is None:
            found = self._data[index] = bound(self._host, self._port, is_shared=True)
        return found

    def give_up(self, index: int) -> None:
        """Nothing will accept there for a while: the kernel is to give new connections to the others."""
        found, self._data[index] = self._data[index], None
        if found is not None:
            found.close()

    def close(self) -> None:
        """Leave them to the workers, which close theirs when they are through. Later calls do nothing."""
        for index in range(len(self._data)):
            self.give_up(index)
        self.admin.close()


@dataclass(frozen=True, slots=True)
class Places:
    """File descriptors that a worker inherits."""

    index: int  # of the worker, from 0
    data: int
    admin: int
    link: int
    first: int  # what was kept at the start, and what was kept last
    last: int


class Keepsakes:
    """What workers leave for those who follow them, in memory: what it was at the start, and what it is now.

    The parent does not look into it. A worker that is killed leaves what it had left before, whole.
    """

    def __init__(self, content: bytes) -> None:
        self.first = self.last = memory_with(content)

    def replace(self, descriptor: int) -> None:
        """Keep that from now on, of which this is the owner then."""
        if self.last != self.first:
            os.close(self.last)
        self.last = descriptor


class _Worker:
    """A process, and the parent's end of its link."""

    def __init__(self, process: anyio.abc.Process, link: socket.socket, keepsakes: Keepsakes) -> None:
        self.process = process
        self._link = link
        self._keepsakes = keepsakes
        self.is_ready = False

    async def becomes_ready(self) -> bool:
        """Whether it serves; False if it has ended instead."""
        self.is_ready = await self._says() == _READY
        return self.is_ready

    async def says_it_stops(self) -> bool:
        """Waits for that, or for the end of one that has not said so."""
        return await self._says() == _STOPPING

    async def _says(self) -> bytes:
        """Its next word; none if it has ended. What it wants to be kept is kept meanwhile."""
        while True:
            await anyio.wait_readable(self._link)
            try:
                word, descriptors, _, _ = socket.recv_fds(self._link, 1, 1)
            except ConnectionResetError:
                return b""
            if word != _KEEP:
                return word
            for each in descriptors:
                self._keepsakes.replace(each)

    async def ended(self) -> int:
        """Its exit code, or minus the signal that killed it."""
        code = await self.process.wait()
        self._link.close()
        return code

    def signal(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            self.process.send_signal(number)


class Parent:
    """Runs `workers` processes until it is told to stop."""

    def __init__(
        self,
        sockets: WorkerSockets,
        *,
        workers: int,
        command: Callable[[Places], Sequence[str]],
        inherited: Sequence[int],
        keepsakes: Keepsakes,
        buried: Callable[[int], None],
        restarted: Callable[[], None],
        supervisor: Supervisor,
    ) -> None:
        """`command` starts a worker, which inherits the file descriptors `inherited` as well.

        `buried` is told of a worker that has ended, `restarted` that another one is started for it.
        `supervisor` is the one of this process.
        """
        self._sockets = sockets
        self._command = command
        self._inherited = tuple(inherited)
        self._keepsakes = keepsakes
        self._buried = buried
        self._restarted = restarted
        self._supervisor = supervisor
        self._workers: list[_Worker | None] = [None] * workers
        self._awaited = set(range(workers))  # those that have never served yet
        self._first = anyio.Event()  # the first worker serves, or nothing comes of it
        self._stopping = anyio.Event()
        self._code = 0
        self._terminal = Terminal()

    async def run(self, ready: Callable[[], None]) -> int:
        """The exit code of this process. `ready` is called once, when all serve.

        The first worker is alone until it serves, so that what keeps them from starting is told once, by it. SIGTERM
        and SIGINT are passed on, and so is a second one; SIGHUP to those that serve, unless it says that the terminal
        has gone: then all stop.
        """
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with self._supervisor.told_of_life(), anyio.create_task_group() as listening:
                listening.start_soon(self._pass_on, signals)
                async with anyio.create_task_group() as keeping:
                    keeping.start_soon(self._keep, 0, ready)
                    await self._first.wait()
                    for index in range(1, len(self._workers)):
                        keeping.start_soon(self._keep, index, ready)
                listening.cancel_scope.cancel()
        return self._code

    async def _pass_on(self, signals: AsyncIterable[signal.Signals]) -> None:
        async for number in signals:
            if number == signal.SIGHUP and not self._terminal.has_gone:
                self._have_read()
            else:
                self._stop(signal.SIGTERM if number == signal.SIGHUP else number)

    def _have_read(self) -> None:
        """Whoever serves reads the configuration; the supervisor, which waits for it (Type=notify-reload), is told."""
        is_told = not self._awaited  # else it would hear of a reload before it hears of the start
        if is_told:
            self._supervisor.reloading(monotonic_s=time.monotonic())
        for worker in self._workers:
            if worker is not None and worker.is_ready:
                worker.signal(signal.SIGHUP)
        if is_told:
            self._supervisor.ready()

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        self._supervisor.stopping()
        self._first.set()
        self._sockets.close()
        for worker in self._workers:
            if worker is not None:
                worker.signal(number)

    async def _keep(self, index: int, ready: Callable[[], None]) -> None:
        """One worker after the other, until the stop."""
        pause_s = 0.0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                worker = await self._started(index)
            except (OSError, PortTaken) as error:  # no memory, no program any more while it is updated
                if index in self._awaited:
                    raise
                pause_s = max(pause_s, _FIRST_PAUSE_S)
                next_s = self._pause_s(pause_s)
                log.error("worker %d cannot be started: %s; tried again in %g s", index + 1, error, next_s)
            else:
                code = await self._lived(worker, index, ready)
                if self._stopping.is_set():
                    self._note(worker, code)
                    return
                if index in self._awaited:
                    self._code = code if code > 0 else 1
                    self._stop(signal.SIGTERM)
                    return
                if worker.is_ready and time.monotonic() - began_s >= _LIVES_S:
                    pause_s = 0.0
                log.error(
                    "worker %d (process %d) %s; another one is started %s",
                    index + 1,
                    worker.process.pid,
                    _how(code),
                    f"in {self._pause_s(pause_s):g} s" if pause_s else "now",
                )
            if pause_s:
                self._sockets.give_up(index)
                with anyio.move_on_after(self._pause_s(pause_s)):
                    await self._stopping.wait()
            pause_s = min(max(_FIRST_PAUSE_S, 2 * pause_s), _LONGEST_PAUSE_S)

    def _pause_s(self, pause_s: float) -> float:
        """The pause is for those that serve to do so in peace: where nobody does, there is no sense in waiting."""
        serves = any(worker is not None and worker.is_ready for worker in self._workers)
        return pause_s if serves else min(pause_s, _FIRST_PAUSE_S)

    async def _lived(self, worker: _Worker, index: int, ready: Callable[[], None]) -> int:
        """Its exit code, once it has ended."""
        self._workers[index] = worker
        if self._stopping.is_set():
            worker.signal(signal.SIGTERM)  # it was not there yet when the others were told
        if await worker.becomes_ready():
            self._count_ready(index, ready)
            if await worker.says_it_stops():
                self._sockets.give_up(index)  # it has its own until it accepts no more; then the others get all
        code = await worker.ended()
        self._workers[index] = None
        self._buried(index)
        return code

    async def _started(self, index: int) -> _Worker:
        """Raises OSError, or PortTaken."""
        with ExitStack() as unless_started:
            ours, theirs = socket.socketpair()
            unless_started.callback(ours.close)
            ours.setblocking(False)
            with theirs:
                places = Places(
                    index,
                    self._sockets.data(index).fileno(),
                    self._sockets.admin.fileno(),
                    theirs.fileno(),
                    self._keepsakes.first,
                    self._keepsakes.last,
                )
                process = await anyio.open_process(
                    self._command(places),
                    stdin=subprocess.DEVNULL,
                    stdout=None,
                    stderr=None,
                    start_new_session=True,  # ^C at a terminal is for the parent, which passes it on: once, not twice
                    pass_fds=(places.data, places.admin, places.link, places.first, places.last, *self._inherited),
                )
            unless_started.pop_all()
        if index not in self._awaited:
            self._restarted()
        return _Worker(process, ours, self._keepsakes)

    def _count_ready(self, index: int, ready: Callable[[], None]) -> None:
        if index in self._awaited:
            self._awaited.discard(index)
            self._first.set()
            if not self._awaited:
                ready()
                self._supervisor.ready()

    def _note(self, worker: _Worker, code: int) -> None:
        """A stop in order is exit code 0 of every worker; one that did not serve yet is killed by the signal."""
        if code == 0 or not worker.is_ready:
            return
        log.error("worker (process %d) %s while it was being stopped", worker.process.pid, _how(code))
        self._code = self._code or 1


class Link:
    """A worker's end."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)

    def ready(self) -> None:
        """Tell the parent that this worker serves."""
        self._say(_READY)

    def stopping(self) -> None:
        """Tell the parent that this worker will soon accept nothing any more."""
        self._say(_STOPPING)

    def keep(self, content: bytes) -> None:
        """Leave that to those who are started once this worker, or another one, has ended."""
        try:
            descriptor = memory_with(content)
        except OSError as error:  # no file or no memory is left: this worker serves all the same
            log.warning("what is in force could not be left to the workers that follow: %s", error.strerror)
            return
        self._say(_KEEP, descriptor)
        os.close(descriptor)

    def _say(self, word: bytes, *descriptors: int) -> None:
        with suppress(OSError):  # it is gone, which is heard below
            socket.send_fds(self._socket, [word], descriptors)

    async def stop_with_parent(self) -> None:
        """Once the parent is gone, by SIGKILL or a mistake of its own, stop as at SIGTERM: nobody else would do it."""
        await anyio.wait_readable(self._socket)
        log.error("the parent process is gone: stopping")
        signal.raise_signal(signal.SIGTERM)


def inherited(descriptor: int) -> socket.socket:
    """A listening socket that the parent has opened."""
    return socket.socket(fileno=descriptor)


def _how(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"has ended with exit code {code}"


def memory_with(content: bytes) -> int:
    """A file descriptor of a file in memory."""
    descriptor = os.memfd_create("penstock-kept")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return descriptor


def content_of(descriptor: int) -> bytes:
    """The content of such a file, whoever else reads it."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
