"""Pydantic's errors as problems with a position and one sentence each: what was expected, what came, what to do."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.config.schema import CASES, FAULT
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
_LONGEST_SHOWN = 60  # characters of a value repeated in a message


def problems(error: ValidationError, document: Document, model: type[BaseModel]) -> Iterator[Problem]:
    """What pydantic found wrong with a document, without what its reader already complained of."""
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != _OF_KEY and part not in CASES)
        if not document.is_faulty(path):
            yield _problem(detail, document, model, path)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """The sentence about a name that nothing answers to, with the nearest one that exists."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(names) or 'none'}"
    return f"unknown {what} '{name}'; {hint}"


def shown(value: object) -> str:
    """A value as an operator would recognise it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | Decimal):
        return f"the number {value}"
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}…"
        return f"the text '{text}'"
    return "a list" if isinstance(value, list) else "a mapping"


def _problem(detail: ErrorDetails, document: Document, model: type[BaseModel], path: KeyPath) -> Problem:
    if detail["type"] == "missing":
        return document.at_key(path[:-1], f"the key '{path[-1]}' is missing")
    if detail["type"] == "extra_forbidden":
        return document.at_key(path, _unknown_key(str(path[-1]), _keys_at(model, detail["loc"][:-1])))
    context = detail.get("ctx", {})
    message = str(context["message"]) if detail["type"] == FAULT else _sentence(detail)
    if _OF_KEY in detail["loc"]:
        return document.at_key(path, message)
    return document.at_value((*path, *context.get("keys", ())), message)


def _unknown_key(key: str, allowed: Sequence[str]) -> str:
    near = get_close_matches(key, allowed, n=1, cutoff=0.6)
    hint = f"did you mean '{near[0]}'?" if near else f"allowed are {', '.join(allowed)}"
    return f"unknown key '{key}'; {hint}"


def _sentence(detail: ErrorDetails) -> str:
    kind = detail["type"]
    context: Mapping[str, object] = detail.get("ctx", {})
    value = detail["input"]
    if kind in _BOUND:
        words, key = _BOUND[kind]
        return f"expected a number of {words} {context[key]}, got {value}"
    if kind in ("literal_error", "enum"):
        return _choice(str(context["expected"]), value)
    if kind == "too_short":
        return "expected at least one entry, got none"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters, got {len(str(value))}"
    if kind in _EXPECTED:
        quotes = "; put it in quotes" if kind == "string_type" and isinstance(value, int | Decimal) else ""
        bare = "; write it without quotes" if _is_quoted_number(kind, value) else ""
        return f"expected {_EXPECTED[kind]}, got {shown(value)}{quotes}{bare}"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {shown(value)}"


def _choice(expected: str, value: object) -> str:
    words = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    near = get_close_matches(str(value), words, n=1, cutoff=0.6)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    choice = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
    return f"expected {choice}, got {shown(value)}{hint}"


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
