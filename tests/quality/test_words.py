"""However it is read, a text has the words and the numbers that the plain patterns find in it."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.catalog.catalog import Task
from router.quality.cues import Cue, Phrases
from router.quality.words import numbers_in, words_in

ascii_texts = st.text(st.characters(max_codepoint=127))
texts = ascii_texts | st.text() | st.text("019., \n-a_é٣")


@given(texts)
@example("a_1\x1cb\x85")
def test_the_words_are_what_the_plain_pattern_finds(text: str) -> None:
    assert words_in(text) == set(re.findall(r"\w+", text))


@given(texts)
@example("1,000.50 and .5, then 3. ,4 5.a.6 ...")
def test_the_numbers_are_what_the_plain_pattern_counts(text: str) -> None:
    assert numbers_in(text) == len(re.findall(r"\d[\d.,]*", text))


@pytest.mark.parametrize(("text", "numbers"), [("", 0), ("no. 1", 1), ("1,000.50", 1), ("3 x 4 = 12", 3), ("., .", 0)])
def test_a_number_with_its_points_and_commas_is_one(text: str, numbers: int) -> None:
    assert numbers_in(text) == numbers


_TEXTS = (
    *("```", "// ", "\nb. ", "(b) ", "c++", "c#", "how many", "wie alt", "combien", "几个", "{\n  ", "^2", "f(x"),
    "\\int",
)
_CUES = [Cue(text, Task.CODE, 1) for text in _TEXTS]


@given(st.lists(st.sampled_from(_TEXTS) | st.text("ab (#+`\n", max_size=3)).map("".join))
def test_cues_are_found_wherever_they_stand(text: str) -> None:
    found = Phrases(_CUES).found(text, words_in(text))

    assert sorted(cue.text for cue in found) == sorted(cue.text for cue in _CUES if _stands_in(cue.text, text))


def _stands_in(cue: str, text: str) -> bool:
    """One that begins with a word stands for that whole word: `c++` is not in `abc++`, unless a `c` is elsewhere."""
    begins = re.match(r"(\w+)\W", cue)
    return cue in text and (begins is None or begins[1] in re.findall(r"\w+", text))
