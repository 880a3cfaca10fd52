"""Requests and answers of teams that opt in, on their way to the store: `Prompts`, and `Kept` of one request.

Nothing here is asked for a team that has not opted in. For one that has, a request notes the pieces of its answer as
they are relayed, by reference; all else is done by a thread once it is over. Nothing here waits or raises, and
what finds no room, no key or no store is lost and counted, never the request.
"""

import logging
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Protocol
from zlib import crc32

import anyio
import anyio.to_thread

from router.config.snapshot import PromptKeeping, Team
from router.errors import PenstockError
from router.gateway.answer import Take
from router.storage.errors import StoreUnavailable
from router.storage.sealed import Prompt, PromptStore, SealedPrompt
from router.telemetry.background import Background
from router.wire.requests import ModelRequest

log = logging.getLogger("penstock.prompts")

_MOST_WAITING = 10_000
_MOST_WAITING_BYTES = 64 * 1024 * 1024  # of all that waits for the thread: a judgement
_BATCH = 50  # rows a transaction
_PRUNED_EVERY_S = 3600.0

Lost = Callable[[str, int], None]
"""Told the reason, `queue_full`, `no_key` or `unwritable`, and how many requests it is."""


class Seals(Protocol):
    """Makes unreadable (storage/prompts.py)."""

    def sealed(self, prompt: Prompt, /) -> SealedPrompt: ...


class Kept:
    """What will be kept of one request."""

    __slots__ = ("_most_bytes", "_pieces", "api", "is_cut", "keeping", "request", "request_id", "size", "team")

    def __init__(
        self, team: Team, keeping: PromptKeeping, request: ModelRequest, *, request_id: str, most_bytes: int
    ) -> None:
        self.team = team.name
        self.keeping = keeping
        self.request = request
        self.request_id = request_id
        self.api = request.api
        self.is_cut = False  # of its answer there was more
        self.size = 0  # of the answer, as far as it is kept
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []

    def note(self, piece: bytes) -> None:
        """More of the answer."""
        left = self._most_bytes - self.size
        if len(piece) > left:
            self.is_cut, piece = True, piece[:left]
        if piece:
            self.size += len(piece)
            self._pieces.append(piece)

    async def noted(self, events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The events, of which each is noted as it is handed over."""
        async with aclosing(events):
            async for data in events:
                self.note(data)
                yield data

    def noting(self, take: Take) -> Take:
        """The same `take`, of which is noted what it took."""

        def taken(events: bytes) -> bool:
            is_taken = take(events)
            if is_taken:
                self.note(events)
            return is_taken

        return taken

    @property
    def answer(self) -> bytes:
        return b"".join(self._pieces)


class Prompts:
    """All that is kept. `put` what is over; `run` deletes what is old; `start` and `stop` block."""

    def __init__(
        self,
        store: PromptStore,
        seal: Seals | None,
        *,
        most_bytes: int,
        now: Callable[[], datetime],
        kept: Callable[[int], None],
        lost: Lost,
    ) -> None:
        """`seal` None: there is no key. `most_bytes` of a request, and of an answer; longer ones are cut."""
        self._store = store
        self._seal = seal
        self._most_bytes = most_bytes
        self._now = now
        self._kept = kept
        self._lost = lost
        self._guard = threading.Lock()
        self._waiting_bytes = 0
        self._is_failing = False
        self._background: Background[tuple[Kept, datetime]] = Background(
            self._deliver, name="prompts", most_waiting=_MOST_WAITING, lost=self._found_no_room
        )

    def of(self, team: Team, request: ModelRequest, request_id: str) -> Kept | None:
        """For one request of a team that opts in; None if it is not in the sample."""
        keeping = team.prompts
        if keeping is None or crc32(request_id.encode()) >= keeping.sample_share * 2**32:
            return None
        return Kept(team, keeping, request, request_id=request_id, most_bytes=self._most_bytes)

    def put(self, kept: Kept, at: datetime) -> None:
        """The request is over; it was decided then."""
        if self._seal is None:
            self._lost("no_key", 1)
            return
        size = _size(kept)
        with self._guard:
            has_room = self._waiting_bytes + size <= _MOST_WAITING_BYTES
            self._waiting_bytes += size if has_room else 0
        if has_room:
            self._background.put((kept, at))
        else:
            self._lost("queue_full", 1)

    async def run(self) -> None:
        """Delete what is old, again and again, until cancelled: also where nothing is kept any more."""
        while True:
            with suppress(StoreUnavailable):
                await anyio.to_thread.run_sync(self._store.drop_expired_prompts, self._now())
            await anyio.sleep(_PRUNED_EVERY_S)

    def start(self) -> None:
        self._background.start()

    def stop(self, patience_s: float) -> None:
        """Keep what waits; what is left after that time is lost."""
        left = self._background.close(patience_s)
        if left:
            self._lost("unwritable", len(left))

    def _found_no_room(self, item: tuple[Kept, datetime]) -> None:
        self._left([item])
        self._lost("queue_full", 1)

    def _left(self, items: Sequence[tuple[Kept, datetime]]) -> None:
        with self._guard:
            self._waiting_bytes -= sum(_size(kept) for kept, _ in items)

    def _deliver(self, items: list[tuple[Kept, datetime]]) -> None:
        for start in range(0, len(items), _BATCH):
            some = items[start : start + _BATCH]
            self._write([self._sealed(kept, at) for kept, at in some])
            self._left(some)

    def _sealed(self, kept: Kept, at: datetime) -> SealedPrompt:
        assert self._seal is not None
        asked = kept.request if kept.request.original is None else kept.request.original
        request = asked.body_with({})
        return self._seal.sealed(
            Prompt(
                request_id=kept.request_id,
                team=kept.team,
                at=at,
                until=at + timedelta(days=kept.keeping.kept_days),
                api=kept.api.value,
                request=request[: self._most_bytes],
                answer=kept.answer,
                is_request_cut=len(request) > self._most_bytes,
                is_answer_cut=kept.is_cut,
            )
        )

    def _write(self, sealed: Sequence[SealedPrompt]) -> None:
        """What cannot be written now is not tried again: it would have to wait in memory, which is not encrypted."""
        try:
            self._store.keep_prompts(sealed)
        except PenstockError as error:
            if not self._is_failing:
                self._is_failing = True
                log.error("prompts cannot be kept (%s), and are lost; requests go on without", error.code)
            self._lost("unwritable", len(sealed))
        else:
            if self._is_failing:
                self._is_failing = False
                log.warning("prompts are kept again")
            self._kept(len(sealed))


def _size(kept: Kept) -> int:
    return kept.size + kept.request.body_bytes
