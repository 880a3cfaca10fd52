"""`verify` of a policy or rule: the checks that an answer must pass."""

import re
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from router.config.schema.values import Section, fault, or_a_single_one
from router.config.sentences import choice, either, meant, nearest, shown
from router.quality.code import CodeLanguage, language_tagged
from router.quality.schemas import CannotVerify, compiled_pattern
from router.quality.verify import BY_SCHEMA, CheckKind

_LOOK_AROUND = re.compile(r"(?<!\\)\(\?<?[=!]")
_BACK_REFERENCE = re.compile(r"\\[1-9]|\\k<|\(\?P=")


def _require_engine(kind: CheckKind) -> None:
    """Complain if an installation without the extra `verify` is told to check what it lacks the means for."""
    if kind in BY_SCHEMA and find_spec("jsonschema_rs") is None:
        raise fault(f"{kind.value} needs jsonschema-rs, which is not installed: pip install 'penstock[verify]'")


def _pattern(text: str) -> str:
    _require_engine(CheckKind.REGEX)
    try:
        compiled_pattern(text)
    except CannotVerify:
        raise fault(f"{_why_no_pattern(text)}, got {shown(text)}", "regex") from None
    return text


def _why_no_pattern(text: str) -> str:
    """What must be otherwise in a regular expression that does not compile; the engine itself does not say."""
    for what, sign in (("look-around", _LOOK_AROUND), ("back-references", _BACK_REFERENCE)):
        if (found := sign.search(text)) is not None:
            return f"expected a regular expression without {what} ({found[0]} cannot be matched in linear time)"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a later Python will read otherwise
            re.compile(text)
    except re.error as error:
        place = "" if error.pos is None else f" at its character {error.pos + 1}"
        return f"expected a regular expression without the slip{place} ({error.msg})"
    except (RecursionError, OverflowError):
        pass
    return "expected a regular expression that is smaller when compiled, and in the syntax of Rust's regex"


def _one_or_more_checks(value: object) -> object:
    """`verify: non_empty` is short for `verify: [non_empty]`."""
    return [value] if isinstance(value, str | dict) else value


class CheckSection(Section):
    """An entry of `verify`: a word, `regex` with its pattern, or `code` with its languages."""

    kind: Annotated[CheckKind, Field(strict=False)]
    pattern: str | None = None
    languages: list[CodeLanguage] = []


def _check(value: object) -> CheckSection:
    if isinstance(value, str) and value in _CHECK_WORDS:
        _require_engine(CheckKind(value))
        return CheckSection(kind=CheckKind(value))
    if isinstance(value, dict) and set(value) == {"code"}:
        return CheckSection(kind=CheckKind.CODE, languages=_code_languages(value["code"]))
    if isinstance(value, dict) and set(value) == {"regex"}:
        if not isinstance(value["regex"], str):
            raise fault(f"expected a regular expression in quotes, got {shown(value['regex'])}", "regex")
        return CheckSection(kind=CheckKind.REGEX, pattern=_pattern(value["regex"]))
    keys = [value] if isinstance(value, str) else [*value] if isinstance(value, dict) else []
    near = next((word for key in keys if (word := nearest(key, _CHECK_FORMS)) is not None), None)
    got = shown(value) if isinstance(value, str) or not keys else f"a mapping with {', '.join(map(str, keys))}"
    raise fault(
        f"expected {either([*_CHECK_FORMS.values()])}, got {got}{'' if near is None else meant(_CHECK_FORMS[near])}"
    )


def _code_languages(value: object) -> list[CodeLanguage]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        raise fault(f"expected one or more of {', '.join(_CODE_LANGUAGES)}, got {shown(value)}", "code")
    for number, name in enumerate(names):
        if name not in _CODE_LANGUAGES:
            where = ("code",) if isinstance(value, str) else ("code", number)
            meant_by = language_tagged(name.lower()) if isinstance(name, str) else None  # `js` looks more like json
            raise fault(choice(_CODE_LANGUAGES, name, likely=meant_by), *where)
    languages = [CodeLanguage(name) for name in dict.fromkeys(names)]
    for language, package in _PARSED_BY.items():
        if language in languages and find_spec(package) is None:
            raise fault(f"{language.value} is parsed by a package that is not installed: pip install 'penstock[code]'")
    return languages


def _without_repeated_checks(checks: list[CheckSection]) -> list[CheckSection]:
    seen = set()
    for number, check in enumerate(checks):
        what = (check.kind, check.pattern, frozenset(check.languages))
        if what in seen:
            raise fault(f"expected each check once, got '{check.kind.value}' twice; remove one", number)
        seen.add(what)
    return checks


_CODE_LANGUAGES = tuple(language.value for language in CodeLanguage)
# What an installation without the extra `code` lacks.
_PARSED_BY = {CodeLanguage.SQL: "polyglot_sql", CodeLanguage.JAVASCRIPT: "esprima"}
_CHECK_WORDS = tuple(kind.value for kind in CheckKind if kind not in (CheckKind.REGEX, CheckKind.CODE))
# By what an operator may have had in mind.
_CHECK_FORMS = {
    **{word: word for word in _CHECK_WORDS},
    "code": "{code: LANGUAGES}",
    "regex": "{regex: PATTERN}",
}
_CHECK_SCHEMA = {
    "anyOf": [
        {"enum": list(_CHECK_WORDS), "type": "string"},
        {
            "type": "object",
            "properties": {
                "regex": {"type": "string", "description": "found anywhere; write ^ and $ for the whole text"}
            },
            "required": ["regex"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "code": {
                    "description": "languages: code of these in the answer must parse",
                    "anyOf": [
                        {"enum": list(_CODE_LANGUAGES), "type": "string"},
                        {
                            "items": {"enum": list(_CODE_LANGUAGES), "type": "string"},
                            "minItems": 1,
                            "type": "array",
                        },
                    ],
                }
            },
            "required": ["code"],
            "additionalProperties": False,
        },
    ]
}
Checks = Annotated[
    list[Annotated[CheckSection, BeforeValidator(_check), WithJsonSchema(_CHECK_SCHEMA)]],
    BeforeValidator(_one_or_more_checks),
    AfterValidator(_without_repeated_checks),
    Field(json_schema_extra=or_a_single_one, description="what an answer must pass; else a better model is asked"),
]


MODELS_FOR_AGREEMENT = 3


def models_in(candidates: Iterable[str]) -> frozenset[str]:
    """The models among candidates, at whatever effort."""
    return frozenset(name.partition("@")[0] for name in candidates)
