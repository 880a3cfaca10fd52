"""The simulation of feedback on questions made up here: where the prior is wrong it is put right, else let be."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import ModelName
from router.learning.quality_features import features_of, named
from router.learning.quality_ridge import probability
from tests.benchmarks.feedback import CHEAP, PRICE, STRONG, TEAM, Line, Question, run, streams, windows
from tests.learning.labels import profile


def made_up(count: int, *, cheap: float, strong: float, believed_cheap: float) -> list[Question]:
    """Questions that the models answer rightly in such shares, and what is believed of the cheap one, in log-odds."""
    chance = random.Random(3)
    asked = profile(team=TEAM)
    vector = features_of(asked, None)
    return [
        Question(
            f"subject {number % 7}",
            asked,
            vector,
            named(vector),
            prior={CHEAP: believed_cheap, STRONG: 1.5},
            right={CHEAP: float(chance.random() < cheap), STRONG: float(chance.random() < strong)},
        )
        for number in range(count)
    ]


def line(questions: list[Question]) -> Line:
    return Line.of("random", [run(questions, 0)])


def test_a_cheap_model_that_is_believed_too_much_loses_the_requests() -> None:
    came = line(made_up(4_000, cheap=0.4, strong=0.82, believed_cheap=1.5))

    assert came.prior_at_end == pytest.approx(0.4, abs=0.03)
    assert came.learned_at_end == pytest.approx(0.82 - PRICE, abs=0.03)
    assert came.learned_at_end == pytest.approx(came.offline_at_end, abs=0.003)


def test_where_the_catalog_is_right_nothing_changes() -> None:
    came = line(made_up(3_000, cheap=0.5, strong=0.82, believed_cheap=0.0))

    assert (came.learned, came.below, came.speaking) == (came.prior, 0.0, 0.0)
    assert probability(1.5) == pytest.approx(0.82, abs=0.01)


def test_streams_ask_the_same_questions_in_other_orders() -> None:
    questions = made_up(140, cheap=0.5, strong=0.8, believed_cheap=0.0)

    orders = dict(streams(questions, 1))

    assert {len(each) for each in orders.values()} == {140}
    halves = [{each.subject for each in half} for half in (orders["subjects"][:60], orders["subjects"][60:])]
    assert halves[0].isdisjoint(halves[1])
    swapped = orders["swapped"]
    rights = [sum(each.right[ModelName(CHEAP)] for each in half) for half in (swapped[:70], swapped[70:])]
    assert rights[0] < rights[1]


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=60))
def test_windows_are_the_means_of_every_run_of_so_many(differences: list[float]) -> None:
    means = windows(differences, 5)

    assert len(means) == len(differences) - 4
    assert means == pytest.approx([sum(differences[at : at + 5]) / 5 for at in range(len(means))], abs=1e-9)
