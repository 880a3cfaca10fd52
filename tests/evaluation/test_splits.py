"""Every row is judged once, by who never saw it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadOutcomes
from router.evaluation.splits import split_named
from router.training.outcomes import Outcomes
from router.training.pairs import Pairs, joined, paired


def exam(name: str = "exam", *, rows: int = 40, subjects: int = 4) -> Pairs:
    scores = np.tile([0.0, 1.0], (rows, 1))
    prompts = [f"{name} question {row}" for row in range(rows)]
    file = Outcomes(name, prompts, [f"s{row % subjects}" for row in range(rows)], ["a", "b"], scores)
    return paired([file], cheap="a", strong="b")


@given(st.integers(12, 60), st.sampled_from(["folds", "folds:3", "leave-subjects-out:2", "leave-one-subject-out"]))
def test_every_row_is_judged_once_and_never_by_itself(rows: int, split: str) -> None:
    folds = list(split_named(split).folds(exam(rows=rows)))

    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(rows))
    assert all(not set(fold.train) & set(fold.test) for fold in folds)


def test_a_subject_that_is_judged_was_not_learned_from() -> None:
    pairs = exam()

    for fold in split_named("leave-subjects-out:2").folds(pairs):
        assert not set(pairs.subjects[fold.train]) & set(pairs.subjects[fold.test])


def test_a_file_that_is_left_out_takes_its_questions_along() -> None:
    one, other = exam("one"), exam("other")
    repeated = Outcomes("two", [*one.prompts[:5], "mine alone"], [""] * 6, ["a", "b"], np.tile([0.0, 1.0], (6, 1)))
    pairs = joined([one, paired([repeated], cheap="a", strong="b"), other])

    for fold in split_named("leave-one-dataset-out").folds(pairs):
        seen, judged = ({pairs.prompts[row] for row in rows} for rows in (fold.train, fold.test))
        assert not seen & judged


def test_labels_are_as_many_as_were_asked_for() -> None:
    assert [len(fold.train) for fold in split_named("labels:7").folds(exam())] == [7] * 5


def test_the_same_rows_are_drawn_every_time() -> None:
    first, again = (list(split_named("labels:7").folds(exam())) for _ in range(2))

    assert all(np.array_equal(one.train, other.train) for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("text", ["", "fold", "folds:", "folds:1", "labels", "labels:x", "leave-one-dataset-out:3"])
def test_another_word_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(BadOutcomes, match="leave-one-dataset-out, with N"):
        split_named(text)


def test_one_subject_alone_cannot_be_left_out() -> None:
    with pytest.raises(BadOutcomes, match="one of the subjects"):
        list(split_named("leave-subjects-out").folds(exam(subjects=1)))
