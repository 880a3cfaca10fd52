"""The functions of a Redis, with what was asked of them, and a line that can be cut."""

import secrets

from router.assembly.with_redis import redis_client
from router.limits.asking import NoAnswer, Reply
from router.limits.functions import BudgetFunctions
from tests.limits.redis_server import RedisServer


class WatchedFunctions(BudgetFunctions):
    """Remembers what was asked and how much time was given for it; nothing gets through while the line is cut."""

    def __init__(self, server: RedisServer) -> None:
        self.root = f"{{{secrets.token_hex(4)}}}"
        self.asked: list[tuple[str | int, ...]] = []
        self.timeouts_s: dict[str, float] = {}
        self.is_cut = False
        super().__init__(redis_client(server.url), root=self.root)

    async def call(self, function: str, *arguments: str | int, timeout_s: float = 1.0) -> Reply:
        self.asked.append((function, *arguments))
        self.timeouts_s[function] = timeout_s
        if self.is_cut:
            raise NoAnswer("The test says so.")
        return await super().call(function, *arguments, timeout_s=timeout_s)

    def names(self) -> list[str | int]:
        """Of the functions that were asked, in order."""
        return [asked[0] for asked in self.asked]
