"""What whole messages, and the figures of streamed ones, say that is acted on."""

import json
from decimal import Decimal

import pytest

from router.errors import FailureKind
from router.units import Usage
from router.wire.messages_api.replies import MessageReader
from router.wire.replies import Bill, ReplyFacts, ReplyReader

REPLIES = ReplyReader()
READER = MessageReader(REPLIES)
USAGE = {
    "input_tokens": 20,
    "output_tokens": 7,
    "cache_read_input_tokens": 3_000,
    "cache_creation_input_tokens": 100,
    "output_tokens_details": {"thinking_tokens": 5},
    "cost": 0.0012345,
}


def facts(**members: object) -> ReplyFacts:
    message = {"id": "gen-1", "type": "message", "model": "a/b", "provider": "Anthropic", "content": [], **members}
    read = READER.facts(json.dumps(message).encode())
    assert read is not None
    return read


def test_the_input_that_is_booked_includes_what_the_prompt_cache_read_and_wrote() -> None:
    """Anthropic leaves both out of `input_tokens`; we, and OpenAI, do not."""
    assert facts(usage=USAGE).bill == Bill(
        usage=Usage(
            input_tokens=20 + 3_000 + 100,
            output_tokens=7,
            cached_tokens=3_000,
            cache_write_tokens=100,
            reasoning_tokens=5,
        ),
        cost_usd=Decimal("0.0012345"),
    )


def test_a_message_names_itself_its_model_and_who_served_it() -> None:
    read = facts()

    assert (read.generation_id, read.model, read.provider) == ("gen-1", "a/b", "Anthropic")
    assert read.bill is None
    assert read.error is None


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("tomorrows", "tomorrows"),
        (None, None),
    ],
)
def test_why_it_ended_is_told_in_the_words_of_a_chat(stop: str | None, finish: str | None) -> None:
    assert facts(stop_reason=stop).finish_reason == finish


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {"output_tokens": 3},
        {"input_tokens": 3},
        {"input_tokens": "3", "output_tokens": 3},
        {"input_tokens": -1, "output_tokens": 3},
    ],
)
def test_a_usage_that_lacks_a_count_is_no_bill(usage: object) -> None:
    assert facts(usage=usage).bill is None


def test_a_member_of_an_unexpected_type_is_taken_for_absent() -> None:
    usage = {**USAGE, "cache_read_input_tokens": "many", "output_tokens_details": 5, "cost": -1}

    bill = facts(usage=usage).bill

    assert bill == Bill(usage=Usage(input_tokens=120, output_tokens=7, cache_write_tokens=100), cost_usd=None)


@pytest.mark.parametrize(
    ("kind", "status", "failure"),
    [
        ("overloaded_error", 529, FailureKind.BUSY),
        ("rate_limit_error", 429, FailureKind.BUSY),
        ("invalid_request_error", 400, FailureKind.CALLERS),
        ("authentication_error", 401, FailureKind.ACCOUNT),
        ("billing_error", 402, FailureKind.DECLINED),
        ("api_error", 500, FailureKind.BROKEN),
        ("timeout_error", 504, FailureKind.BROKEN),
        ("tomorrows", 502, FailureKind.BROKEN),
    ],
)
def test_an_error_without_a_status_has_that_of_its_type(kind: str, status: int, failure: FailureKind) -> None:
    read = READER.facts(json.dumps({"type": "error", "error": {"type": kind, "message": "why"}}).encode())

    assert read is not None
    assert read.error is not None
    assert not read.choices
    error = REPLIES.error(read.error, provider="p")
    assert (error.upstream_status, error.kind, error.message.endswith("why")) == (
        status,
        failure,
        status not in (401, 402),
    )


def test_what_stands_beside_an_error_is_read_as_if_it_stood_within() -> None:
    body = {
        "type": "error",
        "error": {"type": "billing_error", "message": "why"},
        "metadata": {"reason": "in_flight_budget_exhausted"},
        "request_id": None,
    }

    assert REPLIES.refusal(json.dumps(body).encode(), status=402, provider="p").kind is FailureKind.BUSY


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_says_nothing(body: bytes) -> None:
    assert READER.facts(body) is None
