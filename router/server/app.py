"""The two ASGI applications: `data_app` (what applications call) and `admin_app` (what operators look at).

Nothing administrative is on the data port. Every route of the data port but `PUBLIC` needs a key.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.apis import Api
from router.errors import PenstockError, Unavailable, UnknownRoute, WrongMethod
from router.server.replies import AS_OPENAI, REQUEST_ID, WORDING, Wording, refuse, send_error, send_json
from router.telemetry.logs import REQUEST_ID as LOGGED_REQUEST_ID
from router.telemetry.logs import place_of

log = logging.getLogger("penstock.server")

_CLOSE = (b"connection", b"close")

PUBLIC = frozenset({"/livez", "/readyz", "/healthz"})

Lifespan = Callable[[object], AbstractAsyncContextManager[None]]


class Live:
    """`GET /healthz`, `GET /livez`: the process lives. No outage elsewhere is a reason to restart it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"status": "ok"})


class Ready:
    """`GET /readyz`: requests are welcome; 503 with the reason while they are not."""

    def __init__(self, not_ready: Callable[[], str | None], *, about: Callable[[], Mapping[str, object]]) -> None:
        """`about` is what is told besides."""
        self._not_ready = not_ready
        self._about = about

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reason = self._not_ready()
        if reason is None:
            await send_json(send, {"status": "ok", **self._about()})
        else:
            await send_error(send, Unavailable(f"{reason} Ask another instance, or later."))


class OuterEdge(AbstractContextManager[None, bool]):
    """What is done within it goes no further, whatever goes wrong: one of the two places that catch every error.

    An error that nobody caught is logged by type and place only: its text may quote a request.
    """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:  # a task group's, around one error
            error = error.exceptions[0]
        log.error("unhandled %s in %s", type(error).__name__, place_of(error))
        return True


class InternalError(PenstockError):
    """What a client is told of an error that is our own mistake: nothing of its inside."""


class LastResort:
    """Plain ASGI middleware, the outer edge of the server: names every request, and answers for what nobody caught.

    The name is in `x-request-id` of every answer, and in the scope for those who book by it. An error that nobody
    caught is logged, and answered with 500. Where `keeps_no_connection`, none is kept for another request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        new_request_id: Callable[[], str],
        keeps_no_connection: Callable[[], bool] = lambda: False,
        wordings: Sequence[tuple[str, Wording]] = (),
        routes: Sequence[tuple[str, str]] = (),
    ) -> None:
        """`wordings`, by the beginning of a path, are of other APIs than OpenAI's. `routes` are what it leads to."""
        self.routes = routes
        self._app = app
        self._wordings = wordings
        self._new_request_id = new_request_id
        self._keeps_no_connection = keeps_no_connection
        self._edge = OuterEdge()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False
        request_id = scope[REQUEST_ID] = self._new_request_id()
        LOGGED_REQUEST_ID.set(request_id)
        wording = scope[WORDING] = self._wording_of(scope["path"])

        async def watched_send(message: Message) -> None:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                headers = list(message.get("headers", ()))
                headers += [(name, request_id.encode()) for name in wording.request_id_headers]
                if self._keeps_no_connection() and _CLOSE not in headers:
                    headers.append(_CLOSE)
                message["headers"] = headers
            await send(message)

        with self._edge:
            await self._app(scope, receive, watched_send)
            return
        if has_begun:
            raise ConnectionAbortedError  # the server closes the connection; there is no status left
        await refuse(scope, watched_send, InternalError("The gateway made a mistake; it has been logged."))

    def _wording_of(self, path: str) -> Wording:
        for start, wording in self._wordings:
            if path.startswith(start):
                return wording
        return AS_OPENAI


class MadeAnew:
    """Plain ASGI: an application made for each request, of what is in force when it comes."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._make()(scope, receive, send)


class Methods:
    """An endpoint per method; any other is answered with 405."""

    def __init__(self, **endpoints: ASGIApp) -> None:
        self._endpoints = endpoints

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._endpoints)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """What is to be awaited: a frame less in the chain that every wake-up of the request goes through."""
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is not None:
            return endpoint(scope, receive, send)
        allowed = ", ".join(self._endpoints)
        error = WrongMethod(f"{scope['path'][:100]} takes {allowed}, not {scope['method'][:20]}.")
        return refuse(scope, send, error, headers=[(b"allow", allowed.encode())])


class ByPath:
    """Plain ASGI: endpoints by their exact path, and whatever has another one to `otherwise`.

    Starlette's router tries one pattern after the other: 12 us of CPU, and 0.2 us here.
    """

    def __init__(self, endpoints: Mapping[str, ASGIApp], otherwise: ASGIApp) -> None:
        self._endpoints = endpoints
        self._otherwise = otherwise

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        app = self._otherwise if scope["type"] != "http" else self._endpoints.get(scope["path"], self._otherwise)
        return app(scope, receive, send)


class NoRoute:
    """The answer to every path that is not a route."""

    def __init__(self, told_in: str) -> None:
        """`told_in` is the page of the documentation that lists the routes."""
        self._told_in = told_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"There is nothing at {scope['path'][:100]!r}. See {self._told_in} for what there is."
        await refuse(scope, send, UnknownRoute(message))


def data_app(
    *,
    endpoints: Mapping[Api, ASGIApp],
    count_tokens: ASGIApp,
    feedback: ASGIApp,
    models: ASGIApp,
    not_ready: Callable[[], str | None],
    guard: Callable[[ASGIApp], ASGIApp],
    new_request_id: Callable[[], str],
    lifespan: Lifespan,
    keeps_no_connection: Callable[[], bool] = lambda: False,
    wordings: Sequence[tuple[str, Wording]] = (),
    about: Callable[[], Mapping[str, object]] = dict,
) -> LastResort:
    """The data port: `endpoints` by the API that clients speak there. `about` is what `/readyz` tells besides.

    `wordings`, by the beginning of a path, are of other APIs than OpenAI's.
    `guard` is the middleware that asks for a key; `not_ready` says why no request is welcome now.
    """
    at_once = {
        **{f"/v1/{api.value}": Methods(POST=endpoint) for api, endpoint in endpoints.items()},
        **_health(not_ready, about),
    }
    others = {
        "/v1/messages/count_tokens": Methods(POST=count_tokens),
        "/v1/feedback": Methods(POST=feedback),
        "/v1/models": Methods(GET=models),
        "/v1/models/{model_id:path}": Methods(GET=models),
    }
    return LastResort(
        guard(
            ByPath(
                at_once,
                otherwise=Router(
                    [Route(path, methods) for path, methods in others.items()],
                    redirect_slashes=False,
                    default=NoRoute("docs/clients.md"),
                    lifespan=lifespan,
                ),
            )
        ),
        new_request_id=new_request_id,
        keeps_no_connection=keeps_no_connection,
        wordings=wordings,
        routes=[(method, path) for path, its in (at_once | others).items() for method in its.names],
    )


def admin_app(port: ASGIApp, *, new_request_id: Callable[[], str]) -> ASGIApp:
    """The admin port: `port` is the door with its routes (`server/admin_port.py`)."""
    return LastResort(port, new_request_id=new_request_id)


def _health(not_ready: Callable[[], str | None], about: Callable[[], Mapping[str, object]]) -> dict[str, Methods]:
    live, ready = Live(), Ready(not_ready, about=about)
    alive = Methods(GET=live, HEAD=live)
    return {"/livez": alive, "/healthz": alive, "/readyz": Methods(GET=ready, HEAD=ready)}
