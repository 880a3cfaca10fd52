"""The table predictor says what the catalog says, moved by what was learned, and never flatters an unknown model."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import TASK_FALLBACKS, Model, ModelName, Score, Task
from router.quality.predictor import NO_LESSON, Forecast, Lesson, TablePredictor
from router.quality.prior import moved
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


def _hearing(signals: TextSignals) -> _Asked:
    asked = _Asked(Task.CODE)
    asked.signals = signals
    return asked


def test_silent_signals_change_nothing() -> None:
    quiet = _forecast(_model(code=0.8), Task.CODE)

    assert TablePredictor().forecast(_model(code=0.8), None, _hearing(TextSignals()), NO_LESSON) == quiet


def test_words_that_look_hard_lower_the_probability_as_far_as_they_are_familiar() -> None:
    model, predictor = _model(code=0.8), TablePredictor()

    known, half, unknown = (
        predictor.forecast(model, None, _hearing(TextSignals(1.0, familiarity, "h1")), NO_LESSON)
        for familiarity in (1.0, 0.5, 0.0)
    )

    assert known.probability == pytest.approx(moved(0.8, -0.25))
    assert half.probability == pytest.approx(moved(0.8, -0.125))
    assert unknown.probability == 0.8
    assert known.variance < half.variance < unknown.variance


@given(
    value=st.floats(0.01, 0.99),
    shift=st.floats(-5, 5),
    variance=st.floats(0, 10),
    labels=st.floats(0, 1000),
)
def test_the_probability_is_within_its_interval(value: float, shift: float, variance: float, labels: float) -> None:
    forecast = _forecast(_model(code=value), Task.CODE, Lesson(shift, variance, labels))

    assert 0 <= forecast.low <= forecast.probability <= forecast.high <= 1


def test_what_was_learned_makes_the_interval_narrower() -> None:
    before = _forecast(_model(code=0.7), Task.CODE)
    after = _forecast(_model(code=0.7), Task.CODE, Lesson(0.0, 0.01, 200))

    assert before.low < after.low < 0.7 < after.high < before.high
    # 1 / (1 / 0.09 + 1 / 0.01) = 0.009
    assert after.variance == pytest.approx(0.009)


def test_enough_answers_are_as_good_as_a_figure() -> None:
    model = _model(chat=0.6)

    assert not _forecast(model, Task.CODE, Lesson(0.5, 0.01, 99)).is_known
    assert _forecast(model, Task.CODE, Lesson(0.5, 0.01, 100)).is_known


def test_the_parts_say_in_words_what_moved_it_the_most_first() -> None:
    asked = _hearing(TextSignals(0.48, 1.0, "h1"))

    forecast = TablePredictor().forecast(_model(code=0.526), None, asked, Lesson(0.3, 0.01, 212))

    assert [(part.name, part.words) for part in forecast.parts] == [
        ("learned", "learned from 212 answers of this team +0.30"),
        ("text", "the words look hard -0.12"),
        ("prior", "prior for code 0.526 (test, 2026-11-01)"),
    ]


def test_a_teams_own_figures_take_the_place_of_the_catalogs_for_that_team_alone() -> None:
    model = _model(code=0.9, chat=0.6)
    own = {Task.CODE: Score(0.3, "our evaluation", date(2026, 11, 1), is_own=True)}
    predictor = TablePredictor({"search": {model.name: own}})
    stranger = _Asked(Task.CODE)
    stranger.team = "research"

    assert predictor.forecast(model, None, _Asked(Task.CODE), NO_LESSON).probability == 0.3
    assert predictor.forecast(model, None, _Asked(Task.CHAT), NO_LESSON).probability == 0.6
    assert predictor.forecast(model, None, stranger, NO_LESSON).probability == 0.9


def test_another_catalogs_model_of_the_same_name_has_its_own_figure() -> None:
    predictor = TablePredictor()

    values = [
        predictor.forecast(_model(code=each), None, _Asked(Task.CODE), NO_LESSON).probability for each in (0.1, 0.9)
    ]

    assert values == [0.1, 0.9]
