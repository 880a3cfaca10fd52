"""Vectors reach the client in the encoding that it asked for, whichever the server gave."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.embeddings import EmbeddingReader, as_asked
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader, ModelRequest

READER = EmbeddingReader(ChatReader())
vectors = st.lists(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8), min_size=1, max_size=4
)


def asking(encoding: str | None) -> ModelRequest:
    asked = {} if encoding is None else {"encoding_format": encoding}
    return READER.read(json.dumps({"model": "m", "input": "a", **asked}).encode())


def answer(embeddings: list[object]) -> bytes:
    data = [{"object": "embedding", "index": i, "embedding": each, "own": 1e0} for i, each in enumerate(embeddings)]
    return json.dumps({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 3}}).encode()


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def embeddings(body: bytes) -> list[object]:
    return [each["embedding"] for each in json.loads(body)["data"]]


@given(vectors)
def test_numbers_become_little_endian_32_bit_floats_and_numbers_again(numbers: list[list[float]]) -> None:
    as_numbers, as_base64 = answer([*numbers]), answer([packed(each) for each in numbers])

    assert embeddings(as_asked(as_numbers, asking("base64"))) == [packed(each) for each in numbers]
    for encoding in ("float", None):
        assert embeddings(as_asked(as_base64, asking(encoding))) == numbers


@given(vectors)
def test_what_came_as_asked_is_passed_on_byte_for_byte(numbers: list[list[float]]) -> None:
    as_numbers, as_base64 = answer([*numbers]), answer([packed(each) for each in numbers])

    assert as_asked(as_numbers, asking("float")) is as_numbers
    assert as_asked(as_numbers, asking(None)) is as_numbers
    assert as_asked(as_base64, asking("base64")) is as_base64


def test_a_conversion_changes_nothing_but_the_vectors() -> None:
    changed = json.loads(as_asked(answer([[0.5, -1.0]]), asking("base64")))

    assert changed == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": "AAAAPwAAgL8=", "own": 1.0}],
        "model": "m",
        "usage": {"prompt_tokens": 3},
    }


def test_a_name_within_a_text_is_not_taken_for_a_vector() -> None:
    body = b'{"note":"\\"embedding\\": \\"","data":[{"embedding":[0.5]}]}'

    assert as_asked(body, asking("float")) is body


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("base64", b'{"data":[]}'),
        ("base64", b'{"vectors":[{"embedding":[1]}]}'),
        ("base64", b'{"data":[{"embedding":[1e39]}]}'),
        ("base64", b'{"data":[{"embedding":["a"]}]}'),
        ("base64", b'{"data":[{"embedding":[1'),
        ("base64", b'{"data":{"embedding":[1]}}'),
        ("float", b'{"data":[{"embedding":"AAAA"}]}'),
        ("float", b'{"data":[{"embedding":"?"}]}'),
    ],
)
def test_what_holds_no_vectors_that_can_be_read_is_no_answer(encoding: str, body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of it is caught by who asks
        as_asked(body, asking(encoding))


def test_the_bill_of_vectors_has_no_output() -> None:
    facts = ReplyReader().given(
        b'{"id":"e","model":"m","provider":"P","data":[{"embedding":[1]}],"usage":{"prompt_tokens":8,"total_tokens":8,'
        b'"cost":1.6e-7}}'
    )

    assert facts is not None
    assert facts.bill is not None
    assert (facts.bill.usage.input_tokens, facts.bill.usage.output_tokens, facts.bill.nano_usd) == (8, 0, 160)
    assert (facts.generation_id, facts.model, facts.provider, len(facts.choices)) == ("e", "m", "P", 1)


@pytest.mark.parametrize("body", [b'{"data":[]}', b'{"data":null}', b'{"data":[ ] }', b"{}", b'{"results":"x"}'])
def test_an_answer_with_nothing_in_it_is_none(body: bytes) -> None:
    facts = ReplyReader().given(body)

    assert facts is not None
    assert not facts.choices


def test_an_error_in_place_of_vectors_is_seen() -> None:
    facts = ReplyReader().given(b'{"error":{"message":"no"}}')

    assert facts is not None
    assert facts.error == b'{"message":"no"}'
    assert ReplyReader().given(b"[]") is None
