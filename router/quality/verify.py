"""Checks of an answer: is it there, is it whole, is it what was asked for, does another model say the same?

Pure functions of the request and the answers. A check that does not concern an answer passes it: a tool call has no
text to match. All choices of a reply must pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec
from msgspec import Raw, Struct

from router.quality.agreement import agree
from router.quality.code import CodeChecker, CodeLanguage, Parses
from router.quality.schemas import CannotVerify, CompiledSchema, Patience, compiled, compiled_pattern, read_json
from router.wire.answers import Answer
from router.wire.requests import ModelRequest, ResponseFormat, Tool


class CheckKind(StrEnum):
    """The name of a check in the configuration, in the ledger and in `penstock_escalations_total`."""

    JSON_SCHEMA = "json_schema"  # the text is JSON that satisfies the request's response_format
    TOOL_ARGUMENTS = "tool_arguments"  # each tool called exists, its arguments satisfy its parameters
    REGEX = "regex"  # the pattern is found in the text
    NON_EMPTY = "non_empty"  # there is text, a tool call or media
    NOT_TRUNCATED = "not_truncated"  # it did not end because of the output limit
    CODE = "code"  # the code in its text parses
    AGREEMENT = "agreement"  # a second cheap model comes to the same short answer


# What needs the package of penstock[verify].
BY_SCHEMA = frozenset({CheckKind.JSON_SCHEMA, CheckKind.TOOL_ARGUMENTS, CheckKind.REGEX})


@dataclass(frozen=True, slots=True)
class Check:
    kind: CheckKind
    pattern: str | None = None  # of `regex`
    languages: tuple[CodeLanguage, ...] = ()  # of `code`


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks say of one reply."""

    failed: CheckKind | None = None  # the first that failed
    is_known: bool = True  # False: nothing failed, but a schema or an answer was beyond what is looked at

    @property
    def passed(self) -> bool:
        return self.failed is None and self.is_known

    @property
    def word(self) -> str:
        """As the ledger keeps it: the check that failed, else `passed`, or `unknown`."""
        return self.failed.value if self.failed else "passed" if self.is_known else "unknown"


NO_PARSERS: Mapping[CodeLanguage, Parses] = {}


class Verifier:
    """The checks of one request; schemas are compiled once, when they are first needed.

    All of one reply is looked at with one `Patience`, however many choices and calls there are.
    """

    def __init__(
        self, checks: Sequence[Check], request: ModelRequest, parsers: Mapping[CodeLanguage, Parses] = NO_PARSERS
    ) -> None:
        """`parsers`: of the languages that only few policies check."""
        self._checks = [check for check in checks if check.kind is not CheckKind.AGREEMENT]
        self.wants_second_opinion = len(self._checks) < len(checks)
        self._code = CodeChecker(parsers)
        self._tools = {tool.function.name: tool for tool in request.tools if tool.function is not None}
        self._format = request.response_format
        self._schemas: dict[tuple[str, str], CompiledSchema] = {}
        self._patience = Patience()

    def verdict(self, answers: Sequence[Answer]) -> Verdict:
        """The first check that an answer fails, in the order of the policy. A reply without answers fails the first.

        `agreement` is left out: see `compared`.
        """
        is_known = True
        self._patience = Patience()
        for check in self._checks:
            if not answers:
                return Verdict(failed=check.kind)
            try:
                if not all(self._passes(check, answer) for answer in answers):
                    return Verdict(failed=check.kind)
            except CannotVerify:
                is_known = False
        return Verdict(is_known=is_known)

    def compared(self, verdict: Verdict, answers: Sequence[Answer], opinion: Sequence[Answer]) -> Verdict:
        """The verdict on an answer, given what another model said to the same; no answers if it could not be asked."""
        try:
            is_same = agree(_only_text(answers), _only_text(opinion), Patience())
        except CannotVerify:
            return Verdict(failed=verdict.failed, is_known=False)
        return verdict if is_same else Verdict(failed=CheckKind.AGREEMENT)

    def _passes(self, check: Check, answer: Answer) -> bool:
        match check.kind:
            case CheckKind.NON_EMPTY:
                return not answer.is_empty
            case CheckKind.NOT_TRUNCATED:
                return answer.finish_reason != "length"
            case CheckKind.TOOL_ARGUMENTS:
                return all(self._is_good_call(call.name, call.arguments) for call in answer.calls)
            case CheckKind.REGEX:
                return self._matches(check.pattern or "", answer)
            case CheckKind.JSON_SCHEMA:
                return self._is_formatted(answer)
            case CheckKind.CODE:
                if answer.calls and not answer.text:
                    return True
                return self._code.passes(answer.text or "", check.languages, self._patience)
            case CheckKind.AGREEMENT:
                return True  # `compared` says

    def _matches(self, pattern: str, answer: Answer) -> bool:
        if answer.calls and not answer.text:
            return True
        schema = self._compiled(("regex", pattern), lambda: compiled_pattern(pattern, self._patience))
        return schema.accepts(msgspec.json.encode(answer.text or "").decode(), self._patience)

    def _is_formatted(self, answer: Answer) -> bool:
        wanted = self._format
        if wanted is None or (answer.calls and not answer.text):
            return True
        if wanted.type == "json_object":
            return self._is_object(answer.text or "")
        if wanted.type != "json_schema":
            return True
        schema = self._compiled(("format", ""), lambda: compiled(_schema_in(wanted), self._patience))
        return schema.accepts(answer.text or "", self._patience)

    def _is_good_call(self, name: str, arguments: str) -> bool:
        tool = self._tools.get(name)
        if tool is None:
            return False
        # Providers send nothing where there is nothing to say; SDKs read that as no arguments.
        written = arguments if arguments.strip() else "{}"
        if not self._is_object(written):
            return False
        parameters = _parameters(tool)
        if parameters is None:
            return True
        schema = self._compiled(("tool", name), lambda: compiled(parameters, self._patience))
        return schema.accepts(written, self._patience)

    def _is_object(self, text: str) -> bool:
        try:
            return isinstance(read_json(text, self._patience)[0], dict)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False

    def _compiled(self, key: tuple[str, str], make: Callable[[], CompiledSchema]) -> CompiledSchema:
        if key not in self._schemas:
            self._schemas[key] = make()
        return self._schemas[key]


def _only_text(answers: Sequence[Answer]) -> str:
    """The text of a reply that is nothing but that. Raises CannotVerify."""
    if len(answers) != 1 or answers[0].calls or not answers[0].text or answers[0].finish_reason == "length":
        raise CannotVerify("not one whole text that could be compared")
    return answers[0].text


class _JsonSchemaFormat(Struct):
    schema: Raw


def _schema_in(wanted: ResponseFormat) -> bytes:
    """The schema of a response format. Raises CannotVerify if it has none."""
    if not isinstance(wanted.json_schema, Raw):
        raise CannotVerify("the response format has no schema")
    try:
        return bytes(msgspec.json.decode(wanted.json_schema, type=_JsonSchemaFormat).schema)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CannotVerify("the response format has no schema") from error


def _parameters(tool: Tool) -> bytes | None:
    if tool.function is None or not isinstance(tool.function.parameters, Raw):
        return None
    parameters = bytes(tool.function.parameters)
    return None if parameters == b"null" else parameters
