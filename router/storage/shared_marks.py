"""Sightings of prompt beginnings that all processes share, in Redis: digests and deployments, no text.

A look-up is one round trip, given up soon; what is learned is written by a task of its own. Nothing here ever fails a
request: what cannot be reached is not known, and after a failure Redis is left alone for a moment, so that an outage
does not make every request wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, cast

import anyio
from redis.asyncio import Redis
from redis.exceptions import RedisError

from router.catalog.catalog import DeploymentId

_READ_TIMEOUT_S = 0.05  # a request waits for it, and may go on without
_WRITE_TIMEOUT_S = 1.0
_REST_S = 1.0  # after a failure
_MOST_CONNECTIONS = 8
_MOST_WAITING = 2_000  # requests whose marks are not written yet; the oldest are given up first
_MOST_AT_ONCE = 100  # of these in one round trip

# A mark is a hash: deployment -> "milliseconds:task", the time of the last sighting and, if a prompt ended there, of
# which kind of task.
_SEEN = """
local found = {}
for index, key in ipairs(KEYS) do
  local fields = redis.call('HGETALL', key)
  for at = 1, #fields, 2 do
    found[#found + 1] = index
    found[#found + 1] = fields[at]
    found[#found + 1] = fields[at + 1]
  end
end
return found
"""
# The prompt ended at the last key. Late news does not replace newer, nor shorten a life.
_PUT = """
local deployment, at_ms, keep_ms, ended = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
for index, key in ipairs(KEYS) do
  local known = redis.call('HGET', key, deployment) or '0:'
  local known_ms, known_ended = string.match(known, '^(%d+):(.*)$')
  if tonumber(known_ms) < tonumber(at_ms) then
    local task = index == #KEYS and ended or known_ended
    redis.call('HSET', key, deployment, at_ms .. ':' .. task)
    if redis.call('PTTL', key) < tonumber(keep_ms) then
      redis.call('PEXPIRE', key, keep_ms)
    end
  end
end
return 1
"""

log = logging.getLogger("penstock.cache")


class _Waiting(NamedTuple):
    keys: list[str]
    arguments: tuple[str | int, ...]


class RedisMarks:
    """The shared sightings. `run` writes; without it nothing is ever written."""

    def __init__(self, client: Redis, *, root: str, monotonic_s: Callable[[], float]) -> None:
        """Nobody else uses the client."""
        self._client = client
        self._prefix = f"{root}:warm:"
        self._monotonic_s = monotonic_s
        self._slots = asyncio.Semaphore(_MOST_CONNECTIONS)
        self._rests_until_s = 0.0
        self._is_out = False
        self._waiting: deque[_Waiting] = deque(maxlen=_MOST_WAITING)
        self._news = anyio.Event()

    async def seen(self, digests: Sequence[int]) -> list[tuple[int, tuple[DeploymentId, float, str]]]:
        """What is known of these marks: the digest, then deployment, time, and the task whose prompt ended there.

        Nothing if Redis is slow or out of reach. Never raises.
        """
        if not digests or self._monotonic_s() < self._rests_until_s:
            return []
        with anyio.CancelScope(shield=True):  # a request that goes away must not leave a reply half read
            try:
                async with asyncio.timeout(_READ_TIMEOUT_S), self._slots:
                    keys = [self._key(digest) for digest in digests]
                    reply = await cast("Awaitable[list[int | str]]", self._client.eval(_SEEN, len(keys), *keys))
            except (RedisError, OSError) as error:  # TimeoutError is an OSError
                self._fails(error)
                return []
        self._works()
        return [
            (digests[int(reply[at]) - 1], _sighting(str(reply[at + 1]), str(reply[at + 2])))
            for at in range(0, len(reply), 3)
        ]

    def put(self, digests: Sequence[int], deployment: DeploymentId, *, at_s: float, ended: str, keep_s: float) -> None:
        """Have it written that the deployment has read up to these marks, at the last of which a prompt ended."""
        keys = [self._key(digest) for digest in digests]
        self._waiting.append(_Waiting(keys, (deployment, round(at_s * 1000), round(keep_s * 1000), ended)))
        self._news.set()

    async def run(self) -> None:
        """Write what is put, until cancelled."""
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            while self._waiting:
                if self._monotonic_s() < self._rests_until_s:
                    await anyio.sleep(_REST_S)
                await self._write([self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))])

    async def aclose(self) -> None:
        await self._client.aclose(close_connection_pool=True)

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """A batch that cannot be written is given up: others know a little less."""
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT_S), self._client.pipeline(transaction=False) as pipe:
                for each in batch:
                    pipe.eval(_PUT, len(each.keys), *each.keys, *each.arguments)
                await pipe.execute()
        except (RedisError, OSError) as error:
            self._fails(error)
        else:
            self._works()

    def _key(self, digest: int) -> str:
        return f"{self._prefix}{digest:016x}"

    def _fails(self, error: Exception) -> None:
        self._rests_until_s = self._monotonic_s() + _REST_S
        if not self._is_out:
            self._is_out = True
            log.warning(
                "Redis does not answer for the prompt-cache memory, which is this process's own now (%s)",
                type(error).__name__,
            )

    def _works(self) -> None:
        if self._is_out:
            self._is_out = False
            log.warning("Redis answers again for the prompt-cache memory")


def _sighting(deployment: str, value: str) -> tuple[DeploymentId, float, str]:
    at_ms, _, ended = value.partition(":")
    return DeploymentId(deployment), int(at_ms) / 1000, ended
