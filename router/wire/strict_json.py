"""JSON that can be read in one way only: `refuse_ambiguous`.

Of two members of one name some readers take the first and some the last (RFC 8259, section 4), and of a body we read
some and send all. What is priced must be what the provider reads, so that such a body is refused, at any depth.
"""

import json
import re
from typing import Any

import msgspec

from router.errors import InvalidRequest

MOST_MEMBERS = 100_000
"""Of all objects of a body. 20,000 messages, a million tokens, have 40,000; and each costs a microsecond to read."""

MOST_VALUES = 400_000
"""Of a body, arrays and objects among them: up to 64 bytes each while it is read. Of tokens to be embedded OpenAI takes
300,000."""

MOST_DIGITS = 309
"""Of a number in a long body: no double has more before its point. What an integer costs grows with the square of its
length: thirty megabytes of integers of 4,300 digits took eight seconds, in which nobody else was served."""

# What is too many, with all that stands between: one match, which goes back nowhere.
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOO_MANY_MEMBERS = re.compile(
    rb"(?s)(?:[^\"]*+(?:%b(?!\s*+:)[^\"]*+)*+%b\s*+:){%d}+" % (_TEXT, _TEXT, MOST_MEMBERS + 1)
)
_TOO_MANY_VALUES = re.compile(rb"(?s)(?:[^\"\[{,]*+(?:%b[^\"\[{,]*+)*+[\[{,]){%d}+" % (_TEXT, MOST_VALUES + 1))
_STRUCTURE = b"[{,:"
_ALL_ELSE = bytes(set(range(256)) - set(_STRUCTURE))
# Of a number with too many digits at least three stand at every so manieth place. So a hundredth of a body settles
# that there is none, or nearly always: dates and counts rarely stand that far apart, three in a row.
_STRIDE = (MOST_DIGITS + 1) // 3
_MAY_BE_DIGITS = re.compile(rb"[0-9]{3}")
_DIGITS_ALONE = bytes(ord("0") if each in b"0123456789" else ord(" ") for each in range(256))
_TOO_MANY_DIGITS = re.compile(
    rb"(?s)(?:[^\"0-9]++|%b|[0-9]{1,%d}+(?![0-9]))*+[0-9]{%d}" % (_TEXT, MOST_DIGITS, MOST_DIGITS + 1)
)


def structure_of(body: bytes) -> bytes:
    """Every character of the body that may open, part or name its values, in its order; those in texts are there too.

    It costs 0.3 us per KB: less than to count one of them in the body.
    """
    return body.translate(None, _ALL_ELSE)


def refuse_ambiguous(body: bytes, structure: bytes | None = None) -> None:
    """Raises InvalidRequest for what has two members of one name in one object, or more members or values than are
    read; and what msgspec raises for what is no JSON, or has a number that no double can hold.

    `structure` is what `structure_of` says, where it is known already. An honest body costs 1 us per KB, and 3 more if
    it has blanks or escapes that need not be there.
    """
    if len(body) > MOST_MEMBERS:
        _refuse_too_many(body, structure_of(body) if structure is None else structure)
    # Of two members of one name only the last is in what was decoded. Most clients write as msgspec does.
    if msgspec.json.encode(msgspec.json.decode(body)) != body:
        json.loads(body, object_pairs_hook=_without_twins)


def _refuse_too_many(body: bytes, structure: bytes) -> None:
    """What stands in texts is counted first, which is fast and mostly settles it."""
    if structure.count(b":") > MOST_MEMBERS and _TOO_MANY_MEMBERS.match(body):
        raise InvalidRequest(
            f"The body has more than {MOST_MEMBERS} members in all its objects.", code="too_many_members"
        )
    if len(structure) - structure.count(b":") > MOST_VALUES and _TOO_MANY_VALUES.match(body):
        raise InvalidRequest(f"The body has more than {MOST_VALUES} values.", code="too_many_values")
    if _may_have_too_many_digits(body) and _TOO_MANY_DIGITS.match(body):
        raise InvalidRequest(f"The body has a number of more than {MOST_DIGITS} digits.", code="too_many_digits")


def _may_have_too_many_digits(body: bytes) -> bool:
    if _MAY_BE_DIGITS.search(body[_STRIDE - 1 :: _STRIDE]) is None:
        return False
    return b"0" * (MOST_DIGITS + 1) in body.translate(_DIGITS_ALONE)


def _without_twins(members: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in members}
    if len(names) == len(members):
        return
    seen: set[str] = set()
    for name, _ in members:
        if name in seen:
            raise InvalidRequest(
                f"The member {name[:60]!r} is there twice in one object, and readers differ in which of them counts; "
                "send it once.",
                code="repeated_member",
            )
        seen.add(name)
