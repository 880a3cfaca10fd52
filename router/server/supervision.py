"""What the supervisor of the process is told: that it is ready, reads its configuration anew, lives, and stops.

systemd's protocol, sd_notify(3) of systemd 252: datagrams of KEY=VALUE lines to the socket that $NOTIFY_SOCKET names.
Without one nobody is told, and nothing costs anything.
"""

import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import anyio

log = logging.getLogger("penstock.supervision")

_US_PER_S = 1_000_000


class Supervisor:
    """Whoever started the process and restarts it. What cannot be told is logged, and never an error."""

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        """`address` is of a Unix socket, a path or `@` and a name; `watchdog_s` is how long silence may last."""
        self._address = address
        self.watchdog_s = watchdog_s if address else None

    def ready(self) -> None:
        """Requests are welcome: after the start, or after `reloading`."""
        self._tell("READY=1\nSTATUS=Serving requests.")

    def stopping(self) -> None:
        self._tell("STOPPING=1\nSTATUS=Ending what is under way.")

    def reloading(self, *, monotonic_s: float) -> None:
        """A changed configuration is being read; `ready` is told afterwards, whatever came of it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={round(monotonic_s * _US_PER_S)}\nSTATUS=Reading the configuration.")

    @asynccontextmanager
    async def told_of_life(self) -> AsyncIterator[None]:
        """While the context is open the supervisor hears, twice as often as it wants, that the event loop turns.

        Open it around the stop as well: a watchdog that barks while the books are being closed does harm.
        """
        async with anyio.create_task_group() as tasks:
            if self.watchdog_s is not None:
                tasks.start_soon(self._tell_of_life, self.watchdog_s / 2)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def _tell_of_life(self, every_s: float) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await anyio.sleep(every_s)

    def _tell(self, news: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
                told.setblocking(False)  # a supervisor that is busy must not stall requests
                told.sendto(news.encode(), address)
        except OSError as error:
            log.warning("the supervisor at %s could not be told %s: %s", self._address, news.split("\n")[0], error)


def supervisor_of(environment: Mapping[str, str], *, process_id: int) -> Supervisor:
    """The one that the environment names. Its watchdog watches one process, which others that inherited it are not."""
    watchdog_us = environment.get("WATCHDOG_USEC", "")
    is_meant = environment.get("WATCHDOG_PID", str(process_id)) == str(process_id)
    watchdog_s = int(watchdog_us) / _US_PER_S if watchdog_us.isdecimal() and int(watchdog_us) and is_meant else None
    return Supervisor(environment.get("NOTIFY_SOCKET"), watchdog_s=watchdog_s)
