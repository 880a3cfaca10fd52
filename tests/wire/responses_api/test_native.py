"""Streams of providers that speak the Responses API, through the editor."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response

from router.errors import UpstreamBroken
from router.units import Usage
from router.wire.events import MAX_EVENT_BYTES, EventTooLong
from router.wire.replies import Bill
from router.wire.responses_api.native import NativeEditor
from router.wire.responses_api.replies import ResponsesReplyReader
from tests.upstream.recordings import DONE
from tests.upstream.responses_recordings import (
    BAD,
    BEGUN,
    CALLED,
    COMMENT,
    CUT,
    FAILURE,
    GOOD,
    ID,
    PLAIN,
    USAGE,
    ending,
    message,
    response,
    saying,
    stream,
)
from tests.wire.responses_api.named_events import events_in

REPLIES = ResponsesReplyReader()
BILL = Bill(
    usage=Usage(input_tokens=17, output_tokens=4, cached_tokens=3, reasoning_tokens=1), cost_usd=Decimal("0.0000825")
)


@dataclass(frozen=True)
class Relay:
    """Everything that comes out of an editor."""

    stream: bytes
    bill: Bill | None
    error: bytes | None
    generation_id: str | None
    served_model: str | None
    finish_reason: str | None
    has_begun: bool
    has_failed: bool
    is_done: bool
    is_complete: bool


def relay(pieces: Iterable[bytes]) -> Relay:
    edits = NativeEditor(REPLIES)
    relayed = b"".join([edits.feed(piece) for piece in pieces]) + edits.end()
    return Relay(
        relayed,
        edits.bill,
        edits.error,
        edits.generation_id,
        edits.served_model,
        edits.finish_reason,
        edits.has_begun,
        edits.has_failed,
        edits.is_done,
        edits.is_complete,
    )


def sent_in(original: bytes) -> list[dict[str, Any]]:
    lines = [line.removeprefix(b"data: ") for line in original.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_stream_arrives_whole_and_is_booked(name: str) -> None:
    out = relay([GOOD[name]])

    expected = sent_in(GOOD[name])
    expected[-1]["response"]["usage"]["input_tokens_details"]["cache_write_tokens"] = 0  # OpenAI's types require it
    assert events_in(out.stream) == expected
    assert (out.bill, out.error, out.generation_id, out.served_model) == (BILL, None, ID, "openai/gpt-5.4")
    assert (out.has_begun, out.has_failed, out.is_done, out.is_complete) == (True, False, True, True)


def test_the_bytes_of_an_event_are_the_providers() -> None:
    odd = b'data: {"sequence_number":7,  "type":"response.tomorrow", "n":1e2, "s":"\\u00e9\xc3\xa9"}\n\n'

    assert relay([odd]).stream == b"event: response.tomorrow\n" + odd


def test_an_event_that_has_its_name_keeps_it_and_loses_what_sdks_fail_on() -> None:
    named = b'event: response.output_text.delta\nid: 5\nretry: 1\ndata: {"type":"response.output_text.delta"}\n\n'

    expected = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta"}\n\n'
    assert relay([named]).stream == expected


def test_a_type_that_is_no_name_makes_no_line_of_its_own() -> None:
    odd = b'data: {"type":"a\\nretry: 1"}\n\n'

    assert relay([odd]).stream == odd


@pytest.mark.parametrize(
    ("original", "reason"), [(PLAIN, "stop"), (CALLED, "tool_calls"), (CUT, "length")], ids=["plain", "called", "cut"]
)
def test_the_end_is_kept_in_the_words_of_a_chat(original: bytes, reason: str) -> None:
    assert relay([original]).finish_reason == reason


@pytest.mark.parametrize("name", BAD)
def test_a_failure_is_not_relayed_and_nothing_follows_it(name: str) -> None:
    out = relay([BAD[name]])

    assert events_in(out.stream) == sent_in(BAD[name])[:-1]
    assert (out.has_failed, out.is_complete) == (True, False)
    assert out.error is not None
    assert json.loads(out.error)["message"] == FAILURE["message"]


def test_a_response_that_failed_is_still_read_for_its_usage() -> None:
    assert relay([BAD["failed"]]).bill == BILL


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "error", **FAILURE},
        {"type": "error", "error": FAILURE},
        {"type": "response.error", "error": FAILURE},
        {"type": "response.failed", "response": response("failed", [], error=FAILURE)},
        {"type": "response.completed", "response": response("failed", [], error=FAILURE)},
        {"error": FAILURE},
    ],
    ids=["event", "event with error", "response.error", "response.failed", "completed as failed", "bare"],
)
def test_an_error_before_the_answer_begins_leaves_nothing_with_the_client(failure: dict[str, Any]) -> None:
    out = relay([stream(*BEGUN, failure)])

    assert out.stream == COMMENT
    assert (out.has_begun, out.has_failed) == (False, True)
    assert json.loads(out.error or b"{}")["message"] == FAILURE["message"]


def test_an_event_named_error_is_one() -> None:
    out = relay([b'event: error\ndata: {"message":"no"}\n\n'])

    assert (out.error, out.stream) == (b'{"message":"no"}', b"")


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "Slow down"}, 429),
        (ending([], "failed", error=FAILURE, error_type="provider_overloaded"), 503),
        (ending([], "failed", error={"code": "invalid_prompt", "message": "No"}), 400),
    ],
)
def test_the_word_for_an_error_has_the_status_it_stands_for(failure: dict[str, Any], status: int) -> None:
    assert json.loads(relay([stream(failure)]).error or b"{}")["http_status"] == status


@pytest.mark.parametrize("odd", [b"data: {\n\n", b'data: {"a":"\xff"}\n\n', b"data: [1]\n\n", b"data: 5\n\n"])
def test_what_no_sdk_could_read_ends_the_stream(odd: bytes) -> None:
    out = relay([stream(*BEGUN, *saying(["a"])[:3], done=odd), stream(*saying(["b"]))])

    assert events_in(out.stream) == sent_in(stream(*BEGUN, *saying(["a"])[:3]))
    assert (out.has_failed, out.error, out.is_complete) == (True, None, False)


@pytest.mark.parametrize("done", [b"", DONE])
def test_a_stream_without_an_end_is_not_complete(done: bytes) -> None:
    assert not relay([stream(*BEGUN, *saying(["a"]), done=done)]).is_complete


def test_nothing_follows_the_end() -> None:
    assert relay([PLAIN + stream(*saying(["more"]))]).stream == relay([PLAIN]).stream


def test_a_stream_that_only_says_that_it_exists_has_not_begun() -> None:
    assert not relay([stream(*BEGUN)]).has_begun


def test_events_that_are_kept_back_are_not_kept_without_end() -> None:
    long = {"type": "response.in_progress", "response": response("in_progress", [], instructions="x" * 5_000_000)}

    with pytest.raises(EventTooLong):
        NativeEditor(REPLIES).feed(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))
    assert relay([stream(long, long, long, long, long, done=b"")]).has_begun


def test_a_broken_stream_ends_with_an_error_that_is_numbered_on() -> None:
    edits = NativeEditor(REPLIES)
    edits.feed(stream(*BEGUN, *saying(["a"])[:3], done=b""))

    error, failed = events_in(edits.broken(UpstreamBroken("It broke.", provider="openrouter"), request_id="req_1"))

    assert error == {
        "type": "error",
        "sequence_number": 5,
        "code": "upstream_broken",
        "message": "It broke.",
        "param": None,
        "error": {
            "message": "It broke.",
            "type": "upstream_error",
            "param": None,
            "code": "upstream_broken",
            "request_id": "req_1",
        },
    }
    assert failed == {
        "type": "response.failed",
        "sequence_number": 6,
        "response": response("failed", [], error={"code": "upstream_broken", "message": "It broke."}),
    }


def test_a_stream_that_breaks_before_it_begins_is_a_failure_of_which_nothing_is_known() -> None:
    events = events_in(NativeEditor(REPLIES).broken(UpstreamBroken("It broke.", provider="p"), request_id="req_1"))

    assert [each["sequence_number"] for each in events] == [0, 1]
    assert Response.model_validate(events[1]["response"] | {"error": None}).id == "req_1"


def test_a_usage_without_a_cost_is_a_bill_without_one() -> None:
    usage = {name: value for name, value in USAGE.items() if name != "cost"}
    end = {"type": "response.completed", "response": response("completed", [message("a")], usage=usage)}

    assert relay([stream(end)]).bill == Bill(usage=BILL.usage, cost_usd=None)


# The law: what the client gets, and what is booked, does not depend on where the provider's bytes are cut

PIECES = st.lists(
    st.sampled_from(
        [
            *GOOD.values(),
            *BAD.values(),
            COMMENT,
            DONE,
            b"\n",
            b"event: error\ndata: {}\n\n",
            b'data: {"type":\ndata: "response.x"}\n\n',
            b'event: a\nid: 1\ndata: {"type":"a"}\n\n',
            b"data: {\n\n",
            b'data: {"error":null,"type":"keepalive","sequence_number":"three"}\n\n',
            PLAIN.replace(b"\n", b"\r\n"),
        ]
    ),
    max_size=4,
)


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(PIECES, st.lists(st.integers(0, 20_000), max_size=30))
def test_client_and_books_get_the_same_however_the_bytes_are_cut(pieces: list[bytes], places: list[int]) -> None:
    data = b"".join(pieces)
    cuts = sorted({0, len(data), *(place for place in places if place < len(data))})

    assert relay([data[a:b] for a, b in pairwise(cuts)]) == relay([data])


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_a_recording_comes_out_the_same_byte_by_byte(name: str) -> None:
    data = {**GOOD, **BAD}[name]

    assert relay([data[at : at + 1] for at in range(len(data))]) == relay([data])
