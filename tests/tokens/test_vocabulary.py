"""The shipped vocabularies are the published ones, count as tiktoken does, and need nothing but their files."""

import hashlib
import random
import subprocess
import sys
from binascii import a2b_base64
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from splintr import Tokenizer
from tiktoken import Encoding

from router.tokens import vocabulary
from router.tokens.vocabulary import DamagedVocabulary, VocabularyName, load_encoding


def test_known_texts_have_their_published_tokens(o200k: Tokenizer, cl100k: Tokenizer) -> None:
    # cl100k: OpenAI cookbook, How_to_count_tokens_with_tiktoken; o200k: the same page's comparison of encodings.
    assert cl100k.encode_ordinary("tiktoken is great!") == [83, 1609, 5963, 374, 2294, 0]
    assert o200k.encode_ordinary("antidisestablishmentarianism") == [493, 129901, 376, 160388, 21203, 2367]


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_every_line_of_a_file_holds_the_rank_of_its_place(name: VocabularyName) -> None:
    content = files("router.tokens").joinpath("vocabularies", f"{name}.tiktoken").read_bytes()

    ranks = [int(rank) for rank in content.split()[1::2]]

    assert ranks == list(range(len(ranks)))


# What tells words apart: letters with and without case, marks, joiners, digits, blanks, ends of lines, contractions.
_ATOMS = (
    "a", "B", "é", "word", "Word", "WORD", "'s", "'S", "'ll", "'LL", "'re", "'", "\u2019", "½", "ǅ", "ʰ", "Ж", "ا", "ก",
    "ำ", "的", "好", "\u0301", "👍", "🏽", "\u200d", "\ufe0f", " ", "  ", "\t", "\n", "\r\n", "\n\n", "\u00a0",
    "\u3000", "\u2028", "\x0b", "\x1c", "\x85", "/", "//", "1", "23", "4567", "٣", "Ⅳ", ".", "(", "!?", "，", "。", "_",
    "-", "=", '"', "<|endoftext|>", "\x00", "\U0001f1ea\U0001f1fa",
)  # fmt: skip
# A long s in a contraction is an s to one of the two libraries and a letter to the other.
_any_text = st.text(st.characters(exclude_characters="\u017f", codec="utf-8"))
_texts = st.one_of(_any_text, st.lists(st.sampled_from(_ATOMS), max_size=40).map("".join))


@pytest.fixture(scope="session", params=["o200k_base", "cl100k_base"])
def both(request: pytest.FixtureRequest) -> tuple[Tokenizer, Encoding]:
    """An encoding of ours, and tiktoken's of the same name."""
    return load_encoding(request.param), _as_tiktoken_has_it(request.param)


@given(text=_texts, times=st.sampled_from([1, 1, 1, 2, 3, 100]))
@settings(max_examples=400)
def test_every_text_has_the_tokens_that_tiktoken_makes_of_it(
    both: tuple[Tokenizer, Encoding], text: str, times: int
) -> None:
    ours, theirs = both

    assert ours.encode_ordinary(text * times) == theirs.encode_ordinary(text * times)


def test_every_character_stands_among_others_as_it_does_for_tiktoken(both: tuple[Tokenizer, Encoding]) -> None:
    ours, theirs = both

    # The planes in use, and some of those that are not, a hundred characters at a time.
    for text in _all_characters():
        assert ours.encode_ordinary(text) == theirs.encode_ordinary(text)


def test_hostile_runs_have_the_tokens_that_tiktoken_makes_of_them(both: tuple[Tokenizer, Encoding]) -> None:
    ours, theirs = both
    chance = random.Random(5)
    runs = [atom * 1_000 for atom in _ATOMS] + [
        "".join(chance.choices(letters, k=4_000))
        for letters in (
            "abcdefghijklmnopqrstuvwxyz",
            "0123456789abcdef",
            "!?;:,.-_=+*&^%$#@",
            "的一是不了",
            " \t\n\u00a0",
        )
    ]

    for run in runs:
        assert ours.encode_ordinary(run) == theirs.encode_ordinary(run)


def _all_characters() -> Iterator[str]:
    for first in range(0, 0x20000, 100):
        points = [point for point in range(first, first + 100) if not 0xD800 <= point < 0xE000 and point != 0x17F]
        yield "a".join(map(chr, points)) + " ".join(map(chr, points)) + "".join(f"{chr(each)}'s" for each in points)


def _as_tiktoken_has_it(name: VocabularyName) -> Encoding:
    """Built from our file: tiktoken would fetch its own. The patterns are its own, but for how they are written."""
    content = files("router.tokens").joinpath("vocabularies", f"{name}.tiktoken").read_bytes()
    tokens = [a2b_base64(token) for token in content.split()[::2]]
    return Encoding(
        name,
        pat_str=_PATTERNS.get(name, vocabulary.split_pattern(name)),
        mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={},
    )


# tiktoken 0.14.0, tiktoken_ext/openai_public.py, with possessive quantifiers, which splintr does not know.
_PATTERNS = {
    "cl100k_base": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
}


def test_a_damaged_file_is_refused_with_both_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vocabularies").mkdir()
    (tmp_path / "vocabularies" / "o200k_base.tiktoken").write_bytes(b"IQ== 0\n")
    monkeypatch.setattr(vocabulary, "files", lambda _package: tmp_path)

    with pytest.raises(DamagedVocabulary) as caught:
        load_encoding("o200k_base")

    assert hashlib.sha256(b"IQ== 0\n").hexdigest() in caught.value.message
    assert "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d" in caught.value.message


def test_loading_neither_opens_a_socket_nor_heeds_tiktokens_cache_directory(tmp_path: Path) -> None:
    program = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from router.tokens.vocabulary import load_encoding\n"
        "sys.stdout.write(str(len(load_encoding('o200k_base').encode_ordinary('hello world'))))\n"
    )
    root = Path(vocabulary.__file__).parents[2]

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=root,
        env={"TIKTOKEN_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout == "2"
    assert list(tmp_path.iterdir()) == []
