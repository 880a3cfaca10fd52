"""Processes that share a Redis, each with a gate of its own, from their start to their orderly end."""

import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from router.assembly.with_redis import redis_client
from router.limits.functions import BudgetFunctions
from router.limits.gate import Quota
from router.limits.redis import RedisGate
from router.quotas import OutageAllowance
from tests.limits.books import Books
from tests.limits.redis_server import RedisServer

PATIENCE_S = 10.0


def gate_on(
    server: RedisServer,
    books: Books,
    *,
    quotas: Sequence[Quota],
    quarantine_s: float,
    allowance: OutageAllowance | None = None,
    monotonic_s: Callable[[], float] = time.monotonic,
    root: str = "{test}",
    process: str = "",
    functions: BudgetFunctions | None = None,
) -> RedisGate:
    """The gate of one process, which has a name of its own unless it is given one."""
    return RedisGate(
        BudgetFunctions(redis_client(server.url), root=root) if functions is None else functions,
        books,
        quotas=quotas,
        monotonic_s=monotonic_s,
        new_id=lambda: secrets.token_hex(8),
        process=process or secrets.token_hex(8),
        quarantine_s=quarantine_s,
        allowance=allowance,
    )


@asynccontextmanager
async def running(gate: RedisGate, *, dead: tuple[str, ...] = ()) -> AsyncIterator[RedisGate]:
    """The gate of one process, from its start to its orderly end, which finds those processes dead."""

    async def book_the_dead() -> tuple[str, ...]:
        return dead

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(gate.run, book_the_dead)
            yield gate
            tasks.cancel_scope.cancel()
    finally:
        await gate.aclose()


async def until(is_so: Callable[[], bool], *, within_s: float = PATIENCE_S) -> float:
    """Seconds until it was so."""
    started_s = time.monotonic()
    with anyio.fail_after(within_s):
        while not is_so():  # noqa: ASYNC110 - it becomes so in another process, or in what the gate keeps to itself
            await anyio.sleep(0.01)
    return time.monotonic() - started_s
