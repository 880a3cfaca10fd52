"""The figures, against sums done by hand and against laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from router.evaluation.metrics import arena_score, calibration_error, curve_of, interval

COIN = np.random.default_rng(1)
CHEAP = (COIN.random(20_000) < 0.6).astype(float)
STRONG = (COIN.random(20_000) < 0.8).astype(float)


def test_a_router_that_draws_lots_has_the_figures_of_routellms_random_row() -> None:
    curve = curve_of(COIN.random(20_000), CHEAP, STRONG)

    assert curve.apgr == pytest.approx(0.5, abs=0.02)
    assert 100 * curve.cpt(0.5) == pytest.approx(49.9, abs=2.0)
    assert 100 * curve.cpt(0.8) == pytest.approx(79.9, abs=2.0)


def test_a_router_that_knows_nothing_and_says_the_same_of_all_is_exactly_chance() -> None:
    assert curve_of(np.zeros(100), CHEAP[:100], np.ones(100)).apgr == pytest.approx(0.5)


def test_ten_prompts_by_hand() -> None:
    # The strong model adds a right answer on the two prompts ranked first: at 10 % half the gap, at 20 % all of it.
    cheap, strong = np.array([0.0, 0.0, *[1.0] * 8]), np.ones(10)
    curve = curve_of(np.arange(10.0, 0.0, -1.0), cheap, strong)

    assert curve.strong_share == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert curve.quality == pytest.approx([0.8, 0.9, *[1.0] * 9])
    assert curve.apgr == pytest.approx(0.1 * 0.5 / 2 + 0.1 * 1.5 / 2 + 0.8)
    assert curve.cpt(0.5) == pytest.approx(0.1)
    assert curve.share_for(0.95) == pytest.approx(0.15)


def test_no_gap_has_no_apgr() -> None:
    assert np.isnan(curve_of(np.arange(4.0), np.ones(4), np.ones(4)).apgr)


@given(arrays(float, 40, elements=st.floats(-5, 5)), st.integers(0, 2**32 - 1))
def test_a_curve_begins_with_the_cheap_model_and_ends_with_the_strong(score: np.ndarray, seed: int) -> None:
    chance = np.random.default_rng(seed)
    cheap, strong = chance.random(40), chance.random(40)

    curve = curve_of(score, cheap, strong)

    assert curve.strong_share[0] == 0.0
    assert curve.strong_share[-1] == 1.0
    assert curve.quality[0] == pytest.approx(cheap.mean())
    assert curve.quality[-1] == pytest.approx(strong.mean())
    assert list(curve.strong_share) == sorted(curve.strong_share)


@given(st.integers(0, 2**32 - 1))
def test_nobody_ranks_better_than_who_knows_the_outcomes(seed: int) -> None:
    chance = np.random.default_rng(seed)
    cheap, strong = (chance.random((2, 200)) < [[0.5], [0.9]]).astype(float)

    assert curve_of(chance.random(200), cheap, strong).apgr <= curve_of(strong - cheap, cheap, strong).apgr + 0.06


@pytest.mark.filterwarnings("error")
def test_without_a_gap_there_is_no_interval_and_no_warning() -> None:
    assert np.isnan(interval(np.arange(20.0), np.ones(20), np.ones(20), draws=10)).all()


def test_the_interval_holds_the_figure() -> None:
    score = COIN.random(20_000)[:500]
    low, high = interval(score, CHEAP[:500], STRONG[:500], draws=100)

    assert low < curve_of(score, CHEAP[:500], STRONG[:500]).apgr < high


def test_calibration_is_the_distance_of_what_was_said_from_what_came() -> None:
    assert calibration_error(np.full(100, 0.5), np.ones(100)) == pytest.approx(0.5)
    assert calibration_error(np.repeat([0.0, 1.0], 50), np.repeat([0.0, 1.0], 50)) == 0.0


def test_dearer_is_worse_and_better_is_better_on_routerarena() -> None:
    assert arena_score(0.7, 10.0) > arena_score(0.7, 20.0)
    assert arena_score(0.8, 10.0) > arena_score(0.7, 10.0)
    assert arena_score(0.7, 200.0) == 0.0
    assert arena_score(1.0, 0.0044) == pytest.approx(1.0)


def test_a_row_of_routerarenas_board_comes_out_as_it_is_printed() -> None:
    # Paix2, 2026-08: 79.69 % at $0.27 for a thousand queries is 77.63.
    assert 100 * arena_score(0.7969, 0.27) == pytest.approx(77.63, abs=0.1)
