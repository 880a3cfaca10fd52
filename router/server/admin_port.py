"""The admin port's one door: `AdminPort`. Which route is asked for, by whom, whether he may; and it is written down.

The table of routes says of each what role it needs; one that does not cannot be served. The role is checked on the
route that was found by the path that it is then called with, so that no other reading of the path leads around it. What
changes something is in the audit log before it is done, and is not done if it cannot be written there.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import quote, urlsplit

from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from router.audit import Act
from router.config.snapshot import AdminToken
from router.console.asking import is_from_elsewhere
from router.console.visiting import VISITOR, Visitor
from router.errors import CallerError, PenstockError, RateLimited, Unauthenticated, UnknownRoute, WrongMethod
from router.roles import Role
from router.server.admin_tokens import token_sent
from router.server.replies import one_header, send_body, send_error
from router.server.sessions import Sessions
from router.server.throttle import Throttle, network_of
from router.storage.audit_trail import AuditTrail

SIGN_IN = "/sign-in"
BELOW = "/*"  # what a route's path ends in that stands for whatever is below it
SAFE_METHODS = frozenset({"GET", "HEAD"})

_PAGE = (b"content-type", b"text/html; charset=utf-8")


class UnguardedRoute(PenstockError):
    """A route of which the table does not say who may use it, or what is written down of it: nothing starts with it."""

    code = "unguarded_route"


class RoleTooLow(CallerError):
    """The token is good, and what is asked for needs a higher role; the message says which."""

    status = HTTPStatus.FORBIDDEN
    code = "role_too_low"


class ForeignRequest(CallerError):
    """A page of somebody else's had the browser send it."""

    status = HTTPStatus.FORBIDDEN
    code = "foreign_request"


class Misdirected(CallerError):
    """It was meant for another host."""

    status = HTTPStatus.MISDIRECTED_REQUEST
    code = "misdirected_request"


@dataclass(frozen=True, slots=True)
class AdminRoute:
    """A line of the table."""

    method: str
    path: str  # as it is; with `/*` at its end, whatever is below it
    needs: Role
    app: ASGIApp
    act: Act | None = None  # what it is in the audit log, if it changes anything
    changes_nothing: bool = False  # to be said of what is no GET, and not in the audit log
    writes_itself: bool = False  # into the audit log, once it knows who it is that asks
    takes_cookies: bool = True  # False: a form of somebody's page could be sent there; a token must come with it


class WrongPage(Protocol):
    """What shows people what went wrong."""

    async def __call__(self, scope: Scope, send: Send, error: PenstockError, /) -> None: ...


class AdminPort:
    """Plain ASGI: calls the app of the route that a request is for, with a `Visitor` in its scope, or refuses."""

    def __init__(
        self,
        routes: Sequence[AdminRoute],
        *,
        tokens: Callable[[], Sequence[AdminToken]],
        is_open: bool,
        is_local: bool,
        sessions: Sessions,
        throttle: Throttle,
        trail: AuditTrail,
        wrong_page: WrongPage,
    ) -> None:
        """`is_open`: it asks for no token, and whoever gets here may do everything. `is_local`: only who may open the
        socket gets here, whatever name he calls it by. Raises UnguardedRoute."""
        self.routes = tuple(routes)
        self._by_path, self._below = _table(self.routes)
        self._tokens = tokens
        self._is_open = is_open
        self._is_local = is_local
        self._sessions = sessions
        self._throttle = throttle
        self._trail = trail
        self._wrong_page = wrong_page
        self._lifespan = Router()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        methods = self._methods_at(scope["path"])
        route = methods.get(scope["method"])
        try:
            needs = (
                min((each.needs for each in methods.values()), default=Role.VIEWER) if route is None else route.needs
            )
            visitor, cookie = self._visitor(scope, needs)
            scope[VISITOR] = visitor
            if route is None:
                raise _nothing(scope, methods)
            self._check(scope, route, visitor)
            if route.act is not None and not route.writes_itself:
                subject = scope["path"].rpartition("/")[2] if route.path.endswith(BELOW) else ""
                await self._trail.record(
                    self._trail.entry(visitor.name, route.act, subject=subject, origin=visitor.origin)
                )
        except PenstockError as error:
            await self._refuse(scope, send, error)
            return
        await route.app(scope, receive, send if cookie is None else _with_cookie(send, cookie))

    def _methods_at(self, path: str) -> Mapping[str, AdminRoute]:
        known = self._by_path.get(path)
        if known is not None:
            return known
        return next((methods for below, methods in self._below if path.startswith(below) and path != below), {})

    def _visitor(self, scope: Scope, needs: Role) -> tuple[Visitor, bytes | None]:
        """Who asks, and a cookie that he is to have. Raises Unauthenticated, Misdirected, InvalidRequest."""
        origin = _address(scope)
        if self._is_open:
            if needs > Role.ANYONE and not self._is_local:
                _require_local_name(scope)
            return Visitor("local", Role.OWNER, origin), None
        authorization = one_header(scope, b"authorization")
        if authorization is not None:
            token = token_sent(self._tokens(), authorization)
            if token is not None:
                return Visitor(token.name, token.role, origin), None
            if needs > Role.ANYONE:
                self._was_wrong(origin)
        found = None if authorization is not None else self._sessions.of(scope)
        if found is None:
            if needs > Role.ANYONE:
                raise Unauthenticated(
                    "The admin port needs a token: send `Authorization: Bearer TOKEN`, or sign in at /sign-in."
                )
            return Visitor("", Role.ANYONE, origin), None
        session, token = found
        visitor = Visitor(token.name, token.role, origin, session.id)
        # What a page asks for by itself, every other second, keeps nobody signed in who has gone away.
        renewed = None if _is_fragment(scope) else self._sessions.renewed(session)
        return visitor, None if renewed is None else self._sessions.cookie(renewed, token)

    def _was_wrong(self, origin: str) -> None:
        """Raises RateLimited for who is wrong too often. Who has a token is never kept waiting: strangers could lock
        out whoever asks from the same address."""
        who = f"header {network_of(origin)}"
        wait_s = self._throttle.wait_s(who)
        if wait_s:
            raise RateLimited(
                "Too many wrong tokens came from this address. A right one is taken at once.", retry_after_s=wait_s
            )
        self._throttle.was_wrong(who)
        entry = self._trail.entry("", Act.SIGN_IN_FAILED, detail=f"a header from {origin}", origin=origin)
        self._trail.note(entry, is_news=True)

    def _check(self, scope: Scope, route: AdminRoute, visitor: Visitor) -> None:
        """Raises RoleTooLow, ForeignRequest."""
        if not visitor.may(route.needs):
            raise RoleTooLow(
                f"This needs the role {route.needs.word}, and {visitor.name} has the role {visitor.role.word}."
            )
        if route.method in SAFE_METHODS:
            return
        if is_from_elsewhere(scope):
            raise ForeignRequest("This was not sent by a page of this console. Load the page again.")
        if visitor.session is not None and not route.takes_cookies:
            raise ForeignRequest("A session is for pages. Send `Authorization: Bearer TOKEN` here.")

    async def _refuse(self, scope: Scope, send: Send, error: PenstockError) -> None:
        is_page = scope["method"] in SAFE_METHODS and _wants_html(scope) and not _is_fragment(scope)
        if isinstance(error, Unauthenticated):
            if is_page:
                await _to_sign_in(scope, send)
                return
            # Not Basic: a browser would ask for a password itself, and send it along with every form from anywhere.
            challenge = [(b"www-authenticate", b'Bearer realm="penstock admin"'), (b"hx-redirect", SIGN_IN.encode())]
            await send_error(send, error, headers=challenge)
        elif _wants_html(scope) and not scope["path"].startswith("/admin/"):
            await self._wrong_page(scope, send, error)
        else:
            headers = [(b"allow", error.allowed.encode())] if isinstance(error, _NotTaken) else []
            await send_error(send, error, headers=headers)


class _NotTaken(WrongMethod):
    def __init__(self, message: str, *, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed


def _table(
    routes: Sequence[AdminRoute],
) -> tuple[dict[str, dict[str, AdminRoute]], list[tuple[str, dict[str, AdminRoute]]]]:
    """Routes by path and method, and by the beginnings of paths. Raises UnguardedRoute."""
    by_path: dict[str, dict[str, AdminRoute]] = {}
    for route in routes:
        where = f"{route.method} {route.path}"
        if not isinstance(route.needs, Role):
            raise UnguardedRoute(f"The route {where} does not say which role it needs.")
        methods = by_path.setdefault(route.path, {})
        if route.method in methods:
            raise UnguardedRoute(f"The route {where} stands in the table twice.")
        if route.act is not None and route.method in SAFE_METHODS:
            raise UnguardedRoute(f"The route {where} changes something, and a link could ask for it.")
        if (route.act is None) is not (route.changes_nothing or route.method in SAFE_METHODS):
            raise UnguardedRoute(f"The route {where} does not say what of it is in the audit log.")
        methods[route.method] = route
    below = [(path.removesuffix("*"), methods) for path, methods in by_path.items() if path.endswith(BELOW)]
    return {path: methods for path, methods in by_path.items() if not path.endswith(BELOW)}, below


def _nothing(scope: Scope, methods: Mapping[str, AdminRoute]) -> PenstockError:
    path = scope["path"][:100]
    if not methods:
        return UnknownRoute(f"There is nothing at {path!r}. See docs/operations.md for what there is.")
    allowed = ", ".join(methods)
    return _NotTaken(f"{path} takes {allowed}, not {scope['method'][:20]}.", allowed=allowed)


def _address(scope: Scope) -> str:
    """Of the connection: what a header says of another one can be said by anybody."""
    client = scope.get("client")
    return client[0] if client and client[0] else "unix"


def _is_fragment(scope: Scope) -> bool:
    return any(name == b"hx-request" for name, _ in scope["headers"])


def _wants_html(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _require_local_name(scope: Scope) -> None:
    """Raises Misdirected.

    A web page elsewhere may point its own name at 127.0.0.1, and its scripts would then read all that is here (DNS
    rebinding). A browser sends that name.
    """
    host = one_header(scope, b"host")
    if host is not None and not _is_local(host):
        raise Misdirected(
            f"The admin port has no token, and answers only as localhost or by a loopback address, not as "
            f"{host[:80]!r}. Set admin.token_env in penstock.yaml to be asked by other names."
        )


def _is_local(host: str) -> bool:
    """Whether a Host header names this machine by itself."""
    try:
        name = urlsplit(f"//{host}").hostname if host.isascii() and "@" not in host else None
        if name is None:
            return False
        # RFC 6761: names below localhost are never asked of a name server.
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:
        return False


async def _to_sign_in(scope: Scope, send: Send) -> None:
    """Where to sign in, and back from there.

    A strict cookie does not come with a link from elsewhere, of an alert for example, even if there is a session: then
    the page is asked for once more, by a page of ours.
    """
    target = local_target(scope["path"], scope["query_string"].decode("latin-1"))
    sites = {value for name, value in scope["headers"] if name == b"sec-fetch-site"}
    if not sites.isdisjoint((b"cross-site", b"same-site")):
        page = (
            f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(target)}"><title>Penstock</title>'
        )
        headers = [_PAGE, (b"cache-control", b"no-store"), (b"content-security-policy", b"default-src 'none'")]
        await send_body(send, page.encode(), headers=headers)
        return
    location = f"{SIGN_IN}?to={quote(target, safe='')}" if target != "/" else SIGN_IN
    headers = [_PAGE, (b"cache-control", b"no-store"), (b"location", location.encode())]
    await send_body(send, b"", status=HTTPStatus.SEE_OTHER, headers=headers)


def local_target(path: str, query: str = "") -> str:
    """A path of this port and nothing else, as the target of a link: `//host/` would be another one."""
    local = quote("/" + path.lstrip("/\\"), safe="/%:@!$&'()*+,;=~-._")
    return f"{local}?{quote(query, safe='/%:@!$&()*+,;=~-._?')}" if query else local


def _with_cookie(send: Send, cookie: bytes) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie)]
        await send(message)

    return sending
