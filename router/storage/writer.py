"""Entries into the ledger in batches, by one thread, so that no request waits for a disk."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

from router.ledger import Ledger, LedgerEntry
from router.storage.errors import UnwritableEntry

log = logging.getLogger("penstock.ledger")

T = TypeVar("T")

_BATCH = 500  # entries per transaction: SQLite commits 24,000 rows/s in batches of 100 (reliability.md §3.2)
_RETRY_S = 1.0
# How long an entry waits for others to share its transaction with: the journal has it already, and people look at the
# ledger no sooner. At full load 0.1 s took the writer's share of the CPU from 38 % to 25 %; 0.5 s made of the 104 µs of
# CPU that an entry took then 76 (1 December 2026).
_GATHER_S = 0.25


class LedgerWriter:
    """Takes entries without blocking and writes them in order. `close` returns when all are written.

    A batch that fails (full disk, locked file) is kept and tried again. Only an entry that can never be written,
    because of what it holds, is left out; it goes to the log whole.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        monotonic_s: Callable[[], float],
        kept: Callable[[Sequence[str]], None] = lambda _: None,
        retry_s: float = _RETRY_S,
        gather_s: float = _GATHER_S,
    ) -> None:
        self._ledger = ledger
        self._kept = kept  # told the ids of requests that need no other keeping any more
        self._monotonic_s = monotonic_s
        self._retry_s = retry_s
        self._gather_s = gather_s
        self._pending: deque[tuple[float, LedgerEntry]] = deque()
        self._writing = threading.Lock()  # held while what is pending may be in the ledger already
        self._unread: list[LedgerEntry] | None = None  # somebody has read the ledger, and these are not in what he read
        self._changed = threading.Condition()
        self._is_closing = False
        self.failures = 0  # of batches and of entries, since the start
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, entry: LedgerEntry) -> None:
        with self._changed:
            self._pending.append((self._monotonic_s(), entry))
            if self._unread is not None:
                self._unread.append(entry)
            if len(self._pending) in (1, _BATCH):  # the first to wait for, and enough to wait no longer
                self._changed.notify_all()

    def lag_s(self) -> float:
        """How long the oldest entry that is not written yet has been waiting; 0 if all are written."""
        with self._changed:
            return self._monotonic_s() - self._pending[0][0] if self._pending else 0.0

    def read(self, question: Callable[[], T]) -> T:
        """What the ledger answers; `unread` has every entry that is not in that answer. Blocks.

        Nothing is written meanwhile, and nobody who puts an entry waits.
        """
        with self._writing:
            with self._changed:
                self._unread = [entry for _, entry in self._pending]
            return question()

    def unread(self, *, is_last: bool) -> Sequence[LedgerEntry]:
        """The entries that have been put and that the last `read` has not seen, but for those that were asked for
        before. They are noted until the last of these questions."""
        with self._changed:
            unread, self._unread = self._unread or [], None if is_last else []
            return unread

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything put so far is written; False if that took longer than `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Write what is left and stop; False if entries remain unwritten after `timeout_s`."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._pending

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._is_closing)
                self._changed.wait_for(lambda: len(self._pending) >= _BATCH or self._is_closing, self._gather_s)
                batch = [entry for _, entry in islice(self._pending, _BATCH)]
            if not batch:
                return
            with self._writing:
                done = self._written(batch)
                self._kept([entry.request_id for entry in batch[:done]])
                with self._changed:
                    for _ in range(done):
                        self._pending.popleft()
                    self._changed.notify_all()
            if not done:
                with self._changed:
                    self._changed.wait_for(lambda: False, self._retry_s)

    def _written(self, batch: list[LedgerEntry]) -> int:
        """How many entries from the front of the batch are done with; 0 if it must be tried again."""
        try:
            self._ledger.write(batch)
        except UnwritableEntry as error:
            return self._written_around(batch, error)
        except Exception as error:  # noqa: BLE001 - one of the two outer edges: a failed batch must not end the thread
            self.failures += 1
            log.error("ledger: %d entries not written (%s); trying again", len(batch), type(error).__name__)
            return 0
        return len(batch)

    def _written_around(self, batch: list[LedgerEntry], error: UnwritableEntry) -> int:
        """Write what stands before the entry that no store can take, and leave that one to the log.

        Trying it again for ever would keep every later entry out of the ledger.
        """
        position = next(number for number, entry in enumerate(batch) if entry.request_id == error.request_id)
        if position:
            return self._written(batch[:position])
        self.failures += 1
        log.critical("ledger: %s It is kept here only: %r", error.message, batch[0])
        return 1
