"""The provider's memory of prompts: which beginnings of a conversation it has seen lately.

Rules, simplified from what the providers publish (OpenRouter documentation on prompt caching, 2026-08): a beginning is
a whole number of messages, tools included; it must have 1024 tokens; it is remembered for five minutes from its last
use. Automatic caches remember every beginning and read in steps of 128 tokens, so a repeated prompt is never read
entirely from the cache. Explicit caches (Anthropic) remember and look only up to the last message that carries
`cache_control`, read exactly, and charge for what they write.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from router.sandbox.json_text import JsonObject, canonical
from router.sandbox.offer import Offer
from router.sandbox.prompt_tokens import PromptSize
from router.sandbox.requests import ChatRequest, parts_of

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""

_MINIMUM_TOKENS = 1_024
_STEP_TOKENS = 128
_LIFETIME = timedelta(minutes=5)
_CAPACITY = 50_000
"""Beginnings kept; the least recently used go first."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Prompt tokens that were read from the cache, and those written to it."""

    read_tokens: int = 0
    write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Beginning:
    digest: bytes
    tokens: int
    is_breakpoint: bool


class PromptCache:
    """What all providers together remember; a memory is bound to one account and one model."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._expiries: OrderedDict[bytes, datetime] = OrderedDict()

    def use(self, request: ChatRequest, size: PromptSize, *, offer: Offer, account: str) -> CacheUse:
        """Reads what is remembered of this prompt, and remembers the rest of it."""
        if offer.rates.cache_read is None or size.native_tokens(offer) < _MINIMUM_TOKENS:
            return CacheUse()
        beginnings = [b for b in _beginnings(request, size, offer, account) if b.tokens >= _MINIMUM_TOKENS]
        if offer.caching == "automatic":
            read = self._longest_remembered(beginnings)
            self._remember(beginnings)
            return CacheUse(read_tokens=read - read % _STEP_TOKENS)
        return self._use_explicitly(beginnings)

    def _use_explicitly(self, beginnings: list[_Beginning]) -> CacheUse:
        breakpoints = [b for b in beginnings if b.is_breakpoint]
        if not breakpoints:
            return CacheUse()
        written_tokens = breakpoints[-1].tokens
        read = self._longest_remembered([b for b in beginnings if b.tokens <= written_tokens])
        self._remember(breakpoints)
        return CacheUse(read_tokens=read, write_tokens=written_tokens - read)

    def _longest_remembered(self, beginnings: list[_Beginning]) -> int:
        now = self._clock()
        known = (b.tokens for b in beginnings if (expiry := self._expiries.get(b.digest)) and expiry > now)
        return max(known, default=0)

    def _remember(self, beginnings: list[_Beginning]) -> None:
        expiry = self._clock() + _LIFETIME
        for beginning in beginnings:
            self._expiries[beginning.digest] = expiry
            self._expiries.move_to_end(beginning.digest)
        while len(self._expiries) > _CAPACITY:
            self._expiries.popitem(last=False)


def _beginnings(request: ChatRequest, size: PromptSize, offer: Offer, account: str) -> Iterator[_Beginning]:
    tools = canonical([tool.source for tool in request.tools])
    digest = hashlib.blake2b(canonical([account, offer.id]) + tools, digest_size=16).digest()
    tokens = size.tools_tokens(offer)
    last = len(request.messages) - 1
    for position, (message, message_size) in enumerate(zip(request.messages, size.messages, strict=True)):
        is_marked = any("cache_control" in part for part in parts_of(message))
        unmarked = _without_marks(message) if is_marked else message
        digest = hashlib.blake2b(digest + canonical(unmarked), digest_size=16).digest()
        tokens += message_size.native_tokens(offer)
        is_breakpoint = is_marked or (request.is_cached_automatically and position == last)
        yield _Beginning(digest, tokens, is_breakpoint)


def _without_marks(message: JsonObject) -> JsonObject:
    """The message without its `cache_control` marks, which clients move from turn to turn."""
    parts = [{key: value for key, value in part.items() if key != "cache_control"} for part in parts_of(message)]
    return message | {"content": parts}
