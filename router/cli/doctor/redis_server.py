"""Redis: whether it answers, is new enough, and forgets nothing. Imported by name, where Redis is configured."""

from collections.abc import Iterator

import anyio
import redis.exceptions

from router.assembly.with_redis import BadAddress, redis_client
from router.cli.doctor.findings import Finding, fault, fine, noted
from router.config.snapshot import Server

_PATIENCE_S = 5.0
_OLDEST_REDIS = 7  # functions came with it


async def redis_findings(server: Server) -> list[Finding]:
    if server.url is None:
        return [fault("redis", f"{server.url_from} is empty", "put the server's URL there")]
    try:
        client = redis_client(server.url.reveal())
    except BadAddress as error:
        return [fault("redis", error.message, f"put the server's URL into {server.url_from}")]
    try:
        with anyio.fail_after(_PATIENCE_S):
            version = str((await client.info("server"))["redis_version"])
            policy = str((await client.info("memory"))["maxmemory_policy"])
            is_kept = bool((await client.info("persistence"))["aof_enabled"])
    except (redis.exceptions.RedisError, OSError, TimeoutError, KeyError, ValueError) as error:
        why = str(error) or f"no answer within {_PATIENCE_S:.0f} s"
        return [fault("redis", why, f"is the server up, and the URL in {server.url_from} right?")]
    finally:
        await client.aclose()
    return list(_of_settings(version, policy, is_kept=is_kept))


def _of_settings(version: str, policy: str, *, is_kept: bool) -> Iterator[Finding]:
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) < _OLDEST_REDIS:
        yield fault("redis", f"is version {version}", f"take Redis {_OLDEST_REDIS} or newer, or Valkey")
    elif policy != "noeviction":
        yield fault(
            "redis",
            f"has maxmemory-policy {policy}: a counter that is evicted is a budget forgotten",
            "set `maxmemory-policy noeviction`",
        )
    elif not is_kept:
        yield noted(
            "redis",
            f"{version} answers; it keeps nothing over a restart, after which budgets are rebuilt from the ledger",
            "set `appendonly yes` (docs/money.md)",
        )
    else:
        yield fine("redis", f"{version} answers, keeps everything, evicts nothing")
