"""What a body of Anthropic's API is taken for: the chat that says the same, and what no chat can say."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.messages_api.reading import MessagesReader
from router.wire.requests import ChatReader, ModelRequest
from tests.wire.anthropic_bodies import (
    BASH,
    BODIES,
    CACHED,
    FOUND,
    HIDDEN,
    LINKED,
    PDF,
    PICTURE,
    PLAIN_DOCUMENT,
    RESULT,
    TEXT,
    THOUGHT,
    USE,
    WEATHER,
)

READER = MessagesReader(ChatReader())


def read(**members: object) -> ModelRequest:
    body = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **members}
    return READER.read(json.dumps(body).encode())


def chat(**members: object) -> dict[str, Any]:
    return {name: json.loads(bytes(value)) for name, value in read(**members).members.items()}


def messages(*given: dict[str, object]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chat(messages=list(given))["messages"]
    return found


def user(*blocks: object) -> dict[str, object]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: object) -> dict[str, object]:
    return {"role": "assistant", "content": list(blocks)}


# The chat that says the same


def test_a_conversation_with_a_tool_becomes_one_of_a_chat() -> None:
    said = messages(
        {"role": "user", "content": "How warm is it in Graz?"},
        assistant(THOUGHT, {"type": "text", "text": "Let me see."}, USE),
        user(RESULT, {"type": "text", "text": "So?"}),
    )

    call = {
        "id": "toolu_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"city": "Graz", "days": 1.0}'},
    }
    proof = {"type": "reasoning.text", "text": "Hm", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    assert said == [
        {"role": "user", "content": "How warm is it in Graz?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [call],
            "reasoning": "Hm",
            "reasoning_content": "Hm",
            "reasoning_details": [proof],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "18 degrees"},
        {"role": "user", "content": "So?"},
    ]


def test_pictures_that_a_tool_gave_back_go_into_the_users_message() -> None:
    said = messages(user({**RESULT, "content": [TEXT, PICTURE]}, {**RESULT, "tool_use_id": "toolu_2"}))

    assert said == [
        {"role": "tool", "tool_call_id": "toolu_1", "content": "What is this?"},
        {"role": "tool", "tool_call_id": "toolu_2", "content": "18 degrees"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
    ]


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        (PICTURE, [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]),
        (LINKED, [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]),
        (
            PDF,
            [
                {"type": "text", "text": "A"},
                {"type": "file", "file": {"filename": "A", "file_data": "data:application/pdf;base64,AA=="}},
            ],
        ),
        (FOUND, [{"type": "text", "text": "Rivers\nhttps://example.org"}, {"type": "text", "text": "What is this?"}]),
        ({**TEXT, "cache_control": CACHED}, [{"type": "text", "text": "What is this?", "cache_control": CACHED}]),
        (
            {"type": "document", "source": {"type": "content", "content": [TEXT, PICTURE]}},
            [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        ),
    ],
)
def test_what_a_user_shows_becomes_parts(block: object, parts: object) -> None:
    assert messages(user(block))[0]["content"] == parts


def test_a_plain_text_is_a_string_which_every_server_takes() -> None:
    assert messages(user(TEXT), user(PLAIN_DOCUMENT)) == [
        {"role": "user", "content": "What is this?"},
        {"role": "user", "content": "Rivers"},
    ]


def test_a_failed_tool_that_said_nothing_is_an_error() -> None:
    failed = {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True}

    assert messages(user(failed)) == [{"role": "tool", "tool_call_id": "toolu_1", "content": "Error"}]


def test_hidden_thoughts_go_back_as_they_came() -> None:
    (said,) = messages(assistant(HIDDEN, TEXT))

    hidden = {"type": "reasoning.encrypted", "data": "ZGF0YQ==", "format": "anthropic-claude-v1", "index": 0}
    assert said["reasoning_details"] == [hidden]
    assert "reasoning" not in said


def test_settings_are_said_in_the_words_of_a_chat() -> None:
    said = chat(
        system="Be brief.",
        stop_sequences=["###"],
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stream=True,
        metadata={"user_id": "ada"},
        service_tier="standard_only",
        tools=[{**WEATHER, "strict": True, "cache_control": CACHED}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
    )

    function = {
        "name": "weather",
        "description": WEATHER["description"],
        "parameters": WEATHER["input_schema"],
        "strict": True,
    }
    assert said == {
        "model": "auto",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 100,
        "stop": ["###"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stream": True,
        "user": "ada",
        "service_tier": "default",
        "tools": [{"type": "function", "function": function, "cache_control": CACHED}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": {"type": "object"}},
        },
    }


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_the_choice_of_a_tool(choice: object, said: object) -> None:
    assert chat(tools=[WEATHER], tool_choice=choice)["tool_choice"] == said


def test_a_choice_without_tools_is_left_out_as_chat_servers_refuse_it() -> None:
    assert "tool_choice" not in chat(tools=[], tool_choice={"type": "auto"})


@pytest.mark.parametrize(
    ("asked", "reasoning"),
    [
        ({}, None),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, {"enabled": False}),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, {"max_tokens": 2_000}),
        ({"thinking": {"type": "adaptive"}}, {"enabled": True}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {"enabled": True, "exclude": True}),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, {"effort": "low"}),
        ({"output_config": {"effort": "high"}}, {"effort": "high"}),
    ],
)
def test_how_hard_to_think(asked: dict[str, object], reasoning: object) -> None:
    assert chat(**asked).get("reasoning") == reasoning


def test_a_users_name_that_is_longer_than_openrouter_takes_is_left_out_of_the_chat() -> None:
    assert chat(metadata={"user_id": "a" * 256})["user"] == "a" * 256
    assert "user" not in chat(metadata={"user_id": "a" * 257})


def test_an_hour_in_the_prompt_cache_is_seen_wherever_it_is_asked_for() -> None:
    use = {**USE, "cache_control": CACHED}  # a chat has no place for it there

    assert read(messages=[assistant(use)]).asks_one_hour_cache
    assert not read(messages=[assistant(USE)]).asks_one_hour_cache


# Beside it, the client's own


@settings(deadline=None)
@given(BODIES)
def test_every_member_is_kept_byte_for_byte(body: dict[str, Any]) -> None:
    members = {"model": '"auto"', **{name: json.dumps(value, indent=1) for name, value in body.items()}}
    written = "{" + ",".join(f'"{name}" : {value}' for name, value in members.items()) + "}"

    request = READER.read(written.encode())

    assert request.original is not None
    assert request.api is Api.MESSAGES
    assert {name: bytes(value).decode() for name, value in request.original.members.items()} == members
    assert request.body_bytes >= len(written.encode())


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"tools": [BASH]}, "the tool type 'bash_20250124'"),
        ({"messages": [user({"type": "browser_state", "tabs": []})]}, "a content block of type 'browser_state'"),
        ({"messages": [user({**PLAIN_DOCUMENT, "citations": {"enabled": True}})]}, "citations"),
        (
            {"messages": [user({"type": "image", "source": {"type": "file", "file_id": "f"}})]},
            "a picture by a source of type 'file'",
        ),
        ({"thinking": {"type": "between_tools"}}, "thinking of type 'between_tools'"),
    ],
)
def test_what_no_chat_can_say_keeps_a_request_to_those_who_speak_the_api(
    members: dict[str, object], reason: str
) -> None:
    request = read(**members)

    assert request.original is not None
    assert request.original.untranslatable == reason
    assert request.apis == (Api.MESSAGES,)


def test_everything_else_may_go_as_a_chat_too() -> None:
    assert read(context_management={"edits": [{"type": "clear_thinking_20251015"}]}).apis == (Api.MESSAGES, Api.CHAT)


def test_a_tool_that_its_provider_writes_out_is_held_for() -> None:
    """Anthropic's own tools are a line in the request and hundreds of tokens in the prompt."""
    assert read(tools=[BASH]).body_bytes - read(tools=[{**WEATHER, "name": "bash"}]).body_bytes > 700


# What is refused


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"models": ["a/b"]}, "models"),
        ({"fallbacks": [{"model": "a/b"}]}, "fallbacks"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"preset": "mine"}, "preset"),
        ({"mcp_servers": [{"type": "url", "url": "https://example.org", "name": "x"}]}, "mcp_servers"),
        ({"container": "container_1"}, "container"),
        ({"container": {}}, "container"),
        ({"container": []}, "container"),
        ({"n": 16}, "n"),
        ({"best_of": 16}, "best_of"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"speed": "fast"}, "speed"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
        ({"tools": [{"type": "code_execution_20260521", "name": "code_execution"}]}, "tools"),
        ({"tools": [{"type": "bash_code_execution_20250825", "name": "x"}]}, "tools"),
        ({"tools": [{"type": "tool_search_tool_bm25_20251119", "name": "x"}]}, "tools"),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, "tools"),
        ({"tools": [{"type": "openrouter:web_search"}]}, "tools"),
    ],
)
def test_what_cannot_be_bounded_is_refused_by_name(members: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(**members)

    assert (raised.value.param, raised.value.code) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    "members",
    [
        {"mcp_servers": []},
        {"container": None},
        {"models": []},
        {"speed": "standard"},
        {"inference_geo": None},
        {"n": 1},
    ],
)
def test_what_asks_for_nothing_of_the_kind_passes(members: dict[str, object]) -> None:
    read(**members)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [user({"text": "x"})]}, "messages[0].content[0].type"),
        ({"messages": [user({"type": "text"})]}, "messages[0].content[0].text"),
        ({"messages": [user(TEXT, {"type": "image"})]}, "messages[0].content[1].source"),
        ({"messages": [user({"type": "image", "source": {"type": "base64"}})]}, "messages[0].content[0].source.data"),
        ({"messages": [user({"type": "tool_result"})]}, "messages[0].content[0].tool_use_id"),
        ({"messages": [assistant({"type": "tool_use", "name": "x"})]}, "messages[0].content[0].id"),
        ({"messages": [assistant({"type": "redacted_thinking", "data": 3})]}, "messages[0].content[0].data"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [3]}, "tools[0]"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"provider": {"zdr": 3}}, "provider.zdr"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, object], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(**members)

    assert raised.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"\xff"}', b"[" * 100_000])
def test_what_is_no_body_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        READER.read(body)


def test_tokens_are_counted_without_a_limit() -> None:
    body = b'{"model":"auto","messages":[{"role":"user","content":"Hi"}]}'

    assert MessagesReader(ChatReader(), needs_limit=False).read(body).max_output_tokens is None


@pytest.mark.parametrize("kind", ['"document","source":{"type":"content",', '"search_result","source":"x",'])
def test_blocks_within_blocks_are_read_or_refused_at_any_depth(kind: str) -> None:
    """At 331 search results in each other a RecursionError came out."""
    for depth in range(270, 345):
        nested = f'{{"type":{kind}"content":[' * depth + ("]}}" if "document" in kind else "]}") * depth
        body = f'{{"model":"m","max_tokens":5,"messages":[{{"role":"user","content":[{nested}]}}]}}'
        with suppress(InvalidRequest):
            READER.read(body.encode())
