"""API keys: how one is written, how it is checked without a store, and who it makes the caller.

A key reads `psk_<id>_<secret>_<check>`: a public id of 16 hex digits, 256 bits of secret as 64 hex digits, and a CRC-32
of both, so that junk is refused without a look-up. Stores keep an HMAC-SHA-256 of the secret under a pepper that the
store does not hold; a slow hash would add nothing to 256 random bits (reference: argon2id 230 ms, HMAC 3 µs).

The id stays when the secret is changed: what is counted by it (budgets, limits, spend, last use) goes on, and whoever
changes a secret gains nothing. For a while both secrets open the door.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum, auto
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NewType, NoReturn, Protocol
from urllib.parse import quote
from zlib import crc32

import msgspec

from router.apis import Api
from router.catalog.catalog import ModelName
from router.quotas import Budget
from router.units import usd_text

TeamName = NewType("TeamName", str)
KeyId = NewType("KeyId", str)
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

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


_HIDDEN = "***"
_PART = 8  # characters of a secret of which every run is hidden
_SHORTEST = 6  # of secrets that are hidden whole; what is shorter would be found in words


class Redaction:
    """Called with a text it returns it without any part of some secrets, however it is spelt there.

    For texts of some hundred characters: errors of those who know our secrets, and may quote them to others.
    """

    def __init__(self, secrets: Iterable[Secret]) -> None:
        spelt = {form for secret in secrets for form in _spellings(secret.reveal()) if len(form) >= _SHORTEST}
        self._parts = frozenset(
            form[start : start + _PART] for form in spelt for start in range(max(len(form) - _PART, 0) + 1)
        )
        self._lengths = frozenset(map(len, self._parts))

    def __call__(self, text: str) -> str:
        kept, hidden_to = [], 0
        for at, char in enumerate(text):
            for length in self._lengths:
                if text[at : at + length] in self._parts:
                    if at >= hidden_to:
                        kept.append(_HIDDEN)
                    hidden_to = max(hidden_to, at + length)
            if at >= hidden_to:
                kept.append(char)
        return "".join(kept)


def _spellings(text: str) -> Iterator[str]:
    yield text
    yield quote(text, safe="")
    yield text[::-1]
    yield text.encode().hex()
    for before in range(3):
        # The outermost letters of base64 also hold bits of what stands beside the secret.
        coded = b64encode(b"\0" * before + text.encode()).decode()
        yield coded[4 if before else 0 : (before + len(text.encode())) // 3 * 4]


class PresentedKey(msgspec.Struct, frozen=True, gc=False):
    """A key as a client sent it, well-formed but not yet known to be ours."""

    id: KeyId
    secret: Secret


@dataclass(frozen=True, slots=True)
class KeyScope:
    """What a key may do of what its team may: it can only narrow that. None, and no network: whatever the team may."""

    models: frozenset[ModelName] | None = None  # who may answer it, by whatever alias, rule or lot
    aliases: frozenset[str] | None = None  # what its clients may write in `model`
    apis: frozenset[Api] | None = None  # by which it may ask
    networks: tuple[Network, ...] = ()  # where it may be used from
    budgets: tuple[Budget, ...] = ()  # beside what its team's file gives each key; the tighter counts

    @property
    def bounds_requests(self) -> bool:
        """Whether there are requests that its team may make and it may not."""
        return any(names is not None for names in (self.models, self.aliases, self.apis))

    def may_name(self, name: str, *, is_alias: bool) -> bool:
        """Whether its clients may write the name; one that is no alias of the team may have an effort behind it.

        An alias may have an @ in it. It leads to where its team has it lead, and not to what stands before the @.
        """
        if self.aliases is None or name in self.aliases:
            return True
        return not is_alias and name.rpartition("@")[0] in self.aliases

    def reaches(self, address: Address | None) -> bool:
        """Whether it may be used from there; None: nobody knows where that is."""
        if not self.networks:
            return True
        return address is not None and any(address in network for network in self.networks)

    def told(self) -> list[str]:
        """In words, one for each bound; empty where there is none."""
        listed = (("models", self.models), ("aliases", self.aliases), ("apis", self.apis))
        words = [f"{what} {' '.join(sorted(names)) or 'none'}" for what, names in listed if names is not None]
        if self.networks:
            words.append(f"from {' '.join(map(str, self.networks))}")
        return words + [f"${usd_text(each.limit_nano_usd)} per {each.per}" for each in self.budgets]


WHOLE_TEAM = KeyScope()


@dataclass(frozen=True, slots=True)
class FormerSecret:
    """What a key's secret was before it was changed."""

    digest: bytes
    until: datetime  # it opens the door


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as the store knows it."""

    id: KeyId
    team: TeamName
    name: str  # what its owner calls it
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None  # for ever, whatever anybody's clock says
    scope: KeyScope | None = WHOLE_TEAM  # None: this version cannot read it, and so the key may do nothing
    former: FormerSecret | None = None

    def is_valid_at(self, now: datetime) -> bool:
        return self.revoked_at is None and self.scope is not None and (self.expires_at is None or now < self.expires_at)

    def rotated(self, digest: bytes, *, until: datetime) -> "ApiKey":
        """The same key with another secret; the one it has now is good until then."""
        return replace(self, digest=digest, former=FormerSecret(self.digest, until))


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Who asks, and who pays."""

    team: TeamName
    key_id: KeyId
    scope: KeyScope = WHOLE_TEAM


class KeyStore(Protocol):
    """Where keys live. Implementations block: call them from a thread."""

    def add(self, key: ApiKey) -> None: ...

    def all(self) -> list[ApiKey]: ...

    def keys_version(self) -> tuple[int, ...]:
        """Another one after every change, also by a version of this program that knew less of keys."""

    def revoke(self, key_id: KeyId, at: datetime) -> bool:
        """For ever, from now on; `at` is only what is told of it. False if there is none, or it is revoked."""

    def expire(self, key_id: KeyId, at: datetime) -> bool:
        """From that moment on. False if there is none that would be valid longer."""

    def rotate(self, key: ApiKey, rotated: ApiKey) -> bool:
        """Keep the secrets of `rotated` if they are those of `key` and it is not revoked; else False."""


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


class Match(Enum):
    """Which of a key's secrets was presented."""

    CURRENT = auto()
    FORMER = auto()
    NONE = auto()


_NO_FORMER = FormerSecret(b"\0" * 32, datetime.min.replace(tzinfo=UTC))


def matches(presented: PresentedKey, known: ApiKey, pepper: bytes, now: datetime) -> Match:
    """Which of the key's secrets is the one presented, in constant time: both are always compared."""
    its = digest(presented, pepper)
    former = known.former or _NO_FORMER
    is_current = hmac.compare_digest(its, known.digest)
    is_former = hmac.compare_digest(its, former.digest)
    if is_current:
        return Match.CURRENT
    return Match.FORMER if is_former and now < former.until else Match.NONE


def _check(key_id: str, secret: str) -> str:
    return f"{crc32(f'{key_id}_{secret}'.encode()):08x}"
