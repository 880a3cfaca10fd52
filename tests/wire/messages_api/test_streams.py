"""Streams of Anthropic's API, from providers that speak it and from those that do not: what the client gets of them."""

import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.apis import Api
from router.errors import UpstreamBroken
from router.units import Usage
from router.wire.dialect import Editor
from router.wire.events import MAX_EVENT_BYTES, EventTooLong
from router.wire.messages_api.dialect import MessagesDialect
from router.wire.messages_api.reading import MessagesReader
from router.wire.messages_api.replies import MessageReader
from router.wire.replies import Bill, ReplyReader
from router.wire.requests import ChatReader

CHATS = ReplyReader()
DIALECT = MessagesDialect(CHATS, MessageReader(CHATS))
REQUEST = MessagesReader(ChatReader()).read(
    b'{"model":"auto","max_tokens":9,"stream":true,"stop_sequences":["###"],'
    b'"messages":[{"role":"user","content":"Hi"}]}'
)
ERROR = UpstreamBroken("It broke.", provider="p")


def event(kind: str, **members: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())


START = event(
    "message_start",
    message={"id": "gen-1", "model": "a/b", "provider": "Anthropic", "usage": {"input_tokens": 9, "output_tokens": 1}},
)
TEXT = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
DELTA = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hé"})
STOPPED = event("content_block_stop", index=0)
ENDING = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4, "cost": 0.001})
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
FAILURE = event("error", error={"type": "overloaded_error", "message": "busy"})
WHOLE = (START, TEXT, DELTA, STOPPED, ENDING)


def chunk(finish: str | None = None, **delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %b\n\n" % json.dumps({"id": "gen-1", "model": "a/b", "choices": [choice]}).encode()


def call(index: int, arguments: str, *, call_id: str | None = None, name: str | None = None) -> dict[str, object]:
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return {"index": index, "function": function, **({"id": call_id} if call_id else {})}


CHAT_USAGE = (
    b'data: {"id":"gen-1","choices":[],"usage":{"prompt_tokens":30,"completion_tokens":4,"cost":0.001,'
    b'"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":2}}}\n\n'
)
DONE = b"data: [DONE]\n\n"


def native() -> Editor:
    return DIALECT.editor(REQUEST, Api.MESSAGES)


def translating() -> Editor:
    return DIALECT.editor(REQUEST, Api.CHAT)


def edited(editor: Editor, *parts: bytes) -> bytes:
    """All that the client gets of a stream that the provider closed well."""
    told = b"".join(editor.feed(part) for part in parts)
    return told + (editor.end() if editor.is_complete else editor.broken(ERROR, request_id="req_1"))


def read(events: bytes) -> list[dict[str, Any]]:
    """The events, each with the name it goes by."""
    found = []
    for each in events.split(b"\n\n"):
        if each.startswith(b"event: "):
            name, _, data = each.partition(b"\n")
            payload: dict[str, Any] = json.loads(data.removeprefix(b"data: "))
            assert payload["type"] == name.removeprefix(b"event: ").decode()
            found.append(payload)
    return found


def blocks(events: bytes) -> list[dict[str, Any]]:
    """The content as an SDK puts it together; fails if blocks overlap or are not numbered from 0."""
    content: list[dict[str, Any]] = []
    is_open = False
    for each in read(events):
        match each:
            case {"type": "content_block_start", "index": index, "content_block": block}:
                assert not is_open
                assert index == len(content)
                content.append({**block, "written": ""} if block["type"] == "tool_use" else dict(block))
                is_open = True
            case {"type": "content_block_delta", "index": index, "delta": delta}:
                assert is_open
                assert index == len(content) - 1
                name = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
                if delta["type"] == "input_json_delta":
                    content[-1]["written"] += delta["partial_json"]
                else:
                    content[-1][name[delta["type"]]] += delta[name[delta["type"]]]
            case {"type": "content_block_stop", "index": index}:
                assert is_open
                assert index == len(content) - 1
                is_open = False
    return content


# A provider that speaks the API


def test_its_events_pass_as_they_came_and_the_end_is_ours() -> None:
    editor = native()

    told = edited(editor, *WHOLE, STOP, DONE)

    assert told == b"".join(WHOLE) + STOP
    assert editor.is_done
    assert editor.bill == Bill(usage=Usage(input_tokens=9, output_tokens=4), cost_usd=Decimal("0.001"))
    assert (editor.generation_id, editor.served_model, editor.serving_provider) == ("gen-1", "a/b", "Anthropic")
    assert editor.finish_reason == "stop"


def test_events_without_a_name_get_theirs_for_sdks_look_at_no_others() -> None:
    bare = [each.partition(b"\n")[2] for each in (*WHOLE, STOP)]

    assert edited(native(), *bare) == b"".join(WHOLE) + STOP


def test_an_answer_that_said_why_it_ended_is_whole_without_its_last_event() -> None:
    assert edited(native(), *WHOLE) == b"".join(WHOLE) + STOP


def test_ids_and_retries_go_no_further() -> None:
    noise = b"id: 7\nretry: 10\n" + DELTA

    assert edited(native(), START, TEXT, noise, STOPPED, ENDING, STOP) == b"".join(WHOLE) + STOP


def test_comments_and_pings_pass_and_begin_nothing() -> None:
    editor = native()

    assert editor.feed(b": waiting\n\n" + event("ping")) == b": waiting\n\n" + event("ping")
    assert not editor.has_begun


@pytest.mark.parametrize(
    "failure",
    [
        FAILURE,
        b'data: {"type":"error","error":{"type":"overloaded_error","message":"busy"}}\n\n',
        b'data: {"error":{"type":"overloaded_error","message":"busy"}}\n\n',
    ],
)
def test_an_error_ends_the_stream_and_is_told_once(failure: bytes) -> None:
    editor = native()

    told = edited(editor, START, TEXT, failure, DELTA, STOP, DONE)

    assert [each["type"] for each in read(told)] == ["message_start", "content_block_start", "error"]
    assert read(told)[-1] == {
        "type": "error",
        "error": {"type": "api_error", "message": "It broke.", "code": "upstream_broken"},
        "request_id": "req_1",
    }
    assert json.loads(editor.error or b"")["code"] == 529


def test_an_error_before_the_message_begins_can_still_be_answered_by_another() -> None:
    editor = native()

    assert editor.feed(event("ping") + FAILURE) == event("ping")
    assert (editor.has_begun, editor.has_failed) == (False, True)


def test_an_error_after_the_bill_leaves_the_bill() -> None:
    editor = native()

    told = edited(editor, *WHOLE, FAILURE, DONE)

    assert read(told)[-1]["type"] == "error"
    assert editor.bill is not None


@pytest.mark.parametrize("part", [b"data: {half\n\n", b'data: {"type":"content_block_delta","x":"\xff"}\n\n'])
def test_what_nobody_can_read_ends_the_stream(part: bytes) -> None:
    told = edited(native(), START, part, DELTA)

    assert [each["type"] for each in read(told)] == ["message_start", "error"]


def test_a_stream_that_ends_before_it_said_why_is_broken() -> None:
    assert read(edited(native(), START, TEXT, DELTA, DONE))[-1]["type"] == "error"


def test_the_figures_at_the_start_are_no_bill() -> None:
    """An answer that breaks off would be booked at one token of output."""
    editor = native()
    editor.feed(START + TEXT + DELTA)

    assert editor.bill is None


@pytest.mark.parametrize(
    "between",
    [
        event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 2}),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"input_tokens": 9}),
        event("message_delta", delta={"stop_reason": "end_turn"}),
    ],
)
def test_figures_that_are_not_the_last_or_not_all_are_no_bill_either(between: bytes) -> None:
    editor = native()
    editor.feed(START + TEXT + DELTA + between)

    assert editor.bill is None


def test_the_end_of_the_api_is_the_end_for_us_too() -> None:
    editor = native()

    assert editor.feed(b"".join(WHOLE) + STOP + DELTA) == b"".join(WHOLE)
    assert editor.is_done


@pytest.mark.parametrize("make", [native, translating])
def test_what_is_not_complete_has_no_end(make: Callable[[], Editor]) -> None:
    editor = make()
    editor.feed(START + chunk(content="So"))

    assert editor.end() == b""


@pytest.mark.parametrize("make", [native, translating])
def test_an_event_without_an_end_is_not_kept_for_ever(make: Callable[[], Editor]) -> None:
    editor = make()
    editor.feed(b"data: " + b"x" * (MAX_EVENT_BYTES - 6))

    with pytest.raises(EventTooLong):
        editor.feed(b"x")


# A provider that is asked for a chat


def test_a_chat_becomes_a_message() -> None:
    editor = translating()

    told = edited(
        editor,
        chunk(role="assistant", content=""),
        chunk(content="Hé"),
        chunk(content="llo"),
        chunk("stop", content=""),
        CHAT_USAGE,
        DONE,
    )

    usage = {
        "input_tokens": 20,
        "output_tokens": 4,
        "cache_read_input_tokens": 8,
        "cache_creation_input_tokens": 2,
        "cost": 0.001,
    }
    assert [each["type"] for each in read(told)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert read(told)[0]["message"]["id"] == "gen-1"
    assert read(told)[0]["message"]["model"] == "a/b"
    assert blocks(told) == [{"type": "text", "text": "Héllo", "citations": None}]
    assert read(told)[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": usage,
    }


def test_the_start_tells_the_input_that_is_expected_as_nobody_knows_it_yet() -> None:
    editor = DIALECT.editor(REQUEST, Api.CHAT, 33)

    usage = read(editor.feed(chunk(content="So")))[0]["message"]["usage"]

    assert (usage["input_tokens"], usage["output_tokens"]) == (33, 0)


def test_thoughts_come_first_and_are_signed_if_the_provider_signed_them() -> None:
    signed = [{"type": "reasoning.text", "text": "", "signature": "c2ln"}]
    told = edited(
        translating(),
        chunk(content="", reasoning="Hm", reasoning_details=[{"type": "reasoning.text", "text": "Hm"}]),
        chunk(content="", reasoning="m"),
        chunk(content="", reasoning=None, reasoning_details=signed),
        chunk(content="So"),
        chunk("stop"),
    )

    assert blocks(told) == [
        {"type": "thinking", "thinking": "Hmm", "signature": "c2ln"},
        {"type": "text", "text": "So", "citations": None},
    ]


def test_deepseeks_thoughts_have_no_signature() -> None:
    told = edited(translating(), chunk(reasoning_content="Hm"), chunk(content="So"), chunk("stop"))

    assert blocks(told)[0] == {"type": "thinking", "thinking": "Hm", "signature": ""}


@pytest.mark.parametrize(("form", "is_kept"), [("anthropic-claude-v1", True), ("openai-responses-v1", False)])
def test_hidden_thoughts_are_kept_where_they_can_go_back(form: str, is_kept: bool) -> None:
    details = [{"type": "reasoning.encrypted", "data": "ZGF0YQ==", "format": form}]
    told = edited(translating(), chunk(reasoning_details=details), chunk(content="So"), chunk("stop"))

    assert (blocks(told)[0] == {"type": "redacted_thinking", "data": "ZGF0YQ=="}) == is_kept


def test_a_call_is_the_use_of_a_tool() -> None:
    told = edited(
        translating(),
        chunk(content="See"),
        chunk(content=None, tool_calls=[call(0, "", call_id="c1", name="weather")]),
        chunk(tool_calls=[call(0, '{"city":')]),
        chunk(tool_calls=[call(0, '"Graz"}')]),
        chunk("tool_calls"),
    )

    assert blocks(told)[1] == {
        "type": "tool_use", "id": "c1", "name": "weather", "input": {}, "written": '{"city":"Graz"}',
    }  # fmt: skip
    assert read(told)[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    "deltas",
    [
        # one after the other; mixed; the id in every delta; the same index for every call; an empty end
        [call(0, '{"a":1}', call_id="c1", name="f"), call(1, '{"b":2}', call_id="c2", name="g")],
        [
            call(0, '{"a"', call_id="c1", name="f"),
            call(1, '{"b"', call_id="c2", name="g"),
            call(0, ":1}"),
            call(1, ":2}"),
        ],
        [
            call(0, '{"a"', call_id="c1", name="f"),
            call(0, ":1}", call_id="c1"),
            call(1, '{"b"', call_id="c2", name="g"),
            call(1, ":2}", call_id="c2"),
        ],
        [call(0, '{"a":1}', call_id="c1", name="f"), call(0, '{"b":2}', call_id="c2", name="g")],
        [
            call(0, '{"a":1}', call_id="c1", name="f"),
            call(1, '{"b":2}', call_id="c2", name="g"),
            call(0, ""),
            call(1, ""),
        ],
    ],
)
@pytest.mark.parametrize("is_together", [False, True], ids=["a chunk each", "in one chunk"])
def test_parallel_calls_become_blocks_one_after_the_other(deltas: list[dict[str, object]], is_together: bool) -> None:
    chunks = [chunk(tool_calls=deltas)] if is_together else [chunk(tool_calls=[delta]) for delta in deltas]

    told = edited(translating(), *chunks, chunk("tool_calls"))

    assert [(block["id"], block["name"], block["written"]) for block in blocks(told)] == [
        ("c1", "f", '{"a":1}'),
        ("c2", "g", '{"b":2}'),
    ]


def test_text_in_the_midst_of_a_call_waits_for_its_end() -> None:
    told = edited(
        translating(),
        chunk(tool_calls=[call(0, '{"a"', call_id="c1", name="f")]),
        chunk(content="See"),
        chunk(tool_calls=[call(0, ":1}")]),
        chunk(content="."),
        chunk("tool_calls"),
    )

    assert [block["type"] for block in blocks(told)] == ["tool_use", "text"]
    assert (blocks(told)[0]["written"], blocks(told)[1]["text"]) == ('{"a":1}', "See.")


def test_a_call_without_arguments_has_an_empty_object() -> None:
    nothing = [call(0, "", call_id="c1", name="f"), call(1, "", call_id="c2", name="g")]

    told = edited(translating(), chunk(tool_calls=nothing), chunk("tool_calls"))

    assert [(block["id"], block["input"], block["written"]) for block in blocks(told)] == [
        ("c1", {}, "{}"),
        ("c2", {}, "{}"),
    ]


@pytest.mark.parametrize(
    ("finish", "stop"), [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal")]
)
def test_why_it_ended(finish: str, stop: str) -> None:
    assert read(edited(translating(), chunk(content="So"), chunk(finish)))[-2]["delta"]["stop_reason"] == stop


def test_who_calls_tools_and_says_stop_has_stopped_for_the_tools() -> None:
    told = edited(translating(), chunk(tool_calls=[call(0, "{}", call_id="c", name="f")]), chunk("stop"))

    assert read(told)[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_sequence_that_ended_it_is_told_where_the_provider_tells() -> None:
    choice = {"index": 0, "delta": {}, "finish_reason": "stop", "native_finish_reason": "stop_sequence"}
    last = b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode()

    told = edited(translating(), chunk(content="So"), last)

    assert read(told)[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "###"}


def test_an_error_of_a_chat_is_an_error_of_a_message() -> None:
    told = edited(translating(), chunk(content="So"), b'data: {"error":{"code":503,"message":"busy"}}\n\n', DONE)

    kinds = [each["type"] for each in read(told)]
    assert kinds == ["message_start", "content_block_start", "content_block_delta", "error"]


def test_a_chat_that_breaks_off_is_an_error() -> None:
    assert read(edited(translating(), chunk(content="So")))[-1]["type"] == "error"


# Laws


def natives() -> Iterator[tuple[Callable[[], Editor], Sequence[bytes]]]:
    yield native, (*WHOLE, STOP, DONE)
    yield native, (b": c\n\n", event("ping"), START, TEXT, DELTA, FAILURE, DELTA)
    yield native, (START, TEXT, DELTA)


def translated() -> Iterator[tuple[Callable[[], Editor], Sequence[bytes]]]:
    calls = [call(0, '{"a"', call_id="c1", name="f"), call(1, '{"b":2}', call_id="c2", name="g"), call(0, ":1}")]
    yield (
        translating,
        (
            b": c\n\n",
            chunk(reasoning="Hm"),
            chunk(content="Hé"),
            *(chunk(tool_calls=[each]) for each in calls),
            chunk("tool_calls"),
            CHAT_USAGE,
            DONE,
        ),
    )
    yield translating, (chunk(content="So"), b'data: {"error":{"message":"busy"}}\n\n', DONE)


STREAMS = [*natives(), *translated()]


@settings(deadline=None)
@given(st.data())
def test_what_the_client_gets_does_not_depend_on_where_the_bytes_were_cut(data: st.DataObject) -> None:
    make, parts = data.draw(st.sampled_from(STREAMS))
    stream = b"".join(parts)
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", b"\r\n")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, cut = make(), make()

    assert edited(cut, *pieces) == edited(whole, *parts)
    assert (cut.bill, cut.error, cut.is_complete) == (whole.bill, whole.error, whole.is_complete)


@settings(deadline=None)
@given(st.data())
def test_a_stream_ends_exactly_once_whatever_comes_and_in_whatever_order(data: st.DataObject) -> None:
    make, parts = data.draw(st.sampled_from(STREAMS))
    every = [part for _, parts in STREAMS for part in parts]
    mixed = data.draw(st.lists(st.sampled_from(every if make is native else [*parts, chunk("stop")]), max_size=12))

    told = edited(make(), *mixed)

    kinds = [each["type"] for each in read(told)]
    assert [kind for kind in kinds if kind in ("message_stop", "error")] == kinds[-1:]
    assert b"[DONE]" not in told


@pytest.mark.parametrize("content", [["a"], [1], [[]], [{"text": 5}]])
def test_a_part_of_an_odd_shape_says_nothing_and_breaks_nothing(content: list[object]) -> None:
    told = edited(translating(), chunk(content="Tea"), chunk(content=content), chunk("stop"))

    assert [event["type"] for event in read(told)][-1] == "message_stop"
