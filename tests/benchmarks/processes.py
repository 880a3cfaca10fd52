"""Child processes under measurement: started on a chosen core, their CPU time and memory read, ended for sure."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_TIMEOUT_S = 10.0
_LOG_TAIL_CHARACTERS = 2000


class BenchmarkError(Exception):
    """Something the benchmark needs did not work; the message says what and shows the process's last output."""


class ChildProcess:
    """A running program and everything it starts; leaving the context ends them."""

    def __init__(
        self, argv: Sequence[str], *, log_path: Path, core: int | None, env: Mapping[str, str] | None = None
    ) -> None:
        self._log_path = log_path
        self.started_s = time.perf_counter()
        with log_path.open("wb") as log:
            self._process = _start_on_core(argv, core, env=env, log_fd=log.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)  # its own group: see start_new_session below
            self._process.wait()

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system, all threads, children included.

        Reads the kernel's process clock: the same quantity as utime + stime of /proc/PID/stat, in nanoseconds rather
        than ticks of 10 ms. The clock's id is derived from the process id as clock_getcpuclockid(3) does.
        """
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._process_ids())

    def cpu_by_thread_s(self) -> dict[int, float]:
        """CPU seconds used so far by each thread that still runs, by the kernel's thread id; without children."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9 for task in tasks}

    def rss_bytes(self) -> int:
        """Resident memory of the process and its children; pages they share count once for each."""
        page_bytes = os.sysconf("SC_PAGE_SIZE")
        return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page_bytes for pid in self._process_ids())

    @property
    def pid(self) -> int:
        return self._process.pid

    def check_alive(self) -> None:
        """Raises BenchmarkError when the process has ended."""
        if self._process.poll() is not None:
            raise BenchmarkError(f"{self._process.args!r} ended with {self._process.returncode}:\n{self.log_tail()}")

    def wait_for_success(self, timeout_s: float) -> None:
        """Waits for the process to end by itself with exit code 0; raises BenchmarkError otherwise."""
        try:
            exit_code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(f"{self._process.args!r} still runs after {timeout_s} s") from error
        if exit_code:
            self.check_alive()

    def log_tail(self) -> str:
        """The last of what the process wrote."""
        return self._log_path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]

    def announced_port(self, timeout_s: float) -> int:
        """The port from the line `listening on PORT`, waited for."""
        return self.announced_number("listening on", timeout_s)

    def announced_number(self, words: str, timeout_s: float) -> int:
        """The number from a first line of these words and a number, waited for."""
        deadline_s = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline_s:
            self.check_alive()
            first_line, line_end, _ = self._log_path.read_text().partition("\n")
            if line_end and first_line.startswith(words + " "):
                return int(first_line.rsplit(" ", 1)[1])
            time.sleep(0.005)
        raise BenchmarkError(f"{self._process.args!r} does not say {words!r} within {timeout_s} s:\n{self.log_tail()}")

    def _process_ids(self) -> list[int]:
        found = [self._process.pid]
        for pid in found:  # grows while walked: children of children
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found.extend(int(child) for child in children.read_text().split())
        return found


def _start_on_core(
    argv: Sequence[str], core: int | None, *, env: Mapping[str, str] | None, log_fd: int
) -> subprocess.Popen[bytes]:
    """Starts the program while this process borrows its affinity, so that no thread of it ever runs elsewhere."""
    own_cores = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log_fd, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
    finally:
        os.sched_setaffinity(0, own_cores)


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
