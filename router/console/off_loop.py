"""`OffLoop`: what blocks or takes milliseconds is done in a thread, and for few pages at a time, so that both the event
loop and the store are left to the proxy.
"""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

_AT_ONCE = 2  # of the four connections to PostgreSQL the ledger's writer needs one, and the key ring another


class OffLoop:
    def __init__(self) -> None:
        self._room = anyio.CapacityLimiter(_AT_ONCE)

    async def __call__(self, asked: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(asked, limiter=self._room)
