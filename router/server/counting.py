"""`POST /v1/messages/count_tokens`: how long a prompt is for the model that would get it. Nothing is held or sent."""

from collections.abc import Callable

from starlette.types import Receive, Scope, Send

from router.apis import Api
from router.errors import PenstockError
from router.gateway.exchange import Exchange
from router.gateway.in_force import InForce
from router.keys import Caller
from router.server.auth import CALLER
from router.server.endpoints import RequestReader, read_request, require_api
from router.server.replies import REQUEST_ID, ClientGone, read_body, refuse, send_json
from router.server.shedding import Room
from router.wire.controls import controls_from


class CountTokens:
    """Plans a request and tells the input tokens that are expected at the model chosen, in its own vocabulary."""

    def __init__(self, in_force: InForce, *, reader: RequestReader, refused: Callable[[str], None], room: Room) -> None:
        self._in_force = in_force
        self._reader = reader
        self._refused = refused
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        team = scope[CALLER].team
        error = self._room.enter(team)
        if error is not None:
            await refuse(scope, send, error)
            return
        try:
            await self._count(scope, receive, send)
        finally:
            self._room.leave(team)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = self._in_force.current
        caller: Caller = scope[CALLER]
        try:
            require_api(caller, Api.MESSAGES)
            controls = controls_from(scope["headers"])
            body = await read_body(scope, receive, limit_bytes=gateway.snapshot.settings.max_body_bytes)
            exchange = Exchange(
                self._in_force.current,
                caller=caller,
                controls=controls,
                request=await read_request(self._reader, body, self._room.readers),
                request_id=scope[REQUEST_ID],
                received_s=gateway.monotonic_s(),
            )
            plan = await exchange.plan_only()
        except PenstockError as error:
            self._refused(error.code)
            await refuse(scope, send, error)
            return
        except ClientGone:
            return
        assert plan.decision.chosen is not None
        await send_json(send, {"input_tokens": plan.decision.chosen.estimate.input_tokens})
