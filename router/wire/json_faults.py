"""What is wrong with a text that should be JSON, in words of who wrote it."""

import codecs
import re

_PLACE = re.compile(r" \(byte (\d+)\)$")
_MALFORMED = "JSON is malformed: "
_WORD = re.compile(rb"-?[A-Za-z]+")
_LONGEST_WORD = 9  # -Infinity
# What programs write that do not mind: Python's json.dumps, JavaScript, Python itself.
_NOT_IN_JSON = frozenset({b"nan", b"infinity", b"-infinity", b"inf", b"-inf", b"undefined", b"none"})
_IN_SMALL_LETTERS = frozenset({b"true", b"false", b"null"})
_OTHER_ENCODINGS = ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))


def json_fault(content: bytes, error: Exception, *, is_line: bool = False) -> str:
    """What is wrong with `content`, of which a decoder raised `error`, one of `UNREADABLE` but for a wrong type.

    Tells the place in lines and columns (of bytes, from 1), of what `is_line` the column alone. Quotes nothing of it
    but words that are no value.
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not content.strip():
        return "it is empty"
    if content.startswith(codecs.BOM_UTF8):
        return "it begins with a byte order mark: save it as UTF-8 without one"
    for mark, encoding in _OTHER_ENCODINGS:
        if content.startswith(mark):
            return f"it is {encoding}: save it as UTF-8"
    if isinstance(error, UnicodeDecodeError):
        return f"the byte 0x{error.object[error.start]:02x} is no UTF-8, {_place(content, error.start, is_line)}"
    message = str(error)
    found = _PLACE.search(message)
    if found is None:
        return "it is cut off" if "truncated" in message else message.removeprefix(_MALFORMED)
    return _at(content, int(found[1]), message[: found.start()].removeprefix(_MALFORMED), is_line)


def _at(content: bytes, offset: int, message: str, is_line: bool) -> str:
    """What is wrong at a place where the decoder met what it did not expect."""
    near = next(
        (
            word
            for word in _WORD.finditer(content, max(0, offset - _LONGEST_WORD), offset + _LONGEST_WORD)
            if word.start() <= offset <= word.end() + 1  # where it expected null, it names the byte behind four
        ),
        None,
    )
    if near is not None:
        place = _place(content, near.start(), is_line)
        if near[0].lower() in _NOT_IN_JSON:
            return f"{near[0].decode()} is no value in JSON, {place}: write null, or leave the member out"
        if near[0].lower() in _IN_SMALL_LETTERS:
            return f"{near[0].decode()} is written {near[0].decode().lower()} in JSON, {place}"
        return f"{message}, {place}"
    return f"{message}, {_place(content, offset, is_line)}"


def _place(content: bytes, offset: int, is_line: bool) -> str:
    line = content.count(b"\n", 0, offset) + 1
    column = offset - content.rfind(b"\n", 0, offset)
    return f"column {column}" if is_line else f"line {line}, column {column}"
