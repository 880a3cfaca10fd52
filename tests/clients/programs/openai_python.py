"""The official `openai` package. Any version from 2 on."""

import json
import os

import openai
from pydantic import BaseModel
from sandbox import the_provider_fails_for_a_moment

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather in a city.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]  # fmt: skip
MODEL = "auto"

client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["KEY"], max_retries=0, timeout=30)
chat = client.chat.completions


def said(text):
    return [{"role": "user", "content": text}]


def test_whole():
    answer = chat.create(model=MODEL, messages=said("Tell me about tea."))
    assert answer.choices[0].message.content
    assert answer.usage.total_tokens > 0


def test_streamed():
    pieces = [each.choices[0].delta.content or "" for each in
              chat.create(model=MODEL, messages=said("Tell me about tea."), stream=True)]  # fmt: skip
    assert len(pieces) > 3
    assert "".join(pieces)


def test_usage_of_a_stream():
    chunks = list(chat.create(model=MODEL, messages=said("Tea?"), stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens > 0
    assert [each.usage for each in chunks[:-1]] == [None] * (len(chunks) - 1)


def test_tools():
    asked = said("What is the weather in Paris?")
    first = chat.create(model=MODEL, messages=asked, tools=TOOLS, tool_choice="required").choices[0].message
    (call,) = first.tool_calls
    json.loads(call.function.arguments)
    answer = {"role": "tool", "tool_call_id": call.id, "content": "Rain."}
    assert chat.create(model=MODEL, messages=[*asked, first, answer], tools=TOOLS).choices[0].message.content
    with chat.stream(model=MODEL, messages=asked, tools=TOOLS, tool_choice="required") as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls
    json.loads(call.function.arguments)


class City(BaseModel):
    name: str
    inhabitants: int


def test_structured_output():
    answer = chat.parse(model=MODEL, messages=said("Name a city."), response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)


def test_image():
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert chat.create(model=MODEL, messages=[{"role": "user", "content": parts}]).choices[0].message.content


def test_errors():
    raises(openai.NotFoundError, lambda: chat.create(model="no-such-model", messages=said("Tea?")))
    stranger = client.with_options(api_key="psk_wrong")
    raises(openai.AuthenticationError, lambda: stranger.chat.completions.create(model=MODEL, messages=said("Tea?")))
    raises(openai.BadRequestError, lambda: chat.create(model=MODEL, messages=[]))
    fault = said("[sandbox:fault=mid-stream-error] Tea?")
    raises(openai.APIError, lambda: list(chat.create(model=MODEL, messages=fault, stream=True)))


def test_retries():
    the_provider_fails_for_a_moment()
    patient = client.with_options(max_retries=3)
    assert patient.chat.completions.create(model="opus", messages=said("Tea?")).choices[0].message.content


def test_cancellation():
    for _ in range(3):
        with chat.create(model=MODEL, messages=said("Tell me a long story."), stream=True) as stream:
            next(iter(stream))
    test_whole()


def test_timeouts():
    fault = said("[sandbox:fault=stall-before-headers] Tea?")
    hasty = client.with_options(timeout=0.5)
    raises(openai.APITimeoutError, lambda: hasty.chat.completions.create(model=MODEL, messages=fault))
    test_whole()


def test_models():
    found = [each.id for each in client.models.list()]
    assert MODEL in found
    assert client.models.retrieve("anthropic/claude-opus-4.7").id == "anthropic/claude-opus-4.7"


def test_embeddings():
    texts = client.embeddings.create(model="embed", input=["tea", "coffee"])
    assert len(texts.data) == 2
    assert all(isinstance(number, float) for number in texts.data[1].embedding)


def test_completions():
    assert client.completions.create(model="deepseek/deepseek-v4-flash", prompt="Once", max_tokens=20).choices[0].text
    streamed = client.completions.create(model="deepseek/deepseek-v4-flash", prompt="Once", max_tokens=20, stream=True)
    assert "".join(each.choices[0].text for each in streamed if each.choices)


def test_responses():
    answer = client.responses.create(model=MODEL, input="Tell me about tea.")
    assert answer.output_text
    assert answer.usage.total_tokens > 0
    events = [each.type for each in client.responses.create(model=MODEL, input="Tea?", stream=True)]
    assert (events[0], events[-1]) == ("response.created", "response.completed")
    parsed = client.responses.parse(model=MODEL, input="Name a city.", text_format=City)
    assert isinstance(parsed.output_parsed, City)
    tool = {"type": "function", **TOOLS[0]["function"]}
    called = client.responses.create(model=MODEL, input="Weather in Paris?", tools=[tool], tool_choice="required")
    assert [each.name for each in called.output if each.type == "function_call"] == ["weather"]


def raises(kind, ask):
    try:
        ask()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")
