"""JSON Schemas from strangers: compiled by `jsonschema-rs`, within bounds that are checked before.

Validation holds the interpreter's lock, in whatever thread it runs, so a slow one would stall every request. What makes
one slow is known from the schema: `$ref`s that double at every step, dozens of alternatives for the same value, long
patterns. All of it is counted first, and a schema beyond the bounds is not used at all: it `CannotVerify`.

Patterns run on a linear-time engine, so there is no catastrophic backtracking; look-around and back-references do not
exist there. Nothing is ever fetched: a `$ref` that is not a local pointer cannot be verified. `format` is not asserted.
"""

from collections.abc import Iterable
from typing import Any

import jsonschema_rs
import msgspec

MAX_SCHEMA_BYTES = 128 * 1024
MAX_JSON_BYTES = 1024 * 1024  # of the answer that is to be validated
MAX_PATTERNS = 64  # compiling one within its limit takes up to half a millisecond
MAX_DEPTH = 64  # of the schema, references followed; OpenAI allows 10 levels
# Checks of one value, times bytes of the answer: at the bound 78 ms were measured (allOf of 250 over 16 kB,
# 2026-11-25), and an ordinary schema has 5 or 10 checks for a value.
MAX_WORK = 4_000_000
_PATTERN_BYTES = 100_000  # of a compiled pattern

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
_DYNAMIC = frozenset({"$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$recursiveAnchor"})
# Subschemas for the same value, and for the values in it; the keys of both sorts of object are names.
_SAME_VALUE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else"})
_SAME_VALUE_BY_NAME = frozenset({"dependentSchemas", "dependencies"})
_INNER = frozenset(
    {"items", "prefixItems", "additionalItems", "contains", "unevaluatedItems"}
    | {"additionalProperties", "unevaluatedProperties", "propertyNames"}
)


class CannotVerify(Exception):
    """The schema is not one, or is beyond the bounds; says which."""


class CompiledSchema:
    """A schema that can be validated against."""

    def __init__(self, schema: object) -> None:
        """Raises CannotVerify."""
        if not isinstance(schema, dict | bool):
            raise CannotVerify("a schema is an object, true or false")
        self._width = _Survey(schema).width
        try:
            self._validator = jsonschema_rs.validator_for(schema, retriever=_never, pattern_options=_PATTERNS)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise CannotVerify(f"not a JSON Schema that can be used: {str(error)[:200]}") from error

    def accepts(self, text: str) -> bool:
        """Whether the text is JSON that satisfies the schema. Raises CannotVerify if finding out would take long."""
        size = len(text)
        if size > MAX_JSON_BYTES or size * self._width > MAX_WORK:
            raise CannotVerify(f"{size} characters are too many for a schema with {self._width} checks a value")
        try:
            instance = msgspec.json.decode(text)
            return self._validator.is_valid(instance)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False  # no JSON, or nested beyond what anything reads


def compiled(schema: bytes) -> CompiledSchema:
    """The schema in a request's JSON. Raises CannotVerify."""
    if len(schema) > MAX_SCHEMA_BYTES:
        raise CannotVerify(f"a schema of {len(schema)} bytes; at most {MAX_SCHEMA_BYTES} are looked at")
    try:
        return CompiledSchema(msgspec.json.decode(schema))
    except (msgspec.DecodeError, RecursionError) as error:
        raise CannotVerify("not JSON") from error


def compiled_pattern(pattern: str) -> CompiledSchema:
    """What accepts a JSON string in which the pattern is found. Raises CannotVerify."""
    return CompiledSchema({"type": "string", "pattern": pattern})


def _never(uri: str) -> dict[str, Any]:
    raise ValueError(f"{uri[:100]} is not fetched")


class _Survey:
    """How much a schema can cost, found by walking it once; every reference counts as what it stands for.

    A reference back to where the walk came from counts once: the library remembers what it has found of a value.
    Raises CannotVerify for what it cannot bound.
    """

    def __init__(self, schema: dict[str, Any] | bool) -> None:
        self._root = schema
        self._known: dict[str, tuple[int, int]] = {}
        self._patterns = 0
        self.width = max(self._measure(schema, 0))  # checks that one value of an instance can undergo

    def _measure(self, schema: object, depth: int) -> tuple[int, int]:
        """Checks of the value itself, and at most of any value within it."""
        if isinstance(schema, bool):
            return 1, 1
        if not isinstance(schema, dict):
            raise CannotVerify("a schema is an object, true or false")
        if depth > MAX_DEPTH:
            raise CannotVerify(f"nested more than {MAX_DEPTH} deep")
        self._refuse_unbounded(schema, is_root=schema is self._root)
        same, inner = len(schema), 0
        for key, value in schema.items():
            if key == "$ref":
                found = [self._referred(value, depth)]
            elif key in _SAME_VALUE or key in _SAME_VALUE_BY_NAME:
                found = [self._measure(each, depth + 1) for each in _subschemas(key, value)]
            else:
                inner += self._inner(key, value, depth)
                continue
            same += sum(each for each, _ in found)
            inner += sum(each for _, each in found)
        return same, inner

    def _inner(self, key: str, value: object, depth: int) -> int:
        """Checks that a keyword adds to any one value within the value."""
        if key == "properties" and isinstance(value, dict):  # a value has one name
            return max((max(self._measure(each, depth + 1)) for each in value.values()), default=0)
        if key == "patternProperties" and isinstance(value, dict):
            return sum(max(self._measure(each, depth + 1)) for each in value.values())
        if key in _INNER:
            return sum(max(self._measure(each, depth + 1)) for each in _subschemas(key, value))
        if key in ("$defs", "definitions") and isinstance(value, dict):
            for each in value.values():  # counted where they are referred to; walked for what cannot be bounded
                self._measure(each, depth + 1)
        return 0

    def _referred(self, pointer: object, depth: int) -> tuple[int, int]:
        if not isinstance(pointer, str) or (pointer != "#" and not pointer.startswith("#/")):
            raise CannotVerify(f"$ref {str(pointer)[:100]!r} is not a pointer into the same schema")
        if pointer not in self._known:
            self._known[pointer] = (1, 1)  # until it is known: a circle counts once
            self._known[pointer] = self._measure(self._at(pointer), depth + 1)
        return self._known[pointer]

    def _at(self, pointer: str) -> object:
        found: object = self._root
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:9]) < len(found):
                found = found[int(name[:9])]
            else:
                raise CannotVerify(f"$ref {pointer[:100]!r} points to nothing")
        return found

    def _refuse_unbounded(self, schema: dict[str, Any], *, is_root: bool) -> None:
        if not _DYNAMIC.isdisjoint(schema) or ("$id" in schema and not is_root):
            raise CannotVerify("it renames or redirects references")
        by_pattern = schema.get("patternProperties")
        self._patterns += ("pattern" in schema) + (len(by_pattern) if isinstance(by_pattern, dict) else 0)
        if self._patterns > MAX_PATTERNS:
            raise CannotVerify(f"more than {MAX_PATTERNS} patterns")


def _subschemas(key: str, value: object) -> Iterable[object]:
    if isinstance(value, list):
        return value
    if key in _SAME_VALUE_BY_NAME and isinstance(value, dict):
        return [each for each in value.values() if not isinstance(each, list)]  # draft 7 lists names there too
    return [value]
