"""What of a text a head is asked with."""

from hypothesis import given
from hypothesis import strategies as st

from router.quality.text_terms import BUCKETS, HEAD_BYTES, LEVELS, MARKS, TAIL_BYTES, terms_of
from router.quality.words import plain_words

MIDDLE_MAY_GO = HEAD_BYTES + TAIL_BYTES


def test_words_are_the_same_however_they_are_written() -> None:
    assert terms_of("What IS a prime?").words == terms_of("what, is: a (PRIME)").words


def test_pairs_know_the_order_of_words() -> None:
    assert terms_of("dog bites man").pairs != terms_of("man bites dog").pairs
    assert terms_of("dog bites man").words == terms_of("man bites dog").words


def test_a_word_that_comes_again_counts_once() -> None:
    assert len(terms_of("no no no no").words) == 1


def test_marks_tell_a_question_from_a_statement() -> None:
    assert terms_of("it is so?").marks != terms_of("it is so!").marks


def test_the_middle_of_a_long_text_is_not_looked_at() -> None:
    one, other = ("a" * HEAD_BYTES + middle * 5_000 + "z" * TAIL_BYTES for middle in (" x", " y"))

    assert terms_of(one) == terms_of(other)


@given(st.text(st.characters(), max_size=3 * MIDDLE_MAY_GO))
def test_any_text_has_terms_within_their_tables_and_few_enough_to_be_summed(text: str) -> None:
    words, pairs, marks = terms_of(text)

    assert all(0 <= bucket < BUCKETS for bucket in words | pairs)
    assert max(len(words), len(pairs)) <= 1_024 + 1  # 255 times as much fits the field of a sum
    assert [place // LEVELS for place in marks] == list(range(MARKS))


@given(st.text(st.characters(max_codepoint=127)) | st.integers(0, 9).map(lambda more: "aB 1-" * (410 + more) + "b"))
def test_words_that_are_known_already_make_the_same_terms(text: str) -> None:
    assert terms_of(text, plain_words(text)) == terms_of(text)


def test_a_lone_surrogate_which_json_can_spell_is_a_sign_like_another() -> None:
    assert terms_of("\ud800 word").words == terms_of("? word").words
