"""The chain of the audit log: whatever is done to its rows is seen, wherever it was done."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.audit import Act, Broken, Chain, Entry, Head, Row, head_from, lost_end
from tests.replacing import replace

CHAIN = Chain(b"pepper")


def entry(number: int) -> Entry:
    return Entry(f"2026-11-30T12:00:{number % 60:02}.000000+00:00", "anna", Act.KEY_CREATED, f"key{number}", "", "here")


def rows(count: int) -> list[Row]:
    made: list[Row] = []
    head = Head()
    for number in range(count):
        made.append(CHAIN.next(head, entry(number)))
        head = Head(made[-1].number, made[-1].mac)
    return made


TEN = rows(10)
END = Head(10, TEN[9].mac)


def test_a_log_that_nobody_has_touched_is_whole() -> None:
    assert CHAIN.broken(TEN) == END
    assert CHAIN.broken([]) == Head()
    assert CHAIN.broken(TEN[4:], after=Head(4, TEN[3].mac)) == END


@pytest.mark.parametrize(
    ("name", "change", "number"),
    [
        ("edited", lambda: [*TEN[:4], replace(TEN[4], entry=replace(TEN[4].entry, actor="eve")), *TEN[5:]], 5),
        ("deleted", lambda: TEN[:4] + TEN[5:], 5),
        ("swapped", lambda: [*TEN[:4], TEN[5], TEN[4], *TEN[6:]], 5),
        ("renumbered", lambda: [*TEN[:4], *(replace(each, number=each.number - 1) for each in TEN[5:])], 5),
        ("inserted", lambda: [*TEN[:4], TEN[3], *TEN[4:]], 5),
        ("put before", lambda: [replace(TEN[0], number=0), *TEN], 1),
        ("of another key", lambda: [*TEN, Chain(b"other").next(END, entry(10))], 11),
        ("the first cut off", lambda: TEN[1:], 1),
    ],
)
def test_what_was_done_to_rows_is_seen_at_the_first_of_them(
    name: str, change: Callable[[], list[Row]], number: int
) -> None:
    found = CHAIN.broken(change())

    assert isinstance(found, Broken), name
    assert found.number == number


@given(st.sampled_from(("at", "actor", "act", "subject", "detail", "origin")), st.text(max_size=5), st.integers(0, 9))
def test_no_field_of_any_row_can_be_changed(field: str, text: str, place: int) -> None:
    entry = TEN[place].entry
    if str(getattr(entry, field)) == text:
        return
    changed = [*TEN]
    changed[place] = replace(TEN[place], entry=replace(entry, **{field: text}))

    found = CHAIN.broken(changed)

    assert isinstance(found, Broken)
    assert found.number == place + 1


def test_text_cannot_move_from_one_field_into_the_next() -> None:
    moved = replace(TEN[0], entry=replace(TEN[0].entry, actor="ann", act="a" + str(TEN[0].entry.act)))

    assert isinstance(CHAIN.broken([moved]), Broken)


def test_that_the_end_is_cut_off_is_seen_by_who_remembers_it() -> None:
    assert CHAIN.broken(TEN[:7]) == Head(7, TEN[6].mac)

    lost = lost_end([("audit.head", END)], {}, Head(7, TEN[6].mac))

    assert lost == Broken(8, "audit.head has seen row 10, and the log ends at 7")


def test_that_the_end_was_cut_off_and_has_grown_again_is_seen_too() -> None:
    other = rows(9)
    last = CHAIN.next(Head(9, other[8].mac), entry(99))

    assert lost_end([("you", END)], {10: last.mac}, Head(10, last.mac)) is not None
    assert lost_end([("you", END)], {10: END.mac}, Head(12, b"")) is None
    assert lost_end([("nobody", Head())], {}, Head()) is None


def test_a_head_is_read_as_it_is_written_and_anything_else_is_none() -> None:
    assert head_from(str(END)) == END
    assert head_from(f"{END.number:020}:{END.mac.hex()}\n") == END
    for text in ("", ":", "10", "10:", "10:zz", f"-1:{END.mac.hex()}", "²:" + END.mac.hex(), "1:00"):
        assert head_from(text) is None


def test_a_row_of_another_life_of_the_log_does_not_fit_into_this_one() -> None:
    """Cut off at some time, and grown again: both rows with that number were written by who has the key."""
    head = Head(4, TEN[3].mac)
    fork = []
    for number in range(90, 96):
        fork.append(CHAIN.next(head, entry(number)))
        head = Head(fork[-1].number, fork[-1].mac)

    assert CHAIN.broken([*TEN[:4], *fork]) == head
    found = CHAIN.broken([*TEN[:6], fork[2], *TEN[7:]])

    assert isinstance(found, Broken)
    assert found.number == 7
