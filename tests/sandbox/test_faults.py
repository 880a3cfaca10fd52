"""Every fault looks as its table entry says and bills what it says."""

import json

import httpx2
import pytest

from router.sandbox.faults import FAULTS, Break, Fault
from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox, StartSandbox, user

FLASH = "deepseek/deepseek-v4-flash"
BODY = {"model": FLASH, "messages": [user("Explain how a penstock works.")]}


def provoke(sandbox: RunningSandbox, name: str, *, is_stream: bool = False) -> httpx2.Response:
    return sandbox.post(BODY | {"stream": is_stream}, headers={"x-sandbox-fault": name})


def read_into(received: list[bytes], sandbox: RunningSandbox, name: str) -> None:
    """Keeps what arrived even when the connection breaks."""
    body, headers = BODY | {"stream": True}, {"x-sandbox-fault": name}
    with sandbox.http.stream("POST", "/api/v1/chat/completions", json=body, headers=headers) as response:
        received.extend(response.iter_raw())


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("fault", [f for f in FAULTS.values() if f.comes_at_random], ids=lambda f: str(f.name))
def test_a_fault_bills_what_the_table_says(sandbox: RunningSandbox, fault: Fault, is_stream: bool) -> None:
    complete = sandbox.post(BODY).json()["usage"]
    sandbox.http.delete("/sandbox/bill")

    try:
        provoke(sandbox, fault.name, is_stream=is_stream)
    except httpx2.RemoteProtocolError:
        assert fault.breaks in (Break.DROP, Break.DROP_BEFORE_HEADERS)

    billed = [line for line in sandbox.bill_lines() if line["nano_usd"] > 0]
    match fault.bills_streamed if is_stream else fault.bills_whole:
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
    except httpx2.RemoteProtocolError:
        return "dropped"
