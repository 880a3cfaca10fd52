"""Who is compared, each behind the seam of `router/upstream/client.py`, and where its factory is.

A factory is named and not imported, for its package may not be there: `asker.py`, in a process of its own, imports it.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import httpx2

from router.upstream.client import Transport
from router.upstream.transport import UpstreamTransport
from tests.upstream.through_httpx2 import ThroughHttpx2

_LIMITS = httpx2.Limits(max_connections=1000, max_keepalive_connections=1000)  # its own would drop connections


@dataclass(frozen=True, slots=True)
class Contender:
    """One transport."""

    name: str
    factory: str  # MODULE:FUNCTION of this package; the function takes whom to trust
    is_http2: bool = False  # what it speaks where the server lets it; only over TLS


CONTENDERS = (
    Contender("own", "contenders:own"),
    Contender("httpx2", "contenders:httpx2_http1"),
    Contender("httpx-aiohttp", "with_aiohttp:aiohttp_transport"),
    Contender("pyreqwest, through httpx2", "with_pyreqwest:through_httpx2"),
    Contender("pyreqwest", "with_pyreqwest:http1"),
    Contender("httpx2 h2", "contenders:httpx2_http2", is_http2=True),
    Contender("pyreqwest h2", "with_pyreqwest:http2", is_http2=True),
)
OWN = CONTENDERS[0].name  # what the others' ratios are to


def own(trusted: Path | None) -> Transport:
    return UpstreamTransport(ssl_context=_context(trusted))


def httpx2_http1(trusted: Path | None) -> Transport:
    return ThroughHttpx2(httpx2.AsyncHTTPTransport(verify=_context(trusted), limits=_LIMITS, trust_env=False))


def httpx2_http2(trusted: Path | None) -> Transport:
    return ThroughHttpx2(
        httpx2.AsyncHTTPTransport(verify=_context(trusted), http2=True, limits=_LIMITS, trust_env=False)
    )


def _context(trusted: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=trusted)
