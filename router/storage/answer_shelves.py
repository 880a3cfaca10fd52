"""Where the cached answers of a process alone lie: `MemoryShelf`. Never raises."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

_MOST_BYTES = 64 * 1024 * 1024


class _Kept(NamedTuple):
    content: bytes
    until_s: float


class MemoryShelf:
    """As many answers as fit into 64 MiB, those asked for last."""

    def __init__(self, *, monotonic_s: Callable[[], float], most_bytes: int = _MOST_BYTES) -> None:
        self._monotonic_s = monotonic_s
        self._most_bytes = most_bytes
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._bytes = 0

    async def get(self, key: bytes) -> bytes | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept.until_s <= self._monotonic_s():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept.content

    async def put(self, key: bytes, content: bytes, *, ttl_s: float) -> None:
        self._drop(key)
        if len(content) > self._most_bytes:
            return
        self._kept[key] = _Kept(content, self._monotonic_s() + ttl_s)
        self._bytes += len(content)
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.content)
