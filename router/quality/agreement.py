"""Whether two answers say the same, where both come to something short: `agree`.

What an answer comes to is its `short_form`. Rules, the first that finds something decides; 2 and 3 look at the last
2,000 characters:

1. all of it, if it is a JSON object or array of at most 2,000 characters: compared as values, not as text;
2. what stands in the last `\\boxed{…}`, or behind the last `####`;
3. what follows the last "answer is", "answer:" (Antwort, réponse, respuesta, risposta), up to the end of a line;
4. all of it, if it is one line of at most 200 characters; else its last line, if that has at most 80.

Of these, what stands behind a last `=`, and of that only a letter, where it is an option such as `(C)` or `C. Paris`;
else, where it begins with a number, that number and the word behind it, which must be the same only where both have
one (`$1,200.00` and `1200 dollars` agree, `3 days` and `3 weeks` do not); else the words, without case, markup, quotes
and final stops.
"""

import re
import unicodedata
from decimal import Decimal, InvalidOperation
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
_OPTION = re.compile(r"\(?([A-Ja-j])(?:[.):]+(?:\s|$)|$)")
_MARKUP = re.compile(r"[*_`$€£\"'“”‘’«»\\]|(?:about|approximately|approx\.|≈|~)\s")
_NUMBER = re.compile(r"([-+−]?\d[\d,\u00a0\u202f]{0,40}(?:\.\d{1,40})?)\s*([^\W\d_]*|%)")
_SEPARATORS = re.compile(r"[,\u00a0\u202f]")
_NOT_WORDS = re.compile(r"[^\w%/.,:+-]+")


class ShortForm(NamedTuple):
    """What an answer comes to, as it is compared."""

    value: str
    unit: str = ""  # the word behind a number

    def is_same(self, other: "ShortForm") -> bool:
        return self.value == other.value and (self.unit == other.unit or not self.unit or not other.unit)


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
    plain = _MARKUP.sub("", unicodedata.normalize("NFKC", said)).rpartition("=")[2].strip()
    option = _OPTION.match(plain)
    if option is not None:
        return ShortForm(option[1].casefold())
    number = _NUMBER.match(plain)
    if number is not None:
        try:
            value = Decimal(_SEPARATORS.sub("", number[1]).replace("−", "-"))
        except InvalidOperation:
            return None
        return ShortForm(f"{value.normalize():f}" if value else "0", number[2].casefold())
    words = _NOT_WORDS.sub(" ", plain.casefold()).strip(" .,:")
    return ShortForm(words) if words else None
