"""What is read of requests whose prompts have no frame of a chat, and that all the rest of them is kept as it came."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.completions import DEFAULT_MAX_TOKENS, CompletionDialect, CompletionReader
from router.wire.embeddings import EmbeddingReader
from router.wire.moderations import DEFAULT_MODEL, ModerationReader
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader, ModelRequest


class Reader(Protocol):
    def read(self, body: bytes, /) -> ModelRequest: ...


EMBEDDINGS, COMPLETIONS, MODERATIONS = (
    EmbeddingReader(ChatReader()),
    CompletionReader(ChatReader()),
    ModerationReader(ChatReader()),
)


def read(reader: Reader, **members: object) -> ModelRequest:
    return reader.read(json.dumps({"model": "embed", **members}).encode())


def refused(reader: Reader, **members: object) -> tuple[str | None, str]:
    with pytest.raises(InvalidRequest) as raised:
        read(reader, **members)
    return raised.value.param, raised.value.code


def texts(request: ModelRequest) -> list[object]:
    return [message.content for message in request.messages]


@pytest.mark.parametrize(("reader", "name"), [(EMBEDDINGS, "input"), (COMPLETIONS, "prompt")])
@pytest.mark.parametrize(
    ("given_as", "prompts", "ids"),
    [
        ("a river", ["a river"], []),
        (["a river", "a lake"], ["a river", "a lake"], []),
        ([6151, 1070, 42], [], [3]),
        ([[6151, 1070], [42]], [], [2, 1]),
    ],
)
def test_prompts_are_texts_or_token_ids_one_or_many(
    reader: Reader, name: str, given_as: object, prompts: list[object], ids: list[int]
) -> None:
    request = read(reader, **{name: given_as})

    assert (texts(request), list(request.token_ids), request.is_plain) == (prompts, ids, True)
    assert request.choices == len(prompts) + len(ids)


def test_ids_are_counted_however_they_are_laid_out() -> None:
    for body in (b'{"model":"m","input":[%b1 ,\n 2]}' % (b" " * 200), b'{"model":"m","input":[ [ 1,\t2 ] ]}'):
        assert list(EMBEDDINGS.read(body).token_ids) == [2]


def test_an_input_of_parts_is_one_prompt() -> None:
    request = read(EMBEDDINGS, input=[{"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])

    (message,) = request.messages
    assert isinstance(message.content, list)
    assert [part.text for part in message.content] == ["a", "b"]


@pytest.mark.parametrize(
    "wrong", [None, 7, {}, True, [None], [1.5], ["a", 1], [1, "a"], [[1], 2], [["a"]], [[]], [], "", [""], [[1], []]]
)
@pytest.mark.parametrize(("reader", "name"), [(EMBEDDINGS, "input"), (COMPLETIONS, "prompt")])
def test_prompts_of_another_shape_are_refused_by_name(reader: Reader, name: str, wrong: object) -> None:
    assert refused(reader, **{name: wrong})[0] == name


def test_as_many_inputs_are_taken_as_at_openai() -> None:
    assert len(read(EMBEDDINGS, input=["a"] * 2048).messages) == 2048
    assert refused(EMBEDDINGS, input=["a"] * 2049) == ("input", "array_above_max_length")
    assert read(EMBEDDINGS, input=[1] * 5000).token_ids == (5000,)  # which are one input


@pytest.mark.parametrize("reader", [EMBEDDINGS, COMPLETIONS, MODERATIONS])
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"input":"\xff","prompt":"\xff"}', b'{"input":"a","prompt":"a","model":3}']
)
def test_a_body_that_cannot_be_read_is_refused_as_in_every_api(reader: Reader, body: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        reader.read(body)
    assert raised.value.code in ("invalid_json", "invalid_type")


def test_a_model_must_be_named_but_to_be_judged_by() -> None:
    with pytest.raises(InvalidRequest) as raised:
        EMBEDDINGS.read(b'{"input":"a"}')
    assert raised.value.param == "model"
    assert MODERATIONS.read(b'{"input":"a"}').model == DEFAULT_MODEL
    assert MODERATIONS.read(b'{"input":"a","model":null}').model == DEFAULT_MODEL
    assert MODERATIONS.read(b'{"input":"a","model":"m"}').model == "m"


def test_texts_and_parts_are_judged_and_not_both_at_once() -> None:
    assert texts(read(MODERATIONS, input=["a", "b"])) == ["a", "b"]
    picture = {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}
    assert len(read(MODERATIONS, input=[{"type": "text", "text": "a"}, picture]).messages) == 1
    assert refused(MODERATIONS, input=["a", picture]) == ("input", "invalid_type")
    assert refused(MODERATIONS, input=[1]) == ("input", "invalid_type")
    assert refused(MODERATIONS, input=[]) == ("input", "empty_array")


@pytest.mark.parametrize(
    ("members", "choices", "limit"),
    [
        ({}, 1, DEFAULT_MAX_TOKENS),
        ({"max_tokens": None}, 1, DEFAULT_MAX_TOKENS),
        ({"max_tokens": 0, "echo": True}, 1, 0),
        ({"max_tokens": 5, "max_completion_tokens": 9}, 1, 5),
        ({"max_completion_tokens": 9}, 1, 9),
        ({"n": 3}, 3, DEFAULT_MAX_TOKENS),
        ({"n": 3, "best_of": 5}, 5, DEFAULT_MAX_TOKENS),
        ({"n": 3, "best_of": 2}, 3, DEFAULT_MAX_TOKENS),
        ({"n": 2, "prompt": ["a", "b", "c"]}, 6, DEFAULT_MAX_TOKENS),
        ({"best_of": 4, "prompt": [[1], [2]]}, 8, DEFAULT_MAX_TOKENS),
    ],
)
def test_every_answer_that_is_written_is_held_for(members: Mapping[str, object], choices: int, limit: int) -> None:
    request = read(COMPLETIONS, **{"prompt": "a", **members})

    assert (request.choices, request.max_output_tokens) == (choices, limit)
    assert request.echoes_prompt == bool(members.get("echo"))


def test_a_suffix_is_part_of_the_prompt_that_it_follows() -> None:
    (message,) = read(COMPLETIONS, prompt="def f(", suffix="return 1").messages

    assert isinstance(message.content, list)
    assert [part.text for part in message.content] == ["def f(", "return 1"]
    assert refused(COMPLETIONS, prompt=[1, 2], suffix="b") == ("suffix", "unsupported_parameter")
    assert refused(COMPLETIONS, prompt=["a", "b"], suffix="b") == ("suffix", "unsupported_parameter")
    assert len(read(COMPLETIONS, prompt=["a", "b"], suffix="").messages) == 2


@pytest.mark.parametrize("name", ["models", "plugins", "preset", "route", "web_search_options", "service_tier"])
@pytest.mark.parametrize(("reader", "prompt"), [(EMBEDDINGS, "input"), (COMPLETIONS, "prompt"), (MODERATIONS, "input")])
def test_what_no_hold_bounds_in_a_chat_is_refused_here_too(reader: Reader, prompt: str, name: str) -> None:
    assert refused(reader, **{prompt: "a", name: "x"}) == (name, "unsupported_parameter")


def test_a_price_ceiling_and_data_preferences_are_read_as_in_a_chat() -> None:
    request = read(EMBEDDINGS, input="a", provider={"zdr": True, "max_price": {"prompt": 0.01}})

    assert request.data_preferences.zdr
    assert str(request.max_price["prompt"]) == "0.01"
    assert refused(EMBEDDINGS, input="a", provider={"zdr": "yes"}) == ("provider.zdr", "invalid_type")


def test_no_chat_says_what_they_ask() -> None:
    for reader, prompt, api in (
        (EMBEDDINGS, "input", Api.EMBEDDINGS),
        (COMPLETIONS, "prompt", Api.COMPLETIONS),
        (MODERATIONS, "input", Api.MODERATIONS),
    ):
        request = read(reader, **{prompt: "a"})
        assert (request.api, request.apis) == (api, (api,))


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PROMPTS = st.one_of(
    st.text(min_size=1, max_size=20),
    st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4),
    st.lists(st.integers(0, 200_000), min_size=1, max_size=8),
    st.lists(st.lists(st.integers(0, 200_000), min_size=1, max_size=8), min_size=1, max_size=4),
)
EMBEDDING_MEMBERS: Mapping[str, st.SearchStrategy[Any]] = {
    "dimensions": st.sampled_from([None, 64, 1536]),
    "encoding_format": st.sampled_from([None, "float", "base64"]),
    "user": st.one_of(st.none(), st.text(max_size=10)),
    "input_type": st.sampled_from([None, "search_query"]),
    "stream": st.sampled_from([None, False]),
    "provider": st.sampled_from([None, {}, {"zdr": True}, {"only": ["openai"]}]),
    "tomorrows": anything,
}
COMPLETION_MEMBERS: Mapping[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.one_of(st.none(), st.integers(0, 1000)),
    "n": st.one_of(st.none(), st.integers(1, 4)),
    "echo": st.sampled_from([None, True, False]),
    "logprobs": st.sampled_from([None, 0, 5]),
    "logit_bias": st.sampled_from([None, {"50256": -100}]),
    "stop": st.sampled_from([None, "x", ["x", "y"]]),
    "temperature": st.sampled_from([None, 0, 0.7]),
    "top_p": st.sampled_from([None, 1]),
    "seed": st.sampled_from([None, 7]),
    "frequency_penalty": st.sampled_from([None, 0.5]),
    "presence_penalty": st.sampled_from([None, -2]),
    "stream": st.sampled_from([None, True, False]),
    "stream_options": st.sampled_from([None, {"include_usage": True}]),
    "user": st.one_of(st.none(), st.text(max_size=10)),
    "tomorrows": anything,
}


@given(PROMPTS, st.fixed_dictionaries({}, optional=EMBEDDING_MEMBERS))
def test_every_member_of_an_embedding_request_is_kept_as_it_came(prompts: object, members: dict[str, Any]) -> None:
    body = json.dumps({"model": "embed", "input": prompts, **members}).encode()

    request = EMBEDDINGS.read(body)

    assert request.original is not None
    assert json.loads(request.original.body_with({})) == json.loads(body)
    assert request.max_output_tokens == 0


@given(PROMPTS, st.fixed_dictionaries({}, optional=COMPLETION_MEMBERS))
def test_every_member_of_a_completion_request_is_kept_as_it_came(prompts: object, members: dict[str, Any]) -> None:
    body = json.dumps({"model": "auto", "prompt": prompts, **members}).encode()

    request = COMPLETIONS.read(body)

    assert request.original is not None
    assert json.loads(request.original.body_with({})) == json.loads(body)
    assert request.is_stream == bool(members.get("stream"))


WHOLE = (
    b'{"id":"g","object":"text_completion","choices":[{"index":1,"text":" lake","finish_reason":"length"},'
    b'{"index":0,"text":" river","finish_reason":"stop"}]}'
)


def test_what_a_completion_says_is_the_same_whole_and_in_events() -> None:
    dialect = CompletionDialect(ReplyReader())

    whole = dialect.said(WHOLE)

    assert [(each.text, each.finish_reason) for each in whole] == [(" lake", "length"), (" river", "stop")]
    assert list(dialect.said_in_events(dialect.as_stream(WHOLE))) == list(reversed(whole))
    assert dialect.said(b"[]") == ()


def test_a_stream_of_text_passes_as_it_came_but_for_usage_that_nobody_asked_for() -> None:
    request = read(COMPLETIONS, prompt="a", stream=True)
    editor = CompletionDialect(ReplyReader()).editor(request, Api.COMPLETIONS)
    text = b'data: {"id":"g","choices":[{"index":0,"text":" river","logprobs":null,"finish_reason":null}]}\n\n'
    end = b'data: {"id":"g","choices":[{"index":0,"text":"","finish_reason":"stop"}]}\n\n'
    usage = b'data: {"id":"g","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"cost":0.5}}\n\n'

    begun = editor.feed(text)

    assert (begun, editor.has_begun, editor.generation_id) == (text, True, "g")  # the first event, and every one
    told = editor.feed(text + end + end + usage + b"data: [DONE]\n\n") + editor.end()
    assert told == text + end + b"data: [DONE]\n\n"
    assert editor.bill is not None
    assert (editor.bill.usage.output_tokens, editor.bill.nano_usd) == (2, 500_000_000)
    assert (editor.is_complete, editor.finish_reason) == (True, "stop")


@given(st.lists(st.integers(1, 200), max_size=8))
def test_where_a_stream_of_text_is_cut_makes_no_difference(cuts: list[int]) -> None:
    request = read(COMPLETIONS, prompt=["a", "b"], stream=True, stream_options={"include_usage": True})
    events = [
        f'data: {{"id":"g","model":"m","choices":[{{"index":{index},"text":"{text}","finish_reason":{reason}}}]}}\n\n'
        for index, text, reason in ((0, " a", "null"), (1, " b", "null"), (0, " c", "null"), (1, "", '"stop"'))
    ]
    last = 'data: {"id":"g","choices":[{"index":0,"text":" d","finish_reason":"length"}],"usage":{"prompt_tokens":2,'
    whole = "".join([*events, last, '"completion_tokens":4}}\n\ndata: [DONE]\n\n']).encode()
    editor = CompletionDialect(ReplyReader()).editor(request, Api.COMPLETIONS)
    told, left = b"", whole

    for size in [*cuts, len(whole)]:
        told, left = told + editor.feed(left[:size]), left[size:]
    told += editor.end()

    said = CompletionDialect(ReplyReader()).said_in_events(told)
    assert [(each.text, each.finish_reason) for each in said] == [(" a c d", "length"), (" b", "stop")]
    assert (told.count(b"[DONE]"), told.count(b'"usage"')) == (1, 1)
    assert told.index(b'"usage"') > told.index(b" d")
    assert (editor.generation_id, editor.served_model, editor.is_complete) == ("g", "m", True)
