"""Where books, counters and answers are kept: the stores that a configuration names."""

import secrets
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from router.config.snapshot import Server, Settings, Snapshot
from router.errors import PenstockError
from router.gateway.cache import Shelf
from router.gateway.dispatch import KeyBudgets
from router.keys import Secret
from router.learning.warmth import SharedMarks
from router.limits.redis import RedisGate
from router.storage.pepper import pepper
from router.storage.sqlite import SqliteStore
from router.storage.store import Store

_LEDGER_FILE = "penstock.sqlite"
SANDBOX_DIRECTORY = "sandbox"  # within the state directory


def open_store(settings: Settings) -> Store:
    """Ledger and keys: PostgreSQL if it is configured, else SQLite in the state directory."""
    if settings.postgres is None:
        return SqliteStore(_sqlite_file(settings))
    store: Store = _late("postgres", "postgres_store")(_required(settings.postgres))
    return store


def existing_store(settings: Settings) -> Store:
    """The same for who only reads. Raises NoBooks where there are none yet, and creates none."""
    if has_store(settings):
        return open_store(settings)
    demo = only_demo(settings)
    raise NoBooks(
        f"There are no books in {settings.state_dir}: nothing was served from there and no key made. "
        + (
            f"Those of the demo are in {demo}: add --sandbox."
            if demo is not None
            else "STATE_DIRECTORY, or state.directory in penstock.yaml, says where they are."
        )
    )


def only_demo(settings: Settings) -> Path | None:
    """Where the demo's books are, if there are those and no others."""
    demo = settings.state_dir / SANDBOX_DIRECTORY
    return demo if not has_store(settings) and (demo / _LEDGER_FILE).exists() else None


def has_store(settings: Settings) -> bool:
    """False if nothing has been served yet: to look is no reason to make a file."""
    return settings.postgres is not None or _sqlite_file(settings).exists()


def _sqlite_file(settings: Settings) -> Path:
    return settings.state_dir / _LEDGER_FILE


def open_pepper(settings: Settings) -> bytes:
    return pepper(settings.state_dir / "pepper", secrets.token_bytes)


class ServedMarks(SharedMarks, Protocol):
    """Shared sightings with somebody who writes them."""

    async def run(self) -> None:
        """Write what is put, until cancelled."""
        ...

    async def aclose(self) -> None: ...


class ServedShelf(Shelf, Protocol):
    """A shelf that is reached over a connection."""

    async def aclose(self) -> None: ...


def redis_gate(snapshot: Snapshot, store: Store, *, process: str, keys: KeyBudgets) -> RedisGate:
    assert snapshot.settings.redis is not None
    url = _required(snapshot.settings.redis)
    gate: RedisGate = _late("redis", "redis_gate")(url, snapshot, store, process=process, keys=keys)
    return gate


def redis_marks(settings: Settings) -> ServedMarks | None:
    if settings.redis is None:
        return None
    marks: ServedMarks = _late("redis", "redis_marks")(_required(settings.redis))
    return marks


def redis_shelf(settings: Settings) -> ServedShelf | None:
    if settings.redis is None:
        return None
    shelf: ServedShelf = _late("redis", "redis_shelf")(_required(settings.redis))
    return shelf


def _late(driver: str, function: str) -> Callable[..., Any]:
    """A function of the module that needs a driver: of the extra `shared`, and 8 MB each; who has none has neither.

    That it is installed has been looked at with the configuration (config/schema/penstock.py).
    """
    found: Callable[..., Any] = getattr(import_module(f"router.assembly.with_{driver}"), function)
    return found


def _required(server: Server) -> Secret:
    if server.url is None:
        raise MissingAddress(f"{server.url_from} is empty: it should hold the URL of a server that is configured.")
    return server.url


class NoBooks(PenstockError):
    """There is nothing to read yet. An empty answer would hide that one looks in the wrong place."""

    code = "no_books"


class MissingAddress(PenstockError):
    """A server is configured, and its address is not there. Starting without it would be starting without its money."""

    code = "missing_address"
