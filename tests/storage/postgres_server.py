"""A PostgreSQL server of the tests' own: new data, a Unix socket only, gone afterwards."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import psycopg

_DEBIAN = Path("/usr/lib/postgresql")  # where Debian keeps the programs, by version, off the path


def programs() -> Path | None:
    """The directory of the newest installed server's programs, or None."""
    found = [path.parent for path in _DEBIAN.glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parent.name))
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


class PostgresServer:
    """A server that can be stopped, killed and frozen."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self._directory = directory
        self._programs = programs
        self._schemas = count(1)

    def create(self) -> None:
        options = ("--no-sync", "--auth=trust", "--username=penstock", "--encoding=UTF8", "--locale=C.UTF-8")
        self._run("initdb", "-D", str(self._data), *options)

    def start(self) -> None:
        # Without fsync, because nothing here outlives the machine.
        options = f"-k {self._directory} -c listen_addresses= -c fsync=off -c max_connections=50"
        self._run("pg_ctl", "start", "-w", "-D", str(self._data), "-l", str(self._directory / "log"), "-o", options)

    def stop(self) -> None:
        """Every session is ended and told so."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._data))

    def kill(self) -> None:
        """No session is told anything. The next start recovers."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._data))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections stay open and nobody answers."""
        processes = [self._process, *_children(self._process)]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def cpu_s(self) -> float:
        """What the server has used, its sessions that have ended included."""
        ticks = 0
        for process in (self._process, *_children(self._process)):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            own, of_children = slice(11, 13), slice(13, 15)
            ticks += sum(map(int, fields[own]))
            if process == self._process:
                ticks += sum(map(int, fields[of_children]))
        return ticks / os.sysconf("SC_CLK_TCK")

    @property
    def is_running(self) -> bool:
        return (self._data / "postmaster.pid").exists()

    def conninfo(self, schema: str = "public") -> str:
        options = quote(f"-c search_path={schema}")
        return f"postgresql://penstock@/postgres?host={quote(str(self._directory), safe='')}&options={options}"

    @contextmanager
    def new_schema(self) -> Iterator[str]:
        """The address of a place without any tables; much cheaper than a database of its own."""
        schema = f"test_{next(self._schemas)}"
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}".encode())
        yield self.conninfo(schema)
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    @property
    def _process(self) -> int:
        return int((self._data / "postmaster.pid").read_text().partition("\n")[0])

    def _run(self, program: str, *arguments: str) -> None:
        # The server refuses to run as root.
        as_user = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
        command = (*as_user, str(self._programs / program), *arguments)
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def running_server(programs: Path) -> Iterator[PostgresServer]:
    """A new server, stopped at the end. Its directory has a short name: that of a socket takes 107 bytes at most."""
    with TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        directory = Path(name)
        if os.geteuid() == 0:
            shutil.chown(directory, "postgres", "postgres")
        server = PostgresServer(directory, programs)
        server.create()
        server.start()
        try:
            yield server
        finally:
            if server.is_running:
                server.kill()


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
