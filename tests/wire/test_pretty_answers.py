"""Whole answers as a provider may print them, with line ends of any kind, for a client that was promised a stream."""

import json
import re

import pytest

from router.wire.completions import CompletionDialect
from router.wire.dialect import ChatDialect, Dialect
from router.wire.messages_api.dialect import MessagesDialect
from router.wire.messages_api.replies import MessageReader
from router.wire.replies import ReplyReader
from router.wire.responses_api.dialect import ResponsesDialect
from router.wire.responses_api.replies import ResponsesReplyReader

READER = ReplyReader()
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "input_tokens": 1, "output_tokens": 1, "details": {"a": [1, 2]}}
CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "tool_calls": [CALL]}}]}
TEXT = {"choices": [{"index": 0, "finish_reason": "stop", "text": "a"}]}
BLOCKS = [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}}]
MESSAGE = {"type": "message", "role": "assistant", "stop_reason": "end_turn", "content": BLOCKS}
SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]}
CALLED = {"type": "function_call", "call_id": "t", "name": "f", "arguments": "{}"}
RESPONSE = {"object": "response", "status": "completed", "output": [SAID, CALLED]}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("dialect", "answer"),
    [
        (ChatDialect(READER), CHAT),
        (ChatDialect(READER), {}),
        (CompletionDialect(READER), TEXT),
        (MessagesDialect(READER, MessageReader(READER)), MESSAGE),
        (ResponsesDialect(READER, ResponsesReplyReader()), RESPONSE),
    ],
)
def test_every_line_of_the_stream_is_a_field(dialect: Dialect, answer: dict[str, object], line_end: str) -> None:
    """A carriage return ends a line of a stream as well: what stood behind it was lost to the client."""
    body = json.dumps({"id": "1", **answer, "usage": USAGE}, indent=2).replace("\n", line_end).encode()

    lines = re.split(rb"\r\n|\r|\n", dialect.as_stream(body))

    assert all(line.startswith((b"data: ", b"event: ")) for line in lines if line)
    datas = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
    assert datas
    assert all(isinstance(json.loads(data), dict) for data in datas if data != b"[DONE]")
