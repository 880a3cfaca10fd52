"""The control plane: `/sandbox/...`, for whoever tests against the sandbox. It needs no key.

| path | what |
|---|---|
| GET, DELETE /sandbox/bill | every generation with its nano-dollars; DELETE begins a new bill |
| GET, DELETE /sandbox/requests | the last requests as received, without secrets |
| GET /sandbox/faults | the faults there are |
| GET, PATCH, DELETE /sandbox/market | prices and names that change while requests go on: see `market` |
| GET, PATCH, DELETE /sandbox/providers | outages, speeds, cancel rules: see `conduct` |
| GET, PATCH, DELETE /sandbox/account | credits, late records: see `accounts` |
| GET, PUT, DELETE /sandbox/scenario | a plan of all that: see `scenario` |
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.sandbox.desk import Desk
from router.sandbox.faults import FAULTS
from router.sandbox.json_text import JsonObject, decode, encode
from router.sandbox.refusals import Refusal, invalid
from router.sandbox.scenario import read_lot


class _Adjustable(Protocol):
    def change(self, body: bytes) -> None: ...
    def reset(self) -> None: ...
    def as_json(self) -> JsonObject: ...


class Control:
    """The endpoints that look at the sandbox from behind."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """All of them."""
        desk, changing = self._desk, ["GET", "PATCH", "DELETE"]
        return [
            Route("/sandbox/bill", _shown(desk.bill.as_json, desk.bill.reset), methods=["GET", "DELETE"]),
            Route("/sandbox/requests", _shown(desk.log.as_json, desk.log.reset), methods=["GET", "DELETE"]),
            Route("/sandbox/faults", _shown(_faults, None), methods=["GET"]),
            Route("/sandbox/market", _adjusted(desk.market), methods=changing),
            Route("/sandbox/providers", _adjusted(desk.conduct), methods=changing),
            Route("/sandbox/account", _adjusted(desk.account), methods=changing),
            Route("/sandbox/scenario", self._scenario, methods=["GET", "PUT", "DELETE"]),
        ]

    def play(self, body: bytes) -> None:
        """Plays a scenario. Raises Refusal (400) if it cannot be read; what came before the mistake is set then."""
        desk = self._desk
        try:
            plan = decode(body)
        except ValueError:
            raise invalid("the scenario is not JSON") from None
        if not isinstance(plan, dict):
            raise invalid("the scenario should be an object")
        for key, value in plan.items():
            match key:
                case "steps":
                    desk.scenario.play(value)
                case "random":
                    lot = read_lot(value)
                    desk.faults.draw_from(lot.weights, rate=lot.rate)
                case "market":
                    desk.market.change(encode(value))
                case "providers":
                    desk.conduct.change(encode(value))
                case "account":
                    desk.account.change(encode(value))
                case _:
                    raise invalid(f"a scenario has no {key!r}; it has steps, random, market, providers, account")

    async def _scenario(self, request: Request) -> Response:
        try:
            match request.method:
                case "PUT":
                    self.play(await request.body())
                case "DELETE":
                    self._desk.scenario.play([])
                    self._desk.faults.draw_from(None, rate=0.0)
        except Refusal as refusal:
            return refused(refusal)
        return json_response(self._desk.scenario.as_json() | {"random": self._desk.faults.as_json()})


def json_response(body: object) -> Response:
    """200 with this body."""
    return Response(encode(body), media_type="application/json")


def refused(refusal: Refusal) -> Response:
    """An error in OpenRouter's words."""
    return Response(
        encode(refusal.body()), status_code=refusal.status, media_type="application/json", headers=refusal.headers
    )


_Endpoint = Callable[[Request], Awaitable[Response]]


def _shown(show: Callable[[], JsonObject], reset: Callable[[], None] | None) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "DELETE" and reset is not None:
            reset()
        return json_response(show())

    return endpoint


def _adjusted(adjustable: _Adjustable) -> _Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "DELETE":
            adjustable.reset()
        elif request.method == "PATCH":
            try:
                adjustable.change(await request.body())
            except Refusal as refusal:
                return refused(refusal)
        return json_response(adjustable.as_json())

    return endpoint


def _faults() -> JsonObject:
    return {
        "faults": [
            {
                "name": fault.name,
                "bills_streamed": fault.bills_streamed,
                "bills_whole": fault.bills_whole,
                "takes": fault.takes or None,
                "argument": fault.argument or None,
                "comes_at_random": fault.comes_at_random,
            }
            for fault in FAULTS.values()
        ]
    }
