"""Copies to a shadow, where something goes wrong: what comes after them, and what is said."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import NoReturn, cast

import anyio
import anyio.lowlevel
import pytest

from router.apis import Api
from router.catalog.catalog import ModelName
from router.decision.policy import Shadow
from router.errors import PenstockError, Unavailable
from router.gateway.dispatch import Gateway
from router.gateway.planning import Plan
from router.gateway.shadow import Shadows
from router.keys import Caller
from router.quotas import Budget, Per
from router.server.app import OuterEdge
from router.wire.requests import ChatReader, Original
from tests.replacing import replace

pytestmark = pytest.mark.anyio

SHADOW = Shadow(ModelName("maker/pro"), share=1.0, budget=Budget(1, Per.DAY))
REQUEST = ChatReader().read(b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}')
PLAN = cast("Plan", SimpleNamespace(policy=SimpleNamespace(shadow=SHADOW)))


@dataclass
class Failing:
    """A gateway and its planner, which fail with each of these in turn, and tell when none is left."""

    errors: list[Exception]
    is_done: anyio.Event = field(default_factory=anyio.Event)

    @property
    def planner(self) -> "Failing":
        return self

    def shadowed(self, plan: Plan, shadow: Shadow) -> NoReturn:
        error = self.errors.pop(0)
        if not self.errors:
            self.is_done.set()
        raise error


async def test_a_mistake_in_one_copy_ends_at_the_outer_edge_and_the_next_ones_are_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    skipped: list[str] = []
    gateway = Failing([*[RuntimeError("the prompt")] * 8, Unavailable("away"), PenstockError("ours")])
    shadows = Shadows(skipped=lambda plan, shadow, why: skipped.append(why), outer_edge=OuterEdge)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shadows.run)
        await anyio.lowlevel.checkpoint()
        for number in range(10):
            shadows.offer(cast("Gateway", gateway), PLAN, REQUEST, cast("Caller", None), f"req_{number}")
        await gateway.is_done.wait()
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()

    assert [message.partition(" in ")[0] for message in caplog.messages] == ["unhandled RuntimeError"] * 8
    assert "the prompt" not in caplog.text
    assert skipped == ["unavailable", "internal_error"]


async def test_what_is_offered_while_nobody_sends_is_dropped_and_counted() -> None:
    skipped: list[str] = []
    shadows = Shadows(skipped=lambda plan, shadow, why: skipped.append(why), outer_edge=OuterEdge)

    shadows.offer(cast("Gateway", Failing([])), PLAN, REQUEST, cast("Caller", None), "req_1")

    assert skipped == ["dropped"]


async def test_a_request_that_no_chat_can_say_is_not_copied() -> None:
    skipped: list[str] = []
    told = anyio.Event()

    def skip(_: Plan, __: Shadow, why: str) -> None:
        skipped.append(why)
        told.set()

    shadows = Shadows(skipped=skip, outer_edge=OuterEdge)
    request = replace(REQUEST, original=Original(Api.RESPONSES, {}, untranslatable="a hosted prompt"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(shadows.run)
        await anyio.lowlevel.checkpoint()
        shadows.offer(cast("Gateway", Failing([])), PLAN, request, cast("Caller", None), "req_1")
        await told.wait()
        tasks.cancel_scope.cancel()

    assert skipped == ["no_chat"]
