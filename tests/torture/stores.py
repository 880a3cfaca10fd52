"""Redis and PostgreSQL servers of our own, on ports of their own, which can be frozen, killed and emptied."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

_START_S = 30.0
# Below the range from which the kernel takes ports for outgoing connections: what is killed wants its port again.
_PORTS = range(20_000, 32_000)


class CannotRun(Exception):
    """Something this machine lacks; the message says what."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on, and that no outgoing connection will be given."""
    start = int.from_bytes(os.urandom(4), "big")
    for step in range(len(_PORTS)):
        port = _PORTS[(start + step) % len(_PORTS)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise CannotRun("no free port")


def wait_for_port(port: int, *, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Return once somebody listens there."""
    deadline_s = time.monotonic() + _START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline_s or (process is not None and process.poll() is not None):
                raise CannotRun(f"nothing came to listen on port {port}") from None
            time.sleep(0.01)
        else:
            return


class RedisServer:
    """A Redis that writes its data down only when it is told to."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        """`environment` is added to our own."""
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = directory
        self._environment = {**os.environ, **environment}  # noqa: TID251 - a child inherits our surroundings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin with what was last saved, or with nothing."""
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            raise CannotRun("redis-server is not installed (Debian: apt-get install redis-server)")
        self._directory.mkdir(parents=True, exist_ok=True)
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with (self._directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *options], cwd=self._directory, env=self._environment, stdout=log, stderr=log
            )
        wait_for_port(self.port, process=self._process)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Forget everything, as after a restart without a snapshot."""
        self._command(b"FLUSHALL")

    def save(self) -> None:
        """Write a snapshot, which the next start will read."""
        self._command(b"SAVE")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _command(self, command: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(command + b"\r\n")
            answer = connection.recv(64)
        if not answer.startswith(b"+OK"):
            raise CannotRun(f"Redis answers {answer!r} to {command!r}")

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class PostgresServer:
    """A PostgreSQL with one database."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
        self._directory = Path(tempfile.mkdtemp(prefix="penstock-pg-"))  # apart: its owner is another user

    def start(self) -> None:
        """Begin, and the first time make the database."""
        data = self._directory / "data"
        if not data.exists():
            shutil.chown(self._directory, "postgres")
            self._run("initdb", "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync")
        options = f"-p {self.port} -k {self._directory} -c listen_addresses=127.0.0.1 -c max_connections=100"
        log = str(self._directory / "log")
        self._run("pg_ctl", "-D", str(data), "-l", log, "-w", "-t", str(int(_START_S)), "-o", options, "start")
        psycopg.connect(self.url).close()

    def stop(self) -> None:
        """End at once, as if the power had failed."""
        self._run("pg_ctl", "-D", str(self._directory / "data"), "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        if self._programs is None:
            raise CannotRun("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        # PostgreSQL refuses to run as root.
        who = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        subprocess.run(
            [*who, str(self._programs / program), *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            timeout=2 * _START_S,
        )


class SharedStores:
    """Both servers."""

    def __init__(self, redis: RedisServer, postgres: PostgresServer) -> None:
        self.redis = redis
        self.postgres = postgres


@contextmanager
def running_stores(directory: Path, redis_environment: Mapping[str, str]) -> Iterator[SharedStores]:
    redis, postgres = RedisServer(directory / "redis", redis_environment), PostgresServer()
    try:
        redis.start()
        postgres.start()
        yield SharedStores(redis, postgres)
    finally:
        redis.kill()
        with suppress(subprocess.SubprocessError, CannotRun):  # it may be stopped already
            postgres.stop()
        postgres.remove()
