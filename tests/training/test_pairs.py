"""Two models side by side."""

import numpy as np
import pytest

from router.errors import BadOutcomes
from router.training.outcomes import Outcomes
from router.training.pairs import Pairs, joined, paired, question_key, repeats

FILE = Outcomes(
    "exam",
    ["p", "q", "r"],
    ["law", "", "law"],
    ["weak", "middling", "strong"],
    np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.0, 1.0, np.nan]]),
)


def test_rows_without_both_outcomes_are_left_out() -> None:
    pairs = paired([FILE], cheap="weak", strong="strong")

    assert pairs.prompts == ["p", "q"]
    assert pairs.others.tolist() == [0.0, 1.0]
    assert pairs.subjects.tolist() == ["exam/law", "exam"]


def test_the_first_of_several_names_that_a_file_has_counts() -> None:
    assert paired([FILE], cheap="unheard-of, weak", strong="strong").names == {"exam": ("weak", "strong")}


def test_without_names_the_best_is_strong_and_the_middle_cheap() -> None:
    assert paired([FILE]).names == {"exam": ("middling", "strong")}


def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(BadOutcomes, match="weak, middling, strong"):
        paired([FILE], cheap="nobody", strong="strong")


def test_one_model_alone_is_no_pair() -> None:
    with pytest.raises(BadOutcomes, match="both strong"):
        paired([FILE], cheap="strong", strong="strong")


def test_a_file_without_any_outcome_is_told() -> None:
    blank = Outcomes("blank", ["p"], [""], ["weak", "strong"], np.array([[np.nan, np.nan]]))

    with pytest.raises(BadOutcomes, match="blank has no outcomes"):
        paired([blank])


def test_a_question_is_the_same_with_other_options_and_signs() -> None:
    assert question_key("What is 2+2?\nA. 4\nB. 5") == question_key("what is 2 + 2\nA) 3\nB) 4")
    assert question_key("What is 2+2?") != question_key("What is 2+3?")


def _file(name: str, *prompts: str) -> Pairs:
    rows = len(prompts)
    scores = np.tile([0.0, 1.0], (rows, 1))
    return paired([Outcomes(name, prompts, [""] * rows, ["a", "b"], scores)], cheap="a", strong="b")


def test_within_a_file_the_same_beginning_is_no_repetition_and_across_files_it_is() -> None:
    both = joined([_file("one", "Same?\nA. 1", "Same?\nA. 2", "Same?\nA. 1"), _file("two", "Same?\nA. 3", "Other?")])

    assert both.repeated(np.array([1, 2, 3, 4]), np.array([0])).tolist() == [False, True, True, False]
    assert repeats(_file("two", "Same?\nA. 3", "Other?"), _file("one", "Same?\nA. 1")).tolist() == [True, False]
