"""The arithmetic of a cascade: its laws, two sums by hand, and that every check has a prior."""

from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Task
from router.quality.cascade import Accuracy, cascade, prior_accuracy, together
from router.quality.verify import CheckKind

SHARES = st.floats(0, 1)
ACCURACIES = st.builds(Accuracy, SHARES, SHARES)
_NEARLY = 1e-9


@given(cheap=SHARES, strong=SHARES, accuracy=ACCURACIES, overlap=SHARES)
def test_what_comes_out_are_shares(cheap: float, strong: float, accuracy: Accuracy, overlap: float) -> None:
    came = cascade(cheap, strong, accuracy, overlap=overlap)

    assert -_NEARLY <= came.probability <= 1 + _NEARLY
    assert -_NEARLY <= came.escalated <= 1 + _NEARLY


@given(cheap=SHARES, strong=SHARES, accuracy=ACCURACIES, better=SHARES, overlap=SHARES)
def test_a_check_that_is_right_more_often_makes_no_answer_worse(
    cheap: float, strong: float, accuracy: Accuracy, better: float, overlap: float
) -> None:
    now = cascade(cheap, strong, accuracy, overlap=overlap).probability
    passes_more = accuracy._replace(sensitivity=max(accuracy.sensitivity, better))
    rejects_more = accuracy._replace(specificity=max(accuracy.specificity, better))

    assert cascade(cheap, strong, passes_more, overlap=overlap).probability >= now - _NEARLY
    assert cascade(cheap, strong, rejects_more, overlap=overlap).probability >= now - _NEARLY


@given(cheap=SHARES, strong=SHARES, overlap=SHARES)
def test_a_perfect_check_is_at_least_as_good_as_either_model(cheap: float, strong: float, overlap: float) -> None:
    perfect = cascade(cheap, strong, Accuracy(1, 1), overlap=overlap)

    assert perfect.probability >= max(cheap, strong) - _NEARLY
    assert isclose(perfect.escalated, 1 - cheap, abs_tol=_NEARLY)


@given(cheap=SHARES, strong=SHARES, share=SHARES, overlap=SHARES)
def test_a_check_that_throws_dice_mixes_the_two_models(
    cheap: float, strong: float, share: float, overlap: float
) -> None:
    dice = cascade(cheap, strong, Accuracy(sensitivity=1 - share, specificity=share), overlap=overlap)

    assert isclose(dice.escalated, share, abs_tol=_NEARLY)
    assert isclose(dice.probability, (1 - share) * cheap + share * strong, abs_tol=_NEARLY)


@given(cheap=SHARES, strong=SHARES, accuracy=ACCURACIES, less=SHARES, more=SHARES)
def test_models_that_fail_together_help_each_other_less(
    cheap: float, strong: float, accuracy: Accuracy, less: float, more: float
) -> None:
    accuracy = Accuracy(max(accuracy), max(1 - accuracy.sensitivity, accuracy.specificity))  # no worse than dice
    less, more = sorted((less, more))

    apart = cascade(cheap, strong, accuracy, overlap=less).probability
    alike = cascade(cheap, strong, accuracy, overlap=more).probability

    assert alike <= apart + _NEARLY


def test_two_cascades_by_hand() -> None:
    # 0.6 * 0.9 stays; of 0.06 good ones sent on 0.8 are good; of 0.32 bad ones sent on 0.8 are good.
    independent = cascade(0.6, 0.8, Accuracy(0.9, 0.8), overlap=0)
    assert independent.probability == pytest.approx(0.54 + 0.06 * 0.8 + 0.32 * 0.8)
    assert independent.escalated == pytest.approx(0.06 + 0.32)

    # both good: 0.48 + 0.5 * sqrt(0.6 * 0.4 * 0.8 * 0.2) = 0.57798; so the strong is good in 0.22202 of the 0.4 bad.
    alike = cascade(0.6, 0.8, Accuracy(0.9, 0.8), overlap=0.5)
    assert alike.probability == pytest.approx(0.54 + 0.57798 * 0.1 + 0.22202 * 0.8, abs=1e-5)


def test_several_checks_pass_less_and_see_what_the_best_of_them_sees() -> None:
    assert together([Accuracy(0.5, 0.2), Accuracy(0.75, 0.5)]) == Accuracy(0.375, 0.5)
    assert together([]) == Accuracy(1, 0)


@pytest.mark.parametrize("check", CheckKind)
@pytest.mark.parametrize("task", Task)
def test_every_check_has_a_prior_for_every_kind_of_task_that_is_better_than_dice(check: CheckKind, task: Task) -> None:
    prior = prior_accuracy(check, task)

    assert 0 < prior.sensitivity < 1
    assert 0 < prior.specificity < 1
    assert prior.balanced > 0.5


# Quality and cost as shares of always asking the strong model, the price ratio being 10: simulated checks on mixed
# traffic (cheap right in .595, strong in .793), and two cheap models that agree on MMLU-Pro (Llama 3.1 8B, Phi-3, 70B)
# and on GSM8K (Llama 3.1 8B, Qwen2 7B, GPT-4o; a second opinion costs what the first does). Measured 2026-11-23.
@pytest.mark.parametrize(
    ("cheap", "strong", "accuracy", "calls", "quality", "cost"),
    [
        (0.595, 0.793, Accuracy(0.6, 0.6), 1, 0.91, 0.58),
        (0.595, 0.793, Accuracy(0.7, 0.7), 1, 0.95, 0.56),
        (0.595, 0.793, Accuracy(0.8, 0.8), 1, 0.99, 0.54),
        (0.595, 0.793, Accuracy(0.9, 0.9), 1, 1.02, 0.52),
        (0.44, 0.63, Accuracy(0.66, 0.78), 2, 0.961, 0.79),
        (0.84, 0.96, Accuracy(0.86, 0.84), 2, 0.993, 0.46),
    ],
)
def test_the_arithmetic_comes_near_what_was_measured(
    cheap: float, strong: float, accuracy: Accuracy, calls: int, quality: float, cost: float
) -> None:
    came = cascade(cheap, strong, accuracy)

    assert came.probability / strong == pytest.approx(quality, abs=0.016)
    assert calls / 10 + came.escalated == pytest.approx(cost, abs=0.03)
