"""What the parent of several processes does when one of them cannot be started again; its children are real ones."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from router.server.listen import bound
from router.server.supervision import Supervisor
from router.server.workers import Keepsakes, Parent, Places, WorkerSockets, content_of
from tests.waiting import eventually

pytestmark = pytest.mark.anyio

# Says that it serves, leaves what it was given last with its number, and sleeps until it is told to stop.
_CHILD = """
import os, signal, sys
from router.server.workers import Link, content_of
link = Link(int(sys.argv[1]))
link.keep(content_of(int(sys.argv[2])) + sys.argv[3].encode())
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGHUP, lambda *_: None)
link.ready()
while True:
    signal.pause()
"""


class Service:
    """A parent of two, and what it was asked for."""

    def __init__(self, supervisor: Supervisor | None = None) -> None:
        self.sockets = WorkerSockets(("127.0.0.1", 0), bound("127.0.0.1", 0), workers=2)
        self.keepsakes = Keepsakes(b"-")
        self.starts: list[int] = []  # by number of the worker
        self.failing: set[int] = set()  # which starts cannot be carried out
        self.restarts = 0
        self.serves = anyio.Event()
        self.served_again = anyio.Event()
        self.parent = Parent(
            self.sockets,
            workers=2,
            command=self._command,
            inherited=(),
            keepsakes=self.keepsakes,
            buried=lambda _: None,
            restarted=self._restarted,
            supervisor=supervisor or Supervisor(None),
        )

    def _command(self, places: Places) -> Sequence[str]:
        number = len(self.starts)
        self.starts.append(places.index)
        if number in self.failing:
            return ["/nowhere/penstock"]
        return [sys.executable, "-c", _CHILD, str(places.link), str(places.last), str(places.index)]

    def _restarted(self) -> None:
        self.restarts += 1
        self.served_again.set()

    def kill(self, index: int) -> None:
        worker = self.parent._workers[index]
        assert worker is not None
        worker.signal(signal.SIGKILL)

    async def run(self) -> int:
        return await self.parent.run(self.serves.set)


async def test_a_worker_that_cannot_be_started_again_is_tried_again_and_the_other_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = Service()
    service.failing = {2, 3}
    codes: list[int] = []
    with caplog.at_level(logging.ERROR), anyio.fail_after(60), closing(service.sockets):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_into, service, codes)
            await service.serves.wait()
            service.kill(0)
            await service.served_again.wait()
            os.kill(os.getpid(), signal.SIGTERM)

    assert (codes, service.starts, service.restarts) == ([0], [0, 1, 0, 0, 0], 1)
    assert caplog.messages[1:] == [
        "worker 1 cannot be started: [Errno 2] No such file or directory: '/nowhere/penstock'; tried again in 1 s",
        "worker 1 cannot be started: [Errno 2] No such file or directory: '/nowhere/penstock'; tried again in 2 s",
    ]


async def test_where_nobody_serves_another_worker_is_started_within_a_second() -> None:
    service = Service()
    service.failing = set(range(2, 8))  # three for each, which would take them 1, 2 and 4 seconds
    codes: list[int] = []
    with closing(service.sockets):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_into, service, codes)
            await service.serves.wait()
            service.kill(0)
            service.kill(1)
            with anyio.fail_after(6):
                await service.served_again.wait()
            os.kill(os.getpid(), signal.SIGTERM)

    assert codes == [0]


async def test_what_workers_leave_is_handed_to_those_who_follow_and_the_first_stays() -> None:
    service = Service()
    codes: list[int] = []
    with anyio.fail_after(60), closing(service.sockets):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_into, service, codes)
            await service.serves.wait()
            before = content_of(service.keepsakes.last)
            service.kill(1)
            await service.served_again.wait()
            await anyio.to_thread.run_sync(
                lambda: eventually(lambda: content_of(service.keepsakes.last) != before, within_s=20)
            )
            os.kill(os.getpid(), signal.SIGTERM)

    assert before == b"-01"
    assert content_of(service.keepsakes.last) == b"-011"
    assert content_of(service.keepsakes.first) == b"-"


async def test_systemd_hears_of_a_reload_so_that_systemctl_does_not_wait_for_it_in_vain(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        ear.settimeout(20)
        service = Service(Supervisor(address))
        codes: list[int] = []
        with anyio.fail_after(60), closing(service.sockets):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_into, service, codes)
                await service.serves.wait()
                os.kill(os.getpid(), signal.SIGHUP)
                heard = [(await anyio.to_thread.run_sync(ear.recv, 4096)).split(b"\n")[0] for _ in range(3)]
                os.kill(os.getpid(), signal.SIGTERM)

        assert (codes, heard) == ([0], [b"READY=1", b"RELOADING=1", b"READY=1"])


async def _into(service: Service, codes: list[int]) -> None:
    codes.append(await service.run())
