"""What is made with redis, of the extra `shared`. Imported by name, where Redis is configured (stores.py)."""

import secrets
import time

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from router.assembly.stores import ServedMarks, ServedShelf
from router.config.snapshot import Snapshot
from router.errors import PenstockError
from router.gateway.dispatch import KeyBudgets, Quotas
from router.keys import Secret
from router.limits.functions import ROOT, BudgetFunctions
from router.limits.redis import RedisGate
from router.storage.shared_marks import RedisMarks
from router.storage.shared_shelf import RedisShelf
from router.storage.store import Store


def redis_gate(url: Secret, snapshot: Snapshot, store: Store, *, process: str, keys: KeyBudgets) -> RedisGate:
    return RedisGate(
        BudgetFunctions(redis_client(url.reveal())),
        store,
        quotas=Quotas(snapshot, keys).all(),
        own_budgets=keys.budgets_of,
        monotonic_s=time.monotonic,
        new_id=lambda: secrets.token_hex(8),
        process=process,
        allowance=snapshot.settings.allowance,
        quarantine_s=1.2,  # more than two beats of every process: it registers what it holds within one
    )


def redis_marks(url: Secret) -> ServedMarks:
    return RedisMarks(redis_client(url.reveal()), root=ROOT, monotonic_s=time.monotonic)


def redis_shelf(url: Secret) -> ServedShelf:
    return RedisShelf(redis_client(url.reveal(), is_text=False), root=ROOT, monotonic_s=time.monotonic)


def redis_client(url: str, *, is_text: bool = True) -> Redis:
    """A client that asks once: whoever uses it gives up in his own time, and knows better whether to try again.

    Raises BadAddress.
    """
    try:
        return Redis.from_url(
            url,
            decode_responses=is_text,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # Redis before 7.2 does not know what to do with it
            socket_timeout=None,
        )
    except ValueError:  # which quotes the part at fault, and that may be the password
        raise BadAddress(
            "The address of Redis cannot be read: it should look like redis://:PASSWORD@HOST:PORT/0, where a password "
            "that has / ? # or @ in it is percent-encoded."
        ) from None


class BadAddress(PenstockError):
    """An address is there, and is none."""

    code = "bad_address"
