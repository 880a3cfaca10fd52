"""aiohttp, by way of httpx-aiohttp's transport for httpx2."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
from httpx_aiohttp.httpx2 import AiohttpTransport

from router.upstream.client import Transport
from tests.upstream.through_httpx2 import ThroughHttpx2


def aiohttp_transport(trusted: Path | None) -> Transport:
    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=1000, keepalive_expiry=30.0)
    context = ssl.create_default_context(cafile=trusted)
    return ThroughHttpx2(AiohttpTransport(verify=context, limits=limits, trust_env=False))
