"""Made-up values satisfy their schemas: a generator of schemas against an independent check."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.sandbox.schemas import Unsatisfiable, satisfying_value
from router.sandbox.seeds import repeatable

WORDS = ("river", "gate", "Trondheim", "water pressure")


def make(schema: object, seed: int = 0) -> object:
    return satisfying_value(schema, seed=repeatable(seed), words=WORDS)


def satisfies(value: object, schema: object) -> bool:
    """A check of its own, for the keywords the generator below uses."""
    if not isinstance(schema, dict):
        return schema is not False
    checks = [
        "const" not in schema or value == schema["const"],
        "enum" not in schema or value in schema["enum"],
        "anyOf" not in schema or any(satisfies(value, branch) for branch in schema["anyOf"]),
        "type" not in schema or _is_of_type(value, schema["type"]),
    ]
    return all(checks) and _satisfies_its_kind(value, schema)


def _is_of_type(value: object, name: str | list[str]) -> bool:
    if isinstance(name, list):
        return any(_is_of_type(value, one) for one in name)
    if isinstance(value, bool):
        return name == "boolean"
    kinds: Mapping[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": type(None),
        "boolean": bool,
    }
    return isinstance(value, kinds[name])


def _satisfies_its_kind(value: object, schema: Mapping[str, Any]) -> bool:
    match value:
        case dict():
            properties = schema.get("properties", {})
            return set(schema.get("required", ())) <= value.keys() and all(
                satisfies(item, properties.get(name, schema.get("additionalProperties", True)))
                for name, item in value.items()
            )
        case list():
            is_long_enough = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
            return is_long_enough and all(satisfies(item, schema.get("items", True)) for item in value)
        case str():
            return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
        case int() | float() if not isinstance(value, bool):
            is_within = schema.get("minimum", value) <= value <= schema.get("maximum", value)
            return bool(is_within and ("multipleOf" not in schema or value % schema["multipleOf"] == 0))
    return True


def ranged(kind: str, low: str, high: str, limit: int) -> st.SearchStrategy[dict[str, Any]]:
    edges = st.tuples(st.integers(0, limit), st.integers(0, limit)).map(sorted)
    return edges.map(lambda pair: {"type": kind, low: pair[0], high: pair[1]})


scalars = st.one_of(
    st.sampled_from(
        [{"type": "boolean"}, {"type": "null"}, {"type": "string"}, {"type": "integer"}, {"type": "number"}]
    ),
    st.lists(st.integers() | st.text(max_size=5), min_size=1, max_size=4).map(lambda values: {"enum": values}),
    st.integers().map(lambda value: {"const": value}),
    ranged("string", "minLength", "maxLength", 40),
    ranged("integer", "minimum", "maximum", 1_000),
    ranged("number", "minimum", "maximum", 1_000),
    st.integers(1, 50).map(lambda step: {"type": "integer", "minimum": 7, "multipleOf": step}),
    st.just({"type": ["string", "null"]}),
)


def nested(children: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["name", "size", "parts", "note"])
    objects = st.dictionaries(names, children, max_size=4).flatmap(
        lambda properties: st.sets(st.sampled_from([*properties, "other"])).map(
            lambda required: {"type": "object", "properties": properties, "required": sorted(required)}
        )
    )
    arrays = st.tuples(children, ranged("array", "minItems", "maxItems", 5)).map(lambda p: p[1] | {"items": p[0]})
    choices = st.lists(children, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    return objects | arrays | choices


schemas = st.recursive(scalars, nested, max_leaves=12)


@settings(deadline=None)  # a shared machine may pause
@given(schemas, st.integers(0, 10))
def test_a_made_up_value_satisfies_its_schema(schema: dict[str, Any], seed: int) -> None:
    assert satisfies(make(schema, seed), schema)


@settings(deadline=None)
@given(schemas)
def test_the_same_seed_makes_the_same_value(schema: dict[str, Any]) -> None:
    assert make(schema, 3) == make(schema, 3)


def test_local_references_are_followed() -> None:
    schema = {"$defs": {"length/km": {"type": "integer", "minimum": 5, "maximum": 5}}, "$ref": "#/$defs/length~1km"}

    assert make(schema) == 5


def test_recursive_schemas_come_to_an_end() -> None:
    tree = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                    "name": {"type": "string"},
                },
                "required": ["left", "name"],
            }
        },
        "$ref": "#/$defs/node",
    }

    node, depth = make(tree), 0
    while node is not None:
        assert isinstance(node, dict)
        node, depth = node["left"], depth + 1
    assert depth < 10


def test_parts_of_all_of_are_united() -> None:
    schema = {
        "allOf": [
            {"properties": {"a": {"const": 1}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"const": 2}}, "required": ["b"]},
        ]
    }

    assert make(schema) == {"a": 1, "b": 2}


@pytest.mark.parametrize("form", ["date", "date-time", "uuid", "email"])
def test_known_formats_are_kept(form: str) -> None:
    assert re.search(r"[-@]", str(make({"type": "string", "format": form})))


@pytest.mark.parametrize("pattern", [r"^\d{4}$", r"^[A-Z]{3}$", r"^[a-z]{2}-[A-Z]{2}$", r"^\d{4}-\d{2}-\d{2}$", "ive"])
def test_simple_patterns_are_matched(pattern: str) -> None:
    assert re.search(pattern, str(make({"type": "string", "pattern": pattern})))


def test_open_and_excluded_bounds_hold() -> None:
    value = make({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})

    assert isinstance(value, float)
    assert 0 < value < 1
    assert make({"type": "integer", "exclusiveMinimum": 3, "maximum": 4}) == 4


def test_sets_have_no_twins() -> None:
    values = make({"type": "array", "items": {"type": "string"}, "minItems": 9, "maxItems": 9, "uniqueItems": True})

    assert isinstance(values, Sequence)
    assert len(set(values)) == 9


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.com/schema"},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "array", "items": {"enum": [1]}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"anyOf": [False, {"enum": []}]},
        {"type": "string", "pattern": "("},
    ],
)
def test_schemas_without_a_value_are_said_to_have_none(schema: object) -> None:
    with pytest.raises(Unsatisfiable):
        make(schema)
