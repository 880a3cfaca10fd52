"""What the cache of answers makes of what lies on its shelf."""

from datetime import UTC, datetime

import anyio
import pytest

from router.config.snapshot import Caching
from router.gateway.cache import Recall
from router.storage.answer_shelves import MemoryShelf
from router.wire.controls import NO_CONTROLS

KEY = b"k"


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x80", b'{"content":"old"}'])
def test_an_answer_of_another_version_is_not_there(content: bytes) -> None:
    """It would have made an error of ours of every such request until it expired."""

    async def look() -> bool:
        shelf = MemoryShelf(monotonic_s=lambda: 0.0)
        await shelf.put(KEY, content, ttl_s=60)
        caching = Caching(ttl_s=60, is_always=True)
        recall = Recall(shelf, KEY, caching, NO_CONTROLS, now=lambda: datetime(2026, 11, 25, tzinfo=UTC))
        return await recall.look() is None and recall.found is None

    assert anyio.run(look)
