"""How long answers are expected to be: priors at first, then what was seen, from the wide group to the narrow."""

import random

import msgspec
import pytest

from router.catalog.catalog import Capability, Effort, ModelName, Task
from router.decision.facts import OutputForecast, RequestProfile
from router.learning.outputs import Outputs
from tests.decision.builders import CHAT
from tests.replacing import replace

FLASH, PRO = ModelName("flash"), ModelName("pro")
ASKED = replace(CHAT, team="search")
THINKING = replace(ASKED, needs=frozenset({Capability.REASONING}))


def teach(
    outputs: Outputs,
    *tokens: int,
    model: ModelName = FLASH,
    profile: RequestProfile = ASKED,
    reasoning: int = 0,
    is_cut: bool = False,
) -> None:
    for each in tokens:
        outputs.observe(model, profile, profile.effort, output_tokens=each, reasoning_tokens=reasoning, is_cut=is_cut)


def expected(outputs: Outputs, profile: RequestProfile = ASKED, model: ModelName = FLASH) -> int:
    return outputs.forecast(model, profile, profile.effort).output_tokens


def test_before_anything_is_learned_the_priors_hold() -> None:
    assert Outputs().forecast(FLASH, ASKED, None) == OutputForecast(350, 0)
    assert Outputs().forecast(FLASH, THINKING, None) == OutputForecast(1_550, 1_200)
    assert Outputs().forecast(FLASH, THINKING, Effort.NONE) == OutputForecast(350, 0)


def test_a_few_answers_move_the_forecast_and_many_make_it() -> None:
    few, many = Outputs(), Outputs()
    teach(few, 100, 100)
    teach(many, *[100] * 200)

    assert 100 < expected(few) < 350
    assert expected(many) == pytest.approx(100, abs=3)


def test_the_forecast_is_the_mean_so_that_expected_dollars_add_up() -> None:
    chance = random.Random(7)
    lengths = [round(chance.lognormvariate(6, 0.8)) for _ in range(3_000)]
    outputs = Outputs()
    forecasts = []
    for length in lengths:
        forecasts.append(expected(outputs))
        teach(outputs, length)

    assert sum(lengths) / sum(forecasts) == pytest.approx(1, abs=0.05)


def test_what_a_model_writes_elsewhere_is_expected_here_until_here_is_known() -> None:
    outputs = Outputs()
    teach(outputs, *[1_000] * 100, profile=replace(ASKED, team="ads"))
    assert expected(outputs) == pytest.approx(1_000, rel=0.1)

    teach(outputs, *[50] * 100)

    assert expected(outputs) < 110
    assert expected(outputs, replace(ASKED, team="ads")) > 800


def test_another_model_another_effort_or_another_size_has_habits_of_its_own() -> None:
    outputs = Outputs()
    teach(outputs, *[1_000] * 100, model=PRO)
    teach(outputs, *[100] * 100)
    teach(outputs, *[3_000] * 100, profile=replace(THINKING, effort=Effort.HIGH), reasoning=2_500)
    teach(outputs, *[400] * 100, profile=replace(ASKED, input_tokens=60_000))

    assert expected(outputs, model=PRO) > 5 * expected(outputs)
    high = outputs.forecast(FLASH, THINKING, Effort.HIGH)
    assert high.output_tokens == pytest.approx(3_000, rel=0.05)
    assert high.reasoning_tokens == pytest.approx(2_500, rel=0.1)
    assert expected(outputs, replace(ASKED, input_tokens=60_000)) > 2 * expected(outputs)


def test_an_answer_that_was_cut_off_says_at_least_so_many() -> None:
    """Half the answers run to 800 tokens and are cut at 200: taken for whole they would be expected to be 150."""
    outputs, misled = Outputs(), Outputs()
    teach(outputs, *[100, 800] * 100)
    teach(misled, *[100, 800] * 100)
    for _ in range(100):
        teach(outputs, 100)
        teach(outputs, 200, is_cut=True)
        teach(misled, 100, 200)

    assert expected(outputs) == pytest.approx(450, rel=0.15)
    assert expected(misled) < 300


def test_answers_that_are_always_cut_off_are_expected_to_be_longer_and_not_endlessly_so() -> None:
    outputs = Outputs()
    teach(outputs, *[100] * 2_000, is_cut=True)

    assert 200 < expected(outputs) < 600


def test_one_answer_that_ran_away_does_not_make_the_rule() -> None:
    outputs = Outputs()
    teach(outputs, *[100] * 50, 60_000)

    assert expected(outputs) < 130


def test_a_quantile_is_of_the_narrowest_group_that_has_enough() -> None:
    outputs = Outputs()
    assert outputs.quantile(0.9, FLASH, ASKED, None) is None
    teach(outputs, *[100] * 80, *[1_000] * 20)

    assert outputs.quantile(0.5, FLASH, ASKED, None) == pytest.approx(100, rel=0.1)
    assert outputs.quantile(0.95, FLASH, ASKED, None) == pytest.approx(1_000, rel=0.2)


def test_of_too_many_groups_the_one_unheard_of_longest_goes() -> None:
    outputs = Outputs(most_groups=30)
    for number in range(100):
        teach(outputs, 100, model=ModelName(f"model-{number}"))

    assert len(outputs) == 30
    assert outputs.quantile(0.5, ModelName("model-99"), replace(ASKED, task=Task.CODE), None) is None


def test_a_forgotten_model_leaves_what_all_models_taught() -> None:
    outputs = Outputs()
    teach(outputs, *[100] * 200)

    outputs.forget(FLASH)

    assert len(outputs) == 1
    assert expected(outputs) == expected(outputs, model=PRO) < 150


def test_what_is_learned_survives_json_and_is_the_same_for_the_same_answers() -> None:
    first, second, again = Outputs(), Outputs(), Outputs()
    for outputs in (first, second):
        teach(outputs, 10, 200, 3_000, 40)
        teach(outputs, 999, model=PRO, is_cut=True)
    for piece in first.as_data():
        again.take(msgspec.json.decode(msgspec.json.encode(piece)))

    assert list(first.as_data()) == list(second.as_data()) == list(again.as_data())
    assert expected(again) == expected(second)
