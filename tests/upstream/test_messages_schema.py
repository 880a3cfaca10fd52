"""Whatever a client may ask by Anthropic's API, OpenRouter is sent what its own OpenAPI file allows, by either API.

The schemas are OpenRouter's, extracted; each file says from where and what was left out.
"""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings

from router.apis import Api
from router.catalog.catalog import Deployment, Effort, ModelName
from router.errors import InvalidRequest
from router.upstream.orders import NO_ORDERS, Orders
from router.upstream.outgoing import outgoing_body
from router.wire.messages_api.reading import MessagesReader
from router.wire.requests import ChatReader
from tests.replacing import replace
from tests.upstream.deployments import deployment, estimate
from tests.upstream.openapi import ORDERS, faults_by
from tests.wire.anthropic_bodies import BASH, BODIES, MEMBERS, THOUGHT, WEATHER

faults, faults_of_chat = faults_by("openrouter_messages_request.json"), faults_by("openrouter_chat_request.json")
READER = MessagesReader(ChatReader())
HI = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100}
OURS = ("model", "max_tokens", "provider", "session_id")
THINKING = ("thinking", "output_config")


def speaking(*apis: Api, kind: str = "openrouter") -> Deployment:
    there = deployment("openrouter" if kind == "openrouter" else "openai_compatible")
    return replace(there, provider=replace(there.provider, apis=frozenset(apis)))


def sent(
    members: Mapping[str, object],
    orders: Orders = NO_ORDERS,
    *,
    to: Deployment = speaking(Api.CHAT, Api.MESSAGES),  # noqa: B008 - a value
    limit: int = 500,
) -> dict[str, Any]:
    request = READER.read(json.dumps({"model": "auto", **members}).encode())
    body = outgoing_body(request, to, estimate(max_output_tokens=limit), orders=orders)
    read: dict[str, Any] = json.loads(body)
    return read


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(BODIES, ORDERS)
def test_what_goes_to_openrouter_is_what_its_openapi_file_allows(asked: dict[str, Any], orders: Orders) -> None:
    assert faults(sent(asked, orders)) == []


@settings(deadline=None)
@given(BODIES, ORDERS)
def test_what_goes_there_as_a_chat_is_what_the_file_allows_too(asked: dict[str, Any], orders: Orders) -> None:
    assert faults_of_chat(sent(asked, orders, to=speaking(Api.CHAT))) == []


@settings(deadline=None)
@given(BODIES, ORDERS)
def test_there_is_always_a_limit_and_a_price_and_the_rest_is_the_clients(asked: dict[str, Any], orders: Orders) -> None:
    body = sent(asked, orders)

    assert body["max_tokens"] == 500
    assert {"prompt", "completion"} <= body["provider"]["max_price"].keys()
    is_ours = {*OURS, *(THINKING if orders.effort is not None else ("thinking",))}
    said = {name: value for name, value in asked.items() if name not in is_ours and value is not None}
    assert {name: body.get(name) for name in said} == said


@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_each_member_alone_is_allowed_in_every_form(name: str) -> None:
    """The laws above again, for each member: a fault is named by the test that finds it."""

    @settings(deadline=None)
    @given(MEMBERS[name])
    def holds(value: object) -> None:
        assert faults(sent({**HI, name: value})) == []
        assert faults_of_chat(sent({**HI, name: value}, to=speaking(Api.CHAT))) == []

    holds()


@pytest.mark.parametrize(
    "member",
    [
        {"models": ["a/b"]},
        {"fallbacks": [{"model": "a/b"}]},
        {"plugins": [{"id": "web"}]},
        {"route": "fallback"},
        {"stop_server_tools_when": [{"type": "step_count_is", "step_count": 1}]},
        {"speed": "fast"},
        {"tools": [{"type": "openrouter:web_search"}]},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"context_management": {"edits": [{"type": "compact_20260112"}]}},
    ],
)
def test_what_the_extract_forbids_is_what_we_refuse(member: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        sent({**HI, **member})
    assert faults({"model": "a", **HI, **member}) != []


def test_a_tool_that_the_client_runs_is_sent_as_it_came() -> None:
    body = sent({**HI, "tools": [BASH, WEATHER]})

    assert body["tools"] == [BASH, WEATHER]
    assert faults(body) == []


@pytest.mark.parametrize(
    ("asked", "effort", "thinking", "config"),
    [
        ({}, Effort.NONE, {"type": "disabled"}, None),
        ({}, Effort.MINIMAL, {"type": "adaptive"}, {"effort": "low"}),
        ({"output_config": {"effort": "max"}}, Effort.MEDIUM, {"type": "adaptive"}, {"effort": "medium"}),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            Effort.HIGH,
            {"type": "adaptive", "display": "omitted"},
            {"effort": "high"},
        ),
        # Medium is half of the limit: 10,000.
        ({"thinking": {"type": "enabled", "budget_tokens": 9_999}}, Effort.MEDIUM, 9_999, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, Effort.MEDIUM, 10_000, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_001}}, Effort.MEDIUM, 10_000, None),
        ({"thinking": {"type": "enabled", "budget_tokens": 5_000}}, Effort.NONE, {"type": "disabled"}, None),
    ],
)
def test_an_effort_that_is_ordered_is_said_in_the_words_of_the_api(
    asked: dict[str, object], effort: Effort, thinking: object, config: object
) -> None:
    body = sent({**HI, **asked}, Orders(effort=effort), limit=20_000)

    budget = {"type": "enabled", "budget_tokens": thinking} if isinstance(thinking, int) else thinking
    assert (body["thinking"], body.get("output_config")) == (budget, config)


@pytest.mark.parametrize(("limit", "budget"), [(2_001, 2_000), (2_000, 1_999), (1_025, 1_024), (1_024, None)])
def test_a_budget_for_thinking_stays_below_a_limit_that_was_lowered(limit: int, budget: int | None) -> None:
    """Anthropic refuses one that does not, and the limit may be lowered to the money left."""
    asked = {"messages": HI["messages"], "max_tokens": 4_000, "thinking": {"type": "enabled", "budget_tokens": 2_000}}

    body = sent(asked, limit=limit)

    cut = {"type": "disabled"} if budget is None else {"type": "enabled", "budget_tokens": budget}
    assert body["thinking"] == cut


def test_thoughts_that_nobody_signed_do_not_go_to_claude_who_would_refuse_them() -> None:
    """They are another model's, of an earlier turn of the same conversation."""
    unsigned = {"type": "thinking", "thinking": "Hm", "signature": ""}
    said = {"type": "text", "text": 'I wrote "signature":"" there.', "odd": 1.0}
    asked = {
        "max_tokens": 100,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [unsigned, THOUGHT, said]},
            {"role": "assistant", "content": [unsigned]},
            {"role": "user", "content": 'And "signature":""?'},
        ],
    }
    here = speaking(Api.MESSAGES)
    claude = replace(here, model=replace(here.model, name=ModelName("anthropic/claude-sonnet-4.6")))

    assert sent(asked, to=claude)["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [THOUGHT, said]},
        {"role": "user", "content": 'And "signature":""?'},
    ]
    assert sent(asked, to=here)["messages"] == asked["messages"]


def test_claude_codes_note_that_spoils_every_prompt_cache_goes_no_further() -> None:
    note = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch=36ee5;"}
    prompt = {
        "type": "text",
        "text": "You are x-anthropic-billing-header: free.",
        "cache_control": {"type": "ephemeral"},
    }
    asked = {**HI, "system": [note, prompt]}

    assert sent(asked)["system"] == [prompt]
    assert sent(asked, to=speaking(Api.CHAT))["messages"][0] == {"role": "system", "content": [prompt]}
    more = f"{note['text']}\nYou are free."
    for system in (more, [{"type": "text", "text": more}]):
        assert sent({**HI, "system": system})["system"] == system
        assert sent({**HI, "system": system}, to=speaking(Api.CHAT))["messages"][0]["content"] == more


def test_another_server_is_sent_nothing_that_only_openrouter_knows() -> None:
    asked = {**HI, "provider": {"zdr": True}, "session_id": "s", "user": "ada", "trace": {"trace_id": "t"}}

    body = sent(asked, Orders(session_id="x"), to=speaking(Api.MESSAGES, kind="openai_compatible"))

    assert body == {"model": "deepseek-chat", "max_tokens": 500, "messages": HI["messages"]}
