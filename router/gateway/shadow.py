"""Copies of answered requests to a model that is only to be measured: `Shadows`.

A copy is made when its request is over and booked, so that it can neither delay nor fail it. It is an `Exchange` like
any other, with a hold, a journal record and a ledger entry of its own; but its money is the shadow's own budget, its
outcome is `shadow`, and nobody reads the answer. Where too many wait, the newest are dropped.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from hashlib import blake2b

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from msgspec import Raw
from msgspec.structs import replace

from router.apis import Api
from router.decision.policy import Shadow
from router.errors import PenstockError, UpstreamError
from router.gateway.dispatch import Gateway
from router.gateway.exchange import Exchange
from router.gateway.planning import Plan
from router.keys import Caller
from router.wire.controls import NO_CONTROLS
from router.wire.requests import ModelRequest

_AT_ONCE = 4
_MOST_WAITING = 32  # each keeps its request in memory, 32 MiB at most
_BYTES = 8

DROPPED = "dropped"  # too many were waiting
NO_CHAT = "no_chat"  # it cannot be put to another model, as no chat request can say it


@dataclass(frozen=True, slots=True)
class _Copy:
    gateway: Gateway  # that carried the request: its shadow is measured under the same configuration
    plan: Plan  # of the request
    shadow: Shadow
    request: ModelRequest
    caller: Caller
    request_id: str


class Shadows:
    """The copies that wait, and who sends them."""

    def __init__(
        self,
        *,
        skipped: Callable[[Plan, Shadow, str], None],
        outer_edge: Callable[[], AbstractContextManager[None, bool]],
    ) -> None:
        self._skipped = skipped  # a copy that was not sent, and why
        self._outer_edge = outer_edge  # the server's: what a copy does wrong ends there, and not the server
        self._waiting: MemoryObjectSendStream[_Copy] | None = None  # while nobody sends, nothing waits

    def offer(self, gateway: Gateway, plan: Plan, request: ModelRequest, caller: Caller, request_id: str) -> None:
        """Copy the request if its policy has a shadow and the request's id falls into its share; returns at once."""
        shadow = plan.policy.shadow
        if shadow is None or not falls_into(shadow.share, request_id):
            return
        if self._waiting is not None:
            try:
                self._waiting.send_nowait(_Copy(gateway, plan, shadow, request, caller, request_id))
                return
            except anyio.WouldBlock:
                pass  # it is dropped
        self._skipped(plan, shadow, DROPPED)

    async def run(self) -> None:
        """Send what is offered, until cancelled: then what is under way is cut off, settled and booked."""
        waiting, copies = anyio.create_memory_object_stream[_Copy](_MOST_WAITING)
        async with waiting, copies:
            self._waiting = waiting
            try:
                async with anyio.create_task_group() as tasks:
                    for _ in range(_AT_ONCE):
                        tasks.start_soon(self._send_for_ever, copies)
            finally:
                self._waiting = None

    async def _send_for_ever(self, copies: MemoryObjectReceiveStream[_Copy]) -> None:
        async for copy in copies:
            with self._outer_edge():
                try:
                    await self._send(copy)
                except UpstreamError:
                    pass  # booked with what came of its calls
                except PenstockError as error:
                    self._skipped(copy.plan, copy.shadow, error.code)

    async def _send(self, copy: _Copy) -> None:
        gateway = copy.gateway
        if Api.CHAT not in copy.request.apis:
            self._skipped(copy.plan, copy.shadow, NO_CHAT)
            return
        plan = gateway.planner.shadowed(copy.plan, copy.shadow)
        exchange = Exchange(
            gateway,
            caller=copy.caller,
            request=_streamed(copy.request),
            controls=NO_CONTROLS,
            request_id=f"{copy.request_id}.shadow",
            received_s=gateway.monotonic_s(),
            shadow=plan,
        )
        async with exchange:
            await exchange.open()
            if exchange.body is None:
                async with aclosing(exchange.stream()) as events:
                    async for _ in events:
                        pass


def falls_into(share: float, request_id: str) -> bool:
    """Whether the request is one of the share. The id decides, so that it can be told afterwards."""
    digest = blake2b(request_id.encode(), digest_size=_BYTES).digest()
    return int.from_bytes(digest) < share * (1 << 8 * _BYTES)


def _streamed(request: ModelRequest) -> ModelRequest:
    """As a chat that is streamed, whatever it was: that names its generation at once, and can be given up."""
    return replace(request, is_stream=True, members={**request.members, "stream": Raw(b"true")}, original=None)
