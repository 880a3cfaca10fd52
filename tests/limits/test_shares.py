"""What a team gets when there is not enough for all: its share, and what the others leave."""

import math

from hypothesis import given
from hypothesis import strategies as st

from router.limits.shares import Shares, Shed, fair_level

WANTED = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0.01, 100)), min_size=1, max_size=12)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def shares(most: int = 80, *, clock: Clock | None = None, **weights: float) -> Shares:
    return Shares(most_under_way=most, weight_of=lambda team: weights.get(team, 1.0), monotonic_s=clock or Clock())


def let_in(some: Shares, team: str, times: int) -> int:
    return sum(some.enter(team) is None for _ in range(times))


@given(st.floats(0, 1e5), WANTED)
def test_a_level_uses_up_what_there_is_and_no_more(amount: float, wanted: list[tuple[float, float]]) -> None:
    level = fair_level(amount, wanted)

    given_out = sum(min(want, level * weight) for want, weight in wanted)
    assert math.isclose(given_out, min(amount, sum(want for want, _ in wanted)), rel_tol=1e-6, abs_tol=1e-6)


@given(st.floats(1, 1e5), WANTED)
def test_who_wants_less_than_an_equal_part_gets_all_of_it(amount: float, wanted: list[tuple[float, float]]) -> None:
    level = fair_level(amount, wanted)

    weights = sum(weight for _, weight in wanted)
    assert all(want <= level * weight * (1 + 1e-9) for want, weight in wanted if want <= amount * weight / weights)


def test_one_team_alone_has_all_but_an_eighth() -> None:
    some = shares(most=80)

    assert let_in(some, "noisy", 100) == 70


def test_a_team_below_its_share_is_let_in_while_another_is_above() -> None:
    some = shares(most=80)
    let_in(some, "noisy", 100)

    assert let_in(some, "quiet", 10) == 10
    assert some.enter("noisy") is Shed.UNDER_WAY
    assert some.enter("quiet") is Shed.UNDER_WAY  # there is no more of anything


def test_what_ends_goes_to_who_is_below_his_share() -> None:
    some = shares(most=80)
    let_in(some, "noisy", 100)
    let_in(some, "quiet", 10)
    for _ in range(20):
        some.leave("noisy")

    answers = [(some.enter("noisy"), some.enter("quiet")) for _ in range(10)]

    assert answers == [(None, None)] * 5 + [(Shed.UNDER_WAY, None)] * 5


def test_a_share_follows_its_weight() -> None:
    some = shares(most=80, gold=3.0)
    let_in(some, "gold", 1)
    let_in(some, "iron", 69)
    for _ in range(40):
        some.leave("iron")

    assert let_in(some, "gold", 100) + 1 == 51  # three quarters of 70 are 52; at 51 there is no place left
    assert some.by_team() == {"gold": 51, "iron": 29}


def test_a_limited_rate_is_divided_by_what_is_wanted() -> None:
    clock = Clock()
    some = shares(clock=clock, most=10_000)
    for _ in range(40):  # four seconds, in which one team asks for 400 a second, and the other for 20
        for turn in range(40):
            some.enter("noisy")
            if not turn % 20:
                some.enter("quiet")
        clock.now_s += 0.1
        some.look(0.1)
        some.limit_rate(100.0)
    counted = {"noisy": 0, "quiet": 0}
    for _ in range(100):
        for turn in range(40):
            counted["noisy"] += some.enter("noisy") is None
            if not turn % 20:
                counted["quiet"] += some.enter("quiet") is None
            clock.now_s += 0.1 / 40
        some.look(0.1)
        some.limit_rate(100.0)

    assert counted["quiet"] == 200  # in ten seconds: all
    assert 760 <= counted["noisy"] <= 820  # what is left of a thousand


def test_a_team_that_comes_late_is_let_in_at_once_while_what_comes_in_is_limited() -> None:
    clock = Clock()
    some = shares(clock=clock, most=10_000)
    let_in(some, "noisy", 1_000)
    some.look(0.1)
    some.limit_rate(50.0)
    let_in(some, "noisy", 1_000)

    assert some.turns_away("noisy") is Shed.LOOP_LAG
    assert some.turns_away("late") is None
    assert some.enter("late") is None


def test_who_has_been_promised_a_place_has_it_and_the_next_one_has_not() -> None:
    some = shares(most=8)
    let_in(some, "noisy", 6)

    assert some.turns_away("noisy") is None
    some.promise("noisy")
    assert some.turns_away("noisy") is Shed.UNDER_WAY
    assert some.enter("noisy") is None
    assert some.under_way == 7


def test_a_promise_to_one_who_never_comes_is_forgotten_once_nobody_waits_for_his_turn() -> None:
    some = shares(most=8)
    let_in(some, "noisy", 6)
    some.promise("noisy")

    some.look(0.1)
    assert some.turns_away("noisy") is Shed.UNDER_WAY

    some.forget_promises()
    assert some.turns_away("noisy") is None


def test_who_was_turned_away_is_told_once_by_team_and_reason() -> None:
    some = shares(most=8)
    let_in(some, "noisy", 10)
    some.turn_away("quiet", Shed.MEMORY)

    assert sorted(some.untold()) == [("noisy", Shed.UNDER_WAY, 3), ("quiet", Shed.MEMORY, 1)]
    assert list(some.untold()) == []


def test_a_weight_that_changes_counts_from_the_next_look() -> None:
    weights = {"gold": 1.0}
    some = Shares(most_under_way=80, weight_of=lambda team: weights.get(team, 1.0), monotonic_s=Clock())
    let_in(some, "gold", 35)
    let_in(some, "iron", 35)
    assert some.enter("gold") is Shed.UNDER_WAY

    weights["gold"] = 3.0
    some.renew_weights()

    assert some.enter("gold") is None
