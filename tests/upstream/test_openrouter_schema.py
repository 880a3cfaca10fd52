"""Whatever a client may ask, OpenRouter is sent what its own OpenAPI file allows.

The schema is OpenRouter's, extracted; `openrouter_chat_request.json` says from where and what was left out.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.upstream.orders import NO_ORDERS, Orders
from router.upstream.outgoing import outgoing_body
from router.wire.requests import ChatReader
from tests.upstream.deployments import deployment, estimate
from tests.upstream.openapi import ORDERS, faults_by

faults = faults_by("openrouter_chat_request.json")
READER = ChatReader()

EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
CACHED = {"type": "ephemeral", "ttl": "1h"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
        "strict": True,
    },
}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Graz"}'}}
THOUGHT = [
    {"type": "reasoning.text", "text": "Hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.summary", "summary": "Hm", "format": "openai-responses-v1", "index": 1},
    {"type": "reasoning.encrypted", "data": "AA==", "id": "rs_1", "format": "openai-responses-v1", "index": 2},
]

text = st.text(max_size=20)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["system", "developer", "user", "assistant"]), "content": text}),
        st.fixed_dictionaries({"role": st.just("user"), "content": text, "name": st.just("ada")}),
        st.just({"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": CACHED}]}),
        st.just({"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}),
        st.just({"role": "assistant", "content": None, "tool_calls": [CALLED]}),
        st.just({"role": "assistant", "content": "So", "reasoning": "Hm", "reasoning_details": THOUGHT}),
        st.just({"role": "assistant", "content": "", "images": [{"type": "image_url", "image_url": {"url": "x"}}]}),
        st.just({"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}),
        st.just({"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "18 degrees"}]}),
    ),
    min_size=1,
    max_size=4,
)
PREFERENCES = st.fixed_dictionaries(
    {},
    optional={
        "order": st.lists(st.sampled_from(["anthropic", "deepinfra/turbo"]), max_size=2),
        "only": st.sampled_from([None, [], ["azure"]]),
        "ignore": st.sampled_from([None, ["novita"]]),
        "allow_fallbacks": st.booleans(),
        "require_parameters": st.sampled_from([None, True]),
        "data_collection": st.sampled_from([None, "allow", "deny"]),
        "zdr": st.sampled_from([None, True, False]),
        "quantizations": st.just(["fp8", "bf16"]),
        "sort": st.sampled_from(["price", "throughput", {"by": "latency", "partition": "none"}]),
        "preferred_min_throughput": st.sampled_from([None, 40, {"p50": 40}]),
        "max_price": st.fixed_dictionaries(
            {},
            optional={
                name: st.one_of(
                    st.none(), st.integers(0, 1000), st.decimals(0, 1000, places=6).map(float), st.just("0.25")
                )
                for name in ("prompt", "completion", "request", "image", "audio")
            },
        ),
    },
)
# What a client may send, in the forms that OpenAI's and OpenRouter's own documentation give it; null where OpenAI's
# client libraries allow it.
MEMBERS: Mapping[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.one_of(st.none(), st.integers(1, 10_000)),
    "max_completion_tokens": st.one_of(st.none(), st.integers(1, 10_000)),
    "stream": st.sampled_from([None, True, False]),
    "stream_options": st.sampled_from([None, {}, {"include_usage": False}, {"include_obfuscation": False}]),
    "n": st.sampled_from([None, 1, 4]),
    "temperature": st.sampled_from([None, 0, 0.7, 2]),
    "top_p": st.sampled_from([None, 1, 0.1]),
    "top_k": st.sampled_from([None, 40]),
    "min_p": st.just(0.1),
    "top_a": st.just(0.1),
    "frequency_penalty": st.sampled_from([None, -2, 0.5]),
    "presence_penalty": st.sampled_from([None, 2]),
    "repetition_penalty": st.just(1.1),
    "seed": st.one_of(st.none(), st.integers(-(2**31), 2**31)),
    "stop": st.one_of(st.none(), text, st.lists(text, max_size=4)),
    "logit_bias": st.sampled_from([None, {}, {"50256": -100}]),
    "logprobs": st.sampled_from([None, True]),
    "top_logprobs": st.sampled_from([None, 0, 20]),
    "tools": st.sampled_from([None, [], [WEATHER], [{**WEATHER, "cache_control": CACHED}, WEATHER]]),
    "tool_choice": st.sampled_from(
        [None, "none", "auto", "required", {"type": "function", "function": {"name": "weather"}}]
    ),
    "parallel_tool_calls": st.sampled_from([None, True, False]),
    "response_format": st.sampled_from(
        [
            None,
            {"type": "text"},
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}},
        ]
    ),
    "reasoning": st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {},
            optional={
                "effort": st.sampled_from([*EFFORTS, None]),
                "exclude": st.booleans(),
                "enabled": st.booleans(),
                "summary": st.sampled_from(["auto", "concise", "detailed"]),
            },
        ),
        st.fixed_dictionaries({"max_tokens": st.integers(1, 10_000)}, optional={"exclude": st.booleans()}),
    ),
    "reasoning_effort": st.sampled_from([*EFFORTS, None]),
    "include_reasoning": st.booleans(),
    "verbosity": st.sampled_from(["low", "high"]),
    "provider": st.one_of(st.none(), PREFERENCES),
    "prediction": st.sampled_from([None, {"type": "content", "content": [{"type": "text", "text": "So"}]}]),
    "modalities": st.sampled_from([None, ["text"], ["text", "image"]]),
    "image_config": st.just({"aspect_ratio": "16:9"}),
    "service_tier": st.sampled_from([None, "auto", "default", "flex"]),
    "metadata": st.one_of(st.none(), st.dictionaries(text, text, max_size=3)),
    "user": st.one_of(st.none(), text),
    "session_id": st.one_of(st.none(), text),
    "prompt_cache_key": st.one_of(st.none(), text),
    "prompt_cache_options": st.sampled_from([None, {"mode": "explicit", "ttl": "30m"}]),
    "cache_control": st.sampled_from([None, {"type": "ephemeral"}, CACHED]),
    "store": st.sampled_from([None, False]),
    "safety_identifier": st.just("user-1"),
    "trace": st.sampled_from([None, {"trace_id": "t", "own": 1}]),
    "debug": st.sampled_from([None, {"echo_upstream_body": True}]),
    "transforms": st.just(["middle-out"]),
    "usage": st.just({"include": True}),
    "models": st.sampled_from([None, []]),
    "plugins": st.sampled_from([None, []]),
    "route": st.none(),
    "tomorrows": st.just({"new": [1e0, None]}),
}
# What we set, or say in other words.
OURS = ("model", "max_tokens", "max_completion_tokens", "stream_options", "provider", "session_id")
THINKING = ("reasoning", "reasoning_effort", "include_reasoning", "thinking")


def sent(members: Mapping[str, object], orders: Orders = NO_ORDERS) -> dict[str, Any]:
    """What OpenRouter gets for a request with these members."""
    request = READER.read(json.dumps({"model": "auto", **members}).encode())
    body: dict[str, Any] = json.loads(outgoing_body(request, deployment(), estimate(), orders=orders))
    return body


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(st.fixed_dictionaries({"messages": MESSAGES}, optional=MEMBERS), ORDERS)
def test_what_goes_to_openrouter_is_what_its_openapi_file_allows(asked: dict[str, Any], orders: Orders) -> None:
    assert faults(sent(asked, orders)) == []


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(st.fixed_dictionaries({"messages": MESSAGES}, optional=MEMBERS), ORDERS)
def test_there_is_always_a_limit_and_a_price_and_the_rest_is_the_clients(asked: dict[str, Any], orders: Orders) -> None:
    body = sent(asked, orders)

    assert (body.get("max_tokens"), body.get("max_completion_tokens")) in [(500, None), (None, 500)]
    assert {"prompt", "completion"} <= body["provider"]["max_price"].keys()
    said = {name for name in asked if name not in OURS and (orders.effort is None or name not in THINKING)}
    assert {name: body[name] for name in said if name in body} == {name: asked[name] for name in said if name in body}
    assert [name for name in said if name not in body and asked[name] is not None] == []


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_each_member_alone_is_allowed_in_every_form(name: str) -> None:
    """The law above again, for each member: a fault is named by the test that finds it."""

    @settings(deadline=None)
    @given(MEMBERS[name])
    def holds(value: object) -> None:
        assert faults(sent({"messages": [{"role": "user", "content": "Hi"}], name: value})) == []

    holds()


def test_what_openrouter_has_no_null_for_is_left_out_and_other_nulls_are_not() -> None:
    asked = {"metadata": None, "user": None, "stream": None, "tools": None, "stop": None, "tomorrows": None}

    body = sent({"messages": [{"role": "user", "content": "Hi"}], **asked})

    assert {name for name in asked if name in body} == {"stop", "tomorrows"}


def test_an_option_of_a_stream_that_we_do_not_know_is_kept() -> None:
    asked = {"stream": True, "stream_options": {"include_obfuscation": False, "include_usage": False}}

    body = sent({"messages": [{"role": "user", "content": "Hi"}], **asked})

    assert body["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@pytest.mark.parametrize(
    "member",
    [
        {"models": ["a/b"]},
        {"plugins": [{"id": "web"}]},
        {"route": "fallback"},
        {"stop_server_tools_when": [{"type": "step_count_is", "step_count": 1}]},
        {"tools": [{"type": "openrouter:web_search"}]},
    ],
)
def test_what_the_extract_forbids_is_what_we_refuse(member: dict[str, object]) -> None:
    asked = {"messages": [{"role": "user", "content": "Hi"}], **member}

    with pytest.raises(InvalidRequest):
        sent(asked)
    assert faults(asked) != []


def test_a_custom_tool_is_the_one_thing_forwarded_that_the_file_does_not_have() -> None:
    """OpenAI has had it since 2025; a provider that speaks OpenAI's API takes it, and OpenRouter may by now."""
    custom = {"type": "custom", "custom": {"name": "shell"}}

    body = sent({"messages": [{"role": "user", "content": "Hi"}], "tools": [custom]})

    assert body["tools"] == [custom]
    assert {each.split(":")[0] for each in faults(body)} == {"['tools', 0]", "['tools', 0, 'type']"}
