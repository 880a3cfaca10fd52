"""Series have places, and no metric has more of them than it may: what is too much is counted together."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.telemetry.figures import MOST_HELD, OTHER, Bound, Family, OwnFigures

# Nine places, of which the last two are for whatever is left: seven by team, four of them as they are.
BOUND = Bound(9, kept=("source",), folded=2)


def places(bound: Bound, *labels: tuple[str, ...], names: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Where each of these is counted, one after the other."""
    family = Family(OwnFigures(), "penstock_spend_usd", names, bound=bound)
    return [family.labels_at(family.place(each)) for each in labels]


def test_what_is_too_much_is_counted_by_team_and_then_together_and_keeps_what_has_few_values() -> None:
    spent = [(team, model, "reported") for team in ("a", "b", "c", "d", "e") for model in ("x", "y", "z")]

    found = places(BOUND, *spent, ("f", "x", "held"), names=("team", "model", "source"))

    assert found == [
        *spent[:4],
        *[("b", OTHER, "reported")] * 2,
        *[("c", OTHER, "reported")] * 3,
        *[("d", OTHER, "reported")] * 3,
        *[(OTHER, OTHER, "reported")] * 3,
        (OTHER, OTHER, "held"),
    ]


def test_a_series_keeps_its_place_when_there_is_no_more_room() -> None:
    labels = [("model",), *[(f"model-{number}",) for number in range(20)], ("model",)]

    found = places(Bound(5), *labels, names=("model",))

    assert found == [("model",), ("model-0",), ("model-1",), ("model-2",), *[(OTHER,)] * 17, ("model",)]


@given(st.lists(st.tuples(*[st.text(max_size=3)] * 2, st.sampled_from(["held", "record"])), max_size=60))
def test_there_are_never_more_series_than_the_bound_says_and_nothing_is_lost(labels: list[tuple[str, ...]]) -> None:
    figures = OwnFigures()
    family = Family(figures, "penstock_spend_usd", ("team", "model", "source"), bound=BOUND)

    for each in labels:
        figures.ints[family.place(each)] += 1

    series = figures.series("penstock_spend_usd")
    assert len(series) <= BOUND.most
    assert sum(figures.ints[place] for _, place in series) == len(labels)
    for source in ("held", "record"):
        assert sum(figures.ints[place] for each, place in series if each[2] == source) == sum(
            each[2] == source for each in labels
        )


def test_label_values_that_never_end_take_no_memory_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.telemetry.figures._MOST_REMEMBERED", 10)
    family = Family(OwnFigures(), "penstock_requests", ("alias",), bound=Bound(3))

    for number in range(100):
        family.place((f"alias-{number}",))

    assert len(family.places) == 10


def test_of_the_calls_in_doubt_the_newest_are_remembered() -> None:
    figures = OwnFigures()
    for number in range(MOST_HELD + 1):
        figures.hold(f"req_{number}.1", 0, number)

    assert len(figures.held()) == MOST_HELD
    assert figures.release("req_0.1") is None
    assert figures.release(f"req_{MOST_HELD}.1") == (0, MOST_HELD)
    assert figures.release(f"req_{MOST_HELD}.1") is None


def test_a_process_that_serves_alone_knows_nothing_of_others() -> None:
    figures = OwnFigures()

    asked: Callable[[str, str, bool], bool] = figures.has_counted
    assert not asked("process", "req_1", False)
    assert (figures.workers, figures.restarts, list(figures.silences_s())) == (1, 0, [])
