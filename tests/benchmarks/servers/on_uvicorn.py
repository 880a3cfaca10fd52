"""`penstock` on uvicorn's own connections, without what `router/server/connections.py` does to them."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import router.server.listen
from router.cli.main import main

if __name__ == "__main__":
    router.server.listen.GuardedConnection = HttpToolsProtocol  # type: ignore[attr-defined, assignment]
    main()
