"""What a request must be for us to read it: one meaning, told in few bytes. `Refusal` has every reason to close a
connection without asking the application; `fault_of` looks at a head. No I/O here, and no clock.

llhttp (under httptools 0.9) refuses by itself what is not HTTP: a line that ends without CR, a folded header, a space
before a colon, `Content-Length` beside `Transfer-Encoding` or twice or `+3`, a byte that no header may have. What it
takes and what two programs in a row may read in two ways is refused here.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from router.errors import Inadmissible
from router.server.replies import JSON_TYPE
from router.wire.replies import error_body

MOST_HEAD_BYTES = 32 * 1024  # all of it; nginx takes 33 KiB unless configured otherwise, HAProxy 15
MOST_TARGET_BYTES = 8 * 1024  # RFC 9112, section 3, asks for 8,000 at least; ours are below a hundred
MOST_HEADERS = 100  # OpenAI's SDKs send some twenty; Apache takes as many, HAProxy 101
MOST_AHEAD = 100  # requests that wait on one connection for answers before theirs
# What a chunked body may have beside its data: sizes, extensions, trailers. A chunk of one byte has five.
MOST_FRAMING_BYTES, FRAMING_PER_BYTE = 16 * 1024, 8

# What means one thing when it is there once. A list in one header is refused by whoever reads it.
_ONCE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"idempotency-key",
        b"origin",
        b"transfer-encoding",
        b"x-api-key",
    }
)
_IN_HOSTS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~%!$&'()*+;=:[]"  # RFC 3986, without ","


class Refusal(Enum):
    """A reason, by its name in metrics and errors: the status, and what is told."""

    MALFORMED = "malformed", 400, "This is not HTTP/1.1 as RFC 9112 has it."
    VERSION = "http_version", 400, "Only HTTP/1.1 and HTTP/1.0 are spoken here."
    TARGET = "request_target", 400, "The request's target must be a path that begins with / and has no fragment."
    NO_HOST = "host_missing", 400, "An HTTP/1.1 request must have one Host header."
    HOST = "host_invalid", 400, "The Host header must be one name or address, with a port or without."
    REPEATED = "header_repeated", 400, "A header that may be there once was sent twice."
    ENCODING = "transfer_encoding", 400, "Transfer-Encoding must be 'chunked', in HTTP/1.1, and stand alone."
    EXPECTATION = "expectation", 417, "No expectation but 100-continue can be met."
    # RFC 9110, 15.5.6, wants to be told what may be asked.
    CONNECT = "connect", 405, "CONNECT is not served: nothing is tunnelled.", (b"allow", b"GET, HEAD, POST")
    TARGET_TOO_LONG = "target_too_long", 414, f"The URL must be shorter than {MOST_TARGET_BYTES} bytes."
    HEAD_TOO_LARGE = "head_too_large", 431, f"Request line and headers must fit in {MOST_HEAD_BYTES} bytes."
    TOO_MANY_HEADERS = "too_many_headers", 431, f"There must be at most {MOST_HEADERS} headers."
    FRAMING = "chunk_framing", 400, "The chunked body has far more framing (extensions, trailers) than content."
    AHEAD = "too_many_ahead", 400, f"At most {MOST_AHEAD} requests may wait on one connection for earlier answers."
    SLOW_HEAD = "slow_head", 408, "The request's head did not come in time."
    SLOW_BODY = "slow_body", 408, "The request's body came too slowly, or not to its end in time."
    CROWDED = "crowded", 503, "There are too many connections; come again in a second.", (b"retry-after", b"1")

    def __init__(self, reason: str, status: int, message: str, *headers: tuple[bytes, bytes]) -> None:
        self.reason = reason
        self.status = status
        self.message = message
        self.headers = headers

    def answer(self, headers: Iterable[tuple[bytes, bytes]], detail: str = "") -> bytes:
        """All that is sent before the connection is closed, with these headers besides."""
        error = Inadmissible(f"{self.message}{detail}", status=self.status, code=self.reason)
        body = error_body(error)
        told = [*headers, JSON_TYPE, (b"content-length", b"%d" % len(body)), (b"connection", b"close"), *self.headers]
        lines = b"".join(b"%b: %b\r\n" % header for header in told)
        return b"%b%b\r\n%b" % (STATUS_LINE[self.status], lines, body)


class Refused(Exception):
    """Ends the reading of a connection."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def fault_of(
    version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], fields: Mapping[bytes, bytes]
) -> Refusal | None:
    """Why a request with this head is not read; None if it is. Names are in small letters; `fields` is `dict(headers)`.

    HTTP/1.0 may come without Host: balancers ask so whether somebody is well.
    """
    if len(headers) > MOST_HEADERS:
        return Refusal.TOO_MANY_HEADERS
    if len(fields) != len(headers) and _is_repeated(headers):
        return Refusal.REPEATED
    if version not in ("1.1", "1.0"):
        return Refusal.VERSION
    if not target.startswith(b"/") or b"#" in target:
        return Refusal.TARGET
    if len(target) > MOST_TARGET_BYTES:
        return Refusal.TARGET_TOO_LONG
    host = fields.get(b"host")
    if host is None and version == "1.1":
        return Refusal.NO_HOST
    if host is not None and (not host or host.translate(None, _IN_HOSTS)):
        return Refusal.HOST
    return _unusual(version, fields)


def _unusual(version: str, fields: Mapping[bytes, bytes]) -> Refusal | None:
    """What is wrong with headers that few requests have."""
    encoding = fields.get(b"transfer-encoding")
    if encoding is not None and (encoding.lower() != b"chunked" or version != "1.1"):
        return Refusal.ENCODING
    expected = fields.get(b"expect")
    if expected is not None and expected.lower() != b"100-continue":
        return Refusal.EXPECTATION
    return None


def _is_repeated(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in _ONCE:
            return True
        seen.add(name)
    return False
