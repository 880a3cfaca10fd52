"""Pydantic's errors as problems with a position and one sentence each: what was expected, what came, what to do."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.config.schema.models import CASES
from router.config.schema.values import FAULT
from router.config.sentences import choice, shown, unknown_key
from router.config.yaml_source import Document, KeyPath
from router.errors import Problem

_EXPECTED = {
    "model_type": "a mapping (key: value)",
    "dict_type": "a mapping (key: value)",
    "list_type": "a list",
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "is_instance_of": "a number",  # of Decimal, the one class a strict field asks for by name
    "float_type": "a number",
    "string_too_short": "text that is not empty",
}
_BOUND = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_OF_KEY = "[key]"  # how pydantic marks an error of a mapping's key in a path


def problems(error: ValidationError, document: Document, model: type[BaseModel]) -> Iterator[Problem]:
    """What pydantic found wrong with a document, without what its reader already complained of."""
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != _OF_KEY and part not in CASES)
        if not document.is_faulty(path):
            yield _problem(detail, document, model, path)


def _problem(detail: ErrorDetails, document: Document, model: type[BaseModel], path: KeyPath) -> Problem:
    if detail["type"] == "missing":
        return document.at_key(path[:-1], f"the key '{path[-1]}' is missing")
    if detail["type"] == "extra_forbidden":
        return document.at_key(path, unknown_key(str(path[-1]), _keys_at(model, detail["loc"][:-1])))
    context = detail.get("ctx", {})
    message = str(context["message"]) if detail["type"] == FAULT else _sentence(detail)
    if _OF_KEY in detail["loc"]:
        return document.at_key(path, message)
    return document.at_value((*path, *context.get("keys", ())), message)


def _sentence(detail: ErrorDetails) -> str:
    kind = detail["type"]
    context: Mapping[str, object] = detail.get("ctx", {})
    value = detail["input"]
    if kind in _BOUND:
        words, key = _BOUND[kind]
        return f"expected a number of {words} {context[key]}, got {value}"
    if kind in ("literal_error", "enum"):
        return choice(_words(str(context["expected"])), value)
    if kind == "too_short":
        return "expected at least one entry, got none"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters, got {len(str(value))}"
    if kind in _EXPECTED:
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(value, int | Decimal) else ""
        bare = "; write it without quotes" if _is_quoted_number(kind, value) else ""
        return f"expected {_EXPECTED[kind]}, got {shown(value)}{quotes}{bare}"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {shown(value)}"


def _words(expected: str) -> list[str]:
    """The words in pydantic's list of them, `'a', 'b' or 'c'`."""
    return [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]


def _is_quoted_number(kind: str, value: object) -> bool:
    if kind == "string_type" or not isinstance(value, str):
        return False
    return value.replace(".", "", 1).removeprefix("-").isdigit()


def _keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys allowed in the mapping that stands at `path`, as pydantic writes it."""
    annotation: object = model
    for part in path:
        annotation = CASES[str(part)] if part in CASES else _child(_bare(annotation), part)
    section = _bare(annotation)
    if isinstance(section, type) and issubclass(section, BaseModel):
        return [field.alias or name for name, field in section.model_fields.items()]
    return []


def _child(annotation: object, part: str | int) -> object:
    """The annotation of what stands under a key or index of something so annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return fields[str(part)].annotation if part in fields else None
    arguments = get_args(annotation)
    return arguments[-1] if arguments else None


def _bare(annotation: object) -> object:
    """An annotation without `Annotated` and `| None`."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _bare(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation
