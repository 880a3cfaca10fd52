"""What is priced is what is sent, whichever of two members of one name a reader takes."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.wire.requests import ChatReader
from router.wire.strict_json import MOST_DIGITS, MOST_MEMBERS, MOST_VALUES, refuse_ambiguous

READER = ChatReader()
MOST_CPU_S = 0.05

NAMES = st.sampled_from(["model", "max_tokens", "type", "n", "content", "é"])
LEAVES = st.sampled_from(["auto", "dear", 'a":"b', "\\", 1, 7, 0.5, True, None])


class Twins(list[tuple[str, Any]]):
    """An object as its members stand there."""


VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=4).map(Twins)
)


def text(value: object, draw: Callable[..., Any]) -> str:
    """As JSON, with blanks and escapes wherever some may be."""
    blank: str = draw(st.sampled_from(["", " ", "\n"]))
    if isinstance(value, Twins):
        members = [f"{string(name, draw)}{blank}:{text(inner, draw)}" for name, inner in value]
        return "{" + blank + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(text(inner, draw) for inner in value) + blank + "]"
    return string(value, draw) if isinstance(value, str) else json.dumps(value)


def string(value: str, draw: Callable[..., Any]) -> str:
    if draw(st.booleans()):
        return '"' + "".join(f"\\u{ord(each):04x}" for each in value) + '"'
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    further = draw(st.lists(st.tuples(NAMES | st.sampled_from(["tools", "reasoning", "x"]), VALUES), max_size=4))
    message = Twins([("role", "user"), ("content", "Hi."), *draw(st.lists(st.tuples(NAMES, LEAVES), max_size=1))])
    members = draw(st.permutations([("model", "auto"), ("messages", [message]), *further]))
    return text(Twins(members), draw).encode()


def read(body: bytes, which: int) -> Any:  # noqa: ANN401 - foreign JSON
    """As somebody reads it for whom of two members of one name the first (0) counts, or the last (1)."""

    def made(members: list[tuple[str, Any]]) -> dict[str, Any]:
        return dict(members if which else reversed(members))

    return json.loads(body, object_pairs_hook=made)


@settings(max_examples=60)
@given(bodies())
@example(b'{"model":"auto","messages":[{"role":"user","content":"x"}],"model":"dear"}')
@example(b'{"model":"auto","messages":[{"role":"user","content":"x"}],"tools":[{"type":"a","type":"function"}]}')
def test_what_is_priced_is_what_every_reader_finds_in_what_is_sent(body: bytes) -> None:
    try:
        request = READER.read(body)
    except InvalidRequest:
        return

    received = [read(body, which) for which in (0, 1)]
    assert received[0] == received[1]
    assert request.model == received[0]["model"]
    sent = [read(request.body_with({"model": "chosen"}), which) for which in (0, 1)]
    assert sent[0] == sent[1] == {**received[0], "model": "chosen"}


@settings(max_examples=60)
@given(VALUES, st.data())
def test_exactly_what_has_twins_is_refused(value: object, data: st.DataObject) -> None:
    body = text(value, data.draw).encode()

    try:
        refuse_ambiguous(body)
        is_refused = False
    except InvalidRequest:
        is_refused = True

    assert is_refused == has_twins(value)


def has_twins(value: object) -> bool:
    if isinstance(value, Twins):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(has_twins(inner) for _, inner in value)
    return isinstance(value, list) and any(has_twins(inner) for inner in value)


def chat(member: bytes) -> bytes:
    return b'{"model":"auto","messages":[{"role":"user","content":"x"}],' + member + b"}"


MANY = {f"k{number}": 1 for number in range(1_000_000)}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(chat(b'"x":' + b"[" * 100_000 + b"]" * 100_000), id="deep arrays"),
        pytest.param(chat(b'"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000), id="deep objects"),
        pytest.param(json.dumps(MANY, separators=(",", ":")).encode(), id="a million members"),
        pytest.param(json.dumps(MANY, separators=(" ,", " : ")).encode(), id="with blanks"),
        pytest.param(chat(b'"x":[' + b"[]," * 1_000_000 + b"1]"), id="a million arrays"),
        pytest.param(chat(b'"x":' + b"9" * 5_000), id="an integer of 5,000 digits"),
        pytest.param(chat(b'"x":{"y":1e999}'), id="1e999"),
        pytest.param(chat(b'"x":[NaN]'), id="NaN"),
        pytest.param(chat(b'"x":-Infinity'), id="-Infinity"),
        pytest.param(chat(b'"x":"\xff"'), id="no UTF-8"),
        pytest.param(chat(rb'"x":"\ud800"'), id="half a character"),
        pytest.param(b"\xef\xbb\xbf" + chat(b'"x":1'), id="a byte order mark"),
        pytest.param(chat(b'"x":1').decode().encode("utf-16"), id="UTF-16"),
        pytest.param(chat(b'"x":1').decode().encode("utf-16-le"), id="UTF-16 without a mark"),
    ],
)
def test_what_is_made_to_break_or_to_busy_a_reader_is_refused_in_a_moment(body: bytes) -> None:
    took_s = []
    for _ in range(3):  # the quickest: the machine may have been busy
        started_s = time.process_time()
        with pytest.raises(InvalidRequest) as caught:
            READER.read(body)
        took_s.append(time.process_time() - started_s)
        assert caught.value.status == 400

    assert min(took_s) <= MOST_CPU_S


def test_as_much_as_may_be_is_read() -> None:
    members = {f"k{number}": 'of": "text' for number in range(MOST_MEMBERS)}

    refuse_ambiguous(json.dumps(members).encode())
    with pytest.raises(InvalidRequest) as caught:
        refuse_ambiguous(json.dumps({**members, "last": 1}).encode())
    assert caught.value.code == "too_many_members"

    refuse_ambiguous(b"[" + b"1," * (MOST_VALUES - 1) + b"1]")
    with pytest.raises(InvalidRequest) as caught:
        refuse_ambiguous(b"[" + b"1," * MOST_VALUES + b"1]")
    assert caught.value.code == "too_many_values"


@pytest.mark.parametrize("sign", [b"", b"-"])
def test_in_a_long_body_a_number_has_no_more_digits_than_a_double(sign: bytes) -> None:
    """Seven thousand integers of 4,300 digits, 30 MB, kept everybody else waiting for six seconds."""
    long, longest = b" " * MOST_MEMBERS, b"9" * MOST_DIGITS

    refuse_ambiguous(b'["%b",%b%b%b]' % (longest + b'\\"0', sign, longest, long))
    with pytest.raises(InvalidRequest) as caught:
        refuse_ambiguous(b'["x",%b%b0%b]' % (sign, longest, long))
    assert caught.value.code == "too_many_digits"


@given(before=st.integers(0, 4 * MOST_DIGITS), more=st.integers(1, MOST_DIGITS))
def test_too_many_digits_are_found_wherever_they_stand(before: int, more: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        refuse_ambiguous(b"[" + b" " * before + b"9" * (MOST_DIGITS + more) + b" " * MOST_MEMBERS + b"]")
    assert caught.value.code == "too_many_digits"


def test_what_stands_in_texts_is_not_counted() -> None:
    refuse_ambiguous(json.dumps({"x": "9" * MOST_MEMBERS}).encode())
    refuse_ambiguous(json.dumps({"x": '{"a":1},[' * MOST_VALUES}).encode())
