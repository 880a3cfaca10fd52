"""Where the cached answers of several processes lie: `RedisShelf`. Never raises."""

import asyncio
import logging
from collections.abc import Callable
from typing import cast

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError

_TIMEOUT_S = 0.1  # a request waits for it, and may go on without
_REST_S = 1.0  # after a failure
_MOST_CONNECTIONS = 8

log = logging.getLogger("penstock.cache")


class RedisShelf:
    """Shared. A Redis that is slow or away is left alone for a second, and nothing is found meanwhile."""

    def __init__(self, client: Redis, *, root: str, monotonic_s: Callable[[], float]) -> None:
        """Nobody else uses the client; it must not decode."""
        self._client = client
        self._prefix = f"{root}:answer:".encode()
        self._monotonic_s = monotonic_s
        self._slots = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._rests_until_s = 0.0
        self._is_out = False

    async def get(self, key: bytes) -> bytes | None:
        if self._monotonic_s() < self._rests_until_s:
            return None
        with anyio.CancelScope(shield=True):  # a request that goes away must not leave a reply half read
            try:
                async with asyncio.timeout(_TIMEOUT_S), self._slots:
                    found = cast("bytes | None", await self._client.get(self._prefix + key))
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                self._fails(error)
                return None
        self._works()
        return found

    async def put(self, key: bytes, content: bytes, *, ttl_s: float) -> None:
        if self._monotonic_s() < self._rests_until_s:
            return
        with anyio.CancelScope(shield=True):
            try:
                async with asyncio.timeout(_TIMEOUT_S), self._slots:
                    await self._client.set(self._prefix + key, content, px=max(round(ttl_s * 1000), 1))
            except (RedisError, OSError) as error:
                self._fails(error)
                return
        self._works()

    async def aclose(self) -> None:
        await self._client.aclose(close_connection_pool=True)

    def _fails(self, error: Exception) -> None:
        self._rests_until_s = self._monotonic_s() + _REST_S
        if not self._is_out:
            self._is_out = True
            log.warning(
                "Redis does not answer for the cached answers, of which there are none now (%s)", type(error).__name__
            )

    def _works(self) -> None:
        if self._is_out:
            self._is_out = False
            log.warning("Redis answers again for the cached answers")
