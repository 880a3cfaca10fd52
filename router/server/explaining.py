"""Decisions as JSON on the admin port: `Explain`. The console's page shows the same (`console/explain.py`)."""

from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from router.console.explaining import Explaining
from router.errors import PenstockError
from router.server.replies import ClientGone, read_body, send_error, send_json
from router.wire.controls import controls_from


class Explain:
    """`POST /admin/explain?team=NAME` with a chat request; `GET /admin/explain?request=ID`."""

    def __init__(self, explaining: Explaining) -> None:
        self._explaining = explaining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode("latin-1"))
        try:
            if scope["method"] == "GET":
                explained = await self._explaining.past(query.get("request", [""])[0])
            else:
                controls = controls_from(scope["headers"])
                body = await read_body(scope, receive, limit_bytes=self._explaining.max_body_bytes)
                explained = await self._explaining.new(query.get("team", [""])[0], body, controls)
        except PenstockError as error:
            await send_error(send, error)
            return
        except ClientGone:
            return
        await send_json(send, explained.data())
