"""Requests that are carried out once, however often they are sent: `Idempotency`.

A client that names its request with the header `Idempotency-Key` gets the same answer again for 24 hours, and pays
once. The key stands for one request of its team: another one under it is an error. The answer is kept in the store,
beside the ledger, so that it outlives the process; nothing is kept of requests without a key, nor of streams.

Only an answer is kept. A request that was refused, or that no provider answered, frees its key.
"""

import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b

import anyio
import anyio.to_thread
import msgspec

from router.errors import IdempotencyBusy, IdempotencyConflict, InvalidRequest
from router.keys import TeamName
from router.storage.errors import StoreUnavailable
from router.storage.store import AnswerStore, Claim

log = logging.getLogger("penstock.idempotency")

_KEPT = timedelta(hours=24)
# No call begins ten minutes after its request came, and none takes longer than twice `first_byte_s`, five minutes as
# shipped. So long a key stays taken whose process was killed; one that starts alone on SQLite frees it at once.
_UNDER_WAY = timedelta(minutes=20)
_PRUNED_EVERY_S = 3600.0
_FREE_S = 1.0  # a store that does not answer keeps no error from a client
_KEY = re.compile(r"[\x21-\x7e]{1,255}")  # 255 as at Stripe; visible ASCII, as HTTP has it for names
_DIGEST_BYTES = 32


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer as its client got it."""

    request_id: str
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Once:
    """One request under a key. It has been answered before, or is to be `keep`t when it is."""

    def __init__(self, claim: Claim, store: AnswerStore, now: Callable[[], datetime]) -> None:
        self.answer: KeptAnswer | None = None  # from before
        self._claim = claim
        self._store = store
        self._now = now
        self._is_over = False  # it is kept, or free

    async def keep(self, body: bytes, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Before the client gets it: it may hang up at any moment, and ask again.

        Where the store is away the client gets the answer all the same: it is paid for.
        """
        kept = KeptAnswer(self._claim.request_id, list(headers), body)
        content, until = msgspec.msgpack.encode(kept), self._now() + _KEPT
        try:
            await anyio.to_thread.run_sync(partial(self._store.keep_answer, self._claim, content, until=until))
            self._is_over = True
        except StoreUnavailable as error:
            log.error("the answer to %s is not kept under its key: %s", self._claim.request_id, error.code)

    async def free(self) -> None:
        """Free the key, if no answer is kept under it. Before the client hears of it: it may ask again at once."""
        if self._is_over:
            return
        self._is_over = True
        with anyio.move_on_after(_FREE_S, shield=True), suppress(StoreUnavailable):  # it frees itself in a while
            await anyio.to_thread.run_sync(self._store.give_up_claim, self._claim, abandon_on_cancel=True)


class Idempotency:
    """The keys of all teams."""

    def __init__(self, store: AnswerStore, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    @asynccontextmanager
    async def once(self, team: TeamName, key: str, asked: bytes, *, request_id: str) -> AsyncIterator[Once]:
        """The request under this key; `asked` is all that it asks.

        Raises InvalidRequest for a key that is none, IdempotencyConflict, IdempotencyBusy and StoreUnavailable: without
        the store nobody can say that the request was not carried out already.
        """
        if not _KEY.fullmatch(key):
            raise InvalidRequest(
                "Header idempotency-key: expected 1 to 255 visible ASCII characters, such as a UUID.",
                param="idempotency-key",
                code="invalid_header",
            )
        claim = Claim(team, _digest(key.encode()), _digest(asked), request_id)
        once = Once(claim, self._store, self._now)
        now = self._now()
        # Shielded: a claim that was made and not noticed would keep the key from the same client's next attempt.
        with anyio.CancelScope(shield=True):
            found = await anyio.to_thread.run_sync(
                partial(self._store.claim_answer, claim, at=now, until=now + _UNDER_WAY)
            )
        if found is not None:
            if found.fingerprint != claim.fingerprint:
                raise IdempotencyConflict(
                    f"This idempotency key stands for another request ({found.request_id}), of the last 24 hours. "
                    "Use a new key for each request, and the same only to send the same again."
                )
            if found.content is None:
                raise IdempotencyBusy(f"The request under this key ({found.request_id}) is under way. Ask again soon.")
            once.answer = _read(found.content)
            yield once
            return
        try:
            yield once
        finally:
            await once.free()

    async def run(self) -> None:
        """Forget what has expired, again and again, until cancelled: also where no other key comes."""
        while True:
            with suppress(StoreUnavailable):
                await anyio.to_thread.run_sync(self._store.drop_expired_answers, self._now())
            await anyio.sleep(_PRUNED_EVERY_S)


def _read(content: bytes) -> KeptAnswer:
    """Raises IdempotencyConflict for what another version has kept in a form of its own."""
    try:
        return msgspec.msgpack.decode(content, type=KeptAnswer)
    except msgspec.DecodeError:
        raise IdempotencyConflict(
            "The answer under this key was kept by another version and cannot be read. It was given and is paid for: "
            "use a new key if it is to be asked for again."
        ) from None


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
