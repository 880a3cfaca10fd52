"""Labels in each kind of store: kept once, replaced, read in their order, pruned; and leases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec

from router.catalog.catalog import Effort, ModelName, Task
from router.keys import TeamName
from router.quality.labels import Label, Signal
from router.storage.store import Store
from tests.storage.entries import AT
from tests.storage.places import opened

LABEL = Label(
    request_id="req_1",
    number=1,
    signal=Signal.FEEDBACK,
    team=TeamName("search"),
    model=ModelName("deepseek/deepseek-v4-flash"),
    effort=Effort.HIGH,
    version="deepseek-v4-flash-20260423",
    task=Task.CODE,
    asked_at=AT,
    at=AT + timedelta(minutes=5),
    score=0.25,
    prior_logit=1.5,
    features={"always": 1.0, "task:code": 1.0, "length": -0.12},
    checks={"non_empty": True},
    reason="wrong",
    propensity=0.05,
)


def test_a_label_comes_back_whole_and_a_second_of_the_same_changes_nothing(any_store: Store) -> None:
    assert any_store.keep_labels([LABEL]) == 1
    assert any_store.keep_labels([LABEL]) == 0

    assert [label for _, label in any_store.labels_after(0, 10)] == [LABEL]


def test_the_last_score_of_an_answer_counts_and_whoever_has_read_the_first_hears_of_it(any_store: Store) -> None:
    any_store.keep_labels([LABEL])
    ((first, _),) = any_store.labels_after(0, 10)
    better = msgspec.structs.replace(LABEL, score=1.0)

    assert any_store.keep_labels([better]) == 1

    assert [label for _, label in any_store.labels_after(first, 10)] == [better]
    assert [label for _, label in any_store.labels_after(0, 10)] == [better]


def test_of_many_labels_at_once_those_with_another_score_take_the_place_of_what_is_there(any_store: Store) -> None:
    first = [msgspec.structs.replace(LABEL, request_id=f"req_{number:02}") for number in range(75)]
    changed = [msgspec.structs.replace(each, score=1.0) for each in first[10:50]]
    any_store.keep_labels(first)

    assert any_store.keep_labels([*first[:10], *changed, *first[50:]]) == 40
    any_store.keep_labels([first[3], changed[3], msgspec.structs.replace(first[3], score=0.5)])

    found = [label for _, label in any_store.labels_after(0, 100)]
    assert found[:34] == [*first[:3], *first[4:10], *first[50:]]
    assert len(found) == 75
    assert {label.request_id: label.score for label in found if label is not None} == {
        **{each.request_id: each.score for each in (*first, *changed)},
        "req_03": 0.5,
    }


def test_of_labels_of_one_answer_given_at_once_the_last_score_counts_with_what_was_first_said_of_it(
    any_store: Store,
) -> None:
    one, other = (msgspec.structs.replace(LABEL, request_id=name) for name in ("req_1", "req_2"))
    again = msgspec.structs.replace(one, reason="again")
    changed = msgspec.structs.replace(other, score=1.0)
    any_store.keep_labels([other, one, again, changed])

    assert [label for _, label in any_store.labels_after(0, 10)] == [one, changed]


def test_other_signals_and_other_calls_of_a_request_are_labels_of_their_own(any_store: Store) -> None:
    others = [
        msgspec.structs.replace(LABEL, signal=Signal.VERIFIER),
        msgspec.structs.replace(LABEL, number=2),
        msgspec.structs.replace(LABEL, request_id="req_2"),
    ]

    assert any_store.keep_labels([LABEL, *others]) == 4

    assert len(any_store.labels_after(0, 10)) == 4


def test_the_newest_of_a_team_are_read_oldest_first(any_store: Store) -> None:
    of_search = [msgspec.structs.replace(LABEL, request_id=f"req_{number}") for number in range(5)]
    any_store.keep_labels([*of_search, msgspec.structs.replace(LABEL, request_id="r", team=TeamName("research"))])

    found = any_store.last_labels(TeamName("search"), 3)

    assert [label.request_id for _, label in found] == ["req_2", "req_3", "req_4"]


def test_old_labels_are_forgotten(any_store: Store) -> None:
    any_store.keep_labels([LABEL, msgspec.structs.replace(LABEL, request_id="req_2", at=AT + timedelta(days=1))])

    assert any_store.drop_labels(AT + timedelta(minutes=6)) == 1

    assert [label and label.request_id for _, label in any_store.labels_after(0, 10)] == ["req_2"]


def test_numbers_are_not_used_again_when_the_newest_label_is_gone(any_store: Store) -> None:
    any_store.keep_labels([LABEL])
    ((number, _),) = any_store.labels_after(0, 10)
    any_store.drop_labels(AT + timedelta(days=1))

    any_store.keep_labels([msgspec.structs.replace(LABEL, request_id="req_2")])

    assert [label and label.request_id for _, label in any_store.labels_after(number, 10)] == ["req_2"]


def test_a_reader_misses_no_label_that_several_processes_write_at_once(place: str) -> None:
    def write(writer: int) -> None:
        with opened(place) as store:
            for number in range(20):
                store.keep_labels([msgspec.structs.replace(LABEL, request_id=f"req_{writer}_{number}")])

    with opened(place) as reader, ThreadPoolExecutor(3) as threads:
        writing = [threads.submit(write, writer) for writer in range(3)]
        seen: list[str] = []
        last = 0
        while len(seen) < 60 and not (all(each.done() for each in writing) and not reader.labels_after(last, 100)):
            for number, label in reader.labels_after(last, 100):
                assert label is not None
                seen.append(label.request_id)
                last = number
        for each in writing:
            each.result()

    assert len(seen) == len(set(seen)) == 60


def test_one_of_many_has_a_lease_until_it_ends(any_store: Store) -> None:
    def take(holder: str, after: timedelta = timedelta(0)) -> bool:
        return any_store.take_lease("refits", holder, at=AT + after, until=AT + after + timedelta(minutes=10))

    assert take("one")
    assert not take("two", timedelta(minutes=9))
    assert take("one", timedelta(minutes=9))
    assert not take("two", timedelta(minutes=18))
    assert take("two", timedelta(minutes=19))
