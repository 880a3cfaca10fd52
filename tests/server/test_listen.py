"""Sockets: the admin port in the file system, and how connections are accepted."""

import asyncio
import http.client
import os
import socket
import stat
from contextlib import ExitStack, closing
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from router.server.accepting import Acceptor
from router.server.listen import (
    ADMIN_CONNECTIONS,
    MOST_CONNECTIONS,
    PortTaken,
    bound,
    bound_file,
    is_answering,
    most_connections,
    serving,
)
from tests.server.doors import answering

pytestmark = pytest.mark.anyio


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(self._path))


def asked(path: Path) -> bytes:
    connection = _Connection(path)
    connection.request("GET", "/metrics")
    body = connection.getresponse().read()
    connection.close()
    return body


@pytest.mark.parametrize("use_uvloop", [False, True])
def test_an_application_is_served_at_a_file_that_its_owner_alone_may_open(tmp_path: Path, use_uvloop: bool) -> None:
    path = tmp_path / "run" / "admin.sock"

    async def served() -> tuple[bytes, int]:
        with bound_file(path) as listener:
            async with serving(answering("metrics"), listener):
                body = await anyio.to_thread.run_sync(asked, path)
            return body, stat.S_IMODE(path.stat().st_mode)

    body, mode = anyio.run(served, backend_options={"use_uvloop": use_uvloop})

    assert body == b'{"reached":"metrics"}'
    assert mode == 0o600
    assert not path.exists()
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_process_has_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
        left.bind(str(path))
    assert not is_answering(path)

    with bound_file(path):
        assert is_answering(path)


def test_where_somebody_listens_nobody_else_does_and_nothing_of_his_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    with bound_file(path):
        with pytest.raises(PortTaken, match="Address already in use"), bound_file(path):
            pass
        assert is_answering(path)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_text("mine")

    with pytest.raises(PortTaken, match="no socket"), bound_file(path):
        pass

    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["admin.sock"]


def test_the_socket_of_who_came_later_is_not_taken_away_by_who_goes(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"

    with bound_file(path):
        path.unlink()
        later = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        later.bind(str(path))

    assert path.is_socket()
    later.close()


@pytest.mark.parametrize(
    ("files", "most", "of_admin"), [(1024, 506, 32), (1 << 20, 49_500, 3_125), (-1, 49_500, 3_125)]
)
def test_both_ports_leave_files_for_providers_and_many_files_do_not_make_many_connections(
    files: int, most: int, of_admin: int
) -> None:
    assert most_connections(files, MOST_CONNECTIONS) == most
    assert most_connections(files, ADMIN_CONNECTIONS) == of_admin


@pytest.mark.parametrize("use_uvloop", [False, True])
@pytest.mark.parametrize("is_file", [False, True])
def test_all_who_wait_are_accepted_though_the_loop_turns_seldom(
    tmp_path: Path, use_uvloop: bool, is_file: bool
) -> None:
    """uvloop by itself accepts one in each turn, and those who waited were accepted after seconds."""

    path = tmp_path / "admin.sock"

    async def turns(listener: socket.socket) -> int:
        family = socket.AF_UNIX if is_file else socket.AF_INET
        with ExitStack() as clients:
            waiting = [clients.enter_context(socket.socket(family, socket.SOCK_STREAM)) for _ in range(300)]
            for client in waiting:
                client.connect(str(path) if is_file else listener.getsockname())
                client.sendall(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n")
                client.setblocking(False)
            async with serving(answering("tea"), listener):
                turn = 0
                while not all(has_come(client) for client in waiting):
                    await anyio.lowlevel.checkpoint()
                    turn += 1
                    assert turn < 10_000
                return turn

    def has_come(client: socket.socket) -> bool:
        try:
            return client.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return False

    with bound_file(path) if is_file else closing(bound("127.0.0.1", 0)) as listener:
        taken = anyio.run(turns, listener, backend_options={"use_uvloop": use_uvloop})

    assert taken < 100


def test_where_there_is_little_room_few_are_accepted_in_a_turn() -> None:
    """Each is an open file before anybody counts it: the files of providers and stores were used up."""

    class Entering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.close()

    async def accepted(listener: socket.socket) -> int:
        entering: list[Entering] = []

        def protocol() -> Entering:
            entering.append(Entering())
            return entering[-1]

        Acceptor(listener, most=20).one_came(protocol, entering)
        for _ in range(4):
            await anyio.lowlevel.checkpoint()
        count = len(entering)
        while len(entering) < 200:
            await anyio.lowlevel.checkpoint()
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=1)
        return count

    with closing(bound("127.0.0.1", 0)) as listener, ExitStack() as clients:
        listener.setblocking(False)
        for _ in range(200):
            clients.enter_context(socket.create_connection(listener.getsockname()))
        count = anyio.run(accepted, listener, backend_options={"use_uvloop": True})

    assert 20 <= count <= 20 + 4 * 16


def test_a_worker_that_begins_does_not_have_the_others_block() -> None:
    """They accept at the same file: one of them once stood still for as long as nobody connected."""

    async def begin_and_end(of_another: socket.socket) -> None:
        async with serving(answering("tea"), of_another):
            pass

    with bound("127.0.0.1", 0) as listener:
        listener.setblocking(False)
        with socket.socket(fileno=os.dup(listener.fileno())) as of_another:  # whose object does not know of it
            anyio.run(begin_and_end, of_another, backend_options={"use_uvloop": True})

            assert os.get_blocking(listener.fileno()) is False
