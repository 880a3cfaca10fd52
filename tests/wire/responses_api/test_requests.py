"""Responses requests, read as the chat that says the same."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.requests import ChatReader, ModelRequest
from router.wire.responses_api.requests import ResponsesReader

READER = ResponsesReader(ChatReader())
FUNCTION = {"type": "function", "name": "tea", "parameters": {"type": "object"}}
SHELL = {"type": "custom", "name": "shell", "description": "Runs it."}
AGENTS = {"type": "namespace", "name": "agents", "tools": [{"type": "function", "name": "spawn"}]}


def read(**members: object) -> ModelRequest:
    return READER.read(json.dumps({"model": "auto", "input": "Hi", **members}).encode())


def chat(**members: object) -> dict[str, Any]:
    """The members of the chat that says the same, but for model and messages."""
    said: dict[str, Any] = json.loads(read(**members).body_with({}, without=("model", "messages")))
    return said


def messages(*items: object, **members: object) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(read(input=items, **members).body_with({}))["messages"]
    return told


def untranslatable(**members: object) -> str | None:
    original = read(**members).original
    assert original is not None
    return original.untranslatable


def refused(**members: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        read(**members)
    return raised.value


def test_a_text_is_a_message_of_the_user_after_the_instructions() -> None:
    told = json.loads(read(instructions="Be brief.").body_with({}))["messages"]

    assert told == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]


def test_the_clients_own_members_are_kept_as_they_came() -> None:
    body = b'{"model":"auto", "input":"Te\\u0061", "temperature":0.70, "tomorrows":{"b":1e2, "a":1}}'

    request = READER.read(body)

    assert request.original is not None
    assert request.original.api is request.api is Api.RESPONSES
    assert {name: bytes(value) for name, value in request.original.members.items()} == {
        "model": b'"auto"',
        "input": b'"Te\\u0061"',
        "temperature": b"0.70",
        "tomorrows": b'{"b":1e2, "a":1}',
    }


def test_what_bounds_the_hold_is_the_larger_of_both_bodies() -> None:
    short = b'{"model":"a","input":"b"}'
    long = json.dumps({"model": "a", "input": [{"type": "message", "id": "x" * 500, "role": "user", "content": "b"}]})

    assert READER.read(short).body_bytes > len(short)
    assert READER.read(long.encode()).body_bytes == len(long)


def test_what_the_model_said_in_one_turn_is_one_message() -> None:
    told = messages(
        {"role": "user", "content": [{"type": "input_text", "text": "Tea?"}]},
        {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "H"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
        {"type": "function_call", "call_id": "c1", "name": "tea", "arguments": "{}"},
        {"type": "reasoning", "id": "rs", "summary": [], "content": [{"type": "reasoning_text", "text": "m"}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "shell", "input": "ls\n"},
        {"type": "function_call", "call_id": "c3", "name": "spawn", "namespace": "agents", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "hot"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a b"}]},
        {"role": "assistant", "content": "Done."},
    )

    def function(name: str, arguments: str) -> dict[str, Any]:
        return {"name": name, "arguments": arguments}

    assert told == [
        {"role": "user", "content": "Tea?"},
        {
            "role": "assistant",
            "content": "Wait.",
            "reasoning_content": "Hm",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": function("tea", "{}")},
                {"id": "c2", "type": "function", "function": function("shell", '{"input":"ls\\n"}')},
                {"id": "c3", "type": "function", "function": function("agents__spawn", "{}")},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "hot"},
        {"role": "tool", "tool_call_id": "c2", "content": "a b"},
        {"role": "assistant", "content": "Done."},
    ]


def test_parts_keep_their_order_and_their_marks() -> None:
    (message,) = messages(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}},
                {"type": "input_image", "image_url": "https://a.b/c.png", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:,"},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
            ],
        }
    )

    assert message["content"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://a.b/c.png", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:,"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]


def test_a_refusal_of_the_models_stays_one() -> None:
    (message,) = messages({"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]})

    assert message == {"role": "assistant", "content": None, "refusal": "No"}


def test_sealed_reasoning_alone_leaves_an_empty_message() -> None:
    (message,) = messages({"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "AA=="})

    assert message == {"role": "assistant", "content": ""}


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"max_output_tokens": 50}, {"max_completion_tokens": 50}),
        ({"stream": True, "temperature": 0.5, "user": "u"}, {"stream": True, "temperature": 0.5, "user": "u"}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"reasoning": {"max_tokens": 5, "effort": None}}, {"reasoning": {"max_tokens": 5}}),
        ({"reasoning": {"enabled": False}}, {"reasoning": {"enabled": False}}),
        ({"reasoning": {"effort": None, "summary": None}}, {}),
        ({"text": {"verbosity": "low", "format": {"type": "text"}}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"a": 1}, "strict": True}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"a": 1}, "strict": True},
                }
            },
        ),
        ({"metadata": {"a": "b"}, "store": True, "include": ["reasoning.encrypted_content"]}, {}),
        ({"parallel_tool_calls": True, "tool_choice": "auto"}, {}),
        ({"prompt_cache_key": "k", "service_tier": "flex"}, {"service_tier": "flex", "prompt_cache_key": "k"}),
        ({"temperature": None, "user": None, "reasoning": None, "text": None, "tools": None}, {}),
    ],
)
def test_members_are_said_in_a_chats_words(members: dict[str, Any], expected: dict[str, Any]) -> None:
    assert chat(**members) == expected
    assert untranslatable(**members) is None


def test_tools_are_functions_whatever_they_were() -> None:
    told = chat(tools=[{**FUNCTION, "strict": False}, SHELL, AGENTS], parallel_tool_calls=False)

    assert told["parallel_tool_calls"] is False
    assert [each["function"]["name"] for each in told["tools"]] == ["tea", "shell", "agents__spawn"]
    assert told["tools"][0]["function"] == {"name": "tea", "parameters": {"type": "object"}, "strict": False}
    assert told["tools"][1]["function"]["parameters"]["required"] == ["input"]


@pytest.mark.parametrize(
    ("choice", "said", "offered"),
    [
        ("required", "required", ["tea", "shell", "agents__spawn"]),
        ("none", "none", ["tea", "shell", "agents__spawn"]),
        (
            {"type": "function", "name": "tea"},
            {"type": "function", "function": {"name": "tea"}},
            ["tea", "shell", "agents__spawn"],
        ),
        (
            {"type": "custom", "name": "shell"},
            {"type": "function", "function": {"name": "shell"}},
            ["tea", "shell", "agents__spawn"],
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "shell"}]},
            "required",
            ["shell"],
        ),
    ],
)
def test_a_choice_among_tools_is_kept(choice: object, said: object, offered: list[str]) -> None:
    told = chat(tools=[FUNCTION, SHELL, AGENTS], tool_choice=choice)

    assert told["tool_choice"] == said
    assert [each["function"]["name"] for each in told["tools"]] == offered


PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"tools": [{"type": "local_shell"}]}, "a tool of type 'local_shell'"),
        ({"tools": [{"type": "shell", "environment": {"type": "local"}}]}, "a tool of type 'shell'"),
        ({"tools": [{"type": "tool_search", "execution": "client"}]}, "a tool of type 'tool_search'"),
        (
            {"tools": [{**SHELL, "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}]},
            "a custom tool whose input has a 'grammar' format",
        ),
        ({"tools": [FUNCTION, {**SHELL, "name": "tea"}]}, "two tools with the same name"),
        (
            {"tools": [{**AGENTS, "name": "a" * 60}]},
            "a namespace and a function whose names are too long for one name",
        ),
        ({"tools": [FUNCTION], "tool_choice": {"type": "apply_patch"}}, "a tool choice of type 'apply_patch'"),
        ({"truncation": "auto"}, "`truncation` 'auto'"),
        ({"top_logprobs": 3}, "a wish for logprobs"),
        ({"include": ["message.output_text.logprobs"]}, "a wish for logprobs"),
        ({"modalities": ["text", "image"]}, "a wish for more than text"),
        ({"tomorrows": 1}, "a member `tomorrows`"),
        ({"input": [{"type": "local_shell_call", "id": "x"}]}, "an item of type 'local_shell_call'"),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [PICTURE]}]},
            "a picture or file as what a tool gave",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]},
            "a picture by the id of a file",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://a.b"}]}]},
            "a file by its address or id",
        ),
        ({"input": [{"role": "user", "content": [{"type": "input_hologram"}]}]}, "a part of type 'input_hologram'"),
    ],
)
def test_what_no_chat_can_say_is_named_and_passes_to_who_speaks_the_api(members: dict[str, Any], what: str) -> None:
    assert untranslatable(**members) == f"No chat request can say the same: it has {what}."
    assert read(**members).apis == (Api.RESPONSES,)


@pytest.mark.parametrize(
    ("item", "kinds"),
    [
        ({"type": "input_hologram"}, {"text", "input_hologram"}),
        ({"type": "image_generation_call", "id": "ig", "result": "AA=="}, {"image_url"}),
        (
            {
                "type": "computer_call_output",
                "call_id": "c",
                "output": {"type": "computer_screenshot", "image_url": "data:,"},
            },
            {"image_url"},
        ),
        ({"type": "web_search_call", "id": "ws", "status": "completed"}, {"text"}),
    ],
)
def test_items_of_other_kinds_are_counted_as_what_they_may_be(item: object, kinds: set[str]) -> None:
    (message,) = read(input=[item]).messages

    content = message.content
    assert isinstance(content, list)
    assert {part.type for part in content} == kinds


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"previous_response_id": "r"}, "previous_response_id", "unsupported_parameter"),
        ({"conversation": {"id": "c"}}, "conversation", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", "unsupported_parameter"),
        ({"n": 2}, "n", "unsupported_parameter"),
        ({"best_of": 2}, "best_of", "unsupported_parameter"),
        ({"models": ["a/b"]}, "models", "unsupported_parameter"),
        ({"plugins": [{"id": "web"}]}, "plugins", "unsupported_parameter"),
        ({"service_tier": "priority"}, "service_tier", "unsupported_parameter"),
        ({"tools": [FUNCTION, {"type": "web_search"}]}, "tools[1]", "unsupported_parameter"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0]", "unsupported_parameter"),
        ({"tools": [{"type": "openrouter:shell"}]}, "tools[0]", "unsupported_parameter"),
        (
            {"tools": [{"type": "shell", "environment": {"type": "container_auto"}}]},
            "tools[0]",
            "unsupported_parameter",
        ),
        ({"tools": [{"type": "shell", "environment": "box"}]}, "tools[0]", "unsupported_parameter"),
        ({"tools": [{"type": "tool_search"}]}, "tools[0]", "unsupported_parameter"),
        (
            {"tools": [{**AGENTS, "tools": [{"type": "code_interpreter"}]}]},
            "tools[0].tools[0]",
            "unsupported_parameter",
        ),
        (
            {"input": [{"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}]},
            "input[0].tools[0]",
            "unsupported_parameter",
        ),
        ({"tool_choice": {"type": "web_search_preview"}}, "tool_choice", "unsupported_parameter"),
        ({"tool_choice": "sometimes"}, "tool_choice", "unsupported_parameter"),
        ({"tool_choice": 5}, "tool_choice", "invalid_type"),
        ({"input": [{"type": "item_reference", "id": "m"}]}, "input[0]", "unsupported_parameter"),
        ({"input": [{"type": "compaction_trigger"}]}, "input[0]", "unsupported_parameter"),
        ({"input": []}, "input", "empty_array"),
        ({"input": None}, "input", "missing_input"),
        ({"input": ""}, "input", "missing_input"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": [{"role": "user", "content": 5}]}, "input[0].content", "invalid_type"),
        ({"input": [{"role": "robot", "content": "a"}]}, "input[0].role", "invalid_type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": 5}]}]},
            "input[0].content[0].text",
            "x",
        ),
        ({"input": [{"type": "function_call", "name": "a"}]}, "input[0]", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"max_output_tokens": "many"}, "max_output_tokens", "invalid_type"),
        ({"text": {"format": 5}}, "text.format", "invalid_type"),
        ({"tools": [{}]}, "tools[0].type", "invalid_type"),
    ],
)
def test_what_cannot_be_served_names_its_place(members: dict[str, Any], param: str, code: str) -> None:
    error = refused(**members)

    assert (error.param, error.code) == (param, "invalid_type" if code == "x" else code)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"model":"a","input":"\xff"}', b"[" * 100_000, b'{"input":"a"}'])
def test_what_is_no_request_is_said_so(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        READER.read(body)


def test_a_cache_mark_anywhere_is_seen() -> None:
    marked = {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    request = read(input=[{"role": "user", "content": [marked]}])

    assert (request.asks_cache, request.asks_one_hour_cache) == (True, True)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5)),
    lambda inside: st.one_of(
        st.lists(inside, max_size=3), st.dictionaries(st.sampled_from(["type", "role", "content", "text"]), inside)
    ),
    max_leaves=8,
)
NAMES = ["input", "tools", "tool_choice", "text", "reasoning", "include", "truncation", "stream", "n", "prompt"]


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=4))
def test_any_body_is_read_or_refused_by_name(members: dict[str, Any]) -> None:
    body = json.dumps({"model": "auto", "input": "Hi", **members}).encode()

    request: ModelRequest | None = None
    param: str | None = None
    try:
        request = READER.read(body)
    except InvalidRequest as error:
        param = error.param
    if request is None:
        assert param
        return
    assert request.messages
    assert request.original is not None
    assert json.loads(request.original.body_with({})) == json.loads(body)


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"type": "input_image", "image_url": "https://example.org/1.png"}, "image_url"),
        ({"type": "input_file", "file_url": "https://example.org/1.pdf"}, "file"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}}, "input_audio"),
    ],
)
def test_a_picture_or_file_in_what_the_model_said_is_counted(part: dict[str, object], kind: str) -> None:
    """OpenRouter takes them in messages of any role. They were held for with the bytes of their address."""
    request = read(input=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [part]}])

    assert kind in [each.type for said in request.messages if isinstance(said.content, list) for each in said.content]
    assert request.original is not None
    assert request.original.untranslatable is not None


@pytest.mark.parametrize(
    "members", ['"input":"x","tools":[%s]', '"input":[{"type":"additional_tools","tools":[%s]}]'], ids=str
)
def test_tools_within_tools_are_refused_and_break_nothing(members: str) -> None:
    """At some depth the items were still read and the tools in them were not: a RecursionError came out."""
    for depth in (9, *range(440, 500), 5_000):
        nested = '{"type":"namespace","name":"a","tools":[' * depth + "]}" * depth
        with pytest.raises(InvalidRequest):
            READER.read(b'{"model":"m",%b}' % (members % nested).encode())


@pytest.mark.parametrize("kind", ["additional_tools", "tool_search_output"])
def test_tools_among_the_items_are_tools(kind: str) -> None:
    """They need a model that takes tools, and the prompt that its provider adds for them is held for."""
    items = [{"type": kind, "tools": [FUNCTION]}, {"role": "user", "content": "Hi"}]

    assert len(read(input=items).tools) == 1
    assert len(read(input=items, tools=[FUNCTION]).tools) == 1
    assert not read(input=[{"type": kind, "tools": []}, *items[1:]]).tools
