"""Corrections of a forecast, as laws: nothing from nothing, more good never lowers, sums in any order, bounded."""

import random
from math import log

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.catalog.catalog import ModelName
from router.learning.quality_features import FEATURES, SHARED_SPREADS, Sparse
from router.learning.quality_ridge import MOST_SHIFT, Corrections, probability

FLASH, PRO, GPT = ModelName("flash"), ModelName("pro"), ModelName("gpt")
ALWAYS = Sparse((0,), (1.0,))

sparse = st.builds(
    lambda places, values: Sparse(tuple(sorted(places)), tuple(values[: len(places)])),
    st.sets(st.integers(0, len(FEATURES) - 1), min_size=1, max_size=8),
    st.lists(st.floats(-1, 1), min_size=8, max_size=8),
)
labels = st.lists(
    st.tuples(st.sampled_from([FLASH, PRO]), sparse, st.floats(-2, 3), st.sampled_from([0.0, 1.0])), max_size=25
)


def taught(given_labels: list[tuple[ModelName, Sparse, float, float]], *, memory: float = 2_000.0) -> Corrections:
    corrections = Corrections(memory=memory)
    for model, features, prior_logit, score in given_labels:
        corrections.learn(model, features, prior_logit=prior_logit, score=score, weight=1.0)
    corrections.solve()
    return corrections


def test_before_any_label_nothing_is_corrected_and_all_is_uncertain() -> None:
    corrections = Corrections(memory=100)

    assert corrections.shift(FLASH, ALWAYS) == 0
    assert corrections.variance(FLASH, ALWAYS) == pytest.approx(0.8**2, rel=1e-4)


def test_enough_labels_move_a_forecast_to_what_they_say() -> None:
    """Of 1,000 answers that were forecast at 73 % one half is good."""
    corrections = Corrections(memory=1e9)
    for _ in range(20):
        for number in range(50):
            corrections.learn(FLASH, ALWAYS, prior_logit=1.0, score=float(number % 2), weight=1.0)
        corrections.solve()

    assert probability(1.0 + corrections.shift(FLASH, ALWAYS)) == pytest.approx(0.5, abs=0.02)
    assert corrections.variance(FLASH, ALWAYS) == pytest.approx(4 / 1_000, rel=0.1)


def test_what_one_model_shows_moves_the_others_less() -> None:
    corrections = taught([(FLASH, ALWAYS, 1.0, 0.0)] * 300)

    assert corrections.shift(FLASH, ALWAYS) < corrections.shift(PRO, ALWAYS) < 0
    assert corrections.variance(FLASH, ALWAYS) < corrections.variance(PRO, ALWAYS) < 0.8**2


@settings(max_examples=40, deadline=None)
@given(labels, sparse, st.floats(-2, 3))
def test_one_more_good_answer_never_lowers_its_own_kind(
    given_labels: list[tuple[ModelName, Sparse, float, float]], asked: Sparse, prior_logit: float
) -> None:
    without = taught(given_labels)
    bad = taught([*given_labels, (FLASH, asked, prior_logit, 0.0)])
    good = taught([*given_labels, (FLASH, asked, prior_logit, 1.0)])

    assert bad.shift(FLASH, asked) <= good.shift(FLASH, asked)
    assert good.variance(FLASH, asked) <= without.variance(FLASH, asked) + 1e-9


@settings(max_examples=40, deadline=None)
@given(labels, sparse)
def test_a_correction_is_bounded_whatever_was_learned(
    given_labels: list[tuple[ModelName, Sparse, float, float]], asked: Sparse
) -> None:
    corrections = taught(given_labels * 8)

    for model in (FLASH, PRO, GPT):
        assert -MOST_SHIFT <= corrections.shift(model, asked) <= MOST_SHIFT
        assert corrections.variance(model, asked) >= 0


@settings(max_examples=30, deadline=None)
@given(labels, st.randoms(use_true_random=False))
def test_the_order_of_labels_does_not_matter_where_none_fades(
    given_labels: list[tuple[ModelName, Sparse, float, float]], chance: random.Random
) -> None:
    one = taught(given_labels, memory=1e12)
    other = taught(chance.sample(given_labels, len(given_labels)), memory=1e12)

    for model in (FLASH, PRO, GPT):
        assert one.shift(model, ALWAYS) == pytest.approx(other.shift(model, ALWAYS), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(labels, sparse)
def test_a_label_that_is_changed_teaches_what_the_later_one_would_have(
    given_labels: list[tuple[ModelName, Sparse, float, float]], features: Sparse
) -> None:
    revised = taught([*given_labels, (FLASH, features, 0.5, 1.0)])
    revised.revise(FLASH, features, by=-1.0, weight=1.0)
    revised.solve()

    later = taught([*given_labels, (FLASH, features, 0.5, 0.0)])
    assert revised.shift(FLASH, features) == pytest.approx(later.shift(FLASH, features), abs=1e-6)


def test_old_labels_fade_as_new_ones_come() -> None:
    corrections = Corrections(memory=100)
    for score in (0.0, 1.0):
        for _ in range(600):
            corrections.learn(FLASH, ALWAYS, prior_logit=0.0, score=score, weight=1.0)
            corrections.solve() if _ % 50 == 0 else None
    corrections.solve()

    assert corrections.shift(FLASH, ALWAYS) > 1
    assert corrections.labels(FLASH) == pytest.approx(100, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(labels, sparse)
def test_what_is_written_down_comes_back(
    given_labels: list[tuple[ModelName, Sparse, float, float]], asked: Sparse
) -> None:
    before = taught(given_labels)
    after = Corrections(memory=2_000)
    for model, names, data in before.as_data():
        after.take(model, data, names)
    after.solve()

    for model in (FLASH, PRO, GPT):
        assert after.shift(model, asked) == pytest.approx(before.shift(model, asked), abs=1e-5)
        assert after.variance(model, asked) == pytest.approx(before.variance(model, asked), abs=1e-5)


def test_a_feature_that_is_gone_is_left_out_of_what_is_read_and_the_others_keep_their_names() -> None:
    (entry,) = taught([(FLASH, ALWAYS, 0.0, 1.0)] * 50).as_data()
    model, names, data = entry
    renamed = Corrections(memory=2_000)
    renamed.take(model, data, ["something older" if name == "always" else name for name in names])
    renamed.solve()

    assert renamed.shift(FLASH, ALWAYS) == 0
    with pytest.raises(ValueError, match="another shape"):
        renamed.take(model, data, names[1:])


def test_an_uninformed_label_moves_nothing() -> None:
    corrections = Corrections(memory=100)
    corrections.learn(FLASH, ALWAYS, prior_logit=0.0, score=5.0, weight=0.0)

    assert corrections.unsolved == 0


def test_shared_spreads_leave_efforts_to_their_model() -> None:
    shares = dict(zip(FEATURES, SHARED_SPREADS, strict=True))

    assert all(value < 0.01 for name, value in shares.items() if name.startswith("effort:"))
    assert probability(log(3)) == pytest.approx(0.75)
