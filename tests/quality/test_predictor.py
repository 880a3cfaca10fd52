"""The table predictor says what the catalog says, and never flatters a model it knows nothing of."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Model, ModelName, Score, Task
from router.quality.predictor import QualityPredictor, TablePredictor

probabilities = st.floats(0, 1)


def _model(**quality: float) -> Model:
    return Model(
        name=ModelName("maker/model"),
        context_tokens=1000,
        max_output_tokens=100,
        capabilities=frozenset(),
        token_ratio=1.0,
        quality={Task(task): Score(value, "test", date(2026, 11, 1)) for task, value in quality.items()},
    )


@pytest.fixture
def predictor() -> QualityPredictor:
    return TablePredictor()


def test_a_known_score_is_the_probability(predictor: QualityPredictor) -> None:
    model = _model(code=0.9, chat=0.6)

    assert predictor.probability(model, Task.CODE) == 0.9
    assert predictor.is_known(model, Task.CODE)


def test_a_missing_score_falls_back_to_the_lowest_known_one(predictor: QualityPredictor) -> None:
    model = _model(code=0.9, chat=0.6)

    assert predictor.probability(model, Task.FACTS) == 0.6
    assert not predictor.is_known(model, Task.FACTS)


def test_a_model_without_any_score_is_good_for_nothing(predictor: QualityPredictor) -> None:
    assert predictor.probability(_model(), Task.CHAT) == 0.0
    assert not predictor.is_known(_model(), Task.CHAT)


@given(quality=st.dictionaries(st.sampled_from([task.value for task in Task]), probabilities))
def test_a_fallback_is_never_above_any_known_score(quality: dict[str, float]) -> None:
    predictor = TablePredictor()
    model = _model(**quality)

    for task in Task:
        probability = predictor.probability(model, task)
        assert 0 <= probability <= 1
        if not predictor.is_known(model, task):
            assert all(probability <= value for value in quality.values())
