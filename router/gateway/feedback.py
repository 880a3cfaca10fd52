"""`Feedback`: what clients say of answers they got, checked, bounded, and made into labels."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

import anyio.to_thread
import msgspec

from router.errors import InvalidRequest, RateLimited, UnknownRequest
from router.gateway.labelling import Labeller
from router.gateway.past import CannotDecideAgain, Past
from router.keys import Caller, TeamName
from router.ledger import LedgerEntry, Outcome
from router.quality.labels import Label, Signal, Verdict
from router.storage.store import Store
from router.wire.foreign import UNREADABLE
from router.wire.strict_json import refuse_ambiguous

WINDOW = timedelta(days=30)  # after its request was decided
MOST_PER_MINUTE = 600  # of a team, in each process: an answer has one score, and ten a second are many
MOST_BYTES = 4_096  # of a body; what is asked for takes a hundred
_PATIENCE_S = (0.05, 0.2, 0.5)  # that an entry may take to the ledger, after its answer has ended

# Words in place of free text, which might be a prompt, or say who complains.
Reason = Literal[
    "correct",
    "helpful",
    "wrong",
    "incomplete",
    "off_topic",
    "format",
    "style",
    "refused",
    "unsafe",
    "slow",
    "other",
]


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /v1/feedback`."""

    request_id: str
    score: float
    reason: Reason | None = None


class Taken(NamedTuple):
    """What came of it."""

    request_id: str
    verdict: Verdict
    is_new: bool  # False: this very score was known already
    is_learned: bool  # False: the team has learning switched off, or the model has left the catalog


class Feedback:
    """Takes scores for one process."""

    def __init__(
        self,
        store: Store,
        labeller: Labeller,
        *,
        learns: Callable[[TeamName], bool],
        now: Callable[[], datetime],
        sleep: Callable[[float], Awaitable[None]],
        counted: Callable[[str, str, str], None],
    ) -> None:
        """`counted` is told team, model and verdict of each score that was not known already."""
        self._store = store
        self._labeller = labeller
        self._learns = learns
        self._now = now
        self._sleep = sleep
        self._counted = counted
        self._rooms: dict[TeamName, _Room] = {}  # as many as teams are configured
        self._decode = msgspec.json.Decoder(Score).decode

    async def take(self, caller: Caller, body: bytes) -> Taken:
        """Keep a client's score of an answer of its team's, or of its own alone where its key is bounded.

        Raises InvalidRequest, RateLimited, StoreUnavailable, and UnknownRequest for what is no such request: whether it
        is another's nobody learns.
        """
        now = self._now()
        self._rooms.setdefault(caller.team, _Room()).enter(now)
        score = self._read(body)
        entry = await self._found(caller, score.request_id)
        label = self._label(entry, score, now)
        if label is None:
            return Taken(entry.request_id, _NO_VERDICT, is_new=False, is_learned=False)
        is_new = bool(await anyio.to_thread.run_sync(self._store.keep_labels, [label]))
        if is_new:
            self._counted(label.team, label.model, label.verdict.value)
        return Taken(entry.request_id, label.verdict, is_new=is_new, is_learned=self._learns(caller.team))

    async def _found(self, caller: Caller, request_id: str) -> LedgerEntry:
        """The request, if the caller may score it. One that has just ended is waited for: the ledger is written in
        batches.

        That of somebody else takes as long as none at all.
        """
        for pause_s in (*_PATIENCE_S, None):
            entry = await anyio.to_thread.run_sync(self._store.find, request_id)
            if entry is not None and _may_score(caller, entry):
                return entry
            if pause_s is not None:
                await self._sleep(pause_s)
        raise UnknownRequest(
            f"Team {caller.team} has no request {request_id[:100]!r} that has ended. `request_id` is what the header "
            "x-request-id of its answer said."
        )

    def _read(self, body: bytes) -> Score:
        try:
            refuse_ambiguous(body)
            score = self._decode(body)
        except UNREADABLE as error:
            is_reason = "$.reason" in str(error)
            words = f" It is one of {', '.join(get_args(Reason))}." if is_reason else ""
            raise InvalidRequest(
                'Expected a JSON object such as {"request_id": "req_…", "score": 1, "reason": "wrong"} with a score '
                f"from 0 to 1; the reason may be left out. {error}.{words}",
                param="reason" if is_reason else None,
            ) from error
        if not 0.0 <= score.score <= 1.0:
            raise InvalidRequest(f"`score` must be from 0 (bad) to 1 (good); got {score.score:g}.", param="score")
        return score

    def _label(self, entry: LedgerEntry, score: Score, now: datetime) -> Label | None:
        served = entry.served_by
        if served is None or entry.outcome is Outcome.SHADOW:
            raise InvalidRequest(
                f"Request {entry.request_id} has no answer of a model to be scored: it ended as {entry.outcome.value}.",
                param="request_id",
                code="not_answered",
            )
        if now - entry.at > WINDOW:
            raise InvalidRequest(
                f"Request {entry.request_id} is of {entry.at:%Y-%m-%d}; answers are scored within {WINDOW.days} days.",
                param="request_id",
                code="too_old",
            )
        number = entry.attempts.index(served) + 1
        try:
            past = Past.of(entry)
        except CannotDecideAgain:
            return None  # kept by another version: there is nothing to learn from
        return self._labeller.label(
            past.entry,
            past.profile,
            number,
            signal=Signal.FEEDBACK,
            score=score.score,
            at=now,
            reason=score.reason,
            propensity=past.propensity if number == 1 else None,  # later calls were no choice
        )


def _may_score(caller: Caller, entry: LedgerEntry) -> bool:
    if caller.scope.bounds_requests and entry.key_id != caller.key_id:
        return False
    return entry.team == caller.team


_NO_VERDICT = Verdict.MIXED


class _Room:
    """How many scores of a team have come within the minute."""

    def __init__(self) -> None:
        self._began: datetime | None = None
        self._count = 0

    def enter(self, now: datetime) -> None:
        """Raises RateLimited."""
        # A clock that was put back begins another minute: the old one would otherwise last until it is caught up with.
        if self._began is None or not timedelta(0) <= now - self._began < timedelta(minutes=1):
            self._began, self._count = now, 0
        if self._count >= MOST_PER_MINUTE:
            left_s = 60.0 - (now - self._began).total_seconds()
            raise RateLimited(
                f"{MOST_PER_MINUTE} scores of the team's have come within a minute, which is all that are taken. "
                "Score a random part of the answers, not all, or ask again later.",
                retry_after_s=max(left_s, 1.0),
            )
        self._count += 1
