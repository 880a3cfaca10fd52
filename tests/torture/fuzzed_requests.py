"""Requests made of those in docs/reference/openapi.yaml by a few changes: `REQUESTS` are drawn, `every_value` in turn.

What is drawn are only numbers and names, of which a request is made by plain code: Hypothesis then draws a thousand
requests a second, and makes of one that fails the smallest that fails too.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from hypothesis import strategies as st

from tests.server.openapi import FORM, METHODS, Operation, Parameter, Port, operations, schemas
from tests.torture.hostile_values import HEADERS, TARGETS, VALUES, VAST, Twice, places, written

MARK = "MARK"  # in forms of the page, in place of the one that the console gives out

_ODD_METHODS = (*(each.upper() for each in METHODS), "PROPFIND", "CONNECT", "PRI", "get")
# Members that a body may get besides: every one that any of the schemas names, and some that are refused or unknown.
_MEMBERS = tuple(
    dict.fromkeys(
        [
            *(name for schema in schemas().values() for name in schema.get("properties", ())),
            "models", "route", "preset", "plugins", "web_search_options", "fallbacks", "previous_response_id", "prompt",
            "store", "temperature", "stop", "seed", "logprobs", "logit_bias", "session_id", "prompt_cache_key", "user",
            "metadata", "tool_choice", "parallel_tool_calls", "functions", "transforms", "", "__proto__", "\ud800",
        ]
    )
)  # fmt: skip
_OTHER_HEADERS = (
    "authorization", "x-api-key", "content-type", "content-encoding", "accept", "origin", "sec-fetch-site", "host",
    "cookie", "x-penstock-unheard-of", "x-request-id", "x-forwarded-for", "anthropic-version", "hx-request", "range",
    "accept-encoding", "user-agent", "if-none-match", "x-penstock-dry-run", "x-penstock-tags",
)  # fmt: skip
_LARGE_BYTES = 2_000
_ENDS = (
    b"", b"}", b"\0", b"{}", b"\xff", b" " * 1_000, b"\x1f\x8b\x08\x00", b"//", b",",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FuzzedRequest:
    """One request, but for what says who sends it."""

    operation: Operation | None  # None: of no route, or of none that can be told
    port: Port
    method: str
    target: bytes
    headers: tuple[tuple[str, bytes], ...] = ()
    body: bytes | None = None
    is_odd: bool = False  # what is no HTTP may be in it

    def encoded(self, authorization: bytes, mark: bytes) -> bytes:
        """As it goes on the wire. Its own `authorization` or `x-api-key` counts if it has one."""
        names = {name for name, _ in self.headers}
        lines = [b"%b %b HTTP/1.1" % (self.method.encode(), self.target)]
        if "host" not in names:
            lines.append(b"host: 127.0.0.1")
        if names.isdisjoint(("authorization", "x-api-key")):
            lines.append(b"authorization: " + authorization)
        lines += [b"%b: %b" % (name.encode(), value) for name, value in self.headers]
        body = b"" if self.body is None else self.body.replace(MARK.encode(), mark)
        if self.body is not None:
            lines.append(b"content-length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body


@dataclass(frozen=True, slots=True)
class Change:
    """Of one place of a body, by its number among all there are."""

    place: int
    how: str
    value: str  # its name
    member: str = ""


_HOWS = ("replace", "replace", "replace", "delete", "insert", "insert", "twice", "wrap", "repeat", "again")


def changed(body: Any, changes: Sequence[Change]) -> Any:  # noqa: ANN401 - JSON
    for change in changes:
        found = places(body)
        body = _changed(body, found[change.place % len(found)], change)
    return body


def _changed(body: Any, path: tuple[Any, ...], change: Change) -> Any:  # noqa: ANN401 - JSON
    if path:
        name, *rest = path
        if change.how == "delete" and not rest:
            return _without(body, name)
        if change.how == "twice" and not rest and isinstance(body, dict):
            return {**body, name: Twice(body[name], _value(change.value))}
        copied = body.copy()
        copied[name] = _changed(body[name], tuple(rest), change)
        return copied
    match change.how, body:
        case "insert", dict():
            return {**body, change.member: _value(change.value)}
        case "insert", list():
            return [*body, _value(change.value)]
        case "repeat", list() if len(written(body)) < _LARGE_BYTES:
            return body * 40
        case "again", list():
            return [*body, *body[:1]]
        case "wrap", _:
            return [body] if change.place % 2 else {change.member: body}
        case "repeat", str() if len(body) < _LARGE_BYTES:
            return body * 200
        case _:
            return _value(change.value)


def _without(body: Any, name: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(body, dict):
        return {each: member for each, member in body.items() if each != name}
    return [member for number, member in enumerate(body) if number != name]


def _value(name: str) -> object:
    return VALUES[name] if name in VALUES else VAST[name]


def every_value(operation: Operation) -> Iterator[FuzzedRequest]:
    """Each hostile value at each place of each body of the page, one at a time; then each in each header and query."""
    values = [*VALUES, *VAST]
    for body in operation.bodies.values():
        for place in range(len(places(body))):
            for number, value in enumerate(values):
                change = Change(place, "replace", value)
                yield _made(operation, body, [change], is_ascii=bool(number % 2))
    for parameter in operation.parameters:
        for text in HEADERS.values():
            yield _with(operation, parameter, text)


def _with(operation: Operation, parameter: Parameter, value: bytes) -> FuzzedRequest:
    plain = next(iter(operation.bodies.values()), None)
    if parameter.place == "header":
        return _made(operation, plain, [], headers=[(parameter.name, value)])
    if parameter.place == "query":
        return _made(operation, plain, [], query=[(parameter.name, value)])
    return _made(operation, plain, [], segment=value)


def some_values(chance: random.Random, count: int) -> Iterator[FuzzedRequest]:
    """As many of `every_value`, of all operations."""
    with_bodies = [each for each in operations() if each.bodies]
    with_parameters = [each for each in operations() if each.parameters]
    for number in range(count):
        if number % 4:
            operation = chance.choice(with_bodies)
            body = chance.choice(list(operation.bodies.values()))
            change = Change(chance.randrange(len(places(body))), "replace", chance.choice(list(VALUES)))
            yield _made(operation, body, [change], is_ascii=chance.random() < 0.5)
        else:
            operation = chance.choice(with_parameters)
            yield _with(operation, chance.choice(operation.parameters), chance.choice(_HEADER_VALUES))


def of_targets() -> Iterator[FuzzedRequest]:
    """Paths that lead nowhere, or should, on both ports."""
    for target in TARGETS:
        for port in ("data", "admin"):
            for method in ("GET", "POST", "HEAD"):
                yield FuzzedRequest(None, port, method, target, is_odd=True)


def _made(
    operation: Operation,
    body: Any,  # noqa: ANN401 - JSON
    changes: Sequence[Change],
    *,
    is_ascii: bool = True,
    headers: Sequence[tuple[str, bytes]] = (),
    query: Sequence[tuple[str, bytes]] = (),
    segment: bytes | None = None,
    end: bytes = b"",
    keeps: float = 1.0,
    port: Port | None = None,
) -> FuzzedRequest:
    content = None
    if operation.body_kind is not None:
        made = changed(body, changes)
        content = _as_form(made) if operation.body_kind == FORM else written(made, as_ascii=is_ascii)
        content = content[: int(len(content) * keeps)] + end
        headers = [("content-type", operation.body_kind.encode()), *headers]
    values = {}
    if segment is not None:
        values = {each.name: segment.decode("latin-1") for each in operation.of("path")}
    target = operation.target(values).encode()
    if query:
        target += b"?" + b"&".join(b"%b=%b" % (name.encode(), quote_plus(value).encode()) for name, value in query)
    return FuzzedRequest(
        None if segment == b"" else operation,  # `/teams/` is not `/teams/{team}`
        port or operation.ports[0],
        operation.method,
        target,
        tuple(headers),
        content,
        is_odd=len(target) > 8_000,
    )


def _as_form(fields: Any) -> bytes:  # noqa: ANN401 - JSON
    """Whatever it has become, in the way of a form."""
    if not isinstance(fields, dict):
        return written(fields)
    return b"&".join(
        b"%b=%b" % (_quoted(str(name)), _quoted(each))
        for name, value in fields.items()
        for each in ((value.first, value.second) if isinstance(value, Twice) else (value,))
    )


def _quoted(value: object) -> bytes:
    text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else written(value)
    return quote_plus(text).encode()


# A change is drawn as one number, since each further draw takes as long as making the request.
_SMALL = [name for name, value in VALUES.items() if len(written(value)) < _LARGE_BYTES]
_VALUE_NAMES = (*_SMALL * 8, *(name for name in VALUES if name not in _SMALL))
_WAYS = len(_HOWS) * len(_MEMBERS) * len(_VALUE_NAMES)


def _change(place: int, way: int) -> Change:
    way, how = divmod(way, len(_HOWS))
    way, member = divmod(way, len(_MEMBERS))
    return Change(place, _HOWS[how], _VALUE_NAMES[way % len(_VALUE_NAMES)], _MEMBERS[member])


_HEADER_VALUES = tuple(HEADERS.values())
_BODY_ENDS = st.tuples(st.sampled_from(_ENDS), st.floats(0.0, 1.0))
_CHANGES = st.lists(st.tuples(st.integers(0, 200), st.integers(0, _WAYS - 1)), max_size=4)
_HEADER_CHANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3 * len(_HEADER_VALUES) - 1)), max_size=2)
# Weighed: most requests put a question to a model. Feedback does not, and is waited for where there is nothing to be
# rated: three quarters of a second each time, which was five sixths of all the time that drawn requests took.
_OPERATIONS = tuple(
    each
    for each in operations()
    for _ in range(12 if "/v1/" in each.path and each.method == "POST" and each.path != "/v1/feedback" else 1)
)


# Made once: making one takes longer than drawing from it.
_BODY_NAMES = {each.name: st.sampled_from(list(each.bodies)) for each in operations() if each.bodies}
_QUERY_VALUES = {
    (each.name, parameter.name): st.sampled_from([*(value.encode() for value in parameter.examples), *_HEADER_VALUES])
    for each in operations()
    for parameter in each.of("query")
}
_OPERATION, _ODD, _IS_GIVEN = st.sampled_from(_OPERATIONS), st.integers(0, 99), st.booleans()
_SEGMENT, _METHOD, _TARGET = st.sampled_from(_HEADER_VALUES), st.sampled_from(_ODD_METHODS), st.sampled_from(TARGETS)


@st.composite
def _requests(draw: st.DrawFn) -> FuzzedRequest:
    operation, odd = draw(_OPERATION), draw(_ODD)
    body = operation.bodies[draw(_BODY_NAMES[operation.name])] if operation.bodies else None
    changes = [_change(*each) for each in draw(_CHANGES)] if operation.body_kind else []
    end, keeps = draw(_BODY_ENDS) if odd in (1, 2) else (b"", 1.0)
    headers = [_header(operation, *each) for each in draw(_HEADER_CHANGES)]
    query = [
        (each.name, draw(_QUERY_VALUES[operation.name, each.name]))
        for each in operation.of("query")
        if each.is_required or draw(_IS_GIVEN)
    ]
    segment = draw(_SEGMENT) if operation.of("path") and odd > 40 else None
    made = _made(
        operation,
        body,
        changes,
        is_ascii=bool(odd % 2),
        headers=headers,
        query=query,
        segment=segment,
        end=end,
        keeps=keeps,
        port=operation.ports[-1],
    )
    if odd == 3:
        method = draw(_METHOD)
        return FuzzedRequest(None, made.port, method, made.target, made.headers, made.body, is_odd=True)
    if odd == 4:
        target = draw(_TARGET)
        return FuzzedRequest(None, made.port, made.method, target, made.headers, made.body, is_odd=True)
    return made


def _header(operation: Operation, name: int, value: int) -> tuple[str, bytes]:
    """One of the operation's own, mostly; with a value that is right, or one that is hostile."""
    own = operation.of("header")
    if name < 30 and own:
        parameter = own[name % len(own)]
        if value < 2 * len(_HEADER_VALUES) and parameter.examples:
            return parameter.name, parameter.examples[value % len(parameter.examples)].encode()
        return parameter.name, _HEADER_VALUES[value % len(_HEADER_VALUES)]
    return _OTHER_HEADERS[name % len(_OTHER_HEADERS)], _HEADER_VALUES[value % len(_HEADER_VALUES)]


REQUESTS: st.SearchStrategy[FuzzedRequest] = _requests()


def described(request: FuzzedRequest) -> str:
    """So that whoever reads it can send it again."""
    body = "" if request.body is None else f" {request.body[:400]!r}"
    headers: Mapping[str, bytes] = {name: value[:60] for name, value in request.headers}
    return f"{request.port} {request.method} {request.target[:200]!r} {headers}{body}"
