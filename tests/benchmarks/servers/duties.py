"""What an exposed server must do, tried at each: notices of hang-ups, back-pressure, slow and large heads, the stop.

python -m tests.benchmarks.servers.duties .venv/servers
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from contextlib import closing, suppress
from pathlib import Path

from tests.benchmarks.processes import ChildProcess, free_port
from tests.benchmarks.servers.duties_app import PIECE_S, STREAM_PIECES

_PATIENCE_S = 4.0  # after which a server is said not to do it
_HEADS = (60_000, 400_000, 4_000_000)


class Tried:
    """One server with `duties_app` on it."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self._process = process
        self._port = port

    def connected(self, request: bytes) -> socket.socket:
        """A connection on which this has been sent."""
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE_S)
        connection.sendall(request)
        return connection

    def seen(self) -> dict[str, object]:
        """What the application has seen."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/seen", timeout=_PATIENCE_S) as answer:
            told: dict[str, object] = json.loads(answer.read())
            return told

    def hang_up(self, path: str) -> str:
        """How long until the application is told that the client is gone."""
        with closing(self.connected(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode())) as connection:
            if path == "/begun":
                connection.recv(4096)
            time.sleep(0.2)
        gone_s = time.perf_counter()
        while time.perf_counter() < gone_s + _PATIENCE_S:
            if path in str(self.seen()["hang_ups"]):
                return f"after {1000 * (time.perf_counter() - gone_s):.0f} ms"
            time.sleep(0.005)
        return "never"

    def flood(self) -> str:
        """What is taken from the application for a client that reads nothing."""
        before = self._process.rss_bytes()
        with closing(self.connected(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")):
            time.sleep(1.5)
            taken, grown = int(str(self.seen()["flooded_bytes"])), self._process.rss_bytes() - before
        return f"{taken / 1e6:.1f} MB taken, {grown / 1e6:.1f} MB of memory"

    def slow(self, request: bytes) -> str:
        """When a client is cut off that has sent the beginning and sends a byte each fifth of a second."""
        with closing(self.connected(request)) as connection:
            connection.settimeout(0.2)
            begun_s = time.perf_counter()
            while time.perf_counter() < begun_s + _PATIENCE_S:
                with suppress(TimeoutError):
                    try:
                        connection.sendall(b"x")
                        if not connection.recv(4096):
                            return f"cut off after {time.perf_counter() - begun_s:.1f} s"
                    except ConnectionError:
                        return f"cut off after {time.perf_counter() - begun_s:.1f} s"
        return "never cut off"

    def large_heads(self) -> str:
        """Status by the size of the head."""
        found = []
        for size in _HEADS:
            try:
                request = b"GET / HTTP/1.1\r\nhost: x\r\nx-large: %b\r\n\r\n" % (b"x" * size)
                with closing(self.connected(request)) as connection:
                    status = connection.recv(64)[9:12].decode() or "closed"
            except OSError:
                status = "closed"
            found.append(f"{size // 1000} KB {status}")
        return ", ".join(found)

    def stop(self) -> str:
        """What of a stream is under way when the process is told to stop."""
        with closing(self.connected(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")) as connection:
            received = connection.recv(4096)
            os.kill(self._process.pid, signal.SIGTERM)
            stopped_s = time.perf_counter()
            connection.settimeout(STREAM_PIECES * PIECE_S + _PATIENCE_S)
            with suppress(OSError):
                while piece := connection.recv(4096):
                    received += piece
                    if b"end" in received:
                        break
            took_s = time.perf_counter() - stopped_s
        pieces, end = received.count(b"piece"), " and the end" if b"end" in received else ""
        return f"{pieces} of {STREAM_PIECES} pieces{end}, {took_s:.1f} s"


def main() -> None:
    """Tries both servers and prints what they did."""
    parser = argparse.ArgumentParser(description="What servers do for an application.")
    parser.add_argument("directory", type=Path, help="where make put granian")
    options = parser.parse_args()
    environment = {"PATH": os.defpath, "PYTHONPATH": str(options.directory.resolve())}
    with tempfile.TemporaryDirectory(prefix="penstock-duties-") as directory:
        for name in ("penstock", "granian"):
            port = free_port()
            argv = (sys.executable, "-m", "tests.benchmarks.servers.duties_app", name, str(port))
            with ChildProcess(argv, log_path=Path(directory) / name, core=None, env=environment) as process:
                _wait_until_served(process, port)
                tried = Tried(process, port)
                slow_head = b"GET / HTTP/1.1\r\nx-slow: "
                print(name)
                print(f"  hang-up before the answer   told {tried.hang_up('/silent')}")
                print(f"  hang-up in mid-answer       told {tried.hang_up('/begun')}")
                print(f"  a client that reads nothing {tried.flood()}")
                print(f"  head that comes slowly      {tried.slow(slow_head)}")
                slow_body = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n"
                print(f"  body that comes slowly      {tried.slow(slow_body)}")
                print(f"  large heads                 {tried.large_heads()}")
                print(f"  SIGTERM in mid-stream       {tried.stop()}", flush=True)


def _wait_until_served(process: ChildProcess, port: int) -> None:
    while True:
        process.check_alive()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S):
            return
        time.sleep(0.02)


if __name__ == "__main__":
    main()
