"""How long an event loop leaves a request waiting: sends the cheapest one there is on schedule, whatever else goes on.

`GET /livez` costs a server next to nothing, so that what such a request waits for is the loop being busy with
something else: the longest waits are its stalls. Prints one JSON object:

    python -m tests.benchmarks.probe --port 8000 --duration-s 3 --rate-per-s 500
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import struct
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.benchmarks.http1 import MessageReader

CONNECTIONS = 64  # so many probes may be unanswered at a time; the others wait, and their waits count from when due
_GRACE_S = 10.0
_REQUEST = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# socket(7): the kernel notes when a packet arrived. This process shares its core with the load, and would otherwise
# take its own late waking for the proxy's. Python has no name for the option (asm-generic/socket.h, Linux 6.1).
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")


@dataclass(frozen=True, slots=True)
class Waits:
    """What the probes waited, in milliseconds."""

    probes: int
    failures: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    longest_ms: float


class Prober:
    """Keep-alive connections with at most one probe on each."""

    def __init__(self, port: int) -> None:
        self.waits_ms: list[float] = []
        self.failures = 0
        self._selector = selectors.DefaultSelector()
        self._due_ns: dict[socket.socket, int] = {}
        self._answers: dict[socket.socket, MessageReader] = {}
        self._idle = [self._connected(port) for _ in range(CONNECTIONS)]
        self._late: deque[int] = deque()

    def run(self, *, duration_s: float, rate_per_s: float) -> None:
        """Probes on schedule, then waits for what is still unanswered."""
        now_ns = _now_ns()
        end_ns, every_ns = now_ns + round(duration_s * 1e9), round(1e9 / rate_per_s)
        due_ns = now_ns
        while due_ns < end_ns:
            while due_ns <= min(_now_ns(), end_ns - 1):
                self._send(due_ns)
                due_ns += every_ns
            self._receive(max(0, due_ns - _now_ns()) / 1e9)
        while self._due_ns and _now_ns() < end_ns + _GRACE_S * 1e9:
            self._receive(0.1)
        self.failures += len(self._due_ns) + len(self._late)

    def close(self) -> None:
        """Closes every connection."""
        for probe in self._answers:
            probe.close()
        self._selector.close()

    def _connected(self, port: int) -> socket.socket:
        probe = socket.create_connection(("127.0.0.1", port))
        probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        probe.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._selector.register(probe, selectors.EVENT_READ)
        self._answers[probe] = MessageReader()
        return probe

    def _send(self, due_ns: int) -> None:
        if not self._idle:
            self._late.append(due_ns)
            return
        probe = self._idle.pop()
        # The prober's own lateness is not the server's: the wait begins with the write.
        self._due_ns[probe] = _now_ns()
        probe.sendall(_REQUEST)

    def _receive(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            probe = key.fileobj
            assert isinstance(probe, socket.socket)
            data, ancillary, _, _ = probe.recvmsg(4096, socket.CMSG_SPACE(_TIMESPEC.size))
            answer = self._answers[probe]
            if data and not answer.feed(data):
                continue  # head and body may come apart
            began_ns = self._due_ns.pop(probe, None)
            is_good = bool(data) and answer.head.startswith(b"HTTP/1.1 200")
            answer.reset()
            if began_ns is None or not is_good:
                self.failures += began_ns is not None
                self._selector.unregister(probe)
                continue
            self.waits_ms.append((_arrived_ns(ancillary) - began_ns) / 1e6)
            self._idle.append(probe)
            if self._late:
                due_ns = self._late.popleft()
                self._send(due_ns)
                self._due_ns[probe] = due_ns  # no connection was free: that too is the server's slowness


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_REALTIME)  # the clock of the kernel's timestamps


def _arrived_ns(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = _TIMESPEC.unpack(data[: _TIMESPEC.size])
            return int(seconds) * 10**9 + int(nanoseconds)
    return _now_ns()


def waits(waits_ms: Sequence[float], failures: int) -> Waits:
    """The figures of these waits; all 0 when there are too few to tell."""
    if len(waits_ms) < 2:
        return Waits(len(waits_ms), failures, 0, 0, 0, 0)
    cuts = statistics.quantiles(waits_ms, n=1000, method="inclusive")
    return Waits(len(waits_ms), failures, cuts[499], cuts[989], cuts[998], max(waits_ms))


def main() -> None:
    """Reads the command line, probes, prints the waits as JSON."""
    parser = argparse.ArgumentParser(description="Looks at how long an event loop leaves a request waiting.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--duration-s", type=float, default=3.0)
    parser.add_argument("--rate-per-s", type=float, default=500.0)
    options = parser.parse_args()
    prober = Prober(options.port)
    prober.run(duration_s=options.duration_s, rate_per_s=options.rate_per_s)
    print(json.dumps(asdict(waits(prober.waits_ms, prober.failures))))


if __name__ == "__main__":
    main()
