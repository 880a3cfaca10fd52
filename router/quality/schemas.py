"""JSON Schemas from strangers: compiled by `jsonschema-rs`, within bounds that are checked before.

Validation holds the interpreter's lock, in whatever thread it runs, so a slow one would stall every request. What makes
one slow is known from the schema: `$ref`s that double at every step, dozens of alternatives for the same value, an
`enum` of a thousand objects, long patterns. All is weighed first, and what would take longer than `Patience` lasts
is not done at all: it `CannotVerify`.

Numbers of hundreds of digits, written out or as 1e300, are not looked at: they are compared digit by digit, 10 us each.
Patterns run on a linear-time engine, so there is no catastrophic backtracking; look-around and back-references do not
exist there. Nothing is ever fetched: a `$ref` that is not a local pointer cannot be verified. `format` is not asserted.
"""

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple

import msgspec

MAX_SCHEMA_BYTES = 64 * 1024
MAX_JSON_BYTES = 512 * 1024  # of the answer that is to be validated
MAX_PATTERNS = 16  # compiling one within its limit takes up to half a millisecond
MAX_DEPTH = 64  # of the schema, references followed; OpenAI allows 10 levels
MAX_NS = 10_000_000  # the longest that the event loop is held up; an ordinary check of 4.5 kB is charged 0.5 ms

# What things take at most, in nanoseconds: measured with jsonschema-rs 0.61 on one core of 2026, and rounded up.
_COMPILE_BYTE_NS = 100
_COMPILE_PATTERN_NS = 500_000
_COMPILE_SUBSCHEMA_NS = 4_000  # a reference costs as much again
_READ_VALUE_NS = 100
_READ_CHAR_NS = 10.0
_READ_FRACTION_NS = 400
_MOST_COMPARED_NS = 1_000_000  # of one enum for one value
_REFERENCE_NS = 500  # it is looked up whether the value has been here before
_UNIQUE_NS = 300  # of uniqueItems, for each item
_COMPARE_NS = 50  # with an item of an enum; none where all are text, or all whole numbers: these are looked up
_COMPARE_INNER_NS = 200  # with a value in an object or array that stands in an enum
_COMPARE_FRACTION_NS = 1_500  # exact decimal arithmetic, wherever one of two numbers has a fraction
_REQUIRED_NS = 15  # for each name
_CHAR_NS = 0.5  # what a keyword takes for a character: length, hash, look-up of a name
_PATTERN_CHAR_NS = 3.0
# `unevaluated…` has what stands beside it asked anew, as has each one in that: so it doubles where they are nested
# (135 s were measured for a schema of 2 kB, 2026-11-25).
_MOST_UNEVALUATED = 3
_UNEVALUATED = 15  # times as much then

_MOST_NUMBER_CHARS = 40
_MOST_EXPONENT = 30
_LONG_NUMBER = re.compile(rf"[0-9]{{{_MOST_NUMBER_CHARS + 1}}}")
_VALUE_STARTS = ",:[{"  # no value of an instance without one of them before it, except the first

_DYNAMIC = frozenset({"$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor", "$recursiveAnchor"})
# Subschemas for the same value, and for the values in it; the keys of both sorts of object are names.
_SAME_VALUE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else"})
_SAME_VALUE_BY_NAME = frozenset({"dependentSchemas", "dependencies"})
_ASKING_AGAIN = frozenset({"unevaluatedItems", "unevaluatedProperties"})
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_REQUIRING = frozenset({"required", "dependentRequired", "dependencies"})
_INNER = frozenset(
    {"items", "prefixItems", "additionalItems", "contains", "unevaluatedItems"}
    | {"additionalProperties", "unevaluatedProperties", "propertyNames"}
)


class CannotVerify(Exception):
    """The schema is not one, or is beyond the bounds; says which."""


class Patience:
    """How long one verification may still take, in nanoseconds as estimated beforehand."""

    def __init__(self, ns: int = MAX_NS) -> None:
        self._left_ns = ns

    def spend(self, ns: float) -> None:
        """Raises CannotVerify if not so much is left; then nothing is spent."""
        if ns > self._left_ns:
            raise CannotVerify(f"it would take {ns / 1e6:.1f} ms of the {self._left_ns / 1e6:.1f} ms left for it")
        self._left_ns -= int(ns)


class CompiledSchema:
    """A schema that can be validated against."""

    def __init__(self, schema: object, patience: Patience | None = None) -> None:
        """Raises CannotVerify."""
        if not isinstance(schema, dict | bool):
            raise CannotVerify("a schema is an object, true or false")
        self._weight = _Survey(schema, patience or Patience()).weight
        try:
            self._is_valid = _engine()(schema)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise CannotVerify(f"not a JSON Schema that can be used: {str(error)[:200]}") from error

    def accepts(self, text: str, patience: Patience | None = None) -> bool:
        """Whether the text is JSON that satisfies the schema. Raises CannotVerify if finding out would take long."""
        patience = patience or Patience()
        try:
            instance, fractions = read_json(text, patience)
            weight = self._weight
            patience.spend(_values(text) * weight.value + fractions * weight.fraction + len(text) * weight.char)
            return self._is_valid(instance)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False  # no JSON, or nested beyond what anything reads


def compiled(schema: bytes, patience: Patience | None = None) -> CompiledSchema:
    """The schema in a request's JSON. Raises CannotVerify."""
    patience = patience or Patience()
    if len(schema) > MAX_SCHEMA_BYTES:
        raise CannotVerify(f"a schema of {len(schema)} bytes; at most {MAX_SCHEMA_BYTES} are looked at")
    patience.spend(len(schema) * _COMPILE_BYTE_NS)
    try:
        return CompiledSchema(_Reader().read(schema.decode()), patience)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CannotVerify("not JSON") from error


def compiled_pattern(pattern: str, patience: Patience | None = None) -> CompiledSchema:
    """What accepts a JSON string in which the pattern is found. Raises CannotVerify."""
    return CompiledSchema({"type": "string", "pattern": pattern}, patience)


def read_json(text: str, patience: Patience) -> tuple[Any, int]:
    """The value in a JSON text, and how many numbers with a fraction or exponent are in it.

    Raises msgspec.DecodeError or RecursionError if it is none, CannotVerify if it is beyond what is looked at.
    """
    if len(text) > MAX_JSON_BYTES:
        raise CannotVerify(f"{len(text)} characters; at most {MAX_JSON_BYTES} are looked at")
    values = _values(text)
    fractions = min(values, sum(text.count(sign) for sign in ".eE"))
    patience.spend(values * _READ_VALUE_NS + fractions * _READ_FRACTION_NS + len(text) * _READ_CHAR_NS)
    reader = _Reader()
    return reader.read(text), reader.fractions


def _engine() -> Callable[[object], Callable[[object], bool]]:
    """What compiles schemas: by its name, for its package is of the extra `verify`, and takes 3 MB.

    Where a policy checks by schemas, it has been imported at the start (assembly/deciding.py).
    """
    engine = import_module("router.quality.schema_engine")
    found: Callable[[object], Callable[[object], bool]] = engine.compiled_validator
    return found


def _values(text: str) -> int:
    """At most so many values and names are in a JSON text."""
    return 1 + sum(text.count(start) for start in _VALUE_STARTS)


class _Reader:
    """Reads JSON and refuses the numbers that are dear to compare."""

    def __init__(self) -> None:
        self.fractions = 0
        self._beyond: str | None = None

    def read(self, text: str) -> Any:  # noqa: ANN401 foreign JSON
        if _LONG_NUMBER.search(text) is not None:  # in a string too: who writes that has to do without
            raise CannotVerify(f"a number of more than {_MOST_NUMBER_CHARS} digits")
        found = msgspec.json.Decoder(float_hook=self._number).decode(text)
        if self._beyond is not None:
            raise CannotVerify(f"a number as {self._beyond[:60]}")
        return found

    def _number(self, literal: str) -> float:
        self.fractions += 1
        _, _, exponent = literal.lower().partition("e")
        if len(literal) > _MOST_NUMBER_CHARS or (exponent and abs(int(exponent)) > _MOST_EXPONENT):
            self._beyond = literal  # told afterwards: msgspec makes errors of its own of what a hook raises
            return 0.0
        return float(literal)


class _Weight(NamedTuple):
    """What validating takes, in nanoseconds: for each value, for each number with a fraction, for each character."""

    value: float
    fraction: float = 0.0
    char: float = 0.0


_NOTHING = _Weight(0.0)
_KEYWORD = _Weight(10.0, char=_CHAR_NS)
_CIRCLE = _Weight(_REFERENCE_NS)


def _sum(weights: Iterable[_Weight]) -> _Weight:
    value = fraction = char = 0.0
    for each in weights:
        value, fraction, char = value + each.value, fraction + each.fraction, char + each.char
    return _Weight(value, fraction, char)


def _most(weights: Iterable[_Weight]) -> _Weight:
    value = fraction = char = 0.0
    for each in weights:
        value, fraction, char = max(value, each.value), max(fraction, each.fraction), max(char, each.char)
    return _Weight(value, fraction, char)


class _Survey:
    """How much a schema can cost, found by walking it once; every reference counts as what it stands for.

    A reference back to where the walk came from counts once: the library remembers what it has found of a value.
    Raises CannotVerify for what it cannot bound, or what takes long to compile.
    """

    def __init__(self, schema: dict[str, Any] | bool, patience: Patience) -> None:
        self._root = schema
        self._patience = patience
        self._known: dict[str, tuple[_Weight, _Weight]] = {}
        self._patterns = 0
        self._refers = False
        self._unevaluated = 0
        most = _most(self._measure(schema, 0))
        self.weight = _sum([most] * (_UNEVALUATED if self._unevaluated else 1))

    def _measure(self, schema: object, depth: int) -> tuple[_Weight, _Weight]:
        """The weight of the value itself, and at most of any value within it."""
        self._patience.spend(_COMPILE_SUBSCHEMA_NS)
        if isinstance(schema, bool):
            return _KEYWORD, _KEYWORD
        if not isinstance(schema, dict):
            raise CannotVerify("a schema is an object, true or false")
        if depth > MAX_DEPTH:
            raise CannotVerify(f"nested more than {MAX_DEPTH} deep")
        self._refuse_unbounded(schema, is_root=schema is self._root)
        same, inner = [_KEYWORD], []
        for key, value in schema.items():
            same.append(_own(key, value))
            if key == "$ref":
                found = [self._referred(value, depth)]
            elif key in _SAME_VALUE or key in _SAME_VALUE_BY_NAME:
                found = [self._measure(each, depth + 1) for each in _subschemas(key, value)]
            else:
                inner.append(self._inner(key, value, depth))
                continue
            same += [each for each, _ in found]
            inner += [each for _, each in found]
        return _sum(same), _sum(inner)

    def _inner(self, key: str, value: object, depth: int) -> _Weight:
        """What a keyword adds for any one value within the value."""
        if key == "properties" and isinstance(value, dict):  # a value has one name
            return _most(_most(self._measure(each, depth + 1)) for each in value.values())
        if key == "patternProperties" and isinstance(value, dict):
            return _sum(_most(self._measure(each, depth + 1)) for each in value.values())
        if key in _INNER:  # of a list each schema is for one place
            return _most(_most(self._measure(each, depth + 1)) for each in _subschemas(key, value))
        if key in ("$defs", "definitions") and isinstance(value, dict):
            for each in value.values():  # counted where they are referred to; walked for what cannot be bounded
                self._measure(each, depth + 1)
        return _NOTHING

    def _referred(self, pointer: object, depth: int) -> tuple[_Weight, _Weight]:
        self._patience.spend(_COMPILE_SUBSCHEMA_NS)
        if not isinstance(pointer, str) or (pointer != "#" and not pointer.startswith("#/")):
            raise CannotVerify(f"$ref {str(pointer)[:100]!r} is not a pointer into the same schema")
        if pointer not in self._known:
            self._known[pointer] = (_CIRCLE, _CIRCLE)  # until it is known: a circle counts once
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
        self._refers = self._refers or "$ref" in schema
        if not _DYNAMIC.isdisjoint(schema) or ("$id" in schema and not is_root):
            raise CannotVerify("it renames or redirects references")
        by_pattern = schema.get("patternProperties")
        patterns = ("pattern" in schema) + (len(by_pattern) if isinstance(by_pattern, dict) else 0)
        self._patience.spend(patterns * _COMPILE_PATTERN_NS)
        self._patterns += patterns
        if self._patterns > MAX_PATTERNS:
            raise CannotVerify(f"more than {MAX_PATTERNS} patterns")
        self._unevaluated += not _ASKING_AGAIN.isdisjoint(schema)
        if self._unevaluated > _MOST_UNEVALUATED or (self._unevaluated and self._refers):
            raise CannotVerify("unevaluated properties or items with references, or many times")


def _subschemas(key: str, value: object) -> Iterable[object]:
    if isinstance(value, list):
        return value
    if key in _SAME_VALUE_BY_NAME and isinstance(value, dict):
        return [each for each in value.values() if not isinstance(each, list)]  # draft 7 lists names there too
    return [value]


def _own(key: str, value: object) -> _Weight:
    """What a keyword takes for the value it is about, leaving its subschemas aside."""
    if key == "$ref":
        return _Weight(_REFERENCE_NS)
    if key in ("enum", "const"):
        return _compared(value if key == "enum" and isinstance(value, list) else [value])
    if key == "uniqueItems" and value is True:
        return _Weight(_UNIQUE_NS, 15 * _COMPARE_FRACTION_NS)  # up to 15 items are compared with each other
    if key == "multipleOf":
        return _Weight(_COMPARE_FRACTION_NS, 2 * _COMPARE_FRACTION_NS)
    if key in _BOUNDS:
        return _Weight(_COMPARE_FRACTION_NS if isinstance(value, float) else _KEYWORD.value, _COMPARE_FRACTION_NS)
    if key in ("pattern", "patternProperties"):
        patterns = len(value) if isinstance(value, dict) else 1
        return _Weight(patterns * _COMPARE_NS, char=patterns * _PATTERN_CHAR_NS)
    if key in _REQUIRING:
        lists = value.values() if isinstance(value, dict) else [value]
        names = sum(1 + (len(each) if isinstance(each, list) else 0) for each in lists)
        return _Weight(names * _REQUIRED_NS, char=_CHAR_NS)
    return _KEYWORD


def _compared(items: list[Any]) -> _Weight:
    """The weight of being compared with each of the items."""
    kinds = {type(each) for each in items}
    if kinds == {str}:
        return _KEYWORD
    value = fraction = 0.0
    for each, is_inner in _all_within(items):
        value += _COMPARE_INNER_NS if is_inner or isinstance(each, dict | list) else _COMPARE_NS
        if isinstance(each, float):
            value += _COMPARE_FRACTION_NS
        elif isinstance(each, int):
            fraction += _COMPARE_FRACTION_NS
        elif isinstance(each, str):
            value += len(each) * _CHAR_NS
        if value > _MOST_COMPARED_NS:
            raise CannotVerify("an enum or const of thousands of values")
    return _Weight(_KEYWORD.value if kinds == {int} else value, fraction, _CHAR_NS)


def _all_within(items: list[Any]) -> Iterable[tuple[object, bool]]:
    """All values in these, names left out, and whether they stand in another one."""
    waiting: list[tuple[object, bool]] = [(each, False) for each in items]
    while waiting:
        each, is_inner = waiting.pop()
        yield each, is_inner
        if isinstance(each, dict):
            waiting += [(inner, True) for inner in each.values()]
        elif isinstance(each, list):
            waiting += [(inner, True) for inner in each]
