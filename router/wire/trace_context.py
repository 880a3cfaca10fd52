"""The trace that a request belongs to, as W3C Trace Context tells it (recommendation of 23 November 2021)."""

import re

# version, trace id, parent id, flags. A later version may have more behind another hyphen; ff is none (§3.2.2).
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def trace_id_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The trace id in the header `traceparent` (names in lower case), 32 hex digits.

    None if there is no such header, or not one: whoever cannot read it begins a trace of his own (§3.2.2.3), so that a
    mistake in it is no error of the request.
    """
    found = [value for name, value in headers if name == b"traceparent"]
    if len(found) != 1:
        return None
    read = _TRACEPARENT.fullmatch(found[0].strip())
    if read is None or (read[1] == b"00" and read[3] is not None):
        return None
    return read[2].decode()
