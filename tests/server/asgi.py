"""Calls an ASGI application as a server does, with any request, also one that no HTTP library would send."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Scope


@dataclass(slots=True)
class Answer:
    """What the application sent."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        """Names must not repeat: a client would choose one of them."""
        pairs = [(name.decode(), value.decode()) for name, value in self.messages[0]["headers"]]
        assert len(dict(pairs)) == len(pairs), f"a header was sent twice: {pairs}"
        return dict(pairs)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])

    @property
    def json(self) -> dict[str, object]:
        body: dict[str, object] = json.loads(self.body)
        return body

    @property
    def error(self) -> dict[str, object]:
        """The error object; fails unless the answer has OpenAI's shape."""
        assert self.headers["content-type"] == "application/json"
        assert self.json.keys() == {"error"}
        error = self.json["error"]
        assert isinstance(error, dict)
        assert error.keys() >= {"message", "type", "param", "code"}
        return error


def scope_of(
    path: str = "/", *, method: str = "GET", headers: Sequence[tuple[str, str]] = (), query: str = ""
) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "root_path": "",
        "query_string": query.encode("latin-1", "replace"),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }


class Incoming:
    """The messages of a client, one after the other; then it has gone."""

    def __init__(self, *messages: Message) -> None:
        self.left = list(messages)

    async def __call__(self) -> Message:
        return self.left.pop(0) if self.left else {"type": "http.disconnect"}


def body_in_parts(*parts: bytes) -> Incoming:
    """A request body as the server hands it on, all of it."""
    last = len(parts) - 1
    return Incoming(
        *({"type": "http.request", "body": part, "more_body": number < last} for number, part in enumerate(parts))
    )


async def call(app: ASGIApp, scope: Scope, receive: Incoming | None = None) -> Answer:
    answer = Answer()

    async def send(message: Message) -> None:
        answer.messages.append(message)

    await app(scope, receive or body_in_parts(b""), send)
    return answer


async def get(app: ASGIApp, path: str, *, query: str = "", headers: Sequence[tuple[str, str]] = ()) -> Answer:
    return await call(app, scope_of(path, query=query, headers=headers))
