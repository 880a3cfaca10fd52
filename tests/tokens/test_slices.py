"""Slices add up to their text, count exactly at safe cuts, and stay within the stated error at hard ones."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splintr import Tokenizer

from router.tokens.slices import MAX_ERROR_PER_HARD_CUT, SLICE_CHARS, slices

# What the split patterns tell apart: letters with and without case, marks, digits, punctuation, every sort of blank.
_ATOMS = (
    *(
        "a",
        "B",
        "é",
        "word",
        "'s",
        "'LL",
        "\u2019",
        "½",
        "ǅ",
        "ʰ",
        "Ж",
        "ا",
        "ก",
        "ำ",
        "的",
        "好",
        "\u0301",
        "👍",
        "🏽",
    ),
    *(" ", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0", "\u3000", "\u2028", "\x0b", "\x0c", "\x1c", "\x85", "\u200d"),
    *(
        "/",
        "//",
        "1",
        "23",
        "4567",
        ".",
        ",",
        "(",
        ")",
        "!?",
        "，",
        "。",
        "！",
        "_",
        "-",
        "=",
        "{",
        "}",
        '"',
        ":",
        "`",
        "~",
    ),
)
atom_texts = st.lists(st.sampled_from(_ATOMS), min_size=1, max_size=40).map("".join)


@given(text=st.text(max_size=200), times=st.integers(1, 400))
def test_slices_add_up_to_their_text_and_none_is_too_long(text: str, times: int) -> None:
    whole = text * times

    pieces = [piece for piece, _ in slices(whole)]

    assert "".join(pieces) == whole
    assert all(len(piece) <= SLICE_CHARS for piece in pieces)


@given(left=atom_texts, right=atom_texts, filler=st.sampled_from(["word ", "好。", "x=1;\n", '"key":"value",']))
@settings(max_examples=300)
def test_a_safe_cut_never_changes_the_tokens(
    o200k: Tokenizer, cl100k: Tokenizer, left: str, right: str, filler: str
) -> None:
    text = (filler * SLICE_CHARS)[: SLICE_CHARS - len(left)] + left + right + filler

    pieces = list(slices(text))

    assert all(ends_safely for _, ends_safely in pieces)
    for encoding in (o200k, cl100k):
        tokens = [token for piece, _ in pieces for token in encoding.encode_ordinary(piece)]
        assert tokens == encoding.encode_ordinary(text)


def _hostile_texts() -> dict[str, str]:
    chance = random.Random(11)
    size = 3 * SLICE_CHARS + 100
    return {
        "one letter": "a" * size,
        "two letters": "ab" * (size // 2),
        "random letters": "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=size)),
        "one endless word": ("internationalization" * size)[:size],
        "Han": "".join(chr(chance.randint(0x4E00, 0x9FFF)) for _ in range(size)),
        "emoji": "".join(chr(chance.randint(0x1F300, 0x1F64F)) for _ in range(size)),
        "Thai": ("สวัสดีครับวันนี้อากาศดีมาก" * size)[:size],
        "hexadecimal": "".join(chance.choices("0123456789abcdef", k=size)),
        "digits": "7" * size,
        "slashes": "/" * size,
        "spaces": " " * size,
        "no-break spaces": "\u00a0" * size,
        "tabs and spaces": " \t" * (size // 2),
        "line ends": "\r\n" * (size // 2),
    }


@pytest.mark.parametrize(("name", "text"), _hostile_texts().items(), ids=_hostile_texts().keys())
def test_a_hard_cut_changes_the_sum_by_no_more_than_is_stated(
    o200k: Tokenizer, cl100k: Tokenizer, name: str, text: str
) -> None:
    pieces = list(slices(text))
    hard_cuts = sum(not ends_safely for _, ends_safely in pieces)

    assert hard_cuts > 0, name
    for encoding in (o200k, cl100k):
        whole = len(encoding.encode_ordinary(text))
        summed = sum(len(encoding.encode_ordinary(piece)) for piece, _ in pieces)
        assert abs(summed - whole) <= MAX_ERROR_PER_HARD_CUT * hard_cuts
