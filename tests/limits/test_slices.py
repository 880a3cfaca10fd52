"""Money held beforehand: when a slice is taken, what is drawn from it, and when it is let go."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from router.limits.calendar import Calendar, Span, Watched
from router.limits.gate import Quota, Scope
from router.limits.slices import Slice, Slices, slice_prefix
from router.quotas import NO_LIMITS, Budget, OutageAllowance, Per, ScopeId, ScopeKind

TEAM = ScopeId.of_team("search")
KEY = ScopeId("search", ScopeKind.KEY, "8f3a0b6c")
SPAN = Span("team|search|search", "day", 1_000, 2_000)
OTHER_SPAN = Span("key|search|8f3a0b6c", "day", 1_000, 1_500)
ALLOWANCE = OutageAllowance(per_mille=20, at_most_nano_usd=1_000)
NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def slices(allowance: OutageAllowance | None = ALLOWANCE) -> Slices:
    return Slices(allowance, process="p1")


def both() -> Slices:
    """100 of the team's, 40 of the key's."""
    made = slices()
    made.put(TEAM, Slice("p1.slice.1", 100, (SPAN,)))
    made.put(KEY, Slice("p1.slice.2", 40, (OTHER_SPAN, SPAN)))
    return made


def scope(its: ScopeId, *limits: int) -> Scope:
    return Scope(its, tuple(Budget(limit, Per.DAY) for limit in limits), NO_LIMITS)


def quota(*scopes: Scope) -> Quota:
    return Quota(scopes, ZoneInfo("UTC"))


def watched(*limits: int, per: Per = Per.DAY) -> list[Watched]:
    budgets = tuple(Budget(limit, per) for limit in limits)
    return list(Calendar().watched(quota(Scope(TEAM, budgets, NO_LIMITS)), NOW))


BY_TEAM, BY_BOTH = quota(scope(TEAM, 5_000)), quota(scope(TEAM, 5_000), scope(KEY, 2_000))


def drawn(
    of: Slices, name: str, nano_usd: int, its: Quota = BY_TEAM, *, now_us: int = 1_200
) -> tuple[Span, ...] | None:
    return of.draw(its, reservation_id=name, nano_usd=nano_usd, now_us=now_us)


def left(of: Slices, its: ScopeId) -> int:
    kept = of.of(its)
    assert kept is not None
    return kept.left_nano_usd


@pytest.mark.parametrize(
    ("now_us", "is_open"), [(999, False), (1_000, True), (1_499, True), (1_500, False), (2_000, False)]
)
def test_a_slice_can_be_used_from_the_first_moment_of_all_its_windows_to_the_end_of_the_first(
    now_us: int, is_open: bool
) -> None:
    assert Slice("p1.slice.1", 100, (SPAN, OTHER_SPAN)).is_open_at(now_us) is is_open


@pytest.mark.parametrize(
    ("limits", "left_nano_usd", "size"),
    [
        ((5_000,), 1_100, 100),  # eleven times the slice
        ((5_000,), 1_099, 0),
        ((5_000, 2_000), 1_100, 40),  # the smaller of two budgets
        ((100_000,), 100_000, 1_000),  # no more than is allowed
        ((), 10**9, 0),
    ],
)
def test_a_slice_is_taken_where_ten_times_as_much_is_left_besides(
    limits: tuple[int, ...], left_nano_usd: int, size: int
) -> None:
    assert slices().wanted(watched(*limits), left_nano_usd) == size


def test_without_an_allowance_no_slice_is_taken() -> None:
    assert slices(None).wanted(watched(5_000), 5_000) == 0
    assert (slices(None).are_kept, slices().are_kept) == (False, True)


def test_a_slice_is_kept_as_long_as_it_is_what_it_should_be() -> None:
    def is_kept(limits: tuple[int, ...] = (5_000, 9_000), *, left_nano_usd: int = 1_000, hours: int = 0) -> bool:
        (span,) = {each.span for each in watched(5_000)}
        now_us = span.starts_us + (9 + hours) * 3_600_000_000
        return slices().is_kept(
            Slice("p1.slice.1", 100, (span,)), watched(*limits), left_nano_usd=left_nano_usd, now_us=now_us
        )

    assert is_kept()
    assert not is_kept(left_nano_usd=999)
    assert not is_kept(())  # the budget is gone
    assert not is_kept(hours=15)  # the day is over
    assert not is_kept(hours=-10)


def test_a_slice_that_was_drawn_from_is_not_kept_as_it_is() -> None:
    (span,) = {each.span for each in watched(5_000)}
    used = Slice("p1.slice.1", 100, (span,), {"r.1": 1})

    assert not slices().is_kept(used, watched(5_000), left_nano_usd=5_000, now_us=span.starts_us)


def test_a_slice_has_an_id_that_says_whose_it_is() -> None:
    made = slices()

    assert [made.next_id(), made.next_id()] == ["p1.slice.1", "p1.slice.2"]
    assert slice_prefix("p1") == "p1.slice."


def test_a_call_is_paid_from_the_slices_of_all_purses_that_have_budgets() -> None:
    of = both()

    assert drawn(of, "r.1", 30, quota(scope(TEAM, 5_000), scope(KEY, 2_000), scope(KEY))) == (SPAN, OTHER_SPAN)

    assert (left(of, TEAM), left(of, KEY)) == (70, 10)


def test_a_slice_may_be_used_to_the_last_and_no_further() -> None:
    of = both()

    assert drawn(of, "r.1", 41, BY_BOTH) is None
    assert (left(of, TEAM), left(of, KEY)) == (100, 40)
    assert drawn(of, "r.1", 40, BY_BOTH) is not None
    assert drawn(of, "r.2", 1, BY_BOTH) is None
    assert drawn(of, "r.3", 60) == (SPAN,)
    assert left(of, TEAM) == 0


def test_a_slice_whose_window_has_ended_pays_nothing() -> None:
    of = both()

    assert drawn(of, "r.1", 1, BY_BOTH, now_us=1_500) is None
    assert drawn(of, "r.1", 1, now_us=1_500) == (SPAN,)
    assert drawn(of, "r.2", 1, now_us=2_000) is None


def test_a_purse_without_a_slice_pays_nothing() -> None:
    of = slices()
    of.put(TEAM, Slice("p1.slice.1", 100, (SPAN,)))

    assert drawn(of, "r.1", 1, BY_BOTH) is None
    assert left(of, TEAM) == 100


def test_a_call_that_cost_less_leaves_the_rest_to_others() -> None:
    of = both()
    drawn(of, "r.1", 40, BY_BOTH)

    of.spent("r.1", 15)
    of.spent("another", 99)

    assert (left(of, TEAM), left(of, KEY)) == (85, 25)


def test_calls_that_are_paid_from_slices_are_known() -> None:
    of = both()
    assert not of.covers("r.1")

    drawn(of, "r.1", 40)

    assert of.covers("r.1")
    assert not of.covers("r.2")


def test_a_slice_is_done_with_once_redis_was_told_of_every_call_drawn_from_it() -> None:
    of = both()
    assert of.settled(()) == []
    drawn(of, "r.1", 1)
    drawn(of, "r.2", 1, BY_BOTH)

    assert of.settled({"r.1", "r.2"}) == []
    assert of.settled({"r.1"}) == [KEY]
    assert of.settled({"r.9"}) == [TEAM, KEY]


def test_slices_that_are_let_go_are_forgotten() -> None:
    of = both()

    assert of.let_go([KEY]) == ["p1.slice.2"]

    assert (of.of(KEY), of.scopes()) == (None, [TEAM])


@pytest.mark.parametrize(
    ("now_us", "spent", "can_pay"),
    [(999, 0, False), (1_000, 0, True), (1_499, 39, True), (1_499, 40, False), (1_500, 0, False)],
)
def test_a_slice_can_pay_in_its_window_as_long_as_something_is_left(now_us: int, spent: int, can_pay: bool) -> None:
    made = slices()
    made.put(KEY, Slice("p1.slice.2", 40, (OTHER_SPAN, SPAN)))
    made.draw(quota(scope(KEY, 2_000)), reservation_id="a", nano_usd=spent, now_us=1_200)

    assert made.can_pay_at(now_us) is can_pay
    assert not slices().can_pay_at(now_us)
