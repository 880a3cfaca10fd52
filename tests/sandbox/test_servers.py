"""DeepSeek's own API and a local server, as the sandbox plays them."""

from datetime import timedelta
from decimal import Decimal

import httpx2
import pytest
from openai import OpenAI

from tests.sandbox import reading
from tests.sandbox.conftest import PATIENCE_S, RunningSandbox, user

DEEPSEEK = {"model": "deepseek-v4-flash", "messages": [user("What is a penstock?")]}
LOCAL = {"model": "qwen3-8b", "messages": [user("What is a penstock?")]}


def deepseek(sandbox: RunningSandbox, path: str = "/deepseek", **fields: object) -> httpx2.Response:
    return sandbox.http.post(f"{path}/chat/completions", json=DEEPSEEK | fields)


def local(sandbox: RunningSandbox, **fields: object) -> httpx2.Response:
    return sandbox.http.post("/local/v1/chat/completions", json=LOCAL | fields)


@pytest.fixture(autouse=True)
def _off_peak(sandbox: RunningSandbox) -> None:
    """Noon, when DeepSeek is not dear."""
    hours = (12 - sandbox.clock().hour) % 24
    sandbox.clock.advance(timedelta(hours=hours))


# ----- DeepSeek


@pytest.mark.parametrize("path", ["/deepseek", "/deepseek/v1"])
def test_deepseek_tells_hits_and_misses_but_no_cost(sandbox: RunningSandbox, path: str) -> None:
    body = deepseek(sandbox, path).json()

    usage = body["usage"]
    assert "cost" not in usage
    assert usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]
    assert body.keys() == {"id", "object", "created", "model", "system_fingerprint", "choices", "usage"}
    assert len(body["id"]) == 36


def test_a_repeated_prompt_hits_deepseeks_cache(sandbox: RunningSandbox) -> None:
    long = [user("water " * 3_000)]
    deepseek(sandbox, messages=long)
    sandbox.http.delete("/sandbox/bill")

    usage = deepseek(sandbox, messages=long).json()["usage"]

    hits, misses = usage["prompt_cache_hit_tokens"], usage["prompt_cache_miss_tokens"]
    assert hits > 2_000
    assert sandbox.bill()["total_nano_usd"] == hits * 3 + misses * 150 + usage["completion_tokens"] * 600


def test_deepseek_is_twice_as_dear_in_peak_hours(sandbox: RunningSandbox) -> None:
    usage = deepseek(sandbox).json()["usage"]
    off_peak = sandbox.bill()["total_nano_usd"]
    sandbox.clock.advance(timedelta(hours=14))
    deepseek(sandbox)

    assert off_peak == usage["prompt_tokens"] * 150 + usage["completion_tokens"] * 600
    assert sandbox.bill()["total_nano_usd"] == 3 * off_peak


def test_deepseek_streams_its_usage_with_the_finish(sandbox: RunningSandbox) -> None:
    response = deepseek(sandbox, stream=True)

    first, *_, last = reading.chunks(response)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["prompt_cache_miss_tokens"] > 0
    assert response.text.startswith(": keep-alive")
    assert reading.ends_with_done(response)


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "streamed"])
def test_deepseek_thinks_in_reasoning_content(sandbox: RunningSandbox, is_stream: bool) -> None:
    response = deepseek(sandbox, thinking={"type": "enabled"}, stream=is_stream)

    if is_stream:
        deltas = [choice["delta"] for chunk in reading.chunks(response) for choice in chunk["choices"]]
        assert "".join(delta.get("reasoning_content") or "" for delta in deltas)
        assert not any("reasoning" in delta or "reasoning_details" in delta for delta in deltas)
    else:
        message = response.json()["choices"][0]["message"]
        assert message["reasoning_content"]
        assert "reasoning" not in message
    assert reading.usage(response)["completion_tokens_details"]["reasoning_tokens"] > 0
    unthinking = deepseek(sandbox, thinking={"type": "disabled"}, reasoning_effort="high").json()
    assert "reasoning_content" not in unthinking["choices"][0]["message"]


def test_deepseeks_errors_have_its_shape(sandbox: RunningSandbox) -> None:
    unknown = deepseek(sandbox, model="gpt-5")
    no_key = httpx2.post(f"{sandbox.url}/deepseek/chat/completions", json=DEEPSEEK, trust_env=False)

    assert (unknown.status_code, unknown.json()) == (
        400,
        {
            "error": {
                "message": "Model Not Exist",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_request_error",
            }
        },
    )
    assert (no_key.status_code, no_key.json()["error"]["type"]) == (401, "authentication_error")


# ----- a local server


def test_a_local_server_costs_nothing_and_keeps_no_record(sandbox: RunningSandbox) -> None:
    body = local(sandbox).json()

    assert body["usage"].keys() == {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"}
    (line,) = sandbox.bill_lines()
    assert (line["server"], line["id"], line["nano_usd"]) == ("local", body["id"], 0)
    assert sandbox.http.get("/api/v1/generation", params={"id": body["id"]}).status_code == 404
    assert "provider" not in body


def test_a_local_server_needs_no_key(sandbox: RunningSandbox) -> None:
    url = f"{sandbox.url}/local/v1"

    assert httpx2.post(f"{url}/chat/completions", json=LOCAL, trust_env=False).status_code == 200
    assert httpx2.get(f"{url}/models", trust_env=False).json()["data"][0]["owned_by"] == "vllm"


def test_a_local_server_streams_its_usage_only_if_asked(sandbox: RunningSandbox) -> None:
    unasked = local(sandbox, stream=True)
    asked = local(sandbox, stream=True, stream_options={"include_usage": True})

    *_, last = reading.chunks(asked)
    assert '"usage"' not in unasked.text
    assert (last["choices"], last["usage"]["total_tokens"] > 0) == ([], True)
    assert ": " not in asked.text.split("data: ")[0]


def test_a_local_servers_errors_have_its_shape(sandbox: RunningSandbox) -> None:
    unknown = local(sandbox, model="gpt-5")
    too_long = local(sandbox, max_tokens=40_000)

    assert (unknown.status_code, unknown.json()) == (
        404,
        {
            "error": {
                "message": "The model `gpt-5` does not exist.",
                "type": "NotFoundError",
                "param": None,
                "code": 404,
            }
        },
    )
    assert (too_long.status_code, too_long.json()["error"]["type"]) == (400, "BadRequestError")


# ----- both


@pytest.mark.parametrize(("path", "model"), [("deepseek", "deepseek-v4-flash"), ("local/v1", "qwen3-8b")])
def test_the_official_client_is_at_home_there(sandbox: RunningSandbox, path: str, model: str) -> None:
    with OpenAI(base_url=f"{sandbox.url}/{path}", api_key="sk-x", max_retries=0, timeout=PATIENCE_S) as client:
        stream = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hi"}], stream=True)
        text = "".join(choice.delta.content or "" for chunk in stream for choice in chunk.choices)

        assert text
        assert model in {listed.id for listed in client.models.list()}


@pytest.mark.parametrize("path", ["deepseek", "local/v1"])
def test_faults_and_outages_are_known_there_too(own_sandbox: RunningSandbox, path: str) -> None:
    body = DEEPSEEK if path == "deepseek" else LOCAL
    url = f"/{path}/chat/completions"
    own_sandbox.http.patch("/sandbox/providers", json={"outages": [{"fault": "503", "model": body["model"]}]})

    out = own_sandbox.http.post(url, json=body)
    asked = own_sandbox.http.post(url, json=body, headers={"x-sandbox-fault": "429"})
    with pytest.raises(httpx2.RemoteProtocolError):
        own_sandbox.http.post(url, json=body | {"stream": True}, headers={"x-sandbox-fault": "drop-mid-stream"})

    assert (out.status_code, asked.status_code) == (503, 429)
    assert isinstance(out.json()["error"]["type"], str)


def test_all_servers_are_on_one_bill(sandbox: RunningSandbox) -> None:
    cost = reading.usage(sandbox.ask())["cost"]
    local(sandbox)
    usage = deepseek(sandbox).json()["usage"]

    lines = sandbox.bill_lines()
    assert [line["server"] for line in lines] == ["openrouter", "local", "deepseek"]
    own_usd = Decimal(usage["prompt_tokens"] * 150 + usage["completion_tokens"] * 600).scaleb(-9)
    assert reading.nano_usd(cost + own_usd) == sandbox.bill()["total_nano_usd"]
