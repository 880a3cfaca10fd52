"""What the gate of many processes asks of Redis, and what may come of it; how is in `functions.py`, with the driver."""

from typing import Protocol

Reply = list[str | int]

CALL_TIMEOUT_S = 0.25  # for a request: refusals must come within 0.3 s


class NoAnswer(Exception):
    """Redis is out of reach, too slow or refuses; the call may have had its effect all the same."""


class Functions(Protocol):
    """The functions of one Redis."""

    async def call(self, function: str, *arguments: str | int, timeout_s: float = CALL_TIMEOUT_S) -> Reply:
        """What the function answers; its first item says how it went. Raises NoAnswer."""
        ...

    async def aclose(self) -> None: ...
