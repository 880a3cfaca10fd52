"""Laws of the gate under any sequence of holds, settlements, refusals, passing windows and restarts.

The model is a list of holds and of settled sums, each with the moment of its admission; what a window holds or has
spent is a sum over that list, so that it cannot forget or count twice.
"""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from router.errors import BudgetExhausted
from router.keys import TeamName
from router.limits.gate import Quota, Reservation
from router.limits.memory import MemoryGate
from router.quotas import NO_LIMITS, Budget, Per, window
from tests.limits.clock import MovableClock

T = TypeVar("T")

# 25 October 2026: clocks go back at 3 in Berlin, so that days of 25 hours and a repeated hour are among the windows.
START = datetime(2026, 10, 24, 21, 59, tzinfo=UTC)
TEAMS = (TeamName("search"), TeamName("ads"))

amounts = st.integers(0, 120)
budgets = st.lists(st.builds(Budget, limit_nano_usd=st.integers(0, 200), per=st.sampled_from(Per)), max_size=4).map(
    tuple
)


@dataclass
class Spending:
    """What one request of the model holds or has spent."""

    team: TeamName
    admitted_at: datetime
    held: int  # -1: settled, or lost with its process
    spent: int = 0
    reservation: Reservation | None = field(default=None, repr=False)


class GateAgainstModel(RuleBasedStateMachine):
    """Two teams, arbitrary budgets, arbitrary order."""

    holds = Bundle("holds")

    @initialize(first=budgets, second=budgets, zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]))
    def open(self, first: tuple[Budget, ...], second: tuple[Budget, ...], zone: str) -> None:
        self.zone = ZoneInfo(zone)
        self.clock = MovableClock(START)
        self.gate = MemoryGate(now=self.clock.now, monotonic_s=self.clock.monotonic_s)
        self.quotas = {
            team: Quota(team=team, budgets=of_team, limits=NO_LIMITS, zone=self.zone)
            for team, of_team in zip(TEAMS, (first, second), strict=True)
        }
        self.model: list[Spending] = []

    @rule(target=holds, team=st.sampled_from(TEAMS), amount=amounts)
    def reserve(self, team: TeamName, amount: int) -> object:
        spending = Spending(team, self.clock.now(), held=amount)
        lefts = [budget.limit_nano_usd - sum(self.standing(team, budget.per)) for budget in self.quotas[team].budgets]
        asking = self.gate.reserve(self.quotas[team], reservation_id=f"r.{len(self.model)}", nano_usd=amount)
        if any(amount > left for left in lefts):
            with pytest.raises(BudgetExhausted) as refusal:
                now(asking)
            assert refusal.value.asked_nano_usd == amount
            assert refusal.value.left_nano_usd == max(min(lefts), 0)
            assert refusal.value.resets_in_s > 0
            return multiple()
        spending.reservation = now(asking)
        self.model.append(spending)
        return spending

    @rule(spending=holds, amount=amounts)
    def settle(self, spending: Spending, amount: int) -> None:
        """The same hold may come again: then nothing must change."""
        if spending.reservation is None:  # of a process that has ended since
            return
        now(self.gate.settle(spending.reservation, nano_usd=amount))
        if spending.held >= 0:
            spending.spent, spending.held = amount, -1

    @rule(seconds=st.sampled_from([1, 59, 60, 3_600, 86_400, 7 * 86_400, 31 * 86_400]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def restart(self) -> None:
        """Holds end with the process; the ledger tells what was settled."""
        for spending in self.model:
            spending.held, spending.reservation = -1, None
        self.gate = MemoryGate(now=self.clock.now, monotonic_s=self.clock.monotonic_s)
        self.gate.recover(self.quotas.values(), self.spent_since)

    @invariant()
    def every_budget_stands_where_the_model_says(self) -> None:
        for state in self.gate.states():
            per, team = state.per, TeamName(state.team)
            assert (state.spent_nano_usd, state.held_nano_usd) == self.standing(team, per)

    @invariant()
    def no_window_is_kept_that_nothing_depends_on(self) -> None:
        """What a gate keeps is bounded by its budgets and the holds under way, not by the time it runs."""
        open_windows = sum(len(each.reservation.windows) for each in self.model if each.reservation and each.held >= 0)
        kinds = sum(len({budget.per for budget in quota.budgets}) for quota in self.quotas.values())
        assert len(self.gate._accounts) <= kinds + open_windows

    def standing(self, team: TeamName, per: Per) -> tuple[int, int]:
        """Spent and held in the window that is open now."""
        current = window(per, self.clock.now(), self.zone)
        inside = [
            each for each in self.model if each.team == team and current.starts <= each.admitted_at < current.ends
        ]
        return sum(each.spent for each in inside), sum(max(each.held, 0) for each in inside)

    def spent_since(self, since: datetime) -> dict[TeamName, int]:
        return {
            team: sum(each.spent for each in self.model if each.team == team and each.admitted_at >= since)
            for team in TEAMS
        }


def now(step: Coroutine[object, object, T]) -> T:
    """What the coroutine returns. It must not wait for anything: that is why the gate needs no lock."""
    try:
        step.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("the gate awaited something, so its steps are not atomic any more")


TestGateAgainstModel = GateAgainstModel.TestCase
TestGateAgainstModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
