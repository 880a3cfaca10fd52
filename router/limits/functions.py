"""The edge to Redis: calls of the function library `penstock_budget_v3.lua`, each answered soon or given up.

A call cannot be cancelled by the request that makes it, so that no request leaves a reply half read or a hold that
nobody knows of; it ends by itself within its time-out. There are no retries: whoever asks knows better.
"""

import asyncio
from collections.abc import Awaitable
from importlib import resources
from typing import cast

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from router.limits.asking import CALL_TIMEOUT_S, NoAnswer, Reply

# The hash tag keeps all keys on one node of a cluster.
ROOT = "{penstock}"

_LIBRARY = "penstock_budget_v3"
_PREFIX = "penstock_v3_"
_MOST_CONNECTIONS = 32  # a judgement; one call takes Redis some 20 us, so more only wait in another place


class BudgetFunctions:
    """The functions of one Redis, through a client that nobody else uses."""

    def __init__(self, client: Redis, *, root: str = ROOT) -> None:
        self._client = client
        self._root = root
        self._library = resources.files("router.limits").joinpath(f"{_LIBRARY}.lua").read_text(encoding="utf-8")
        self._slots = asyncio.Semaphore(_MOST_CONNECTIONS)

    async def call(self, function: str, *arguments: str | int, timeout_s: float = CALL_TIMEOUT_S) -> Reply:
        """What the function answers; its first item says how it went. Raises NoAnswer."""
        reply: Reply | None = None
        with anyio.CancelScope(shield=True):
            try:
                # Not anyio.fail_after: it cancels again and again, also the clean-up by which redis-py drops the
                # connection whose reply is outstanding; this one cancels once.
                async with asyncio.timeout(timeout_s), self._slots:
                    reply = await self._call(function, arguments)
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                raise NoAnswer(f"{function}: {type(error).__name__}") from error
        assert reply is not None
        return reply

    async def aclose(self) -> None:
        await self._client.aclose(close_connection_pool=True)

    async def _call(self, function: str, arguments: tuple[str | int, ...]) -> Reply:
        try:
            return await self._fcall(function, arguments)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        await self._load()
        return await self._fcall(function, arguments)

    async def _fcall(self, function: str, arguments: tuple[str | int, ...]) -> Reply:
        call = self._client.fcall(_PREFIX + function, 1, self._root, *arguments)
        return await cast("Awaitable[Reply]", call)  # the types are shared with the client that blocks

    async def _load(self) -> None:
        try:
            await cast("Awaitable[str]", self._client.function_load(self._library))
        except ResponseError as error:
            if "already exists" not in str(error):  # another process was quicker
                raise
