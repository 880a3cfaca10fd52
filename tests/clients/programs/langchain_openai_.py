"""langchain-openai, pointed here by `base_url`."""

import os

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from sandbox import the_provider_fails_for_a_moment

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
AT = {"base_url": os.environ["BASE_URL"], "api_key": os.environ["KEY"]}

model = ChatOpenAI(model="auto", max_retries=0, timeout=30, **AT)


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int


def test_whole():
    answer = model.invoke("Tell me about tea.")
    assert answer.content
    assert answer.usage_metadata["total_tokens"] > 0


def test_streamed():
    assert len([each for each in model.stream("Tell me about tea.") if each.content]) > 3


def test_usage_of_a_stream():
    counting = ChatOpenAI(model="auto", stream_usage=True, **AT)
    total = None
    for each in counting.stream("Tea?"):
        total = each if total is None else total + each
    assert total.usage_metadata["output_tokens"] > 0


def test_tools():
    asked = HumanMessage("What is the weather in Paris?")
    first = model.bind_tools([weather], tool_choice="any").invoke([asked])
    (call,) = first.tool_calls
    answer = ToolMessage(weather.invoke(call["args"] or {"city": "Paris"}), tool_call_id=call["id"])
    assert model.bind_tools([weather]).invoke([asked, first, answer]).content


def test_structured_output():
    assert isinstance(model.with_structured_output(City, method="json_schema").invoke("Name a city."), City)


def test_image():
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert model.invoke([HumanMessage(parts)]).content


def test_errors():
    try:
        ChatOpenAI(model="no-such-model", max_retries=0, **AT).invoke("Tea?")
    except openai.NotFoundError:
        return
    raise AssertionError("NotFoundError was expected")


def test_retries():
    the_provider_fails_for_a_moment()
    assert ChatOpenAI(model="opus", max_retries=3, **AT).invoke("Tea?").content


def test_cancellation():
    for _ in range(3):
        next(model.stream("Tell me a long story."))
    test_whole()


def test_embeddings():
    """It sends token ids, which it makes with a vocabulary that it must not have to download here."""
    made = OpenAIEmbeddings(model="embed", check_embedding_ctx_length=False, **AT)
    first, second = made.embed_documents(["tea", "coffee"])
    assert len(first) == len(second) > 100


def test_responses():
    answer = ChatOpenAI(model="auto", use_responses_api=True, **AT).invoke("Tell me about tea.")
    assert answer.text
