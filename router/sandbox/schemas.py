"""Values that satisfy a JSON schema, made up repeatably.

Covered: type (also a list), const, enum, anyOf, oneOf, allOf, local $ref (recursive ones too), object (properties,
required, additionalProperties, minProperties), array (items, prefixItems, minItems, maxItems, uniqueItems), string
(minLength, maxLength, format, simple patterns), number and integer (bounds, multipleOf), boolean, null. Not covered:
not, if/then/else, dependent schemas, patterns that none of a few samples matches; such parts are ignored.
"""

import math
import random
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeGuard

from router.sandbox.json_text import JsonObject, canonical

_DEEP = 4
"""From this depth on only what is required is made, so that recursive schemas come to an end."""
_TOO_DEEP = 40

_FORMATS = {
    "date": "2026-11-23",
    "date-time": "2026-11-23T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT45M",
    "email": "pelican@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uri": "https://example.com/pelican",
    "url": "https://example.com/pelican",
    "uuid": "3f2b8c1e-5d47-4a90-9b6e-1c0d2e4f6a88",
}
_PATTERN_SAMPLES = (
    *_FORMATS.values(),
    "a",
    "abc",
    "ABC",
    "Abc",
    "A1",
    "a1b2c3",
    "1",
    "42",
    "2026",
    "1.5",
    "#1e90ff",
    "en-US",
    "+15550100",
)


class Unsatisfiable(Exception):
    """No value was found: the schema allows none, refers to nothing, or never ends."""


def satisfying_value(schema: object, *, seed: random.Random, words: Sequence[str]) -> object:
    """A JSON value that satisfies `schema`, its strings made of `words`. Raises Unsatisfiable."""
    return _Maker(schema, seed, tuple(words) or ("value",)).value(schema, 0)


class _Maker:
    def __init__(self, root: object, seed: random.Random, words: tuple[str, ...]) -> None:
        self._root = root
        self._seed = seed
        self._words = words

    def value(self, schema: object, depth: int) -> object:
        if depth > _TOO_DEEP:
            raise Unsatisfiable("the schema never ends")
        if schema is False:
            raise Unsatisfiable("the schema allows no value")
        if not _is_object(schema):
            return self._words[0]
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._enumerated(schema["enum"])
        for keyword in ("$ref", "allOf", "anyOf", "oneOf"):
            if keyword in schema:
                return self._combined(schema, keyword, depth)
        return self._typed(schema, depth)

    def _enumerated(self, values: object) -> object:
        if not isinstance(values, list) or not values:
            raise Unsatisfiable("`enum` lists no value")
        return self._seed.choice(values)

    def _combined(self, schema: JsonObject, keyword: str, depth: int) -> object:
        rest = {key: value for key, value in schema.items() if key != keyword}
        match keyword:
            case "$ref":
                return self.value(_merged(rest, self._target(str(schema["$ref"]))), depth + 1)
            case "allOf":
                return self.value(_merged(rest, *schema["allOf"]), depth + 1)
        branches = list(schema[keyword])
        if depth >= _DEEP:
            branches.sort(key=_weight)
        else:
            self._seed.shuffle(branches)
        for branch in branches:
            try:
                return self.value(_merged(rest, branch), depth + 1)
            except Unsatisfiable:
                continue
        raise Unsatisfiable(f"no branch of `{keyword}` can be satisfied")

    def _target(self, reference: str) -> object:
        if not reference.startswith("#"):
            raise Unsatisfiable(f"{reference} does not point into this schema")
        found = self._root
        for step in reference[1:].split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if _is_object(found) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise Unsatisfiable(f"{reference} points at nothing")
        return found

    def _typed(self, schema: JsonObject, depth: int) -> object:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number" as kind:
                return self._number(schema, is_integer=kind == "integer")
            case "boolean":
                return self._seed.random() < 0.5
            case "null":
                return None
        return self._string(schema)

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        properties = schema.get("properties") or {}
        required = [str(name) for name in schema.get("required") or ()]
        names = [name for name in properties if name in required or depth < _DEEP]
        made: JsonObject = {}
        for name in names:
            try:
                made[name] = self.value(properties[name], depth + 1)
            except Unsatisfiable:
                if name in required:
                    raise
        others = schema.get("additionalProperties", True)
        for name in required:
            if name not in made:
                made[name] = self.value(others, depth + 1)
        for number in range(schema.get("minProperties", 0) - len(made)):
            made[f"extra_{number + 1}"] = self.value(others, depth + 1)
        return made

    def _array(self, schema: JsonObject, depth: int) -> list[object]:
        first = list(schema.get("prefixItems") or ())
        least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
        wanted = least if depth >= _DEEP else min(max(least, len(first), self._seed.randint(1, 3)), most)
        items: list[object] = [self.value(item, depth + 1) for item in first[: int(wanted)]]
        is_unique, seen = schema.get("uniqueItems") is True, {canonical(item) for item in items}
        for attempt in range(int(wanted) * 30):
            if len(items) >= wanted:
                break
            try:
                item = self._unlike(self.value(schema.get("items", True), depth + 1), attempt, schema)
            except Unsatisfiable:
                break
            if not is_unique or canonical(item) not in seen:
                seen.add(canonical(item))
                items.append(item)
        if len(items) < least:
            raise Unsatisfiable(f"fewer than {least} items could be made")
        return items

    def _unlike(self, item: object, attempt: int, schema: JsonObject) -> object:
        """The item, or for plain unbounded strings a numbered variant of it, so that sets can be filled."""
        is_plain = schema.get("uniqueItems") is True and schema.get("items") in (None, True, {"type": "string"})
        return f"{item} {attempt + 1}" if is_plain else item

    def _string(self, schema: JsonObject) -> str:
        if isinstance(pattern := schema.get("pattern"), str):
            return self._matching(pattern, schema)
        if (form := schema.get("format")) in _FORMATS:
            return _FORMATS[form]
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        text = self._seed.choice(self._words)
        while len(text) < least:
            text += " " + self._seed.choice(self._words)
        text = text if most is None else text[: int(most)]
        return text + "." * int(least - len(text))

    def _matching(self, pattern: str, schema: JsonObject) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise Unsatisfiable(f"`pattern` {pattern!r} is not understood") from error
        samples = (*self._words, *_PATTERN_SAMPLES, *(f"{n:0{width}d}" for width in range(1, 17) for n in (7,)))
        return next((s for s in samples if least <= len(s) <= most and expression.search(s)), self._words[0])

    def _number(self, schema: JsonObject, *, is_integer: bool) -> int | float:
        step = Fraction(str(schema["multipleOf"])) if schema.get("multipleOf") else Fraction(1)
        low, high = _bounds(schema)
        first = math.ceil(low / step) if low is not None else (0 if high is None else math.floor(high / step) - 9)
        last = math.floor(high / step) if high is not None else first + 99
        multiples = [n for n in (first, last, first + 1, last - 1) if _is_within(n * step, schema)]
        if multiples:
            chosen = self._seed.randint(min(multiples), max(multiples)) * step
            return int(chosen) if chosen.denominator == 1 else float(chosen)
        if is_integer or schema.get("multipleOf") or low is None or high is None:
            raise Unsatisfiable("no number lies within the bounds")
        return float((low + high) / 2)


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def _weight(schema: object) -> int:
    """How far a branch is from an end: scalars first, then objects and arrays, then references."""
    if not _is_object(schema) or "const" in schema or "enum" in schema:
        return 0
    if "$ref" in schema or "anyOf" in schema or "oneOf" in schema:
        return 2
    return 1 if _type_of(schema) in ("object", "array") else 0


def _type_of(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return str(next((name for name in kind if name != "null"), "null"))
    if isinstance(kind, str):
        return kind
    for name, keywords in {
        "object": ("properties", "required", "additionalProperties", "minProperties"),
        "array": ("items", "prefixItems", "minItems", "maxItems"),
        "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }.items():
        if any(keyword in schema for keyword in keywords):
            return name
    return "string"


def _merged(*schemas: object) -> object:
    """One schema for all of them: properties and required are united, the later of two other keywords wins."""
    if any(schema is False for schema in schemas):
        return False
    merged: JsonObject = {}
    for schema in filter(_is_object, schemas):
        united: JsonObject = {}
        if "properties" in schema:
            united["properties"] = (merged.get("properties") or {}) | schema["properties"]
        if "required" in schema:
            united["required"] = [*(merged.get("required") or ()), *schema["required"]]
        merged = merged | schema | united
    return merged


def _bounds(schema: JsonObject) -> tuple[Fraction | None, Fraction | None]:
    lows = [Fraction(str(schema[key])) for key in ("minimum", "exclusiveMinimum") if _is_number(schema.get(key))]
    highs = [Fraction(str(schema[key])) for key in ("maximum", "exclusiveMaximum") if _is_number(schema.get(key))]
    return max(lows, default=None), min(highs, default=None)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_within(number: Fraction, schema: JsonObject) -> bool:
    low, high = _bounds(schema)
    if (low is not None and number < low) or (high is not None and number > high):
        return False
    excluded = [schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")]
    return not any(_is_number(edge) and number == Fraction(str(edge)) for edge in excluded)
