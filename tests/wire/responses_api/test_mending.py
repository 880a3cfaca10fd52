"""The one count that OpenAI requires of a response and OpenRouter leaves out is put in, and no other byte changes."""

import pytest

from router.wire.responses_api.mending import with_all_counts

RESPONSE = (
    b'{"id": "gen-1",  "output": [{"x": 1e2, "usage": {}}],\n "usage": {"input_tokens": 17, '
    b'"input_tokens_details": %s, "cost": 0.0000825}, "error": null}'
)
EVENT = b'{"type":"response.completed", "response": %s,"sequence_number":7}'


@pytest.mark.parametrize("frame", [b"%s", EVENT], ids=["response", "event"])
@pytest.mark.parametrize(
    ("told", "mended"),
    [
        (b'{"cached_tokens": 3}', b'{"cached_tokens": 3,"cache_write_tokens":0}'),
        (b"{}", b'{"cache_write_tokens":0}'),
        (b'{"cache_write_tokens":5}', b'{"cache_write_tokens":5}'),
    ],
)
def test_what_is_not_said_is_none(frame: bytes, told: bytes, mended: bytes) -> None:
    assert with_all_counts(frame % (RESPONSE % told)) == frame % (RESPONSE % mended)


@pytest.mark.parametrize(
    "odd",
    [b"", b"{", b"[]", b"{}", b'{"usage":null}', b'{"usage":{}}', b'{"usage":{"input_tokens_details":7}}', b"\xff"],
)
def test_any_other_shape_stays_as_it_is(odd: bytes) -> None:
    assert with_all_counts(odd) is odd
