"""pydantic-ai with its OpenAI provider."""

import asyncio
import os

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ImageUrl
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from sandbox import the_provider_fails_for_a_moment

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def provider(max_retries=0):
    client = AsyncOpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["KEY"], max_retries=max_retries)
    return OpenAIProvider(openai_client=client)


def agent(name="auto", **options):
    return Agent(OpenAIChatModel(name, provider=provider()), **options)


class City(BaseModel):
    name: str
    inhabitants: int


def test_whole():
    answer = agent().run_sync("Tell me about tea.")
    assert answer.output
    assert answer.usage.total_tokens > 0


def test_streamed():
    async def pieces():
        async with agent().run_stream("Tell me about tea.") as answer:
            return [each async for each in answer.stream_text(delta=True, debounce_by=None)]

    assert len(asyncio.run(pieces())) > 3


def test_tools():
    asked = []
    talker = agent(model_settings={"max_tokens": 200})

    @talker.tool_plain
    def weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "Rain."

    assert talker.run_sync("Call the weather tool for Paris, then tell me the weather.").output


def test_structured_output():
    assert isinstance(agent(output_type=City).run_sync("Name a city.").output, City)


def test_image():
    assert agent().run_sync(["What is this?", ImageUrl(PIXEL)]).output


def test_errors():
    try:
        agent("no-such-model").run_sync("Tea?")
    except ModelHTTPError as error:
        assert error.status_code == 404
        return
    raise AssertionError("ModelHTTPError was expected")


def test_retries():
    the_provider_fails_for_a_moment()
    patient = Agent(OpenAIChatModel("opus", provider=provider(max_retries=3)))
    assert patient.run_sync("Tea?").output


def test_responses():
    answer = Agent(OpenAIResponsesModel("auto", provider=provider())).run_sync("Tell me about tea.")
    assert answer.output
