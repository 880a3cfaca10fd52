"""A state machine that drives a gate and its ledger, and the model that says what must come of it.

The model is a list of holds and of settled sums, each with the moment of its admission; what a window holds or has
spent is a sum over that list, so that it cannot forget or count twice. test_gate_laws.py runs it briefly on a ledger in
memory, tests/torture/laws.py for long on real ones.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from router.assembly.with_redis import redis_client
from router.errors import BudgetExhausted
from router.limits.asking import Reply
from router.limits.functions import BudgetFunctions
from router.limits.gate import Gate, Quota, Reservation, Scope
from router.limits.memory import MemoryGate
from router.limits.redis import RedisGate
from router.quotas import NO_LIMITS, Budget, BudgetState, Per, ScopeId, ScopeKind, window
from tests.limits.books import Booked, WritableBooks
from tests.limits.clock import MovableClock, SharedClock
from tests.limits.redis_server import RedisServer
from tests.replacing import replace

T = TypeVar("T")
Step = Coroutine[object, object, T]

# 25 October 2026: clocks go back at 3 in Berlin, so that days of 25 hours and a repeated hour are among the windows.
START = datetime(2026, 10, 24, 21, 59, tzinfo=UTC)
SCOPES = (
    ScopeId.of_team("search"),
    ScopeId("search", ScopeKind.KEY, "8f3a0b6c"),
    ScopeId("search", ScopeKind.PROJECT, "eu"),
    ScopeId.of_team("ads"),
)
CHARGED = ((0,), (0, 1), (0, 1, 2), (0, 2), (3,))  # which scopes one request is charged to

LEASE_S = 60
RENEWED_EVERY_S = 10  # so that a lease may be as much shorter when it was last heard of its process

amounts = st.integers(0, 120)
limits = st.integers(0, 200) | st.integers(0, 2_000)
budgets = st.lists(st.builds(Budget, limit_nano_usd=limits, per=st.sampled_from(Per)), max_size=3).map(tuple)
charges = st.sampled_from(CHARGED)
processes = st.integers(0, 1)


@dataclass
class Spending:
    """What one request of the model holds or has spent."""

    id: str
    scopes: tuple[ScopeId, ...]
    admitted_at: datetime
    process: "Process"
    held: int  # nothing any more once it is settled or lost
    spent: int = 0
    is_settled: bool = False
    is_lost: bool = False  # Redis has no hold of it any more
    reservation: Reservation | None = field(default=None, repr=False)

    @property
    def windows(self) -> int:
        """In how many it is held."""
        return len(self.reservation.windows) if self.reservation else 0


@dataclass(eq=False)
class Process:
    """One that serves, and what its configuration allows."""

    scopes: dict[ScopeId, Scope]
    heard_at: datetime  # when Redis has last been told that it lives


class World(Protocol):
    """The gates of the living processes, and what is around them."""

    @property
    def gates(self) -> Sequence[Gate]: ...

    @property
    def clock(self) -> MovableClock: ...

    @property
    def books(self) -> WritableBooks: ...

    @property
    def keeps_holds(self) -> bool:
        """Those of processes that have died."""

    def run(self, step: Step[T]) -> T:
        """What the coroutine returns."""

    def run_both(self, one: Step[None], other: Step[Reservation]) -> Reservation | BaseException:
        """Both at the same time, where there is such a thing; what the other returns or raises."""

    def states(self, process: int) -> list[BudgetState]:
        """Where a gate says that every budget stands."""

    def start(self, process: int, quotas: Iterable[Quota]) -> None:
        """Kill the process, if it lives, and start another in its place, which the others hear of."""

    def stop(self) -> None:
        """All processes end in order; others are started in their place before anything else is done."""

    def lose(self, first: int, *, is_late: bool) -> None:
        """Whatever the gates' processes do not keep themselves is gone.

        `first` notices it first; the other in time or, if it `is_late`, when the counters are rebuilt already.
        """

    def beat(self, process: int) -> None:
        """The process has its turn in the background."""

    def orphans(self, process: int) -> set[str]:
        """Holds whose process has not been heard of, as that gate tells."""

    def close(self) -> None: ...


class OneProcess:
    """The gate in memory."""

    keeps_holds = False

    def __init__(self, books: WritableBooks) -> None:
        self.books = books
        self.clock = MovableClock(START)
        self.gates: list[Gate] = [self._gate()]

    def run(self, step: Step[T]) -> T:
        """The coroutine must not wait for anything: that is why this gate needs no lock."""
        try:
            step.send(None)
        except StopIteration as end:
            value: T = end.value
            return value
        raise AssertionError("the gate awaited something, so its steps are not atomic any more")

    def run_both(self, one: Step[None], other: Step[Reservation]) -> Reservation | BaseException:
        self.run(one)
        try:
            return self.run(other)
        except BudgetExhausted as error:
            return error

    def states(self, process: int) -> list[BudgetState]:
        return self.gates[process].states()

    def start(self, process: int, quotas: Iterable[Quota]) -> None:
        gate = self._gate()
        gate.recover(quotas, self.books.spent_since)
        self.gates[process] = gate

    def stop(self) -> None:
        pass

    def lose(self, first: int, *, is_late: bool) -> None:
        pass

    def beat(self, process: int) -> None:
        pass

    def orphans(self, process: int) -> set[str]:
        return set()

    def close(self) -> None:
        pass

    def _gate(self) -> MemoryGate:
        return MemoryGate(now=self.clock.now, monotonic_s=self.clock.monotonic_s)


class _Patient(BudgetFunctions):
    """No answer is given up here, however busy the machine is: outages are not what the model knows of."""

    async def call(self, function: str, *arguments: str | int, timeout_s: float = 60.0) -> Reply:
        return await super().call(function, *arguments, timeout_s=max(timeout_s, 60.0))


class ManyProcesses:
    """Two gates in one Redis, as two processes have them."""

    keeps_holds = True
    _QUARANTINE_S = 1

    def __init__(self, server: RedisServer, books: WritableBooks) -> None:
        self.books = books
        self._server = server
        self._root = f"{{{secrets.token_hex(8)}}}"
        self._runner = asyncio.Runner()
        self.clock = SharedClock(START, server)
        self._edges = [_Patient(redis_client(server.url), root=self._root) for _ in range(2)]
        self._names = [secrets.token_hex(8) for _ in range(2)]
        self._gates = [self._gate(process, ()) for process in range(2)]
        self._attach(0, is_late=False)

    @property
    def gates(self) -> Sequence[Gate]:
        return self._gates

    def run(self, step: Step[T]) -> T:
        async def stepped() -> T:
            return await step

        return self._runner.run(stepped())

    def run_both(self, one: Step[None], other: Step[Reservation]) -> Reservation | BaseException:
        async def stepped() -> Reservation | BaseException:
            _, outcome = await asyncio.gather(one, other, return_exceptions=True)
            return outcome

        return self._runner.run(stepped())

    def states(self, process: int) -> list[BudgetState]:
        self.run(self._gates[process].refresh())
        return self._gates[process].states()

    def start(self, process: int, quotas: Iterable[Quota]) -> None:
        self.run(self._edges[process].aclose())  # killed: it says no farewell
        dead, self._names[process] = self._names[process], secrets.token_hex(8)
        self._edges[process] = _Patient(redis_client(self._server.url), root=self._root)
        self._gates[process] = self._gate(process, quotas)
        self.beat(process)
        self.run(self._gates[process].bury(dead))  # its journal was found
        for each in range(2):
            self.beat(each)

    def stop(self) -> None:
        for process, gate in enumerate(self._gates):
            self.run(gate.aclose())
            self._edges[process] = _Patient(redis_client(self._server.url), root=self._root)
            self._names[process] = secrets.token_hex(8)
        self._gates = [self._gate(process, ()) for process in range(2)]

    def lose(self, first: int, *, is_late: bool) -> None:
        self._server.wipe()
        self._attach(first, is_late=is_late)

    def beat(self, process: int) -> None:
        self.run(self._gates[process].beat())

    def orphans(self, process: int) -> set[str]:
        return {orphan.reservation_id for orphan in self.run(self._gates[process].orphans())}

    def close(self) -> None:
        for edge in self._edges:
            self.run(edge.aclose())
        self._runner.close()

    def _attach(self, first: int, *, is_late: bool) -> None:
        """The first leads the rebuilding; the other registers meanwhile, or so late that it is not waited for."""
        self.beat(first)
        if not is_late:
            self.beat(1 - first)
        self.clock.advance(timedelta(seconds=self._QUARANTINE_S))
        self.beat(first)
        if is_late:
            self.clock.advance(timedelta(seconds=LEASE_S + 1))
            self.beat(first)
        self.beat(1 - first)

    def _gate(self, process: int, quotas: Iterable[Quota]) -> RedisGate:
        return RedisGate(
            self._edges[process],
            self.books,
            quotas=quotas,
            monotonic_s=self.clock.monotonic_s,
            new_id=lambda: secrets.token_hex(8),
            process=self._names[process],
            quarantine_s=self._QUARANTINE_S,
        )


class GateAgainstModel(RuleBasedStateMachine):
    """Two teams, one with a key and a project, arbitrary budgets, arbitrary order; one process or two."""

    holds = Bundle("holds")

    def __init__(self, opened: AbstractContextManager[World], steps: Counter[str]) -> None:
        """`steps` counts what is done, over all the machine's lives."""
        super().__init__()
        self._opened = opened
        self.world = opened.__enter__()
        self.steps = steps
        self.model: list[Spending] = []
        self.living: list[Process] = []

    @initialize(each=st.tuples(*[budgets] * 4), zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
    def open(self, each: tuple[tuple[Budget, ...], ...], zone: str) -> None:
        self.zone = ZoneInfo(zone)
        scopes = {scope: Scope(scope, of_it, NO_LIMITS) for scope, of_it in zip(SCOPES, each, strict=True)}
        for number in range(len(self.world.gates)):
            self.living.append(Process(dict(scopes), self.world.clock.now()))
            self.world.start(number, [self.quota(self.living[number], SCOPES)])

    @rule(target=holds, asks=st.lists(st.tuples(charges, amounts), min_size=1, max_size=4), process=processes)
    def reserve(self, asks: list[tuple[tuple[int, ...], int]], process: int) -> object:
        granted: list[Spending] = []
        for charged, amount in asks:
            granted += self.reserved(charged, amount, process)
            self.every_budget_stands_where_the_model_says()
        return multiple(*granted)

    @rule(spending=holds)
    def reserve_again(self, spending: Spending) -> None:
        """Its own process asks for what it holds: nothing changes."""
        if not spending.is_settled and spending.process in self.living:
            self.steps["reserve: again"] += 1
            gate = self.world.gates[self.living.index(spending.process)]
            quota = self.quota(spending.process, spending.scopes)
            again = self.world.run(gate.reserve(quota, reservation_id=spending.id, nano_usd=spending.held))
            assert again == spending.reservation

    @rule(spending=holds, amount=amounts)
    def settle(self, spending: Spending, amount: int) -> None:
        """Older after newer, for more than was held, and more than once: then nothing must change."""
        self.world.run(self.settling(spending, amount))
        self.steps[f"settle: {self.has_settled(spending, amount)}"] += 1

    @rule(target=holds, spending=holds, amount=amounts, charged=charges, asked=amounts, process=processes)
    def settle_while_the_other_reserves(
        self, spending: Spending, amount: int, charged: tuple[int, ...], asked: int, process: int
    ) -> object:
        """Which comes first is not known; but one of them does."""
        fresh, quota, gate = self.asked(charged, asked, process)
        settling = self.settling(spending, amount)
        fits = {all(asked <= left for left in self.lefts(quota))}
        self.has_settled(spending, amount)
        fits.add(all(asked <= left for left in self.lefts(quota)))
        outcome = self.world.run_both(settling, gate.reserve(quota, reservation_id=fresh.id, nano_usd=asked))
        self.steps["settle and reserve at once"] += 1
        if isinstance(outcome, Reservation):
            assert True in fits
            fresh.reservation = outcome
            self.model.append(fresh)
            return fresh
        assert isinstance(outcome, BudgetExhausted), outcome
        assert False in fits
        return multiple()

    @rule(spending=holds)
    def book(self, spending: Spending) -> None:
        """The ledger is written some time after the settlement, and may be again."""
        if spending.is_settled:
            self.steps["book"] += 1
            self.write(spending)

    @precondition(lambda self: self.model)
    @rule(seconds=st.sampled_from([1, 59, 60, 3_600, 86_400, 7 * 86_400, 31 * 86_400]))
    def wait(self, seconds: int) -> None:
        """Windows end, and so do leases."""
        self.steps["wait"] += 1
        self.world.clock.advance(timedelta(seconds=seconds))

    @precondition(lambda self: self.model and self.world.keeps_holds)
    @rule(seconds=st.sampled_from([0, 9, 49, 59, 61, 600]), heard=st.sets(processes), process=processes)
    def look_for_orphans(self, seconds: int, heard: set[int], process: int) -> None:
        """A hold whose process was heard of within a lease is never among them; one that was not is, and stays held."""
        self.world.clock.advance(timedelta(seconds=seconds))
        for number in heard:
            self.world.beat(number)
            self.living[number].heard_at = self.world.clock.now()
        found = self.world.orphans(process)
        self.steps[f"orphans: {'found' if found else 'none'}"] += 1
        # Without a budget nothing is held.
        kept = [each for each in self.model if not each.is_settled and not each.is_lost and each.windows]
        silent_s = {each.id: self.silent_s(each) for each in kept}
        assert found <= {id_ for id_, passed_s in silent_s.items() if passed_s >= LEASE_S - RENEWED_EVERY_S}
        assert found >= {id_ for id_, passed_s in silent_s.items() if passed_s >= LEASE_S}

    @precondition(lambda self: self.model)
    @rule(process=processes, was_sent=st.booleans())
    def crash(self, process: int, was_sent: bool) -> None:
        """What was settled gets into the ledger from the journal; in memory what was held does too, if it was sent."""
        self.steps["crash"] += 1
        number = process % len(self.living)
        self.end(number, was_sent=was_sent)
        self.begin(number, self.living[number].scopes)

    @precondition(lambda self: self.model)
    @rule(process=processes, scope=st.sampled_from(SCOPES), each=st.tuples(*[limits] * 3))
    def change_limits(self, process: int, scope: ScopeId, each: tuple[int, ...]) -> None:
        """The process is restarted with other limits for the same windows; the other process keeps its own."""
        self.steps["limits changed"] += 1
        number = process % len(self.living)
        old = self.living[number].scopes
        changed = tuple(
            replace(budget, limit_nano_usd=limit) for budget, limit in zip(old[scope].budgets, each, strict=False)
        )
        self.end(number, was_sent=True)
        self.begin(number, {**old, scope: replace(old[scope], budgets=changed)})

    @precondition(lambda self: self.model)
    @rule(scope=st.sampled_from(SCOPES), of_it=budgets)
    def change_budgets(self, scope: ScopeId, of_it: tuple[Budget, ...]) -> None:
        """All processes end, with nothing under way, and begin with other budgets: one that is new, or was taken away
        for a while, counts what was paid when nobody watched it.
        """
        for spending in self.model:
            if not spending.is_settled:
                self.settle(spending, spending.held)
        self.steps["budgets changed"] += 1
        scopes = {**self.living[0].scopes, scope: replace(self.living[0].scopes[scope], budgets=of_it)}
        for number in range(len(self.living)):
            self.end(number, was_sent=True)
        self.world.stop()
        for number in range(len(self.living)):
            self.begin(number, scopes)

    @precondition(lambda self: self.model and self.world.keeps_holds)
    @rule(first=processes, is_late=st.booleans())
    def lose_state(self, first: int, is_late: bool) -> None:
        """What the living processes hold and have settled is not lost; the holds of dead ones are, until they are
        adopted.
        """
        self.steps[f"state lost{', one late' if is_late else ''}"] += 1
        self.world.lose(first, is_late=is_late)
        for process in self.living:
            process.heard_at = self.world.clock.now()
        for spending in self.model:
            if spending.process not in self.living:
                spending.held, spending.is_lost = 0, True

    @invariant()
    def every_budget_stands_where_the_model_says(self) -> None:
        for number in range(len(self.living)):
            for state in self.world.states(number):
                found = (state.spent_nano_usd, state.held_nano_usd)
                assert found == self.standing(state.scope, state.per), (number, state)

    @invariant()
    def no_window_is_kept_in_memory_that_nothing_depends_on(self) -> None:
        """What a gate keeps is bounded by its budgets and the holds under way, not by the time it runs."""
        for process, gate in zip(self.living, self.world.gates, strict=False):
            if isinstance(gate, MemoryGate):
                open_windows = sum(each.windows for each in self.model if not each.is_settled)
                kinds = sum(len({budget.per for budget in scope.budgets}) for scope in process.scopes.values())
                assert len(gate._accounts) <= kinds + open_windows

    def teardown(self) -> None:
        self._opened.__exit__(None, None, None)

    def quota(self, process: Process, scopes: Iterable[ScopeId]) -> Quota:
        return Quota(tuple(process.scopes[scope] for scope in scopes), self.zone)

    def asked(self, charged: tuple[int, ...], amount: int, process: int) -> tuple[Spending, Quota, Gate]:
        """A request to a process, as the model and as the gate see it."""
        number = process % len(self.living)
        scopes = tuple(SCOPES[index] for index in charged)
        at = self.world.clock.now()
        spending = Spending(f"r{len(self.model)}.1", scopes, at, self.living[number], held=amount)
        return spending, self.quota(self.living[number], scopes), self.world.gates[number]

    def lefts(self, quota: Quota) -> list[int]:
        return [
            budget.limit_nano_usd - sum(self.standing(scope.id, budget.per))
            for scope in quota.scopes
            for budget in scope.budgets
        ]

    def reserved(self, charged: tuple[int, ...], amount: int, process: int) -> list[Spending]:
        """One request, granted if it fits into every budget and refused otherwise; empty if it was refused."""
        spending, quota, gate = self.asked(charged, amount, process)
        lefts = self.lefts(quota)
        asking = gate.reserve(quota, reservation_id=spending.id, nano_usd=amount)
        if any(amount > left for left in lefts):
            self.steps["reserve: refused"] += 1
            with pytest.raises(BudgetExhausted) as refusal:
                self.world.run(asking)
            assert refusal.value.asked_nano_usd == amount
            assert refusal.value.left_nano_usd == max(min(lefts), 0)
            assert refusal.value.resets_in_s > 0
            return []
        self.steps["reserve: granted"] += 1
        spending.reservation = self.world.run(asking)
        self.model.append(spending)
        return [spending]

    def settling(self, spending: Spending, amount: int) -> Step[None]:
        """By its own process; or if that one is dead by another, which books it first."""
        assert spending.reservation is not None
        if spending.process in self.living:
            gate = self.world.gates[self.living.index(spending.process)]
            return gate.settle(spending.reservation, nano_usd=amount)
        if spending.is_settled:
            return self.world.gates[0].resolve(spending.id, nano_usd=amount)
        self.world.books.write(spending.id, Booked(spending.scopes, spending.admitted_at, amount))
        quota = self.quota(self.living[0], spending.scopes)
        return self.world.gates[0].adopt(quota, reservation_id=spending.id, at=spending.admitted_at, nano_usd=amount)

    def has_settled(self, spending: Spending, amount: int) -> str:
        """Of which kind the settlement was."""
        if spending.is_settled:
            return "again"
        spending.spent, spending.held, spending.is_settled = amount, 0, True
        if spending.process not in self.living:
            return "for the dead, its hold lost" if spending.is_lost else "for the dead"
        is_late = any(each.is_settled for each in self.model[self.model.index(spending) + 1 :])
        return "after a newer one" if is_late else "in order"

    def write(self, spending: Spending) -> None:
        self.world.books.write(spending.id, Booked(spending.scopes, spending.admitted_at, spending.spent))

    def end(self, number: int, *, was_sent: bool) -> None:
        """The process dies, and its journal is replayed."""
        for spending in self.model:
            if spending.process is self.living[number]:
                if not spending.is_settled and not self.world.keeps_holds:
                    spending.spent, spending.held, spending.is_settled = spending.held if was_sent else 0, 0, True
                if spending.is_settled:
                    self.write(spending)

    def begin(self, number: int, scopes: dict[ScopeId, Scope]) -> None:
        self.living[number] = Process(scopes, self.world.clock.now())
        self.world.start(number, [self.quota(self.living[number], SCOPES)])
        for process in self.living:
            process.heard_at = self.world.clock.now()

    def silent_s(self, spending: Spending) -> float:
        """How long ago it was last heard of the process behind a hold."""
        heard_at = max(spending.admitted_at, spending.process.heard_at)
        return (self.world.clock.now() - heard_at).total_seconds()

    def standing(self, scope: ScopeId, per: Per) -> tuple[int, int]:
        """Spent and held in the window that is open now."""
        current = window(per, self.world.clock.now(), self.zone)
        inside = [
            each for each in self.model if scope in each.scopes and current.starts <= each.admitted_at < current.ends
        ]
        return sum(each.spent for each in inside), sum(each.held for each in inside)
