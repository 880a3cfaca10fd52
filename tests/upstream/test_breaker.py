"""When a deployment is left alone and when it is tried again; and how many calls more than requests there may be."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Deployment
from router.errors import FailureKind, UpstreamError, UpstreamRefused, UpstreamTimeout, UpstreamUnreachable
from router.upstream.breaker import Availability, BreakerState, RetryBudget
from tests.decision.builders import always, at, model, per_mtok

PRICE = always(per_mtok("1", "2"))
FLASH, PRO = at("cloud", model("maker/flash"), PRICE), at("cloud", model("maker/pro"), PRICE)
LOCAL = at("local", model("maker/flash"), PRICE)


@dataclass
class Place:
    """Three deployments at two providers, and the time."""

    now_s: float = 1_000.0
    board: Availability = field(init=False)

    def __post_init__(self) -> None:
        self.board = Availability((FLASH, PRO, LOCAL), monotonic_s=lambda: self.now_s, jitter=random.Random(7))

    def fail(self, deployment: Deployment = FLASH, error: UpstreamError | None = None, *, times: int = 1) -> None:
        for _ in range(times):
            self.board.failed(deployment, error or UpstreamTimeout("slow", provider=deployment.provider.name))

    def may(self, deployment: Deployment = FLASH, *, is_last: bool = False) -> bool:
        return self.board.may_be_asked(deployment, is_last=is_last)

    def is_in(self, state: BreakerState) -> bool:
        return self.board.states()[FLASH.id] is state


def refused(status: int, *, retry_after_s: float | None = None, kind: FailureKind | None = None) -> UpstreamRefused:
    return UpstreamRefused("Not now.", provider="cloud", upstream_status=status, kind=kind, retry_after_s=retry_after_s)


@pytest.fixture
def place() -> Place:
    return Place()


def test_whoever_works_is_asked_and_nothing_is_said_of_it(place: Place) -> None:
    for _ in range(100):
        assert place.may()
        place.board.succeeded(FLASH)

    assert (dict(place.board.paused()), dict(place.board.broken())) == ({}, {})
    assert place.is_in(BreakerState.CLOSED)


def test_nobody_is_left_alone_where_that_is_not_wanted() -> None:
    board = Availability((FLASH,), monotonic_s=lambda: 0.0, jitter=random.Random(1), is_kept=False)
    for error in [refused(500)] * 9 + [refused(429, retry_after_s=40)]:
        board.failed(FLASH, error)

    assert board.may_be_asked(FLASH, is_last=False)
    assert (dict(board.broken()), dict(board.paused())) == ({}, {})


@pytest.mark.parametrize(
    "error", [refused(500), refused(408), UpstreamTimeout("", provider="x"), UpstreamUnreachable("", provider="x")]
)
def test_five_failures_in_a_row_open_the_breaker_of_that_deployment_alone(place: Place, error: UpstreamError) -> None:
    place.fail(error=error, times=4)
    assert place.may()
    place.fail(error=error)

    assert (place.may(), place.may(PRO), place.may(LOCAL)) == (False, True, True)
    assert list(place.board.broken()) == [FLASH.id]
    assert place.is_in(BreakerState.OPEN)


@pytest.mark.parametrize(("completed_after", "state"), [(None, BreakerState.OPEN), (3, BreakerState.CLOSED)])
def test_five_streams_in_a_row_that_are_cut_open_the_breaker(
    place: Place, completed_after: int | None, state: BreakerState
) -> None:
    """Each had begun, which counted as an answer: it took ten within ten seconds."""
    for number in range(5):
        place.now_s += 60
        with place.board.asking(FLASH):
            pass
        place.board.cut(FLASH, UpstreamTimeout("silent", provider=FLASH.provider.name))
        if number == completed_after:
            place.board.completed(FLASH)

    assert place.is_in(state)


def test_a_success_between_failures_starts_the_count_anew(place: Place) -> None:
    for _ in range(10):
        place.fail(times=4)
        place.now_s += 10
        place.board.succeeded(FLASH)

    assert place.may()


def test_half_of_twenty_within_ten_seconds_open_it_and_half_of_nineteen_do_not(place: Place) -> None:
    for number in range(19):
        place.now_s += 0.4
        if number % 2:
            place.board.succeeded(FLASH)
        else:
            place.fail()
    assert place.may()

    place.fail()

    assert not place.may()


def test_failures_of_more_than_ten_seconds_ago_do_not_count(place: Place) -> None:
    for number in range(40):
        place.now_s += 1.1
        if number % 2:
            place.board.succeeded(FLASH)
        else:
            place.fail()

    assert place.may()


def test_one_request_tries_it_again_and_its_success_closes_it(place: Place) -> None:
    place.fail(times=5)
    place.now_s += 5
    assert place.is_in(BreakerState.HALF_OPEN)

    assert place.may()
    assert not place.may()  # while that one is under way
    assert "being tried" in place.board.broken()[FLASH.id]
    place.board.succeeded(FLASH)

    assert place.may()
    assert place.may()
    assert place.is_in(BreakerState.CLOSED)


def test_a_failed_try_opens_it_for_twice_as_long_and_at_most_a_minute(place: Place) -> None:
    place.fail(times=5)
    for length_s in (5, 10, 20, 40, 60, 60):
        place.now_s += length_s - 0.1
        assert not place.may()
        place.now_s += 0.1
        assert place.may()
        place.fail()


def test_what_has_worked_for_a_minute_begins_anew(place: Place) -> None:
    for _ in range(3):
        place.fail(times=5)
        place.now_s += 5
        assert place.may()
        place.board.succeeded(FLASH)
        place.now_s += 61


def test_a_try_that_said_nothing_lets_another_request_try(place: Place) -> None:
    place.fail(times=5)
    place.now_s += 5
    assert place.may()

    place.board.abandoned(FLASH)

    assert place.may()
    place.now_s += 60  # and one that is never heard of again does not keep the others away for ever
    assert place.may()


def test_how_a_call_ends_is_taken_from_its_end(place: Place) -> None:
    """Escalations once told only their failures, so that one that answered left its deployment as broken."""
    for _ in range(5):
        with pytest.raises(UpstreamTimeout), place.board.asking(FLASH):
            raise UpstreamTimeout("slow", provider="cloud")
    assert not place.may()
    place.now_s += 5

    assert place.may()
    with pytest.raises(KeyError), place.board.asking(FLASH):
        raise KeyError  # it says nothing about the deployment: another may try
    assert place.may()
    with place.board.asking(FLASH):
        pass

    assert place.is_in(BreakerState.CLOSED)


def test_where_there_is_nobody_else_an_open_breaker_is_no_reason(place: Place) -> None:
    place.fail(times=5)

    assert place.may(is_last=True)
    place.fail()  # which does not prolong it
    place.now_s += 5
    assert place.may()


@pytest.mark.parametrize("kind", [FailureKind.CALLERS, FailureKind.TOO_LONG, FailureKind.DECLINED])
def test_what_is_the_requests_own_fault_says_that_the_deployment_works(place: Place, kind: FailureKind) -> None:
    for _ in range(4):
        place.fail(times=4)
        place.fail(error=refused(400, kind=kind))

    assert place.may()


def test_who_says_not_now_is_left_alone_as_long_as_it_says_even_if_there_is_nobody_else(place: Place) -> None:
    place.fail(error=refused(429, retry_after_s=40))

    place.now_s += 39.9
    assert not place.may(is_last=True)
    assert list(place.board.paused()) == [FLASH.id]
    assert place.board.pause_left_s([FLASH.id, PRO.id]) == pytest.approx(0.1)
    assert place.is_in(BreakerState.CLOSED)  # it has not failed

    place.now_s += 0.1
    assert place.may()
    assert place.board.pause_left_s([FLASH.id, PRO.id]) is None


def test_who_does_not_say_how_long_is_left_alone_longer_each_time(place: Place) -> None:
    pauses_s: list[float] = []
    for _ in range(8):
        place.fail(error=refused(429))
        left_s = place.board.pause_left_s([FLASH.id])
        assert left_s is not None
        pauses_s.append(left_s)
        place.now_s += left_s

    for most_s, pause_s in zip((1, 2, 4, 8, 16, 30, 30, 30), pauses_s, strict=True):
        assert most_s / 2 <= pause_s <= most_s
    place.board.succeeded(FLASH)
    place.fail(error=refused(429))
    assert (place.board.pause_left_s([FLASH.id]) or 9) <= 1


def test_an_answer_to_a_call_that_is_older_than_a_not_now_does_not_end_it(place: Place) -> None:
    """It did, where one of two calls under way was answered and the other refused: the next one was sent at once."""
    place.fail(error=refused(429, retry_after_s=40))
    place.now_s += 1
    place.board.succeeded(FLASH)

    assert place.board.pause_left_s([FLASH.id]) == pytest.approx(39)

    place.now_s += 39
    place.board.succeeded(FLASH)
    place.fail(error=refused(429))
    assert (place.board.pause_left_s([FLASH.id]) or 9) <= 1


def test_many_calls_that_are_refused_at_once_make_one_pause(place: Place) -> None:
    """Ten of them made it thirty seconds."""
    place.fail(error=refused(429), times=10)

    assert (place.board.pause_left_s([FLASH.id]) or 9) <= 1


def test_a_slip_in_its_retry_after_does_not_take_a_deployment_away_for_ever(place: Place) -> None:
    place.fail(error=refused(429, retry_after_s=999_999_999))
    place.fail(error=refused(401, kind=FailureKind.ACCOUNT, retry_after_s=999_999_999))

    place.now_s += 3_599
    assert not place.may()
    place.now_s += 1
    assert place.may()


@pytest.mark.parametrize(("told_s", "gap_s"), [(0, 1.5), (0.5, 1.5), (1, 3), (None, 3)])
def test_one_that_says_not_now_again_and_again_is_asked_ever_more_seldom(
    place: Place, told_s: float | None, gap_s: float
) -> None:
    """It was asked by each of these requests, whose retries are no more than a fifth of them."""
    asked = 0
    for _ in range(40):
        place.now_s += gap_s
        if not place.board.paused() and place.may():
            asked += 1
            place.fail(error=refused(429, retry_after_s=told_s))

    assert asked <= 10


def test_what_is_wrong_with_our_account_is_wrong_with_all_that_the_provider_has(place: Place) -> None:
    place.fail(error=refused(402, kind=FailureKind.ACCOUNT, retry_after_s=120))

    assert (place.may(), place.may(PRO), place.may(LOCAL)) == (False, False, True)
    assert set(place.board.paused()) == {FLASH.id, PRO.id}
    place.now_s += 120
    assert place.may(PRO)


@given(st.lists(st.tuples(st.sampled_from(["ask", "fail", "busy", "answer", "drop"]), st.floats(0, 20)), max_size=80))
def test_whatever_happens_no_two_requests_try_one_that_fails_and_none_asks_one_that_pauses(
    steps: list[tuple[str, float]],
) -> None:
    place = Place()
    paused_until_s, trying = 0.0, False
    for step, passing_s in steps:
        place.now_s += passing_s
        state = place.board.states().get(FLASH.id, BreakerState.CLOSED)
        match step:
            case "ask" if place.may():
                assert place.now_s >= paused_until_s
                assert state is not BreakerState.OPEN
                assert not (state is BreakerState.HALF_OPEN and trying and passing_s == 0)
                trying = state is BreakerState.HALF_OPEN
            case "fail":
                place.fail()
                trying = False
            case "busy":
                place.fail(error=refused(429, retry_after_s=7))
                paused_until_s, trying = max(paused_until_s, place.now_s + 7), False
            case "answer":
                place.board.succeeded(FLASH)
                paused_until_s, trying = 0.0, False
            case "drop":
                place.board.abandoned(FLASH)
                trying = False


# How many calls more than requests


@given(requests=st.integers(1, 2_000), gap_s=st.floats(0, 0.99))
def test_calls_beyond_the_first_are_a_fifth_of_the_requests_and_three(requests: int, gap_s: float) -> None:
    now_s = 0.0
    budget = RetryBudget(monotonic_s=lambda: now_s)
    retries = 0
    for _ in range(requests):
        now_s += gap_s
        budget.earn()
        retries += sum(budget.spend() for _ in range(3))

    assert retries <= 0.2 * requests + 3
    assert retries >= int(0.2 * requests + 2.9)


def test_a_quiet_gateway_has_three_again_after_half_a_minute() -> None:
    now_s = 0.0
    budget = RetryBudget(monotonic_s=lambda: now_s)
    assert [budget.spend() for _ in range(4)] == [True, True, True, False]

    now_s = 30.0
    budget.earn()

    assert [budget.spend() for _ in range(4)] == [True, True, True, False]


def test_what_is_known_of_a_deployment_outlives_another_configuration_unless_its_provider_changed(
    place: Place,
) -> None:
    for deployment in (FLASH, LOCAL):
        place.fail(deployment, times=5)
    for deployment in (PRO, LOCAL):
        place.fail(deployment, refused(429, retry_after_s=40))

    place.board.reconfigured((FLASH, PRO, LOCAL), changed=(), is_kept=True)
    before = (set(place.board.broken()), set(place.board.paused()))
    place.board.reconfigured((FLASH, PRO, LOCAL), changed=(LOCAL.provider.name,), is_kept=True)

    assert before == ({FLASH.id, LOCAL.id}, {PRO.id, LOCAL.id})
    assert (set(place.board.broken()), set(place.board.paused())) == ({FLASH.id}, {PRO.id})


def test_a_call_to_a_deployment_that_is_configured_no_more_ends_as_any_other(place: Place) -> None:
    place.board.reconfigured((LOCAL,), changed=(), is_kept=True)

    place.fail(FLASH, refused(429, retry_after_s=40))

    assert not place.may(FLASH)
    assert set(place.board.paused()) == set()
