"""API keys: how one is written, how it is checked without a store, and who it makes the caller.

A key reads `psk_<id>_<secret>_<check>`: a public id of 16 hex digits, 256 bits of secret as 64 hex digits, and a CRC-32
of both, so that junk is refused without a look-up. Stores keep an HMAC-SHA-256 of the secret under a pepper that the
store does not hold; a slow hash would add nothing to 256 random bits (reference: argon2id 230 ms, HMAC 3 µs).
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NewType, NoReturn, Protocol
from zlib import crc32

import msgspec

TeamName = NewType("TeamName", str)
KeyId = NewType("KeyId", str)

_SHAPE = re.compile(r"psk_([0-9a-f]{16})_([0-9a-f]{64})_([0-9a-f]{8})")


class Secret:
    """Text that must not be shown: its repr and str are stars; `reveal` is the one way to read it.

    It cannot be pickled or copied, which would write the text out.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: pass it on as it is, or reveal it where it is needed")


class PresentedKey(msgspec.Struct, frozen=True, gc=False):
    """A key as a client sent it, well-formed but not yet known to be ours."""

    id: KeyId
    secret: Secret


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the store knows it."""

    id: KeyId
    team: TeamName
    name: str  # what its owner calls it
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def is_valid_at(self, now: datetime) -> bool:
        if self.revoked_at is not None and now >= self.revoked_at:
            return False
        return self.expires_at is None or now < self.expires_at


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who asks, and who pays."""

    team: TeamName
    key_id: KeyId


class KeyStore(Protocol):
    """Where keys live. Implementations block: call them from a thread."""

    def add(self, key: ApiKey) -> None: ...
    def all(self) -> list[ApiKey]: ...
    def revoke(self, key_id: KeyId, at: datetime) -> bool: ...


def parse(text: str) -> PresentedKey | None:
    """The key in `text`, or None if it cannot be one of ours."""
    match = _SHAPE.fullmatch(text)
    if match is None or _check(match[1], match[2]) != match[3]:
        return None
    return PresentedKey(id=KeyId(match[1]), secret=Secret(match[2]))


def mint(random_bytes: Callable[[int], bytes]) -> PresentedKey:
    """A new key from a source of secure random bytes."""
    return PresentedKey(id=KeyId(random_bytes(8).hex()), secret=Secret(random_bytes(32).hex()))


def written(key: PresentedKey) -> str:
    """The key as its owner keeps it. The only place where a secret becomes plain text."""
    secret = key.secret.reveal()
    return f"psk_{key.id}_{secret}_{_check(key.id, secret)}"


def digest(key: PresentedKey, pepper: bytes) -> bytes:
    return hmac.digest(pepper, key.secret.reveal().encode(), hashlib.sha256)


def matches(presented: PresentedKey, known: ApiKey, pepper: bytes) -> bool:
    """Whether the secret presented is the one known, in constant time."""
    return hmac.compare_digest(digest(presented, pepper), known.digest)


def _check(key_id: str, secret: str) -> str:
    return f"{crc32(f'{key_id}_{secret}'.encode()):08x}"
