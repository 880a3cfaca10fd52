"""Drawings stay within their frame, whatever the figures are."""

from itertools import pairwise
from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from router.console.drawing import bars, money_axis, steps, waterfall

amounts = st.floats(0, 1e12)


@given(st.lists(amounts, max_size=6), amounts)
def test_bars_follow_each_other_and_never_leave_the_frame(parts: list[float], whole: float) -> None:
    drawn = bars(parts, whole=whole, length=100.0)

    assert len(drawn) == len(parts)
    for each, following in pairwise(drawn):
        assert abs(each.begins + each.length - following.begins) < 0.02
    assert all(each.begins >= 0 and each.length >= 0 and each.begins + each.length <= 100.02 for each in drawn)


def test_bars_are_in_proportion() -> None:
    assert [each.length for each in bars([1, 3], whole=8, length=80)] == [10, 30]


@given(st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=8))
def test_every_cost_lies_between_the_ends_of_its_axis(costs: list[float]) -> None:
    axis, ticks = money_axis(costs, begins=40.0, ends=500.0)

    assert all(39.9 <= axis.at(cost) <= 500.1 for cost in costs)
    assert ticks == sorted(ticks)
    assert ticks[0] <= min(costs) * 1.000001
    assert ticks[-1] >= max(costs) * 0.999999
    assert [axis.at(cost) for cost in sorted(costs)] == sorted(axis.at(cost) for cost in costs)


def test_costs_of_nothing_have_an_axis_too() -> None:
    axis, _ = money_axis([0.0, 0.0], begins=0.0, ends=10.0)

    assert isfinite(axis.at(0.0))


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.none() | st.floats(0, 100)), max_size=5), amounts)
def test_calls_lie_on_the_time_line_of_their_request(
    calls: list[tuple[float, float, float | None]], whole_s: float
) -> None:
    for each in waterfall(calls, whole_s=whole_s, length=320.0):
        assert 0 <= each.begins <= 320.01
        assert each.first_token is None or each.begins - 0.01 <= each.first_token <= each.begins + each.length + 0.01


def test_a_price_is_drawn_from_change_to_change() -> None:
    path, points = steps([(0.0, 1.0), (50.0, 3.0)], width=104, height=26, until=100.0)

    assert path == "M2.0 23.0H52.0V3.0H102"
    assert [(point.x, point.y) for point in points] == [(2.0, 23.0), (52.0, 3.0)]
    assert steps([], width=10, height=10, until=1.0) == ("", [])
