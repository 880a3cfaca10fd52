"""Single events of a Responses stream, as OpenAI writes them: named, with the name in the data too.

OpenRouter's have no name (recordings of 2026-08); clients that go by it get it added. There is no `[DONE]` here,
though OpenRouter sends one: OpenAI sends none, so that no client needs it, and one that reads every event as JSON
would fail on it. openai-python and openai-node stop at it, Codex CLI skips it, and all of them do without.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from router.errors import PenstockError
from router.wire.events import on_one_line

_NAME = re.compile(r"[a-z0-9_.]{1,100}", re.ASCII)


def event(kind: str, sequence_number: int, **members: Any) -> bytes:  # noqa: ANN401 - what JSON takes
    """An event of ours."""
    data = msgspec.json.encode({"type": kind, "sequence_number": sequence_number, **members})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), on_one_line(data))


def named(kind: str | None, data_lines: bytes) -> bytes:
    """A provider's event, without its blank line, under its name; as it came if that is no name."""
    if kind is None or not _NAME.fullmatch(kind):
        return data_lines + b"\n\n"
    return b"event: %b\n%b\n\n" % (kind.encode(), data_lines)


# A response of which nothing is known but that it failed: what openai-python's type requires (3.54).
_UNKNOWN: Mapping[str, Any] = {
    "object": "response",
    "created_at": 0,
    "model": "",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}


def error_events(
    error: PenstockError, *, request_id: str, sequence_number: int, response: Mapping[str, Any] | None = None
) -> bytes:
    """The end of a stream that has failed: an `error`, and the response as one that failed, as OpenAI sends them.

    The error has the members of OpenAI's event, and `error` beside them: openai-python and openai-node raise only if
    that is there, and hand on an error event without it like any other (3.54 and 6.49). Codex CLI skips it, and shows
    what the failed response says (0.169). `response`: what is known of it, if it has begun.
    """
    told = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    failed = {
        **(response or {"id": request_id, **_UNKNOWN}),
        "status": "failed",
        "error": {"code": error.code, "message": error.message},
    }
    first = event(
        "error",
        sequence_number,
        code=error.code,
        message=error.message,
        param=error.param,
        error={**told, **error.data(), "request_id": request_id},
    )
    return first + event("response.failed", sequence_number + 1, response=failed)
