"""Tokens of tool definitions, which a model sees rendered in a form of its provider's own.

The rule and its constants are those of the npm package ai-tokenizer 1.0.6 (dist/sdk.js; read 2026-11-23) for the gpt-5
family: 24 for having tools at all; each tool its name and, if described, its description and 2; every tool but the
first 6 more. Each property of an object costs its name and 5 if it is the object's first, else 3; its description and
2; a list of allowed values the values and 7; being an object itself -3, a list of objects 1. Types and punctuation are
inside the constants. This is what was fitted to observed usage, not what a provider promises: counts with tools are
never called exact.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from router.wire.requests import Tool

TOOLS_TOKENS = 24
FURTHER_TOOL_TOKENS = 6
DESCRIPTION_TOKENS = 2
FIRST_PROPERTY_TOKENS = 5
FURTHER_PROPERTY_TOKENS = 3
ENUM_TOKENS = 7
NESTED_OBJECT_TOKENS = -3
_MOST_SCHEMA_BYTES = 256 * 1024
ARRAY_OF_OBJECTS_TOKENS = 1


@dataclass(frozen=True, slots=True)
class ToolFragment:
    """A piece of a tool definition: text to be counted, and the tokens that its rendering adds."""

    text: str
    extra_tokens: int


def tool_fragments(tool: Tool) -> Iterator[ToolFragment]:
    """The fragments of one function tool; nothing for other kinds, which only their provider can render."""
    function = tool.function
    if function is None:
        return
    yield ToolFragment(function.name, 0)
    if function.description:
        yield ToolFragment(function.description, DESCRIPTION_TOKENS)
    if isinstance(function.parameters, msgspec.Raw):
        yield from _schema_fragments(function.parameters)


def _schema_fragments(parameters: msgspec.Raw) -> Iterator[ToolFragment]:
    """Fragments of a JSON schema. Walks with a list of its own, not by recursion: a client chooses the depth."""
    try:
        if len(bytes(parameters)) > _MOST_SCHEMA_BYTES:
            raise RecursionError  # decoding holds the interpreter lock
        root = msgspec.json.decode(parameters)
    except (msgspec.DecodeError, RecursionError):  # 1e400, 5,000 digits, nested too deep: its text stands for it
        yield ToolFragment(bytes(parameters).decode(errors="replace"), 0)
        return
    to_visit = [root]
    while to_visit:
        schema = to_visit.pop()
        for index, (name, child) in enumerate(_members(schema, "properties")):
            yield ToolFragment(name, FURTHER_PROPERTY_TOKENS if index else FIRST_PROPERTY_TOKENS)
            if isinstance(child, dict):
                yield from _own_fragments(child)
                to_visit.append(child)
        to_visit.extend(_subschemas(schema))


def _own_fragments(schema: Mapping[str, Any]) -> Iterator[ToolFragment]:
    """What a property adds beside its name and its own properties."""
    description = schema.get("description")
    if isinstance(description, str) and description:
        yield ToolFragment(description, DESCRIPTION_TOKENS)
    allowed = schema.get("enum")
    if isinstance(allowed, list):
        yield ToolFragment(" ".join(str(value) for value in allowed), ENUM_TOKENS)
    if "properties" in schema:
        yield ToolFragment("", NESTED_OBJECT_TOKENS)
    items = schema.get("items")
    if isinstance(items, dict) and "properties" in items:
        yield ToolFragment("", ARRAY_OF_OBJECTS_TOKENS)


def _members(schema: object, name: str) -> list[tuple[str, Any]]:
    members = schema.get(name) if isinstance(schema, dict) else None
    return list(members.items()) if isinstance(members, dict) else []


def _subschemas(schema: object) -> list[Any]:
    """Schemas inside `schema` that are no properties: list items, alternatives, definitions."""
    if not isinstance(schema, dict):
        return []
    inside = [schema["items"]] if isinstance(schema.get("items"), dict) else []
    for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
        alternatives = schema.get(keyword)
        if isinstance(alternatives, list):
            inside.extend(alternatives)
    inside.extend(child for _, child in _members(schema, "$defs"))
    return inside
