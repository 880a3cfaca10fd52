"""The marks of a prompt: equal beginnings have equal marks, others do not, and a conversation keeps its own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.decision.facts import FIRST_MARKS, LAST_MARKS, PrefixMark
from router.tokens.count import PRIMING_TOKENS, TokenCounter
from router.tokens.prefix import session_id
from tests.tokens.conftest import RequestMaker

Message = dict[str, Any]

TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
calls = st.lists(
    st.fixed_dictionaries({"id": texts, "function": st.fixed_dictionaries({"name": texts, "arguments": texts})}),
    min_size=1,
    max_size=2,
)
messages = st.one_of(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": texts}),
    st.fixed_dictionaries({"role": st.just("user"), "content": texts.map(lambda t: [{"type": "text", "text": t}] * 2)}),
    st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": calls, "content": st.none()}),
)
conversations = st.lists(messages, min_size=1, max_size=5)


@pytest.fixture(scope="module")
def marks(counter: TokenCounter, request_of: RequestMaker) -> "Marker":
    return Marker(counter, request_of)


class Marker:
    def __init__(self, counter: TokenCounter, request_of: RequestMaker) -> None:
        self._counter = counter
        self._request_of = request_of

    def __call__(self, messages: list[Message], *, scope: str = "", **members: object) -> tuple[PrefixMark, ...]:
        return self._counter.count_now(self._request_of(messages, members), scope=scope).prefix

    def digests(self, messages: list[Message], *, scope: str = "", **members: object) -> list[int]:
        return [mark.digest for mark in self(messages, scope=scope, **members)]

    def session(self, messages: list[Message], *, scope: str = "", **members: object) -> str:
        name = session_id(self._request_of(messages, members), self(messages, scope=scope, **members))
        assert name is not None
        return name


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str | None, **members: object) -> Message:
    return {"role": "assistant", "content": text, **members}


def seen(message: Message) -> object:
    """What a model gets to see of a message of these tests, in one form."""
    content = message.get("content") or None
    if isinstance(content, list):
        content = tuple(part["text"] for part in content)
    calls = tuple((c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ())
    return message["role"], content, calls


@given(conversations, conversations)
def test_beginnings_have_equal_digests_if_and_only_if_they_are_equal(
    marks: Marker, one: list[Message], other: list[Message]
) -> None:
    digests = marks.digests(one), marks.digests(other)

    for end, (mine, theirs) in enumerate(zip(*digests, strict=False), start=1):
        is_same = [seen(each) for each in one[:end]] == [seen(each) for each in other[:end]]
        assert (mine == theirs) == is_same


@given(conversations, conversations)
def test_a_conversation_that_goes_on_keeps_its_marks(
    marks: Marker, beginning: list[Message], rest: list[Message]
) -> None:
    before = marks(beginning, tools=TOOLS)

    assert marks(beginning + rest, tools=TOOLS)[: len(before)] == before


@given(conversations)
def test_marks_grow_and_stop_short_of_the_prompts_end(
    counter: TokenCounter, request_of: RequestMaker, conversation: list[Message]
) -> None:
    count = counter.count_now(request_of(conversation))
    tokens = [mark.tokens for mark in count.prefix]

    assert tokens == sorted(set(tokens))
    assert tokens[-1] == count.input_tokens - PRIMING_TOKENS


def test_digests_are_the_same_in_every_process_and_release(marks: Marker) -> None:
    assert marks([user("What is a penstock?")], scope="search") == (PrefixMark(11_008_060_970_540_951_560, 10),)


def test_tools_and_schema_come_first_and_have_a_mark_of_their_own(marks: Marker) -> None:
    plain = marks([user("hi")])
    with_tools = marks([user("hi")], tools=TOOLS)
    with_both = marks([user("hi")], tools=TOOLS, response_format=SCHEMA)

    assert [len(plain), len(with_tools), len(with_both)] == [1, 2, 2]
    assert len({mark.digest for mark in plain + with_tools + with_both}) == 5
    assert with_tools[0].tokens == with_tools[1].tokens - plain[0].tokens


def test_another_teams_prompt_has_other_digests(marks: Marker) -> None:
    assert marks([user("hi")], scope="search") != marks([user("hi")], scope="research")


@pytest.mark.parametrize(
    "same",
    [
        assistant("yes"),
        assistant("yes", refusal=None, tool_calls=None, audio=None, annotations=[]),
        assistant("yes", tool_calls=[], reasoning="", name=None),
        {"content": "yes", "role": "assistant"},
        assistant(None) | {"content": [{"type": "text", "text": "yes"}]},
        assistant(None) | {"content": [{"type": "text", "text": "yes", "cache_control": {"type": "ephemeral"}}]},
    ],
)
def test_an_answer_is_recognised_however_a_client_writes_it_back(marks: Marker, same: Message) -> None:
    assert marks.digests([user("hi"), same]) == marks.digests([user("hi"), assistant("yes")])


def test_an_empty_an_absent_and_a_null_content_are_the_same(marks: Marker) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    null, empty = assistant(None, tool_calls=[call]), assistant("", tool_calls=[call | {"id": "call_2", "index": 0}])
    absent = {"role": "assistant", "tool_calls": [call]}

    assert marks.digests([null]) == marks.digests([empty]) == marks.digests([absent])


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.org/1.png"}},
        {"type": "file", "file": {"file_data": "1"}},
        {"type": "input_audio", "input_audio": {"data": "1", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "1"}},
    ],
)
def test_two_pictures_files_or_recordings_are_two_prompts(marks: Marker, part: dict[str, Any]) -> None:
    other = {
        name: {key: f"{value}2" for key, value in member.items()} for name, member in part.items() if name != "type"
    }

    assert marks.digests([{"role": "user", "content": [part]}]) != marks.digests(
        [{"role": "user", "content": [part | other]}]
    )


def test_pictures_that_a_model_made_and_old_functions_tell_prompts_apart(marks: Marker) -> None:
    one, other = (
        assistant("Here.", images=[{"type": "image_url", "image_url": {"url": url}}]) for url in ("data:1", "data:2")
    )

    assert (
        len({marks.digests([each])[0] for each in (one, other, assistant("Here."), assistant("Here.", images=[]))}) == 3
    )
    assert marks.digests([user("hi")], functions=[{"name": "f"}])[-1] != marks.digests([user("hi")])[-1]


def test_of_a_long_prompt_the_first_and_the_last_marks_are_kept(marks: Marker) -> None:
    conversation = [user(f"line {number}") for number in range(100)]
    whole = [marks(conversation[: number + 1])[-1] for number in range(100)]

    assert list(marks(conversation)) == whole[:FIRST_MARKS] + whole[-LAST_MARKS:]


def test_marks_at_a_clients_cache_breakpoints_are_kept_too(counter: TokenCounter, request_of: RequestMaker) -> None:
    marked = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    conversation = [user(f"line {number}") for number in range(100)]
    conversation[40] = {"role": "user", "content": [marked]}

    count = counter.count_now(request_of(conversation))

    assert len(count.prefix) == FIRST_MARKS + 1 + LAST_MARKS
    assert count.breakpoints == (count.prefix[FIRST_MARKS].tokens,)


def test_of_a_clients_many_cache_marks_only_as_many_as_providers_take_are_kept(
    counter: TokenCounter, request_of: RequestMaker
) -> None:
    marked = {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}

    count = counter.count_now(request_of([marked] * 5000))

    assert len(count.prefix) == FIRST_MARKS + 4 + LAST_MARKS
    assert count.breakpoints == tuple(mark.tokens for mark in count.prefix[-4:])
    assert [mark.tokens for mark in count.prefix] == sorted(mark.tokens for mark in count.prefix)


def test_the_breakpoints_are_where_the_client_marks_its_prompt(counter: TokenCounter, request_of: RequestMaker) -> None:
    mark = {"type": "ephemeral"}
    unmarked = request_of([user("hi"), user("ho")], {"tools": TOOLS, "cache_control": None})
    everywhere = request_of(
        [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": mark}]}, user("ho")],
        {"tools": [TOOLS[0] | {"cache_control": mark}], "cache_control": mark},
    )

    assert counter.count_now(unmarked).breakpoints == ()
    count = counter.count_now(everywhere)
    assert count.breakpoints == tuple(each.tokens for each in count.prefix)


def test_a_session_has_one_name_in_all_its_turns(marks: Marker) -> None:
    opening = [{"role": "system", "content": "be brief"}, {"role": "developer", "content": "in rhyme"}, user("hi")]
    later = [*opening, assistant("ho"), user("and then?")]
    much_later = later + [user(f"line {number}") for number in range(100)]
    names = {marks.session(turn, tools=TOOLS) for turn in (opening, later, much_later)}

    assert len(names) == 1
    assert names != {marks.session([*opening[:2], user("ho")], tools=TOOLS)}
    assert names != {marks.session(opening, tools=TOOLS, scope="research")}
    assert len(names.pop()) <= 256


def test_a_session_of_many_system_prompts_or_nothing_else_has_a_name_too(marks: Marker) -> None:
    many = [{"role": "system", "content": f"rule {number}"} for number in range(9)]

    assert marks.session([*many, user("hi")]) == marks.session([*many, user("hi"), assistant("ho"), user("more")])
    assert marks.session(many[:1])
