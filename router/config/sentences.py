"""The parts of which complaints are made: a value as it was written, what may stand in its place, what was probably
meant. For whatever is one of several words, the hint is made here.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from difflib import get_close_matches

_LIKENESS = 0.6  # difflib's own default: a letter or two of a short word
_LONGEST_SHOWN = 60  # characters of a value repeated in a message


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
