"""What a request cost and why: `LedgerEntry` with its `Attempt`s. Metrics, ledger rows and traces are made from it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from router.catalog.catalog import Effort, ModelName, ProviderName
from router.keys import KeyId, TeamName
from router.quotas import ScopeId, charged_to
from router.units import CostSource, Usage


class Outcome(StrEnum):
    """How a request ended for its client."""

    OK = "ok"
    CLIENT_GONE = "client_gone"  # the client hung up before the end; what the provider billed is booked
    CACHED = "cached"  # answered as before, from the team's cache: nobody was asked
    CUT = "cut"  # the answer broke off, or an error came in the middle of it
    FAILED = "failed"  # no provider answered
    REFUSED = "refused"  # we refused: nothing eligible, no money, a limit
    SHADOW = "shadow"  # no request, but a copy of one, sent to a model that is only measured
    LOST = "lost"  # the process died while a call was under way; what was held for it is booked


FAILED_VERIFICATION = "failed_verification"  # the outcome of a call whose answer failed a check of the policy
SECOND_OPINION = "second_opinion"  # of a call whose answer was only compared with another's: the client never gets it


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One call to a provider."""

    id: str  # of the hold behind it: request id and number
    model: ModelName
    provider: ProviderName
    outcome: str  # `ok`, `failed_verification`, `second_opinion`, or the code of the error
    served_model: str | None  # what the reply says served it; providers re-point names
    generation_id: str | None  # the provider's own id of the call
    usage: Usage | None  # None: the provider never told
    held_nano_usd: int
    cost_nano_usd: int
    source: CostSource
    duration_s: float
    first_token_s: float | None = None  # of a stream: from the call to its first event
    finish_reason: str | None = None  # as the reply gives it; `length` means that the limit cut the answer off
    version: str | None = None  # of the model, as the reply named it or as the name stood for then; None: not known
    verification: str | None = None  # the check that its answer failed, else `passed`, `unknown`; None: not verified
    effort: Effort | None = None  # it was told by the policy; None: as the client asks
    held_at: datetime | None = None  # when its hold was made: in whose windows it counts; None: with its request


class LedgerEntry(msgspec.Struct, frozen=True, gc=False):
    """One request, written once, when everything about it is known."""

    request_id: str
    at: datetime  # when the request was decided; aware UTC
    team: TeamName
    key_id: KeyId
    alias: str
    policy: str
    rule: str | None
    outcome: Outcome
    attempts: tuple[Attempt, ...]
    rejected: tuple[tuple[ModelName, str], ...]  # who might have served it, and the reason why not
    profile_json: bytes  # numbers and enums, no text of the request
    counted_input_tokens: int  # by our own count, in the vocabulary of the model that answered; 0 if none did
    expected_nano_usd: int  # what the decision expected the candidate that answered to cost; 0 if none did
    baseline: ModelName | None
    baseline_nano_usd: int | None  # what the same tokens would have cost at the baseline; None if not known
    config_version: str
    is_stream: bool
    overhead_s: float  # ours alone: before the first byte was sent to a provider
    first_token_s: float | None  # from admission to the first byte for the client
    duration_s: float
    tags: tuple[str, ...]
    conditions_json: bytes = b""  # what the decision was made in (decision/recorded.py); empty: not kept
    trace_id: str | None = None  # of the trace that the client's request belongs to, 32 hex digits; not in the ledger

    @property
    def cost_nano_usd(self) -> int:
        return sum(attempt.cost_nano_usd for attempt in self.attempts)

    @property
    def held_at(self) -> datetime:
        """When money was held last for it: the windows of budgets that were open then count all it cost.

        A second call may be held when the day in which the first one was has ended. Counters are recovered by this
        moment, so that the day that is open never lacks anything; it may have a failed call's cost too much.
        """
        return max((each.held_at or self.at for each in self.attempts), default=self.at)

    @property
    def served_by(self) -> Attempt | None:
        """The attempt whose answer the client got, or None."""
        if not self.attempts or self.outcome not in _ANSWERED:
            return None
        if self.outcome is Outcome.CUT:
            return self.attempts[-1]
        # After an answer that failed a check, the better model may have failed altogether.
        for each in reversed(self.attempts):
            if each.outcome in _GAVE_AN_ANSWER:
                return each
        return self.attempts[-1]


_GAVE_AN_ANSWER = frozenset({"ok", FAILED_VERIFICATION})
_ANSWERED = frozenset({Outcome.OK, Outcome.CLIENT_GONE, Outcome.CUT})


def with_entries(
    spent: Mapping[ScopeId, int], entries: Iterable[LedgerEntry], *, since: datetime
) -> dict[ScopeId, int]:
    """What `spent_since` has said, and these entries that it did not have yet."""
    total = dict(spent)
    for entry in entries:
        if entry.held_at >= since:
            for scope in charged_to(entry.team, entry.key_id, entry.tags):
                total[scope] = total.get(scope, 0) + entry.cost_nano_usd
    return total


# What spend can be grouped by.
GROUP_NAMES = ("team", "key", "alias", "policy", "model", "provider", "source", "outcome", "day", "tag")


@dataclass(frozen=True, slots=True)
class SpendRow:
    """A line of `penstock spend`: the group's values in the order asked for, and what it cost."""

    group: tuple[str, ...]
    requests: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class DoubtfulCall:
    """A call that is booked at the sum held, and whose provider may still tell what it cost."""

    request_id: str
    number: int  # of the attempt within its request, from 1
    at: datetime  # when the request was decided
    held_at: datetime  # in whose windows it counts
    team: TeamName
    key_id: KeyId
    tags: tuple[str, ...]
    model: ModelName
    provider: ProviderName
    generation_id: str
    held_nano_usd: int


@dataclass(frozen=True, slots=True)
class Period:
    """Which entries: those admitted at or after `since`, before `until`, of that team; None: all."""

    since: datetime | None
    until: datetime
    team: TeamName | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """An entry's place in the order of time."""

    at: datetime
    row: int  # the store's own number: it tells entries of one instant apart


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries in the order of time."""

    entries: tuple[LedgerEntry, ...]
    last: Place | None  # where the next page begins; None: there is none


class Ledger(Protocol):
    """Where entries are kept. Implementations block: call them from a thread."""

    def write(self, entries: list[LedgerEntry]) -> None:
        """Keep the entries, all or none; an entry already kept is left as it is."""

    def spent_since(self, since: datetime) -> dict[ScopeId, int]:
        """Nano-dollars of entries last held for at or after `since`, per team, per key and per tag."""

    def spend(self, by: tuple[str, ...], since: datetime | None) -> list[SpendRow]:
        """Spend grouped by any of GROUP_NAMES, dearest first.

        By `model`, `provider` or `source` a request counts in every group in which a provider was called for it, and
        each call's tokens and cost in its own. By `tag` a request counts in full under each of its tags, and under ""
        if it has none: only then do the rows add up to more than was spent.
        """

    def latest(self, limit: int) -> list[dict[str, object]]:
        """The newest entries, newest first, each with the attempt that answered; for people to look at."""

    def doubtful(
        self, *, since: datetime, before: datetime, after: DoubtfulCall | None, limit: int
    ) -> list[DoubtfulCall]:
        """The first calls behind `after`, oldest first, booked as held although their generation id is known, of
        requests decided at or after `since` and before `before`."""

    def amend(self, call: DoubtfulCall, *, usage: Usage, cost_nano_usd: int) -> bool:
        """Book a doubtful call at what its record says; False if it is not in doubt any more."""


class History(Protocol):
    """What was kept, read back whole. Implementations block: call them from a thread."""

    def count(self, period: Period) -> int:
        """How many entries the period has."""

    def page(self, period: Period, *, after: Place | None, limit: int) -> Page:
        """The first entries of the period behind `after`, oldest first, whole."""

    def find(self, request_id: str) -> LedgerEntry | None:
        """The entry of that request."""


_PAGE = 2_000  # entries; some 4 MB


def pages(
    history: History, period: Period, progress: Callable[[int], None] = lambda _: None
) -> Iterator[tuple[LedgerEntry, ...]]:
    """The entries of the period, oldest first, some thousand at a time.

    `progress` is told how many of them are done with. Blocks. Raises StoreUnavailable.
    """
    page = history.page(period, after=None, limit=_PAGE)
    while True:
        yield page.entries
        progress(len(page.entries))
        if page.last is None:
            return
        page = history.page(period, after=page.last, limit=_PAGE)
