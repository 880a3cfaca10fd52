"""Where books, counters and answers are kept: the stores that a configuration names."""

import secrets
import time
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from router.config.snapshot import Server, Settings, Snapshot
from router.errors import PenstockError
from router.gateway.dispatch import Quotas
from router.keys import Secret
from router.limits.functions import ROOT, BudgetFunctions
from router.limits.redis import RedisGate
from router.storage.answer_shelves import RedisShelf
from router.storage.pepper import pepper
from router.storage.postgres import PostgresStore
from router.storage.shared_marks import RedisMarks
from router.storage.sqlite import SqliteStore
from router.storage.store import Store

_LEDGER_FILE = "penstock.sqlite"
SANDBOX_DIRECTORY = "sandbox"  # within the state directory


def open_store(settings: Settings) -> Store:
    """Ledger and keys: PostgreSQL if it is configured, else SQLite in the state directory."""
    if settings.postgres is None:
        return SqliteStore(_sqlite_file(settings))
    return PostgresStore(_required(settings.postgres))


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


def redis_gate(snapshot: Snapshot, store: Store, *, process: str) -> RedisGate:
    assert snapshot.settings.redis is not None
    return RedisGate(
        BudgetFunctions(redis_client(_required(snapshot.settings.redis).reveal())),
        store,
        quotas=Quotas(snapshot).all(),
        monotonic_s=time.monotonic,
        new_id=lambda: secrets.token_hex(8),
        process=process,
        allowance=snapshot.settings.allowance,
        quarantine_s=1.2,  # more than two beats of every process: it registers what it holds within one
    )


def redis_marks(settings: Settings) -> RedisMarks | None:
    if settings.redis is None:
        return None
    client = redis_client(_required(settings.redis).reveal())
    return RedisMarks(client, root=ROOT, monotonic_s=time.monotonic)


def redis_shelf(settings: Settings) -> RedisShelf | None:
    if settings.redis is None:
        return None
    client = redis_client(_required(settings.redis).reveal(), is_text=False)
    return RedisShelf(client, root=ROOT, monotonic_s=time.monotonic)


def redis_client(url: str, *, is_text: bool = True) -> Redis:
    """A client that asks once: whoever uses it gives up in his own time, and knows better whether to try again."""
    return Redis.from_url(
        url,
        decode_responses=is_text,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # Redis before 7.2 does not know what to do with it
        socket_timeout=None,
    )


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
