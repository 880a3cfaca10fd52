"""`GET /admin/config`: which configuration is in force. `POST /admin/reload`: read its files now."""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from router.console.visiting import Visitor, visitor_of
from router.gateway.reload import Reload, Standing
from router.server.replies import send_json


def _nobody(visitor: Visitor, standing: Standing) -> None:
    pass


class Configuration:
    """The configuration of this process; with `reads_anew`, after its files were read."""

    def __init__(
        self, reload: Reload, *, reads_anew: bool, told: Callable[[Visitor, Standing], None] = _nobody
    ) -> None:
        """`told` hears who had the files read, and what came of it."""
        self._reload = reload
        self._reads_anew = reads_anew
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        standing = self._reload.standing
        if self._reads_anew:
            standing = await self._reload.reload()
            self._told(visitor_of(scope), standing)
        is_refused = self._reads_anew and standing.failed_at is not None
        await send_json(send, as_data(standing), status=422 if is_refused else 200)


def in_short(standing: Standing) -> dict[str, object]:
    """What `/readyz` tells of it: nothing of what the files hold, for it asks for no key."""
    return {"config": standing.version, "config_reload": "ok" if standing.failed_at is None else "failed"}


def as_data(standing: Standing) -> dict[str, object]:
    return {
        "version": standing.version,
        "since": standing.since.isoformat(),
        "next_start": list(standing.held_back),
        "failed_at": None if standing.failed_at is None else standing.failed_at.isoformat(),
        "problems": list(standing.problems),
    }
