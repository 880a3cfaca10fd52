"""What a process keeps of what it has in Redis: when it is forgotten, and how Redis is told of it again."""

import json

import pytest

from router.limits.calendar import Span
from router.limits.gate import Admission, Reservation
from router.limits.holdings import Correction, Hold, Holdings, Recent, UnderWay
from router.quotas import ScopeId

SPAN = Span("team|search|search", "day", 1_000, 2_000)
OTHER_SPAN = Span("key|search|8f3a0b6c", "month", 500, 9_000)
HOUR_S = 3_600.0


def hold(name: str, nano_usd: int, *spans: Span) -> Hold:
    return Hold(Reservation(name, nano_usd, tuple(span.held() for span in spans)), spans, made_s=1.0)


def settling(nano_usd: int) -> Holdings:
    """One call that is over, and another that is under way."""
    holdings = Holdings(to_settle={"r.1": nano_usd})
    holdings.holds = {"r.1": hold("r.1", 60, SPAN, OTHER_SPAN), "r.2": hold("r.2", 5, SPAN)}
    return holdings


# Settled


def test_a_settlement_that_redis_has_made_is_kept_only_until_the_ledger_has_it() -> None:
    holdings = settling(25)

    holdings.settled("r.1", is_known=True, now_s=7.0)

    assert (list(holdings.holds), holdings.to_settle) == (["r.2"], {})
    assert holdings.recent == {"r.1": Recent((SPAN, OTHER_SPAN), 25, 7.0)}
    assert holdings.adoptions == {}


def test_a_settlement_of_which_redis_knew_no_hold_is_to_be_adopted_too() -> None:
    holdings = settling(25)

    holdings.settled("r.1", is_known=False, now_s=7.0)

    assert holdings.recent == {"r.1": Recent((SPAN, OTHER_SPAN), 25, 7.0)}
    assert holdings.adoptions == {"r.1": Correction((SPAN, OTHER_SPAN), 25)}


@pytest.mark.parametrize("is_known", [True, False])
def test_a_hold_that_was_never_known_here_leaves_nothing_behind(*, is_known: bool) -> None:
    """As one that was given up before its answer came."""
    holdings = Holdings(to_settle={"r.1": 0})

    holdings.settled("r.1", is_known=is_known, now_s=7.0)

    assert holdings == Holdings()


@pytest.mark.parametrize("is_known", [True, False])
def test_a_settlement_that_is_confirmed_twice_is_made_once(*, is_known: bool) -> None:
    holdings = settling(25)
    holdings.settled("r.1", is_known=is_known, now_s=7.0)
    holdings.recent.clear()
    holdings.adoptions.clear()

    holdings.settled("r.1", is_known=is_known, now_s=8.0)

    assert (holdings.recent, holdings.adoptions) == ({}, {})


def test_a_confirmation_of_a_hold_that_nobody_settled_makes_no_settlement_of_it() -> None:
    holdings = Holdings(holds={"r.2": hold("r.2", 5, SPAN)})

    holdings.settled("r.2", is_known=True, now_s=7.0)

    assert (holdings.recent, holdings.adoptions) == ({}, {})


# Registered anew


def waiting() -> Holdings:
    """Less, nothing and more than was spent; and the same again that came while Redis was told."""
    amounts = {"less": -7, "nothing": 0, "one": 1, "more": 7, "came meanwhile": -7}
    return Holdings(
        corrections={name: Correction((SPAN,), nano_usd) for name, nano_usd in amounts.items()},
        adoptions={name: Correction((SPAN,), nano_usd) for name, nano_usd in amounts.items()},
    )


TOLD = ("less", "delivered meanwhile", "nothing", "one", "more")


def test_counters_that_are_rebuilt_have_from_the_ledger_what_was_waiting() -> None:
    holdings = waiting()

    holdings.registered(corrections=TOLD, adoptions=(), is_late=False)
    assert (list(holdings.corrections), list(holdings.adoptions)) == (["came meanwhile"], list(waiting().adoptions))

    holdings.registered(corrections=(), adoptions=TOLD, is_late=False)
    assert list(holdings.adoptions) == ["came meanwhile"]


def test_counters_that_were_rebuilt_already_are_told_whatever_adds_to_what_was_spent() -> None:
    holdings = waiting()

    holdings.registered(corrections=TOLD, adoptions=TOLD, is_late=True)

    assert list(holdings.corrections) == list(holdings.adoptions) == ["one", "more", "came meanwhile"]


# Forgotten


def test_what_the_ledger_has_is_forgotten_and_what_was_owed_is_kept_until_it_has_it() -> None:
    holdings = Holdings(recent={"booked": Recent((SPAN,), 5, 0.0), "not booked": Recent((SPAN,), 1, 0.0)})

    holdings.forget_booked(["never heard of", "booked"], now_s=1_000 * HOUR_S)

    assert list(holdings.recent) == ["not booked"]


def test_that_nothing_was_owed_is_forgotten_after_an_hour() -> None:
    """The ledger never hears of a call that was not made."""
    holdings = Holdings(recent={"early": Recent((SPAN,), 0, 10.0), "late": Recent((SPAN,), 0, 10.5)})

    holdings.forget_booked([], now_s=10.0 + HOUR_S - 0.25)
    assert list(holdings.recent) == ["early", "late"]

    holdings.forget_booked([], now_s=10.0 + HOUR_S)
    assert list(holdings.recent) == ["late"]


# Told again


def test_all_that_is_held_was_settled_or_is_under_way_is_told_again() -> None:
    holdings = Holdings(
        holds={"r.1": hold("r.1", 60, SPAN, OTHER_SPAN), "r.2": hold("r.2", 5, SPAN)},
        recent={"r.0": Recent((OTHER_SPAN,), 25, 7.0)},
        under_way={
            Admission((ScopeId.of_team("search"),), 9): UnderWay("p1.1", (SPAN.scope, OTHER_SPAN.scope)),
            Admission((ScopeId.of_team("search"),), 9): UnderWay("p1.2", (SPAN.scope,)),
        },
    )

    told = json.loads(holdings.told_again(["team|search|search|day"]))

    assert told == {
        "holds": [["r.1", 60, [list(SPAN), list(OTHER_SPAN)]], ["r.2", 5, [list(SPAN)]]],
        "recent": [["r.0", 25, [list(OTHER_SPAN)]]],
        "under_way": [[SPAN.scope, "p1.1"], [OTHER_SPAN.scope, "p1.1"], [SPAN.scope, "p1.2"]],
        "purses": ["team|search|search|day"],
    }


def test_a_process_that_has_nothing_says_so() -> None:
    assert json.loads(Holdings().told_again([])) == {"holds": [], "recent": [], "under_way": [], "purses": []}
