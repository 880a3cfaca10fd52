"""What providers answer: their bills, taken exactly or not at all, and their errors in every shape they come in."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import FailureKind, InvalidRequest, UnknownModel, UpstreamRefused
from router.keys import Redaction, Secret
from router.units import Usage
from router.wire.replies import Bill, ReplyFacts, ReplyReader, error_body

READER = ReplyReader()
USAGE = {"prompt_tokens": 8, "completion_tokens": 1}


def facts(body: object) -> ReplyFacts:
    read = READER.facts(json.dumps(body).encode())
    assert read is not None
    return read


def bill(**usage: object) -> Bill | None:
    return facts({"choices": [], "usage": {**USAGE, **usage}}).bill


def cost(figure: str) -> Decimal | None:
    """The cost believed when a provider writes `figure`."""
    read = READER.facts(b'{"usage":{"prompt_tokens":8,"completion_tokens":1,"cost":%b}}' % figure.encode())
    assert read is not None
    assert read.bill is not None
    assert read.bill.usage == Usage(input_tokens=8, output_tokens=1)
    return read.bill.cost_usd


def refusal(body: object, status: int = 429) -> UpstreamRefused:
    return READER.refusal(json.dumps(body).encode(), status=status, provider="openrouter")


# Bills


def test_a_reply_of_openrouter_is_read() -> None:
    read = facts(
        {
            "id": "gen-1",
            "model": "deepseek/deepseek-v4-pro",
            "provider": "DeepInfra",
            "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "OK"}}],
            "usage": {
                "prompt_tokens": 3329,
                "completion_tokens": 36,
                "total_tokens": 3365,
                "cost": 0.00140355,
                "is_byok": False,
                "prompt_tokens_details": {"cached_tokens": 3211, "cache_write_tokens": 115, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 13, "image_tokens": 0},
                "cost_details": {"upstream_inference_cost": None},
            },
        }
    )

    assert (read.generation_id, read.model, read.provider) == ("gen-1", "deepseek/deepseek-v4-pro", "DeepInfra")
    assert [choice.finish_reason for choice in read.choices] == ["length"]
    assert read.error is None
    assert read.bill == Bill(
        usage=Usage(
            input_tokens=3329, output_tokens=36, cached_tokens=3211, cache_write_tokens=115, reasoning_tokens=13
        ),
        cost_usd=Decimal("0.00140355"),
    )
    assert read.bill.nano_usd == 1_403_550


def test_deepseeks_own_names_for_cached_tokens_are_read() -> None:
    read = bill(prompt_cache_hit_tokens=5, prompt_cache_miss_tokens=3)

    assert read == Bill(usage=Usage(input_tokens=8, output_tokens=1, cached_tokens=5), cost_usd=None)


def test_openais_name_for_cached_tokens_goes_before_deepseeks() -> None:
    read = bill(prompt_tokens_details={"cached_tokens": 0}, prompt_cache_hit_tokens=5)

    assert read is not None
    assert read.usage.cached_tokens == 0


def test_a_usage_that_contradicts_itself_passes_as_reported() -> None:
    read = bill(
        prompt_tokens_details={"cached_tokens": 9, "cache_write_tokens": 9},
        completion_tokens_details={"reasoning_tokens": 2},
    )

    assert read is not None
    assert read.usage == Usage(
        input_tokens=8, output_tokens=1, cached_tokens=9, cache_write_tokens=9, reasoning_tokens=2
    )


@pytest.mark.parametrize(
    "figure",
    ["0.000013", "1.3e-5", "0.1", "0.12345678901234567890123456789", "0", "0.0", '"0.000013"', "999999.999999999"],
)
def test_a_cost_is_taken_digit_by_digit(figure: str) -> None:
    assert str(cost(figure)) == str(Decimal(figure.strip('"')))


@pytest.mark.parametrize(
    "figure",
    [
        "-0.000001",
        "1000000",
        "1e999",
        "1e999999999999999999999",
        "9" * 5000,
        '"NaN"',
        '"sNaN"',
        '"-Infinity"',
        '"free"',
        "true",
        "null",
        "{}",
        "[0.1]",
    ],
)
def test_a_cost_that_makes_no_sense_is_not_believed_and_the_tokens_still_are(figure: str) -> None:
    assert cost(figure) is None


@pytest.mark.parametrize("count", [-1, 10**9, 10**40, 8.0, "8", None, True, [8]])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_usage_without_plausible_tokens_is_no_bill(name: str, count: object) -> None:
    assert bill(**{name: count}) is None


@pytest.mark.parametrize(
    "details", [None, [], "5", {}, {"cached_tokens": "5"}, {"cached_tokens": -5}, {"cached_tokens": 10**30}]
)
def test_details_of_an_unexpected_kind_are_as_good_as_absent(details: object) -> None:
    read = bill(cost=0.5, prompt_tokens_details=details, completion_tokens_details=details)

    assert read == Bill(usage=Usage(input_tokens=8, output_tokens=1), cost_usd=Decimal("0.5"))


@pytest.mark.parametrize("usage", [None, [], 5, "many", {}, {"total_tokens": 9}])
def test_a_usage_of_an_unexpected_kind_is_no_bill(usage: object) -> None:
    assert facts({"id": "gen-1", "usage": usage}).bill is None


@pytest.mark.parametrize("member", ["id", "model", "provider", "choices", "system_fingerprint"])
@pytest.mark.parametrize("value", [5, None, [5], {"a": 1}, True])
def test_one_member_of_an_unexpected_kind_does_not_hide_the_bill(member: str, value: object) -> None:
    read = facts(
        {"id": "gen-1", "model": "m", "provider": "p", "choices": [], "usage": {**USAGE, "cost": 0.5}, member: value}
    )

    assert read.bill == Bill(usage=Usage(input_tokens=8, output_tokens=1), cost_usd=Decimal("0.5"))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"5", b'"x"', b"null", b"{", b'{"id":"\xff"}', b"[" * 100_000])
def test_what_is_no_json_object_says_nothing(body: bytes) -> None:
    assert READER.facts(body) is None


@given(st.binary(max_size=40))
def test_no_bytes_at_all_break_the_reader(noise: bytes) -> None:
    for body in (noise, b'{"usage":' + noise + b"}", b'{"error":' + noise + b"}", b'{"data":' + noise + b"}"):
        READER.facts(body)
        READER.record(body)
        READER.refusal(body, status=500, provider="p")
        READER.error(body, provider="p")


def test_a_generation_record_tells_what_a_call_cost() -> None:
    record = b"""{"data":{"id":"gen-1","total_cost":0.00012345678901234567890,"usage":0.1,"tokens_prompt":1,
        "native_tokens_prompt":10,"native_tokens_completion":25,"native_tokens_reasoning":5,"native_tokens_cached":3}}"""

    assert READER.record(record) == Bill(
        usage=Usage(input_tokens=10, output_tokens=25, cached_tokens=3, reasoning_tokens=5),
        cost_usd=Decimal("0.00012345678901234567890"),
    )


def test_a_generation_record_may_lack_its_tokens() -> None:
    record = b'{"data":{"total_cost":0,"native_tokens_prompt":null,"native_tokens_completion":-5}}'

    assert READER.record(record) == Bill(usage=Usage(input_tokens=0, output_tokens=0), cost_usd=Decimal(0))


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"data":null}', b'{"data":{}}', b'{"data":{"total_cost":null}}', b'{"data":' + b"[" * 100_000],
)
def test_what_is_no_generation_record_is_none(body: bytes) -> None:
    assert READER.record(body) is None


@pytest.mark.parametrize("figure", [b"-1", b"1e99", b'"NaN"'])
def test_an_absurd_cost_in_a_generation_record_is_not_believed(figure: bytes) -> None:
    read = READER.record(b'{"data":{"total_cost":%b}}' % figure)

    assert read is not None
    assert read.nano_usd is None


# Errors

OVERLOADED = {"message": "Provider returned error", "code": 429, "metadata": {"provider_name": "DeepInfra"}}


@pytest.mark.parametrize(
    ("upstream_status", "status", "kind"),
    [
        (400, 400, FailureKind.CALLERS),
        (401, 502, FailureKind.ACCOUNT),
        (402, 502, FailureKind.DECLINED),
        (403, 403, FailureKind.CALLERS),
        (404, 502, FailureKind.DECLINED),
        (408, 408, FailureKind.BROKEN),
        (413, 413, FailureKind.CALLERS),
        (422, 422, FailureKind.CALLERS),
        (429, 429, FailureKind.BUSY),
        (500, 502, FailureKind.BROKEN),
        (502, 502, FailureKind.BROKEN),
        (503, 503, FailureKind.BROKEN),
        (504, 504, FailureKind.BROKEN),
        (524, 504, FailureKind.BROKEN),
        (529, 503, FailureKind.BUSY),
        (302, 502, FailureKind.BROKEN),
    ],
)
def test_a_refusal_gets_the_status_that_tells_whose_fault_it_is(
    upstream_status: int, status: int, kind: FailureKind
) -> None:
    error = refusal({"error": {"message": "no", "code": upstream_status}}, upstream_status)

    assert (error.upstream_status, error.status) == (upstream_status, status)
    assert error.kind is kind
    assert error.code == f"upstream_{upstream_status}"
    assert not error.may_be_owed


@pytest.mark.parametrize(
    ("status", "error", "kind", "retry_after_s"),
    [
        # OpenRouter, captures and documentation of 2025-11 to 2026-10
        (400, {"message": "This endpoint's maximum context length is 16384 tokens. However, ..."}, "TOO_LONG", None),
        (400, {"message": "no", "code": "context_length_exceeded"}, "TOO_LONG", None),
        (
            400,
            {"message": "Provider returned error", "metadata": {"raw": '{"e":"prompt is too long: 9"}'}},
            "TOO_LONG",
            None,
        ),
        (
            400,
            {"message": "Provider returned error", "metadata": {"raw": {"e": "prompt is too long"}}},
            "TOO_LONG",
            None,
        ),
        (400, {"message": "foo/bar is not a valid model ID"}, "DECLINED", None),
        (402, {"message": "This request requires more credits, or fewer max_tokens."}, "DECLINED", None),
        (
            402,
            {"message": "x", "metadata": {"reason": "in_flight_budget_exhausted", "headers": {"Retry-After": "120"}}},
            "BUSY",
            120.0,
        ),
        (403, {"message": "flagged", "metadata": {"reasons": ["violence"], "flagged_input": "..."}}, "CALLERS", None),
        (403, {"message": "Key limit exceeded"}, "ACCOUNT", None),
        (403, {"message": "no", "availability": {"code": "region_restricted", "retryable": False}}, "DECLINED", None),
        (400, {"message": "no", "availability": {"code": "model_not_found", "retryable": False}}, "DECLINED", None),
        (404, {"message": "No endpoints found that satisfy the max price for this request"}, "DECLINED", None),
        (429, {"message": "at capacity", "availability": {"retryable": True, "retry_after": 40}}, "BUSY", 40.0),
        (503, {"message": "overloaded", "metadata": ["odd"], "availability": "odd"}, "BROKEN", None),
        # llama.cpp
        (400, {"message": "the request exceeds the available context size. try increasing it"}, "TOO_LONG", None),
    ],
)
def test_the_text_of_a_refusal_tells_what_is_to_be_done(
    status: int, error: dict[str, object], kind: str, retry_after_s: float | None
) -> None:
    read = refusal({"error": error}, status)

    assert (read.kind.name, read.retry_after_s) == (kind, retry_after_s)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 503}, 503),
        ({"code": "429"}, 429),
        ({"code": "server_error"}, 502),
        ({"code": None, "http_status": 429}, 429),
        ({"http_status": 404, "error_type": "not_found"}, 404),
        ({"code": "capacity_exhausted", "http_status": 429}, 429),
        ({"code": 200}, 502),
        ({"code": 399}, 502),
        ({"code": 600}, 502),
        ({"code": -429}, 502),
        ({"code": True}, 502),
        ({"code": 429.0}, 502),
        ({"code": {}, "http_status": 503}, 503),
        ({"code": "4\u00b29"}, 502),
        ({"code": "\u0664\u0662\u0669"}, 502),
        ({"code": "9" * 5000}, 502),
        ({"code": 10**30}, 502),
        ({}, 502),
    ],
)
def test_an_error_in_a_good_answer_brings_its_own_status(error: dict[str, object], expected: int) -> None:
    refused = READER.error(json.dumps({"message": "why", **error}).encode(), provider="openrouter")

    assert refused.upstream_status == expected
    assert refused.message == f"openrouter answered {expected}: why"


def test_the_status_of_the_answer_goes_before_that_of_its_body() -> None:
    assert refusal({"error": {"message": "no", "code": 400}}, 429).upstream_status == 429


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": OVERLOADED, "user_id": "user_2"}, "Provider returned error"),
        ({"error": {**OVERLOADED, "metadata": {"raw": '{"error":{"message":"busy"}}'}}}, "Provider returned error"),
        ({"error": {**OVERLOADED, "metadata": "none"}}, "Provider returned error"),
        ({"error": {"message": "at capacity", "http_status": 429, "availability": {"retryable": True}}}, "at capacity"),
        ({"error": {"message": "busy", "code": {"a": 1}}}, "busy"),
        ({"error": "busy"}, "busy"),
        ("busy", "busy"),
        ({"object": "error", "message": "busy", "type": "BadRequestError", "param": None, "code": 400}, "busy"),
        ({"error": {"message": ["busy"]}}, "no message"),
        ({"error": None}, "no message"),
        ({"detail": "busy"}, "no message"),
        ([], "no message"),
    ],
)
def test_the_reason_is_found_wherever_providers_put_it(body: object, message: str) -> None:
    assert refusal(body).message == f"openrouter answered 429: {message}"


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"{", b"\xff", b'{"error":' + b"[" * 100_000])
def test_a_refusal_that_is_no_json_is_told_by_its_status(body: bytes) -> None:
    error = READER.refusal(body, status=429, provider="openrouter", retry_after_s=7.0)

    assert (error.message, error.retry_after_s) == ("openrouter answered 429: no message", 7.0)


def test_a_long_reason_is_cut() -> None:
    assert len(refusal({"error": {"message": "x" * 100_000}}).message) < 700


SECRETS = {
    401: "User not found. Key sk-or-v1-abc",
    402: "This request requires more credits, but can only afford 1848. Visit https://openrouter.ai/settings/credits",
}


@pytest.mark.parametrize("status", sorted(SECRETS))
def test_what_a_provider_says_of_our_account_stays_with_us(status: int) -> None:
    inner: dict[str, Any] = {"message": SECRETS[status], "code": status, "metadata": {"raw": SECRETS[status]}}

    for error in (
        refusal({"error": inner, "user_id": "user_2"}, status),
        READER.error(json.dumps(inner).encode(), provider="openrouter"),
        READER.error(json.dumps({**inner, "code": str(status)}).encode(), provider="openrouter"),
    ):
        shown = error_body(error, request_id="req-1").decode()
        assert error.status == 502
        assert not any(word in shown for word in ("sk-or", "1848", "credits", "User not found", "user_2"))
        assert "operator" in shown


def test_a_limit_of_our_own_key_is_told_to_its_operator_and_is_no_fault_of_the_caller() -> None:
    message = "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys/1a2b3c"

    error = refusal({"error": {"code": 403, "message": message}, "user_id": "user_2"}, 403)

    assert (error.kind, error.status, error.should_retry) == (FailureKind.ACCOUNT, 502, True)
    assert "operator" in error.message
    assert not any(word in error.message for word in ("1a2b3c", "settings", "total limit"))


def test_a_name_of_ours_that_is_out_of_date_is_no_fault_of_the_caller() -> None:
    error = refusal({"error": {"code": 400, "message": "foo/bar is not a valid model ID"}}, 400)

    assert (error.kind, error.status, error.should_retry) == (FailureKind.DECLINED, 502, True)


@pytest.mark.parametrize(
    "ours",
    [
        "sk-or-v1-0123456789abcdef",
        "sk-proj-********************wxyz",
        "gsk_0123456789abcdefghij",
        "AIzaSyA0123456789",
        "org-AbCdEf0123456789",
        "proj_0123456789ab",
        "user_2abCdEf34",
    ],
)
def test_keys_and_names_of_our_account_within_other_errors_stay_with_us(ours: str) -> None:
    for status in (429, 400, 500):
        error = refusal({"error": {"message": f"Rate limit reached for gpt-5.4 in {ours} on tokens."}}, status)

        assert error.message == f"openrouter answered {status}: Rate limit reached for gpt-5.4 in *** on tokens."


def test_words_that_look_like_names_of_accounts_are_left() -> None:
    said = "user_location, org-wide, proj_settings and task-based sk- are no names."

    assert refusal({"error": {"message": said}}, 400).message.endswith(said)


def test_the_reason_of_a_moderation_is_the_callers_to_read() -> None:
    assert "violence" in refusal({"error": {"code": 403, "message": "flagged: violence"}}, 403).message


@pytest.mark.parametrize(
    "body",
    [
        {"id": "gen-1", "error": {"message": "overloaded", "code": 503}},
        {"id": "gen-1", "choices": [], "error": {"message": "overloaded", "code": 503}},
        {"id": "gen-1", "choices": [{"index": 0, "error": {"message": "overloaded", "code": 503}}]},
        {"id": "gen-1", "choices": [{"index": 0}, {"index": 1, "error": {"message": "overloaded", "code": 503}}]},
        {"id": "gen-1", "error": None, "choices": [{"error": {"message": "overloaded", "code": 503}}]},
        {"id": 5, "choices": "none", "error": {"message": "overloaded", "code": 503}},
    ],
)
def test_an_error_within_a_good_answer_is_found(body: object) -> None:
    read = facts(body)

    assert read.error is not None
    error = READER.error(read.error, provider="openrouter")
    assert (error.upstream_status, error.message) == (503, "openrouter answered 503: overloaded")


@pytest.mark.parametrize("error", [None, False, 0, "", {}, []])
def test_an_error_that_is_empty_is_none(error: object) -> None:
    assert facts({"error": error, "choices": [{"index": 0, "error": error}]}).error is None


# Our own error body


def test_an_error_is_written_as_openai_writes_it() -> None:
    body = error_body(InvalidRequest("`n` is 0.", param="n", code="too_small"), request_id="req-1")

    assert json.loads(body) == {
        "error": {
            "message": "`n` is 0.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "too_small",
            "request_id": "req-1",
        }
    }


def test_an_error_without_a_request_has_no_request_id() -> None:
    assert json.loads(error_body(UnknownModel("no such model")))["error"] == {
        "message": "no such model",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_a_failure_lists_every_deployment_that_was_asked() -> None:
    error = refusal({"error": OVERLOADED})
    error.tried = ("openrouter:a", "deepseek:b")

    assert json.loads(error_body(error))["error"]["tried"] == ["openrouter:a", "deepseek:b"]


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "Incorrect API key: local-Qz7WmX2hJpT9.", "code": 400}},
        {"error": "Incorrect API key: local-Qz7WmX2hJpT9."},
        {"message": "Incorrect API key: local-Qz7WmX2hJpT9."},
    ],
)
def test_what_is_to_be_hidden_is_in_no_error_whatever_its_shape(error: object) -> None:
    reader = ReplyReader(Redaction([Secret("local-Qz7WmX2hJpT9")]))

    refusal = reader.refusal(json.dumps(error).encode(), status=400, provider="local")

    assert refusal.message == "local answered 400: Incorrect API key: ***."
