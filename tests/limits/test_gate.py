"""Holds, settlements and rate limits of every gate: what is granted, what is refused, and what a refusal says."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from router.errors import BudgetExhausted, RateLimited
from router.keys import TeamName
from router.limits.gate import Gate, Left, PaceLeft, Quota, Scope, TooFast, TooManyTokens
from router.limits.memory import MemoryGate
from router.limits.redis import RedisGate
from router.quotas import NO_LIMITS, Budget, BudgetState, Limits, Per, ScopeId, ScopeKind, WhenSpent, Window, window
from tests.limits.clock import MovableClock
from tests.replacing import replace

pytestmark = pytest.mark.anyio

SEARCH = TeamName("search")
ADS = TeamName("ads")
BERLIN = ZoneInfo("Europe/Berlin")
TEAM = ScopeId.of_team(SEARCH)
KEY = ScopeId(SEARCH, ScopeKind.KEY, "8f3a0b6cd1e2f495")
PROJECT = ScopeId(SEARCH, ScopeKind.PROJECT, "eu/search")
SOME = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


async def states(gate: Gate) -> list[BudgetState]:
    """Where every budget stands; the windows have a test of their own."""
    if isinstance(gate, RedisGate):
        await gate.refresh()
    return [replace(each, window=SOME) for each in gate.states()]


def quota(*budgets: Budget, limits: Limits = NO_LIMITS, team: TeamName = SEARCH) -> Quota:
    return Quota((Scope(ScopeId.of_team(team), budgets, limits),), BERLIN)


def state(per: Per, limit: int, *, spent: int, held: int, team: TeamName = SEARCH) -> BudgetState:
    scope = ScopeId.of_team(team)
    return BudgetState(
        scope=scope, per=per, limit_nano_usd=limit, spent_nano_usd=spent, held_nano_usd=held, window=SOME
    )


# Budgets


async def test_the_same_reservation_asked_for_again_is_the_same_hold(gate: Gate) -> None:
    hundred = quota(Budget(100, Per.DAY))
    first = await gate.reserve(hundred, reservation_id="r.1", nano_usd=60)

    assert await gate.reserve(hundred, reservation_id="r.1", nano_usd=60) == first
    assert await states(gate) == [state(Per.DAY, 100, spent=0, held=60)]


async def test_another_configuration_changes_limits_and_keeps_what_is_held_and_spent(gate: Gate) -> None:
    before, after = quota(Budget(100, Per.DAY)), quota(Budget(60, Per.DAY))
    held = await gate.reserve(before, reservation_id="r.1", nano_usd=40)
    if isinstance(gate, MemoryGate):
        gate.reconfigured([before], {})  # as at its start
        gate.reconfigured([after], {})
    else:
        assert isinstance(gate, RedisGate)
        gate.reconfigured([after])

    with pytest.raises(BudgetExhausted):
        await gate.reserve(after, reservation_id="r.2", nano_usd=21)
    await gate.settle(held, nano_usd=30)
    await gate.settle(await gate.reserve(before, reservation_id="r.3", nano_usd=50), nano_usd=1)

    assert await states(gate) == [state(Per.DAY, 60, spent=31, held=0)]


async def test_a_scope_that_another_configuration_does_not_have_is_shown_no_more(gate: Gate) -> None:
    await gate.reserve(quota(Budget(100, Per.DAY)), reservation_id="r.1", nano_usd=40)
    others = [quota(Budget(9, Per.DAY), team=ADS)]
    if isinstance(gate, MemoryGate):
        gate.reconfigured(others, {})
    else:
        assert isinstance(gate, RedisGate)
        gate.reconfigured(others)

    assert await states(gate) == [state(Per.DAY, 9, spent=0, held=0, team=ADS)]


def three_scopes(team: int, key: int, project: int) -> Quota:
    return Quota(
        (
            Scope(TEAM, (Budget(team, Per.DAY),), Limits(concurrent=team)),
            Scope(KEY, (Budget(key, Per.DAY),), Limits(concurrent=key)),
            Scope(PROJECT, (Budget(project, Per.DAY),), Limits(concurrent=project)),
        ),
        BERLIN,
    )


async def test_a_hold_stands_on_the_team_the_key_and_the_project_until_it_is_settled_on_all(gate: Gate) -> None:
    hold = await gate.reserve(three_scopes(100, 50, 70), reservation_id="r.1", nano_usd=50)
    assert [(each.scope, each.held_nano_usd) for each in await states(gate)] == [(TEAM, 50), (KEY, 50), (PROJECT, 50)]

    await gate.settle(hold, nano_usd=9)

    assert [(each.spent_nano_usd, each.held_nano_usd) for each in await states(gate)] == [(9, 0)] * 3


@pytest.mark.parametrize(
    ("lefts", "whose"),
    [
        ((9, 50, 70), "team search"),
        ((100, 9, 70), "key 8f3a0b6cd1e2f495 of team search"),
        ((100, 50, 9), "project eu/search of team search"),
    ],
)
async def test_a_refusal_by_one_scope_names_it_and_leaves_the_others_untouched(
    gate: Gate, lefts: tuple[int, int, int], whose: str
) -> None:
    with pytest.raises(BudgetExhausted) as refusal:
        await gate.reserve(three_scopes(*lefts), reservation_id="r.1", nano_usd=10)

    assert f"and {whose} has $0.000000009 left" in refusal.value.message
    assert [each.held_nano_usd for each in await states(gate)] == [0, 0, 0]


@pytest.mark.parametrize("limits", [(1, 2, 2), (2, 1, 2), (2, 2, 1)])
async def test_a_request_that_one_scope_lets_not_in_counts_in_none(gate: Gate, limits: tuple[int, int, int]) -> None:
    scopes = three_scopes(*limits)
    first = await gate.admit(scopes, tokens=1)
    for _ in range(5):
        with pytest.raises(RateLimited):
            await gate.admit(scopes, tokens=1)

    await gate.leave(first, tokens=1)

    await gate.admit(scopes, tokens=1)


async def test_a_correction_counts_in_the_windows_that_hold_its_moment_and_are_open_still(
    gate: Gate, clock: MovableClock
) -> None:
    budgets = quota(Budget(100, Per.HOUR), Budget(100, Per.DAY))
    hold = await gate.reserve(budgets, reservation_id="r.1", nano_usd=90)
    await gate.settle(hold, nano_usd=90)
    at = clock.now()
    clock.advance(timedelta(hours=1))

    await gate.correct(budgets, at=at, nano_usd=-30)

    assert await states(gate) == [state(Per.HOUR, 100, spent=0, held=0), state(Per.DAY, 100, spent=60, held=0)]


async def test_a_budget_says_when_its_window_began_and_when_the_next_one_will(gate: Gate, clock: MovableClock) -> None:
    per_hour_and_month = quota(Budget(100, Per.HOUR), Budget(100, Per.MONTH))
    await gate.reserve(per_hour_and_month, reservation_id="r.1", nano_usd=60)
    first = [each.window for each in gate.states()]

    clock.advance(timedelta(hours=1))
    await gate.reserve(per_hour_and_month, reservation_id="r.2", nano_usd=30)
    await states(gate)
    second = [each.window for each in gate.states()]

    hour, month = first
    assert (hour.starts, hour.ends) == (clock.now() - timedelta(minutes=90), clock.now() - timedelta(minutes=30))
    assert month == window(Per.MONTH, clock.now(), BERLIN)
    assert second == [Window(hour.ends, hour.ends + timedelta(hours=1)), month]


async def test_a_correction_counts_on_the_team_the_key_and_the_project(gate: Gate, clock: MovableClock) -> None:
    scopes = three_scopes(100, 100, 100)
    await gate.settle(await gate.reserve(scopes, reservation_id="r.1", nano_usd=1), nano_usd=1)

    await gate.correct(scopes, at=clock.now(), nano_usd=8)

    assert [(each.scope, each.spent_nano_usd) for each in await states(gate)] == [(TEAM, 9), (KEY, 9), (PROJECT, 9)]


@pytest.mark.parametrize(
    ("minutes", "spent"),
    [(-30, 9), (-31, 1), (29, 9), (30, 1)],  # it is 9:30; the hour began half an hour ago
)
async def test_a_window_holds_its_first_moment_and_not_its_last(
    gate: Gate, clock: MovableClock, minutes: int, spent: int
) -> None:
    hourly = quota(Budget(100, Per.HOUR))
    await gate.settle(await gate.reserve(hourly, reservation_id="r.1", nano_usd=1), nano_usd=1)

    await gate.correct(hourly, at=clock.now() + timedelta(minutes=minutes), nano_usd=8)

    assert await states(gate) == [state(Per.HOUR, 100, spent=spent, held=0)]


async def test_a_hold_may_use_a_budget_up_to_the_last_nano_dollar(gate: Gate) -> None:
    hundred = quota(Budget(100, Per.DAY))

    await gate.reserve(hundred, reservation_id="r.1", nano_usd=100)

    assert await states(gate) == [state(Per.DAY, 100, spent=0, held=100)]


async def test_a_hold_knows_the_moment_in_whose_windows_it_counts(gate: Gate, clock: MovableClock) -> None:
    """Counters are recovered by it, and it must be of the clock that drew the windows."""
    hold = await gate.reserve(quota(Budget(100, Per.DAY)), reservation_id="r.1", nano_usd=1)

    assert hold.held_at == clock.now()


async def test_a_hold_that_exceeds_a_budget_by_a_nano_dollar_is_refused_and_holds_nothing(gate: Gate) -> None:
    hundred = quota(Budget(100, Per.DAY))
    await gate.reserve(hundred, reservation_id="r.1", nano_usd=40)

    with pytest.raises(BudgetExhausted):
        await gate.reserve(hundred, reservation_id="r.2", nano_usd=61)

    assert await states(gate) == [state(Per.DAY, 100, spent=0, held=40)]


async def test_a_refusal_by_one_budget_leaves_every_other_budget_of_the_team_untouched(gate: Gate) -> None:
    roomy_and_tight = quota(Budget(1_000, Per.MONTH), Budget(10, Per.DAY), Budget(1_000, Per.HOUR))

    with pytest.raises(BudgetExhausted):
        await gate.reserve(roomy_and_tight, reservation_id="r.1", nano_usd=11)

    assert [(each.per, each.held_nano_usd) for each in await states(gate)] == [
        (Per.MONTH, 0),
        (Per.DAY, 0),
        (Per.HOUR, 0),
    ]


async def test_a_refusal_says_in_dollars_what_was_asked_what_is_left_and_until_when(gate: Gate) -> None:
    two_cents = quota(Budget(20_000_000, Per.DAY))
    await gate.reserve(two_cents, reservation_id="r.1", nano_usd=15_000_000)

    with pytest.raises(BudgetExhausted) as refusal:
        await gate.reserve(two_cents, reservation_id="r.2", nano_usd=5_000_001)

    assert refusal.value.message == (
        "This request may cost $0.005000001 and team search has $0.005 left of its $0.02 per day; "
        "the window ends at 2026-11-23T23:00:00+00:00. "
        "Send a smaller `max_tokens`, or ask the team's owner to raise the budget."
    )
    assert refusal.value.data() == {
        "asked_nano_usd": 5_000_001,
        "left_nano_usd": 5_000_000,
        "resets_in_s": 13.5 * 3600,  # 10:30 in Berlin until midnight there
    }
    assert refusal.value.status == 429
    assert refusal.value.should_retry is False


async def test_a_refusal_names_the_budget_with_the_least_left_whatever_their_order(gate: Gate) -> None:
    budgets = quota(Budget(50, Per.MONTH), Budget(20, Per.DAY, WhenSpent.DOWNGRADE), Budget(30, Per.WEEK))

    with pytest.raises(BudgetExhausted) as refusal:
        await gate.reserve(budgets, reservation_id="r.1", nano_usd=60)

    assert refusal.value.left_nano_usd == 20
    assert refusal.value.may_downgrade


async def test_what_was_overspent_is_nothing_left_rather_than_less_than_nothing(gate: Gate) -> None:
    hundred = quota(Budget(100, Per.DAY))
    dearer_than_held = await gate.reserve(hundred, reservation_id="r.1", nano_usd=100)
    await gate.settle(dearer_than_held, nano_usd=130)

    with pytest.raises(BudgetExhausted) as refusal:
        await gate.reserve(hundred, reservation_id="r.2", nano_usd=1)

    assert refusal.value.left_nano_usd == 0


async def test_a_settlement_replaces_the_hold_by_what_was_spent(gate: Gate) -> None:
    hundred = quota(Budget(100, Per.DAY), Budget(1_000, Per.MONTH))
    hold = await gate.reserve(hundred, reservation_id="r.1", nano_usd=90)

    await gate.settle(hold, nano_usd=7)

    assert await states(gate) == [state(Per.DAY, 100, spent=7, held=0), state(Per.MONTH, 1_000, spent=7, held=0)]


async def test_a_second_settlement_of_the_same_hold_changes_nothing(gate: Gate) -> None:
    hundred = quota(Budget(100, Per.DAY))
    hold = await gate.reserve(hundred, reservation_id="r.1", nano_usd=90)
    await gate.settle(hold, nano_usd=7)

    await gate.settle(hold, nano_usd=90)

    assert await states(gate) == [state(Per.DAY, 100, spent=7, held=0)]


async def test_a_call_that_ends_after_midnight_is_charged_to_the_day_that_admitted_it(
    gate: Gate, clock: MovableClock
) -> None:
    hundred = quota(Budget(100, Per.DAY))
    late = await gate.reserve(hundred, reservation_id="r.1", nano_usd=100)
    clock.advance(timedelta(days=1))
    await gate.reserve(hundred, reservation_id="r.2", nano_usd=100)

    await gate.settle(late, nano_usd=60)

    assert await states(gate) == [state(Per.DAY, 100, spent=0, held=100)]


async def test_a_call_of_a_free_model_may_end_after_its_window_too(gate: Gate, clock: MovableClock) -> None:
    hundred = quota(Budget(100, Per.MINUTE))
    free = await gate.reserve(hundred, reservation_id="r.1", nano_usd=0)
    clock.advance(timedelta(minutes=2))
    await gate.reserve(hundred, reservation_id="r.2", nano_usd=1)

    await gate.settle(free, nano_usd=0)

    assert await states(gate) == [state(Per.MINUTE, 100, spent=0, held=1)]


async def test_a_budget_stands_at_zero_as_soon_as_its_window_is_over_even_without_traffic(
    gate: Gate, clock: MovableClock
) -> None:
    hundred = quota(Budget(100, Per.DAY))
    hold = await gate.reserve(hundred, reservation_id="r.1", nano_usd=90)
    await gate.settle(hold, nano_usd=90)

    clock.advance(timedelta(days=1))

    assert await states(gate) == [state(Per.DAY, 100, spent=0, held=0)]


async def test_two_budgets_of_one_window_watch_the_same_sum_and_the_smaller_one_decides(gate: Gate) -> None:
    warn_and_stop = quota(Budget(100, Per.MONTH), Budget(60, Per.MONTH, WhenSpent.DOWNGRADE))

    hold = await gate.reserve(warn_and_stop, reservation_id="r.1", nano_usd=60)
    await gate.settle(hold, nano_usd=55)

    assert await states(gate) == [state(Per.MONTH, 60, spent=55, held=0)]


async def test_a_team_without_budgets_may_spend_anything(gate: Gate) -> None:
    hold = await gate.reserve(quota(), reservation_id="r.1", nano_usd=10**18)
    await gate.settle(hold, nano_usd=10**18)

    assert await states(gate) == []


async def test_teams_do_not_share_their_money(gate: Gate) -> None:
    await gate.reserve(quota(Budget(100, Per.DAY)), reservation_id="r.1", nano_usd=100)

    await gate.reserve(quota(Budget(100, Per.DAY), team=ADS), reservation_id="r.2", nano_usd=100)

    assert await states(gate) == [
        state(Per.DAY, 100, spent=0, held=100),
        state(Per.DAY, 100, spent=0, held=100, team=ADS),
    ]


async def test_a_hold_is_relied_on_until_it_is_settled(gate: Gate) -> None:
    hold = await gate.reserve(quota(Budget(100, Per.DAY)), reservation_id="r.1", nano_usd=90)
    assert gate.still_holds(hold)

    await gate.settle(hold, nano_usd=7)

    assert not gate.still_holds(hold)


async def test_calls_of_a_window_that_is_over_end_one_after_the_other(gate: Gate, clock: MovableClock) -> None:
    hundred = quota(Budget(100, Per.MINUTE))
    holds = [await gate.reserve(hundred, reservation_id=f"r.{number}", nano_usd=30) for number in (1, 2, 3)]
    clock.advance(timedelta(minutes=1))
    await gate.reserve(hundred, reservation_id="r.4", nano_usd=100)

    for hold in holds:
        await gate.settle(hold, nano_usd=30)

    assert await states(gate) == [state(Per.MINUTE, 100, spent=0, held=100)]


# Rates


async def test_a_request_without_limits_is_known_by_what_it_was_expected_to_use(gate: Gate) -> None:
    admission = await gate.admit(quota(), tokens=7)

    assert (admission.scopes, admission.tokens) == ((TEAM,), 7)
    await gate.leave(admission, tokens=9)


async def test_as_many_requests_as_allowed_pass_within_a_minute_and_not_one_more(gate: Gate) -> None:
    two = quota(limits=Limits(requests_per_minute=2))
    await gate.admit(two, tokens=1)
    await gate.admit(two, tokens=1)

    with pytest.raises(RateLimited) as refusal:
        await gate.admit(two, tokens=1)

    assert refusal.value.message == "Team search made 2 requests within a minute and may make 2. Slow down."
    assert refusal.value.status == 429
    assert refusal.value.should_retry is True


async def test_whoever_is_let_in_is_told_what_is_left_by_whoever_has_the_least(gate: Gate, clock: MovableClock) -> None:
    both = Quota(
        (
            Scope(TEAM, (), Limits(requests_per_minute=9, tokens_per_minute=100)),
            Scope(KEY, (), Limits(requests_per_minute=3)),
            Scope(PROJECT, (), Limits(tokens_per_minute=500, concurrent=9)),
        ),
        BERLIN,
    )

    first = await gate.admit(both, tokens=10)
    second = await gate.admit(both, tokens=30)
    await gate.leave(second, tokens=20)  # it used less than was expected
    clock.advance(timedelta(seconds=30))
    third = await gate.admit(both, tokens=1)
    clock.advance(timedelta(seconds=31))
    fourth = await gate.admit(both, tokens=1)

    assert first.left == PaceLeft(Left(3, 2, 60), Left(100, 90, 60))
    assert second.left == PaceLeft(Left(3, 1, 60), Left(100, 60, 60))
    assert third.left == PaceLeft(Left(3, 0, 60), Left(100, 69, 60))
    assert fourth.left == PaceLeft(Left(3, 1, 60), Left(100, 98, 60))


async def test_a_refusal_tells_what_is_left_of_the_limit_that_refused_and_when_there_is_more(
    gate: Gate, clock: MovableClock
) -> None:
    one = quota(limits=Limits(requests_per_minute=1))
    ten = quota(limits=Limits(tokens_per_minute=10), team=ADS)
    await gate.admit(one, tokens=1)
    await gate.admit(ten, tokens=8)
    clock.advance(timedelta(seconds=20))

    with pytest.raises(TooFast) as too_many:
        await gate.admit(one, tokens=1)
    with pytest.raises(TooFast) as too_long:
        await gate.admit(ten, tokens=3)

    assert too_many.value.left == PaceLeft(Left(1, 0, 40), None)
    assert too_long.value.left == PaceLeft(None, Left(10, 2, 40))


async def test_the_minute_slides_a_request_counts_until_it_is_a_minute_old(gate: Gate, clock: MovableClock) -> None:
    two = quota(limits=Limits(requests_per_minute=2))
    await gate.admit(two, tokens=1)
    clock.advance(timedelta(seconds=40))
    await gate.admit(two, tokens=1)

    clock.advance(timedelta(seconds=19.999))
    with pytest.raises(RateLimited) as refusal:
        await gate.admit(two, tokens=1)
    assert refusal.value.retry_after_s == pytest.approx(0.001)

    clock.advance(timedelta(seconds=0.001))
    await gate.admit(two, tokens=1)
    with pytest.raises(RateLimited) as refusal:
        await gate.admit(two, tokens=1)
    assert refusal.value.retry_after_s == pytest.approx(40)


async def test_tokens_per_minute_may_be_used_up_exactly(gate: Gate) -> None:
    thousand = quota(limits=Limits(tokens_per_minute=1_000))
    await gate.admit(thousand, tokens=600)
    await gate.admit(thousand, tokens=400)

    with pytest.raises(RateLimited) as refusal:
        await gate.admit(thousand, tokens=1)

    assert refusal.value.message == "Team search used 1000 tokens within a minute; 1 more exceed its 1000. Slow down."


async def test_who_waits_as_long_as_a_refusal_for_tokens_says_is_admitted(gate: Gate, clock: MovableClock) -> None:
    thousand = quota(limits=Limits(tokens_per_minute=1_000))
    await gate.admit(thousand, tokens=100)
    clock.advance(timedelta(seconds=30))
    await gate.admit(thousand, tokens=800)

    with pytest.raises(RateLimited) as refusal:
        await gate.admit(thousand, tokens=500)
    assert refusal.value.retry_after_s == 60  # until the 800 are a minute old; the 100 alone make no room
    clock.advance(timedelta(seconds=60))

    await gate.admit(thousand, tokens=500)


async def test_a_request_that_needs_the_whole_minute_to_itself_waits_for_it(gate: Gate, clock: MovableClock) -> None:
    thousand = quota(limits=Limits(tokens_per_minute=1_000))
    await gate.admit(thousand, tokens=1)

    with pytest.raises(RateLimited) as refusal:
        await gate.admit(thousand, tokens=1_000)
    assert refusal.value.retry_after_s == 60
    clock.advance(timedelta(seconds=60))

    await gate.admit(thousand, tokens=1_000)


async def test_nobody_waits_for_more_tokens_than_he_needs(gate: Gate, clock: MovableClock) -> None:
    thousand = quota(limits=Limits(tokens_per_minute=1_000))
    for tokens in (200, 300, 500):
        await gate.admit(thousand, tokens=tokens)
        clock.advance(timedelta(seconds=10))

    for asked, retry_after_s in ((200, 30), (201, 40), (500, 40), (501, 50)):
        with pytest.raises(RateLimited) as refusal:
            await gate.admit(thousand, tokens=asked)
        assert refusal.value.retry_after_s == retry_after_s


async def test_a_request_that_no_minute_has_room_for_is_told_not_to_retry(gate: Gate) -> None:
    thousand = quota(limits=Limits(tokens_per_minute=1_000))

    with pytest.raises(TooManyTokens) as refusal:
        await gate.admit(thousand, tokens=1_001)

    assert refusal.value.status == 429
    assert refusal.value.should_retry is False
    assert refusal.value.message == (
        "This request may use 1001 tokens and team search may use 1000 per minute, so waiting does not help. "
        "Send a smaller `max_tokens` or prompt, or ask the team's owner to raise the limit."
    )


async def test_as_many_requests_as_allowed_are_under_way_and_one_more_when_one_has_left(gate: Gate) -> None:
    two = quota(limits=Limits(concurrent=2))
    first = await gate.admit(two, tokens=1)
    await gate.admit(two, tokens=1)

    with pytest.raises(RateLimited) as refusal:
        await gate.admit(two, tokens=1)
    assert refusal.value.message == ("Team search has 2 requests under way and may have 2. Wait for one to end.")
    assert refusal.value.retry_after_s == 1.0
    await gate.leave(first, tokens=1)

    await gate.admit(two, tokens=1)


async def test_a_request_counts_for_what_it_used_once_it_is_over(gate: Gate) -> None:
    thousand = quota(limits=Limits(tokens_per_minute=1_000))
    expected_more = await gate.admit(thousand, tokens=700)
    expected_less = await gate.admit(thousand, tokens=300)

    await gate.leave(expected_more, tokens=100)
    await gate.leave(expected_less, tokens=500)

    await gate.admit(thousand, tokens=400)
    with pytest.raises(RateLimited):
        await gate.admit(thousand, tokens=1)


async def test_a_request_of_more_than_a_minute_changes_nothing_when_it_ends(gate: Gate, clock: MovableClock) -> None:
    thousand = quota(limits=Limits(tokens_per_minute=1_000))
    long = await gate.admit(thousand, tokens=700)
    clock.advance(timedelta(minutes=1))
    await gate.admit(thousand, tokens=1_000)

    await gate.leave(long, tokens=100)
    await gate.leave(long, tokens=100)

    with pytest.raises(RateLimited):
        await gate.admit(thousand, tokens=1)


@pytest.mark.parametrize(
    ("limits", "admitted", "refused"),
    [
        (Limits(requests_per_minute=1, concurrent=2), 1, 1),
        (Limits(tokens_per_minute=10, concurrent=2), 10, 1),
        (Limits(tokens_per_minute=10, concurrent=2), 10, 11),
        (Limits(requests_per_minute=9, tokens_per_minute=10, concurrent=1), 1, 1),
    ],
)
async def test_a_refused_request_leaves_nothing_behind(
    gate: Gate, clock: MovableClock, limits: Limits, admitted: int, refused: int
) -> None:
    limited = quota(limits=limits)
    admission = await gate.admit(limited, tokens=admitted)
    for _ in range(20):
        with pytest.raises((RateLimited, TooManyTokens)):
            await gate.admit(limited, tokens=refused)
    await gate.leave(admission, tokens=admitted)
    clock.advance(timedelta(minutes=1))

    await gate.admit(limited, tokens=admitted)


async def test_teams_do_not_share_their_rates(gate: Gate) -> None:
    one = Limits(requests_per_minute=1, tokens_per_minute=5, concurrent=1)
    await gate.admit(quota(limits=one), tokens=5)

    await gate.admit(quota(limits=one, team=ADS), tokens=5)


async def test_no_limit_is_no_limit(gate: Gate) -> None:
    for _ in range(100):
        await gate.admit(quota(), tokens=10**9)
