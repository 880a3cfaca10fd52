"""Whether Redis can be asked now, and asking it: `Link`, what the parts of the gate of many processes share."""

import logging
from collections.abc import Callable

import anyio

from router.errors import Unavailable
from router.limits.asking import Functions, NoAnswer, Reply
from router.limits.calendar import ServerClock

_log = logging.getLogger("penstock.redis")


class Link:
    """The epoch this process is registered in, and whether it is open.

    It is closed by whoever gets no answer, and opened by the background alone (`RedisGate.run`).
    """

    def __init__(self, functions: Functions, *, monotonic_s: Callable[[], float]) -> None:
        self.functions = functions
        self.monotonic_s = monotonic_s
        self.clock = ServerClock(monotonic_s)
        self.epoch: str | None = None  # in which everything that this process holds is registered
        self.is_open = False
        self.is_answered = False  # Redis is there, open or not
        self.heard_s = float("-inf")  # when Redis was asked last that then said the epoch was open
        self._is_said_away = False  # the log says that it does not answer, and not yet that it does again
        self._woken = anyio.Event()

    def require_open(self) -> str:
        """The epoch. Raises Unavailable at once while Redis is away: it is the background that tries again."""
        if not self.is_open or self.epoch is None:
            raise self.unavailable()
        return self.epoch

    async def ask(self, function: str, *arguments: str | int) -> Reply:
        """Call on behalf of a request. Raises Unavailable, and then the link is closed."""
        try:
            return await self.functions.call(function, *arguments)
        except NoAnswer as error:
            self.lost(error)
            self.wake()
            raise self.unavailable() from error

    def lost(self, error: NoAnswer) -> None:
        """Redis is out of reach. What was registered in counters that were not open yet is registered anew."""
        if not self._is_said_away:
            self._is_said_away = True
            _log.warning("Redis does not answer, so budgets and limits cannot be checked: %s", error)
        if not self.is_open and self.is_answered:
            self.epoch = None
        self.is_open = self.is_answered = False

    def opened(self, epoch: str, asked_s: float) -> None:
        """Redis, asked then, has said that the epoch is open.

        Nothing happens if a call that came to nothing meanwhile has made this process register anew: a link that was
        open without an epoch let the background try to deliver for ever, and nobody else had his turn.
        """
        if self.epoch != epoch:
            return
        if self._is_said_away:
            self._is_said_away = False
            _log.warning("Redis answers again, and its counters are right: budgets and limits are checked")
        self.is_open, self.heard_s = True, asked_s

    def attach_again(self) -> Unavailable:
        """Redis is not in the epoch that this process knows: nothing is asked before the background has seen to it."""
        self.is_open = False
        self.wake()
        return self.unavailable()

    def register_again_if_changed(self, epoch: str) -> None:
        """The answer came when the next epoch had begun already: what it gave is not registered there."""
        if self.epoch != epoch:
            self.epoch = None
            self.attach_again()

    def unavailable(self) -> Unavailable:
        return Unavailable(
            "Budgets and limits cannot be checked now, so nothing that has any is let through. Try again soon."
        )

    def wake(self) -> None:
        """There is something to do in the background."""
        self._woken.set()

    async def wait(self, at_most_s: float) -> None:
        """Until somebody wakes the background, or for so long."""
        with anyio.move_on_after(at_most_s):
            await self._woken.wait()
        self._woken = anyio.Event()
