"""The artefact of a text head, and what asking it says."""

import math
import random
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.config.text_heads import shipped_head
from router.errors import BrokenArtefact
from router.quality.signals import NO_SIGNALS
from router.quality.text_head import (
    CHEAP,
    DIFFICULTY,
    LARGEST_BYTES,
    STRONG,
    Header,
    HeadScales,
    TextHead,
    read_artefact,
    written,
)
from router.quality.text_terms import BUCKETS, LEVELS, MARKS, TERMS_VERSION, terms_of

NAMES = (CHEAP, STRONG, DIFFICULTY)
CHANCE = random.Random(5)
WORDS = tuple(CHANCE.randbytes(BUCKETS) for _ in NAMES)
MARK_TABLES = tuple(CHANCE.randbytes(MARKS * LEVELS) for _ in NAMES)
HEADER = Header(
    terms=TERMS_VERSION,
    heads=tuple(HeadScales(name, 0.25, 0.01, 0.001, mean_logit=1.0) for name in NAMES),
    trained_on={"nothing": 0},
    licence="none",
)
CONTENT = written(HEADER, WORDS, MARK_TABLES, bytes(BUCKETS // 8))
HEAD = TextHead(read_artefact(CONTENT, name="test"))


def test_an_artefact_is_read_as_it_was_written() -> None:
    artefact = read_artefact(CONTENT, name="test")

    assert (artefact.header, artefact.words, artefact.marks) == (HEADER, WORDS, MARK_TABLES)
    assert len(CONTENT) <= LARGEST_BYTES


@settings(max_examples=30)
@given(st.integers(0, len(CONTENT) - 1), st.integers(1, 255))
def test_an_artefact_with_any_byte_changed_is_refused(place: int, change: int) -> None:
    harmed = bytearray(CONTENT)
    harmed[place] ^= change

    with pytest.raises(BrokenArtefact, match=r"test .*"):
        read_artefact(bytes(harmed), name="test")


@pytest.mark.parametrize("length", [0, 10, len(CONTENT) // 2, len(CONTENT) - 1])
def test_an_artefact_that_was_cut_off_is_refused(length: int) -> None:
    with pytest.raises(BrokenArtefact):
        read_artefact(CONTENT[:length], name="test")


def test_an_artefact_of_other_terms_is_refused_with_what_to_do() -> None:
    other = Header(terms=TERMS_VERSION + 1, heads=HEADER.heads, trained_on={}, licence="")
    content = written(other, WORDS, MARK_TABLES, bytes(BUCKETS // 8))

    with pytest.raises(BrokenArtefact, match="penstock train"):
        read_artefact(content, name="test")


@pytest.mark.parametrize(
    "header",
    [
        b'{"terms":1,"note":' + b"[" * 100_000,
        b'{"terms":1,"other":' + b"[" * 100_000,
        b'{"terms":1,"heads":[],"trained_on":{},"licence":"\xff"}',
    ],
    ids=["deep", "deep and unknown", "no UTF-8"],
)
def test_a_header_that_cannot_be_read_is_refused_however_right_the_checksum(header: bytes) -> None:
    body = header + b"\n"
    checksum = blake2b(body, digest_size=16).hexdigest().encode()

    with pytest.raises(BrokenArtefact, match="header"):
        read_artefact(b"penstock-text-head 1 " + checksum + b"\n" + body, name="test")


def test_scales_whose_sums_would_be_no_numbers_are_refused() -> None:
    absurd = Header(terms=TERMS_VERSION, heads=(HeadScales(CHEAP, 0.0, 1e308, 1e308, 0.0),), trained_on={}, licence="")
    content = written(absurd, WORDS[:1], MARK_TABLES[:1], bytes(BUCKETS // 8))

    with pytest.raises(BrokenArtefact, match="no log-odds"):
        read_artefact(content, name="test")


def test_tables_of_the_wrong_size_are_refused_however_right_the_checksum() -> None:
    with pytest.raises(BrokenArtefact, match="3 heads"):
        read_artefact(written(HEADER, WORDS, MARK_TABLES, b""), name="test")


@given(st.text(st.characters(), max_size=4_000))
def test_one_sum_over_packed_weights_is_the_sum_of_each_head(text: str) -> None:
    words, pairs, marks = terms_of(text)
    root = math.sqrt(len(words) + len(pairs)) or 1.0

    for number, logit in enumerate(HEAD.said(text).logits):
        weights = memoryview(WORDS[number]).cast("b")
        table = memoryview(MARK_TABLES[number]).cast("b")
        plain = sum(weights[each] for each in words) + sum(weights[each] for each in pairs)
        assert logit == pytest.approx(0.25 + 0.01 * plain / root + 0.001 * sum(table[each] for each in marks))


def test_familiarity_is_the_share_of_known_words() -> None:
    known = bytearray(BUCKETS // 8)
    for bucket in terms_of("the known words").words:
        known[bucket >> 3] |= 1 << (bucket & 7)
    head = TextHead(read_artefact(written(HEADER, WORDS, MARK_TABLES, bytes(known)), name="test"))

    assert head.said("the known words").familiarity == 1.0
    assert head.said("the zyx qqq known").familiarity == 0.5
    assert head.said("").familiarity == 0.0


def test_signals_are_measured_from_the_average_prompt() -> None:
    signals = HEAD.signals("What is a prime?")

    assert signals.difficulty_logit == round(HEAD.said("What is a prime?").logits[2] - 1.0, 3)
    assert signals.head == HEAD.version


def test_a_head_without_difficulty_has_no_signals() -> None:
    header = Header(terms=TERMS_VERSION, heads=HEADER.heads[:1], trained_on={}, licence="")
    content = written(header, WORDS[:1], MARK_TABLES[:1], bytes(BUCKETS // 8))

    assert TextHead(read_artefact(content, name="test")).signals("What is a prime?") == NO_SIGNALS


def test_the_shipped_head_finds_a_proof_harder_than_a_sum() -> None:
    head = shipped_head()
    easy = "Anna has 3 apples and buys 2 more. How many apples does she have?"
    hard = (
        "Let $G$ be a finite group of odd order. Which of the following must hold for every normal subgroup?\n"
        "A. It is solvable\nB. It is cyclic\nC. It is abelian\nD. None of these"
    )

    assert head.signals(hard).difficulty_logit > head.signals(easy).difficulty_logit
