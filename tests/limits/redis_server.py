"""A real Redis of the tests' own, on a socket in a temporary directory: started, frozen, killed and wiped at will."""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from datetime import datetime
from importlib import resources
from pathlib import Path

import pytest
import redis

from router.limits.calendar import to_us
from tests.waiting import eventually

_REAL_CLOCK = """local function now_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end"""

_TEST_CLOCK = """local function now_us()
  return tonumber(redis.call('GET', 'clock'))
end"""


class RedisServer:
    """A server process; what it has saved stays in its directory when it dies."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"
        self.client = redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if program is None:
            assert os.environ.get("CI") != "true", "CI must have redis-server installed"  # noqa: TID251 - CI says so
            pytest.skip("redis-server is not installed")
        self._process = subprocess.Popen(
            (program, "--port", "0", "--unixsocket", str(self._socket), "--dir", str(self._directory), "--save", ""),
            stdout=subprocess.DEVNULL,
        )
        eventually(self._answers, within_s=10)

    def use_test_clock(self) -> None:
        """From now on the server's time is what `set_clock` says."""
        library = resources.files("router.limits").joinpath("penstock_budget_v3.lua").read_text(encoding="utf-8")
        assert library.count(_REAL_CLOCK) == 1
        self.client.function_load(library.replace(_REAL_CLOCK, _TEST_CLOCK), replace=True)

    def set_clock(self, now: datetime) -> None:
        self.client.set("clock", to_us(now))

    def wipe(self) -> None:
        """FLUSHALL, but for the test's clock."""
        clock = self.client.get("clock")
        self.client.flushall()
        if clock is not None:
            self.client.set("clock", str(clock))

    def save(self) -> None:
        """Keep a snapshot, which the next start will read."""
        self.client.save()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: the process is gone before anything is saved."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            self._socket.unlink(missing_ok=True)

    def close(self) -> None:
        self.kill()
        self.client.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.client.ping())
        return False
