"""The terms of a prompt: what of a text the head is trained on and asked with, the same code for both.

Two kinds. Words and pairs of neighbouring words are hashed to buckets, each counted once however often it comes.
Marks are counts (of question marks, digits, capitals, lines …) on a coarse scale. Only the two ends of a long text are
looked at, so that the time is bounded. All of it runs in loops of the interpreter's own, in C: a kilobyte takes less
than a tenth of a millisecond (docs/quality.md), where numpy would take longer to be imported than a thousand requests.
"""

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

HEAD_BYTES = 1536
TAIL_BYTES = 512

BUCKETS = 1 << 16
LEVELS = 16  # of a mark; each level of each mark has a weight of its own

# What a change of the terms would make of every artefact trained before: nonsense. So artefacts name the version.
TERMS_VERSION = 1

_LETTERS = bytes(range(ord("a"), ord("z") + 1))
_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))
_DIGITS = b"0123456789"
_BLANKS = b" \t\r"
_SIGNS = b"?!.,:;'\"()[]{}<>=+-*/^_|\\$%&#@~`\n"
_SIGN_AT = {sign: at for at, sign in enumerate(_SIGNS)}
_LINE_END = b"\n"
_FIRST_LEVEL = len(_SIGNS)  # where the marks stand that are no counts of signs
MARKS = _FIRST_LEVEL + 10

# Letters become small, digits and whatever is not ASCII stay, all else parts words.
_AS_WORDS = bytes(
    code + 32 if code in _CAPITALS else code if code in _LETTERS + _DIGITS or code >= 0x80 else 0x20
    for code in range(256)
)
_LAST_BUCKET = BUCKETS - 1


class Terms(NamedTuple):
    """What is looked up in a head's tables."""

    words: set[int]  # buckets
    pairs: set[int]  # buckets
    marks: list[int]  # places in the table of marks, one for each mark


def terms_of(text: str, words: Sequence[bytes] | None = None) -> Terms:
    """The terms of a prompt. Deterministic, on every machine. `words` are its `plain_words`, where they are known."""
    # A lone surrogate, which JSON can spell, has no UTF-8.
    if len(text) <= HEAD_BYTES + TAIL_BYTES:
        raw = text.encode(errors="replace")
        if len(raw) > HEAD_BYTES + TAIL_BYTES:
            raw = raw[:HEAD_BYTES] + b" " + raw[-TAIL_BYTES:]
    else:
        head = text[:HEAD_BYTES].encode(errors="replace")[:HEAD_BYTES]
        raw = head + b" " + text[-TAIL_BYTES:].encode(errors="replace")[-TAIL_BYTES:]
        words = None  # of less than all
    if words is None:
        words = raw.translate(_AS_WORDS).split()
    hashes = list(map(crc32, words))
    return Terms(
        {each & _LAST_BUCKET for each in hashes},
        {each & _LAST_BUCKET for each in map(crc32, words[1:], hashes)},
        _marks_of(raw, len(text), len(words)),
    )


def _marks_of(raw: bytes, length: int, words: int) -> list[int]:
    """Counts as their number of bits, shares in sixteenths or finer; none above the last level.

    Each kind of byte is counted in what the kinds before it have left: after the letters that is a quarter.
    """
    without_letters = raw.translate(None, _LETTERS)
    without_capitals = without_letters.translate(None, _CAPITALS)
    without_digits = without_capitals.translate(None, _DIGITS)
    signs = without_digits.translate(None, _BLANKS)
    letters = len(raw) - len(without_letters)
    capitals = len(without_letters) - len(without_capitals)
    digits = len(without_capitals) - len(without_digits)
    breaks = signs.count(_LINE_END)
    others = len(signs) - breaks
    marks = list(_LOWEST)
    for sign in set(signs):  # few of them, in most texts
        at = _SIGN_AT.get(sign)
        if at is not None:
            marks[at] += signs.count(sign).bit_length()  # of two kilobytes at most: never above the last level
    lines = breaks + 1
    whole = len(raw) + 1
    levels = (
        length.bit_length(),
        digits.bit_length(),
        capitals.bit_length(),
        words.bit_length(),
        32 * digits // whole,
        32 * capitals // whole,
        2 * letters // (words + 1),
        32 * others // whole,
        (length * length).bit_length() - 8,  # half a doubling a step, where most prompts are
        (words * words // (lines * lines)).bit_length(),
    )
    marks[_FIRST_LEVEL:] = [
        place + (level if 0 <= level < LEVELS else 0 if level < 0 else LEVELS - 1)
        for place, level in zip(_LAST_PLACES, levels, strict=True)
    ]
    return marks


_LOWEST = tuple(range(0, MARKS * LEVELS, LEVELS))  # the places of the marks of nothing
_LAST_PLACES = _LOWEST[_FIRST_LEVEL:]
