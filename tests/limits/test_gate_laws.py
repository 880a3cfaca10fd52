"""Laws of every gate under any sequence of holds, settlements, refusals, passing windows, restarts and lost states.

The model is a list of holds and of settled sums, each with the moment of its admission; what a window holds or has
spent is a sum over that list, so that it cannot forget or count twice.
"""

import asyncio
import secrets
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from router.errors import BudgetExhausted
from router.limits.functions import BudgetFunctions
from router.limits.gate import Gate, Quota, Reservation, Scope
from router.limits.memory import MemoryGate
from router.limits.redis import RedisGate
from router.quotas import NO_LIMITS, Budget, BudgetState, Per, ScopeId, ScopeKind, window
from tests.limits.books import Booked, Books
from tests.limits.clock import MovableClock, SharedClock
from tests.limits.redis_server import RedisServer

T = TypeVar("T")

# 25 October 2026: clocks go back at 3 in Berlin, so that days of 25 hours and a repeated hour are among the windows.
START = datetime(2026, 10, 24, 21, 59, tzinfo=UTC)
SCOPES = (
    ScopeId.of_team("search"),
    ScopeId("search", ScopeKind.KEY, "8f3a0b6c"),
    ScopeId("search", ScopeKind.PROJECT, "eu"),
    ScopeId.of_team("ads"),
)
CHARGED = ((0,), (0, 1), (0, 1, 2), (0, 2), (3,))  # which scopes one request is charged to

amounts = st.integers(0, 120)
budgets = st.lists(st.builds(Budget, limit_nano_usd=st.integers(0, 200), per=st.sampled_from(Per)), max_size=3).map(
    tuple
)


@dataclass
class Spending:
    """What one request of the model holds or has spent."""

    id: str
    scopes: tuple[ScopeId, ...]
    admitted_at: datetime
    held: int  # -1: settled, or lost with its process
    spent: int = 0
    process: int = 0
    reservation: Reservation | None = field(default=None, repr=False)


class World(Protocol):
    """A gate and what is around it."""

    @property
    def gate(self) -> Gate: ...

    @property
    def clock(self) -> MovableClock: ...

    @property
    def keeps_holds(self) -> bool:
        """Those of processes that have died."""

    def run(self, step: Coroutine[object, object, T]) -> T:
        """What the coroutine returns."""

    def states(self) -> list[BudgetState]:
        """Where the gate says that every budget stands."""

    def restart(self, quotas: Iterable[Quota], books: Books) -> None:
        """Kill the process, and start another."""

    def lose(self) -> None:
        """Whatever the gate's process does not keep itself is gone."""

    def close(self) -> None: ...


class OneProcess:
    """The gate in memory."""

    keeps_holds = False

    def __init__(self) -> None:
        self.clock = MovableClock(START)
        self.gate: Gate = MemoryGate(now=self.clock.now, monotonic_s=self.clock.monotonic_s)

    def run(self, step: Coroutine[object, object, T]) -> T:
        """The coroutine must not wait for anything: that is why this gate needs no lock."""
        try:
            step.send(None)
        except StopIteration as end:
            value: T = end.value
            return value
        raise AssertionError("the gate awaited something, so its steps are not atomic any more")

    def states(self) -> list[BudgetState]:
        return self.gate.states()

    def restart(self, quotas: Iterable[Quota], books: Books) -> None:
        gate = MemoryGate(now=self.clock.now, monotonic_s=self.clock.monotonic_s)
        gate.recover(quotas, books.spent_since)
        self.gate = gate

    def lose(self) -> None:
        pass

    def close(self) -> None:
        pass


class ManyProcesses:
    """The gate in Redis. One process at a time, which is enough: each step is one call."""

    keeps_holds = True

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._root = f"{{{secrets.token_hex(8)}}}"
        self._runner = asyncio.Runner()
        self.process = secrets.token_hex(8)
        self.clock = SharedClock(START, server)
        self.redis_gate = self._gate((), Books())

    @property
    def gate(self) -> Gate:
        return self.redis_gate

    def run(self, step: Coroutine[object, object, T]) -> T:
        async def stepped() -> T:
            return await step

        return self._runner.run(stepped())

    def states(self) -> list[BudgetState]:
        self.run(self.redis_gate.refresh())
        return self.gate.states()

    def restart(self, quotas: Iterable[Quota], books: Books) -> None:
        self.run(self.redis_gate.aclose())
        dead, self.process = self.process, secrets.token_hex(8)
        self.redis_gate = self._gate(quotas, books)
        self.run(self.redis_gate.bury(dead))  # its journal was found
        self.run(self.redis_gate.beat())

    def lose(self) -> None:
        self._server.wipe()
        self.run(self.redis_gate.beat())

    def close(self) -> None:
        self.run(self.redis_gate.aclose())
        self._runner.close()

    def _gate(self, quotas: Iterable[Quota], books: Books) -> RedisGate:
        gate = RedisGate(
            BudgetFunctions(self._server.url, root=self._root),
            books,
            quotas=quotas,
            monotonic_s=self.clock.monotonic_s,
            new_id=lambda: secrets.token_hex(8),
            process=self.process,
            quarantine_s=0,
        )
        self.run(gate.beat())
        return gate


class GateAgainstModel(RuleBasedStateMachine):
    """Two teams, one with a key and a project, arbitrary budgets, arbitrary order."""

    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.world = self.make_world()
        self.books = Books()
        self.model: list[Spending] = []
        self.process = 0

    def make_world(self) -> World:
        return OneProcess()

    @initialize(each=st.tuples(*[budgets] * 4), zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
    def open(self, each: tuple[tuple[Budget, ...], ...], zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.scopes = {scope: Scope(scope, of_it, NO_LIMITS) for scope, of_it in zip(SCOPES, each, strict=True)}
        self.world.restart([Quota(tuple(self.scopes.values()), self.zone)], self.books)

    @rule(target=holds, charged=st.sampled_from(CHARGED), amount=amounts)
    def reserve(self, charged: tuple[int, ...], amount: int) -> object:
        scopes = tuple(SCOPES[index] for index in charged)
        spending = Spending(f"r.{len(self.model)}", scopes, self.world.clock.now(), held=amount, process=self.process)
        quota = Quota(tuple(self.scopes[scope] for scope in scopes), self.zone)
        lefts = [
            budget.limit_nano_usd - sum(self.standing(scope.id, budget.per))
            for scope in quota.scopes
            for budget in scope.budgets
        ]
        asking = self.world.gate.reserve(quota, reservation_id=spending.id, nano_usd=amount)
        if any(amount > left for left in lefts):
            with pytest.raises(BudgetExhausted) as refusal:
                self.world.run(asking)
            assert refusal.value.asked_nano_usd == amount
            assert refusal.value.left_nano_usd == max(min(lefts), 0)
            assert refusal.value.resets_in_s > 0
            return multiple()
        spending.reservation = self.world.run(asking)
        self.model.append(spending)
        return spending

    @rule(spending=holds, amount=amounts)
    def settle(self, spending: Spending, amount: int) -> None:
        """The same hold may come again: then nothing must change."""
        assert spending.reservation is not None
        if spending.process == self.process:
            self.world.run(self.world.gate.settle(spending.reservation, nano_usd=amount))
        elif self.world.keeps_holds:
            self.world.run(self.world.gate.resolve(spending.id, nano_usd=amount))
        if spending.held >= 0:
            spending.spent, spending.held = amount, -1
            if spending.process != self.process:  # whoever resolves books as well
                self.book(spending)

    @rule(spending=holds)
    def book(self, spending: Spending) -> None:
        """The ledger is written some time after the settlement."""
        if spending.held < 0 and spending.id not in self.books.calls:
            self.books.calls[spending.id] = Booked(spending.scopes, spending.admitted_at, spending.spent)

    @rule(seconds=st.sampled_from([1, 59, 60, 3_600, 86_400, 7 * 86_400, 31 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    @rule()
    def restart(self) -> None:
        """What was settled gets into the ledger from the journal. In memory, holds end with the process."""
        for spending in self.model:
            self.book(spending)
            if not self.world.keeps_holds:
                spending.held = -1
        self.process += 1
        self.world.restart([Quota(tuple(self.scopes.values()), self.zone)], self.books)

    @rule()
    def lose_state(self) -> None:
        """What the living process holds and has settled is not lost; the holds of dead ones are."""
        self.world.lose()
        for spending in self.model:
            if spending.process != self.process:
                spending.held = -1

    @invariant()
    def every_budget_stands_where_the_model_says(self) -> None:
        for state in self.world.states():
            assert (state.spent_nano_usd, state.held_nano_usd) == self.standing(state.scope, state.per)

    @invariant()
    def no_window_is_kept_in_memory_that_nothing_depends_on(self) -> None:
        """What a gate keeps is bounded by its budgets and the holds under way, not by the time it runs."""
        if isinstance(self.world.gate, MemoryGate):
            open_windows = sum(
                len(each.reservation.windows) for each in self.model if each.reservation and each.held >= 0
            )
            kinds = sum(len({budget.per for budget in scope.budgets}) for scope in self.scopes.values())
            assert len(self.world.gate._accounts) <= kinds + open_windows

    def teardown(self) -> None:
        self.world.close()

    def standing(self, scope: ScopeId, per: Per) -> tuple[int, int]:
        """Spent and held in the window that is open now."""
        current = window(per, self.world.clock.now(), self.zone)
        inside = [
            each for each in self.model if scope in each.scopes and current.starts <= each.admitted_at < current.ends
        ]
        return sum(each.spent for each in inside), sum(max(each.held, 0) for each in inside)


def test_the_gate_in_memory_agrees_with_the_model() -> None:
    run_state_machine_as_test(
        GateAgainstModel, settings=settings(max_examples=150, stateful_step_count=40, deadline=None)
    )


def test_the_gate_in_redis_agrees_with_the_model(clocked_redis: RedisServer) -> None:
    class InRedis(GateAgainstModel):
        def make_world(self) -> World:
            return ManyProcesses(clocked_redis)

    run_state_machine_as_test(InRedis, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
