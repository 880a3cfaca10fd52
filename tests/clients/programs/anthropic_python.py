"""The official `anthropic` package."""

import os

import anthropic
from sandbox import the_provider_fails_for_a_moment

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS = [{"name": "weather", "description": "The weather in a city.", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]  # fmt: skip

client = anthropic.Anthropic(
    base_url=os.environ["BASE_URL"].removesuffix("/v1"), api_key=os.environ["KEY"], max_retries=0, timeout=30
)
BODY = {"model": "auto", "max_tokens": 200}


def said(text):
    return [{"role": "user", "content": text}]


def test_whole():
    answer = client.messages.create(messages=said("Tell me about tea."), **BODY)
    assert "".join(each.text for each in answer.content if each.type == "text")
    assert answer.usage.output_tokens > 0


def test_streamed():
    with client.messages.stream(messages=said("Tell me about tea."), **BODY) as stream:
        assert len(list(stream.text_stream)) > 3
        assert stream.get_final_message().stop_reason


def test_usage_of_a_stream():
    with client.messages.stream(messages=said("Tea?"), **BODY) as stream:
        assert stream.get_final_message().usage.output_tokens > 0


def test_tools():
    asked = said("What is the weather in Paris?")
    first = client.messages.create(messages=asked, tools=TOOLS, tool_choice={"type": "any"}, **BODY)
    (call,) = (each for each in first.content if each.type == "tool_use")
    assert isinstance(call.input, dict)
    answer = [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}]
    messages = [*asked, {"role": "assistant", "content": first.content}, {"role": "user", "content": answer}]
    assert client.messages.create(messages=messages, tools=TOOLS, **BODY).content


def test_image():
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    assert client.messages.create(messages=[{"role": "user", "content": parts}], **BODY).content


def test_errors():
    raises(anthropic.NotFoundError, lambda: client.messages.create(messages=said("A"), model="none", max_tokens=9))
    stranger = client.with_options(api_key="psk_wrong")
    raises(anthropic.AuthenticationError, lambda: stranger.messages.create(messages=said("A"), **BODY))
    raises(anthropic.BadRequestError, lambda: client.messages.create(messages=[], **BODY))


def test_retries():
    the_provider_fails_for_a_moment()
    patient = client.with_options(max_retries=3)
    assert patient.messages.create(messages=said("Tea?"), model="opus", max_tokens=200).content


def test_cancellation():
    for _ in range(3):
        with client.messages.stream(messages=said("Tell me a long story."), **BODY) as stream:
            next(iter(stream))
    test_whole()


def test_timeouts():
    hasty = client.with_options(timeout=0.5)
    fault = said("[sandbox:fault=stall-before-headers] Tea?")
    raises(anthropic.APITimeoutError, lambda: hasty.messages.create(messages=fault, **BODY))


def test_token_counts():
    assert client.messages.count_tokens(model="auto", messages=said("Tell me about tea.")).input_tokens > 5


def raises(kind, ask):
    try:
        ask()
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")
