"""The table predictor says what the catalog says, moved by what was learned, and never flatters an unknown model."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import TASK_FALLBACKS, Model, ModelName, Score, Task
from router.quality.predictor import NO_LESSON, Forecast, Lesson, TablePredictor, moved
from router.quality.signals import NO_SIGNALS, TextSignals

probabilities = st.floats(0, 1)


class _Asked:
    def __init__(self, task: Task) -> None:
        self.team = "search"
        self.task = task
        self.difficulty = 0.5
        self.signals: TextSignals = NO_SIGNALS


def _model(**quality: float) -> Model:
    return Model(
        name=ModelName("maker/model"),
        context_tokens=1000,
        max_output_tokens=100,
        capabilities=frozenset(),
        token_ratio=1.0,
        quality={Task(task): Score(value, "test", date(2026, 11, 1)) for task, value in quality.items()},
    )


def _forecast(model: Model, task: Task, lesson: Lesson = NO_LESSON) -> Forecast:
    return TablePredictor().forecast(model, None, _Asked(task), lesson)


def test_a_known_score_is_the_probability() -> None:
    forecast = _forecast(_model(code=0.9, chat=0.6), Task.CODE)

    assert forecast.probability == 0.9
    assert forecast.is_known


@pytest.mark.parametrize(("task", "related"), TASK_FALLBACKS.items())
def test_a_missing_score_is_that_of_the_related_kind_and_not_known(task: Task, related: Task) -> None:
    forecast = _forecast(_model(**{related: 0.9, "facts": 0.3}), task)

    assert forecast.probability == 0.9
    assert not forecast.is_known


def test_a_score_of_its_own_wins_over_that_of_the_related_kind() -> None:
    forecast = _forecast(_model(translation=0.7, chat=0.9), Task.TRANSLATION)

    assert forecast.probability == 0.7
    assert forecast.is_known


def test_where_the_related_kind_is_not_scored_either_the_lowest_score_stands_in() -> None:
    forecast = _forecast(_model(code=0.9, chat=0.6), Task.MATH)

    assert forecast.probability == 0.6
    assert not forecast.is_known


def test_a_missing_score_without_a_related_kind_falls_back_to_the_lowest_known_one() -> None:
    forecast = _forecast(_model(code=0.9, chat=0.6), Task.FACTS)

    assert forecast.probability == 0.6
    assert not forecast.is_known


def test_a_model_without_any_score_is_good_for_nothing() -> None:
    forecast = _forecast(_model(), Task.CHAT)

    assert forecast.probability == 0.0
    assert not forecast.is_known


@given(quality=st.dictionaries(st.sampled_from([task.value for task in Task]), probabilities))
def test_a_fallback_is_the_related_kinds_score_or_above_none(quality: dict[str, float]) -> None:
    for task in Task:
        forecast = _forecast(_model(**quality), task)
        assert 0 <= forecast.probability <= 1
        if not forecast.is_known and TASK_FALLBACKS.get(task) not in quality:
            assert all(forecast.probability <= value for value in quality.values())


def test_what_was_learned_moves_the_probability_in_log_odds() -> None:
    forecast = _forecast(_model(code=0.75), Task.CODE, Lesson(shift=1.0986122886681098, variance=0.1, labels=50))

    assert forecast.probability == pytest.approx(0.9)  # odds of 3 to 1, times 3


@given(probability=probabilities, shift=st.floats(-20, 20))
def test_moving_keeps_a_probability_and_goes_the_way_of_the_shift(probability: float, shift: float) -> None:
    after = moved(probability, shift)

    assert 0 <= after <= 1
    assert (after - probability) * shift >= -1e-12
