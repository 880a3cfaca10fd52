"""Two cheap models that agree are believed."""

import numpy as np
import pytest

from router.evaluation.cascades import agreement_cascade, agreement_when_wrong

#                 both right, first only, second only, both wrong
CHEAP = np.array([1.0, 1.0, 0.0, 0.0])
SECOND = np.array([1.0, 0.0, 1.0, 0.0])
STRONG = np.array([1.0, 1.0, 1.0, 0.0])


def test_four_prompts_by_hand() -> None:
    found = agreement_cascade(CHEAP, SECOND, STRONG, agree_when_wrong=0.0)

    # The first is accepted, three are escalated: as good as the strong model, for 2/10 + 3/4 of its price.
    assert found.quality_of_strong == 1.0
    assert found.cost_of_strong(10) == pytest.approx(0.95)
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 1) / 2)


def test_wrong_answers_that_agree_are_accepted() -> None:
    assert agreement_cascade(CHEAP, SECOND, STRONG, agree_when_wrong=1.0).escalated == 0.5


def test_the_assumption_gives_the_accuracy_that_was_measured() -> None:
    chance = np.random.default_rng(2)
    cheap, second, strong = (chance.random((3, 50_000)) < [[0.6], [0.6], [0.8]]).astype(float)

    share = agreement_when_wrong(cheap, second, balanced_accuracy=0.7)

    assert agreement_cascade(cheap, second, strong, agree_when_wrong=share).balanced_accuracy == pytest.approx(
        0.7, abs=0.01
    )
