"""`Store`: what every store does, whatever is behind it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from router.audit import Act, Chain, Entry, Row
from router.catalog.book import PriceRow
from router.keys import KeyStore, TeamName
from router.ledger import History, Ledger
from router.quality.labels import Label
from router.storage.reads import Reads
from router.storage.sealed import PromptStore


class PriceStore(Protocol):
    """Where the price book is kept. Implementations block: call them from a thread."""

    def prices(self, since: datetime | None = None) -> list[PriceRow]:
        """Every row of the price book, or those last seen then or later, by name, oldest first."""

    def keep_prices(self, prices: Sequence[PriceRow]) -> None:
        """Append the rows that are not there; of those that are, only `last_seen` moves on. All or none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that a client has given a key of its own, so that it is carried out once."""

    team: TeamName
    key_digest: bytes
    fingerprint: bytes  # of all that was asked: a key stands for one request
    request_id: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who has the key already."""

    fingerprint: bytes
    request_id: str
    content: bytes | None  # its answer; None: it is under way


class AnswerStore(Protocol):
    """Where the answers to requests with a key are kept. Implementations block: call them from a thread."""

    def claim_answer(self, claim: Claim, *, at: datetime, until: datetime) -> Claimed | None:
        """Take the key until then, or say who has it. What has expired `at` that moment is forgotten."""

    def keep_answer(self, claim: Claim, content: bytes, *, until: datetime) -> None:
        """Keep the answer under the claimed key until then."""

    def give_up_claim(self, claim: Claim) -> None:
        """There will be no answer: the key is free."""

    def drop_expired_answers(self, at: datetime) -> None:
        """Forget what has expired at that moment."""

    def give_up_claims(self) -> None:
        """The same for every key under which there is none yet: whoever claimed them is gone."""


class LabelStore(Protocol):
    """Where labels of answers are kept, numbered as they came. Implementations block: call them from a thread."""

    def keep_labels(self, labels: Sequence[Label]) -> int:
        """Keep them, all or none, each in the place of an earlier one of the same signal about the same call.

        How many changed anything: one whose score is the one that is kept does not. Whoever has read up to a number
        misses none by asking for those after it.
        """

    def labels_after(self, number: int, limit: int) -> list[tuple[int, Label | None]]:
        """The first labels behind that number, in order, with theirs. None: one that this version cannot read."""

    def last_labels(self, team: TeamName, limit: int) -> list[tuple[int, Label]]:
        """The newest labels of a team, oldest first."""

    def drop_labels(self, before: datetime) -> int:
        """Forget those that came before that moment; how many."""

    def take_lease(self, name: str, holder: str, *, at: datetime, until: datetime) -> bool:
        """Have what only one of many processes may do, until then; False if another has it at that moment."""


class AuditStore(Protocol):
    """Where the audit log is kept, to which rows are only added. Implementations block: call them from a thread."""

    def append_audit(self, entry: Entry, chain: Chain, *, is_news: bool = False) -> Row | None:
        """The row that the entry has become, behind whatever any process has written; one process at a time does so.

        With `is_news`, None, and nothing is written, if the last of its act says the same of the same actor.
        """

    def audit_after(self, number: int, limit: int) -> list[Row]:
        """The first rows behind that number, in order."""

    def audit_before(self, number: int, *, since: str, limit: int) -> list[Row]:
        """The last rows before that number that are of that moment or later, newest first."""

    def audit_of(self, act: Act, *, since: str) -> list[Row]:
        """The rows of an act of that moment or later, in order."""


class Store(Ledger, History, KeyStore, PriceStore, AnswerStore, LabelStore, PromptStore, AuditStore, Reads, Protocol):
    """Ledger, keys, prices, answers, labels, prompts, lessons, audit. Every method raises StoreUnavailable."""

    def booked(self, call_ids: Collection[str]) -> set[str]:
        """Those of the calls (`request id.number`) that the ledger has."""

    def recorded_costs(self, call_ids: Collection[str]) -> dict[str, int]:
        """What those of the calls cost, in nano-dollars, that the ledger has by the provider's record."""

    def learned(self, name: str) -> bytes | None:
        """What was kept last under that name, or None."""

    def keep_learned(self, name: str, content: bytes, at: datetime) -> None:
        """Keep it in the place of what was there. Of two that write at once the later counts."""

    def swap_learned(self, name: str, before: bytes | None, content: bytes, at: datetime) -> bool:
        """Keep it in the place of `before`, which was found there (None: nothing). False if something else is there by
        now: then nothing is kept, and of two that have read the same only one succeeds."""

    def close(self) -> None:
        """Give back what the store holds on to. Nothing may be asked of it afterwards."""
