"""What a whole response says of itself: bill, end, error."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.units import Usage
from router.wire.replies import Bill, ReplyFacts
from router.wire.responses_api.replies import ResponsesReplyReader
from tests.upstream.responses_recordings import FAILURE, ID, USAGE, message, response

REPLIES = ResponsesReplyReader()
CALL = {"type": "function_call", "id": "fc", "call_id": "c", "name": "tea", "arguments": "{}"}


def facts(status: str, output: list[Any], **members: object) -> ReplyFacts:
    told = REPLIES.facts(json.dumps(response(status, output, **members)).encode())
    assert told is not None
    return told


def test_a_completed_response_is_one_choice_with_its_bill() -> None:
    told = facts("completed", [message("Tea")], usage=USAGE)

    usage = Usage(input_tokens=17, output_tokens=4, cached_tokens=3, reasoning_tokens=1)
    assert told.bill == Bill(usage=usage, cost_usd=Decimal("0.0000825"))
    assert (told.generation_id, told.model, told.error) == (ID, "openai/gpt-5.4", None)
    assert (len(told.choices), told.finish_reason) == (1, "stop")


@pytest.mark.parametrize(
    ("status", "output", "members", "reason"),
    [
        ("completed", [message("Tea"), CALL], {}, "tool_calls"),
        ("incomplete", [message("Te")], {"incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ("incomplete", [message("Te")], {"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ("incomplete", [CALL], {"incomplete_details": None}, "length"),
    ],
)
def test_the_end_is_in_the_words_of_a_chat(
    status: str, output: list[Any], members: dict[str, Any], reason: str
) -> None:
    assert facts(status, output, **members).finish_reason == reason


@pytest.mark.parametrize("status", ["in_progress", "queued"])
def test_a_response_that_is_under_way_is_no_answer(status: str) -> None:
    assert facts(status, []).choices == ()


@pytest.mark.parametrize(("output", "choices"), [([], 0), ([message("Te", status="incomplete")], 1)])
def test_a_failure_may_be_owed_only_if_something_was_said_before(output: list[Any], choices: int) -> None:
    told = facts("failed", output, error=FAILURE, error_type="provider_overloaded")

    assert json.loads(told.error or b"") == {"http_status": 503, **FAILURE}
    assert len(told.choices) == choices


@pytest.mark.parametrize(
    "other",
    [
        {"type": "message", "content": [{"type": "text", "text": "Tea"}], "stop_reason": "end_turn"},
        {"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "Tea"}}]},
        {"object": "list", "data": [{"embedding": [1.0]}]},
        {"results": [{"flagged": False}]},
        {"output": 3},
        {},
    ],
)
def test_an_answer_of_another_api_is_no_response_and_keeps_its_bill(other: dict[str, Any]) -> None:
    told = REPLIES.facts(json.dumps({"id": ID, "usage": USAGE, **other}).encode())

    assert told is not None
    assert (told.choices, told.error, told.generation_id) == ((), None, ID)
    assert told.bill is not None


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_a_bad_status_is_an_error_without_one(status: str) -> None:
    assert json.loads(facts(status, []).error or b"")["message"] == f"the response ended as {status}"


@pytest.mark.parametrize("body", [b"", b"[]", b"5", b"{", b'"x"'])
def test_what_is_no_object_is_no_response(body: bytes) -> None:
    assert REPLIES.facts(body) is None


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        {"input_tokens": 1},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": "1", "output_tokens": 1},
    ],
)
def test_a_usage_that_makes_no_sense_is_no_bill(usage: object) -> None:
    assert facts("completed", [message("a")], usage=usage).bill is None


@pytest.mark.parametrize("cost", [-1, 1e7, "NaN", None])
def test_a_cost_that_makes_no_sense_leaves_the_tokens(cost: object) -> None:
    bill = facts("completed", [message("a")], usage={**USAGE, "cost": cost}).bill

    assert bill is not None
    assert (bill.usage.input_tokens, bill.cost_usd) == (17, None)


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inside: st.one_of(st.lists(inside, max_size=3), st.dictionaries(st.text(max_size=5), inside, max_size=3)),
    max_leaves=5,
)
NAMES = ["id", "model", "status", "output", "incomplete_details", "usage", "error", "error_type"]


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING))
def test_one_odd_member_does_not_hide_the_others(odd: dict[str, Any]) -> None:
    whole = response("completed", [message("a")], usage=USAGE)

    told = REPLIES.facts(json.dumps({**whole, **odd}).encode())

    assert told is not None
    if "usage" not in odd:
        assert told.bill is not None
    if "id" not in odd:
        assert told.generation_id == ID
