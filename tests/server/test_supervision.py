"""What systemd is told, on a real datagram socket in its place."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio.to_thread
import pytest

from router.server.supervision import Supervisor, supervisor_of

pytestmark = pytest.mark.anyio

_PATIENCE_S = 20
_MOST_SIGNS = 200  # ten a second where this is waited for


class Ear:
    """The socket that systemd listens on."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(_PATIENCE_S)

    def next(self) -> dict[str, str]:
        lines = self._socket.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def until(self, key: str) -> dict[str, str]:
        """The next that says `key`, whatever life signs come before."""
        for _ in range(_MOST_SIGNS):
            heard = self.next()
            if key in heard:
                return heard
            assert set(heard) == {"WATCHDOG"}, heard
        raise AssertionError(f"{key} was never told")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def address(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def ear(address: str) -> Iterator[Ear]:
    with closing(Ear(address)) as ear:
        yield ear


def test_the_supervisor_hears_of_start_reload_and_stop(ear: Ear, address: str) -> None:
    supervisor = Supervisor(address)

    supervisor.ready()
    supervisor.reloading(monotonic_s=12.5)
    supervisor.stopping()

    assert ear.next()["READY"] == "1"
    heard = ear.next()
    assert (heard["RELOADING"], heard["MONOTONIC_USEC"]) == ("1", "12500000")
    assert ear.next()["STOPPING"] == "1"


def test_an_abstract_socket_is_written_with_an_at_sign() -> None:
    name = f"@penstock-test-{os.getpid()}"

    with closing(Ear(name)) as ear:
        Supervisor(name).ready()
        assert ear.next()["READY"] == "1"


async def test_the_watchdog_hears_of_life_again_and_again(ear: Ear, address: str) -> None:
    async with Supervisor(address, watchdog_s=0.01).told_of_life():
        heard = [await anyio.to_thread.run_sync(ear.next) for _ in range(3)]

    assert heard == [{"WATCHDOG": "1"}] * 3


async def test_a_supervisor_that_is_gone_is_no_error(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Supervisor(address).ready()
        Supervisor(None).ready()

    (said,) = [record.getMessage() for record in caplog.records]
    assert "could not be told READY=1" in said


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "30000000"}, 30.0),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),  # a child of it
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "@n"}, None),
        ({"WATCHDOG_USEC": "30000000"}, None),
        ({}, None),
    ],
)
def test_a_watchdog_is_for_the_process_it_names(environment: dict[str, str], watchdog_s: float | None) -> None:
    assert supervisor_of(environment, process_id=7).watchdog_s == watchdog_s
