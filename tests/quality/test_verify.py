"""The checks of an answer: each fails for what it is there for, and lets everything else pass."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.quality.code import CodeLanguage
from router.quality.verify import Check, CheckKind, Verdict, Verifier
from router.wire.answers import Answer, Called
from router.wire.requests import ChatReader, ModelRequest

_READER = ChatReader()
GOOD = Answer(text="Here you are.", finish_reason="stop")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ID_WANTED = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}
LOOK_UP = {"type": "function", "function": {"name": "look_up", "parameters": ID_WANTED}}
PING = {"type": "function", "function": {"name": "ping"}}


def _request(**members: object) -> ModelRequest:
    messages = [{"role": "user", "content": "?"}]
    return _READER.read(msgspec.json.encode({"model": "auto", "messages": messages, **members}))


def _wanting(schema: object) -> ModelRequest:
    return _request(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})


def _verdict(kind: CheckKind, request: ModelRequest, *answers: Answer, pattern: str | None = None) -> Verdict:
    return Verifier([Check(kind, pattern)], request).verdict(answers)


def _said(text: str | None) -> Answer:
    return Answer(text=text, finish_reason="stop")


def _called(name: str, arguments: str) -> Answer:
    return Answer(text=None, calls=(Called(name, arguments),), finish_reason="tool_calls")


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        (GOOD, True),
        (_said(None), False),
        (_said(" \n"), False),
        (_called("ping", "{}"), True),
        (Answer(text=None, refusal="I cannot help with that."), True),
        (Answer(text=None, has_media=True), True),
    ],
)
def test_an_answer_is_empty_without_text_call_refusal_or_media(answer: Answer, passes: bool) -> None:
    assert _verdict(CheckKind.NON_EMPTY, _request(), answer).passed is passes


def test_an_answer_is_truncated_if_the_output_limit_ended_it() -> None:
    assert _verdict(CheckKind.NOT_TRUNCATED, _request(), GOOD).passed
    assert not _verdict(CheckKind.NOT_TRUNCATED, _request(), Answer(text="Here", finish_reason="length")).passed


def test_a_pattern_is_looked_for_in_text_and_not_in_tool_calls() -> None:
    def passes(answer: Answer) -> bool:
        return _verdict(CheckKind.REGEX, _request(), answer, pattern="^(yes|no)$").passed

    assert passes(_said("yes"))
    assert not passes(_said("Well, yes."))
    assert not passes(_said(None))
    assert passes(_called("ping", "{}"))


def test_two_patterns_are_two_checks() -> None:
    verifier = Verifier([Check(CheckKind.REGEX, "a"), Check(CheckKind.REGEX, "b")], _request())

    assert verifier.verdict([_said("ab")]).passed
    assert verifier.verdict([_said("a")]).failed is CheckKind.REGEX


@given(city=st.text(st.characters(codec="utf-8")))
def test_json_that_satisfies_the_schema_asked_for_passes_and_a_changed_one_fails(city: str) -> None:
    request = _wanting(SCHEMA)

    assert _verdict(CheckKind.JSON_SCHEMA, request, _said(json.dumps({"city": city}))).passed
    assert not _verdict(CheckKind.JSON_SCHEMA, request, _said(json.dumps({"town": city}))).passed
    assert not _verdict(CheckKind.JSON_SCHEMA, request, _said(f"Sure! {json.dumps({'city': city})}")).passed


def test_the_schema_check_concerns_only_answers_that_should_be_json() -> None:
    assert _verdict(CheckKind.JSON_SCHEMA, _request(), GOOD).passed
    assert _verdict(CheckKind.JSON_SCHEMA, _request(response_format={"type": "text"}), GOOD).passed
    assert _verdict(CheckKind.JSON_SCHEMA, _wanting(SCHEMA), _called("ping", "{}")).passed
    assert not _verdict(CheckKind.JSON_SCHEMA, _wanting(SCHEMA), Answer(text=None, refusal="No.")).passed


def test_a_json_object_must_be_one() -> None:
    request = _request(response_format={"type": "json_object"})

    assert _verdict(CheckKind.JSON_SCHEMA, request, _said('{"a": 1}')).passed
    assert not _verdict(CheckKind.JSON_SCHEMA, request, _said("[1]")).passed
    assert not _verdict(CheckKind.JSON_SCHEMA, request, _said('{"a": 1')).passed


@pytest.mark.parametrize(
    ("name", "arguments", "passes"),
    [
        ("look_up", '{"id": 5}', True),
        ("look_up", '{"id": "5"}', False),
        ("look_up", "{}", False),
        ("look_up", "", False),
        ("look_up", '{"id": 5', False),
        ("look_up", "[5]", False),
        ("look_down", '{"id": 5}', False),
        ("ping", "", True),
        ("ping", '{"any": "thing"}', True),
        ("ping", "[]", False),
    ],
)
def test_arguments_must_be_an_object_that_the_tool_named_takes(name: str, arguments: str, passes: bool) -> None:
    request = _request(tools=[LOOK_UP, PING])

    assert _verdict(CheckKind.TOOL_ARGUMENTS, request, _called(name, arguments)).passed is passes


def test_an_answer_without_calls_has_no_bad_ones() -> None:
    assert _verdict(CheckKind.TOOL_ARGUMENTS, _request(tools=[LOOK_UP]), GOOD).passed


def test_all_choices_must_pass() -> None:
    assert _verdict(CheckKind.NON_EMPTY, _request(n=2), GOOD, GOOD).passed
    assert not _verdict(CheckKind.NON_EMPTY, _request(n=2), GOOD, _said("")).passed


def test_a_reply_without_answers_fails_the_first_check() -> None:
    verifier = Verifier([Check(CheckKind.NOT_TRUNCATED), Check(CheckKind.NON_EMPTY)], _request())

    assert verifier.verdict([]) == Verdict(failed=CheckKind.NOT_TRUNCATED)


def test_a_schema_that_cannot_be_used_leaves_the_verdict_open_and_hides_no_failure() -> None:
    request = _wanting({"$ref": "http://127.0.0.1:9/x"})
    checks = [Check(CheckKind.JSON_SCHEMA), Check(CheckKind.NON_EMPTY)]

    assert Verifier(checks, request).verdict([_said("{}")]) == Verdict(is_known=False)
    assert Verifier(checks, request).verdict([_said("")]) == Verdict(failed=CheckKind.NON_EMPTY)
    assert _verdict(CheckKind.JSON_SCHEMA, _request(response_format={"type": "json_schema"}), GOOD) == Verdict(
        is_known=False
    )


def test_many_choices_and_calls_are_looked_at_no_longer_than_one() -> None:
    numbers = f"[{','.join(['1'] * 20_000)}]"

    one = _verdict(CheckKind.JSON_SCHEMA, _wanting({"items": {"type": "integer"}}), _said(numbers))
    many = _verdict(CheckKind.JSON_SCHEMA, _wanting({"items": {"type": "integer"}}), *[_said(numbers)] * 100)

    assert (one.word, many.word) == ("passed", "unknown")


def test_code_must_parse_where_there_is_text() -> None:
    check = [Check(CheckKind.CODE, languages=(CodeLanguage.PYTHON,))]
    verifier = Verifier(check, _request(), {})

    assert verifier.verdict([_said("```python\nx = 1\n```")]).passed
    assert verifier.verdict([_said("```python\nx = \n```")]).failed is CheckKind.CODE
    assert verifier.verdict([_said(None)]).failed is CheckKind.CODE
    assert verifier.verdict([_called("ping", "{}")]).passed
    assert verifier.verdict([_said("x = 1\n" * 5_000)]).word == "unknown"


def test_a_second_opinion_is_wanted_for_agreement_only_and_decides_it() -> None:
    verifier = Verifier([Check(CheckKind.AGREEMENT), Check(CheckKind.NON_EMPTY)], _request())
    one, other = [_said("The answer is 42.")], [_said("**42**")]
    passed = verifier.verdict(one)

    assert passed == Verdict()  # of the other checks
    assert verifier.wants_second_opinion
    assert not Verifier([Check(CheckKind.NON_EMPTY)], _request()).wants_second_opinion
    assert verifier.compared(passed, one, other) == Verdict()
    assert verifier.compared(passed, one, [_said("41")]) == Verdict(failed=CheckKind.AGREEMENT)
    assert verifier.compared(Verdict(is_known=False), one, other).word == "unknown"


@pytest.mark.parametrize(
    "opinion", [[], [_said("42")] * 2, [_called("ping", "{}")], [_said(None)], [Answer("42", finish_reason="length")]]
)
def test_what_is_no_whole_text_is_no_second_opinion(opinion: list[Answer]) -> None:
    verifier = Verifier([Check(CheckKind.AGREEMENT)], _request())

    assert verifier.compared(Verdict(), [_said("42")], opinion) == Verdict(is_known=False)
    assert verifier.compared(Verdict(), opinion, [_said("42")]) == Verdict(is_known=False)
