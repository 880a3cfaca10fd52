"""Cuts the schemas the sandbox is held to out of OpenRouter's OpenAPI file.

Run it with the file's path: `python -m tests.sandbox.extract_schemas openapi.yaml`. The file is theirs (MIT licence):
https://github.com/OpenRouterTeam/docs, openapi/openapi.yaml. Only what constrains a value is kept: no descriptions, no
examples, nothing no answer refers to.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TARGET = Path(__file__).parent / "data" / "openrouter_schemas.json"
ORIGIN = "https://github.com/OpenRouterTeam/docs openapi/openapi.yaml, commit c26125a of 2026-08-22, MIT licence"

EVENTS = (
    "error",
    "response.completed",
    "response.content_part.added",
    "response.content_part.done",
    "response.created",
    "response.failed",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.in_progress",
    "response.incomplete",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.reasoning_text.delta",
    "response.reasoning_text.done",
)
_ANSWERS = (
    ("/chat/completions", "post"),
    ("/responses", "post"),
    ("/messages", "post"),
    ("/embeddings", "post"),
    ("/embeddings/models", "get"),
    ("/generation", "get"),
    ("/key", "get"),
    ("/credits", "get"),
    ("/models", "get"),
    ("/models/count", "get"),
    ("/models/{author}/{slug}/endpoints", "get"),
)
_WORDS_ONLY = frozenset({"description", "example", "examples", "title", "deprecated", "discriminator"})
_NAMED = frozenset({"properties", "$defs", "patternProperties"})
"""Keywords below which keys are names, not keywords."""


def main(source: Path) -> None:
    """Writes TARGET."""
    api = YAML(typ="safe", pure=False).load(source)
    schemas = api["components"]["schemas"]
    answers = {f"{method.upper()} {path}": _answers(api["paths"][path][method]) for path, method in _ANSWERS}
    mapping = schemas["StreamEvents"]["discriminator"]["mapping"]
    events = {kind: {"$ref": mapping[kind]} for kind in EVENTS}
    needed: dict[str, object] = {}
    pending = [*_references(answers), *_references(events), "ChatStreamChunk", "MessagesStreamEvents"]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed[name] = _bare(schemas[name])
            pending += _references(needed[name])
    bare = {
        "origin": ORIGIN,
        "answers": answers,
        "events": events,
        "components": {"schemas": dict(sorted(needed.items()))},
    }
    TARGET.write_text(json.dumps(bare, indent=1, sort_keys=True) + "\n")


def _answers(operation: dict[str, Any]) -> dict[str, Any]:
    """The schema of each status that is answered in JSON."""
    found = {
        status: answer.get("content", {}).get("application/json") for status, answer in operation["responses"].items()
    }
    return {status: _bare(content["schema"]) for status, content in found.items() if content is not None}


def _bare(schema: object, *, is_named: bool = False) -> object:
    if isinstance(schema, list):
        return [_bare(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if is_named:
        return {key: _bare(value) for key, value in schema.items()}
    kept = {key: value for key, value in schema.items() if key not in _WORDS_ONLY and not key.startswith("x-")}
    return {key: _bare(value, is_named=key in _NAMED) for key, value in kept.items()}


def _references(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    elif isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference.rsplit("/", 1)[-1]
        for each in value.values():
            yield from _references(each)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
