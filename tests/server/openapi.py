"""docs/reference/openapi.yaml as tests read it: what is served, requests that it shows, what an answer must be."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

import jsonschema_rs
from ruamel.yaml import YAML

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "openapi.yaml"

Port = Literal["data", "admin"]
METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
# Written by the server for every answer: how it is framed, and when.
_FRAMING = frozenset({"content-type", "content-length", "transfer-encoding", "connection", "date", "allow"})


@dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    place: Literal["path", "query", "header"]
    is_required: bool
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said."""

    status: int
    headers: Sequence[tuple[str, str]]  # names in lower case
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for each, value in self.headers if each == name), None)


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path."""

    ports: tuple[Port, ...]
    path: str  # as the page has it, {parameters} included
    method: str  # in capitals
    parameters: tuple[Parameter, ...]
    is_public: bool
    body_kind: str | None  # media type of a body; None: it takes none
    bodies: Mapping[str, Any]  # by name, the page's examples
    responses: Mapping[str, Mapping[str, Any]]  # by status, with nothing left to be looked up

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def of(self, place: str) -> list[Parameter]:
        return [each for each in self.parameters if each.place == place]

    def target(self, values: Mapping[str, str], query: Sequence[tuple[str, str]] = ()) -> str:
        """The path with these parameters, and a query."""
        path = self.path
        for each in self.of("path"):
            path = path.replace(f"{{{each.name}}}", quote(values.get(each.name, each.examples[0])))
        return f"{path}?{urlencode(query)}" if query else path

    def encoded(self, body: Any) -> bytes:  # noqa: ANN401 - whatever the page shows
        return urlencode(body).encode() if self.body_kind == FORM else json.dumps(body).encode()

    def faults(self, answer: Answer) -> list[str]:
        """What of an answer the page does not say; nothing if it is as the page has it."""
        told = self.responses.get(str(answer.status))
        if told is None:
            return [f"{self.name}: {answer.status} is not on the page: {answer.body[:300]!r}"]
        return [f"{self.name}: {answer.status}: {fault}" for fault in _faults(told, answer)]


def _faults(told: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    headers: Mapping[str, Any] = told.get("headers", {})
    for name, value in answer.headers:
        if name in headers:
            schema = headers[name].get("schema", {})
            yield from (f"{name}: {each}" for each in _errors(json.dumps(schema), value))
        elif name not in _FRAMING:
            yield f"the header {name} is not on the page"
    for name, header in headers.items():
        if header.get("required") and answer.header(name) is None:
            yield f"there is no header {name}"
    content: Mapping[str, Any] = told.get("content", {})
    if content:
        yield from _faults_of_body(content, answer)
    elif answer.body:
        yield f"it has a body: {answer.body[:100]!r}"


def _faults_of_body(content: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    kind = (answer.header("content-type") or "").partition(";")[0]
    media = content.get(kind, content.get("*/*"))
    if media is None:
        yield f"{kind} is not on the page"
    elif kind == JSON:
        try:
            said = json.loads(answer.body)
        except ValueError as error:
            yield f"its body is no JSON: {error}"
            return
        yield from _errors(json.dumps(media.get("schema", {})), said)


def _errors(schema: str, value: object) -> list[str]:
    try:
        return [f"{each.instance_path}: {each.message[:200]}" for each in _validator(schema).iter_errors(value)]
    except ValueError:  # a text with half a character
        return []


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    page = _page()
    return jsonschema_rs.Draft202012Validator({"allOf": [json.loads(schema)], "components": page["components"]})


@cache
def _page() -> Mapping[str, Any]:
    page: Mapping[str, Any] = YAML(typ="safe", pure=True).load(PAGE)
    return page


def schema(name: str) -> Mapping[str, Any]:
    """A schema of the page's components."""
    found: Mapping[str, Any] = _page()["components"]["schemas"][name]
    return found


def schemas() -> Mapping[str, Any]:
    found: Mapping[str, Any] = _page()["components"]["schemas"]
    return found


@cache
def operations() -> tuple[Operation, ...]:
    """Everything on the page, in its order."""
    page = _page()
    return tuple(
        _operation(path, method, item[method], item)
        for path, item in page["paths"].items()
        for method in METHODS
        if method in item
    )


def _operation(path: str, method: str, told: Mapping[str, Any], item: Mapping[str, Any]) -> Operation:
    content: Mapping[str, Any] = told.get("requestBody", {}).get("content", {})
    kind = next(iter(content), None)
    examples = {} if kind is None else content[kind].get("examples", {})
    return Operation(
        ports=("data", "admin") if "health" in told["tags"] else ("admin",) if "servers" in item else ("data",),
        path=path,
        method=method.upper(),
        parameters=tuple(map(_parameter, told.get("parameters", ()))),
        is_public=told.get("security") == [],
        body_kind=kind,
        bodies={name: example["value"] for name, example in examples.items()},
        responses={status: _response(each) for status, each in told["responses"].items()},
    )


def _parameter(told: Mapping[str, Any]) -> Parameter:
    found = _found(told)
    examples = tuple(str(each["value"]) for each in found.get("examples", {}).values())
    return Parameter(found["name"], found["in"], bool(found.get("required")), examples)


def _response(told: Mapping[str, Any]) -> Mapping[str, Any]:
    found = _found(told)
    return {**found, "headers": {name: _found(each) for name, each in found.get("headers", {}).items()}}


def _found(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference leads to."""
    found: Any = told
    while "$ref" in found:
        name = found["$ref"]
        found = _page()
        for part in name.removeprefix("#/").split("/"):
            found = found[part]
    result: Mapping[str, Any] = found
    return result
