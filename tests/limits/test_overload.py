"""When a process turns requests away: while its loop is late by its own work, or its memory is short."""

from contextlib import suppress

import pytest

from router.limits.overload import TICK_S, Memory, Overload
from router.limits.shares import Shares, Shed


class _Enough(Exception):
    """As many looks as were asked for."""


class Waiting:
    """So many wait to begin, the next of them for so long."""

    waiting = 0
    for_s = 0.0

    def waited_s(self) -> float:
        return self.for_s


class Process:
    """A process whose clock, load and memory a test sets."""

    def __init__(self) -> None:
        self.now_s = self.busy_s = self.memory = 0.0
        self.starts = Waiting()
        self.others_per_s = 0.0  # what other threads than the loop's work
        self.shed: list[tuple[str, str, int]] = []
        self._slept_s: list[float] = []
        self._most_sleeps, self._late_s = 0, 0.0
        self.shares = Shares(most_under_way=1_000, weight_of=lambda _: 1.0, monotonic_s=self.clock)
        self.overload = Overload(
            self.shares,
            monotonic_s=self.clock,
            sleep=self.sleep,
            starts=self.starts,
            busy=lambda: (self.busy_s + self.others_per_s * self.now_s, self.busy_s),
            memory_share=lambda: self.memory,
            shed=lambda team, reason, count: self.shed.append((team, reason, count)),
        )

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        if len(self._slept_s) == self._most_sleeps:
            raise _Enough
        self._slept_s.append(seconds)
        self.now_s += seconds + self._late_s

    async def pauses(self, count: int, *, late_s: float) -> list[float]:
        """How long it sleeps between the next looks, if it is late so much each time."""
        self._slept_s, self._most_sleeps, self._late_s = [], count, late_s
        with suppress(_Enough):
            await self.overload.run()
        return self._slept_s

    def goes_on(self, seconds: float, *, late_s: float = 0.0, busy: float = 1.0, ended: int = 0) -> None:
        """The loop is that late for so long; so many requests of one team are over in each of its turns."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += TICK_S + late_s
            self.busy_s += (TICK_S + late_s) * busy
            for _ in range(ended):
                if self.overload.enter("noisy") is None:
                    self.overload.leave("noisy")
            self.overload.tick(late_s, self.now_s)


def crowded() -> Process:
    """A process with many requests under way."""
    process = Process()
    for number in range(300):
        assert process.overload.enter(f"team{number}") is None
    process.goes_on(0.2)
    return process


@pytest.mark.parametrize(
    ("under_way", "late_s", "pauses"),
    [(0, 0.0, [0.12] * 3), (15, 0.0, [0.12] * 3), (16, 0.0, [0.02] * 3), (0, 0.05, [0.12, 0.02, 0.12])],
)
@pytest.mark.anyio
async def test_a_process_with_little_to_do_looks_seldom_unless_it_was_late(
    under_way: int, late_s: float, pauses: list[float]
) -> None:
    """Fifty looks a second were a hundredth of a core, whether anybody asked anything or not."""
    process = Process()
    for _ in range(under_way):
        process.overload.enter("search")

    assert await process.pauses(len(pauses), late_s=late_s) == pauses


@pytest.mark.anyio
async def test_a_process_that_turns_some_away_looks_all_the_time() -> None:
    process = crowded()
    process.goes_on(1.0, late_s=0.25)

    assert await process.pauses(2, late_s=0.0) == [0.01, 0.01]


def test_a_delay_that_stands_limits_what_comes_in() -> None:
    process = crowded()
    process.goes_on(1.0, late_s=0.05)
    at_first = process.overload.let_in_per_s  # that is less than what begins it

    process.goes_on(1.0, late_s=0.25)

    assert at_first == 0
    assert process.overload.let_in_per_s > 0


@pytest.mark.parametrize(("more", "is_limited"), [(10, False), (50, True)])
def test_where_ever_more_are_under_way_a_shorter_delay_limits_at_the_first_look(more: int, is_limited: bool) -> None:
    """Each turn of the loop would take three times as long as the one before."""
    process = crowded()
    for number in range(more):
        process.overload.enter(f"team{number}")
    process.goes_on(0.2, late_s=0.04, busy=0.85)

    assert process.overload.is_guarded is is_limited


@pytest.mark.parametrize(("waiting", "is_limited"), [(200, False), (256, True)])
def test_those_who_wait_to_begin_are_counted_with_those_under_way(waiting: int, is_limited: bool) -> None:
    process = Process()
    process.starts.waiting = waiting
    process.goes_on(1.0, late_s=0.25)

    assert process.overload.is_guarded is is_limited


def test_who_waits_to_begin_keeps_the_place_that_he_was_promised() -> None:
    process = Process()
    while process.overload.turns_away("noisy") is None:
        process.overload.promise("noisy")
    process.starts.waiting = 1
    process.goes_on(0.5)
    assert process.overload.turns_away("noisy") is Shed.UNDER_WAY

    process.starts.waiting = 0
    process.goes_on(0.5)
    assert process.overload.turns_away("noisy") is None


@pytest.mark.parametrize(("late_s", "is_limited"), [(0.9, False), (1.1, True)])
def test_of_few_requests_a_longer_delay_is_borne(late_s: float, is_limited: bool) -> None:
    process = Process()
    process.goes_on(5.0, late_s=late_s)

    assert process.overload.is_guarded is is_limited


def test_one_long_step_of_the_loop_is_no_reason() -> None:
    process = crowded()
    for _ in range(5):
        process.goes_on(0.5)
        process.goes_on(0.01, late_s=0.6)
        process.goes_on(0.5)

    assert not process.overload.is_guarded


def test_a_process_that_waits_for_nothing_but_its_core_is_not_overloaded() -> None:
    process = crowded()
    process.goes_on(3.0, late_s=0.3, busy=0.5)

    assert not process.overload.is_guarded


def test_a_delay_that_is_the_doing_of_others_keeps_nobody_out_where_there_is_a_limit_either() -> None:
    process = limited()
    let_in = 0
    for _ in range(200):
        process.goes_on(0.1, late_s=0.03, busy=0.3)
        for _ in range(30):
            if process.overload.enter("noisy") is None:
                process.overload.leave("noisy")
                let_in += 1

    assert let_in > 0.9 * 200 * 30


def test_a_loop_that_streams_keep_busy_lets_a_good_part_of_what_it_did_in_however_long_that_lasts() -> None:
    """What streams cost is not what those who ask cost, and turning them away makes the loop no less busy."""
    process = limited()
    serves(process, 20.0, asked_per_s=1.5 / COST_S)
    best_per_s, _ = serves(process, 5.0, asked_per_s=1.5 / COST_S)
    let_in = 0
    for _ in range(3_000):
        process.goes_on(0.1, late_s=0.005, busy=0.97)
        for _ in range(int(best_per_s * 0.125)):
            if process.overload.enter("noisy") is None:
                process.overload.leave("noisy")
                let_in += 1

    assert let_in / (3_000 * 0.125) > 0.3 * best_per_s


COST_S = 0.001  # of the loop, for a request that is answered; an eighteenth for one that is turned away


def serves(process: Process, seconds: float, *, asked_per_s: float, again: bool = False) -> tuple[float, float]:
    """The process does what is asked, one turn of its loop after the other: how many requests it answers in a second,
    and how late its loop is at most. `again`: who is turned away asks again at once, as long as there is time."""
    before, began_s, until_s = process.shares.ended, process.now_s, process.now_s + seconds
    turn_s, latest_s, due = TICK_S, 0.0, 0.0
    while process.now_s < until_s:
        work_s, due = 0.0, due + asked_per_s * turn_s
        while due >= 1.0 or (again and work_s < TICK_S):
            due = max(due - 1.0, 0.0)
            if process.overload.enter("noisy") is None:
                process.overload.leave("noisy")
                work_s += COST_S
            else:
                work_s += COST_S / 18
        turn_s = max(work_s, TICK_S)
        process.now_s += turn_s
        process.busy_s += work_s
        latest_s = max(latest_s, turn_s - TICK_S)
        process.overload.tick(turn_s - TICK_S, process.now_s)
    return (process.shares.ended - before) / (process.now_s - began_s), latest_s


def limited() -> Process:
    process = crowded()
    process.goes_on(1.0, late_s=0.3, ended=100)
    assert process.overload.is_guarded
    return process


@pytest.mark.parametrize("others", [0.0, 0.3])
def test_of_three_times_what_can_be_done_most_is_done_and_nobody_waits(others: float) -> None:
    process = limited()
    process.others_per_s = others
    serves(process, 10.0, asked_per_s=3 / COST_S)
    answered_per_s, latest_s = serves(process, 20.0, asked_per_s=3 / COST_S)

    assert 0.75 / COST_S < answered_per_s < 0.9 / COST_S
    assert latest_s < 0.02


def test_clients_that_ask_again_at_once_however_often_do_not_have_ever_fewer_let_in() -> None:
    process = limited()
    serves(process, 60.0, asked_per_s=0.0, again=True)
    answered_per_s, _ = serves(process, 60.0, asked_per_s=0.0, again=True)

    assert answered_per_s > 0.3 / COST_S


def test_a_limit_that_was_too_low_is_soon_where_it_belongs() -> None:
    process = limited()
    at_first, _ = serves(process, 0.5, asked_per_s=2 / COST_S)
    serves(process, 3.0, asked_per_s=2 / COST_S)
    then, _ = serves(process, 1.0, asked_per_s=2 / COST_S)

    assert at_first < 0.5 / COST_S
    assert then > 0.75 / COST_S


def test_for_a_delay_fewer_are_let_in_for_the_moment_and_as_many_as_before_once_it_is_worked_off() -> None:
    process = crowded()
    process.goes_on(1.0, late_s=0.3, ended=100)
    process.goes_on(2.0, busy=0.94, ended=100)
    let_in = []
    for late_s in (0.0, 0.02, 0.0):
        before, since_s = process.shares.ended, process.now_s
        process.goes_on(0.5, late_s=late_s, busy=0.94, ended=100)
        let_in.append((process.shares.ended - before) / (process.now_s - since_s))

    assert let_in[1] < 0.5 * let_in[0]
    assert let_in[2] == pytest.approx(let_in[0], rel=0.1)


@pytest.mark.parametrize(("waiting", "is_limited"), [(64, False), (127, False), (128, True)])
@pytest.mark.anyio
async def test_a_line_of_those_who_wait_to_begin_limits_once_it_is_long(waiting: int, is_limited: bool) -> None:
    """Clients that open thousands of streams, so many at a time, are not more than can be worked off."""
    process = crowded()
    process.others_per_s = 1.0
    process.starts.waiting, process.starts.for_s = waiting, 0.2
    with suppress(_Enough):
        await process.pauses(20, late_s=0.0)

    assert process.overload.is_guarded is is_limited


@pytest.mark.anyio
async def test_those_who_wait_to_begin_are_a_delay_like_that_of_the_loop() -> None:
    """Else the loop, which has a few of them begin in each turn, would never be late, however many wait."""
    left_per_s = []
    for waited_s in (0.0, 0.1):
        process = limited()
        process.goes_on(2.0, busy=0.94, ended=100)
        process.starts.for_s, process.others_per_s = waited_s, 1.0
        with suppress(_Enough):
            await process.pauses(30, late_s=0.0)
        left_per_s.append(process.shares.pace)

    assert left_per_s == [1.0, 0.1]


def test_the_limit_ends_when_nobody_has_been_turned_away_for_a_while() -> None:
    process = crowded()
    process.goes_on(1.0, late_s=0.3)
    process.goes_on(1.0)
    assert process.overload.is_guarded

    process.goes_on(2.0)

    assert not process.overload.is_guarded


def test_who_was_turned_away_is_told_and_seen() -> None:
    process = crowded()
    process.goes_on(1.0, late_s=0.3, ended=50)
    while process.overload.enter("noisy") is None:
        pass
    process.goes_on(0.2)

    assert process.overload.is_shedding
    assert ("noisy", "loop_lag") in {(team, reason) for team, reason, _ in process.shed}


@pytest.mark.parametrize(
    ("share", "level"),
    [
        (0.849, Memory.ENOUGH),
        (0.85, Memory.SHORT),
        (0.919, Memory.SHORT),
        (0.92, Memory.SHORTER),
        (0.949, Memory.SHORTER),
        (0.95, Memory.SHORTEST),
        (1.2, Memory.SHORTEST),
    ],
)
def test_memory_is_short_from_where_it_is_said_to_be(share: float, level: Memory) -> None:
    process = Process()
    process.memory = share
    process.goes_on(1.0)

    assert process.overload.memory is level
    assert process.overload.is_short_of_memory is (level >= Memory.SHORT)
    assert (process.overload.not_ready is not None) is (level is Memory.SHORTEST)


@pytest.mark.parametrize(("share", "level"), [(0.931, Memory.SHORTEST), (0.929, Memory.SHORTER), (0.8, Memory.ENOUGH)])
def test_memory_must_fall_by_two_points_to_be_enough_again(share: float, level: Memory) -> None:
    process = Process()
    process.memory = 0.96
    process.goes_on(1.0)
    process.memory = share
    process.goes_on(1.0)

    assert process.overload.memory is level


def test_a_process_short_of_memory_lets_no_more_be_under_way_than_there_are() -> None:
    process = Process()
    for _ in range(16):
        assert process.overload.enter("noisy") is None
    process.memory = 0.93
    process.goes_on(1.0)

    assert process.overload.enter("noisy") is Shed.MEMORY
    for _ in range(3):
        process.overload.leave("noisy")
    assert process.overload.enter("noisy") is None

    process.memory = 0.5
    process.goes_on(1.0)
    assert process.overload.enter("noisy") is None


def test_a_process_without_memory_turns_everybody_away() -> None:
    process = Process()
    process.memory = 0.97
    process.goes_on(1.0)

    assert process.overload.enter("quiet") is Shed.MEMORY
    assert process.overload.turns_away("quiet") is Shed.MEMORY
