"""Audit: what was done on the admin plane, by whom."""

from router.console.asking import Answer, Asked
from router.console.off_loop import OffLoop
from router.console.sources import Sources
from router.errors import InvalidRequest

_ROWS = 100
_BEYOND = 2**62  # any number of a row

# What of it is no everyday matter.
_KINDS = {
    "sign_in_failed": "bad",
    "reload_refused": "bad",
    "key_created": "warn",
    "key_rotated": "warn",
    "key_revoked": "warn",
    "prompt_shown": "warn",
    "prompts_deleted": "warn",
}


class Audit:
    """`GET /audit`, `GET /audit?before=NUMBER`."""

    def __init__(self, sources: Sources, off_loop: OffLoop) -> None:
        self._sources = sources
        self._off_loop = off_loop

    async def page(self, asked: Asked) -> Answer:
        text = asked.query.get("before", "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 19):
            raise InvalidRequest("`before` is the number of a row.", param="before")
        before = int(text) if text else _BEYOND
        store = self._sources.store
        found = await self._off_loop(lambda: store.audit_before(before, since="", limit=_ROWS + 1))
        head, is_intact = self._sources.audited()
        return Answer(
            "audit.html",
            {
                "path": "/audit",
                "rows": found[:_ROWS],
                "kinds": _KINDS,
                "is_first": not text,
                "following": f"/audit?before={found[_ROWS - 1].number}" if len(found) > _ROWS else None,
                "head": head,
                "is_intact": is_intact,
            },
        )
