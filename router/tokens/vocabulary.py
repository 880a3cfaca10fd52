"""The byte-pair vocabularies: read from files inside the package, checked against their digests.

A proxy must start offline, so the files are ours; what counts with them is splintr. tiktoken, which published them, is
what the tests compare it with. Measured on one core, 2026-11-30, o200k_base in a process of its own:

| | memory | 1 KB of prose | unseen code | unseen prose | a million blanks |
|---|---|---|---|---|---|
| tiktoken 0.14 | 83 MB (51 without its second copy of the ranks) | 36 us | 18 MB/s | 14 MB/s | panics |
| splintr 0.22 | 37 MB | 4 us | 27 MB/s | 47 MB/s | counts |
| toktok 0.3 | 64 MB | 2 us | 71 MB/s | 45 MB/s | counts |

Both are exact but where a long s stands in a contraction (`'\u017f`), which one of them takes for an `'s`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import Literal

from splintr import Tokenizer

from router.errors import PenstockError

VocabularyName = Literal["o200k_base", "cl100k_base"]

# No word of any vocabulary, so that it is merged from its letters.
_UNKNOWN_WORD = "qxzvkjwqpyzxgfvbqkjxwzqv"


class DamagedVocabulary(PenstockError):
    """A vocabulary file is not the one we shipped; the installation is broken."""

    code = "damaged_vocabulary"


def load_encoding(name: VocabularyName) -> Tokenizer:
    """The encoding `name`, built anew: 0.3 s and 37 MB for o200k_base. Callers keep it.

    It knows no special tokens: text that looks like one is text. Raises DamagedVocabulary if the file's sha256 is not
    the one published.
    """
    vocabulary = _VOCABULARIES[name]
    content = files("router.tokens").joinpath("vocabularies", f"{name}.tiktoken").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != vocabulary.sha256:
        raise DamagedVocabulary(
            f"The vocabulary file {name}.tiktoken has sha256 {digest}, expected {vocabulary.sha256}; "
            "reinstall the package."
        )
    encoding = Tokenizer.from_bytes(content, vocabulary.split_pattern)
    # The first word that must be merged makes splintr build its table of pairs, in 0.1 s: not in somebody's request.
    encoding.encode_flat(_UNKNOWN_WORD)
    return encoding


def split_pattern(name: VocabularyName) -> str:
    """What cuts text into words, which are then encoded one by one."""
    return _VOCABULARIES[name].split_pattern


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    sha256: str
    split_pattern: str  # cuts text into words, which are then encoded one by one


# Digests and patterns: tiktoken 0.14.0, tiktoken_ext/openai_public.py, read 2026-11-23. The quantifiers of cl100k_base
# are possessive there (`++`); since nothing after them could take what they give back, greedy ones match the same.
_VOCABULARIES: Mapping[VocabularyName, _Vocabulary] = MappingProxyType(
    {
        "o200k_base": _Vocabulary(
            sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
            split_pattern="|".join(
                (
                    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
                    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
                    r"\p{N}{1,3}",
                    r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                    r"\s*[\r\n]+",
                    r"\s+(?!\S)",
                    r"\s+",
                )
            ),
        ),
        "cl100k_base": _Vocabulary(
            sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            split_pattern=(
                r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s+$|\s*[\r\n]|\s+(?!\S)|\s"
            ),
        ),
    }
)
