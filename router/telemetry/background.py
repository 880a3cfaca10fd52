"""`Background`: work that no request waits for, done in batches by one thread, from a queue of bounded length."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

log = logging.getLogger("penstock.background")

_BATCH = 256
_GATHER_S = 0.5  # how long an item waits for others to be delivered with

_Item = TypeVar("_Item")


class Background(Generic[_Item]):
    """Takes items without blocking and has them delivered in order. What finds the queue full is lost, and told.

    Its thread is begun by `start`, not before; `deliver` runs in it.
    """

    def __init__(
        self,
        deliver: Callable[[list[_Item]], None],
        *,
        name: str,
        most_waiting: int,
        lost: Callable[[_Item], None],
        gather_s: float = _GATHER_S,
    ) -> None:
        """`lost` is called with what found no room, and with what `deliver` raised an error for."""
        self._deliver = deliver
        self._most_waiting = most_waiting
        self._lost = lost
        self._gather_s = gather_s
        self._waiting: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, item: _Item) -> None:
        with self._changed:
            has_room = len(self._waiting) < self._most_waiting
            if has_room:
                self._waiting.append(item)
                if len(self._waiting) in (1, _BATCH):  # the first to wait for, and enough to wait no longer
                    self._changed.notify_all()
        if not has_room:
            self._lost(item)

    def close(self, timeout_s: float) -> list[_Item]:
        """Deliver what is left and stop; what is still waiting after `timeout_s`."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:  # it was started
            self._thread.join(timeout_s)
        with self._changed:
            left = list(self._waiting)
            self._waiting.clear()
        return left

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closing)
                self._changed.wait_for(lambda: len(self._waiting) >= _BATCH or self._is_closing, self._gather_s)
                batch = list(islice(self._waiting, _BATCH))
                for _ in batch:  # out of the queue: its bound is for what is not even begun
                    self._waiting.popleft()
            if not batch:
                return
            try:
                self._deliver(batch)
            except Exception as error:  # noqa: BLE001 - an outer edge: a mistake in one batch must not end the thread
                log.error("%s: %d lost by %s", self._thread.name, len(batch), type(error).__name__)
                for item in batch:
                    self._lost(item)
