"""The trace that a request belongs to, as W3C Trace Context tells it (recommendation of 23 November 2021).

Whoever cannot read what came begins a trace of his own (§3.2.2.3): a mistake in it is no error of the request. Without
a `traceparent` that can be read, `tracestate` says nothing.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case

# version, trace id, parent id, flags. A later version may have more behind another hyphen; ff is none (§3.2.2).
_TRACEPARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01  # of the flags, the one that this version knows; the others are zero where we write (§3.2.2.5)

# §3.3.1.3: a key of one system, or of a tenant of it; up to 256 printable characters, the last of them no blank.
_KEY = rb"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
_MEMBER = re.compile(rb"(%b)=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])" % _KEY)
_MOST_MEMBERS = 32
_MOST_STATE_BYTES = 512  # what everybody should carry (§3.3.1.5); whole members that do not fit are left out
_LONG_MEMBER_BYTES = 128  # these first


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """Where in which trace a request was made."""

    trace_id: str  # 32 hex digits
    parent_id: str  # of the span that made it, 16 hex digits
    is_sampled: bool  # whoever began the trace may record it
    state: bytes = b""  # what the systems on the way have noted: `tracestate`, as it is passed on


def trace_context(headers: Headers) -> TraceContext | None:
    """What the headers `traceparent` and `tracestate` say; None without a `traceparent` that can be read."""
    found = [value for name, value in headers if name == b"traceparent"]
    if len(found) != 1:
        return None
    read = _TRACEPARENT.fullmatch(found[0].strip(b" \t"))
    if read is None or (read[1] == b"00" and read[5] is not None):
        return None
    state = _state(value for name, value in headers if name == b"tracestate")
    return TraceContext(read[2].decode(), read[3].decode(), bool(int(read[4], 16) & _SAMPLED), state)


def trace_id_of(headers: Headers) -> str | None:
    """The trace id in the header `traceparent`, 32 hex digits; None without one that can be read."""
    context = trace_context(headers)
    return None if context is None else context.trace_id


def trace_headers(trace_id: str, span_id: str, *, is_sampled: bool, state: bytes) -> Headers:
    """The headers of a request that is made within that span."""
    parent = b"00-%b-%b-%02x" % (trace_id.encode("ascii"), span_id.encode("ascii"), _SAMPLED if is_sampled else 0)
    if not state:
        return ((b"traceparent", parent),)
    return ((b"traceparent", parent), (b"tracestate", state))


def _state(values: Iterable[bytes]) -> bytes:
    """The members of a list that may have come in several headers; nothing if any of them is not one (§3.3.1.1)."""
    members = [member for value in values for each in value.split(b",") if (member := each.strip(b" \t"))]
    matches = [_MEMBER.fullmatch(member) for member in members]
    keys = {match[1] for match in matches if match is not None}
    if len(members) > _MOST_MEMBERS or len(keys) != len(members):  # some is no member, or a key came twice
        return b""
    for longest in (_MOST_STATE_BYTES, _LONG_MEMBER_BYTES):
        if len(b",".join(members)) > _MOST_STATE_BYTES:
            members = [member for member in members if len(member) <= longest]
    while len(b",".join(members)) > _MOST_STATE_BYTES:
        members.pop()
    return b",".join(members)
