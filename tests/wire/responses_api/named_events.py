"""A stream of the Responses API as its clients read it."""

import json
from typing import Any


def events_in(stream: bytes) -> list[dict[str, Any]]:
    """The data of each event; each must have a name that is its type."""
    found = []
    for each in filter(None, stream.split(b"\n\n")):
        if not each.startswith(b":"):
            name, data = each.split(b"\n")
            found.append(json.loads(data.removeprefix(b"data: ")))
            assert name.decode() == f"event: {found[-1]['type']}"
    return found
