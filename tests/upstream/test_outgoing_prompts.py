"""What goes to a provider of a request for embeddings, a completion or a judgement: the client's own, but for a few
documented edits; and to OpenRouter nothing that its OpenAPI file does not allow (`openrouter_embedding_request.json`).
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
from router.server.endpoints import RequestReader
from router.upstream.orders import NO_ORDERS, Orders
from router.upstream.outgoing import outgoing_body
from router.wire.completions import CompletionReader
from router.wire.embeddings import EmbeddingReader
from router.wire.moderations import ModerationReader
from router.wire.requests import ChatReader
from tests.replacing import replace
from tests.upstream.deployments import deployment, estimate
from tests.upstream.openapi import faults_by

faults = faults_by("openrouter_embedding_request.json")
READERS: Mapping[Api, RequestReader] = {
    Api.EMBEDDINGS: EmbeddingReader(ChatReader()),
    Api.COMPLETIONS: CompletionReader(ChatReader()),
    Api.MODERATIONS: ModerationReader(ChatReader()),
}

text = st.text(min_size=1, max_size=20)
ids = st.lists(st.integers(0, 200_000), min_size=1, max_size=5)
PROMPTS = st.one_of(text, st.lists(text, min_size=1, max_size=3), ids, st.lists(ids, min_size=1, max_size=3))
PREFERENCES = st.sampled_from(
    [
        None,
        {},
        {"zdr": True, "only": ["openai"], "sort": "price"},
        {"max_price": {"prompt": 0.01}},
        {"max_price": {"prompt": 1000, "completion": 0, "request": None}},
    ]
)
EMBEDDING: Mapping[str, st.SearchStrategy[Any]] = {
    "dimensions": st.sampled_from([None, 1, 1536]),
    "encoding_format": st.sampled_from([None, "float", "base64"]),
    "input_type": st.sampled_from([None, "search_query"]),
    "user": st.one_of(st.none(), text),
    "stream": st.sampled_from([None, False]),
    "provider": PREFERENCES,
    "tomorrows": st.just({"new": [1e0, None]}),
}
COMPLETION: Mapping[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.sampled_from([None, 0, 7]),
    "max_completion_tokens": st.sampled_from([None, 7]),
    "n": st.sampled_from([None, 2]),
    "best_of": st.sampled_from([None, 1]),
    "echo": st.sampled_from([None, True]),
    "logprobs": st.sampled_from([None, 5]),
    "stop": st.sampled_from([None, ["x"]]),
    "temperature": st.sampled_from([None, 0.5]),
    "stream": st.sampled_from([None, True, False]),
    "stream_options": st.sampled_from([None, {}, {"include_usage": False, "own": 1}]),
    "user": st.one_of(st.none(), text),
    "provider": PREFERENCES,
    "tomorrows": st.just({"new": [1e0, None]}),
}
ORDERS = st.builds(
    Orders,
    effort=st.sampled_from([None, Effort.LOW]),
    data=st.builds(DataRules, zdr=st.booleans(), ignore=st.sampled_from([frozenset[str](), frozenset({"novita"})])),
    session_id=st.just("0123456789abcdef"),
)
OURS = ("model", "max_tokens", "max_completion_tokens", "stream_options", "provider")


def where(api: Api, kind: ProviderKind = "openrouter") -> Deployment:
    any_kind = deployment(kind)
    return replace(
        any_kind,
        model=replace(any_kind.model, apis=frozenset({api})),
        provider=replace(any_kind.provider, apis=frozenset({api})),
    )


def sent(
    api: Api, members: Mapping[str, object], *, kind: ProviderKind = "openrouter", orders: Orders = NO_ORDERS
) -> dict[str, Any]:
    request = READERS[api].read(json.dumps({"model": "alias", **members}).encode())
    body: dict[str, Any] = json.loads(outgoing_body(request, where(api, kind), estimate(), orders=orders))
    return body


def same_but_for_ours(asked: Mapping[str, object], body: Mapping[str, object]) -> bool:
    """Whether all that is not ours to say is there as the client said it, but for nulls."""
    theirs = {name: value for name, value in asked.items() if name not in OURS}
    missing = {name for name in theirs if name not in body}
    return all(body[name] == theirs[name] for name in theirs if name in body) and all(
        theirs[name] is None for name in missing
    )


@settings(deadline=None)
@given(st.fixed_dictionaries({"input": PROMPTS}, optional=EMBEDDING), ORDERS)
def test_a_request_for_embeddings_is_what_openrouters_file_allows(asked: dict[str, Any], orders: Orders) -> None:
    body = sent(Api.EMBEDDINGS, asked, orders=orders)

    assert faults(body) == []
    assert same_but_for_ours(asked, body)
    assert float(body["provider"]["max_price"]["prompt"]) <= 0.1
    assert body["model"] == "deepseek-chat"
    assert not {"max_tokens", "session_id", "reasoning"} & body.keys()


@settings(deadline=None)
@given(st.fixed_dictionaries({"prompt": PROMPTS}, optional=COMPLETION), ORDERS)
def test_of_a_completion_only_what_must_be_set_is_changed(asked: dict[str, Any], orders: Orders) -> None:
    body = sent(Api.COMPLETIONS, asked, orders=orders)

    assert same_but_for_ours(asked, body)
    assert (body["max_tokens"], "max_completion_tokens" in body) == (500, False)  # of the estimate: what was held
    assert {"prompt", "completion"} <= body["provider"]["max_price"].keys()
    if asked.get("stream"):
        assert body["stream_options"] == {**(asked.get("stream_options") or {}), "include_usage": True}


@pytest.mark.parametrize("api", [Api.EMBEDDINGS, Api.COMPLETIONS, Api.MODERATIONS])
def test_elsewhere_what_only_openrouter_knows_is_left_out_and_the_rest_is_as_it_came(api: Api) -> None:
    prompt = "prompt" if api is Api.COMPLETIONS else "input"
    asked = {prompt: "a", "user": None, "provider": {"zdr": True}, "trace": {"a": 1}, "own": 1}

    body = sent(api, asked, kind="openai_compatible")

    limit = {"max_tokens": 500} if api is Api.COMPLETIONS else {}
    assert body == {"model": "deepseek-chat", prompt: "a", "user": None, "own": 1, **limit}


def test_numbers_and_escapes_reach_the_provider_as_they_were_written() -> None:
    request = READERS[Api.EMBEDDINGS].read(b'{"model":"m","input":"\\u00e9","x":1.50e+1,"y":"\\/"}')

    body = outgoing_body(request, where(Api.EMBEDDINGS, "openai_compatible"), estimate())

    assert body == b'{"model":"deepseek-chat","input":"\\u00e9","x":1.50e+1,"y":"\\/"}'


def test_an_effort_that_the_policy_orders_is_said_in_a_completion_too() -> None:
    body = sent(Api.COMPLETIONS, {"prompt": "a", "reasoning": {"effort": "high"}}, orders=Orders(effort=Effort.LOW))

    assert body["reasoning"] == {"effort": "low"}


def test_no_ceiling_is_set_on_output_that_is_not_sold() -> None:
    assert sent(Api.EMBEDDINGS, {"input": "a"})["provider"] == {"max_price": {"prompt": "0.1"}}
    asked = {"input": "a", "provider": {"max_price": {"completion": 3}}}
    assert sent(Api.EMBEDDINGS, asked)["provider"] == {"max_price": {"prompt": "0.1", "completion": "0.40"}}
