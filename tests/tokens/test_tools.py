"""Tool definitions cost what the published rule says, whatever schema a client sends."""

from typing import Any

import msgspec
from splintr import Tokenizer

from router.tokens.count import TokenCounter
from router.tokens.tools import ToolFragment, tool_fragments
from router.wire.requests import Tool, ToolFunction
from tests.tokens.conftest import RequestMaker

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "Get the current weather in a given location",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
                "unit": {
                    "type": "string",
                    "description": "The unit of temperature to return",
                    "enum": ["celsius", "fahrenheit"],
                },
            },
            "required": ["location"],
        },
    },
}


def _tool(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": properties}}}


def _tokens_of(counter: TokenCounter, request_of: RequestMaker, *tools: dict[str, Any]) -> int:
    """What the tools add to a request."""
    messages = [{"role": "user", "content": "hi"}]
    with_tools = counter.count_now(request_of(messages, {"tools": list(tools)}))
    assert not with_tools.is_exact
    return with_tools.input_tokens - counter.count_now(request_of(messages)).input_tokens


def test_one_tool_costs_its_texts_and_the_constants(
    counter: TokenCounter, request_of: RequestMaker, o200k: Tokenizer
) -> None:
    texts = (
        "get_current_weather",
        "Get the current weather in a given location",
        "location",
        "The city and state, e.g. San Francisco, CA",
        "unit",
        "The unit of temperature to return",
        "celsius fahrenheit",
    )

    # 24 for tools, 2 a description (3 of them), 5 for the first property, 3 for the second, 7 for the enum.
    assert _tokens_of(counter, request_of, WEATHER) == 24 + 3 * 2 + 5 + 3 + 7 + sum(
        len(o200k.encode_ordinary(text)) for text in texts
    )


def test_the_cookbooks_weather_example_is_within_fifteen_percent_of_what_openai_billed(
    counter: TokenCounter, request_of: RequestMaker
) -> None:
    messages = [
        {"role": "system", "content": "You are a helpful assistant that can answer to questions about the weather."},
        {"role": "user", "content": "What's the weather like in San Francisco?"},
    ]

    count = counter.count_now(request_of(messages, {"tools": [WEATHER]}))

    assert 101 <= count.input_tokens <= 101 * 1.15  # 101: the cookbook's figure for gpt-4o; our constants are gpt-5's


def test_every_further_tool_costs_six_more(counter: TokenCounter, request_of: RequestMaker) -> None:
    one = _tokens_of(counter, request_of, _tool("f", {}))

    assert _tokens_of(counter, request_of, _tool("f", {}), _tool("f", {})) == one + 6 + 1


def test_objects_inside_objects_and_lists_are_counted(counter: TokenCounter, request_of: RequestMaker) -> None:
    inner = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    plain = _tokens_of(counter, request_of, _tool("f", {"x": {"type": "string"}}))

    nested = _tokens_of(counter, request_of, _tool("f", {"x": inner}))
    listed = _tokens_of(counter, request_of, _tool("f", {"x": {"type": "array", "items": inner}}))
    either = _tokens_of(counter, request_of, _tool("f", {"x": {"anyOf": [inner, {"type": "null"}]}}))

    assert nested == plain - 3 + (1 + 5) + (1 + 3)
    assert listed == plain + 1 + (1 + 5) + (1 + 3)
    assert either == plain + (1 + 5) + (1 + 3)


def test_schemas_that_are_no_schemas_cost_no_more_than_the_tool(
    counter: TokenCounter, request_of: RequestMaker
) -> None:
    bare = _tokens_of(counter, request_of, {"type": "function", "function": {"name": "f"}})

    oddities: list[Any] = [None, [], 7, "x", {"properties": []}, {"properties": None}, {"items": 3}, {"anyOf": {}}]
    for parameters in oddities:
        odd = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        assert _tokens_of(counter, request_of, odd) == bare
    assert _tokens_of(counter, request_of, {"type": "custom"}) == 24


def test_a_deeply_nested_schema_is_counted_without_recursion(counter: TokenCounter, request_of: RequestMaker) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "object", "properties": {"a": schema}}

    tokens = _tokens_of(counter, request_of, _tool("f", {"a": schema}))

    # Of 201 properties, each its name (1) and 5 as the only one; the 200 that are objects 3 less.
    assert tokens == 24 + 1 + 201 * 6 - 200 * 3


def test_a_schema_too_deep_to_decode_is_counted_as_its_text() -> None:
    schema = b'{"items":' * 100_000 + b"{}" + b"}" * 100_000
    tool = Tool(function=ToolFunction(name="f", parameters=msgspec.Raw(schema)))

    assert list(tool_fragments(tool)) == [ToolFragment("f", 0), ToolFragment(schema.decode(), 0)]
