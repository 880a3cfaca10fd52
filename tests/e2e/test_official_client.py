"""The official `openai` client with only `base_url` and `api_key` changed."""

import json
from xml.etree import ElementTree

import openai
import pytest
from openai.types.chat import ChatCompletionToolParam, ChatCompletionUserMessageParam
from pydantic import BaseModel

from tests.e2e.conftest import Proxy, Sandbox
from tests.e2e.pictures import png

_WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city now",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def test_a_whole_answer_arrives_typed_with_its_cost_in_the_headers(proxy: Proxy) -> None:
    raw = proxy.client().chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "What is a penstock?"}]
    )

    completion = raw.parse()
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 0
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["x-penstock-model"] == "deepseek/deepseek-v4-flash"
    assert raw.headers["x-penstock-provider"] == "openrouter"
    assert raw.headers["x-penstock-decision"] == "balanced"
    assert float(raw.headers["x-penstock-cost-usd"]) > 0
    assert float(raw.headers["x-penstock-saved-usd"]) > 0
    assert raw.headers["x-ratelimit-limit-requests"] == "600"
    assert 0 <= int(raw.headers["x-ratelimit-remaining-requests"]) < 600
    assert int(raw.headers["x-ratelimit-remaining-tokens"]) < int(raw.headers["x-ratelimit-limit-tokens"]) == 2_000_000
    assert raw.headers["x-ratelimit-reset-requests"] == "1m0s"


def test_a_stream_tells_its_usage_last_if_asked(proxy: Proxy) -> None:
    chunks = list(
        proxy.client().chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "Tell me about rivers."}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )

    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.role for chunk in chunks[1:-1] if chunk.choices[0].delta.role] == []
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1] if chunk.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert [chunk.usage for chunk in chunks[:-1] if chunk.usage] == []


def test_a_stream_keeps_its_usage_to_itself_if_not_asked(proxy: Proxy) -> None:
    chunks = list(
        proxy.client().chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "Tell me about lakes."}], stream=True
        )
    )

    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


def test_the_stream_helper_puts_the_message_together(proxy: Proxy) -> None:
    with proxy.client().chat.completions.stream(
        model="auto", messages=[{"role": "user", "content": "Tell me about seas."}]
    ) as stream:
        for _event in stream:
            pass
        message = stream.get_final_completion().choices[0].message

    assert message.role == "assistant"
    assert message.content


def test_a_tool_is_called_and_its_result_is_answered(proxy: Proxy) -> None:
    question: ChatCompletionUserMessageParam = {"role": "user", "content": "What is the weather in Vienna?"}
    called = (
        proxy.client()
        .chat.completions.create(
            model="auto",
            messages=[question],
            tools=[_WEATHER],
            tool_choice="required",
        )
        .choices[0]
    )

    assert called.finish_reason == "tool_calls"
    assert called.message.tool_calls is not None
    call = called.message.tool_calls[0]
    assert call.type == "function"
    assert set(json.loads(call.function.arguments)) == {"city"}
    answered = proxy.client().chat.completions.create(
        model="auto",
        messages=[
            question,
            called.message.model_dump(exclude_none=True),  # type: ignore[list-item]  # a dict of the right shape
            {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
        ],
        tools=[_WEATHER],
    )
    assert answered.choices[0].message.content


def test_a_streamed_tool_call_is_put_together(proxy: Proxy) -> None:
    with proxy.client().chat.completions.stream(
        model="auto",
        messages=[{"role": "user", "content": "What is the weather in Graz?"}],
        tools=[_WEATHER],
        tool_choice="required",
    ) as stream:
        for _event in stream:
            pass
        message = stream.get_final_completion().choices[0].message

    assert message.tool_calls
    assert set(json.loads(message.tool_calls[0].function.arguments)) == {"city"}


class _Person(BaseModel):
    name: str
    age: int


def test_a_schema_is_answered_with_its_type(proxy: Proxy) -> None:
    completion = proxy.client().chat.completions.parse(
        model="auto",
        messages=[{"role": "user", "content": "Extract the person: Ada, 36."}],
        response_format=_Person,
    )

    assert isinstance(completion.choices[0].message.parsed, _Person)


def test_an_image_goes_to_a_model_that_sees(proxy: Proxy) -> None:
    raw = proxy.client().chat.completions.with_raw_response.create(
        model="auto",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is on this picture?"},
                    {"type": "image_url", "image_url": {"url": png(64, 64)}},
                ],
            }
        ],
    )

    assert raw.parse().choices[0].message.content
    assert raw.headers["x-penstock-model"] == "openai/gpt-5.4"


def test_a_pelican_rides_a_bicycle(proxy: Proxy) -> None:
    completion = proxy.client().chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "Draw an SVG of a pelican riding a bicycle."}]
    )

    content = completion.choices[0].message.content or ""
    svg = content[content.index("<svg") : content.index("</svg>") + len("</svg>")]
    assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_bad_key_is_an_authentication_error(proxy: Proxy) -> None:
    with (
        openai.OpenAI(base_url=proxy.base_url, api_key="psk_wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.code == "invalid_api_key"


def test_an_unknown_model_is_not_found(proxy: Proxy) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        proxy.client().chat.completions.create(model="gpt-2", messages=[{"role": "user", "content": "Hi"}])
    assert raised.value.code == "model_not_found"
    assert "auto" in raised.value.message


def test_a_body_over_the_limit_is_refused_with_413(proxy: Proxy) -> None:
    with pytest.raises(openai.APIStatusError) as raised:
        proxy.client().chat.completions.create(model="auto", messages=[{"role": "user", "content": "x" * 34_000_000}])
    assert raised.value.status_code == 413
    assert raised.value.code == "body_too_large"


def test_a_wrong_type_names_the_parameter(proxy: Proxy) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        proxy.client().chat.completions.create(
            model="auto",
            messages=[{"role": "user", "content": "Hi"}],
            max_tokens="many",  # type: ignore[call-overload]  # the point of the test
        )
    assert raised.value.param == "max_tokens"


def test_models_are_listed_and_found_by_ids_with_slashes(proxy: Proxy) -> None:
    client = proxy.client()

    ids = [model.id for model in client.models.list()]

    assert ids[:4] == ["auto", "fast", "gpt-5.4", "opus"]
    assert "deepseek/deepseek-v4-flash" in ids
    assert client.models.retrieve("deepseek/deepseek-v4-flash").owned_by == "deepseek"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/nothing")


def test_every_field_we_do_not_act_on_reaches_the_provider(proxy: Proxy, sandbox: Sandbox) -> None:
    proxy.client().chat.completions.create(
        model="auto",
        messages=[{"role": "user", "content": "Hi", "name": "ada"}],
        temperature=0.25,
        seed=7,
        metadata={"ticket": "4711"},
        extra_body={"top_k": 40},
    )

    sent = sandbox.last_request()
    assert sent["model"] == "deepseek/deepseek-v4-flash"
    assert sent["messages"] == [{"role": "user", "content": "Hi", "name": "ada"}]
    assert (sent["temperature"], sent["seed"], sent["top_k"]) == (0.25, 7, 40)
    assert sent["metadata"] == {"ticket": "4711"}
    assert sent["provider"] == {"max_price": {"prompt": "0.105", "completion": "0.21"}}
    assert sent["max_tokens"] == 32_768
