"""llama-index's OpenAILike and OpenAIEmbedding."""

import os

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from sandbox import the_provider_fails_for_a_moment

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
AT = {"api_base": os.environ["BASE_URL"], "api_key": os.environ["KEY"]}

model = OpenAILike(model="auto", is_chat_model=True, is_function_calling_model=True, max_retries=0, **AT)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"Rain in {city}."


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int


def said(text):
    return [ChatMessage(role="user", content=text)]


def test_whole():
    assert model.chat(said("Tell me about tea.")).message.content
    assert str(model.complete("Tell me about tea."))


def test_streamed():
    assert len([each.delta for each in model.stream_chat(said("Tell me about tea.")) if each.delta]) > 3


def test_tools():
    tool = FunctionTool.from_defaults(weather)
    answer = model.chat_with_tools([tool], user_msg="What is the weather in Paris?", tool_required=True)
    (call,) = model.get_tool_calls_from_response(answer)
    assert call.tool_name == "weather"


def test_structured_output():
    assert isinstance(model.as_structured_llm(City).chat(said("Name a city.")).raw, City)


def test_image():
    parts = [TextBlock(text="What is this?"), ImageBlock(url=PIXEL)]
    assert model.chat([ChatMessage(role="user", blocks=parts)]).message.content


def test_errors():
    try:
        OpenAILike(model="no-such-model", is_chat_model=True, max_retries=0, **AT).chat(said("Tea?"))
    except Exception as error:  # it has no error of its own
        assert "NotFoundError" in type(error).__name__, error
        return
    raise AssertionError("an error was expected")


def test_retries():
    the_provider_fails_for_a_moment()
    patient = OpenAILike(model="opus", is_chat_model=True, max_retries=3, **AT)
    assert patient.chat(said("Tea?")).message.content


def test_completions():
    """What it does where nobody tells it that a model chats."""
    plain = OpenAILike(model="deepseek/deepseek-v4-flash", max_tokens=20, **AT)
    assert str(plain.complete("Once upon a time"))
    assert "".join(each.delta or "" for each in plain.stream_complete("Once upon a time"))


def test_embeddings():
    made = OpenAIEmbedding(model_name="embed", **AT)
    assert len(made.get_text_embedding("tea")) > 100
