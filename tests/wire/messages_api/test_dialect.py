"""Whole answers for clients of Anthropic's API, the same as streams, and what is said in them for who verifies."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from router.apis import Api
from router.errors import BudgetExhausted, NothingEligible, RateLimited, Unavailable, UpstreamTimeout
from router.wire.answers import Answer, Called
from router.wire.messages_api.dialect import MessagesDialect
from router.wire.messages_api.reading import MessagesReader
from router.wire.messages_api.replies import MessageReader
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader

CHATS = ReplyReader()
DIALECT = MessagesDialect(CHATS, MessageReader(CHATS))
REQUEST = MessagesReader(ChatReader()).read(
    b'{"model":"auto","max_tokens":9,"messages":[{"role":"user","content":"Hi"}],"stop_sequences":["a","b"]}'
)


def whole(message: dict[str, object], finish: str = "stop", more: Mapping[str, object] | None = None) -> dict[str, Any]:
    body = {
        "id": "gen-1",
        "model": "a/b",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, **(more or {})}],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 4,
            "cost": 0.0000001,
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }
    read: dict[str, Any] = json.loads(DIALECT.whole(json.dumps(body).encode(), REQUEST, Api.CHAT))
    return read


def calling(arguments: str) -> dict[str, object]:
    return {
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}],
    }


def test_a_whole_chat_answer_becomes_a_message() -> None:
    details = [{"type": "reasoning.text", "text": "Hm", "signature": "c2ln"}]

    message = whole({"content": "So", "reasoning": "Hm", "reasoning_details": details})

    assert message == {
        "id": "gen-1",
        "type": "message",
        "role": "assistant",
        "model": "a/b",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "text", "text": "So", "citations": None},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 22,
            "output_tokens": 4,
            "cache_read_input_tokens": 8,
            "cache_creation_input_tokens": 0,
            "output_tokens_details": {"thinking_tokens": 3},
            "cost": 0.0000001,
        },
    }


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ('{"a": 1.0}', {"a": 1.0}),
        ("", {}),
        ("  ", {}),
        ('{"a"', {"invalid_arguments": '{"a"'}),
        ("3", {"invalid_arguments": "3"}),
    ],
)
def test_arguments_are_an_object_whatever_the_model_wrote(arguments: str, written: object) -> None:
    message = whole(calling(arguments), "tool_calls")

    assert message["content"] == [{"type": "tool_use", "id": "c1", "name": "f", "input": written}]
    assert message["stop_reason"] == "tool_use"


def test_a_refusal_is_said_as_text() -> None:
    message = whole({"content": None, "refusal": "No."}, "content_filter")

    assert (message["content"][0]["text"], message["stop_reason"]) == ("No.", "refusal")


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"stop_reason": "b"}, ("stop_sequence", "b")),  # vLLM
        ({"stop_reason": "c"}, ("end_turn", None)),
        ({"stop_reason": 128_001}, ("end_turn", None)),
        ({"native_finish_reason": "stop_sequence"}, ("stop_sequence", None)),  # it may have been either
    ],
)
def test_the_sequence_that_ended_it(choice: dict[str, object], told: tuple[str, str | None]) -> None:
    message = whole({"content": "So"}, more=choice)

    assert (message["stop_reason"], message["stop_sequence"]) == told


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":3}]}'])
def test_what_is_no_chat_answer_is_told_so(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        DIALECT.whole(body, REQUEST, Api.CHAT)


def test_an_answer_by_the_same_api_passes_as_it_came() -> None:
    assert DIALECT.whole(b' {"any": 1.0} ', REQUEST, Api.MESSAGES) == b' {"any": 1.0} '


MESSAGE = {
    "id": "gen-1",
    "type": "message",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "text", "text": "So", "citations": None},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1.0}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 4},
}
SAID = (Answer(text="So", calls=(Called("f", '{"a":1.0}'),), finish_reason="tool_calls"),)


def test_a_whole_message_says_the_same_as_a_stream() -> None:
    body = json.dumps(MESSAGE).encode()
    events = DIALECT.as_stream(body)

    kinds = [line.removeprefix(b"event: ") for line in events.split(b"\n") if line.startswith(b"event: ")]
    assert kinds[0] == b"message_start"
    assert kinds[-2:] == [b"message_delta", b"message_stop"]
    (streamed,), (at_once,) = DIALECT.said_in_events(events), DIALECT.said(body)
    assert (at_once,) == SAID
    assert (streamed.text, streamed.finish_reason) == (at_once.text, at_once.finish_reason)
    assert json.loads(streamed.calls[0].arguments) == {"a": 1.0}


@pytest.mark.parametrize("odd", [b"[]", b"{}", b'{"content":3}', b"{\n\n}", b'{"content":[3]}'])
def test_an_answer_of_a_shape_we_do_not_know_is_no_stream_that_could_end(odd: bytes) -> None:
    with pytest.raises(ValueError, match="Expected"):
        DIALECT.as_stream(odd)


def test_a_refusal_is_no_text_that_could_pass_a_check() -> None:
    body = b'{"content":[{"type":"text","text":"No."}],"stop_reason":"refusal"}'

    assert DIALECT.said(body) == (Answer(text=None, finish_reason="content_filter", refusal="No."),)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"error":{}}'])
def test_what_is_no_message_says_nothing(body: bytes) -> None:
    assert list(DIALECT.said(body)) == []
    assert list(DIALECT.said_in_events(b"data: " + body + b"\n\n")) == []


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            BudgetExhausted("x", asked_nano_usd=1, left_nano_usd=0, resets_in_s=1.0, may_downgrade=False),
            "rate_limit_error",
        ),
        (RateLimited("x", retry_after_s=1.0), "rate_limit_error"),
        (NothingEligible("x", [{"model": "m"}]), "invalid_request_error"),
        (Unavailable("x"), "overloaded_error"),
        (UpstreamTimeout("x", provider="p"), "timeout_error"),
    ],
)
def test_an_error_has_the_type_that_goes_with_its_status(error: Any, kind: str) -> None:  # noqa: ANN401 - of any class
    body = json.loads(DIALECT.error_body(error, request_id="req_1"))

    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", kind, "req_1")
    assert body["error"]["message"] == "x"
