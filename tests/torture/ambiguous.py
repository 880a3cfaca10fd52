"""Requests that two programs in a row may read in two ways: `AMBIGUOUS`, by name, as bytes on the wire.

Where a second request can hide, it asks for `/smuggled`. What is no request at all is not here: nobody reads that.
"""

from collections.abc import Mapping

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
PLAIN = b"POST /asked HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
"""Not one of them: what every server takes."""

_CHUNKS = b"0\r\n\r\n"


def _post(*headers: bytes, body: bytes = b"", host: bytes = b"Host: h", version: bytes = b"1.1") -> bytes:
    lines = b"".join(b"%b\r\n" % header for header in (host, *headers) if header)
    return b"POST /asked HTTP/%b\r\n%b\r\n%b" % (version, lines, body)


def _get(target: bytes = b"/asked", *headers: bytes, host: bytes = b"Host: h", version: bytes = b"HTTP/1.1") -> bytes:
    lines = b"".join(b"%b\r\n" % header for header in (host, *headers) if header)
    return b"GET %b %b\r\n%b\r\n" % (target, version, lines)


_CHUNKED = b"Transfer-Encoding: chunked"
_LENGTH = b"Content-Length: %d" % len(HIDDEN)

AMBIGUOUS: Mapping[str, bytes] = {
    # Where the body ends.
    "length and chunks": _post(_LENGTH, _CHUNKED, body=_CHUNKS + HIDDEN),
    "chunks and length": _post(_CHUNKED, _LENGTH, body=_CHUNKS + HIDDEN),
    "length of nothing and chunks": _post(b"Content-Length: 0", _CHUNKED, body=_CHUNKS + HIDDEN),
    "two lengths": _post(b"Content-Length: 0", _LENGTH, body=HIDDEN),
    "two lengths alike": _post(_LENGTH, _LENGTH, body=HIDDEN),
    "a list of lengths": _post(b"Content-Length: 0, %d" % len(HIDDEN), body=HIDDEN),
    "a list of lengths alike": _post(b"Content-Length: 2, 2", body=b"{}"),
    "a length with a plus": _post(b"Content-Length: +2", body=b"{}" + HIDDEN),
    "a length below zero": _post(b"Content-Length: -1", body=HIDDEN),
    "a length in hexadecimal": _post(b"Content-Length: 0x2", body=b"{}" + HIDDEN),
    "a length with a space within": _post(b"Content-Length: 2 0", body=b"{}" + HIDDEN),
    "a length of nothing at all": _post(b"Content-Length:", body=HIDDEN),
    "a length beyond 64 bits": _post(b"Content-Length: 18446744073709551618", body=b"{}" + HIDDEN),
    "a length with a fraction": _post(b"Content-Length: 2.0", body=b"{}" + HIDDEN),
    "a length after a vertical tab": _post(b"Content-Length: \x0b2", body=b"{}" + HIDDEN),
    "chunks in HTTP/1.0": _post(_CHUNKED, body=_CHUNKS + HIDDEN, version=b"1.0"),
    "chunks twice": _post(_CHUNKED, _CHUNKED, body=_CHUNKS + HIDDEN),
    "chunks, then identity": _post(_CHUNKED, b"Transfer-Encoding: identity", body=_CHUNKS + HIDDEN),
    "chunks of gzip": _post(b"Transfer-Encoding: gzip, chunked", body=_CHUNKS + HIDDEN),
    "chunks, then gzip": _post(b"Transfer-Encoding: chunked, gzip", body=_CHUNKS + HIDDEN),
    "identity": _post(b"Transfer-Encoding: identity", _LENGTH, body=HIDDEN),
    "something like chunked": _post(b"Transfer-Encoding: xchunked", body=_CHUNKS + HIDDEN),
    "chunked in quotes": _post(b'Transfer-Encoding: "chunked"', body=_CHUNKS + HIDDEN),
    "chunked after a vertical tab": _post(b"Transfer-Encoding: \x0bchunked", body=_CHUNKS + HIDDEN),
    "chunked with a parameter": _post(b"Transfer-Encoding: chunked;q=1", body=_CHUNKS + HIDDEN),
    "an encoding of nothing": _post(b"Transfer-Encoding:", body=_CHUNKS + HIDDEN),
    "an encoding with a space before the colon": _post(b"Transfer-Encoding : chunked", _LENGTH, body=_CHUNKS + HIDDEN),
    "a length with a space before the colon": _post(b"Content-Length : 2", body=b"{}" + HIDDEN),
    "an encoding after a folded line": _post(b"X: y\r\n Transfer-Encoding: chunked", _LENGTH, body=_CHUNKS + HIDDEN),
    "an encoding in the line of another": _post(b"X: y\nTransfer-Encoding: chunked", _LENGTH, body=_CHUNKS + HIDDEN),
    "an encoding after a bare CR": _post(b"X: y\rTransfer-Encoding: chunked", _LENGTH, body=_CHUNKS + HIDDEN),
    "an encoding with a NUL": _post(b"Transfer-Encoding: chunked\0", _LENGTH, body=_CHUNKS + HIDDEN),
    "a chunk's size with a prefix": _post(_CHUNKED, body=b"0x2\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    "a chunk's size with a sign": _post(_CHUNKED, body=b"+2\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    "a chunk's size after a space": _post(_CHUNKED, body=b" 2\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    "a chunk's size beyond 64 bits": _post(_CHUNKED, body=b"10000000000000002\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    "a chunk's size that ends without CR": _post(_CHUNKED, body=b"2\n{}\n0\n\n" + HIDDEN),
    "a chunk's extension that ends without CR": _post(_CHUNKED, body=b"2;a\nxx\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    "a chunk that is longer than its size": _post(_CHUNKED, body=b"1\r\n{}\r\n0\r\n\r\n" + HIDDEN),
    "trailers with a length": _post(_CHUNKED, body=b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n" + HIDDEN),
    # Where a header ends, and which of two counts.
    "lines without CR": _get().replace(b"\r\n", b"\n"),
    "a header without CR": b"GET /asked HTTP/1.1\r\nHost: h\nX: y\r\n\r\n",
    "a folded header": _get(b"/asked", b"X: y", b" folded"),
    "a folded Host": _get(host=b"Host: h\r\n .example"),
    "a header before the first": b"GET /asked HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n",
    "a name with a space": _get(b"/asked", b"X y: z"),
    "a name of nothing": _get(b"/asked", b": z"),
    "a line without colon": _get(b"/asked", b"Xyz"),
    "a value with a NUL": _get(b"/asked", b"X: a\0b"),
    "two keys": _get(b"/asked", b"Authorization: Bearer a", b"Authorization: Bearer b"),
    "two types": _post(b"Content-Type: application/json", b"Content-Type: text/plain", _LENGTH, body=HIDDEN),
    # Who is asked for what.
    "no Host": _get(host=b""),
    "two Hosts": _get(b"/asked", b"Host: other"),
    "two Hosts alike": _get(b"/asked", b"Host: h"),
    "a list of Hosts": _get(host=b"Host: h, other"),
    "a Host with a path": _get(host=b"Host: h/asked"),
    "a Host with a user": _get(host=b"Host: user@h"),
    "a whole URL for another host": _get(b"http://other/asked"),
    "a whole URL of another scheme": _get(b"gopher://h/asked"),
    "an authority for a target": _get(b"h:80"),
    "a tunnel": b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n" + HIDDEN,
    "a path with a fragment": _get(b"/asked#part"),
    "a path with a NUL": _get(b"/asked\0"),
    "a path with a space": _get(b"/asked HTTP/1.1 x"),
    "HTTP/0.9": b"GET /asked\r\n\r\n",
    "HTTP/2.0 in one line": _get(version=b"HTTP/2.0"),
    "HTTP/1.2": _get(version=b"HTTP/1.2"),
    "an expectation of something else": _post(b"Expect: 200-ok", b"Content-Length: 2", body=b"{}"),
}
