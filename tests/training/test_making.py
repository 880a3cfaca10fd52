"""From rows to an artefact: what is trained is what is asked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import BadOutcomes
from router.quality.text_head import TextHead, read_artefact
from router.training.logistic import Line
from router.training.making import make_head
from router.training.matrix import COLUMNS, known_words, matrix_of
from router.training.outcomes import Outcomes
from router.training.pairs import Pairs, paired
from router.training.quantize import as_artefact, rounded
from router.training.recipe import (
    NEW,
    RECURRING,
    difficulty_head,
    heads_for_new_subjects,
    pair_heads,
    shifted,
    targets_of,
)

SUMS = [f"What is {number} plus {number + 3}, and {word} more?" for number in range(20) for word in ("one", "two")]
PROOFS = [f"Prove that {word} {number} is not a counterexample." for number in range(20) for word in ("lemma", "claim")]


def exam() -> Pairs:
    """Sums that all can do, proofs that only the strong model can."""
    prompts = [*SUMS, *PROOFS]
    is_proof = np.array([prompt in PROOFS for prompt in prompts])
    scores = np.column_stack([~is_proof, np.ones(len(prompts)), ~is_proof]).astype(float)
    scores[::9] = 1 - scores[::9]
    subjects = ["proofs" if each else "sums" for each in is_proof]
    return paired([Outcomes("exam", prompts, subjects, ["a", "b", "c"], scores)], cheap="a", strong="b")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(max_size=300), min_size=1, max_size=4))
def test_a_head_says_what_the_line_it_was_made_of_says(prompts: list[str]) -> None:
    chance = np.random.default_rng(3)
    line = rounded(Line(chance.normal(size=COLUMNS), 0.5))
    content = as_artefact(
        {"difficulty": line}, {"difficulty": 0.0}, known_words(prompts, least=1), trained_on={}, licence=""
    )
    head = TextHead(read_artefact(content, name="test"))

    said = [head.said(prompt).logits[0] for prompt in prompts]

    np.testing.assert_allclose(said, line.logits(matrix_of(prompts)), atol=1e-9)


def test_training_twice_gives_the_same_bytes() -> None:
    assert make_head(exam(), is_pair=True) == make_head(exam(), is_pair=True)


def test_a_head_of_a_pair_ranks_what_the_strong_model_adds() -> None:
    head = TextHead(read_artefact(make_head(exam(), is_pair=True, licence="ours"), name="test"))

    cheap, strong, difficulty = head.said("Prove that lemma 77 is not a counterexample.").logits
    other_cheap, _, other_difficulty = head.said("What is 77 plus 80, and one more?").logits

    assert cheap < 0 < strong
    assert other_cheap > 0
    assert difficulty > other_difficulty
    assert (head.header.cheap, head.header.strong, head.header.licence) == ("a", "b", "ours")
    assert head.header.trained_on == {"exam": 80}


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(BadOutcomes, match="too few"):
        make_head(exam().at(np.arange(5)), is_pair=True)


def test_a_head_leans_on_one_that_was_trained_elsewhere() -> None:
    pairs = exam()
    matrix = matrix_of(pairs.prompts)
    prior = difficulty_head(pairs, matrix)
    few = np.arange(0, len(pairs), 8)

    alone = pair_heads(pairs.at(few), matrix[few], NEW).cheap.logits(matrix)
    leaning = pair_heads(pairs.at(few), matrix[few], NEW, prior=prior).cheap.logits(matrix)

    is_proof = pairs.subjects == "exam/proofs"
    assert leaning[~is_proof].mean() - leaning[is_proof].mean() > alone[~is_proof].mean() - alone[is_proof].mean()


def test_a_target_keeps_its_share_of_its_own_outcome() -> None:
    pairs = exam()

    whole, half = targets_of(pairs, pairs.cheap, 1.0), targets_of(pairs, pairs.cheap, 0.5)

    assert np.array_equal(whole, pairs.cheap)
    assert abs(half.mean() - pairs.cheap.mean()) < 0.01
    assert 0 < half.std() < whole.std()
    assert RECURRING.own_share < 1.0


def test_where_the_strong_model_mostly_fails_harder_prompts_gain_less() -> None:
    difficulty = np.array([-1.0, 0.0, 1.0])

    low, high = shifted((0.2, 0.5), difficulty)
    assert np.all(np.diff(high - low) < 0)
    low, high = shifted((0.7, 0.9), difficulty)
    assert np.all(np.diff(high - low) > 0)


def six_subjects() -> Pairs:
    """In each of six subjects, sums that both models can do and proofs that only the strong one can."""
    pairs = exam()
    return replace(pairs, subjects=np.array([f"exam/{row % 6}" for row in range(len(pairs))]))


def test_heads_for_new_subjects_rank_what_the_strong_model_adds() -> None:
    pairs = six_subjects()
    seen = np.flatnonzero(pairs.subjects != "exam/5")
    new = np.flatnonzero(pairs.subjects == "exam/5")
    matrix = matrix_of(pairs.prompts)

    for prior in (None, difficulty_head(pairs.at(seen), matrix[seen])):
        scores = heads_for_new_subjects(pairs.at(seen), matrix[seen], prior=prior).scores(matrix[new])
        is_proof = np.array([prompt in PROOFS for prompt in pairs.at(new).prompts])
        assert scores[is_proof].mean() > scores[~is_proof].mean()


def test_with_one_subject_the_pairs_heads_speak_alone() -> None:
    pairs = exam()
    pairs = replace(pairs, subjects=pairs.datasets)

    assert heads_for_new_subjects(pairs, matrix_of(pairs.prompts)).difficulty is None
