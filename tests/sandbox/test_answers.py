"""What models answer: thinking, tools, JSON, drawings."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam

from router.sandbox.stock import STOCK
from tests.sandbox import reading
from tests.sandbox.conftest import RunningSandbox, user

FLASH = "deepseek/deepseek-v4-flash"
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather at a place",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "unit", "days"],
            "additionalProperties": False,
        },
    },
}
EMAIL: dict[str, Any] = {"type": "function", "function": {"name": "send_email", "description": "Send a message"}}


def message(sandbox: RunningSandbox, text: str, **fields: object) -> dict[str, Any]:
    response = sandbox.ask(text, **fields)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()["choices"][0]["message"]
    return found


# ----- tools


def test_a_question_about_a_tool_is_answered_with_its_call(sandbox: RunningSandbox) -> None:
    body = sandbox.ask("What is the weather in Trondheim?", tools=[EMAIL, WEATHER]).json()

    choice = body["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    arguments = json.loads(call["function"]["arguments"])
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert call.keys() == {"type", "index", "id", "function"}
    assert call["function"]["name"] == "get_weather"
    assert arguments.keys() == {"city", "unit", "days"}
    assert arguments["unit"] in ("celsius", "fahrenheit")
    assert 1 <= arguments["days"] <= 7


@pytest.mark.parametrize(
    ("text", "tool_choice", "called"),
    [
        ("Tell me a joke.", "auto", None),
        ("Tell me a joke.", "required", "send_email"),
        ("Tell me a joke.", {"type": "function", "function": {"name": "get_weather"}}, "get_weather"),
        ("What is the weather in Trondheim?", "none", None),
        ("What is the weather in Trondheim?", "required", "get_weather"),
    ],
)
def test_the_tool_choice_is_obeyed(sandbox: RunningSandbox, text: str, tool_choice: object, called: str | None) -> None:
    answer = message(sandbox, text, tools=[EMAIL, WEATHER], tool_choice=tool_choice)

    names = [call["function"]["name"] for call in answer.get("tool_calls", [])]
    assert names == ([] if called is None else [called])


def test_a_tool_result_is_answered_with_text(sandbox: RunningSandbox) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    messages = [
        user("What is the weather in Trondheim?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]

    answer = message(sandbox, "", messages=messages, tools=[WEATHER], tool_choice="required")

    assert answer["content"]
    assert "tool_calls" not in answer


def test_the_official_client_assembles_a_streamed_call(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=FLASH,
        messages=[{"role": "user", "content": "What is the weather in Trondheim?"}],
        tools=[WEATHER],
        stream=True,
    )

    name, arguments, finish = "", "", None
    for chunk in stream:
        for choice in chunk.choices:
            finish = choice.finish_reason or finish
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                name += call.function.name or ""
                arguments += call.function.arguments or ""

    assert (name, finish) == ("get_weather", "tool_calls")
    assert json.loads(arguments).keys() == {"city", "unit", "days"}


def test_a_call_that_does_not_fit_is_cut(sandbox: RunningSandbox) -> None:
    asked = {"tools": [WEATHER], "tool_choice": "required"}
    nothing = sandbox.ask("Weather?", **asked, max_tokens=1).json()["choices"][0]
    started = sandbox.ask("Weather?", **asked, max_tokens=10).json()["choices"][0]

    assert (nothing["finish_reason"], nothing["message"]["content"]) == ("length", "")
    assert started["finish_reason"] == "length"
    assert started["message"]["tool_calls"][0]["function"]["arguments"].startswith("{")


def test_tools_lengthen_the_prompt(sandbox: RunningSandbox) -> None:
    without = reading.usage(sandbox.ask("Tell me a joke."))["prompt_tokens"]
    with_tools = reading.usage(sandbox.ask("Tell me a joke.", tools=[WEATHER]))["prompt_tokens"]

    assert with_tools > without + 142


# ----- JSON


def test_a_schema_is_satisfied(sandbox: RunningSandbox) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "lengths": {"type": "array", "items": {"type": "number"}}},
        "required": ["name", "lengths"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "river", "strict": True, "schema": schema}}

    answer = json.loads(message(sandbox, "Describe the Nile.", response_format=wanted)["content"])

    assert answer.keys() == {"name", "lengths"}
    assert isinstance(answer["name"], str)
    assert all(isinstance(length, int | float) for length in answer["lengths"])


def test_a_json_object_is_one(sandbox: RunningSandbox) -> None:
    answer = message(sandbox, "Describe the Nile.", response_format={"type": "json_object"})

    assert isinstance(json.loads(answer["content"]), dict)


@pytest.mark.parametrize(
    "schema", [False, {"$ref": "#/nowhere"}, {"enum": []}, {"type": "array", "items": 7, "minItems": "x"}]
)
def test_a_schema_nothing_satisfies_is_refused(sandbox: RunningSandbox, schema: object) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}

    response = sandbox.ask("Describe the Nile.", response_format=wanted)

    assert response.status_code == 400
    assert "Invalid schema" in response.json()["error"]["message"]


# ----- thinking


def test_thinking_is_shown_and_counted_when_it_is_asked_for(sandbox: RunningSandbox) -> None:
    response = sandbox.ask("Why is the sky blue?", reasoning={"effort": "high"}, stream=True)

    deltas = [choice["delta"] for chunk in reading.chunks(response) for choice in chunk["choices"]]
    thoughts = [delta for delta in deltas if delta.get("reasoning")]
    usage = reading.usage(response)
    assert all(delta["content"] == "" for delta in thoughts)
    assert all(delta["reasoning_details"][0]["text"] == delta["reasoning"] for delta in thoughts)
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


def test_both_spellings_of_effort_mean_the_same(sandbox: RunningSandbox) -> None:
    assert message(sandbox, "Why?", reasoning_effort="low") == message(sandbox, "Why?", reasoning={"effort": "low"})


def test_more_effort_is_more_thinking(sandbox: RunningSandbox) -> None:
    def thinking(effort: str) -> int:
        usage = reading.usage(sandbox.ask("Why is the sky blue?", reasoning_effort=effort))
        return int(usage["completion_tokens_details"]["reasoning_tokens"])

    amounts = [thinking(effort) for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")]

    assert amounts[0] == 0
    assert amounts == sorted(set(amounts))


def test_thinking_that_is_excluded_is_billed_all_the_same(sandbox: RunningSandbox) -> None:
    shown = sandbox.ask("Why?", reasoning={"effort": "low"})
    hidden = sandbox.ask("Why?", reasoning={"effort": "low", "exclude": True})
    streamed = sandbox.ask("Why?", reasoning={"effort": "low", "exclude": True}, stream=True)

    assert hidden.json()["choices"][0]["message"]["reasoning"] is None
    assert '"reasoning":' not in streamed.text
    assert reading.usage(hidden) == reading.usage(shown) == reading.usage(streamed)


@pytest.mark.parametrize(
    ("model", "proof"),
    [
        ("anthropic/claude-sonnet-4.6", "signature"),
        ("openai/gpt-5.4", "data"),
        ("google/gemini-3-flash-preview", "signature"),
    ],
)
def test_some_providers_prove_or_hide_their_thinking(sandbox: RunningSandbox, model: str, proof: str) -> None:
    details = message(sandbox, "Why?", model=model, reasoning_effort="low")["reasoning_details"]

    assert details[-1][proof]


def test_some_models_think_unasked_and_one_cannot_help_it(sandbox: RunningSandbox) -> None:
    thinkers = {o.id for o in STOCK.offers if message(sandbox, "Why?", model=o.id)["reasoning"] is not None}
    refused = sandbox.ask("Why?", model="google/gemini-3.1-pro-preview", reasoning_effort="none")

    assert thinkers == {"openai/gpt-5.5", "google/gemini-3.1-pro-preview", "z-ai/glm-5.1"}
    assert refused.status_code == 400
    assert message(sandbox, "Why?", model="openai/gpt-5.5", reasoning_effort="none")["reasoning"] is None


def test_thinking_has_its_own_budget(sandbox: RunningSandbox) -> None:
    usage = reading.usage(sandbox.ask("Why?", reasoning={"max_tokens": 9}))

    assert usage["completion_tokens_details"]["reasoning_tokens"] == 9


# ----- text and drawings


def test_short_questions_for_short_answers_get_them(sandbox: RunningSandbox) -> None:
    def length(text: str) -> int:
        return len(message(sandbox, text)["content"].split())

    assert length("Is a penstock a gate? Answer in one word.") == 1
    assert (
        length("Explain penstocks, briefly.")
        < length("Explain penstocks.")
        < length("Write a long essay on penstocks.")
    )


@pytest.mark.parametrize("model", [FLASH, "deepseek/deepseek-v4-pro", "anthropic/claude-opus-4.7"])
def test_every_model_draws_a_pelican_riding_a_bicycle(sandbox: RunningSandbox, model: str) -> None:
    drawing = message(sandbox, "Generate an SVG of a pelican riding a bicycle", model=model)["content"]

    root = ElementTree.fromstring(drawing)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) >= 5


def test_better_models_draw_better(sandbox: RunningSandbox) -> None:
    def effort(model: str) -> int:
        return len(message(sandbox, "Generate an SVG of a pelican riding a bicycle", model=model)["content"])

    assert effort(FLASH) < effort("deepseek/deepseek-v4-pro") < effort("anthropic/claude-opus-4.7")
