"""Bodies of Anthropic's Messages API, in the forms that its documentation and OpenRouter's give each member."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

CACHED = {"type": "ephemeral", "ttl": "1h"}
TEXT = {"type": "text", "text": "What is this?"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
LINKED = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
USE = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Graz", "days": 1.0}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 degrees"}
THOUGHT = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
PLAIN_DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Rivers"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}, "title": "A"}
FOUND = {"type": "search_result", "source": "https://example.org", "title": "Rivers", "content": [TEXT]}
WEATHER = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
}
BASH = {"type": "bash_20250124", "name": "bash"}

_text = st.text(max_size=20)
_said = st.sampled_from([TEXT, {**TEXT, "cache_control": CACHED}, PICTURE, LINKED, PLAIN_DOCUMENT, PDF, FOUND])
_results = st.sampled_from(
    [
        RESULT,
        {**RESULT, "is_error": True},
        {**RESULT, "content": [TEXT, PICTURE]},
        {**RESULT, "content": [{"type": "tool_reference", "tool_name": "weather"}]},
        {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": True},
        {**RESULT, "cache_control": {"type": "ephemeral"}},
    ]
)
MESSAGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": _text}),
        st.fixed_dictionaries(
            {"role": st.just("user"), "content": st.lists(st.one_of(_results, _said), min_size=1, max_size=4)}
        ),
        st.fixed_dictionaries(
            {
                "role": st.just("assistant"),
                "content": st.lists(st.sampled_from([TEXT, USE, THOUGHT, HIDDEN]), min_size=1, max_size=4),
            }
        ),
        st.just({"role": "system", "content": [TEXT]}),
    ),
    min_size=1,
    max_size=4,
)
PREFERENCES = st.fixed_dictionaries(
    {},
    optional={
        "order": st.lists(st.sampled_from(["anthropic", "deepinfra/turbo"]), max_size=2),
        "only": st.sampled_from([None, [], ["azure"]]),
        "zdr": st.sampled_from([None, True]),
        "max_price": st.just({"prompt": "0.05"}),
    },
)
MEMBERS: Mapping[str, st.SearchStrategy[Any]] = {
    "system": st.one_of(_text, st.lists(st.sampled_from([TEXT, {**TEXT, "cache_control": CACHED}]), max_size=2)),
    "stream": st.sampled_from([None, True, False]),
    "temperature": st.sampled_from([None, 0, 0.7, 1]),
    "top_p": st.sampled_from([None, 1, 0.1]),
    "top_k": st.sampled_from([None, 40]),
    "stop_sequences": st.lists(_text, max_size=4),
    "tools": st.sampled_from([None, [], [WEATHER], [{**WEATHER, "type": "custom", "cache_control": CACHED}]]),
    "tool_choice": st.sampled_from(
        [
            None,
            {"type": "auto"},
            {"type": "any", "disable_parallel_tool_use": True},
            {"type": "tool", "name": "weather"},
            {"type": "none"},
        ]
    ),
    "thinking": st.one_of(
        st.sampled_from([None, {"type": "disabled"}, {"type": "adaptive"}, {"type": "adaptive", "display": "omitted"}]),
        st.fixed_dictionaries({"type": st.just("enabled"), "budget_tokens": st.integers(1_024, 100_000)}),
    ),
    "output_config": st.sampled_from(
        [
            {},
            {"effort": "low"},
            {"effort": None},
            {"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
            {"task_budget": {"type": "tokens", "total": 20_000}},
        ]
    ),
    "metadata": st.sampled_from([{}, {"user_id": None}, {"user_id": "ada"}, {"user_id": "a" * 300}]),
    "service_tier": st.sampled_from([None, "auto", "standard_only"]),
    "speed": st.sampled_from([None, "standard"]),
    "cache_control": st.sampled_from([None, {"type": "ephemeral"}, CACHED]),
    "context_management": st.sampled_from([None, {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}]),
    "provider": st.one_of(st.none(), PREFERENCES),
    "session_id": st.sampled_from([None, "mine"]),
    "user": st.sampled_from([None, "ada"]),
    "trace": st.sampled_from([None, {"trace_id": "t", "own": 1}]),
    "models": st.sampled_from([None, []]),
    "plugins": st.sampled_from([None, []]),
    "fallbacks": st.sampled_from([None, []]),
    "tomorrows": st.just({"new": [1e0, None]}),
}
BODIES = st.fixed_dictionaries({"messages": MESSAGES, "max_tokens": st.integers(1, 10_000)}, optional=MEMBERS)
