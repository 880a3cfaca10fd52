"""The parts of which complaints are made: a value as it was written, what may stand in its place, what was probably
meant. For whatever is one of several words, the hint is made here.

A secret may have got into a file, in the place of the name of the variable that should hold it, or beside it.
Complaints go to the log, and to the admin port: `masked` takes out of them what looks like one.
"""

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from difflib import get_close_matches
from itertools import pairwise

_LIKENESS = 0.6  # difflib's own default: a letter or two of a short word
_LONGEST_SHOWN = 60  # characters of a value repeated in a message


_RUN = re.compile(r"[A-Za-z0-9_+/=.:@~%#?&-]{12,}")
_WORD = re.compile("[A-Za-z0-9]{12,}")
# Of addresses what stands before the host, and what stands behind the beginning of a key.
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]*:[^@\s'\"]*(?=@)")
_KEY = re.compile(r"\b(sk|psk|gsk|xai|pplx|rk|ghp|glpat)([-_])[\w-]{4,}")


def masked(message: str) -> str:
    """The message without what looks like a secret in it: words of twelve characters and more that are none.

    A password that is a word cannot be told from one.
    """
    message = _KEY.sub(r"\1\2***", _CREDENTIALS.sub("***", message))
    return _RUN.sub(lambda run: "***" if any(map(_is_no_word, _WORD.findall(run[0]))) else run[0], message)


def _is_no_word(text: str) -> bool:
    """Letters and digits, or small and capital letters in turn: a hash, a key, a token."""
    has_digit = any(char.isdigit() for char in text)
    if has_digit:
        return not text.isdigit()
    turns = sum(before.islower() and after.isupper() for before, after in pairwise(text))
    return turns > 2


def shown(value: object) -> str:
    """A value as an operator would recognise it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return f"the number {value}"
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}…"
        return f"the text '{text}'"
    return "a list" if isinstance(value, list) else "a mapping"


def choice(words: Sequence[str], value: object, *, likely: str | None = None) -> str:
    """The sentence about a value that is none of the words, with the likely one, or else the nearest."""
    near = hint(value, words) if likely is None else meant(f"'{likely}'")
    return f"expected {either(words)}, got {shown(value)}{near}"


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence about a name that nothing answers to, with the nearest one that exists, or else with all."""
    names = sorted(known)
    all_of_them = f"; known are {', '.join(names) or 'none'}"
    return f"unknown {what} '{name}'{hint(name, names) or all_of_them}"


def unknown_key(key: str, allowed: Sequence[str]) -> str:
    """The same of a key; `allowed` in the order in which they are told."""
    all_of_them = f"; allowed are {', '.join(allowed)}"
    return f"unknown key '{key}'{hint(key, allowed) or all_of_them}"


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def hint(value: object, words: Iterable[str]) -> str:
    """What is put behind a sentence where one of the words was probably meant; nothing where none is near."""
    near = nearest(value, words)
    return "" if near is None else meant(f"'{near}'")


def meant(what: str) -> str:
    """The same, where it is known what was meant."""
    return f"; did you mean {what}?"


def nearest(value: object, words: Iterable[str]) -> str | None:
    """The word that a text is a slip of, if it is of one; in capitals or not is all one."""
    if not isinstance(value, str):
        return None
    spelled = {word.casefold(): word for word in words}
    near = get_close_matches(value.casefold(), spelled, n=1, cutoff=_LIKENESS)
    return spelled[near[0]] if near else None
