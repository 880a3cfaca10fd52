"""Chat requests as clients send them: what is read, what is refused, and what reaches the provider untouched."""

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.wire.requests import ChatReader, ModelRequest

READER = ChatReader()
MESSAGES = [{"role": "user", "content": "What is a penstock?"}]


def read(**members: object) -> ModelRequest:
    return READER.read(json.dumps({"model": "auto", "messages": MESSAGES, **members}).encode())


def read_with(raw_member: bytes) -> ModelRequest:
    """A good request with one more member, given as bytes."""
    return READER.read(b'{"model":"auto","messages":[{"role":"user","content":"hi"}],' + raw_member + b"}")


def refusal(**members: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(**members)
    return caught.value


# What is read


def test_the_members_we_act_on_are_read() -> None:
    request = read(
        stream=True,
        stream_options={"include_usage": True},
        n=2,
        modalities=["text", "image"],
        response_format={"type": "json_object"},
        tools=[{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    )

    assert request.model == "auto"
    assert [(message.role, message.content) for message in request.messages] == [("user", "What is a penstock?")]
    assert request.is_stream
    assert request.includes_usage
    assert request.choices == 2
    assert list(request.output_modalities) == ["text", "image"]
    assert request.response_format is not None
    assert request.response_format.type == "json_object"
    assert [tool.function.name for tool in request.tools if tool.function] == ["look"]


def test_what_is_not_said_has_the_defaults_of_the_openai_api() -> None:
    request = read()

    assert not request.is_stream
    assert not request.includes_usage
    assert request.max_output_tokens is None
    assert request.choices == 1
    assert list(request.tools) == []
    assert not request.asks_reasoning
    assert request.max_price == {}


def test_null_means_not_said() -> None:
    names = (
        "stream stream_options max_tokens max_completion_tokens n tools response_format reasoning reasoning_effort "
        "modalities service_tier provider models plugins web_search_options route preset deferred_tools"
    )

    request = read(**dict.fromkeys(names.split()))

    assert (request.is_stream, request.choices, request.max_output_tokens) == (False, 1, None)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9}, 9),
        ({"max_tokens": 7, "max_completion_tokens": 9}, 9),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 7, "max_completion_tokens": None}, 7),
        ({"max_tokens": 1}, 1),
        ({"max_tokens": 100_000_000}, 100_000_000),
    ],
)
def test_the_new_name_of_the_output_limit_goes_before_the_old(limits: dict[str, int | None], expected: int) -> None:
    assert read(**limits).max_output_tokens == expected


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, False),
        ({"reasoning_effort": "low"}, True),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning": {}}, True),
        ({"reasoning": {"max_tokens": 500}}, True),
        ({"reasoning": {"enabled": False}}, False),
        ({"reasoning": {"effort": "none"}}, False),
        ({"reasoning": {"effort": "high"}}, True),
    ],
)
def test_reasoning_is_asked_for_in_openrouters_way_or_openais(members: dict[str, object], expected: bool) -> None:
    assert read(**members).asks_reasoning is expected


SPELT_HOURS = (b'"1h"', rb'"\u0031h"', rb'"1\u0068"', rb'"\u0031\u0068"')


@pytest.mark.parametrize("hour", SPELT_HOURS)
def test_a_one_hour_cache_is_seen_however_it_is_spelt(hour: bytes) -> None:
    request = read_with(b'"cache_control":{"type":"ephemeral","ttl":' + hour + b"}")

    assert request.asks_one_hour_cache
    assert not read_with(b'"cache_control":{"type":"ephemeral","ttl":"5m"}').asks_one_hour_cache


@pytest.mark.parametrize(
    "name", [b'"cache_control"', rb'"\u0063ache_control"', rb'"cache\u005fcontrol"', b'"prompt_cache_options"']
)
def test_a_one_hour_cache_is_seen_by_whatever_member_it_is_asked_for(name: bytes) -> None:
    assert read_with(name + b':{"mode":"explicit","ttl":"1h"}').asks_one_hour_cache


@given(
    strings=st.lists(
        st.sampled_from([rb'"1"', rb'"h"', rb'"\u00e9"', rb'"\u0031"', rb'"21h"', *SPELT_HOURS]), max_size=3
    )
)
def test_of_all_strings_only_an_hour_is_taken_for_one(strings: list[bytes]) -> None:
    request = read_with(b'"cache_control":[' + b",".join(strings) + b"]")

    assert request.asks_one_hour_cache == any(string in SPELT_HOURS for string in strings)


def test_a_prompt_marked_for_the_cache_is_noticed() -> None:
    assert read_with(b'"cache_control":{"type":"ephemeral"}').asks_cache
    assert not read_with(b'"user":"u"').asks_cache


def test_the_clients_price_ceiling_is_exact() -> None:
    request = read_with(b'"provider":{"sort":"price","max_price":{"prompt":0.1,"completion":"2.30","image":null}}')

    assert request.max_price == {"prompt": Decimal("0.1"), "completion": Decimal("2.30")}
    assert bytes(request.provider_preferences["sort"]) == b'"price"'


# What is refused


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": 5}, "model"),
        ({"model": None}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "root", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [*MESSAGES, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "messages[0].content[0].type"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {"include_usage": "true"}}, "stream_options.include_usage"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 5.0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": [1]}, "n"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": 5}]}, "tools[0].type"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"modalities": "text"}, "modalities"),
        ({"provider": []}, "provider"),
        ({"reasoning": "high"}, "reasoning"),
    ],
)
def test_a_wrong_type_is_refused_with_its_place(members: dict[str, object], param: str) -> None:
    error = refusal(**members)

    assert (error.status, error.code, error.param) == (400, "invalid_type", param)


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InvalidRequest, match="model") as caught:
        READER.read(b'{"messages":[{"role":"user","content":"hi"}]}')

    assert caught.value.param == "model"


def test_an_empty_conversation_is_refused() -> None:
    error = refusal(messages=[])

    assert (error.code, error.param) == ("empty_array", "messages")


@pytest.mark.parametrize("name", ["n", "max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("value", [0, -1, -(10**30)])
def test_a_count_below_one_is_refused(name: str, value: int) -> None:
    error = refusal(**{name: value})

    assert (error.code, error.param) == ("integer_below_min_value", name)


@pytest.mark.parametrize(
    ("name", "most"), [("n", 128), ("max_tokens", 100_000_000), ("max_completion_tokens", 100_000_000)]
)
def test_a_count_that_no_store_could_hold_the_price_of_is_refused(name: str, most: int) -> None:
    read(**{name: most})

    for value in (most + 1, 2**63, 10**400):
        error = refusal(**{name: value})
        assert (error.code, error.param) == ("integer_above_max_value", name)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"models": ["openai/gpt-5.5"]}, "models"),
        ({"models": "openai/gpt-5.5"}, "models"),
        ({"route": "fallback"}, "route"),
        ({"preset": "cheap"}, "preset"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"container": {}}, "container"),
        ({"container": []}, "container"),
        ({"stop_server_tools_when": [{"type": "step_count"}]}, "stop_server_tools_when"),
        ({"deferred_tools": [{"type": "openrouter:web_search"}]}, "deferred_tools"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"service_tier": "fast"}, "service_tier"),
        ({"best_of": 16}, "best_of"),
        ({"best_of": 16.0}, "best_of"),
        ({"best_of": "16"}, "best_of"),
        ({"n": 2, "best_of": 3}, "best_of"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"service_tier": "Priority"}, "service_tier"),
        ({"service_tier": "tomorrow"}, "service_tier"),
        ({"tools": [{"type": "openrouter:web_search"}]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "web_search_preview_2025_03_11"}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "openrouter:fusion"}]}, "tools"),
    ],
)
def test_what_could_cost_more_than_was_held_is_refused(members: dict[str, object], param: str) -> None:
    error = refusal(**members)

    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", param)


@pytest.mark.parametrize("best_of", [None, 1])
def test_best_of_one_asks_for_nothing_more(best_of: int | None) -> None:
    assert read(best_of=best_of).choices == 1


@pytest.mark.parametrize("tier", ["auto", "default", "flex"])
def test_service_tiers_at_catalog_prices_or_below_are_accepted(tier: str) -> None:
    assert read(service_tier=tier).members["service_tier"] == msgspec.Raw(json.dumps(tier).encode())


@pytest.mark.parametrize(
    "max_price",
    [
        b"5",
        b"[]",
        b'"cheap"',
        b'{"prompt":"cheap"}',
        b'{"prompt":true}',
        b'{"prompt":{}}',
        b'{"prompt":-1}',
        b'{"prompt":"NaN"}',
        b'{"image":"sNaN"}',
        b'{"image":"Infinity"}',
        b'{"image":"1e999999999999"}',  # written out it would be a terabyte of zeros
        b'{"prompt":1e-999999999}',
        b'{"prompt":1e-19}',
        b'{"prompt":1000000.01}',
    ],
)
def test_a_malformed_price_ceiling_is_refused_before_any_money_is_held(max_price: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_with(b'"provider":{"max_price":' + max_price + b"}")

    assert caught.value.param == "provider.max_price"


@pytest.mark.parametrize("max_price", [b"null", b"{}", b'{"prompt":null}', b'{"prompt":0}', b'{"prompt":1e6}'])
def test_a_price_ceiling_may_be_empty_nothing_or_high(max_price: bytes) -> None:
    read_with(b'"provider":{"max_price":' + max_price + b"}")


DEEP = 100_000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"\0",
        b"null",
        b"5",
        b"[]",
        b'"hi"',
        b"{",
        b'{"model":',
        b"{} {}",
        b'{"model":"auto"} x',
        b"\xef\xbb\xbf{}",
        '{"model":"auto"}'.encode("utf-16"),
        b"[" * DEEP,
        b'{"a":' * DEEP,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_not_one_json_object_is_an_invalid_request_and_nothing_else(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        READER.read(body)

    assert caught.value.status == 400


@pytest.mark.parametrize(
    "member",
    [
        b'"x":' + b"[" * DEEP + b"]" * DEEP,
        b'"x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'"provider":{"order":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'"tools":[{"function":{"parameters":' + b"[" * DEEP + b"]" * DEEP + b"}}]",
        b'"models":' + b"[" * DEEP + b"]" * DEEP,
        b'"x":NaN',
        b'"x":Infinity',
        b'"max_tokens":NaN',
        b'"max_tokens":1e999',
        b'"max_tokens":' + b"9" * 5000,
        b'"x":01',
        b'"x":"a\nb"',
        rb'"x":"\q"',
        rb'"x":"\ud800"',
        rb'"x":"\udc00x"',
        rb'"\ud800":1',
        b'"x":"\xff"',
        b'"\xff":1',
        b'"x":"\xed\xa0\x80"',  # a surrogate in UTF-8, which UTF-8 forbids
        b'"response_format":{"type":"json_schema","json_schema":{"name":"\xff"}}',
    ],
    ids=lambda member: repr(member[:30]),
)
def test_a_body_made_to_break_a_parser_is_an_invalid_request_and_nothing_else(member: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_with(member)

    assert caught.value.status == 400


@given(st.binary(max_size=60))
def test_no_bytes_at_all_raise_anything_but_an_invalid_request(noise: bytes) -> None:
    for body in (noise, b'{"model":"auto","messages":[{"role":"user","content":"' + noise + b'"}]}'):
        try:
            request = READER.read(body)
        except InvalidRequest:
            continue
        assert request.body_with({}).decode()


# What reaches the provider untouched

_BLANKS = st.sampled_from(["", "", " ", "\n\t"])
_NUMBERS = st.sampled_from(["1.0", "1e5", "1E+2", "-0", "-0.0", "0.1e-7", "1" + "0" * 400]) | st.integers().map(str)
_STRINGS = st.builds(
    lambda text, is_ascii: json.dumps(text, ensure_ascii=is_ascii),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.booleans(),
) | st.sampled_from([r'"\u0041\/"', r'"\ud83d\ude00"', r'"\u0000"', '"\\"model\\":\\"x\\""'])


def _joined(items: list[str], brackets: str, blank: str) -> str:
    return brackets[0] + blank + f"{blank},{blank}".join(items) + blank + brackets[1]


JSON_TEXTS = st.recursive(
    _NUMBERS | _STRINGS | st.sampled_from(["null", "true", "false"]),
    lambda inner: (
        st.builds(_joined, st.lists(inner, max_size=4), st.just("[]"), _BLANKS)
        | st.builds(
            _joined,
            st.lists(st.tuples(_STRINGS, inner), max_size=4, unique_by=lambda pair: json.loads(pair[0])).map(
                lambda pairs: [f"{name}:{value}" for name, value in pairs]
            ),
            st.just("{}"),
            _BLANKS,
        )
    ),
    max_leaves=12,
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(lambda text: f"x-{text}")


@st.composite
def chat_bodies(draw: st.DrawFn) -> dict[str, str]:
    """The members of a chat request in some order, each as the text that stands in the body."""
    unknown = draw(st.dictionaries(NAMES, JSON_TEXTS, max_size=6))
    required = {"model": '"auto"', "messages": '[ {"role":"user", "content":"h\\u0069"} ]', "dropped": "[1.0]"}
    return dict(draw(st.permutations([*unknown.items(), *required.items()])))


@given(members=chat_bodies(), blank=_BLANKS, is_ascii=st.booleans())
def test_every_member_that_is_not_changed_goes_out_byte_by_byte_and_in_its_place(
    members: dict[str, str], blank: str, is_ascii: bool
) -> None:
    body = _joined(
        [f"{json.dumps(name, ensure_ascii=is_ascii)}{blank}:{blank}{text}" for name, text in members.items()],
        "{}",
        blank,
    )
    request = READER.read(body.encode())

    out = request.body_with({"model": "deepseek-chat", "max_tokens": 7}, without=["dropped", "never there"])

    expected = {**members, "model": '"deepseek-chat"', "max_tokens": "7"}
    del expected["dropped"]
    sent = msgspec.json.decode(out, type=dict[str, msgspec.Raw])
    assert [(name, bytes(raw).decode()) for name, raw in sent.items()] == list(expected.items())


def test_making_the_outgoing_body_leaves_the_request_as_it_was() -> None:
    request = read(user="u-1")

    request.body_with({"model": "other"}, without=["user"])

    assert json.loads(request.body_with({})) == {"model": "auto", "messages": MESSAGES, "user": "u-1"}


@pytest.mark.parametrize(
    "member",
    [
        b'"model":"dear"',
        rb'"mo\u0064el":"dear"',
        b'"max_tokens":1,"max_tokens":2',
        b'"tools":[{"type":"web_search","type":"function"}]',
        b'"reasoning":{"max_tokens":1,"max_tokens":100000}',
        rb'"x":[[{"\u0061":1,"a":1}]]',
    ],
)
def test_a_member_that_is_there_twice_is_refused_at_any_depth(member: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_with(member)

    assert caught.value.code == "repeated_member"
