"""The terms of a prompt: what of a text the head is trained on and asked with, the same code for both.

Two kinds. Words and pairs of neighbouring words are hashed to buckets, each counted once however often it comes.
Marks are counts (of question marks, digits, capitals, lines …) on a coarse scale. Only the two ends of a long text are
looked at, so that the time is bounded. All of it runs in loops of the interpreter's own, in C: a kilobyte takes less
than a tenth of a millisecond (docs/quality.md), where numpy would take longer to be imported than a thousand requests.
"""

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
_SPACES = b" \t\r\n"
_SIGNS = tuple(bytes((sign,)) for sign in b"?!.,:;'\"()[]{}<>=+-*/^_|\\$%&#@~`\n")
_NO_SIGNS = _LETTERS + _CAPITALS + _DIGITS + b" \t\r"
_LINES = len(_SIGNS) - 1  # where the line ends stand among them
MARKS = len(_SIGNS) + 10

# Letters become small, digits and whatever is not ASCII stay, all else parts words.
_AS_WORDS = bytes(
    code + 32 if code in _CAPITALS else code if code in _LETTERS + _DIGITS or code >= 0x80 else 0x20
    for code in range(256)
)
_bucket = (BUCKETS - 1).__and__


class Terms(NamedTuple):
    """What is looked up in a head's tables."""

    words: set[int]  # buckets
    pairs: set[int]  # buckets
    marks: list[int]  # places in the table of marks, one for each mark


def terms_of(text: str) -> Terms:
    """The terms of a prompt. Deterministic, on every machine."""
    # A lone surrogate, which JSON can spell, has no UTF-8.
    if len(text) <= HEAD_BYTES + TAIL_BYTES:
        raw = text.encode(errors="replace")
        if len(raw) > HEAD_BYTES + TAIL_BYTES:
            raw = raw[:HEAD_BYTES] + b" " + raw[-TAIL_BYTES:]
    else:
        head = text[:HEAD_BYTES].encode(errors="replace")[:HEAD_BYTES]
        raw = head + b" " + text[-TAIL_BYTES:].encode(errors="replace")[-TAIL_BYTES:]
    words = raw.translate(_AS_WORDS).split()
    hashes = list(map(crc32, words))
    return Terms(
        set(map(_bucket, hashes)),
        set(map(_bucket, map(crc32, words[1:], hashes))),
        _marks_of(raw, len(text), len(words)),
    )


def _marks_of(raw: bytes, length: int, words: int) -> list[int]:
    """Counts as their number of bits, shares in sixteenths or finer; none above the last level."""
    size = len(raw)
    capitals = size - len(raw.translate(None, _CAPITALS))
    digits = size - len(raw.translate(None, _DIGITS))
    spaces = size - len(raw.translate(None, _SPACES))
    letters = size - len(raw.translate(None, _LETTERS))
    others = size - capitals - digits - spaces - letters
    counts = list(map(raw.translate(None, _NO_SIGNS).count, _SIGNS))  # a third of the time of counting in all of it
    lines = counts[_LINES] + 1
    counts += (length, digits, capitals, words)
    levels = list(map(int.bit_length, counts))
    whole = size + 1
    levels += (
        32 * digits // whole,
        32 * capitals // whole,
        2 * letters // (words + 1),
        32 * others // whole,
        (length * length).bit_length() - 8,  # half a doubling a step, where most prompts are
        (words * words // (lines * lines)).bit_length(),
    )
    return [
        place + (level if 0 <= level < LEVELS else 0 if level < 0 else LEVELS - 1)
        for place, level in zip(_PLACES, levels, strict=True)
    ]


_PLACES = tuple(range(0, MARKS * LEVELS, LEVELS))
