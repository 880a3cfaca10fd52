"""Errors in Anthropic's shape, written for clients and read from providers."""

import msgspec
from msgspec import Raw

from router.errors import PenstockError

# The type that goes with each status (platform.claude.com/docs/en/api/errors, 2026-08; OpenRouter's OpenAPI file of
# 2026-08-22). 402 is a provider's: a budget of ours is 429, as everywhere here.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STATUSES = {**{kind: status for status, kind in _TYPES.items() if status != 503}}


def error_body(error: PenstockError, request_id: str) -> bytes:
    """The error as Anthropic writes it, with the code and further members that its OpenAI shape has here."""
    return msgspec.json.encode(
        {
            "type": "error",
            "error": {
                "type": error_type(error.status),
                "message": error.message,
                "code": error.code,
                **({"param": error.param} if error.param else {}),
                **error.data(),
            },
            "request_id": request_id,
        }
    )


def error_type(status: int) -> str:
    if status in _TYPES:
        return _TYPES[status]
    return "invalid_request_error" if 400 <= status < 500 else "api_error"


def error_event(error: PenstockError, *, request_id: str) -> bytes:
    """The last event of a stream."""
    return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"


def with_status(error: bytes) -> bytes:
    """A provider's error object with the status that its type stands for, if it tells none itself."""
    try:
        members = msgspec.json.decode(error, type=dict[str, Raw])
        kind = msgspec.json.decode(members.get("type", b"null"), type=str | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return error
    if kind not in _STATUSES or "code" in members:
        return error
    return msgspec.json.encode({**members, "code": _STATUSES[kind]})
