"""What labels are worth: their error taken out, and their weight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.quality.labels import PRIOR_ACCURACY, Signal, SignalAccuracy, Verdict, debiased, verdict_of, weight

accuracies = st.builds(SignalAccuracy, st.floats(0.6, 1), st.floats(0.6, 1))


@given(accuracies, st.floats(0, 1))
def test_a_signals_error_is_gone_from_the_mean_of_its_labels(accuracy: SignalAccuracy, good: float) -> None:
    """Of answers of which the share `good` is good, the signal calls so many good; debiased it is the share again."""
    called_good = good * accuracy.sensitivity + (1 - good) * (1 - accuracy.specificity)

    mean = called_good * debiased(1.0, accuracy) + (1 - called_good) * debiased(0.0, accuracy)

    assert mean == pytest.approx(good, abs=1e-9)


@given(st.floats(0, 0.4), st.floats(0, 1))
def test_with_one_error_both_ways_it_is_the_formula_of_the_books(error: float, score: float) -> None:
    accuracy = SignalAccuracy(1 - error, 1 - error)

    assert debiased(score, accuracy) == pytest.approx((score - error) / (1 - 2 * error))


@given(accuracies, st.floats(0, 1), st.floats(0, 1))
def test_a_better_score_is_never_a_worse_label(accuracy: SignalAccuracy, one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert debiased(low, accuracy) <= debiased(high, accuracy)


def test_a_signal_is_worth_what_it_tells() -> None:
    assert weight(SignalAccuracy(1, 1)) == 1
    assert weight(SignalAccuracy(0.9, 0.9)) == pytest.approx(0.64)
    assert weight(SignalAccuracy(0.55, 0.5)) == 0
    assert all(weight(PRIOR_ACCURACY[signal]) > 0 for signal in Signal)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (0, Verdict.BAD),
        (1 / 3, Verdict.BAD),
        (0.34, Verdict.MIXED),
        (0.66, Verdict.MIXED),
        (2 / 3, Verdict.GOOD),
        (1, Verdict.GOOD),
    ],
)
def test_a_verdict_is_a_third_of_the_scale(score: float, verdict: Verdict) -> None:
    assert verdict_of(score) is verdict
