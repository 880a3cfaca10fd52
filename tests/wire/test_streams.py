"""Streams through the editor: nothing said is lost or altered, and what SDKs choke on is gone."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from router.units import Usage
from router.wire.events import MAX_EVENT_BYTES, EventTooLong
from router.wire.replies import Bill, ReplyReader
from router.wire.streams import DONE, StreamEditor, error_event
from tests.upstream.recordings import RECORDINGS, Recording

READER = ReplyReader()
COMMENT = b": OPENROUTER PROCESSING\n\n"

USAGE = {
    "prompt_tokens": 254,
    "completion_tokens": 5,
    "total_tokens": 259,
    "cost": 0.000837,
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
BILL = Bill(
    usage=Usage(input_tokens=254, output_tokens=5, cached_tokens=3, cache_write_tokens=2, reasoning_tokens=4),
    cost_usd=Decimal("0.000837"),
)
EMPTY = {"content": "", "role": "assistant"}
OVERLOADED = {"code": 502, "message": "JSON error injected into SSE stream"}

# Text that looks like what the editor looks for.
DECOYS = [
    '"role":"assistant",',
    '{"usage":{"prompt_tokens":1,"completion_tokens":1}}',
    "data: [DONE]\n\n",
    "[DONE]",
    '"error":{"code":500}',
    '"finish_reason":"stop"',
    '"annotations":[{}]',
    '\\"role\\":\\"assistant\\"',
    "\r\n\r\nid: 5\nretry: 1\n\n",
    "",
    "\u2028\u0085\x00 caf\u00e9 \U0001f600",
]


def chunk(*choices: dict[str, Any], **members: object) -> dict[str, Any]:
    head = {"id": "gen-1", "object": "chat.completion.chunk", "created": 1773012759, "model": "m", "provider": "Azure"}
    return {**head, "choices": list(choices), **members}


def choice(delta: dict[str, Any] | None = None, finish_reason: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": EMPTY if delta is None else delta, "finish_reason": finish_reason}


def saying(text: str, index: int = 0) -> dict[str, Any]:
    return chunk(choice({"content": text, "role": "assistant"}, index=index))


FINISH = chunk(choice(finish_reason="stop"))
USAGE_SHAPES = {
    "a": chunk(choice(), usage=USAGE),
    "b": chunk(usage=USAGE),
    "c": chunk(choice(finish_reason="stop"), service_tier="default", usage=USAGE),
}


def event(data: object, *, separators: tuple[str, str] = (",", ":")) -> bytes:
    return b"data: " + json.dumps(data, separators=separators).encode() + b"\n\n"


def editor(*, shows_usage: bool = True, choices: int = 1) -> StreamEditor:
    return StreamEditor(READER, shows_usage=shows_usage, choices=choices)


def relayed(*chunks: object, shows_usage: bool = True, choices: int = 1, done: bool = True) -> bytes:
    """What the client gets of a stream of these chunks, the end included."""
    edits = editor(shows_usage=shows_usage, choices=choices)
    events = b"".join(each if isinstance(each, bytes) else event(each) for each in chunks)
    return edits.feed(events + (DONE if done else b"")) + edits.end()


def events_in(stream: bytes) -> list[Any]:
    """The data of each event, read as JSON but for `[DONE]`; beside data only names and comments may be there."""
    found: list[Any] = []
    for each in filter(None, stream.split(b"\n\n")):
        lines = [line for line in each.split(b"\n") if not line.startswith((b":", b"event: "))]
        data = b"\n".join(line.removeprefix(b"data: ") for line in lines)
        assert all(line.startswith(b"data: ") for line in lines), each
        if data:
            found.append("[DONE]" if data == b"[DONE]" else json.loads(data))
    return found


def chunks_in(stream: bytes) -> list[dict[str, Any]]:
    return [each for each in events_in(stream) if each != "[DONE]"]


def told(chunks: Iterable[dict[str, Any]]) -> dict[int, dict[str, list[str]]]:
    """All that chunks say, choice by choice: text, reasoning, and the arguments of each call, without empty pieces."""
    said: dict[int, dict[str, list[str]]] = {}
    for each in (each for one in chunks for each in one["choices"]):
        delta = each["delta"]
        pieces = said.setdefault(each["index"], {})
        for name in ("content", "reasoning", "reasoning_content"):
            if delta.get(name):
                pieces.setdefault(name, []).append(delta[name])
        for call in delta.get("tool_calls", ()):
            pieces.setdefault(f"call {call['index']}", []).append(json.dumps(call))
    return {index: pieces for index, pieces in said.items() if pieces}


def with_arguments(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chunks of one choice, whose tool was called with nothing, with `{}` at their end."""
    calls = [call for one in chunks for each in one["choices"] for call in (each["delta"] or {}).get("tool_calls", ())]
    if not calls or any(call["function"]["arguments"] for call in calls):
        return chunks
    return [*chunks, chunk(choice({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}))]


def as_openai_reads(stream: bytes) -> dict[str, Any]:
    """The message that openai-python makes of the stream."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks_in(stream):
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    return state.current_completion_snapshot.model_dump()


# The law: bytes and facts do not depend on where the provider's bytes are cut


@dataclass(frozen=True)
class Relay:
    """Everything that comes out of an editor."""

    stream: bytes
    bill: Bill | None
    error: bytes | None
    generation_id: str | None
    served_model: str | None
    serving_provider: str | None
    has_begun: bool
    is_done: bool
    is_complete: bool


def relay(pieces: Iterable[bytes], *, shows_usage: bool, choices: int) -> Relay:
    edits = editor(shows_usage=shows_usage, choices=choices)
    stream = b"".join([edits.feed(piece) for piece in pieces])
    return Relay(
        stream + edits.end(),
        bill=edits.bill,
        error=edits.error,
        generation_id=edits.generation_id,
        served_model=edits.served_model,
        serving_provider=edits.serving_provider,
        has_begun=edits.has_begun,
        is_done=edits.is_done,
        is_complete=edits.is_complete,
    )


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("recording", [each for each in RECORDINGS if each.is_stream], ids=lambda each: each.name)
def test_a_recorded_stream_comes_out_the_same_wherever_it_is_cut(recording: Recording) -> None:
    whole = relay([recording.body], shows_usage=True, choices=1)

    one_by_one = relay(cut(recording.body, range(len(recording.body))), shows_usage=True, choices=1)
    in_two = {relay(cut(recording.body, [place]), shows_usage=True, choices=1) for place in range(len(recording.body))}

    assert {one_by_one, *in_two} == {whole}


TEXTS = st.sampled_from(DECOYS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
INDEXES = st.sampled_from([0, 0, 0, 1, 2])
DELTAS = st.one_of(
    st.just(EMPTY),
    st.just({"role": "assistant"}),
    st.just({}),
    st.none(),
    TEXTS.map(lambda text: {"role": "assistant", "content": text}),
    TEXTS.map(lambda text: {"content": text}),
    TEXTS.map(lambda text: {"content": "", "role": "assistant", "reasoning": text}),
    TEXTS.map(lambda text: {"reasoning_content": text, "content": None}),
    TEXTS.map(lambda text: {"tool_calls": [{"index": 0, "function": {"arguments": text}}], "role": "assistant"}),
    st.just({"role": "assistant", "content": "", "annotations": [{"type": "url_citation"}, {"type": "x", "index": 7}]}),
    st.just({"role": "assistant", "annotations": None}),
    st.just({"role": 5, "annotations": "x"}),
)
CHOICES = st.builds(
    lambda delta, finish_reason, index: {"index": index, "delta": delta, "finish_reason": finish_reason},
    DELTAS,
    st.sampled_from([None, None, None, None, "stop", "tool_calls", "length"]),
    INDEXES,
)
ODDITIES: list[dict[str, Any]] = [
    FINISH,
    *USAGE_SHAPES.values(),
    {"choices": None, "usage": USAGE},
    {"usage": USAGE},
    {"usage": None, "choices": []},
    {"choices": [{"index": "0", "delta": []}], "usage": USAGE},
    {"choices": [{"delta": {"content": "x", "annotations": {}}}], "id": 5, "usage": {"prompt_tokens": "x"}},
    chunk(error=None),
    chunk(error=OVERLOADED),
    chunk(choice(finish_reason="error")),
    chunk({"index": 0, "error": OVERLOADED}, usage=USAGE),
]
JSON_EVENTS = st.builds(
    lambda data, separators: event(data, separators=separators),
    st.lists(CHOICES, max_size=2).map(lambda choices: chunk(*choices)) | st.sampled_from(ODDITIES),
    st.sampled_from([(",", ":"), (", ", ": ")]),
)
RAW_EVENTS = st.sampled_from(
    [
        COMMENT,
        b": \n\n",
        b":\n\n",
        b"\n",
        b"\n\n",
        b"id: 7\n\n",
        b"retry: 10\nid: 7\n\n",
        b"id: 7\nevent: message\ndata: {}\n\n",
        b"event: message\n" + event(saying("named")),
        b": comment inside\n" + event(saying("commented")),
        b'data: {"id":"gen-2",\ndata:"choices":[]}\n\n',
        b'data:{"choices":[{"index":0,"delta":{"role":"assistant", "content":"tight"}}]}\n\n',
        b'data:{"choices":[{"index":0,"delta":{"content":"tight", "role":"assistant"}}]}\n\n',
        b"data: not JSON\n\n",
        b"data: [1]\n\n",
        b"data: \xff\xfe\n\n",
        b"data:\n\n",
        b"neither\n\n",
        DONE,
        b"data:[DONE] \n\n",
    ]
)


@given(
    events=st.lists(JSON_EVENTS | RAW_EVENTS, max_size=8),
    places=st.lists(st.integers(min_value=0, max_value=5000), max_size=12),
    is_crlf=st.booleans(),
    shows_usage=st.booleans(),
    choices=st.integers(min_value=1, max_value=3),
)
@example([event(saying("a")), DONE, event(saying("b"))], [], True, True, 1)
@example([event(saying("a")), event(saying("b")), b"\n", event(saying("c"))], [len(event(saying("a")))], False, True, 1)
def test_client_and_books_get_the_same_however_the_providers_bytes_are_cut(
    events: list[bytes], places: list[int], is_crlf: bool, shows_usage: bool, choices: int
) -> None:
    data = b"".join(events)
    at_once = relay([data], shows_usage=shows_usage, choices=choices)

    sent = data.replace(b"\n", b"\r\n") if is_crlf else data

    assert relay(cut(sent, places), shows_usage=shows_usage, choices=choices) == at_once
    assert relay(cut(sent, range(len(sent))), shows_usage=shows_usage, choices=choices) == at_once


@given(
    deltas=st.lists(DELTAS.filter(lambda delta: delta is not None and delta.get("role") != 5), max_size=10),
    usage=st.sampled_from(["a", "b", "c", "on every chunk"]),
    separators=st.sampled_from([(",", ":"), (", ", ": ")]),
    places=st.lists(st.integers(min_value=0, max_value=5000), max_size=4),
)
def test_nothing_said_is_lost_or_altered(
    deltas: list[dict[str, Any]], usage: str, separators: tuple[str, str], places: list[int]
) -> None:
    sent = [*(chunk(choice(delta)) for delta in deltas), FINISH]
    if usage == "on every chunk":
        sent = [{**each, "usage": USAGE} for each in sent]
    else:
        sent.append(USAGE_SHAPES[usage])
    data = b"".join(event(each, separators=separators) for each in sent) + DONE

    result = relay(cut(data, places), shows_usage=True, choices=1)

    assert told(chunks_in(result.stream)) == told(with_arguments(sent))
    assert (result.bill, result.is_complete) == (BILL, True)
    assert events_in(result.stream).count("[DONE]") == 1
    assert result.stream.endswith(DONE)
    assert [each["usage"] for each in chunks_in(result.stream) if "usage" in each] == [USAGE]


# Tools without arguments


class Reading(StreamEditor):
    """Reads every event, however much it is like the last."""

    @property
    def _pattern(self) -> None:
        return None

    @_pattern.setter
    def _pattern(self, _: object) -> None:
        pass


ALIKE = [
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b","role":"assistant"},"finish_reason":null}]}',
    b'{"id":"g","choices":[{"index":0,"delta":{"role": "assistant", "content":"%b"}}],"role":"assistant"}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b"}}],"role":"assistant"}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b","content":"x"}},{"index":0,"delta":{"role":"assistant"}}]}',
    b'{"id":"g","choices":[{"index":0,"delta":{"a\\"content":"%b"}}]}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b","tool_calls":[{"index":0}]}}]}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":"stop"}]}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b"}}],"usage":{"prompt_tokens":1}}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b"}}],"error":{"code":500}}',
    b'{"id":"g","choices":[{"index":0,"delta":{"content":"%b"}]}',
    b"[DONE]%b",
]
SAID = [
    b"",
    b"Hi",
    "café \u2028".encode(),
    b"\\n",
    b'\\"',
    b"\xff",
    b"\x01",
    b'"',
    b'","role":"assistant',
    b"\\",
    b"\r",
]


ESCAPED = st.text().map(lambda text: json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "replace"))


def alike() -> st.SearchStrategy[tuple[bytes, bytes]]:
    return st.tuples(st.sampled_from(ALIKE), st.sampled_from(SAID) | ESCAPED)


@given(st.lists(alike()))
@example([(ALIKE[1], b"Hi"), (ALIKE[3], b"Hi"), (ALIKE[3], b"Hi")])
@example([(ALIKE[0], b"Hi"), (ALIKE[0], b"Hi"), (ALIKE[0], b'","role":"assistant')])
@example([(ALIKE[0], b"Hi"), (ALIKE[0], b"Hi"), (ALIKE[0], b"\xff")])
@example([(ALIKE[0], b"Hi"), (ALIKE[9], b"Hi"), (ALIKE[0], b"Hi")])
@example([(ALIKE[0], b"Hi"), (ALIKE[11], b""), (ALIKE[0], b"Hi")])
def test_an_event_like_the_last_becomes_what_it_would_have_become_by_itself(said: list[tuple[bytes, bytes]]) -> None:
    usual, reading = editor(), Reading(READER, shows_usage=True, choices=1)
    for like, text in [(ALIKE[1], b"Hi"), *said]:  # the client has been told the role
        data = b"data: %b\n\n" % like.replace(b"%b", text)
        assert usual.feed(data) == reading.feed(data)
    assert usual.end() == reading.end()
    assert (usual.has_failed, usual.is_done, usual.bill) == (reading.has_failed, reading.is_done, reading.bill)


def calling(arguments: str, index: int = 0) -> dict[str, Any]:
    return chunk(choice({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}))


@pytest.mark.parametrize("finish_reason", ["tool_calls", "stop"])
def test_a_call_of_a_tool_without_arguments_says_so_in_json_before_it_finishes(finish_reason: str) -> None:
    named = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_all_tabs", "arguments": ""}}
    began = chunk(choice({"role": "assistant", "content": None, "tool_calls": [named]}))
    finish = chunk(choice(finish_reason=finish_reason))

    stream = relayed(began, calling(""), calling('{"a":', 1), calling("1}", 1), finish, finish)

    (message,) = as_openai_reads(stream)["choices"]
    calls = message["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", '{"a":1}']
    assert len(chunks_in(stream)) == 6


@pytest.mark.parametrize("finish_reason", ["length", "content_filter"])
def test_arguments_that_may_have_been_cut_off_are_left_as_they_are(finish_reason: str) -> None:
    assert len(chunks_in(relayed(calling(""), chunk(choice(finish_reason=finish_reason))))) == 2


# Roles


@pytest.mark.parametrize("choices", [1, 2])
def test_each_choice_is_given_its_role_once(choices: int) -> None:
    indexes = range(choices)
    sent = [saying(f"{word}{index}", index) for word in ("one", "two", "three") for index in indexes]
    finishes = [chunk(choice(finish_reason="stop", index=index)) for index in indexes]

    stream = relayed(*sent, *finishes, choices=choices)

    roles = [each["index"] for one in chunks_in(stream) for each in one["choices"] if "role" in each["delta"]]
    assert roles == list(indexes)
    assert [each["message"]["role"] for each in as_openai_reads(stream)["choices"]] == ["assistant"] * choices
    assert [each["message"]["content"] for each in as_openai_reads(stream)["choices"]] == [
        f"one{index}two{index}three{index}" for index in indexes
    ]


def test_a_role_told_and_a_role_not_yet_told_may_share_a_chunk() -> None:
    both = chunk(choice({"role": "assistant", "content": "b"}), choice({"content": "c", "role": "assistant"}, index=1))

    stream = relayed(saying("a"), both, both, choices=2, done=False)

    assert [[each["delta"] for each in one["choices"]] for one in chunks_in(stream)] == [
        [{"content": "a", "role": "assistant"}],
        [{"content": "b"}, {"content": "c", "role": "assistant"}],
        [{"content": "b"}, {"content": "c"}],
    ]


@pytest.mark.parametrize(
    "delta",
    [
        '{"role":"assistant","content":"x"}',
        '{"content":"x","role":"assistant"}',
        '{"refusal":null,"role":"assistant","content":"x"}',
        '{"role": "assistant", "content": "x"}',
        '{"content": "x", "role": "assistant"}',
        '{"refusal": null, "role": "assistant", "content": "x"}',
        '{"role":"assistant", "content":"x"}',
        '{"role": "assistant","content":"x"}',
        '{"content":"x", "role":"assistant"}',
        '{"content":"x","role": "assistant"}',
    ],
)
def test_a_role_is_taken_out_wherever_it_stands(delta: str) -> None:
    again = f'data: {{"choices":[{{"index":0,"delta":{delta}}}]}}\n\n'.encode()

    _, second = chunks_in(relayed(saying("a"), again, done=False))

    assert {name: value for name, value in second["choices"][0]["delta"].items() if value is not None} == {
        "content": "x"
    }


def test_a_role_alone_is_passed_on() -> None:
    stream = relayed(chunk(choice({"role": "assistant"})), chunk(choice({"content": "a"})), FINISH)

    assert as_openai_reads(stream)["choices"][0]["message"]["role"] == "assistant"


def test_a_role_that_comes_with_a_usage_is_passed_on() -> None:
    first = chunk(choice({"role": "assistant", "content": ""}), usage=USAGE)

    stream = relayed(first, chunk(choice({"content": "a"}), usage=USAGE), FINISH)

    assert chunks_in(stream)[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}


# Usage


@pytest.mark.parametrize("shape", sorted(USAGE_SHAPES))
def test_usage_comes_last_to_a_client_that_asked_for_it(shape: str) -> None:
    stream = relayed(saying("Hello!"), FINISH, USAGE_SHAPES[shape])

    first, finish, usage, done = events_in(stream)
    assert first["choices"] == [choice({"content": "Hello!", "role": "assistant"})]
    assert finish["choices"] == [choice({"content": ""}, "stop")]
    assert (usage["choices"], usage["usage"], usage["id"]) == ([], USAGE, "gen-1")
    assert done == "[DONE]"
    assert as_openai_reads(stream)["usage"]["prompt_tokens"] == 254


@pytest.mark.parametrize("shape", sorted(USAGE_SHAPES))
def test_usage_is_booked_but_not_sent_to_a_client_that_did_not_ask(shape: str) -> None:
    edits = editor(shows_usage=False)

    stream = edits.feed(b"".join(map(event, (saying("Hello!"), FINISH, USAGE_SHAPES[shape]))) + DONE) + edits.end()

    assert [len(each["choices"]) for each in chunks_in(stream)] == [1, 1]
    assert b"usage" not in stream
    assert edits.bill == BILL


def test_usage_and_finish_and_text_in_one_chunk_are_taken_apart() -> None:
    stream = relayed(chunk(choice({"content": "all", "role": "assistant"}, "stop"), usage=USAGE))

    text, usage, _ = events_in(stream)
    assert text["choices"] == [choice({"content": "all", "role": "assistant"}, "stop")]
    assert "usage" not in text
    assert (usage["choices"], usage["usage"]) == ([], USAGE)


@pytest.mark.parametrize("shows_usage", [False, True])
def test_of_a_usage_that_grows_with_every_chunk_the_last_is_booked_and_sent_once(shows_usage: bool) -> None:
    growing = [{"prompt_tokens": 7, "completion_tokens": count} for count in range(4)]
    deltas = [{"role": "assistant", "content": ""}, {"reasoning_content": "Hm"}, {"content": "Hi"}, {"content": ""}]
    sent = [
        chunk(choice(delta, "stop" if count == 3 else None), usage=usage)
        for count, (delta, usage) in enumerate(zip(deltas, growing, strict=True))
    ]
    edits = editor(shows_usage=shows_usage)

    stream = edits.feed(b"".join(map(event, sent)) + DONE) + edits.end()

    assert edits.bill == Bill(usage=Usage(input_tokens=7, output_tokens=3), cost_usd=None)
    assert told(chunks_in(stream)) == {0: {"reasoning_content": ["Hm"], "content": ["Hi"]}}
    assert [each["usage"] for each in chunks_in(stream) if "usage" in each] == [growing[3]] * shows_usage


def test_a_usage_that_is_null_is_not_touched() -> None:
    sent = event({**saying("a"), "usage": None})

    assert editor().feed(sent) == sent


# Finishing


def test_a_finish_is_told_once() -> None:
    stream = relayed(saying("a"), FINISH, FINISH, USAGE_SHAPES["c"], FINISH)

    finishes = [each["finish_reason"] for one in chunks_in(stream) for each in one["choices"]]
    assert finishes == [None, "stop"]


def test_each_choice_has_a_finish_of_its_own() -> None:
    finishes = [chunk(choice(finish_reason="stop", index=index)) for index in (0, 1, 0, 1)]

    stream = relayed(saying("a"), saying("b", 1), *finishes, choices=2)

    assert [each["index"] for one in chunks_in(stream) for each in one["choices"] if each["finish_reason"]] == [0, 1]


def test_text_after_a_finish_is_not_dropped() -> None:
    late = chunk(choice({"content": "late"}, "stop"))

    assert told(chunks_in(relayed(saying("a"), FINISH, late)))[0]["content"] == ["a", "late"]


@pytest.mark.parametrize(
    ("chunks", "choices", "is_complete"),
    [
        ([], 1, False),
        ([saying("a")], 1, False),
        ([saying("a"), FINISH], 1, True),
        ([saying("a"), DONE], 1, True),
        ([saying("a"), FINISH], 2, False),
        ([saying("a"), FINISH, chunk(choice(finish_reason="length", index=1))], 2, True),
        ([saying("a"), FINISH, DONE], 2, True),
        ([saying("a"), USAGE_SHAPES["b"]], 1, False),
        ([saying("a"), FINISH, chunk(error=OVERLOADED)], 1, False),
        ([saying("a"), FINISH, USAGE_SHAPES["b"], chunk(error=OVERLOADED), DONE], 1, False),
        ([saying("a"), chunk(choice(finish_reason="error")), DONE], 1, False),
    ],
)
def test_done_is_sent_once_and_only_when_the_answer_reached_its_end(
    chunks: Sequence[object], choices: int, is_complete: bool
) -> None:
    stream = relayed(*chunks, choices=choices, done=False)

    assert stream.count(b"[DONE]") == is_complete
    assert stream.endswith(DONE) is is_complete


@pytest.mark.parametrize(
    "done", [b"data: [DONE]\n\n", b"data:[DONE]\n\n", b"data: [DONE] \n\n", b"data: [DONE]\r\n\r\n"]
)
def test_the_providers_done_is_known_however_it_is_spaced(done: bytes) -> None:
    edits = editor()

    assert edits.feed(event(saying("a")) + done) == event(saying("a"))
    assert edits.is_done


def test_nothing_comes_after_the_providers_done() -> None:
    edits = editor()
    edits.feed(event(saying("a")) + event(FINISH) + DONE)

    assert edits.feed(event(saying("b")) + event(USAGE_SHAPES["b"]) + DONE) == b""
    assert edits.end() == DONE


def test_a_stream_whose_last_blank_line_is_missing_is_complete_once_it_has_finished() -> None:
    edits = editor()
    edits.feed(event(saying("a")) + event(FINISH) + event(USAGE_SHAPES["b"]) + b"data: [DONE]\n")

    assert edits.is_complete
    assert events_in(edits.end())[-1] == "[DONE]"


# Errors


@pytest.mark.parametrize(
    "broken",
    [
        chunk(error=OVERLOADED),
        chunk(choice(finish_reason="error"), error=OVERLOADED),
        chunk(choice({"content": ""}, "error"), error={"code": "server_error", "message": "disconnected"}),
        chunk({"index": 0, "delta": {}, "finish_reason": "error", "error": OVERLOADED}),
        chunk(choice(finish_reason="error")),
        {"error": OVERLOADED},
    ],
)
@pytest.mark.parametrize("before", [[], [saying("a")], [saying("a"), FINISH, USAGE_SHAPES["b"]]])
def test_an_error_is_kept_for_us_and_ends_what_the_client_gets(
    before: list[dict[str, Any]], broken: dict[str, Any]
) -> None:
    edits = editor()
    sent = b"".join(map(event, before))
    before_it = edits.feed(sent)

    after_it = edits.feed(event(broken) + COMMENT + event(saying("more")) + b"data: ?\n\n" + event(FINISH) + DONE)

    assert chunks_in(before_it) == chunks_in(editor().feed(sent))
    assert after_it + edits.end() == b""
    assert edits.error is not None
    assert READER.error(edits.error, provider="p").upstream_status == 502
    assert edits.has_begun is bool(before)


def test_the_first_error_counts() -> None:
    edits = editor()

    edits.feed(
        event(chunk(error={"code": 429})) + event(chunk(error=OVERLOADED)) + event(chunk(choice(finish_reason="error")))
    )

    assert edits.error == b'{"code":429}'


@pytest.mark.parametrize(
    "sent", [[chunk(choice(), error=OVERLOADED, usage=USAGE)], [chunk(error=OVERLOADED), USAGE_SHAPES["b"]]]
)
def test_what_was_used_up_to_an_error_is_booked(sent: list[dict[str, Any]]) -> None:
    edits = editor()

    edits.feed(event(saying("a")) + b"".join(map(event, sent)))

    assert edits.bill == BILL


def test_an_error_that_is_null_is_none() -> None:
    edits = editor()

    edits.feed(event({**saying("a"), "error": None}) + event({**FINISH, "error": None}))

    assert edits.error is None
    assert edits.is_complete


def test_our_own_error_event_is_one_line_of_data() -> None:
    assert error_event(b'{"error":{"message":"why"}}') == b'data: {"error":{"message":"why"}}\n\n'


# What passes, and what SDKs choke on


def test_a_chunk_without_anything_of_interest_passes_byte_by_byte() -> None:
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"\\u00e9\\/"}}],"n":1.0,"big":1e400,"x":[ 1 ]}\n\n'
    edits = editor()
    edits.feed(event(saying("a")))

    assert edits.feed(odd) == odd


@pytest.mark.parametrize(
    "choices",
    [
        b'[{"index":0,"delta":{"role":"assistant","content":"b","new":ODD},"finish_reason":null,"new":ODD}]',
        b'[{"index":0,"delta":{"content":"","new":ODD},"finish_reason":"stop","new":ODD}]',
        b'[{"index":0,"delta":{"role":"assistant","annotations":[{"type":"x","new":ODD}],"new":ODD},"new":ODD}]',
        b'[{"index":0,"delta":{"role":"assistant","content":"b","new":ODD}},'
        b'{"index":1,"delta":{"role":"assistant","new":ODD},"new":ODD}]',
    ],
)
@pytest.mark.parametrize("rest", [b"", b',"usage":{"prompt_tokens":7,"completion_tokens":1,"new":ODD}'])
def test_members_we_do_not_know_pass_byte_by_byte_in_chunks_that_are_edited_too(choices: bytes, rest: bytes) -> None:
    odd = rb'[1.0,1e400,12345678901234567890123,"\u00e9\/"]'
    sent = b'data: {"id":"gen-1","new":ODD,"choices":' + choices + rest + b"}\n\n"
    edits = editor(choices=2)

    stream = edits.feed(event(saying("a")) + sent.replace(b"ODD", odd) + DONE) + edits.end()

    repeated = 1 if rest else 0  # the usage goes in a chunk of its own, with the members around it
    assert stream.count(odd) == sent.count(b"ODD") + repeated


@pytest.mark.parametrize("text", DECOYS)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_text_that_looks_like_the_protocol_is_only_text(text: str, separators: tuple[str, str]) -> None:
    delta = {
        "content": text,
        "reasoning": text,
        "tool_calls": [{"index": 0, "id": text, "function": {"name": text, "arguments": text}}],
    }
    plain = event(chunk(choice(delta)), separators=separators)
    edits = editor()
    edits.feed(event(saying("a")))

    assert edits.feed(plain) == plain
    assert (edits.error, edits.bill, edits.is_done, edits.is_complete) == (None, None, False, False)


def test_comments_pass_before_and_between_chunks() -> None:
    edits = editor()

    assert edits.feed(COMMENT + COMMENT) == COMMENT + COMMENT
    assert not edits.has_begun
    edits.feed(event(saying("a")))
    assert edits.feed(b": \n\n" + COMMENT) == b": \n\n" + COMMENT


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("noise", [b"\0\0\0", b": a\0b", b"event: a\0b", b"unknown: x", b"data", b"{}", b" data: {}"])
def test_lines_that_say_nothing_to_any_reader_are_removed(noise: bytes, begun: bool) -> None:
    edits = editor()
    before = edits.feed(event(saying("a"))) if begun else b""

    stream = before + edits.feed(noise + b"\n\n: keep\n" + noise + b"\n" + event(saying("b")))

    assert noise not in stream.split(b"\n")
    assert told(chunks_in(stream)) == {0: {"content": ["a", "b"] if begun else ["b"]}}


@pytest.mark.parametrize("begun", [False, True])
def test_id_and_retry_lines_are_removed(begun: bool) -> None:
    edits = editor()
    if begun:
        edits.feed(event(saying("a")))

    stream = edits.feed(
        b"retry: 10\n\nid: 1\n: keep\n\nid: 2\n" + event(chunk(choice({"content": "b"}))) + b"retry:5\nid:6\n\n"
        b"event: message\nid: 3\n" + event(chunk(choice({"content": "c"})))
    )

    assert told(chunks_in(stream)) == {0: {"content": ["b", "c"]}}
    assert b"id: " not in stream
    assert b"retry" not in stream
    assert b": keep\n\n" in stream


def test_data_over_several_lines_stays_one_event() -> None:
    spread = b'data: {"choices":[{"index":0,\ndata: "delta":{"role":"assistant","content":"b"}}]}\n\n'

    assert told(chunks_in(relayed(spread, spread, done=False))) == {0: {"content": ["b", "b"]}}


def test_annotations_of_several_chunks_are_numbered_so_that_openai_keeps_them_apart() -> None:
    def citing(*urls: str, index: int = 0) -> dict[str, Any]:
        cited = [{"type": "url_citation", "url_citation": {"url": url, "start_index": 1}} for url in urls]
        return chunk(choice({"content": "", "role": "assistant", "annotations": cited}, index=index))

    stream = relayed(
        *(saying("", 0), saying("", 1), citing("https://a"), citing("https://b", "https://c")),
        *(citing("https://d", index=1), FINISH),
        choices=2,
    )

    cited = [each["message"]["annotations"] for each in as_openai_reads(stream)["choices"]]
    assert [[each["url_citation"]["url"] for each in one] for one in cited] == [
        ["https://a", "https://b", "https://c"],
        ["https://d"],
    ]
    assert cited[0][1]["url_citation"]["start_index"] == 1


@pytest.mark.parametrize("annotations", [None, [], {}, "x", 5, ["x"], [5], [None]])
def test_annotations_of_an_unexpected_kind_pass(annotations: object) -> None:
    odd = chunk(choice({"role": "assistant", "content": "a", "annotations": annotations}))

    assert chunks_in(relayed(odd, done=False)) == [odd]


@pytest.mark.parametrize(
    "odd",
    [
        {"choices": [{"index": "0", "delta": {"content": "a"}}]},
        {"choices": [{"index": 0, "delta": "a"}]},
        {"choices": [{"index": 0, "delta": ["a"], "finish_reason": None}]},
        {"choices": ["a"]},
        {"choices": {"0": "a"}},
        {"choices": [{"index": 0}]},
        {"choices": []},
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        {"object": "keepalive"},
        {"id": 5, "model": {}, "provider": [], "choices": [{"index": 0, "delta": {"content": "a"}}]},
    ],
)
def test_a_chunk_of_an_unexpected_shape_passes_as_it_is(odd: dict[str, Any]) -> None:
    for before in ([], [saying("a")]):
        stream = relayed(*before, odd, done=False)

        assert chunks_in(stream) == [*before, odd]


@pytest.mark.parametrize(
    "data",
    [
        b"not JSON",
        b"[1]",
        b"5",
        b"{",
        b"[" * 5000,
        b'{"choices":' + b"[" * 5000,
        b'{"choices":[{"index":0,"delta":{"content":"ha',
        b'{"choices":[{"index":0,"delta":{"content":"\xff"}}]}',
        b'{"x":"\xe4","choices":[]}',
        b'{"\xe4":1,"choices":[]}',
        b'{"object":"\xe4","choices":[]}',
        b'{"choices":[{"index":0,"finish_reason":"\xe4"}]}',
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_an_event_that_nobody_can_read_ends_the_stream(data: bytes, begun: bool) -> None:
    """SDKs raise on it in their own words, in the middle of an answer; the client gets an error event instead."""
    edits = editor()
    before = b"".join(map(event, [saying("a")] * begun))

    assert edits.feed(before + b"data: " + data + b"\n\n" + event(FINISH) + event(USAGE_SHAPES["b"]) + DONE) == before
    assert (edits.has_failed, edits.error, edits.is_complete, edits.end()) == (True, None, False, b"")
    assert edits.bill == BILL


def test_a_comment_that_is_no_text_is_dropped() -> None:
    assert editor().feed(b": caf\xe9\n\n" + COMMENT) == COMMENT


@pytest.mark.parametrize(
    "broken",
    [
        event({"object": "error", "message": "boom", "code": 500}),
        event({"type": "error", "message": "boom", "code": 500}),
        b"event: error\n" + event({"message": "boom", "code": 500}),
        b"event:error\n" + event({"error": {"message": "boom", "code": 500}}),
        event({"error": {"message": "boom", "code": 500}}, separators=(" , ", " : ")),
    ],
)
def test_an_error_without_a_member_of_that_name_is_one(broken: bytes) -> None:
    edits = editor()

    assert edits.feed(event(saying("a")) + broken + DONE) == event(saying("a"))
    assert edits.error is not None
    assert READER.error(edits.error, provider="p").message == "p answered 500: boom"


def test_an_event_with_a_name_of_its_own_passes_as_it_is() -> None:
    named = b"event: message\n" + event(chunk(choice({"content": "b"})))
    edits = editor()
    edits.feed(event(saying("a")))

    assert edits.feed(named) == named


def test_the_facts_of_the_first_chunk_that_tells_them_are_kept() -> None:
    edits = editor()

    edits.feed(event({"choices": []}) + event(saying("a")) + event({**FINISH, "id": "gen-2", "provider": "other"}))

    assert (edits.generation_id, edits.served_model, edits.serving_provider) == ("gen-1", "m", "Azure")


# Bounds


def test_an_event_of_megabytes_passes() -> None:
    image = event(saying("x" * 2_000_000))

    assert b"".join(map(editor().feed, cut(image, range(0, len(image), 65_536)))) == image


def test_an_event_may_be_as_long_as_the_bound_and_no_longer() -> None:
    edits = editor()
    edits.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 6))

    with pytest.raises(EventTooLong):
        edits.feed(b"x")


def test_bytes_of_events_that_ended_do_not_count_for_the_bound() -> None:
    edits = editor()
    edits.feed(event(saying("a")))

    for _ in range(20):
        edits.feed(b": " + b"x" * 2_000_000)
        edits.feed(b"\n\n")
