"""What clients sent lately, so that a test can see what arrived; secrets are not kept."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime

import msgspec

from router.sandbox.json_text import JsonObject, decode

_CAPACITY = 500
_LARGEST_BODY_BYTES = 1_000_000
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})


class RequestLog:
    """The last chat requests in order of arrival, their bodies exactly as sent."""

    def __init__(self) -> None:
        self._requests: deque[JsonObject] = deque(maxlen=_CAPACITY)

    def add(self, *, at: datetime, headers: Mapping[str, str], body: bytes) -> None:
        """Notes a request; a body over a megabyte or that is not JSON is noted by its size alone."""
        self._requests.append(
            {
                "at": at.isoformat(),
                "headers": {name: value for name, value in headers.items() if name not in _SECRET_HEADERS},
                "body_bytes": len(body),
                "body": msgspec.Raw(body) if len(body) <= _LARGEST_BODY_BYTES and _is_json(body) else None,
            }
        )

    def as_json(self) -> JsonObject:
        """All that is kept, oldest first."""
        return {"requests": list(self._requests)}

    def reset(self) -> None:
        """Forgets them."""
        self._requests.clear()


def _is_json(body: bytes) -> bool:
    try:
        decode(body)
    except ValueError:
        return False
    return True
