"""A text head: what the words of a prompt say about how hard it is, by a trained artefact, in a tenth of a millisecond.

The artefact is bytes: `read_artefact` checks and reads them, `written` makes them, `TextHead` asks them. Each head is
logistic regression over the terms of `text_terms`, with weights of one signed byte. A bucket's weights for all heads
stand side by side in one integer, so that one sum over a prompt's terms adds up all heads at once.

    logit = bias + word_scale × (sum of the terms' weights) ÷ √(number of terms) + mark_scale × (sum of the marks')
"""

from array import array
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from math import sqrt
from typing import NamedTuple

import msgspec

from router.errors import BrokenArtefact
from router.quality.signals import NO_SIGNALS, TextSignals
from router.quality.text_terms import BUCKETS, LEVELS, MARKS, TERMS_VERSION, terms_of

MAGIC = b"penstock-text-head"
FORMAT_VERSION = 1
MOST_HEADS = 3
LARGEST_BYTES = 300_000  # of an artefact

DIFFICULTY = "difficulty"  # the head that says how likely a middling model is to fail
CHEAP = "cheap"  # that the cheap model of the pair is right
STRONG = "strong"  # that the strong one is

# Sums of a prompt's weights stand in fields of one integer. A window holds no more than 1,024 words or pairs, each
# weight is less than 256 when made positive: less than 2**18 in all.
_FIELD_BITS = 18
_FIELD = (1 << _FIELD_BITS) - 1
_ZERO = 128  # what is added to a weight to make it positive


class HeadScales(msgspec.Struct, frozen=True):
    """What makes log-odds of one head's sums."""

    name: str
    bias: float
    word_scale: float
    mark_scale: float
    mean_logit: float  # over what it was trained on: what an average prompt gets
    # Log-odds that rank best are too flat to be believed: P = 1 ÷ (1 + exp(−slope × logit − shift)).
    slope: float = 1.0
    shift: float = 0.0


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an artefact says of itself: the data card."""

    terms: int  # version of `text_terms` that it was trained with
    heads: tuple[HeadScales, ...]
    trained_on: dict[str, int]  # rows by name of the file
    licence: str
    cheap: str = ""  # the pair that its heads `cheap` and `strong` tell apart; empty where there is none
    strong: str = ""
    strong_weight: float = 1.0  # prompts are ranked by strong_weight × P(strong right) − P(cheap right)
    note: str = ""


class Artefact(NamedTuple):
    """A trained head as it is kept."""

    header: Header
    words: tuple[bytes, ...]  # of each head: one signed byte a bucket
    marks: tuple[bytes, ...]  # of each head: one signed byte a level of a mark
    known: bytes  # one bit a bucket, the lowest first: words that were seen often enough in training
    version: str  # of what it holds: the first digits of its checksum


_LARGEST_SCALE = 1e6  # of what training makes none comes near it; far above, sums are infinite, or no numbers
_WORD_BYTES, _MARK_BYTES, _KNOWN_BYTES = BUCKETS, MARKS * LEVELS, BUCKETS // 8
_HEADERS = msgspec.json.Decoder(Header)


def written(header: Header, words: Sequence[bytes], marks: Sequence[bytes], known: bytes) -> bytes:
    """The artefact's bytes: one line with format and checksum, one with the header as JSON, then the weights."""
    body = msgspec.json.encode(header, order="deterministic") + b"\n"
    body += b"".join((*words, *marks)) + known
    return b"%s %d %s\n%s" % (MAGIC, FORMAT_VERSION, _checksum(body), body)


def read_artefact(content: bytes, *, name: str) -> Artefact:
    """The artefact in `content`; `name` says in errors which. Raises BrokenArtefact if it is not whole or not known."""
    first, _, body = content.partition(b"\n")
    words = first.split(b" ")
    if len(words) != 3 or words[0] != MAGIC:
        raise BrokenArtefact(f"{name} is not a text head: it does not begin with {MAGIC.decode()}.")
    if words[1] != b"%d" % FORMAT_VERSION:
        raise BrokenArtefact(
            f"{name} has format {words[1][:20].decode(errors='replace')}, and this version reads {FORMAT_VERSION}; "
            "train it again with `penstock train`."
        )
    checksum = _checksum(body)
    if words[2] != checksum:
        raise BrokenArtefact(f"{name} is damaged: its checksum does not fit; copy it again, or train it again.")
    line, _, tables = body.partition(b"\n")
    try:
        header = _HEADERS.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenArtefact(f"{name} has a header that cannot be read: {error}.") from error
    if header.terms != TERMS_VERSION:
        raise BrokenArtefact(
            f"{name} was trained on terms of version {header.terms}, and this version makes {TERMS_VERSION}; "
            "train it again with `penstock train`."
        )
    count = len(header.heads)
    if not 1 <= count <= MOST_HEADS or len(tables) != count * (_WORD_BYTES + _MARK_BYTES) + _KNOWN_BYTES:
        raise BrokenArtefact(f"{name} says it has {count} heads, and its tables have {len(tables)} bytes.")
    if any(abs(number) > _LARGEST_SCALE for head in header.heads for number in _numbers_of(head)):
        raise BrokenArtefact(f"{name} has scales that make no log-odds; train it again with `penstock train`.")
    marks_at, known_at = count * _WORD_BYTES, count * (_WORD_BYTES + _MARK_BYTES)
    return Artefact(
        header,
        tuple(tables[each : each + _WORD_BYTES] for each in range(0, marks_at, _WORD_BYTES)),
        tuple(tables[each : each + _MARK_BYTES] for each in range(marks_at, known_at, _MARK_BYTES)),
        tables[known_at:],
        checksum[:12].decode(),
    )


def _numbers_of(head: HeadScales) -> tuple[float, ...]:
    return head.bias, head.word_scale, head.mark_scale, head.mean_logit, head.slope, head.shift


def _checksum(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).hexdigest().encode()


class Said(NamedTuple):
    """What a head says of one prompt."""

    logits: tuple[float, ...]  # one for each head, in the header's order
    familiarity: float  # 0 to 1


class TextHead:
    """An artefact, ready to be asked. Holds a quarter of a megabyte, or half of one with the heads of a pair."""

    def __init__(self, artefact: Artefact) -> None:
        self.header = artefact.header
        self.version = artefact.version
        # Behind the heads' fields. With one head all fits into 32 bits, which is half the memory.
        self._known_bit = _FIELD_BITS * len(artefact.words)
        self._sums = (1 << self._known_bit) - 1
        places = _packed(artefact.words, artefact.known, known_bit=self._known_bit)
        self._words = array("I" if len(artefact.words) == 1 else "Q", places)
        self._marks = list(_packed(artefact.marks, b"", known_bit=0))
        self._scales = tuple(
            (number * _FIELD_BITS, each.bias, each.word_scale, each.mark_scale)
            for number, each in enumerate(artefact.header.heads)
        )
        names = [each.name for each in artefact.header.heads]
        self._difficulty = names.index(DIFFICULTY) if DIFFICULTY in names else None

    def said(self, text: str, plain: Sequence[bytes] | None = None) -> Said:
        """The log-odds of each head, and how familiar the text is. Deterministic; the time is bounded.

        `plain` are its `plain_words`, where they are known.
        """
        words, pairs, marks = terms_of(text, plain)
        weights = self._words
        word_sums = sum([weights[place] for place in words])
        known, word_sums = word_sums >> self._known_bit, word_sums & self._sums
        term_sums = word_sums, sum([weights[place] for place in pairs]) & self._sums
        mark_weights = self._marks
        mark_sums = sum([mark_weights[place] for place in marks])
        count = len(words) + len(pairs)
        root = sqrt(count) or 1.0
        terms_zero, marks_zero = count * _ZERO, len(marks) * _ZERO
        logits = tuple(
            [
                bias
                + word_scale
                * (((term_sums[0] >> shift) & _FIELD) + ((term_sums[1] >> shift) & _FIELD) - terms_zero)
                / root
                + mark_scale * (((mark_sums >> shift) & _FIELD) - marks_zero)
                for shift, bias, word_scale, mark_scale in self._scales
            ]
        )
        return Said(logits, known / len(words) if words else 0.0)

    def signals(self, text: str, plain: Sequence[bytes] | None = None) -> TextSignals:
        """What the ledger may keep of it; rounded, for it is kept with every request. `plain` as for `said`."""
        if self._difficulty is None:
            return NO_SIGNALS
        logits, familiarity = self.said(text, plain)
        difficulty = logits[self._difficulty] - self.header.heads[self._difficulty].mean_logit
        return TextSignals(round(difficulty, 3), round(familiarity, 3), self.version)


def _packed(tables: Sequence[bytes], known: bytes, *, known_bit: int) -> Iterable[int]:
    """One integer a place: the heads' weights in their fields, and above them whether the word is known."""
    for place, weights in enumerate(zip(*(memoryview(table).cast("b") for table in tables), strict=True)):
        value = (known[place >> 3] >> (place & 7) & 1) << known_bit if known else 0
        for number, weight in enumerate(weights):
            value |= (weight + _ZERO) << (number * _FIELD_BITS)
        yield value
