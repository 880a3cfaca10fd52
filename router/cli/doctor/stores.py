"""The servers that several processes share: whether they answer, and forget nothing."""

from contextlib import closing
from importlib import import_module

import anyio.to_thread

from router.assembly.stores import open_store
from router.cli.doctor.findings import Finding, fault, fine
from router.config.snapshot import Server, Settings
from router.storage.errors import StoreUnavailable


async def store_findings(settings: Settings) -> list[Finding]:
    """What is found of those that are configured. Redis's driver is imported only for that."""
    found: list[Finding] = []
    if settings.postgres is not None:
        found.append(await _of_postgres(settings, settings.postgres))
    if settings.redis is not None:
        found += await import_module("router.cli.doctor.redis_server").redis_findings(settings.redis)
    if settings.postgres is None and settings.redis is None:
        found.append(fine("stores", "SQLite and memory, which is right for one process"))
    return found


async def _of_postgres(settings: Settings, server: Server) -> Finding:
    if server.url is None:
        return fault("postgres", f"{server.url_from} is empty", "put the server's URL there")
    try:
        await anyio.to_thread.run_sync(_read_postgres, settings)
    except StoreUnavailable as error:
        return fault("postgres", error.message, f"is the server up, and the URL in {server.url_from} right?")
    return fine("postgres", "answers, and has the tables")


def _read_postgres(settings: Settings) -> None:
    with closing(open_store(settings)) as store:
        store.latest(1)
