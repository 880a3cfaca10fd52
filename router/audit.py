"""The audit log as values: what was done on the admin plane, by whom, and a chain that shows whether that was changed.

Each row has an HMAC-SHA-256 over its own content and the one of the row before it. The key is derived from the pepper,
which the store does not hold: who may write the store cannot make a row, change one, leave one out or change their
order without that being seen. What a chain cannot show by itself is that its end is missing; for that somebody must
remember a `Head`, which is why it is kept in a second place (`storage/audit_trail.py`), in the log and as a metric.
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

GENESIS = b"\0" * 32  # what stands in the place of the row before the first

SYSTEM = "system"  # who does what nobody has asked for


class Act(StrEnum):
    """What was done. A word that has been written stays what it means."""

    SIGNED_IN = "signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SIGNED_OUT = "signed_out"
    RELOAD_ASKED = "reload_asked"
    RELOAD_APPLIED = "reload_applied"
    RELOAD_REFUSED = "reload_refused"
    CONFIG_IN_FORCE = "config_in_force"
    REPLAY_ASKED = "replay_asked"
    REPLAY_STARTED = "replay_started"
    REPLAY_CANCELLED = "replay_cancelled"
    QUALITY_LEARNED = "quality_learned"  # a refit promoted or refused, a fallback, a silence
    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    PROMPT_SHOWN = "prompt_shown"  # by `penstock prompts show`
    PROMPTS_DELETED = "prompts_deleted"


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. Texts have no secrets and no prompts in them."""

    at: str  # UTC, ISO 8601 with microseconds
    actor: str  # an admin token's name, `os:USER` of a command, `system`
    act: Act | str  # a text: one that this version does not know
    subject: str = ""  # what it was done to: a key's id, a version, a team
    detail: str = ""  # one line
    origin: str = ""  # where it came from: an address, or a process


@dataclass(frozen=True, slots=True)
class Row:
    """An entry in its place in the chain."""

    number: int  # from 1, without gaps
    entry: Entry
    mac: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain, as somebody saw it."""

    number: int = 0
    mac: bytes = GENESIS

    def __str__(self) -> str:
        return f"{self.number}:{self.mac.hex()}"


def head_from(text: str) -> Head | None:
    """The head that is written so; None if it is none."""
    number, _, mac = text.strip().partition(":")
    try:
        head = Head(int(number), bytes.fromhex(mac)) if number.isascii() and number.isdigit() else None
    except ValueError:
        return None
    return head if head is not None and len(head.mac) == len(GENESIS) else None


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a chain is not what was written."""

    number: int  # of the first row at which it shows
    why: str


class Chain:
    """Makes the rows of a log, and tells whether rows are such."""

    def __init__(self, secret: bytes) -> None:
        """`secret` is the pepper; the key of the chain is of no other use."""
        self._key = hmac.digest(secret, b"penstock audit chain", hashlib.sha256)

    def next(self, head: Head, entry: Entry) -> Row:
        """The row that follows that head."""
        number = head.number + 1
        return Row(number, entry, self._mac(head.mac, number, entry))

    def broken(self, rows: Iterable[Row], *, after: Head = Head()) -> Broken | Head:
        """Where the rows, which follow `after`, stop being what was written; else where they end."""
        head = after
        for row in rows:
            if row.number != head.number + 1:
                return Broken(
                    head.number + 1, f"row {head.number + 1} is missing, or out of its place: row {row.number} is next"
                )
            if not hmac.compare_digest(row.mac, self._mac(head.mac, row.number, row.entry)):
                return Broken(row.number, "it is not the row that was written there")
            head = Head(row.number, row.mac)
        return head

    def _mac(self, before: bytes, number: int, entry: Entry) -> bytes:
        texts = (entry.at, entry.actor, str(entry.act), entry.subject, entry.detail, entry.origin)
        # Each with its length: text cannot move from one field into the next.
        parts = (before, number.to_bytes(8, "big"), *(text.encode("utf-8", "surrogatepass") for text in texts))
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, message, hashlib.sha256)


def lost_end(seen: Iterable[tuple[str, Head]], rows: dict[int, bytes], end: Head) -> Broken | None:
    """Whether the end of a chain that is whole is missing: `seen` are heads that somebody remembers, by who that is.

    `rows` are the MACs of the chain at the numbers of those heads.
    """
    for who, head in seen:
        if head.number > end.number:
            return Broken(end.number + 1, f"{who} has seen row {head.number}, and the log ends at {end.number}")
        if head.number and rows.get(head.number) != head.mac:
            return Broken(head.number, f"{who} has seen another row {head.number}: the log was written anew")
    return None
