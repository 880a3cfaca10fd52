"""The table of priors: its cells as they stand, missing ones by the rule, and every figure checked by hand."""

from datetime import date
from itertools import pairwise
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Capability, Effort, Model, ModelName, Score, Task
from router.quality.prior import effort_gain, log_odds, moved, prior_of
from tests.replacing import replace

NONE, MINIMAL, LOW, MEDIUM, HIGH, XHIGH, MAX = Effort
DAY = date(2026, 11, 23)


def score(value: float, *, is_estimated: bool = False) -> Score:
    return Score(value, "a test", DAY, is_estimated=is_estimated)


def thinker(default: Effort | None = HIGH, **cells: dict[Effort, float]) -> Model:
    return Model(
        name=ModelName("maker/model"),
        context_tokens=1000,
        max_output_tokens=100,
        capabilities=frozenset({Capability.REASONING}),
        token_ratio=1.0,
        quality={},
        default_effort=default,
        quality_at={
            Task(task): {effort: score(value) for effort, value in efforts.items()} for task, efforts in cells.items()
        },
    )


FLASH = thinker(code={HIGH: 0.526}, facts={NONE: 0.231, HIGH: 0.289, XHIGH: 0.341})


def test_a_cell_is_told_as_it_stands() -> None:
    for effort, value in ((NONE, 0.231), (HIGH, 0.289), (XHIGH, 0.341)):
        prior = prior_of(FLASH, effort, Task.FACTS)
        assert (prior.probability, prior.is_known) == (value, True)


def test_where_nobody_names_an_effort_the_models_default_counts() -> None:
    assert prior_of(FLASH, None, Task.FACTS) == prior_of(FLASH, HIGH, Task.FACTS)


def test_a_plain_score_is_that_of_the_default_effort() -> None:
    plain = replace(thinker(LOW), quality={Task.CODE: score(0.4)})

    assert prior_of(plain, None, Task.CODE) == prior_of(plain, LOW, Task.CODE)
    assert prior_of(plain, LOW, Task.CODE).probability == 0.4
    assert not prior_of(plain, HIGH, Task.CODE).is_known


def test_an_effort_without_a_figure_gets_the_nearest_ones_moved_by_what_effort_is_worth() -> None:
    prior = prior_of(FLASH, NONE, Task.CODE)

    # Code: 1.08 from none to high. Odds of .526 are 1.1097; times e^-1.08 = .3396 they are .3769, which is .2737.
    assert prior.probability == pytest.approx(0.2737, abs=5e-5)
    assert not prior.is_known


def test_half_the_way_is_worth_half_the_gain_and_the_most_is_beyond_high() -> None:
    assert effort_gain(Task.CODE, of=NONE, to=LOW) == pytest.approx(0.54)
    assert effort_gain(Task.CODE, of=HIGH, to=XHIGH) == pytest.approx(0.24)
    assert effort_gain(Task.FACTS, of=MAX, to=NONE) == pytest.approx(-0.54)


def test_the_nearest_effort_is_taken() -> None:
    ladder = thinker(chat={NONE: 0.2, XHIGH: 0.9})

    low, high = prior_of(ladder, MINIMAL, Task.CHAT), prior_of(ladder, MAX, Task.CHAT)

    assert low.probability == pytest.approx(moved(0.2, 0.25 * 0.30))
    assert high.probability == pytest.approx(0.9)  # as good as xhigh


def test_a_model_that_cannot_think_has_no_efforts() -> None:
    mute = replace(thinker(None), capabilities=frozenset(), quality={Task.CHAT: score(0.6)})

    for effort in (None, *Effort):
        assert prior_of(mute, effort, Task.CHAT).probability == 0.6


def test_where_the_default_is_not_known_the_lowest_figure_stands_in() -> None:
    prior = prior_of(thinker(None, chat={NONE: 0.5, HIGH: 0.8}), None, Task.CHAT)

    assert (prior.probability, prior.is_known) == (0.5, False)


def test_each_step_away_from_a_figure_is_less_sure() -> None:
    estimated = replace(FLASH, quality_at={Task.CODE: {HIGH: score(0.526, is_estimated=True)}})
    steps = [
        prior_of(FLASH, HIGH, Task.CODE),
        prior_of(estimated, HIGH, Task.CODE),
        prior_of(FLASH, NONE, Task.CODE),
        prior_of(FLASH, HIGH, Task.CHAT),
        prior_of(thinker(), HIGH, Task.CHAT),
    ]

    variances = [each.variance for each in steps]
    assert variances == sorted(set(variances))
    assert [each.is_known for each in steps] == [True, True, False, False, False]


def test_a_figure_of_another_version_is_believed_less_and_says_so() -> None:
    moved_on = replace(FLASH, rated_version="flash-20260423", is_as_rated=False)

    then, now = prior_of(FLASH, HIGH, Task.CODE), prior_of(moved_on, HIGH, Task.CODE)

    assert (now.probability, now.is_known) == (then.probability, False)
    assert now.variance > then.variance
    assert "flash-20260423" in now.words


def test_a_teams_own_figure_is_of_what_it_uses() -> None:
    own = Score(0.9, "our evaluation", DAY, is_own=True)
    moved_on = replace(FLASH, quality_at={Task.CODE: {HIGH: own}}, rated_version="old", is_as_rated=False)

    assert prior_of(moved_on, HIGH, Task.CODE).is_known


def test_the_words_name_kind_effort_figure_source_and_day() -> None:
    assert prior_of(FLASH, HIGH, Task.CODE).words == "for code at high effort 0.526 (a test, 2026-11-23)"


@given(st.dictionaries(st.sampled_from(Effort), st.floats(0.01, 0.99), min_size=1), st.sampled_from(Task))
def test_more_thinking_is_never_expected_to_be_worse_where_only_one_effort_has_a_figure(
    cells: dict[Effort, float], task: Task
) -> None:
    one = dict([next(iter(cells.items()))])
    model = replace(thinker(), quality_at={task: {effort: score(value) for effort, value in one.items()}})

    ladder = [prior_of(model, effort, task).probability for effort in Effort]

    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(ladder))


@given(st.floats(0.0, 1.0))
def test_log_odds_and_back(probability: float) -> None:
    assert 1 / (1 + exp(-log_odds(probability))) == pytest.approx(probability, abs=1e-9)
    assert log_odds(0.75) == pytest.approx(log(3))
