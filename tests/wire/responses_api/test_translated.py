"""A chat's answers and streams, told as responses."""

import json
from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from router.apis import Api
from router.errors import UpstreamBroken
from router.wire.answers import Answer, Called
from router.wire.replies import ReplyReader
from router.wire.requests import ChatReader
from router.wire.responses_api.dialect import ResponsesDialect
from router.wire.responses_api.replies import ResponsesReplyReader
from router.wire.responses_api.requests import ResponsesReader
from tests.upstream.recordings import DONE, RECORDINGS, Recording, said_in
from tests.wire.responses_api.named_events import events_in

READER = ResponsesReader(ChatReader())
REPLIES = ResponsesReplyReader()
DIALECT = ResponsesDialect(ReplyReader(), REPLIES)
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
ASKED = {
    "model": "auto",
    "input": "Tea?",
    "instructions": "Be brief.",
    "temperature": 0.50,
    "metadata": {"ticket": "4711"},
    "tools": [
        {"type": "function", "name": "tea", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "shell"},
        {
            "type": "namespace",
            "name": "agents",
            "description": "Agents.",
            "tools": [{"type": "function", "name": "spawn"}],
        },
    ],
}
REQUEST = READER.read(json.dumps(ASKED).encode())
USAGE = {
    "prompt_tokens": 25,
    "completion_tokens": 5,
    "total_tokens": 30,
    "cost": 0.000837,
    "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 4},
}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **members: object) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1773012759, "model": "m"}
    return b"data: " + json.dumps({**head, "choices": choices, **members}).encode() + b"\n\n"


def call(index: int, arguments: str, **first: str) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": first["name"]} if "name" in first else {})}
    return {"index": index, "function": function, **({"id": first["id"]} if "id" in first else {})}


def translated(pieces: Iterable[bytes]) -> bytes:
    editor = DIALECT.editor(REQUEST, Api.CHAT)
    return b"".join([editor.feed(piece) for piece in pieces]) + editor.end()


def assert_lawful(events: list[dict[str, Any]]) -> dict[str, Any]:
    """OpenAI's order, whatever is said. Gives the response at the end."""
    assert [each["type"] for each in events[:2]] == ["response.created", "response.in_progress"]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    end: dict[str, Any] = events[-1]["response"]
    assert events[-1]["type"] == f"response.{end['status']}"
    assert {each["response"]["id"] for each in events if "response" in each} == {end["id"]}
    is_open: dict[int, str] = {}
    done: dict[int, dict[str, Any]] = {}
    said: dict[tuple[int, int | None], str] = {}
    for each in events[2:-1]:
        index = each["output_index"]
        kind = each["type"]
        if kind == "response.output_item.added":
            assert index == len(is_open)
            is_open[index] = each["item"]["id"]
        elif kind == "response.output_item.done":
            assert each["item"]["id"] == is_open[index]
            assert index not in done
            done[index] = each["item"]
        else:
            assert index not in done
            assert each["item_id"] == is_open[index]
            place = (index, each.get("content_index"))
            if kind.endswith(".delta"):
                said[place] = said.get(place, "") + each["delta"]
            elif kind.endswith(".done") and not kind.endswith("part.done"):
                whole = next(each[name] for name in ("text", "refusal", "arguments", "input") if name in each)
                assert said.get(place, "") == whole
    assert [done[index] for index in sorted(is_open)] == end["output"]
    assert len({item["id"] for item in end["output"]}) == len(end["output"])
    assert all(len(item["id"]) <= 64 for item in end["output"])
    return end


def as_openai_reads(events: list[dict[str, Any]]) -> Response:
    """The response that openai-python's helper puts together."""
    state: ResponseStreamState[None] = ResponseStreamState(text_format=omit, input_tools=omit)
    for each in events:
        state.handle_event(EVENT.validate_python(each))
    assert state._completed_response is not None or events[-1]["type"] != "response.completed"
    return Response.model_validate(events[-1]["response"])


def test_a_text_is_told_event_by_event() -> None:
    stream = [chunk({"role": "assistant", "content": "Te"}), chunk({"content": "a."}), chunk({}, "stop"), DONE]

    events = events_in(translated(stream))

    assert [each["type"].removeprefix("response.") for each in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert_lawful(events)
    assert as_openai_reads(events).output_text == "Tea."


def test_the_response_repeats_what_was_asked_and_is_not_stored() -> None:
    end = assert_lawful(events_in(translated([chunk({"content": "a"}, "stop"), DONE])))

    assert {name: end[name] for name in ("instructions", "metadata", "tools", "temperature")} == {
        name: ASKED[name] for name in ("instructions", "metadata", "tools", "temperature")
    }
    assert (end["id"], end["model"], end["created_at"], end["store"]) == ("chatcmpl-1", "m", 1773012759, False)
    assert end["completed_at"] == 1773012759  # no clock here: a chat says only when it began


def test_usage_is_told_by_the_names_of_the_api() -> None:
    stream = [chunk({"content": "a"}, "stop"), chunk(usage=USAGE), DONE]

    assert assert_lawful(events_in(translated(stream)))["usage"] == {
        "input_tokens": 25,
        "input_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 30,
        "cost": 0.000837,
    }


@pytest.mark.parametrize("usage", [None, {}, [], {"prompt_tokens": 3}, {"prompt_tokens_details": 5, "cost": None}])
def test_a_usage_of_any_shape_breaks_nothing(usage: object) -> None:
    assert_lawful(events_in(translated([chunk({"content": "a"}, "stop"), chunk(usage=usage), DONE])))


@pytest.mark.parametrize("word", ["reasoning", "reasoning_content"])
def test_thoughts_text_and_refusal_are_items_and_parts(word: str) -> None:
    said = [chunk({word: "H"}), chunk({word: "m"}), chunk({"content": "So"}), chunk({"refusal": "No"}, "stop"), DONE]

    end = assert_lawful(events_in(translated(said)))

    assert [item["type"] for item in end["output"]] == ["reasoning", "message"]
    assert end["output"][0]["content"] == [{"type": "reasoning_text", "text": "Hm"}]
    assert [part.get("text", part.get("refusal")) for part in end["output"][1]["content"]] == ["So", "No"]


def test_thoughts_under_both_names_are_told_once() -> None:
    said = [chunk({"reasoning": "Hm", "reasoning_content": "Hm"}), chunk({"content": "So"}, "stop"), DONE]

    assert assert_lawful(events_in(translated(said)))["output"][0]["content"][0]["text"] == "Hm"


def test_parallel_calls_may_come_interleaved() -> None:
    first, second = call(0, '{"a', id="c1", name="tea"), call(1, "{}", id="c2", name="agents__spawn")
    stream = [
        chunk({"content": "Wait."}),
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [second]}),
        chunk({"tool_calls": [call(0, '":1}')]}),
        chunk({}, "tool_calls"),
        DONE,
    ]

    events = events_in(translated(stream))
    output = assert_lawful(events)["output"]

    places = [(each["type"].removeprefix("response.output_item."), each.get("output_index")) for each in events]
    assert (
        places.index(("done", 0)) < places.index(("added", 1)) < places.index(("added", 2)) < places.index(("done", 1))
    )
    assert [{**item, "id": None} for item in output[1:]] == [
        {
            "id": None,
            "type": "function_call",
            "status": "completed",
            "call_id": "c1",
            "name": "tea",
            "arguments": '{"a":1}',
        },
        {
            "id": None,
            "type": "function_call",
            "status": "completed",
            "call_id": "c2",
            "name": "spawn",
            "arguments": "{}",
            "namespace": "agents",
        },
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [('{"input":"ls\\n"}', "ls\n"), ('{"input":5}', '{"input":5}'), ("ls", "ls"), ("", ""), ("[1]", "[1]")],
)
def test_a_custom_tool_gets_the_text_that_its_function_got(arguments: str, expected: str) -> None:
    pieces = [arguments[:3], arguments[3:]]
    calls = [chunk({"tool_calls": [call(0, pieces[0], id="c1", name="shell")]})]
    stream = [*calls, chunk({"tool_calls": [call(0, pieces[1])]}), chunk({}, "tool_calls"), DONE]

    (item,) = assert_lawful(events_in(translated(stream)))["output"]

    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "shell", expected)


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter"), ("stop", None)]
)
def test_the_reason_of_the_end_is_told(finish: str, reason: str | None) -> None:
    end = assert_lawful(events_in(translated([chunk({"content": "a"}), chunk({}, finish), DONE])))

    assert end["status"] == ("completed" if reason is None else "incomplete")
    assert end["incomplete_details"] == (None if reason is None else {"reason": reason})
    assert end["output"][0]["status"] == end["status"]


def test_an_annotation_is_told_flat() -> None:
    cited = {"type": "url_citation", "url_citation": {"url": "https://a.b", "title": "A", "start_index": 0}}
    stream = [chunk({"content": "a"}), chunk({"annotations": [cited]}), chunk({}, "stop"), DONE]

    (item,) = assert_lawful(events_in(translated(stream)))["output"]

    (annotation,) = item["content"][0]["annotations"]
    assert (annotation["type"], annotation["url"]) == ("url_citation", "https://a.b")


def test_an_answer_without_a_word_is_a_response_without_output() -> None:
    assert assert_lawful(events_in(translated([chunk({"role": "assistant"}, "stop"), DONE])))["output"] == []


def test_a_stream_that_is_not_complete_has_no_end() -> None:
    assert events_in(translated([chunk({"content": "a"})]))[-1]["type"] == "response.output_text.delta"


def test_a_stream_that_breaks_ends_with_an_error_that_is_numbered_on() -> None:
    editor = DIALECT.editor(REQUEST, Api.CHAT)
    before = events_in(editor.feed(chunk({"content": "a"})))

    error, failed = events_in(editor.broken(UpstreamBroken("It broke.", provider="p"), request_id="req_1"))

    assert [error["sequence_number"], failed["sequence_number"]] == [len(before), len(before) + 1]
    assert (error["type"], error["code"], error["error"]["code"]) == ("error", "upstream_broken", "upstream_broken")
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["id"] == before[0]["response"]["id"]
    assert failed["response"]["error"] == {"code": "upstream_broken", "message": "It broke."}


def test_a_chunk_that_is_none_ends_the_stream_as_failed() -> None:
    editor = DIALECT.editor(REQUEST, Api.CHAT)
    editor.feed(chunk({"content": "a"}) + chunk(choices=5) + chunk({"content": "b"}, "stop") + DONE)

    assert (editor.has_failed, editor.is_complete, editor.end()) == (True, False, b"")


STREAMS = [each for each in RECORDINGS if each.is_stream]


@pytest.mark.parametrize("recording", STREAMS, ids=lambda each: each.name)
def test_what_openrouter_sends_in_a_chat_is_told_whole(recording: Recording) -> None:
    expected = said_in(recording)
    stream = translated([recording.body])
    if expected.error is not None:
        assert events_in(stream)[-1]["type"].endswith((".delta", ".added", ".in_progress"))
        return

    events = events_in(stream)
    end = assert_lawful(events)

    response = as_openai_reads(events)
    assert response.output_text == expected.text
    thoughts = [part["text"] for item in end["output"] if item["type"] == "reasoning" for part in item["content"]]
    assert "".join(thoughts) == expected.reasoning
    calls = [[c["call_id"], c["name"], c["arguments"]] for c in end["output"] if c["type"] == "function_call"]
    assert calls == expected.calls


WORDS = st.sampled_from(["a", "é😀", "\n\ndata: [DONE]\n\n", '"}', "\u2028", ""])
DELTAS = st.one_of(
    st.builds(lambda text: {"content": text}, WORDS),
    st.builds(lambda text: {"reasoning": text}, WORDS),
    st.builds(lambda text: {"refusal": text}, WORDS),
    st.builds(
        lambda index, text, name: {"tool_calls": [call(index, text, id=f"c{index}", name=name)]},
        st.integers(0, 2),
        WORDS,
        st.sampled_from(["tea", "shell", "agents__spawn", "unknown"]),
    ),
    st.just({"role": "assistant", "content": "", "tool_calls": None, "annotations": []}),
)


@settings(deadline=None)  # drawing is what takes long on a busy machine
@given(st.lists(DELTAS, max_size=8), st.sampled_from(["stop", "length", "tool_calls"]), st.lists(st.integers(0, 2000)))
def test_every_stream_is_lawful_and_the_same_however_it_is_cut(
    deltas: list[dict[str, Any]], finish: str, places: list[int]
) -> None:
    data = b"".join([*map(chunk, deltas), chunk({}, finish), chunk(usage=USAGE), DONE])
    cuts = sorted({0, len(data), *(place for place in places if place < len(data))})

    stream = translated(data[a:b] for a, b in pairwise(cuts))

    assert stream == translated([data])
    end = assert_lawful(events_in(stream))
    as_openai_reads(events_in(stream))
    assert "".join(p["text"] for i in end["output"] if i["type"] == "message" for p in i["content"] if "text" in p) == (
        "".join(each.get("content") or "" for each in deltas)
    )
    (answer,) = DIALECT.said_in_events(stream)
    (again,) = DIALECT.said(json.dumps(end).encode())
    assert answer == again
    assert answer.finish_reason in (finish, "tool_calls", "stop")


# Whole answers

WHOLE = {
    "id": "gen-1",
    "created": 1773012759,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": "So",
                "refusal": None,
                "reasoning": "Hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"input":"ls"}'}},
                    {"id": "c2", "type": "function", "function": {"name": "agents__spawn", "arguments": "{}"}},
                ],
            },
        }
    ],
    "usage": USAGE,
}


def whole() -> bytes:
    return DIALECT.whole(json.dumps(WHOLE).encode(), REQUEST, Api.CHAT)


def test_a_whole_answer_is_a_whole_response() -> None:
    response = Response.model_validate_json(whole())

    assert [item.type for item in response.output] == ["reasoning", "message", "custom_tool_call", "function_call"]
    assert response.output_text == "So"
    assert response.status == "completed"
    facts = REPLIES.facts(whole())
    assert facts is not None
    assert facts.bill is not None
    assert facts.bill.cost_usd == Decimal("0.000837")
    assert facts.finish_reason == "tool_calls"


def test_a_whole_response_for_who_was_promised_a_stream_is_lawful() -> None:
    events = events_in(DIALECT.as_stream(whole()))

    assert assert_lawful(events) == json.loads(whole())
    assert as_openai_reads(events).output_text == "So"


@pytest.mark.parametrize("odd", [b"[]", b"{}", b'{"output":[{}],"status":"completed"}', b'{"output":3}', b"{\n\n}"])
def test_a_response_of_a_shape_we_do_not_know_is_no_stream_that_could_end(odd: bytes) -> None:
    with pytest.raises(ValueError, match="no response"):
        DIALECT.as_stream(odd)


@pytest.mark.parametrize("odd", [b"{}", b"[]", b'{"choices":[]}', b'{"choices":5}', b"nothing"])
def test_what_is_no_completion_is_no_response(odd: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec, which raises it, has no say in the words
        DIALECT.whole(odd, REQUEST, Api.CHAT)


def test_verification_reads_names_as_the_request_has_them_in_its_tools() -> None:
    expected = (
        Answer(
            text="So",
            calls=(Called("shell", '{"input":"ls"}'), Called("agents__spawn", "{}")),
            finish_reason="tool_calls",
        ),
    )

    assert DIALECT.said(whole()) == expected
    assert DIALECT.said_in_events(DIALECT.as_stream(whole())) == expected
    assert {tool.function.name for tool in REQUEST.tools if tool.function} == {"tea", "shell", "agents__spawn"}


@pytest.mark.parametrize("odd", [b"", b"[]", b"{}"])
def test_nothing_is_said_by_what_is_no_response(odd: bytes) -> None:
    assert DIALECT.said(odd) in ((), (Answer(text=None, finish_reason="stop"),))
    assert DIALECT.said_in_events(b"data: " + odd + b"\n\n") == ()


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\n\n"])
def test_a_request_that_was_printed_over_several_lines_is_answered_on_one(line_end: str) -> None:
    """The response repeats members of the request: a client that prints its JSON once got events no one could read."""
    tools = [{"type": "function", "name": "f"}]
    asked = {"model": "m", "stream": True, "input": "Hi", "metadata": {"a": "b"}, "tools": tools}
    request = READER.read(json.dumps(asked, indent=2).replace("\n", line_end).encode())
    editor = DIALECT.editor(request, Api.CHAT)

    told = editor.feed(b'data: {"id":"g","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n')
    told += editor.feed(b"data: [DONE]\n\n") + editor.end()

    events = [event.split(b"\n") for event in told.split(b"\n\n") if event]
    assert all(len(event) == 2 and json.loads(event[1].removeprefix(b"data: ")) for event in events)
    assert events[-1][0] == b"event: response.completed"
