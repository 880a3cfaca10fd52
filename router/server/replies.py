"""How bodies come in and answers go out: sizes, JSON, errors in OpenAI's shape with the headers its SDKs read."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from starlette.types import Receive, Scope, Send

from router.errors import BodyTooLarge, InvalidRequest, PenstockError, UnsupportedEncoding
from router.wire.replies import error_body

Headers = Sequence[tuple[bytes, bytes]]

REQUEST_ID = "penstock.request_id"  # where the name of a request stands in its ASGI scope

WORDING = "penstock.wording"  # where it stands how answers below the path of a request are worded


@dataclass(frozen=True, slots=True)
class Wording:
    """What all answers below a path have in common, whichever part of the server gives them."""

    error_body: Callable[[PenstockError, str], bytes]  # of an error to a request of this name
    request_id_headers: Sequence[bytes] = (b"x-request-id",)


def _as_openai(error: PenstockError, _: str) -> bytes:
    return error_body(error)


AS_OPENAI = Wording(_as_openai)

JSON_TYPE = (b"content-type", b"application/json")

# openai-python refuses to retry at all when told to wait longer (2.54 and 3.54, openrouter.md §7).
_LONGEST_RETRY_AFTER_S = 120


class ClientGone(Exception):
    """The client hung up before its request was complete; there is nobody to answer."""


async def read_body(scope: Scope, receive: Receive, *, limit_bytes: int) -> bytes:
    """The whole request body. Raises BodyTooLarge as soon as that is certain, UnsupportedEncoding, ClientGone."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit_bytes:
            raise _too_large(limit_bytes)
        if name == b"content-encoding" and value.lower() != b"identity":
            raise UnsupportedEncoding("Compressed request bodies are not accepted; send the JSON as it is.")
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def one_header(scope: Scope, name: bytes) -> str | None:
    """The header's value, or None. Raises InvalidRequest if it was sent twice: two readings of one request differ."""
    found: bytes | None = None
    for each, value in scope["headers"]:
        if each == name:
            if found is not None:
                raise InvalidRequest(f"Header {name.decode()} was sent twice; send it once.", code="invalid_header")
            found = value
    return None if found is None else found.decode("latin-1")


async def send_body(send: Send, body: bytes, *, status: int = 200, headers: Headers = (JSON_TYPE,)) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, data: object, *, status: int = 200, headers: Headers = ()) -> None:
    await send_body(send, msgspec.json.encode(data), status=status, headers=[JSON_TYPE, *headers])


async def refuse(scope: Scope, send: Send, error: PenstockError, *, headers: Headers = ()) -> None:
    """The error in the words of the API that the path of the request belongs to."""
    wording: Wording = scope.get(WORDING, AS_OPENAI)
    await send_error(send, error, body=wording.error_body(error, scope.get(REQUEST_ID, "")), headers=headers)


async def send_error(
    send: Send,
    error: PenstockError,
    *,
    request_id: str | None = None,
    body: bytes | None = None,
    headers: Headers = (),
) -> None:
    """The error as OpenAI sends it, so that its SDKs raise the right class and retry when, and only when, it helps.

    `body`: in the words of another API, with the same status and headers.
    """
    out = [JSON_TYPE, *headers]
    if error.should_retry is not None:
        out.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.retry_after_s is not None:
        wait_s = min(error.retry_after_s, _LONGEST_RETRY_AFTER_S)
        out.append((b"retry-after", str(math.ceil(wait_s)).encode()))
        out.append((b"retry-after-ms", str(math.ceil(wait_s * 1000)).encode()))
    if error.status == 401 and not any(name == b"www-authenticate" for name, _ in headers):
        out.append((b"www-authenticate", b"Bearer"))  # a 401 must name its scheme (RFC 9110, section 11.6.1)
    if error.status in (413, 415):
        out.append((b"connection", b"close"))  # the rest of the body is not read
    body = error_body(error, request_id=request_id) if body is None else body
    await send_body(send, body, status=error.status, headers=out)


def _too_large(limit_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {limit_bytes} bytes, which this gateway accepts at most.")
