"""Whether two answers say the same, where both come to something short: `agree`.

What an answer comes to is its `short_form`. Rules, the first that finds something decides; 2 and 3 look at the last
2,000 characters:

1. all of it, if it is a JSON object or array of at most 2,000 characters: compared as values, not as text;
2. what stands in the last `\\boxed{…}`, or behind the last `####`;
3. what follows the last "answer is", "answer:" (Antwort, réponse, respuesta, risposta), up to the end of a line;
4. all of it, if it is one line of at most 200 characters; else its last line, if that has at most 80.

Of these, of an equation `x = 2 + 3 = 5` what stands behind the last `=`, and of that only a letter, where it is an
option such as `(C)` or `C. Paris`, with the word behind it; else, where it is a number and no more figures or signs
follow, that number and the word behind it; else the words and signs, without case, markup, quotes and final stops. The
word behind a letter or number must be the same only where both have one (`$1,200.00` and `1200 dollars` agree, `3 days`
and `3 weeks` do not), or where it is part of the number (`5 million`).

What is said to agree is not asked of anybody else, so in doubt two answers differ: `3/4` is no 3, and `x >= 5` no 5.
"""

import re
import unicodedata
from decimal import Decimal
from typing import NamedTuple

import msgspec

from router.quality.schemas import CannotVerify, Patience, read_json

MAX_ANSWER_CHARS = 64 * 1024  # longer ones are not looked at
_TAIL = 2_000
_MOST_JSON = 2_000
_MOST_WHOLE = 200
_MOST_LINE = 80
_READ_NS = 400_000  # of one answer, beside its JSON

_BOXED = "\\boxed{"
_HASHES = re.compile(r"^####[ \t]*(\S[^\n]*)$", re.MULTILINE)
_ANSWER = re.compile(
    r"\b(?:answer|antwort|réponse|respuesta|risposta)\b[ \t*_]{0,8}(?:(?:is|ist|lautet|est|es|è)\b[ \t*_]{0,8}:?|:)",
    re.IGNORECASE,
)
_OPTION = re.compile(r"\(?([A-Ja-j])(?:[.):]+(?:\s+|$)|$)")
_OTHER_OPTION = re.compile(r"\b[A-J]\b|\([a-j]\)")
_MARKUP = re.compile(
    r"[`$€£\"'“”‘’«»\\]|\*+(?!\w)|(?<!\w)\*+|_+(?!\w)|(?<!\w)_+|(?:about|approximately|approx\.|≈|~)\s"
)
_RAISED = re.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u207b]+")  # NFKC would make 102 of ten squared
_SAME_SIGNS = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u2044": "/"}
)  # minus, dashes, fraction slash
_RELATION = re.compile(r"[<>≤≥≠≈!]")
_NUMBER = re.compile(r"([-+]?(?:\d{1,3}(?:,\d{3}){1,12}(?![\d,])|\d{1,40}|(?=\.\d))(?:\.\d{1,40})?)\s*([^\W\d_]*|%)")
_MORE_FIGURES = re.compile(r"\d|[-+*/^<>≤≥≠=±×÷·√∞π|&]")
_IN_BRACKETS = re.compile(r"\(([^()]*)\)")
_BLANKS = re.compile(r"[\s?;…]+")
_ABOUT_SIGNS = re.compile(r"\s*([^\w\s])\s*")
_WORD = re.compile(r"[^\W\d_]+")
_STOPS = " .,:!。、"

# Words that are part of the number before them: without one it is another.
_SCALES = frozenset(
    {"k", "hundred", "thousand", "million", "millions", "billion", "billions", "trillion", "bn", "mn", "dozen"}
    | {"tausend", "mio", "mrd", "millionen", "milliarde", "milliarden", "mille", "milliard", "milliards"}
    | {"mil", "millón", "millones", "mila", "milione", "milioni", "miliardo", "miliardi"}
)


class ShortForm(NamedTuple):
    """What an answer comes to, as it is compared."""

    value: str
    unit: str = ""  # the word behind a number or the letter of an option

    def is_same(self, other: "ShortForm") -> bool:
        if self.value != other.value:
            return False
        return self.unit == other.unit or ("" in (self.unit, other.unit) and self.unit + other.unit not in _SCALES)


def agree(first: str, second: str, patience: Patience | None = None) -> bool:
    """Whether both come to the same. Raises CannotVerify if one of them comes to nothing short."""
    patience = patience or Patience()
    one, other = short_form(first, patience), short_form(second, patience)
    if one is None or other is None:
        raise CannotVerify("an answer comes to nothing short that could be compared")
    return one.is_same(other)


def short_form(text: str, patience: Patience) -> ShortForm | None:
    """What an answer comes to; None if that is not short. Raises CannotVerify if there is too much to look at."""
    if len(text) > MAX_ANSWER_CHARS:
        raise CannotVerify(f"{len(text)} characters; at most {MAX_ANSWER_CHARS} are compared")
    patience.spend(_READ_NS)
    stripped = text.strip()
    if stripped[:1] in ("{", "[") and len(stripped) <= _MOST_JSON:
        value = _json(stripped, patience)
        if value is not None:
            return ShortForm(value)
    said = _said(stripped)
    return None if said is None else _normalised(said)


def _json(text: str, patience: Patience) -> str | None:
    try:
        value, _ = read_json(text, patience)
        return msgspec.json.encode(value, order="deterministic").decode()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _said(text: str) -> str | None:
    end = text[-_TAIL:]
    boxed = _boxed(end)
    if boxed is not None:
        return boxed
    hashes = _HASHES.findall(end)
    if hashes:
        return str(hashes[-1])[:_MOST_WHOLE]
    begins = [found.end() for found in _ANSWER.finditer(end)]
    if begins and (rest := end[begins[-1] :].strip(" \t\n*_")):
        return rest.partition("\n")[0][:_MOST_WHOLE]
    if len(text) <= _MOST_WHOLE and "\n" not in text:
        return text
    last = end.rsplit("\n", 1)[-1].strip()
    return last if len(last) <= _MOST_LINE else None


def _boxed(text: str) -> str | None:
    """What is in the braces of the last `\\boxed{…}`; None if there is none that is closed."""
    begin = text.rfind(_BOXED)
    if begin < 0:
        return None
    depth, begin = 1, begin + len(_BOXED)
    for place in range(begin, min(len(text), begin + _MOST_WHOLE)):
        depth += (text[place] == "{") - (text[place] == "}")
        if not depth:
            return text[begin:place]
    return None


def _normalised(said: str) -> ShortForm | None:
    plain = unicodedata.normalize("NFKC", _RAISED.sub(r"^\g<0>", said)).translate(_SAME_SIGNS)
    plain = _right_side(_MARKUP.sub("", plain)).strip()
    inner = _IN_BRACKETS.fullmatch(plain)
    plain = plain if inner is None else inner[1].strip()
    option = _OPTION.match(plain)
    if option is not None and _OTHER_OPTION.search(plain, option.end()) is None:
        word = _WORD.match(plain, option.end())
        return ShortForm(option[1].casefold(), "" if word is None else word[0].casefold())
    number = _NUMBER.match(plain)
    if number is not None and _MORE_FIGURES.search(plain, number.end()) is None:
        value = f"{Decimal(number[1].replace(',', '')):f}"  # exact, however long
        value = value.rstrip("0").rstrip(".") if "." in value else value
        return ShortForm("0" if value == "-0" else value, number[2].casefold())
    words = _ABOUT_SIGNS.sub(r"\1", _BLANKS.sub(" ", plain.casefold())).strip(_STOPS)
    return ShortForm(words) if words else None


def _right_side(plain: str) -> str:
    """What stands behind the last `=` of one equation; all of it where it is several, or something else."""
    left, *middle, right = plain.split("=") if "=" in plain else ("", plain)
    if _RELATION.search(left) or any(_RELATION.search(each) or _WORD.search(each) for each in middle):
        return plain
    return right
