"""`penstock serve --workers N`: the parent of several processes, and each of them."""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio

from router.assembly.house import Post, assemble
from router.cli.configuration import directory, loaded
from router.config.settings import environment
from router.config.snapshot import Listen, Snapshot
from router.config.watching import fingerprint
from router.errors import PenstockError
from router.gateway.reload import Source
from router.server.interpreter import prepare_to_serve
from router.server.listen import serve_until_stopped, serving
from router.server.supervision import supervisor_of
from router.server.workers import Link, Parent, Places, WorkerSockets, inherited
from router.telemetry.logs import write_logs
from router.telemetry.shared import WorkersFigures

MOST_WORKERS = 128  # a machine's cores
PLACES = ("index", "data", "admin", "link", "figures")  # what `--as-worker` says: its number, and file descriptors


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
    data: Listen, admin: Listen, *, workers: int, announce: Callable[[socket.socket, socket.socket], None]
) -> int:
    """Serve by that many processes until told to stop; the exit code. Raises PortTaken.

    `announce` is given the sockets of the data port and the admin port, once all serve.
    """
    figures = WorkersFigures(workers)
    sockets = WorkerSockets((data.host, data.port), (admin.host, admin.port), workers=workers)

    def command(places: Places) -> list[str]:
        """As this process was started, which reads the configuration, and the worker's place."""
        given = (places.index, places.data, places.admin, places.link, figures.fd)
        return [sys.executable, *sys.orig_argv[1:], "--as-worker", *map(str, given)]

    parent = Parent(
        sockets,
        workers=workers,
        command=command,
        inherited=(figures.fd,),
        buried=figures.bury,
        restarted=figures.restarted,
        supervisor=supervisor_of(environment(), process_id=os.getpid()),
    )
    return anyio.run(parent.run, lambda: announce(sockets.data(0), sockets.admin))


def work(config: Path | None, places: dict[str, int]) -> None:
    """Serve as one of several."""
    post = Post(places["figures"], places["index"])
    listeners = inherited(places["data"]), inherited(places["admin"])
    source = Source(directory(config), fingerprint(directory(config)), partial(loaded, config))
    anyio.run(_serve, source, listeners, Link(places["link"]), post, backend_options={"use_uvloop": True})


async def _serve(source: Source, listeners: tuple[socket.socket, socket.socket], link: Link, post: Post) -> None:
    data, admin = listeners
    snapshot = source.read()
    logs = snapshot.settings.logs
    write_logs(sys.stderr, level=logs.level, format=logs.format, worker=post.index + 1)
    house = assemble(snapshot, source=source, post=post)

    def begin() -> None:
        house.stop.begin()
        link.stopping()

    async with serving(house.admin, admin), anyio.create_task_group() as tasks:
        tasks.start_soon(link.stop_with_parent)
        prepare_to_serve()
        stop = replace(house.stop, serves=link.ready, begin=begin)
        await serve_until_stopped(house.data, data, stop, snapshot.settings.streams.unread_s, hung_up=house.hung_up)
        tasks.cancel_scope.cancel()
