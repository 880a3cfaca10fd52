"""Answers that are given again to a team that asks exactly the same: `AnswerCache`, and `Recall` for one request.

Opt-in, by `cache` in the team's file; never across teams. Exactly the same is: the API, every top-level member of the
body byte for byte, the controls that decide who answers, the models that the API key may be answered by, and the
configuration. What is kept is what the client got: a
whole answer, or the events of a stream. Only an answer that reached its client whole, finished by itself or by its
limit, and passed the policy's checks, is kept.

A hit costs nothing and is booked as that, with what it saved: what the answer would have cost at the baseline, else
what it had cost.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Protocol

import msgspec
from msgspec import Raw

from router.apis import Api
from router.catalog.catalog import ModelName, ProviderName
from router.config.snapshot import Caching, Team
from router.keys import WHOLE_TEAM, KeyScope
from router.wire.controls import Controls
from router.wire.requests import ModelRequest

MOST_BYTES = (
    1024 * 1024
)  # of an answer that is kept: most have some kilobytes, and what is longer is seldom asked again
_DIGEST_BYTES = 32
# Finish reasons of answers that may be given again; chat's words and Anthropic's, and none, as embeddings have.
_FINISHED = frozenset({"stop", "length", "tool_calls", "function_call", "end_turn", "tool_use", "max_tokens",
                       "stop_sequence", "completed", "max_output_tokens", None})  # fmt: skip


class Remembered(msgspec.Struct, frozen=True):
    """An answer as it was given, and what is worth knowing of it."""

    content: bytes  # the body of a whole answer, or the events of a stream
    at_s: float  # when, in seconds since 1970
    request_id: str
    model: ModelName
    provider: ProviderName
    baseline: ModelName  # what it is measured against: the team's baseline, or the model itself
    baseline_nano_usd: int


class Shelf(Protocol):
    """Where answers lie. Never raises: what cannot be reached is not there."""

    async def get(self, key: bytes, /) -> bytes | None: ...

    async def put(self, key: bytes, content: bytes, /, *, ttl_s: float) -> None: ...


class AnswerCache:
    """The cached answers of all teams under one configuration."""

    def __init__(self, shelf: Shelf, *, config_version: str, now: Callable[[], datetime]) -> None:
        self._shelf = shelf
        self._config_version = config_version
        self._now = now

    def recall(
        self, team: Team, request: ModelRequest, controls: Controls, scope: KeyScope = WHOLE_TEAM
    ) -> "Recall | None":
        """For one request; None if its answer is neither to be found nor kept."""
        caching = team.cache
        if caching is None or controls.no_store or not (caching.is_always or _is_repeatable(request)):
            return None
        return Recall(self._shelf, self._key(team, request, controls, scope), caching, controls, now=self._now)

    def _key(self, team: Team, request: ModelRequest, controls: Controls, scope: KeyScope) -> bytes:
        digest = blake2b(digest_size=_DIGEST_BYTES)
        members = request.members if request.original is None else request.original.members
        tightened = (
            controls.max_cost_usd,
            controls.min_quality,
            controls.max_latency_ms,
            controls.max_effort,
            controls.policy,
        )
        who = "" if scope.models is None else repr(sorted(scope.models))
        head = (team.name, self._config_version, request.api.value, repr(tightened), who)
        for part in head:
            _add(digest.update, part.encode())
        for name, value in members.items():
            _add(digest.update, name.encode())
            _add(digest.update, bytes(value))
        return digest.digest()


class Recall:
    """`look` before anybody is asked; if nothing was `found`, `keep` what comes."""

    def __init__(
        self, shelf: Shelf, key: bytes, caching: Caching, controls: Controls, *, now: Callable[[], datetime]
    ) -> None:
        self.found: Remembered | None = None
        self._shelf = shelf
        self._key = key
        self._ttl_s = caching.ttl_s
        self._looks = not controls.no_cache
        self._now = now
        self._events: list[bytes] | None = []  # of a stream; None: too many
        self._bytes = 0

    @property
    def age_s(self) -> int:
        """Of what was found."""
        assert self.found is not None
        return max(int(self._now().timestamp() - self.found.at_s), 0)

    async def look(self) -> Remembered | None:
        content = await self._shelf.get(self._key) if self._looks else None
        if content is not None:
            with suppress(msgspec.DecodeError):  # another version of this program has kept it: it is not there
                self.found = msgspec.msgpack.decode(content, type=Remembered)
        return self.found

    async def noting(self, events: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        """The events of a stream, as they come."""
        async with aclosing(events):
            async for data in events:
                if self._events is not None:
                    self._bytes += len(data)
                    self._events.append(data)
                    if self._bytes > MOST_BYTES:
                        self._events = None
                yield data

    async def keep(
        self,
        body: bytes | None,
        *,
        finish_reason: str | None,
        request_id: str,
        served_by: tuple[ModelName, ProviderName],
        baseline: tuple[ModelName, int],
    ) -> None:
        """Keep the whole answer, or if that is None the events that were noted."""
        if finish_reason not in _FINISHED:
            return
        content = body if body is not None else None if self._events is None else b"".join(self._events)
        if not content or len(content) > MOST_BYTES:
            return
        kept = Remembered(content, self._now().timestamp(), request_id, *served_by, *baseline)
        await self._shelf.put(self._key, msgspec.msgpack.encode(kept), ttl_s=self._ttl_s)


def _add(update: Callable[[bytes], object], part: bytes) -> None:
    """With its length, so that no two requests are the same in a row."""
    update(len(part).to_bytes(8))
    update(part)


def _is_repeatable(request: ModelRequest) -> bool:
    """Whether the same is to be expected if it is asked again: at temperature 0, or where nothing is drawn."""
    if request.api in (Api.EMBEDDINGS, Api.MODERATIONS):
        return True
    members: Mapping[str, Raw] = request.members if request.original is None else request.original.members
    try:
        return Decimal(bytes(members.get("temperature", Raw(b"null"))).decode()) == 0
    except (InvalidOperation, UnicodeDecodeError):
        return False
