"""What a reply says is read alike from a whole body and from the events of a stream."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.wire.answers import Answer, Called, answers_in, answers_in_events


def _body(*choices: object) -> bytes:
    return json.dumps({"id": "gen-1", "choices": choices}).encode()


def _events(*chunks: object) -> bytes:
    sent = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]
    return b": PROCESSING\n\n" + b"".join(sent) + b"data: [DONE]\n\n"


def _delta(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]}


def test_text_and_its_end_are_read() -> None:
    body = _body({"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"})

    assert answers_in(body) == (Answer(text="Hi", finish_reason="stop"),)


def test_parts_calls_refusals_and_media_are_read() -> None:
    function = {"name": "f", "arguments": '{"a": 1}'}
    body = _body(
        {"message": {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}},
        {
            "message": {"content": None, "tool_calls": [{"id": "c", "function": function}]},
            "finish_reason": "tool_calls",
        },
        {"message": {"refusal": "No.", "images": [{}]}},
    )

    assert answers_in(body) == (
        Answer(text="ab"),
        Answer(text=None, calls=(Called("f", '{"a": 1}'),), finish_reason="tool_calls"),
        Answer(text=None, refusal="No.", has_media=True),
    )


@given(text=st.text(max_size=40), cuts=st.lists(st.integers(0, 40), max_size=5))
def test_a_stream_says_the_same_however_its_text_is_cut(text: str, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]

    events = _events(*(_delta(0, {"content": piece}) for piece in pieces), _delta(0, {}, "stop"))

    assert answers_in_events(events) == (Answer(text="".join(pieces) or None, finish_reason="stop"),)


def test_calls_and_choices_of_a_stream_are_put_together_by_their_index() -> None:
    events = _events(
        _delta(1, {"content": "one"}),
        _delta(0, {"tool_calls": [{"index": 1, "function": {"name": "g", "arguments": ""}}]}),
        _delta(0, {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}),
        _delta(0, {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}),
        _delta(0, {}, "tool_calls"),
        _delta(1, {}, "length"),
    )

    assert answers_in_events(events) == (
        Answer(text=None, calls=(Called("f", "{}"), Called("g", "")), finish_reason="tool_calls"),
        Answer(text="one", finish_reason="length"),
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "delta", "content", "tool_calls", "function", "index", "arguments"]),
            inner,
        )
    ),
)


@given(value=json_values, junk=st.binary())
def test_anything_is_read_without_an_error(value: object, junk: bytes) -> None:
    body = json.dumps({"choices": value}).encode()

    assert isinstance(answers_in(body), tuple)
    assert isinstance(answers_in_events(b"data: " + body + b"\n\n"), tuple)
    assert isinstance(answers_in(junk), tuple)
    assert isinstance(answers_in_events(junk), tuple)
