"""Every fault looks as its table entry says and bills what it says."""

import json
from decimal import Decimal
from email.utils import parsedate_to_datetime
from itertools import takewhile
from typing import Any

import httpx2
import pytest

from router.sandbox.failures import AVAILABILITY
from router.sandbox.faults import FAULTS, Break, Fault, Spoil
from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox, StartSandbox, user

FLASH = "deepseek/deepseek-v4-flash"
STALLS = (Break.STALL, Break.STALL_BEFORE_HEADERS)
CUTS = (Break.DROP, Break.DROP_BEFORE_HEADERS, Break.RESET, Break.RESET_BEFORE_HEADERS)
BODY = {"model": FLASH, "messages": [user("Explain how a penstock works.")]}


def provoke(sandbox: RunningSandbox, name: str, *, is_stream: bool = False) -> httpx2.Response:
    return sandbox.post(BODY | {"stream": is_stream}, headers={"x-sandbox-fault": name})


def read_into(received: list[bytes], sandbox: RunningSandbox, name: str, *, is_stream: bool = True) -> None:
    """Keeps what arrived, as it is, even when the connection breaks."""
    body, headers = BODY | {"stream": is_stream}, {"x-sandbox-fault": name}
    with sandbox.http.stream("POST", "/api/v1/chat/completions", json=body, headers=headers) as response:
        received.extend(response.iter_raw())


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.breaks not in STALLS], ids=lambda f: str(f.name))
def test_a_fault_bills_what_the_table_says(sandbox: RunningSandbox, fault: Fault, is_stream: bool) -> None:
    complete = sandbox.post(BODY).json()["usage"]
    sandbox.http.delete("/sandbox/bill")

    try:
        read_into([], sandbox, fault.name, is_stream=is_stream)
    except httpx2.TransportError:
        assert fault.breaks in CUTS or fault.spoils is Spoil.LENGTH_TOO_LONG

    bills = fault.bills_streamed if is_stream else fault.bills_whole
    lines = sandbox.bill_lines() if bills == "nothing" else sandbox.wait_for_bill_lines(1)
    billed = [line for line in lines if line["nano_usd"] > 0]
    match bills:
        case "nothing":
            assert billed == []
        case "generated":
            assert len(billed) == 1
            assert billed[0]["prompt_tokens"] == complete["prompt_tokens"]
            assert 0 < billed[0]["completion_tokens"] < complete["completion_tokens"]
        case "all":
            assert [line["completion_tokens"] for line in billed] == [complete["completion_tokens"]]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("429", 429, "Provider returned error"),
        ("429-raw", 429, "Provider returned error"),
        ("500", 500, "Internal Server Error"),
        ("502", 502, "Provider returned error"),
        ("503", 503, "Service temporarily unavailable"),
        ("402", 402, "You requested up to 65536 tokens"),
        ("402-in-flight", 402, "in-flight requests"),
        ("403-moderation", 403, "flagged"),
        ("404-no-endpoints", 404, "No endpoints found"),
        ("429-long", 429, "Provider returned error"),
        ("429-date", 429, "Provider returned error"),
        ("429-free-tier", 429, "free-models-per-day"),
        ("402-reservation", 402, "can only afford 4096"),
        ("403-injection", 403, "prompt injection"),
        ("404-max-price", 404, "satisfy the max price"),
        ("404-only", 404, "Providers serving deepseek/deepseek-v4-flash: deepinfra"),
        ("400", 400, "Invalid request parameters"),
        ("408", 408, "timed out"),
        ("413", 413, "too large"),
        ("422", 422, "Invalid argument"),
        ("503-retry-after", 503, "temporarily unavailable"),
        ("503-late:0", 503, "temporarily unavailable"),
        ("504", 504, "timed out"),
        ("524", 524, "timed out"),
        ("529", 529, "Provider returned error"),
    ],
)
def test_an_error_before_the_first_token_has_its_own_status(
    sandbox: RunningSandbox, name: str, status: int, message: str, is_stream: bool
) -> None:
    response = provoke(sandbox, name, is_stream=is_stream)

    assert response.status_code == status
    assert response.json()["error"]["code"] == status
    assert message in response.json()["error"]["message"]
    assert response.json().keys() == {"error", "user_id"}
    assert sandbox.bill_lines() == []


def test_retryable_refusals_say_when(sandbox: RunningSandbox) -> None:
    assert provoke(sandbox, "429").headers["retry-after"] == "1"
    assert provoke(sandbox, "402-in-flight").headers["retry-after"] == "120"
    assert provoke(sandbox, "503-retry-after").headers["retry-after"] == "2"
    assert provoke(sandbox, "429-long").headers["retry-after"] == "300"
    assert provoke(sandbox, "429-long:86400").headers["retry-after"] == "86400"
    assert parsedate_to_datetime(provoke(sandbox, "429-date").headers["retry-after"]) > sandbox.clock()


def test_the_raw_error_of_a_provider_is_json_in_a_string(sandbox: RunningSandbox) -> None:
    raw = provoke(sandbox, "429-raw").json()["error"]["metadata"]["raw"]

    assert json.loads(raw)["error"]["code"] == "rate_limit"


def test_only_openrouters_own_limit_has_rate_limit_headers_and_they_are_in_milliseconds(
    sandbox: RunningSandbox,
) -> None:
    response = provoke(sandbox, "429-free-tier")

    reset = response.headers["x-ratelimit-reset"]
    assert 0 < int(reset) - sandbox.clock().timestamp() * 1000 <= 24 * 3600 * 1000
    assert response.json()["error"]["metadata"]["headers"]["X-RateLimit-Reset"] == reset
    assert "x-ratelimit-reset" not in sandbox.ask().headers


@pytest.mark.parametrize(("code", "status"), AVAILABILITY.items())
def test_an_availability_object_says_whether_to_try_again(sandbox: RunningSandbox, code: str, status: int) -> None:
    response = provoke(sandbox, f"availability:{code}")

    error = response.json()["error"]
    assert response.status_code == error["http_status"] == status
    assert error["availability"]["code"] == code
    assert error["availability"]["retryable"] == ("retry_after" in error["availability"]) == (status in (429, 503))
    assert "code" not in error


def test_a_reservation_is_refused_only_if_it_is_too_large(sandbox: RunningSandbox) -> None:
    def status(**fields: object) -> int:
        return sandbox.post(BODY | fields, headers={"x-sandbox-fault": "402-reservation:1000"}).status_code

    assert [status(), status(max_tokens=1001), status(max_tokens=1000)] == [402, 402, 200]


def test_the_edge_may_answer_in_html(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "502-html")

    assert (response.status_code, response.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert response.text.startswith("<!DOCTYPE html>")


def test_an_error_may_come_with_status_200(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "200-error", is_stream=True)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"id", "error"}
    assert response.json()["error"]["code"] == 503


def test_a_choice_may_carry_the_error_beside_half_an_answer(sandbox: RunningSandbox) -> None:
    complete = sandbox.post(BODY).json()["choices"][0]["message"]["content"]

    choice = provoke(sandbox, "choice-error").json()["choices"][0]

    assert (choice["finish_reason"], choice["error"]["code"]) == ("error", 502)
    assert complete.startswith(choice["message"]["content"])


def test_a_stream_may_end_in_an_error_without_choices(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "mid-stream-error", is_stream=True)

    *_, last = reading.chunks(response)
    assert response.status_code == 200
    assert (last["choices"], last["error"]["code"]) == ([], 502)
    assert reading.ends_with_done(response)


def test_a_stream_may_end_in_an_error_that_finishes_it(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "mid-stream-error-finish", is_stream=True)

    *_, last = reading.chunks(response)
    assert (last["choices"][0]["finish_reason"], last["error"]["code"]) == ("error", 502)
    assert not reading.ends_with_done(response)


def test_an_error_may_follow_the_finish_and_carry_the_usage(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "error-after-finish", is_stream=True)

    *_, finish, last = reading.chunks(response)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert last["error"]["code"] == 400
    assert reading.nano_usd(last["usage"]["cost"]) == sandbox.bill()["total_nano_usd"]


def test_a_connection_may_drop_before_the_headers(sandbox: RunningSandbox) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        provoke(sandbox, "drop-before-headers")


def test_a_connection_may_drop_mid_stream(sandbox: RunningSandbox) -> None:
    received: list[bytes] = []

    with pytest.raises(httpx2.RemoteProtocolError):
        read_into(received, sandbox, "drop-mid-stream")

    assert b'"content":' in b"".join(received)
    assert b'"usage":' not in b"".join(received)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", ["reset-before-headers", "reset-mid-stream"])
def test_a_connection_may_be_reset(sandbox: RunningSandbox, name: str, is_stream: bool) -> None:
    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)) as caught:
        provoke(sandbox, name, is_stream=is_stream)

    assert isinstance(caught.value, httpx2.ReadError)  # not a proper end: ECONNRESET


def test_a_stream_may_end_early_as_if_it_were_whole(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "ends-early", is_stream=True)

    assert '"content":' in response.text
    assert '"usage":' not in response.text
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in reading.chunks(response))


def test_an_error_may_have_a_word_as_its_code(sandbox: RunningSandbox) -> None:
    *_, last = reading.chunks(provoke(sandbox, "mid-stream-error-word", is_stream=True))

    assert last["error"]["code"] == "server_error"


def test_a_stream_may_lack_its_done(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "no-done", is_stream=True)

    assert reading.usage(response)["cost"] > 0
    assert not reading.ends_with_done(response)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_may_lack_its_usage(sandbox: RunningSandbox, is_stream: bool) -> None:
    response = provoke(sandbox, "no-usage", is_stream=is_stream)

    assert '"usage"' not in response.text
    assert sandbox.bill()["total_nano_usd"] > 0


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_usage_may_lack_its_cost(sandbox: RunningSandbox, is_stream: bool) -> None:
    usage = reading.usage(provoke(sandbox, "no-cost", is_stream=is_stream))

    assert "cost" not in usage
    assert usage["completion_tokens"] > 0


def test_the_usage_chunk_has_two_older_shapes(sandbox: RunningSandbox) -> None:
    *_, shape_a = reading.chunks(provoke(sandbox, "usage-shape-a", is_stream=True))
    *_, finish, shape_c = reading.chunks(provoke(sandbox, "usage-shape-c", is_stream=True))

    assert shape_a["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert shape_a["choices"][0]["finish_reason"] is None
    assert shape_c["choices"] == finish["choices"]
    assert shape_c["service_tier"] == "default"


def test_a_tool_may_be_called_with_empty_arguments(sandbox: RunningSandbox) -> None:
    body = BODY | {"tools": [{"type": "function", "function": {"name": "list_tabs"}}], "tool_choice": "required"}

    response = sandbox.post(body | {"stream": True}, headers={"x-sandbox-fault": "empty-tool-arguments"})

    calls = [
        c for chunk in reading.chunks(response) for ch in chunk["choices"] for c in ch["delta"].get("tool_calls", [])
    ]
    assert [call["function"]["arguments"] for call in calls] == ["", ""]


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_a_record_may_be_late(sandbox: RunningSandbox, is_stream: bool) -> None:
    response = provoke(sandbox, "record-late:2", is_stream=is_stream)

    record = {"id": response.headers["x-generation-id"]}
    reads = [sandbox.http.get("/api/v1/generation", params=record) for _ in range(4)]
    assert '"usage"' not in response.text
    assert [read.status_code for read in reads] == [404, 404, 200, 200]
    assert reading.nano_usd(reading.exact_json(reads[-1])["data"]["total_cost"]) == sandbox.bill()["total_nano_usd"]


def test_a_reply_may_name_the_version_that_served(sandbox: RunningSandbox) -> None:
    whole = provoke(sandbox, "version-as-model").json()
    streamed = reading.chunks(provoke(sandbox, "version-as-model", is_stream=True))

    assert {whole["model"]} | {chunk["model"] for chunk in streamed} == {"deepseek/deepseek-v4-flash-20260423"}


def test_a_usage_may_lack_is_byok(sandbox: RunningSandbox) -> None:
    usage = reading.usage(provoke(sandbox, "no-byok", is_stream=True))

    assert "is_byok" not in usage
    assert usage["cost"] > 0


def test_a_cache_may_be_written_and_read_at_once(sandbox: RunningSandbox) -> None:
    """Gemini, 2026-03: seven plain tokens, and all the others at both prices."""
    body = BODY | {"model": "google/gemini-3-flash-preview", "messages": [user("Explain how penstocks work. " * 9)]}
    usage = reading.usage(sandbox.post(body, headers={"x-sandbox-fault": "cache-overlap"}))

    details = usage["prompt_tokens_details"]
    special = usage["prompt_tokens"] - 7
    assert details["cached_tokens"] == details["cache_write_tokens"] == special
    prompt_usd = 7 * Decimal("0.0000005") + special * (Decimal("0.00000005") + Decimal("0.00000008333333333333334"))
    assert usage["cost_details"]["upstream_inference_prompt_cost"] == prompt_usd
    assert reading.nano_usd(usage["cost"]) == sandbox.bill()["total_nano_usd"]


def test_there_may_be_more_reasoning_than_completion(sandbox: RunningSandbox) -> None:
    usage = reading.usage(provoke(sandbox, "much-reasoning"))

    assert usage["completion_tokens_details"]["reasoning_tokens"] == usage["completion_tokens"] + 1


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_without_a_token_costs_nothing(sandbox: RunningSandbox, is_stream: bool) -> None:
    usage = reading.usage(provoke(sandbox, "no-completion", is_stream=is_stream))

    assert (usage["completion_tokens"], usage["cost"]) == (0, 0)


def test_annotations_come_one_a_chunk_and_without_index(sandbox: RunningSandbox) -> None:
    deltas = [c["delta"] for chunk in _chunks(sandbox, "annotations") for c in chunk["choices"]]

    found = [annotation for delta in deltas for annotation in delta.get("annotations", [])]
    assert [set(annotation) for annotation in found] == [{"type", "url_citation"}] * 2
    assert provoke(sandbox, "annotations").json()["choices"][0]["message"]["annotations"] == found


def test_old_chunks_say_what_they_have_not(sandbox: RunningSandbox) -> None:
    choices = [choice for chunk in _chunks(sandbox, "old-chunks") for choice in chunk["choices"]]

    assert all(choice["logprobs"] is None and choice["delta"]["reasoning"] is None for choice in choices)


def test_every_delta_repeats_the_role(sandbox: RunningSandbox) -> None:
    choices = [choice for chunk in _chunks(sandbox, "none") for choice in chunk["choices"]]

    assert {choice["delta"]["role"] for choice in choices} == {"assistant"}


def test_comments_may_come_before_and_between_all_chunks(sandbox: RunningSandbox) -> None:
    lines = provoke(sandbox, "many-comments", is_stream=True).text.split("\n\n")

    before = list(takewhile(lambda line: line == ": OPENROUTER PROCESSING", lines))
    assert len(before) >= 17
    assert lines[len(before) :: 2][:3] == [": "] * 3


# ----- spoilt on the way


def test_an_answer_may_be_packed(sandbox: RunningSandbox) -> None:
    plain, packed = _raw(sandbox, "none"), _raw(sandbox, "gzip")

    assert len(packed) < len(plain)
    assert provoke(sandbox, "gzip").json()["choices"] == provoke(sandbox, "none").json()["choices"]
    assert reading.text(provoke(sandbox, "gzip", is_stream=True)) == reading.text(
        provoke(sandbox, "none", is_stream=True)
    )


def test_an_answer_may_be_said_to_be_packed_and_not_be(sandbox: RunningSandbox) -> None:
    with pytest.raises(httpx2.DecodingError):
        provoke(sandbox, "bad-gzip", is_stream=True)

    sandbox.wait_for_bill_lines(1)


def test_lines_may_end_in_cr_and_lf(sandbox: RunningSandbox) -> None:
    raw = _raw(sandbox, "crlf")

    assert raw.endswith(b"data: [DONE]\r\n\r\n")
    assert raw.count(b"\n") == raw.count(b"\r\n")


def test_bytes_may_come_one_by_one(sandbox: RunningSandbox) -> None:
    body, headers = BODY | {"stream": True, "max_tokens": 5}, {"x-sandbox-fault": "one-byte-writes"}

    assert reading.text(sandbox.post(body, headers=headers)) == reading.text(sandbox.post(body))


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_one_line_may_be_as_long_as_asked(sandbox: RunningSandbox, size: int) -> None:
    response = provoke(sandbox, f"long-line:{size}", is_stream=True)

    (padded,) = [chunk for chunk in reading.chunks(response) if "padding" in chunk]
    assert len(padded["padding"]) == size
    assert reading.text(response) == reading.text(provoke(sandbox, "none", is_stream=True))
    assert len(provoke(sandbox, f"long-line:{size}").content) > size


def test_a_whole_answer_may_begin_with_white_space(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "whitespace")

    assert response.text[0].isspace()
    assert response.json()["choices"]


def test_foreign_fields_may_stand_between_events(sandbox: RunningSandbox) -> None:
    raw = _raw(sandbox, "foreign-fields")

    assert b"retry: 10\n" in raw
    assert b"\nid: 7\n" in raw
    assert raw.endswith(b"data: [DONE]\n\n")


def test_an_event_may_be_half_a_chunk(sandbox: RunningSandbox) -> None:
    with pytest.raises(json.JSONDecodeError):
        _chunks(sandbox, "bad-chunk")
    with pytest.raises(json.JSONDecodeError):
        provoke(sandbox, "bad-chunk").json()


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_may_not_be_utf8(sandbox: RunningSandbox, is_stream: bool) -> None:
    with pytest.raises(UnicodeDecodeError):
        provoke(sandbox, "bad-utf8", is_stream=is_stream).content.decode()


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_the_content_length_may_be_untrue(sandbox: RunningSandbox, is_stream: bool) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        provoke(sandbox, "length-too-long", is_stream=is_stream)

    short = provoke(sandbox, "length-too-short", is_stream=is_stream).content
    whole = provoke(sandbox, "none", is_stream=is_stream).content
    assert len(short) < len(whole)
    sandbox.wait_for_bill_lines(3)


def _raw(sandbox: RunningSandbox, name: str) -> bytes:
    """A stream as it came over the wire, but for its transfer encoding."""
    received: list[bytes] = []
    read_into(received, sandbox, name)
    return b"".join(received)


def _chunks(sandbox: RunningSandbox, name: str) -> list[dict[str, Any]]:
    return reading.chunks(provoke(sandbox, name, is_stream=True))


def test_json_may_break_off_and_be_finished_and_billed_all_the_same(sandbox: RunningSandbox) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}

    (choice,) = sandbox.post(BODY | {"response_format": wanted}, headers={"x-sandbox-fault": "bad-json"}).json()[
        "choices"
    ]

    assert choice["finish_reason"] == "stop"
    with pytest.raises(json.JSONDecodeError):
        json.loads(choice["message"]["content"])


# ----- how a fault is asked for


def test_a_marker_in_any_message_travels_through_a_proxy(sandbox: RunningSandbox) -> None:
    messages = [{"role": "system", "content": "[sandbox:fault=503] Be kind."}, user("Hello")]

    assert sandbox.ask(messages=messages).status_code == 503


def test_a_marker_may_be_meant_for_one_model(sandbox: RunningSandbox) -> None:
    text = f"Hello [sandbox:fault=503@{FLASH}] [sandbox:fault=429@openai/gpt-5.4]"

    statuses = [sandbox.ask(text, model=m).status_code for m in (FLASH, "openai/gpt-5.4", "openai/gpt-5.5")]

    assert statuses == [503, 429, 200]


def test_an_unknown_fault_is_refused_with_the_names_that_exist(sandbox: RunningSandbox) -> None:
    response = provoke(sandbox, "out-of-coffee")

    assert response.status_code == 400
    assert "drop-mid-stream" in response.json()["error"]["message"]


def test_a_fault_may_stand_behind_the_models_name(sandbox: RunningSandbox) -> None:
    assert sandbox.ask(model=f"{FLASH}#503").status_code == 503
    assert sandbox.ask(model=f"{FLASH}#none").json()["model"] == FLASH


@pytest.mark.parametrize(
    "wish",
    [
        "503:7",
        "429-long:soon",
        "429-long:-1",
        "availability:nobody",
        "long-line:",
        "long-line:100000001",  # any prompt may ask for it, and it stands in memory
        "record-late:1000000000",
        f"402-reservation:{'9' * 5000}",
    ],
)
def test_an_argument_that_does_not_fit_is_refused(sandbox: RunningSandbox, wish: str) -> None:
    assert provoke(sandbox, wish).status_code == 400


def test_the_sandbox_tells_its_faults(sandbox: RunningSandbox) -> None:
    faults = {fault["name"]: fault for fault in sandbox.http.get("/sandbox/faults").json()["faults"]}

    assert faults.keys() == FAULTS.keys()
    assert faults["long-line"]["takes"] == "bytes"


def test_what_waits_for_the_client_never_comes_at_random() -> None:
    assert not any(fault.comes_at_random for fault in FAULTS.values() if fault.breaks in STALLS)


def test_faults_at_random_repeat_with_their_seed(start_sandbox: StartSandbox) -> None:
    def outcomes(seed: int) -> list[str]:
        with start_sandbox(fault_rate=0.5, seed=seed) as sandbox:
            return [_outcome(sandbox, f"Question {number}") for number in range(30)]

    first = outcomes(7)

    assert outcomes(7) == first
    assert outcomes(8) != first
    assert "200" in first
    assert len(set(first)) > 3


def _outcome(sandbox: RunningSandbox, question: str) -> str:
    try:
        return str(sandbox.ask(question).status_code)
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        return type(error).__name__
