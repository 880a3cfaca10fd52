"""However it is read, a text has the words and the numbers that the plain patterns find in it."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.catalog.catalog import Task
from router.quality.cues import Cue, Phrases, Plain, Signs, Stems
from router.quality.words import Vocabulary, numbers_in, plain_words, words_in

ascii_texts = st.text(st.characters(max_codepoint=127))
texts = ascii_texts | st.text() | st.text("019., \n-a_é٣")


@given(texts)
@example("a_1\x1cb\x85")
def test_the_words_are_what_the_plain_pattern_finds(text: str) -> None:
    assert words_in(text) == set(re.findall(r"\w+", text))


@given(ascii_texts | st.text("aB1 \n-é_"))
def test_the_words_of_plain_ascii_without_underscores_are_those_of_any_text(text: str) -> None:
    plain = plain_words(text)

    if text.isascii() and "_" not in text:
        assert plain == [word.lower().encode() for word in re.findall(r"\w+", text)]
    else:
        assert plain is None


def test_a_vocabulary_finds_what_somebody_looks_for_and_nothing_else() -> None:
    vocabulary = Vocabulary(["sum", "naïve"], {"prove"})

    assert vocabulary.among([b"prove", b"that", b"the", b"sum", b"sum", b"na"]) == {"prove", "sum"}
    assert vocabulary.among([]) == set()


@given(texts)
@example("1,000.50 and .5, then 3. ,4 5.a.6 ...")
def test_the_numbers_are_what_the_plain_pattern_counts(text: str) -> None:
    assert numbers_in(text) == len(re.findall(r"\d[\d.,]*", text))


@pytest.mark.parametrize(("text", "numbers"), [("", 0), ("no. 1", 1), ("1,000.50", 1), ("3 x 4 = 12", 3), ("., .", 0)])
def test_a_number_with_its_points_and_commas_is_one(text: str, numbers: int) -> None:
    assert numbers_in(text) == numbers


@pytest.mark.parametrize("ends_whole", [False, True])
def test_a_cue_of_several_words_stands_for_the_longest_of_them_wherever_it_is(ends_whole: bool) -> None:
    cue = Cue("in the email", Task.EXTRACTION, 1)

    def found(text: str) -> list[Cue]:
        return Phrases([cue], ends_whole=ends_whole).found(text, words_in(text))

    assert found("who is named in the email?") == [cue]
    assert found("who is named in an email?") == []
    assert bool(found("who is named in the emails?")) is not ends_whole


_TRANSLATE, _LETTER = Cue("переклад", Task.TRANSLATION, 5), Cue("лист ", Task.WRITING, 4)


@pytest.mark.parametrize("kind", [Plain, Stems, Signs])
def test_a_languages_topics_are_found_in_the_text_and_its_instructions_at_the_ends(
    kind: type[Plain] | type[Stems] | type[Signs],
) -> None:
    words = words_in("зроби переклад, напиши лист для мами")

    assert kind([_TRANSLATE], [_LETTER]).found("переклад лист ", "лист ", words) == ([_TRANSLATE], [_LETTER])
    assert kind([_TRANSLATE], [_LETTER]).found("переклад лист ", "зроби", words) == ([_TRANSLATE], [])
    assert kind([_LETTER], [_TRANSLATE]).found("переклад лист ", "переклад", words) == ([_LETTER], [_TRANSLATE])
    assert kind([_LETTER], [_TRANSLATE]).found("переклад", "зроби", words) == ([], [])
    assert kind([], []).found("переклад", "переклад", words) == ([], [])


def test_stems_are_found_at_the_beginning_of_words_and_before_blanks() -> None:
    def found(text: str) -> list[Cue]:
        return Stems([], [_TRANSLATE, _LETTER]).found(text, text, words_in(text))[1]

    assert found("зроби перекладання") == [_TRANSLATE]
    assert found("напиши лист для мами") == [_LETTER]
    assert found("листопад") == []


def test_signs_are_found_between_other_signs_and_the_longer_of_two() -> None:
    cues = [Cue("翻译", Task.TRANSLATION, 5), Cue("垃圾", Task.WRITING, 1), Cue("垃圾邮件", Task.CLASSIFICATION, 5)]

    def found(text: str) -> set[Cue]:
        return set(Signs([], cues).found(text, text, words_in(text))[1])

    assert found("请翻译这封垃圾") == {cues[0], cues[1]}
    assert found("是不是垃圾邮件") == {cues[2]}
    assert found("今天") == set()


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
