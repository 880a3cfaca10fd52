"""A whole answer for a client that was promised a stream."""

import pytest

from router.apis import Api
from router.wire.dialect import ChatDialect
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader

DIALECT = ChatDialect(ReplyReader())


def test_a_whole_answer_becomes_one_chunk_with_numbered_tool_calls() -> None:
    whole = (
        b'{"id":"g","object":"chat.completion","usage":{"cost":0.1},"choices":[{"index":0,"finish_reason":"tool_calls",'
        b'"message":{"role":"assistant","content":null,"tool_calls":[{"id":"a"},{"id":"b"}]}}]}'
    )

    assert DIALECT.as_stream(whole) == (
        b'data: {"id":"g","object":"chat.completion.chunk","usage":{"cost":0.1},"choices":[{"index":0,'
        b'"finish_reason":"tool_calls","delta":{"role":"assistant","content":null,"tool_calls":['
        b'{"index":0,"id":"a"},{"index":1,"id":"b"}]}}]}\n\ndata: [DONE]\n\n'
    )


@pytest.mark.parametrize("odd", [b"[]", b"{}", b'{"choices":[{}]}', b'{"choices":3}', b"{\n\n}"])
def test_an_answer_of_a_shape_we_do_not_know_is_passed_on_as_one_event(odd: bytes) -> None:
    assert DIALECT.as_stream(odd) == b"data: " + odd.replace(b"\n", b" ") + b"\n\ndata: [DONE]\n\n"


def answered(arguments: str, finish_reason: str = "tool_calls") -> bytes:
    return (
        b'{"id":"g","odd":1.50,"choices":[{"index":0,"finish_reason":"%s","message":{"role":"assistant","tool_calls":['
        b'{"id":"a","function":{"name":"f","arguments":%s},"x":1e3},{"id":"b","type":"custom","custom":{}}]}}]}'
    ) % (finish_reason.encode(), arguments.encode())


REQUEST = ChatReader().read(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}')


def test_a_call_of_a_tool_without_arguments_says_so_in_json() -> None:
    assert DIALECT.whole(answered('""'), REQUEST, Api.CHAT) == answered('"{}"')


@pytest.mark.parametrize(
    "body",
    [
        answered('"{}"'),
        answered('""', "length"),
        b'{"choices":[{"finish_reason":"stop","message":{"content":"say \\"arguments\\":\\"\\""}}],"arguments":""}',
        b'{"choices":7,"arguments":""}',
        b'{"arguments":"" ',
    ],
)
def test_any_other_answer_is_the_bytes_that_came(body: bytes) -> None:
    assert DIALECT.whole(body, REQUEST, Api.CHAT) is body
