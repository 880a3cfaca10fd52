"""Whoever sends or keeps what is not JSON is told what and where, in words and without a line of the prompt."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.wire.foreign import UNREADABLE
from router.wire.json_faults import json_fault
from router.wire.requests import ChatReader

NAN = "is no value in JSON, line 2, column 18: write null, or leave the member out"


def _fault(content: bytes, *, is_line: bool = False) -> str | None:
    try:
        content.decode()
        msgspec.json.decode(content)
    except UNREADABLE as error:
        return json_fault(content, error, is_line=is_line)
    return None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xef\xbb\xbf{}", "it begins with a byte order mark: save it as UTF-8 without one"),
        ('{"a": 1}'.encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        ('\ufeff{"a": 1}'.encode("utf-16-be"), "it is UTF-16: save it as UTF-8"),
        ('{"a": 1}'.encode("utf-32"), "it is UTF-32: save it as UTF-8"),
        (b'{"a":\n"\xe4"}', "the byte 0xe4 is no UTF-8, line 2, column 2"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": [1', "it is cut off"),
        (b'{"a": 1,\n  "b": [1, 2,]}', "trailing comma in array, line 2, column 14"),
        (b'{"a": 1}\n{"b": 1}', "trailing characters, line 2, column 2"),
        (b"{'a': 1}", "object keys must be strings, line 1, column 2"),
        *[
            (f'{{"a": 1,\n "temperature" : {word}}}'.encode(), f"{word} {NAN}")
            for word in ("NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "None", "undefined")
        ],
        (b'{"a": True}', "True is written true in JSON, line 1, column 7"),
        (b'{"a": NULL}', "NULL is written null in JSON, line 1, column 7"),
        (b'{"a": nothing}', "invalid character, line 1, column 7"),
        (b'{"NaN": x}', "invalid character, line 1, column 9"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(content: bytes, fault: str) -> None:
    assert _fault(content) == fault


def test_of_a_line_the_column_is_enough() -> None:
    assert _fault(b'{"a": tru}', is_line=True) == "invalid character, column 7"


@pytest.mark.parametrize(
    ("before", "fault"),
    [
        (b"\xef\xbb\xbf", "it begins with a byte order mark: save it as UTF-8 without one"),
        (b"", "NaN is no value in JSON, line 1, column 16: write null, or leave the member out"),
    ],
)
def test_a_client_is_told(before: bytes, fault: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        ChatReader().read(before + b'{"temperature":NaN,"model":"auto","messages":[{"role":"user","content":"Hi"}]}')

    assert refusal.value.message == f"The body is not valid JSON ({fault}). Send one JSON object encoded as UTF-8."
    assert refusal.value.code == "invalid_json"


@given(st.binary(max_size=40) | st.text(alphabet='[]{}":,Natrue-1 \n\\', max_size=40).map(str.encode))
def test_whatever_it_is_there_is_a_sentence(content: bytes) -> None:
    fault = _fault(content)

    assert fault is None or (fault and "byte " not in fault.replace("byte order", "").replace("byte 0x", ""))
