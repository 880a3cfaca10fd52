"""The body a provider gets: the client's own but for the model's name, a limit, and a ceiling on the price."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Effort, ProviderKind
from router.decision.data_rules import DataRules
from router.upstream.orders import NO_ORDERS, Orders
from router.upstream.outgoing import outgoing_body
from router.wire.requests import ChatReader
from tests.upstream.deployments import deployment, estimate

READER = ChatReader()
NO_MEMBERS: Mapping[str, object] = {}
MESSAGES = [{"role": "user", "content": "What is a penstock?"}]
OWN_PRICE = {"prompt": "0.1", "completion": "0.40"}

OTHER_KINDS: list[ProviderKind] = ["deepseek", "openai_compatible"]
KINDS: list[ProviderKind] = ["openrouter", *OTHER_KINDS]


def sent(kind: ProviderKind = "openrouter", **members: object) -> dict[str, Any]:
    """What goes to a provider of this kind for a request with these members."""
    return ordered(NO_ORDERS, kind, members)


def ordered(
    orders: Orders, kind: ProviderKind = "openrouter", members: Mapping[str, object] = NO_MEMBERS
) -> dict[str, Any]:
    """The same where the decision has orders."""
    request = READER.read(json.dumps({"model": "auto", "messages": MESSAGES, **members}).encode())
    body: dict[str, Any] = json.loads(outgoing_body(request, deployment(kind), estimate(), orders=orders))
    return body


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_plain_request_gets_the_providers_name_of_the_model_and_a_limit(kind: ProviderKind) -> None:
    assert sent(kind) == {"model": "deepseek-chat", "messages": MESSAGES, "max_tokens": 500}


def test_openrouter_also_gets_the_rates_that_are_held() -> None:
    assert sent() == {
        "model": "deepseek-chat",
        "messages": MESSAGES,
        "max_tokens": 500,
        "provider": {"max_price": OWN_PRICE},
    }


@pytest.mark.parametrize(
    ("kind", "asked", "expected"),
    [
        ("openrouter", {}, {"max_tokens": 500}),
        ("openrouter", {"max_tokens": 7}, {"max_tokens": 500}),
        ("openrouter", {"max_tokens": None}, {"max_tokens": 500}),
        ("openrouter", {"max_completion_tokens": 7}, {"max_completion_tokens": 500}),
        ("openrouter", {"max_completion_tokens": 7, "max_tokens": 9}, {"max_completion_tokens": 500}),
        ("deepseek", {"max_tokens": 7}, {"max_tokens": 500}),
        ("deepseek", {"max_completion_tokens": 7}, {"max_tokens": 500}),
        ("openai_compatible", {"max_completion_tokens": 7, "max_tokens": 9}, {"max_tokens": 500}),
    ],
)
def test_there_is_one_limit_under_the_name_the_provider_knows_and_it_is_the_estimates(
    kind: ProviderKind, asked: dict[str, object], expected: dict[str, int]
) -> None:
    body = sent(kind, **asked)

    assert {name: body[name] for name in ("max_tokens", "max_completion_tokens") if name in body} == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_a_stream_always_tells_its_usage(kind: ProviderKind, options: dict[str, object]) -> None:
    assert sent(kind, stream=True, **options)["stream_options"] == {"include_usage": True}


def test_a_whole_answer_needs_no_stream_options() -> None:
    assert "stream_options" not in sent()
    assert "stream_options" not in sent(stream=False)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"prompt": 0.05}, {**OWN_PRICE, "prompt": "0.05"}),
        ({"prompt": "0.05", "completion": "0.05"}, {"prompt": "0.05", "completion": "0.05"}),
        ({"prompt": 0.1}, OWN_PRICE),
        ({"prompt": 0.11, "completion": 100}, OWN_PRICE),
        ({"prompt": 1e-7}, {**OWN_PRICE, "prompt": "0.0000001"}),
        ({"prompt": 0}, {**OWN_PRICE, "prompt": "0"}),
        ({"prompt": None}, OWN_PRICE),
        ({"request": 0, "image": "1e3"}, {**OWN_PRICE, "request": "0", "image": "1000"}),
        ({}, OWN_PRICE),
        (None, OWN_PRICE),
    ],
)
def test_the_lower_of_the_clients_price_and_the_held_one_goes_out_in_plain_figures(
    asked: object, expected: dict[str, str]
) -> None:
    assert sent(provider={"max_price": asked})["provider"] == {"max_price": expected}


@given(
    prompt=st.decimals(min_value=0, max_value=1_000_000, places=12),
    input_usd=st.decimals(min_value=0, max_value=1_000, places=9),
)
def test_no_price_above_the_held_one_ever_goes_out(prompt: Decimal, input_usd: Decimal) -> None:
    body = b'{"model":"auto","messages":[{"role":"user","content":"x"}],"provider":{"max_price":{"prompt":"%b"}}}'
    request = READER.read(body % str(prompt).encode())

    out = json.loads(outgoing_body(request, deployment(), estimate(input_usd=str(input_usd))))

    figure = out["provider"]["max_price"]["prompt"]
    assert Decimal(figure) == min(prompt, input_usd)
    assert set(figure) <= set("0123456789.")


def test_the_clients_other_wishes_about_providers_stay_as_they_were() -> None:
    wishes = {"order": ["deepinfra"], "zdr": True, "preferred_min_throughput": {"p50": 40}}

    assert sent(provider={**wishes, "max_price": {"prompt": 1}})["provider"] == {**wishes, "max_price": OWN_PRICE}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_members_that_only_openrouter_knows_go_to_no_one_else(kind: ProviderKind) -> None:
    only = {
        "provider": {"sort": "price"},
        "transforms": ["middle-out"],
        "usage": {"include": True},
        "session_id": "s",
        "trace": {},
        "debug": {},
    }

    assert set(only) & set(sent(kind, **only)) == set()
    assert set(only) <= set(sent("openrouter", **only))


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_escapes_and_unknown_members_go_out_as_they_came(kind: ProviderKind) -> None:
    odd = rb'"seed":1.0,"top_p":1e0,"x":[ 12345678901234567890123, "\u00e9\/" ]'
    request = READER.read(b'{"model":"auto",' + odd + b',"messages":[{"role":"user","content":"\\u0068i"}]}')

    out = outgoing_body(request, deployment(kind), estimate())

    assert odd in out
    assert rb'"messages":[{"role":"user","content":"\u0068i"}]' in out
    assert out.startswith(b'{"model":"deepseek-chat",')


def session(kind: ProviderKind, **members: object) -> object:
    return ordered(Orders(session_id="ours"), kind, members).get("session_id")


def test_openrouter_alone_gets_a_session() -> None:
    assert {kind: session(kind) for kind in KINDS} == {
        "openrouter": "ours",
        "deepseek": None,
        "openai_compatible": None,
    }


@pytest.mark.parametrize(
    ("own", "sent_on"),
    [
        ({"session_id": "theirs"}, "theirs"),
        ({"session_id": None}, "ours"),
        ({"prompt_cache_key": "theirs"}, None),
        ({"prompt_cache_key": None}, "ours"),
    ],
)
def test_the_clients_own_name_for_the_conversation_wins(own: dict[str, object], sent_on: str | None) -> None:
    assert session("openrouter", **own) == sent_on


THINKING_WORDS = ("reasoning", "reasoning_effort", "include_reasoning", "thinking")


def thinking(kind: ProviderKind, effort: Effort | None, **members: object) -> dict[str, object]:
    """What a provider of this kind is told about thinking."""
    body = ordered(Orders(effort=effort), kind, members)
    return {name: body[name] for name in THINKING_WORDS if name in body}


@pytest.mark.parametrize(
    ("kind", "effort", "told"),
    [
        ("openrouter", Effort.LOW, {"reasoning": {"effort": "low"}}),
        ("openrouter", Effort.NONE, {"reasoning": {"effort": "none"}}),
        ("openai_compatible", Effort.MEDIUM, {"reasoning_effort": "medium"}),
        ("openai_compatible", Effort.NONE, {"reasoning_effort": "none"}),
        ("deepseek", Effort.NONE, {"thinking": {"type": "disabled"}}),
        ("deepseek", Effort.MINIMAL, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("deepseek", Effort.MEDIUM, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("deepseek", Effort.HIGH, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("deepseek", Effort.XHIGH, {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("deepseek", Effort.MAX, {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
    ],
)
@pytest.mark.parametrize(
    "asked", [{}, {"reasoning_effort": "max"}, {"reasoning": {"effort": "max"}}, {"reasoning": {"enabled": True}}]
)
def test_an_effort_that_is_ordered_is_said_in_the_providers_words_and_no_other_is_left(
    kind: ProviderKind, effort: Effort, told: dict[str, object], asked: dict[str, object]
) -> None:
    assert thinking(kind, effort, **asked) == told


@pytest.mark.parametrize("kind", KINDS)
def test_without_an_order_thinking_is_asked_for_as_the_client_does(kind: ProviderKind) -> None:
    assert thinking(kind, None, reasoning={"effort": "max"}) == {"reasoning": {"effort": "max"}}
    assert thinking(kind, None) == {}


@pytest.mark.parametrize(("budget", "sent_tokens"), [(50, 50), (100, 100), (101, 100), (10_000, 100)])
def test_a_budget_of_the_clients_stays_one_and_is_cut_to_what_the_effort_would_give(
    budget: int, sent_tokens: int
) -> None:
    """Low is a fifth of the output limit, 500 here."""
    asked = {"max_tokens": budget, "exclude": True}

    assert thinking("openrouter", Effort.LOW, reasoning=asked) == {
        "reasoning": {"exclude": True, "max_tokens": sent_tokens}
    }
    assert thinking("openrouter", Effort.NONE, reasoning=asked) == {"reasoning": {"exclude": True, "effort": "none"}}


def test_openrouter_is_asked_to_keep_the_data_rules_whatever_the_client_would_allow() -> None:
    rules = DataRules(
        zdr=True, deny_collection=True, only=frozenset({"azure", "deepinfra/fp8"}), ignore=frozenset({"novita"})
    )
    lax = {"zdr": False, "data_collection": "allow", "only": [], "ignore": [], "sort": "price"}

    assert ordered(Orders(data=rules), members={"provider": lax})["provider"] == {
        "zdr": True,
        "data_collection": "deny",
        "only": ["azure", "deepinfra/fp8"],
        "ignore": ["novita"],
        "sort": "price",
        "max_price": OWN_PRICE,
    }


def test_data_rules_are_no_business_of_other_providers() -> None:
    assert ordered(Orders(data=DataRules(zdr=True)), "deepseek") == sent("deepseek")
