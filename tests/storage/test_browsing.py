"""What people look at adds up to what was written, in both kinds of store, however they page through it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.keys import KeyId
from router.ledger import LedgerEntry, Outcome, Place
from router.storage import browsing
from router.storage.browsing import Browser, Order, Sought, Totals
from router.storage.errors import StoreUnavailable
from router.storage.store import Store
from router.units import CostSource, Usage
from tests.replacing import replace
from tests.storage.entries import AT, FLASH, GPT, HOUR, attempt, entries, entry
from tests.storage.places import Places, opened

DAY = AT.replace(hour=0, minute=0)
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


ANY = Sought()


def page(store: Store, sought: Sought = ANY, *, limit: int = 10, after: Place | None = None) -> list[str]:
    return [each.request_id for each in Browser(store).page(sought, after=after, limit=limit).requests]


@settings(max_examples=40, deadline=None)
@given(written=st.lists(entries, max_size=8))
def test_totals_are_the_sums_of_the_entries_by_the_hour_and_by_the_day(
    places: Places, written: list[LedgerEntry]
) -> None:
    with places() as place, opened(place) as store:
        for each in written:
            store.write([each, each])
        hours = Browser(store).totals("hour", BEGINNING, by=("team", "model"))
        days = Browser(store).totals("day", BEGINNING, by=("team", "model"))
        spend = store.spend(("team", "model"), None)

    assert sorted((each.group, each.totals) for each in hours) == sorted((each.group, each.totals) for each in days)
    costs = {each.group: each.totals.cost_nano_usd for each in days if each.totals.cost_nano_usd}
    assert costs == {row.group: row.cost_nano_usd for row in spend if row.cost_nano_usd}
    asked = [each for each in written if each.outcome is not Outcome.SHADOW]
    assert sum(each.totals.requests for each in days) == len(asked)
    assert sum(each.totals.refused for each in days) == sum(each.outcome is Outcome.REFUSED for each in asked)
    compared = [each for each in asked if each.baseline is not None and each.baseline_nano_usd is not None]
    assert sum(each.totals.saved_nano_usd for each in days) == sum(
        (each.baseline_nano_usd or 0) - each.cost_nano_usd for each in compared
    )


def test_a_call_that_is_booked_anew_moves_the_totals(any_store: Store) -> None:
    doubtful = attempt(usage=None, cost_nano_usd=90, source=CostSource.HELD)
    any_store.write([entry("req_1", doubtful, baseline_nano_usd=100)])
    (call,) = any_store.doubtful(since=AT - HOUR, before=AT + HOUR, after=None, limit=1)

    any_store.amend(call, usage=Usage(input_tokens=10, output_tokens=5), cost_nano_usd=30)

    (found,) = Browser(any_store).totals("hour", BEGINNING)
    assert found.totals == Totals(
        requests=1,
        calls=1,
        input_tokens=10,
        output_tokens=5,
        cost_nano_usd=30,
        baseline_nano_usd=100,
        saved_nano_usd=70,
    )


def test_tokens_beyond_all_measure_cost_no_entry(any_store: Store) -> None:
    huge = attempt(usage=Usage(input_tokens=2**53, output_tokens=2**53))

    for start in range(0, 1_600, 400):
        any_store.write([entry(f"req_{number}", huge) for number in range(start, start + 400)])

    (found,) = Browser(any_store).totals("hour", BEGINNING)
    assert found.totals.requests == 1_600
    assert found.totals.input_tokens >= 2**61


def test_requests_are_paged_newest_first_each_once(any_store: Store) -> None:
    any_store.write([entry(f"req_{number:02}", at=AT + number // 3 * HOUR) for number in range(10)])
    browser, seen, place = Browser(any_store), list[str](), None

    while True:
        found = browser.page(Sought(), after=place, limit=3)
        seen += [each.request_id for each in found.requests]
        place = found.next
        if place is None:
            break

    assert seen == [f"req_{number:02}" for number in reversed(range(10))]


def test_requests_are_found_by_what_is_sought(any_store: Store) -> None:
    any_store.write(
        [
            entry("req_1", at=AT),
            entry("req_2", attempt(model=GPT, outcome="upstream_503"), attempt(), at=AT + HOUR, team="ads"),
            entry("req_3", attempt(model=GPT), at=AT + 2 * HOUR, outcome=Outcome.CUT),
            replace(entry("req_4", at=AT + 3 * HOUR, team="ads", outcome=Outcome.REFUSED), attempts=()),
        ]
    )

    assert page(any_store) == ["req_4", "req_3", "req_2", "req_1"]
    assert page(any_store, Sought(team="ads")) == ["req_4", "req_2"]
    assert page(any_store, Sought(model=GPT)) == ["req_3", "req_2"]
    assert page(any_store, Sought(model=FLASH, team="ads")) == ["req_2"]
    assert page(any_store, Sought(outcome=Outcome.REFUSED)) == ["req_4"]
    assert page(any_store, Sought(outcome=Outcome.REFUSED, team="search")) == []
    assert page(any_store, Sought(outcome=Outcome.OK)) == ["req_2", "req_1"]
    assert page(any_store, Sought(since=AT + HOUR, until=AT + 3 * HOUR)) == ["req_3", "req_2"]
    assert page(any_store, Sought(id_begins="req_2")) == ["req_2"]
    assert page(any_store, Sought(id_begins="req_")) == ["req_4", "req_3", "req_2", "req_1"]


def test_what_is_rare_is_sought_only_so_far_and_then_from_there(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browsing, "WINDOWS", (2,) * 8)
    rare = entry("req_rare", attempt(model=GPT), at=AT)
    any_store.write([rare, *(entry(f"req_{number:02}", at=AT + HOUR + number * HOUR) for number in range(17))])
    browser = Browser(any_store)

    first = browser.page(Sought(model=GPT), after=None, limit=5)
    second = browser.page(Sought(model=GPT), after=first.next, limit=5)

    assert (first.requests, first.is_cut_short) == ((), True)
    assert ([each.request_id for each in second.requests], second.next) == (["req_rare"], None)


@pytest.mark.parametrize(
    ("order", "ids"),
    [
        (Order.DEAREST, ["req_3", "req_1", "req_2"]),
        (Order.SLOWEST, ["req_2", "req_3", "req_1"]),
        (Order.SAVED, ["req_2", "req_1", "req_3"]),
    ],
)
def test_the_newest_requests_are_put_in_another_order(any_store: Store, order: Order, ids: list[str]) -> None:
    any_store.write(
        [
            replace(entry("req_1", attempt(cost_nano_usd=20), baseline_nano_usd=50), duration_s=1.0),
            replace(entry("req_2", attempt(cost_nano_usd=10), baseline_nano_usd=90), duration_s=3.0),
            replace(entry("req_3", attempt(cost_nano_usd=30), baseline_nano_usd=None), duration_s=2.0),
        ]
    )
    browser = Browser(any_store)

    whole = browser.sorted(Sought(), order, newest=None, after=None, limit=10).requests
    first = whole[0]
    figure = {
        Order.DEAREST: first.cost_nano_usd,
        Order.SLOWEST: first.duration_s,
        Order.SAVED: first.saved_nano_usd or 0,
    }
    rest = browser.sorted(Sought(), order, newest=None, after=(figure[order], first.row), limit=10).requests

    assert [each.request_id for each in whole] == ids
    assert [each.request_id for each in rest] == ids[1:]


def test_a_key_was_last_used_when_its_newest_request_was_decided(any_store: Store) -> None:
    key = KeyId("aaaaaaaaaaaaaaaa")
    any_store.write([replace(entry("req_1", at=AT + HOUR), key_id=key), replace(entry("req_2", at=AT), key_id=key)])
    any_store.write([replace(entry("req_3", at=AT - HOUR), key_id=key)])

    assert Browser(any_store).key_uses() == {key: AT + HOUR}


def test_a_question_that_takes_too_long_is_given_up(any_store: Store) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"

    with pytest.raises(StoreUnavailable):
        any_store.read(endless, (), patience_s=0.05)

    assert any_store.read("SELECT 1", (), patience_s=5) == [(1,)]


def test_totals_are_read_by_the_moment_and_of_a_team(any_store: Store) -> None:
    any_store.write([entry("req_1", at=DAY), entry("req_2", at=DAY + 25 * HOUR), entry("req_3", at=DAY, team="ads")])
    browser = Browser(any_store)

    by_day = Counter({each.group[0][:10]: each.totals.requests for each in browser.totals("day", DAY, by=("starts",))})
    later = browser.totals("day", DAY + timedelta(days=1), by=("team",))

    assert by_day == {f"{DAY:%Y-%m-%d}": 2, f"{DAY + 24 * HOUR:%Y-%m-%d}": 1}
    assert [each.group for each in later] == [("search",)]
    assert [each.totals.requests for each in browser.totals("day", DAY, team="ads")] == [1]


def test_every_call_counts_with_its_own_model_and_the_request_with_the_one_that_answered(any_store: Store) -> None:
    any_store.write([entry("req_1", attempt(model=GPT, outcome="upstream_503", cost_nano_usd=4), attempt())])

    found = {each.group[0]: each.totals for each in Browser(any_store).totals("day", BEGINNING, by=("model",))}

    assert {model: (each.requests, each.calls) for model, each in found.items()} == {GPT: (0, 1), FLASH: (1, 1)}
