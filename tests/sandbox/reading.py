"""Reading the sandbox's answers: server-sent events into chunks, money without floats."""

import json
from decimal import Decimal
from typing import Any

import httpx2


def exact_json(response: httpx2.Response) -> dict[str, Any]:
    """The body, its numbers as exact decimals."""
    body: dict[str, Any] = json.loads(response.text, parse_float=Decimal)
    return body


def chunks(response: httpx2.Response) -> list[dict[str, Any]]:
    """The chunks of a stream that has been read, without comments and [DONE]."""
    lines = (line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: "))
    return [json.loads(line, parse_float=Decimal) for line in lines if line != "[DONE]"]


def ends_with_done(response: httpx2.Response) -> bool:
    """Whether the stream was properly ended."""
    return response.text.endswith("data: [DONE]\n\n")


def text(response: httpx2.Response) -> str:
    """The content of all deltas of choice 0."""
    choices = (choice for chunk in chunks(response) for choice in chunk["choices"] if choice["index"] == 0)
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def usage(response: httpx2.Response) -> dict[str, Any]:
    """The usage, from a stream or a whole body."""
    if response.headers["content-type"] == "text/event-stream":
        found = [chunk["usage"] for chunk in chunks(response) if "usage" in chunk]
        assert len(found) == 1, f"expected one usage in the stream, found {len(found)}"
        return dict(found[0])
    return dict(exact_json(response)["usage"])


def nano_usd(cost: Decimal | int) -> int:
    """Billionths of a dollar, half to even."""
    return round(Decimal(cost) * 10**9)
