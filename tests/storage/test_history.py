"""Entries are read back whole, in the order of time, a page at a time, from every kind of store."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.keys import TeamName
from router.ledger import LedgerEntry, Period, Place
from router.storage.store import Store
from tests.storage.entries import AT, HOUR, attempt, entries, entry
from tests.storage.places import Places, opened
from tests.storage.test_stores import as_kept

ALWAYS = Period(None, AT + timedelta(days=10_000))


def read(store: Store, period: Period, limit: int) -> list[LedgerEntry]:
    found: list[LedgerEntry] = []
    after: Place | None = None
    while True:
        page = store.page(period, after=after, limit=limit)
        found.extend(page.entries)
        if page.last is None:
            return found
        after = page.last


@settings(max_examples=40, deadline=None)
@given(written=st.lists(entries, max_size=9, unique_by=lambda each: each.request_id), limit=st.integers(1, 10))
def test_pages_together_hold_every_entry_whole_oldest_first(
    places: Places, written: list[LedgerEntry], limit: int
) -> None:
    with places() as place, opened(place) as store:
        store.write(written)

        found = read(store, ALWAYS, limit)

        assert store.count(ALWAYS) == len(written)
    assert [each.at for each in found] == sorted(each.at for each in written)
    assert sorted(found, key=_id) == sorted((as_kept(each) for each in written), key=_id)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (Period(AT, AT + 2 * HOUR), ["req_1", "req_2"]),
        (Period(AT + HOUR, AT + 3 * HOUR), ["req_2", "req_3"]),
        (Period(None, AT + HOUR), ["req_0", "req_1"]),
        (Period(AT, AT + 3 * HOUR, TeamName("ads")), ["req_2"]),
        (Period(AT, AT + 3 * HOUR, TeamName("nobody")), []),
    ],
)
def test_a_period_holds_what_was_admitted_in_it(any_store: Store, period: Period, expected: list[str]) -> None:
    any_store.write(
        [
            entry(f"req_{hours}", at=AT + (hours - 1) * HOUR, team="ads" if hours == 2 else "search")
            for hours in range(4)
        ]
    )

    assert [each.request_id for each in read(any_store, period, 1)] == expected
    assert any_store.count(period) == len(expected)


def test_entries_of_one_instant_are_each_read_once(any_store: Store) -> None:
    any_store.write([entry(f"req_{number}") for number in range(7)])

    assert sorted(each.request_id for each in read(any_store, ALWAYS, 2)) == [f"req_{number}" for number in range(7)]


def test_an_entry_is_found_by_its_request(any_store: Store) -> None:
    calls = (attempt(outcome="upstream_503", usage=None), attempt())
    any_store.write([entry("req_1", *calls), entry("req_2")])

    assert any_store.find("req_1") == as_kept(entry("req_1", *calls))
    assert any_store.find("req_3") is None
    assert any_store.find("req_\0") is None


def _id(each: LedgerEntry) -> str:
    return each.request_id
