"""Whatever a client of the Responses API may ask, OpenRouter is sent what its own OpenAPI file allows, and the rest as
it came. And a provider of another kind, what OpenAI's own API would take.

The schema is OpenRouter's, extracted; `openrouter_responses_request.json` says from where and what was left out.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.apis import Api
from router.catalog.catalog import Deployment, Effort, ProviderKind
from router.decision.data_rules import DataRules
from router.errors import InvalidRequest
from router.upstream.orders import NO_ORDERS, Orders
from router.upstream.outgoing import outgoing_body, spoken_to
from router.wire.requests import ChatReader
from router.wire.responses_api.requests import ResponsesReader
from tests.upstream.deployments import deployment, estimate
from tests.upstream.openapi import ORDERS, faults_by
from tests.upstream.test_openrouter_schema import PREFERENCES

faults = faults_by("openrouter_responses_request.json")
READER = ResponsesReader(ChatReader())

EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"}
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
    "strict": True,
}
SHELL = {"type": "custom", "name": "shell", "description": "Runs it.", "format": {"type": "text"}}
GRAMMAR = {"type": "custom", "name": "sum", "format": {"type": "grammar", "syntax": "lark", "definition": "s: NUMBER"}}
AGENTS = {
    "type": "namespace",
    "name": "agents",
    "description": "Agents.",
    "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object"}}, SHELL],
}
COMPUTER = {"type": "computer_use_preview", "display_width": 1024, "display_height": 768, "environment": "browser"}
OTHERS = [{"type": "local_shell"}, {"type": "shell"}, {"type": "apply_patch"}, COMPUTER]

text = st.text(max_size=20)
PARTS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("input_text"), "text": text}),
        st.just(PICTURE),
        st.just({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}),
        st.just({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}),
    ),
    min_size=1,
    max_size=3,
)
ITEMS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "developer", "assistant"]), "content": text}),
        st.fixed_dictionaries({"type": st.just("message"), "role": st.just("user"), "content": PARTS}),
        st.just(
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "So", "annotations": []}],
            }
        ),
        st.just(
            {
                "type": "message",
                "id": "msg_2",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "refusal", "refusal": "No"}],
            }
        ),
        st.just({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AA=="}),
        st.just(
            {
                "type": "reasoning",
                "id": "rs_2",
                "summary": [{"type": "summary_text", "text": "Hm"}],
                "content": [{"type": "reasoning_text", "text": "Hm"}],
            }
        ),
        st.just({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": "{}"}),
        st.just({"type": "function_call_output", "call_id": "c1", "output": "18 degrees"}),
        st.just({"type": "function_call_output", "call_id": "c1", "output": [PICTURE]}),
        st.just({"type": "custom_tool_call", "call_id": "c2", "name": "shell", "input": "ls"}),
        st.just({"type": "custom_tool_call_output", "call_id": "c2", "output": "a b"}),
        st.just(
            {
                "type": "local_shell_call",
                "id": "lsh_1",
                "call_id": "c3",
                "status": "completed",
                "action": {"type": "exec", "command": ["ls"], "env": {}},
            }
        ),
        st.just({"type": "local_shell_call_output", "id": "c3", "output": "a b"}),
        st.just({"type": "additional_tools", "role": "developer", "tools": [WEATHER]}),
    ),
    min_size=1,
    max_size=4,
)
# What a client may send, in the forms that OpenAI's and OpenRouter's own documentation give it; null where OpenAI's
# client libraries allow it.
MEMBERS: Mapping[str, st.SearchStrategy[Any]] = {
    "instructions": st.one_of(st.none(), text),
    "max_output_tokens": st.one_of(st.none(), st.integers(1, 10_000)),
    "stream": st.sampled_from([None, True, False]),
    "stream_options": st.sampled_from([None, {}, {"include_obfuscation": False}]),
    "temperature": st.sampled_from([None, 0, 0.7, 2]),
    "top_p": st.sampled_from([None, 1, 0.1]),
    "top_k": st.sampled_from([None, 40]),
    "top_logprobs": st.sampled_from([None, 0, 20]),
    "frequency_penalty": st.sampled_from([None, -2, 0.5]),
    "presence_penalty": st.sampled_from([None, 2]),
    "tools": st.sampled_from(
        [None, [], [WEATHER], [WEATHER, SHELL, GRAMMAR], [AGENTS], *([each, WEATHER] for each in OTHERS)]
    ),
    "tool_choice": st.sampled_from(
        [
            None,
            "none",
            "auto",
            "required",
            {"type": "function", "name": "weather"},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
            {"type": "apply_patch"},
            {"type": "shell"},
        ]
    ),
    "parallel_tool_calls": st.sampled_from([None, True, False]),
    "max_tool_calls": st.sampled_from([None, 3]),
    "text": st.sampled_from(
        [
            None,
            {"format": {"type": "text"}, "verbosity": "low"},
            {"verbosity": None},
            {"format": {"type": "json_object"}},
            {"format": {"type": "json_schema", "name": "x", "strict": True, "schema": {"type": "object"}}},
        ]
    ),
    "reasoning": st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {},
            optional={
                "effort": st.sampled_from([*EFFORTS, None]),
                "enabled": st.booleans(),
                "summary": st.sampled_from(["auto", "concise", "detailed", None]),
            },
        ),
        st.fixed_dictionaries({"max_tokens": st.integers(1, 10_000)}),
    ),
    "include": st.sampled_from([None, [], ["reasoning.encrypted_content"]]),
    "truncation": st.sampled_from([None, "auto", "disabled"]),
    "provider": st.one_of(st.none(), PREFERENCES),
    "modalities": st.sampled_from([None, ["text"], ["text", "image"]]),
    "image_config": st.just({"aspect_ratio": "16:9"}),
    "service_tier": st.sampled_from([None, "auto", "default", "flex"]),
    "metadata": st.one_of(st.none(), st.dictionaries(text, text, max_size=3)),
    "user": st.one_of(st.none(), text),
    "session_id": st.one_of(st.none(), text),
    "prompt_cache_key": st.one_of(st.none(), text),
    "prompt_cache_options": st.sampled_from([None, {"mode": "explicit", "ttl": "30m"}]),
    "cache_control": st.sampled_from([None, {"type": "ephemeral"}]),
    "safety_identifier": st.sampled_from([None, "user-1"]),
    "store": st.sampled_from([None, True, False]),
    "background": st.sampled_from([None, False]),
    "previous_response_id": st.none(),
    "conversation": st.none(),
    "prompt": st.none(),
    "trace": st.sampled_from([None, {"trace_id": "t", "own": 1}]),
    "debug": st.sampled_from([None, {"echo_upstream_body": True}]),
    "models": st.sampled_from([None, []]),
    "plugins": st.sampled_from([None, []]),
    "client_metadata": st.just({"x": "y"}),
    "tomorrows": st.just({"new": [1e0, None]}),
}
ASKED = st.fixed_dictionaries({"input": st.one_of(st.text(min_size=1, max_size=20), ITEMS)}, optional=MEMBERS)
# What we set, or say in other words.
OURS = ("model", "max_output_tokens", "provider", "session_id", "store")
NATIVE: list[ProviderKind] = ["openrouter", "openai_compatible"]


def native(kind: ProviderKind = "openrouter") -> Deployment:
    return deployment(kind, apis=frozenset({Api.CHAT, Api.RESPONSES}))


def sent(
    members: Mapping[str, object], orders: Orders = NO_ORDERS, kind: ProviderKind = "openrouter"
) -> dict[str, Any]:
    """What goes to a provider that speaks the API for a request with these members."""
    request = READER.read(json.dumps({"model": "auto", "input": "Hi", **members}).encode())
    assert spoken_to(request, native(kind)) is Api.RESPONSES
    body: dict[str, Any] = json.loads(outgoing_body(request, native(kind), estimate(), orders=orders))
    return body


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(ASKED, ORDERS)
def test_what_goes_to_openrouter_is_what_its_openapi_file_allows(asked: dict[str, Any], orders: Orders) -> None:
    assert faults(sent(asked, orders)) == []


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(ASKED, ORDERS, st.sampled_from(NATIVE))
def test_there_is_always_a_limit_and_the_rest_is_the_clients(
    asked: dict[str, Any], orders: Orders, kind: ProviderKind
) -> None:
    body = sent(asked, orders, kind)

    assert (body["model"], body["max_output_tokens"], body["store"]) == ("deepseek-chat", 500, False)
    if kind == "openrouter":
        assert {"prompt", "completion"} <= body["provider"]["max_price"].keys()
    said = {name for name in asked if name not in OURS and (orders.effort is None or name != "reasoning")}
    kept = {name for name in said if name in body}
    assert {name: body[name] for name in kept} == {name: asked[name] for name in kept}
    left_out = {name for name in said - kept if asked[name] is not None}
    assert left_out <= ({"trace", "debug"} if kind == "openai_compatible" else set())


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_each_member_alone_is_allowed_in_every_form(name: str) -> None:
    """The law above again, for each member: a fault is named by the test that finds it."""

    @settings(deadline=None)
    @given(MEMBERS[name])
    def holds(value: object) -> None:
        assert faults(sent({name: value})) == []

    holds()


@settings(deadline=None)
@given(ITEMS)
def test_each_item_is_allowed(items: list[Any]) -> None:
    assert faults(sent({"input": items})) == []


@pytest.mark.parametrize("kind", NATIVE)
def test_numbers_escapes_and_the_order_of_members_arrive_as_they_were_written(kind: ProviderKind) -> None:
    raw = b'{ "tomorrows" :{"b":1e2,  "a":"\\u00e9\xc3\xa9"},"model":"auto","temperature":0.70,"input":"Te\\u0061"}'
    body = outgoing_body(READER.read(raw), native(kind), estimate())

    assert body.startswith(
        b'{"tomorrows":{"b":1e2,  "a":"\\u00e9\xc3\xa9"},"model":"deepseek-chat",'
        b'"temperature":0.70,"input":"Te\\u0061",'
    )


@pytest.mark.parametrize(
    "member",
    [
        {"models": ["a/b"]},
        {"plugins": [{"id": "web"}]},
        {"route": "fallback"},
        {"stop_server_tools_when": [{"type": "step_count_is", "step_count": 1}]},
        {"tools": [{"type": "openrouter:web_search"}]},
        {"tools": [{"type": "web_search"}]},
        {"previous_response_id": "resp_1"},
        {"prompt": {"id": "pmpt_1"}},
    ],
)
def test_what_the_extract_forbids_is_what_we_refuse(member: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        sent(member)
    assert faults({"input": "Hi", **member}) != []


@pytest.mark.parametrize(
    ("kind", "asked", "effort", "expected"),
    [
        ("openrouter", {"effort": "high", "summary": "auto"}, Effort.LOW, {"summary": "auto", "effort": "low"}),
        ("openrouter", {"max_tokens": 400}, Effort.LOW, {"max_tokens": 100}),
        ("openrouter", None, Effort.NONE, {"effort": "none"}),
        ("openai_compatible", {"max_tokens": 400, "summary": "auto"}, Effort.LOW, {"summary": "auto", "effort": "low"}),
    ],
)
def test_how_hard_to_think_is_said_in_each_providers_words(
    kind: ProviderKind, asked: object, effort: Effort, expected: object
) -> None:
    assert sent({"reasoning": asked}, Orders(effort=effort), kind)["reasoning"] == expected


def test_others_than_openrouter_get_nothing_that_only_openrouter_knows() -> None:
    orders = Orders(data=DataRules(zdr=True, deny_collection=False, only=None, ignore=frozenset()), session_id="s")
    asked = {"provider": {"zdr": True}, "session_id": "mine", "trace": {}, "debug": {}}

    assert sent(asked, orders, "openai_compatible") == {
        "model": "deepseek-chat",
        "input": "Hi",
        "max_output_tokens": 500,
        "store": False,
    }


def test_who_speaks_chat_only_is_asked_for_a_chat() -> None:
    asked = {"input": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
    request = READER.read(json.dumps({"model": "auto", **asked}).encode())

    assert spoken_to(request, deployment("deepseek")) is Api.CHAT
    assert json.loads(outgoing_body(request, deployment("deepseek"), estimate())) == {
        "model": "deepseek-chat",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "max_tokens": 500,
    }
