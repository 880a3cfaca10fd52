"""`penstock serve --workers N`: the parent of several processes, and each of them."""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import anyio
import msgspec

from router.assembly.clock import utc_now
from router.assembly.house import Post, assemble
from router.cli.configuration import loaded
from router.config.files import ON_DISK, Kept, Recorded
from router.config.restart import held_back
from router.config.settings import environment
from router.config.snapshot import Listen, Snapshot
from router.config.watching import fingerprint
from router.errors import ConfigError, PenstockError
from router.gateway.reload import Inherited, Source
from router.server.interpreter import prepare_to_serve
from router.server.listen import ADMIN_CONNECTIONS, serve_until_stopped, serving
from router.server.supervision import supervisor_of
from router.server.workers import Keepsakes, Link, Parent, Places, WorkerSockets, content_of, inherited
from router.telemetry.logs import write_logs
from router.telemetry.shared import WorkersFigures
from router.telemetry.uncaught import log_the_uncaught

MOST_WORKERS = 128  # a machine's cores
# What `--as-worker` says: its number, and file descriptors.
PLACES = ("index", "data", "admin", "link", "first", "last", "figures")


class WorkersNeedRedis(PenstockError):
    """Several processes were asked for, and what they would have to share is in the memory of one."""

    code = "workers_need_redis"


def refuse_alone(snapshot: Snapshot, workers: int, *, is_demo: bool) -> None:
    """Raises WorkersNeedRedis where only one process can serve."""
    if is_demo:
        raise WorkersNeedRedis(f"--demo is served by one process: leave --workers {workers} out.")
    if snapshot.settings.redis is None:
        raise WorkersNeedRedis(
            f"--workers {workers} needs Redis and PostgreSQL: without them budgets are counted in the memory of one "
            "process, and each of several would spend the whole of them. Configure redis and postgres in "
            "penstock.yaml (docs/money.md), or leave --workers out."
        )


def supervise(
    data: Listen,
    admin: socket.socket,
    *,
    config: Path,
    record: bytes,
    workers: int,
    announce: Callable[[socket.socket, socket.socket], None],
) -> int:
    """Serve by that many processes until told to stop; the exit code. Raises PortTaken.

    `admin` is the admin port's socket.
    `record` is of the files of the configuration in the directory `config` as they were when they were read for this.
    `announce` is given the sockets of the data port and the admin port, once all serve.
    """
    figures = WorkersFigures(workers)
    sockets = WorkerSockets((data.host, data.port), admin, workers=workers)

    def command(places: Places) -> list[str]:
        """As this process was started, for the same directory, and the worker's place."""
        given = (places.index, places.data, places.admin, places.link, places.first, places.last, figures.fd)
        return [sys.executable, *sys.orig_argv[1:], "--config", str(config), "--as-worker", *map(str, given)]

    parent = Parent(
        sockets,
        workers=workers,
        command=command,
        inherited=(figures.fd,),
        keepsakes=Keepsakes(_kept(record)),
        buried=figures.bury,
        restarted=figures.restarted,
        supervisor=supervisor_of(environment(), process_id=os.getpid()),
    )
    return anyio.run(parent.run, lambda: announce(sockets.data(0), sockets.admin))


class _Begun(msgspec.Struct, frozen=True):
    """A configuration in force, as workers leave it to those who follow them."""

    at: datetime
    record: bytes  # of its files


def _kept(record: bytes) -> bytes:
    return msgspec.msgpack.encode(_Begun(utc_now(), record))


class _Files:
    """A configuration's files: read, and kept by the parent once they are in force.

    All workers have the settings of the parent's start that wait for the next start of the service, above all its
    stores: two workers with two Redis would spend every budget twice. One that finds files it cannot serve, in the
    place of another, begins with what was in force last, as those beside it still have it.
    """

    def __init__(self, config: Path, *, first: bytes, last: bytes, keep: Callable[[bytes], None]) -> None:
        self._config = config
        self._first, self._last = (msgspec.msgpack.decode(each, type=_Begun) for each in (first, last))
        self._keep = keep
        self._record = b""  # of what was read last

    def read(self) -> Snapshot:
        """Raises ConfigError."""
        files = Recorded(ON_DISK)
        snapshot = loaded(self._config, files=files)
        self._record = files.record
        return snapshot

    def begin(self) -> tuple[Snapshot, Inherited]:
        """What to begin with. Raises ConfigError where nothing that was kept can be read by this version."""
        since, failed = utc_now(), None
        try:
            read = self.read()
        except ConfigError as error:
            since, failed = self._last.at, error
            read = loaded(self._config, files=Kept(self._last.record))
        if failed is None and self._record == self._first.record:
            return read, Inherited(since)
        started = loaded(self._config, files=Kept(self._first.record))
        settings, waiting = held_back(started.settings, read.settings)
        return replace(read, settings=settings), Inherited(since, waiting, failed)

    def taken(self) -> None:
        """What was read last is in force."""
        self._keep(_kept(self._record))


def work(config: Path, places: dict[str, int]) -> None:
    """Serve as one of several."""
    post = Post(places["figures"], places["index"])
    listeners = inherited(places["data"]), inherited(places["admin"])
    link = Link(places["link"])
    files = _Files(config, first=content_of(places["first"]), last=content_of(places["last"]), keep=link.keep)
    anyio.run(_serve, config, files, listeners, link, post, backend_options={"use_uvloop": True})


async def _serve(
    config: Path, files: _Files, listeners: tuple[socket.socket, socket.socket], link: Link, post: Post
) -> None:
    data, admin = listeners
    seen = fingerprint(config)
    snapshot, begins = files.begin()
    source = Source(config, seen, files.read, begins, files.taken)
    logs = snapshot.settings.logs
    write_logs(sys.stderr, level=logs.level, format=logs.format, worker=post.index + 1)
    log_the_uncaught()
    house = assemble(snapshot, source=source, post=post)
    if begins.failed is None:
        files.taken()

    def begin() -> None:
        house.stop.begin()
        link.stopping()

    async with (
        serving(house.admin, admin, refused=house.connection_refused, share=ADMIN_CONNECTIONS),
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(link.stop_with_parent)
        prepare_to_serve()
        stop = replace(house.stop, serves=link.ready, begin=begin)
        await serve_until_stopped(
            house.data,
            data,
            stop,
            snapshot.settings.streams.unread_s,
            hung_up=house.hung_up,
            refused=house.connection_refused,
            door=house.door,
        )
        tasks.cancel_scope.cancel()
