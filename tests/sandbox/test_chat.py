"""Chat completions as a client meets them: shapes, limits, refusals."""

from decimal import Decimal

import httpx2
import openai
import pytest
from openai import OpenAI

from router.sandbox.offer import Offer
from router.sandbox.stock import STOCK
from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox, StartSandbox, user

FLASH = "deepseek/deepseek-v4-flash"

# Key sets of recorded OpenRouter answers, 2026-03 to 2026-10.
USAGE_KEYS = {
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cost",
    "is_byok",
    "prompt_tokens_details",
    "cost_details",
    "completion_tokens_details",
}
CHUNK_KEYS = {"id", "object", "created", "model", "provider", "choices"}
BODY_KEYS = CHUNK_KEYS | {"system_fingerprint", "service_tier", "usage"}
CHUNK_CHOICE_KEYS = {"index", "delta", "finish_reason", "native_finish_reason"}


def test_a_whole_answer_has_the_recorded_keys(sandbox: RunningSandbox) -> None:
    body = sandbox.ask().json()

    assert body.keys() == BODY_KEYS
    assert body["choices"][0].keys() == {"index", "logprobs", "finish_reason", "native_finish_reason", "message"}
    assert body["choices"][0]["message"].keys() == {"role", "content", "refusal", "reasoning"}
    assert body["usage"].keys() == USAGE_KEYS
    assert body["usage"]["prompt_tokens_details"].keys() == {
        "cached_tokens",
        "cache_write_tokens",
        "audio_tokens",
        "video_tokens",
    }
    assert body["usage"]["cost_details"].keys() == {
        "upstream_inference_cost",
        "upstream_inference_prompt_cost",
        "upstream_inference_completions_cost",
    }
    assert body["usage"]["completion_tokens_details"].keys() == {"reasoning_tokens", "image_tokens", "audio_tokens"}


def test_a_stream_has_the_recorded_keys_and_order(sandbox: RunningSandbox) -> None:
    response = sandbox.ask(stream=True)

    *deltas, finish, usage = reading.chunks(response)
    assert response.text.startswith(": OPENROUTER PROCESSING\n\n")
    assert all(chunk.keys() == CHUNK_KEYS for chunk in [*deltas, finish])
    assert all(chunk["choices"][0].keys() == CHUNK_CHOICE_KEYS for chunk in [*deltas, finish])
    assert all(chunk["choices"][0]["delta"]["role"] == "assistant" for chunk in [*deltas, finish])
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage.keys() == CHUNK_KEYS | {"usage"}
    assert usage["choices"] == []
    assert usage["usage"].keys() == USAGE_KEYS
    assert reading.ends_with_done(response)


def test_the_headers_name_the_generation(sandbox: RunningSandbox) -> None:
    response = sandbox.ask(stream=True)

    generation_id = reading.chunks(response)[0]["id"]
    assert response.headers["x-generation-id"] == generation_id
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache"
    prefix, seconds, characters = generation_id.split("-")
    assert (prefix, seconds) == ("gen", str(int(sandbox.clock().timestamp())))
    assert len(characters) == 20
    assert characters.isalnum()


def test_the_official_client_reads_whole_answers(client: OpenAI) -> None:
    completion = client.chat.completions.create(model=FLASH, messages=[{"role": "user", "content": "Say hello."}])

    assert completion.choices[0].message.content
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0


def test_the_official_client_reads_streams(client: OpenAI) -> None:
    with client.chat.completions.create(
        model=FLASH, messages=[{"role": "user", "content": "Say hello."}], stream=True
    ) as stream:
        received = list(stream)

    assert "".join(chunk.choices[0].delta.content or "" for chunk in received if chunk.choices)
    assert received[-1].usage is not None


@pytest.mark.parametrize("offer", STOCK.offers, ids=lambda offer: offer.id)
def test_every_model_answers_and_charges_its_own_price(sandbox: RunningSandbox, offer: Offer) -> None:
    usage = reading.usage(sandbox.ask(model=offer.id))

    rates = offer.rates
    expected = usage["prompt_tokens"] * rates.prompt + usage["completion_tokens"] * rates.completion
    assert Decimal(usage["cost"]) == expected


def test_the_same_question_gets_the_same_answer_in_every_sandbox(
    sandbox: RunningSandbox, start_sandbox: StartSandbox
) -> None:
    with start_sandbox() as another, start_sandbox(seed=1) as seeded_otherwise:
        contents = [
            running.ask("Tell me about rivers.").json()["choices"][0]["message"]["content"]
            for running in (sandbox, another, seeded_otherwise)
        ]

    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_a_stream_says_what_the_whole_answer_says(sandbox: RunningSandbox) -> None:
    whole = sandbox.ask("Tell me about rivers.")
    streamed = sandbox.ask("Tell me about rivers.", stream=True)

    assert reading.text(streamed) == whole.json()["choices"][0]["message"]["content"]
    assert reading.usage(streamed) == reading.usage(whole)


@pytest.mark.parametrize("model", [FLASH, "openai/gpt-5.5", "anthropic/claude-opus-4.7"])
@pytest.mark.parametrize("parameter", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("limit", [1, 2, 7, 16])
def test_an_answer_never_exceeds_its_token_limit(
    sandbox: RunningSandbox, model: str, parameter: str, limit: int
) -> None:
    body = sandbox.ask("Explain penstocks in detail.", model=model, **{parameter: limit}).json()

    assert 0 < body["usage"]["completion_tokens"] <= limit
    assert body["choices"][0]["finish_reason"] == "length"


def test_answers_stop_at_a_stop_sequence(sandbox: RunningSandbox) -> None:
    unstopped = sandbox.ask("Rivers?").json()["choices"][0]["message"]["content"]
    stopped = sandbox.ask("Rivers?", stop=[". "]).json()["choices"][0]

    assert stopped["message"]["content"] == unstopped.split(". ")[0]
    assert stopped["finish_reason"] == "stop"


def test_several_choices_pay_for_the_prompt_once(sandbox: RunningSandbox) -> None:
    one, three = sandbox.ask(n=1).json(), sandbox.ask(n=3).json()

    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in three["choices"]}) == 3
    assert three["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]


def test_streamed_choices_each_finish_once(sandbox: RunningSandbox) -> None:
    received = reading.chunks(sandbox.ask(n=2, stream=True))

    finished = [c["index"] for chunk in received for c in chunk["choices"] if c["finish_reason"] is not None]
    assert finished == [0, 1]


def test_an_answer_names_the_model_as_it_was_asked_for(sandbox: RunningSandbox) -> None:
    dated = "anthropic/claude-4.6-sonnet-20260217"

    assert sandbox.ask(model=dated).json()["model"] == dated
    assert sandbox.bill_lines()[0]["model"] == "anthropic/claude-sonnet-4.6"


# ----- refusals


def assert_refused(response: httpx2.Response, status: int, message: str) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, status)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (None, "Missing Authentication header"),
        ("Basic c2stb3ItdjE=", "Missing Authentication header"),
        ("Bearer sk-or-bad", "User not found."),
        ("Bearer sk-proj-1", "User not found."),
    ],
)
def test_a_request_without_a_good_key_is_refused(
    sandbox: RunningSandbox, authorization: str | None, message: str
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    response = httpx2.post(f"{sandbox.url}/api/v1/chat/completions", json={}, headers=headers, trust_env=False)

    assert_refused(response, 401, message)


def test_the_official_client_sees_its_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="foo/bar is not a valid model ID"):
        client.chat.completions.create(model="foo/bar", messages=[{"role": "user", "content": "Hi"}])
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-or-bad").chat.completions.create(
            model=FLASH, messages=[{"role": "user", "content": "Hi"}]
        )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"model": FLASH}, "`messages`"),
        ({"model": FLASH, "messages": []}, "`messages`"),
        ({"model": FLASH, "messages": [{"role": "robot", "content": "Hi"}]}, "`messages.0.role`"),
        ({"model": FLASH, "messages": [{"role": "user", "content": 7}]}, "`messages.0.content`"),
        ({"messages": [user("Hi")]}, "No models provided"),
        ({"model": f"{FLASH}:free", "messages": [user("Hi")]}, "is not a valid model ID"),
        ({"model": FLASH, "messages": [user("Hi")], "max_tokens": 0}, "`max_tokens`"),
        ({"model": FLASH, "messages": [user("Hi")], "tools": [{"type": "function"}]}, "`tools.0.function.name`"),
        ({"model": FLASH, "messages": [user("Hi")], "tool_choice": "sometimes"}, "`tool_choice`"),
        ({"model": FLASH, "messages": [user("Hi")], "response_format": {"type": "xml"}}, "`response_format`"),
        ({"model": FLASH, "messages": [user("Hi")], "provider": {"max_cost": 1}}, "max_cost"),
        ({"model": FLASH, "messages": [user("Hi")], "provider": {"max_price": {"prompt": "dear"}}}, "max_price.prompt"),
        (
            {
                "model": FLASH,
                "messages": [user("Hi")],
                "reasoning": {"effort": "high"},
                "reasoning_effort": "low",
            },
            "`reasoning_effort`",
        ),
        ([], "JSON body"),
    ],
)
def test_a_body_that_makes_no_sense_is_refused_and_costs_nothing(
    sandbox: RunningSandbox, body: object, message: str
) -> None:
    response = sandbox.post(body)

    assert_refused(response, 400, message)
    assert sandbox.bill() == {"generations": [], "total_nano_usd": 0}


@pytest.mark.parametrize(
    ("max_price", "is_served"),
    [
        # deepseek-v4-flash costs 0.105 and 0.21 dollars per million tokens.
        ({"prompt": 0.105, "completion": 0.21}, True),
        ({"prompt": "0.105"}, True),
        ({"completion": 1}, True),
        ({}, True),
        ({"prompt": 0.1049}, False),
        ({"prompt": 1, "completion": "0.2099"}, False),
    ],
)
def test_a_price_ceiling_is_a_hard_filter(
    sandbox: RunningSandbox, max_price: dict[str, object], is_served: bool
) -> None:
    response = sandbox.ask(provider={"max_price": max_price})

    if is_served:
        assert response.status_code == 200
    else:
        assert_refused(response, 404, "No endpoints found that satisfy the max price for this request")
        assert response.json()["error"]["metadata"]["failed_routing_step"] == "Filter by Max Price"


@pytest.mark.parametrize(
    ("words", "prompt_tokens", "usd_per_token"), [(271_994, 272_000, "0.0000025"), (271_995, 272_001, "0.000005")]
)
def test_a_prompt_over_the_tier_is_repriced_as_a_whole(
    sandbox: RunningSandbox, words: int, prompt_tokens: int, usd_per_token: str
) -> None:
    response = sandbox.ask(" a" * words, model="openai/gpt-5.4", max_tokens=1)

    usage = reading.usage(response)
    assert usage["prompt_tokens"] == prompt_tokens
    assert Decimal(usage["cost_details"]["upstream_inference_prompt_cost"]) == prompt_tokens * Decimal(usd_per_token)


def test_the_price_ceiling_meets_the_tier_that_applies(sandbox: RunningSandbox) -> None:
    ceiling = {"max_price": {"prompt": 2.5, "completion": 15}}

    assert sandbox.ask(model="openai/gpt-5.4", provider=ceiling).status_code == 200
    assert_refused(sandbox.ask(" a" * 272_000, model="openai/gpt-5.4", provider=ceiling), 404, "max price")


def test_a_prompt_that_does_not_fit_is_refused(sandbox: RunningSandbox) -> None:
    response = sandbox.ask(" a" * 131_000, model="deepseek/deepseek-v3.2", max_tokens=64_000)

    assert_refused(response, 400, "This endpoint's maximum context length is 131072 tokens.")


def test_more_output_than_the_model_can_make_is_refused(sandbox: RunningSandbox) -> None:
    assert sandbox.ask(max_tokens=65_536).status_code == 200
    assert_refused(sandbox.ask(max_tokens=65_537), 404, "that can handle the requested parameters")


def test_unsupported_parameters_are_dropped_unless_they_are_required(sandbox: RunningSandbox) -> None:
    asked = {"model": "openai/gpt-5.4", "temperature": 0.2}

    assert sandbox.ask(**asked).status_code == 200
    refused = sandbox.ask(**asked, provider={"require_parameters": True})
    assert_refused(refused, 404, "that can handle the requested parameters")


def test_only_the_providers_that_are_allowed_may_serve(sandbox: RunningSandbox) -> None:
    assert sandbox.ask(provider={"only": ["deepinfra/fp4", "azure"]}).status_code == 200
    assert_refused(sandbox.ask(provider={"only": ["azure"]}), 404, "No allowed providers are available")
    assert_refused(sandbox.ask(provider={"ignore": ["deepinfra"]}), 404, "No allowed providers are available")


def test_pictures_need_a_model_that_sees(sandbox: RunningSandbox) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, picture, picture]}]
    without = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}]}]

    blind = sandbox.ask(messages=messages)
    seeing = sandbox.ask(model="openai/gpt-5.4", messages=messages).json()["usage"]["prompt_tokens"]
    plain = sandbox.ask(model="openai/gpt-5.4", messages=without).json()["usage"]["prompt_tokens"]

    assert_refused(blind, 404, "No endpoints found that support image input")
    assert seeing - plain == 2 * 1_105


def test_fallback_models_are_tried_in_order_and_billed_as_served(sandbox: RunningSandbox) -> None:
    response = sandbox.ask(
        f"Hello [sandbox:fault=503@{FLASH}]", model=FLASH, models=["foo/bar", "openai/gpt-5.4-nano", "openai/gpt-5.4"]
    )

    assert response.json()["model"] == "openai/gpt-5.4-nano"
    assert [line["model"] for line in sandbox.bill_lines()] == ["openai/gpt-5.4-nano"]
