"""What clients get has OpenAI's shapes: openai-python's types are made of its specification, and here they are strict.

Strict: a member of another type than the specification says, or one that is missing, raises. The SDK is lenient
otherwise, and so would hide it. Left out are streams of /completions: the specification allows no `finish_reason` of
null there, and OpenAI sends it in every chunk but the last.
"""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.e2e.conftest import Proxy

_MODELS = ["auto", "opus", "deepseek/deepseek-v4-flash", "openai/gpt-5.4"]
_SAID: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is the weather in Paris?"}]
_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOL: dict[str, Any] = {"type": "function", "function": {"name": "weather", "parameters": _PARAMETERS}}
_SCHEMA: dict[str, Any] = {"name": "city", "strict": True, "schema": {**_PARAMETERS, "additionalProperties": False}}
_CHATS: dict[str, dict[str, Any]] = {
    "text": {},
    "two choices": {"n": 2},
    "a tool": {"tools": [_TOOL], "tool_choice": "required"},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": _SCHEMA}},
    "thinking": {"reasoning_effort": "high"},
    "cut off": {"max_tokens": 16},
    "no cost": {"extra_headers": {"x-sandbox-fault": "no-cost"}},
}


@pytest.fixture(scope="module")
def strict(proxy: Proxy) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=proxy.base_url, api_key=proxy.keys["search"], max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.mark.parametrize("model", _MODELS)
@pytest.mark.parametrize("asked", _CHATS.values(), ids=_CHATS)
def test_a_chat(strict: openai.OpenAI, model: str, asked: dict[str, Any]) -> None:
    answer = strict.chat.completions.create(model=model, messages=_SAID, **asked)

    assert answer.object == "chat.completion"
    assert [each.index for each in answer.choices] == list(range(asked.get("n", 1)))


@pytest.mark.parametrize("model", _MODELS)
@pytest.mark.parametrize("asked", _CHATS.values(), ids=_CHATS)
def test_every_chunk_of_a_chat(strict: openai.OpenAI, model: str, asked: dict[str, Any]) -> None:
    options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}

    chunks = list(strict.chat.completions.create(model=model, messages=_SAID, **options, **asked))

    assert {each.object for each in chunks} == {"chat.completion.chunk"}
    assert len({each.id for each in chunks}) == 1
    assert chunks[-1].usage is not None


@pytest.mark.parametrize("model", _MODELS)
def test_a_response_and_each_of_its_events(strict: openai.OpenAI, model: str) -> None:
    tool: Any = {"type": "function", "strict": False, **_TOOL["function"]}
    for asked in ({}, {"tools": [tool], "tool_choice": "required"}, {"reasoning": {"effort": "high"}}):
        given: dict[str, Any] = {"model": model, "input": "What is the weather in Paris?", **asked}
        assert strict.responses.create(**given).object == "response"
        events = list(strict.responses.create(**given, stream=True))
        assert [each.sequence_number for each in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"


def test_embeddings_completions_and_models(strict: openai.OpenAI) -> None:
    # As numbers: base64 the SDK decodes only after it has validated, and against its own type for numbers.
    assert strict.embeddings.create(model="embed", input=["tea", "coffee"], encoding_format="float").object == "list"
    flash = "deepseek/deepseek-v4-flash"
    assert strict.completions.create(model=flash, prompt="Once").object == "text_completion"
    assert {each.object for each in strict.models.list()} == {"model"}
    assert strict.models.retrieve("auto").object == "model"
