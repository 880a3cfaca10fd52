"""What has been learned, loaded at a start and written to the store now and then: `Keeper`.

All processes on one store share one record, and the last writer wins. Each has learned from its share of the same
requests, so any of them is a fair start for the next; adding them up would count what they were loaded with twice. A
process that has learned nothing since it wrote last does not write.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
import msgspec

from router.catalog.catalog import Catalog
from router.errors import PenstockError
from router.learning.experience import VERSION, LearnedExperience

log = logging.getLogger("penstock.learning")

_NAME = "experience"
_PAUSE_S = 30.0
_AT_ONCE = 10  # pieces read before the event loop may go on: the largest, of a model's quality, take 0.3 ms each


class Shelf(Protocol):
    """Where it is kept. Implementations block, and raise PenstockError if they cannot be reached."""

    def learned(self, name: str) -> bytes | None: ...

    def keep_learned(self, name: str, content: bytes, at: datetime) -> None: ...


class _Record(msgspec.Struct):
    version: int
    pieces: list[tuple[str, list[Any]]]


class Keeper:
    """Keeps one experience."""

    def __init__(
        self, experience: LearnedExperience, shelf: Shelf, *, now: Callable[[], datetime], pause_s: float = _PAUSE_S
    ) -> None:
        self._experience = experience
        self._shelf = shelf
        self._now = now
        self._pause_s = pause_s
        self._written = 0  # lessons

    def load(self, catalog: Catalog) -> None:
        """Take what is kept; nothing if there is nothing, or what there is cannot be read. What was learned of models
        whose versions in the catalog are others now is dropped. Blocks.

        Raises StoreUnavailable.
        """
        content = self._shelf.learned(_NAME)
        if content is None:
            return
        try:
            record = msgspec.json.decode(content, type=_Record)
            if record.version != VERSION:
                log.warning("what was learned is of version %d, not %d: beginning anew", record.version, VERSION)
                return
            for kind, piece in record.pieces:
                self._experience.take(kind, piece)
        except (msgspec.DecodeError, ValueError, TypeError, KeyError):
            log.warning("a part of what was learned cannot be read, and is learned anew")
        for model in self._experience.meet(catalog):
            log.warning("what was learned of %s is dropped: its name stands for another version now", model)
        self._experience.work_out()

    async def run(self) -> None:
        """Write now and then, until cancelled."""
        while True:
            await anyio.sleep(self._pause_s)
            await self.save()

    async def save(self) -> None:
        """Write what has been learned, if anything has since it was written last. Never raises; logs what fails."""
        lessons = self._experience.lessons
        if lessons == self._written:
            return
        pieces: list[tuple[str, list[Any]]] = []
        for piece in self._experience.as_data():
            pieces.append(piece)
            if len(pieces) % _AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        try:
            await anyio.to_thread.run_sync(self._write, pieces)
        except PenstockError as error:
            log.warning("what was learned is not written down (%s)", error.code)
        else:
            self._written = lessons

    def _write(self, pieces: list[tuple[str, list[Any]]]) -> None:
        self._shelf.keep_learned(_NAME, msgspec.json.encode(_Record(VERSION, pieces)), self._now())
