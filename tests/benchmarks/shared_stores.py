"""What one request costs Redis and PostgreSQL: their CPU, not ours. It says how many requests one of each bears.

python -m tests.benchmarks.shared_stores      prints microseconds of the servers' CPU and bytes per request
"""

import asyncio
import secrets
import tempfile
from contextlib import closing
from pathlib import Path
from time import monotonic
from zoneinfo import ZoneInfo

import psycopg
from msgspec.structs import replace

from router.assembly.with_redis import redis_client
from router.keys import Secret
from router.limits.functions import BudgetFunctions
from router.limits.gate import Quota, Scope
from router.limits.redis import RedisGate
from router.quotas import Budget, Limits, Per, ScopeId, ScopeKind
from router.storage.postgres import PostgresStore
from tests.benchmarks.ledger import batches
from tests.limits.books import Books
from tests.limits.redis_server import RedisServer
from tests.storage.postgres_server import programs, running_server

_REQUESTS = 5_000
_AT_ONCE = 4
_ENTRIES = 50_000
_ZONE = ZoneInfo("Europe/Berlin")

# A team with two budgets and its limits, and a key with one: what the shipped configuration's teams might have.
_LIMITS = Limits(requests_per_minute=10**9, tokens_per_minute=10**12, concurrent=10**6)
_TEAM = Scope(ScopeId.of_team("search"), (Budget(10**15, Per.MONTH), Budget(10**15, Per.DAY)), _LIMITS)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        server = RedisServer(Path(place))
        server.start()
        with closing(server):
            asyncio.run(_redis(server))
    _postgres()


async def _redis(server: RedisServer) -> None:
    gate = RedisGate(
        BudgetFunctions(redis_client(server.url)),
        Books(),
        quotas=(),
        monotonic_s=monotonic,
        new_id=lambda: secrets.token_hex(8),
        process=secrets.token_hex(8),
        quarantine_s=0,
    )
    while not gate.can_pay:
        await gate.beat()
    running = asyncio.get_running_loop().create_task(gate.run(_nobody_is_dead))
    key = Scope(ScopeId("search", ScopeKind.KEY, "8f3a0b6cd1e2f495"), (Budget(10**15, Per.MONTH),), Limits())
    for name, scopes in (("team", (_TEAM,)), ("team and key", (_TEAM, key))):
        quota = Quota(scopes, _ZONE)
        await _requests(gate, quota, 500, name=f"{name} warm")
        before, memory = _redis_used(server)
        await _requests(gate, quota, _REQUESTS, name=name)
        after, memory_after = _redis_used(server)
        us = (after - before) / _REQUESTS * 1e6
        kept = (memory_after - memory) / _REQUESTS
        print(
            f"Redis, {name}: {us:.0f} µs of its CPU a request ({1e6 / us:,.0f} requests/s on its core), "
            f"{kept:,.0f} bytes remembered a request for a minute and more"
        )
    running.cancel()
    await gate.aclose()


async def _nobody_is_dead() -> tuple[str, ...]:
    return ()


async def _requests(gate: RedisGate, quota: Quota, count: int, *, name: str) -> None:
    async def one(number: int) -> None:
        admission = await gate.admit(quota, tokens=1000)
        hold = await gate.reserve(quota, reservation_id=f"{name}.{number}", nano_usd=1_000_000)
        await gate.settle(hold, nano_usd=400_000)
        await gate.leave(admission, tokens=700)

    for start in range(0, count, _AT_ONCE):
        await asyncio.gather(*(one(number) for number in range(start, min(start + _AT_ONCE, count))))


def _redis_used(server: RedisServer) -> tuple[float, int]:
    """Seconds of CPU, and bytes."""
    cpu, memory = server.client.info("cpu"), server.client.info("memory")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"]), int(memory["used_memory"])


def _postgres() -> None:
    found = programs()
    if found is None:
        print("PostgreSQL is not installed")
        return
    with (
        running_server(found) as server,
        server.new_schema() as conninfo,
        closing(PostgresStore(Secret(conninfo))) as store,
    ):
        for batch in batches(1_000):
            store.write(batch)
        before, size = server.cpu_s(), _size(conninfo)
        for batch in batches(_ENTRIES):
            store.write([replace(each, request_id=f"x{each.request_id}") for each in batch])
        after, size_after = server.cpu_s(), _size(conninfo)
    us = (after - before) / _ENTRIES * 1e6
    print(
        f"PostgreSQL: {us:.0f} µs of its CPU an entry ({1e6 / us:,.0f} requests/s on one core of it), "
        f"{(size_after - size) / _ENTRIES:,.0f} bytes on disk"
    )


def _size(conninfo: str) -> int:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert found is not None
    return int(found[0])


if __name__ == "__main__":
    main()
