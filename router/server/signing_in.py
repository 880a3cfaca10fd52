"""The page where a person signs in to the console, and the way out: `SignIn`, `SignOut`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from router.audit import Act
from router.config.snapshot import AdminToken
from router.console.asking import BrowserGone, read
from router.console.visiting import visitor_of
from router.errors import PenstockError, RateLimited, Unauthenticated
from router.server.admin_port import local_target
from router.server.admin_tokens import named_token
from router.server.replies import send_body
from router.server.sessions import Sessions
from router.server.throttle import Throttle, network_of
from router.storage.audit_trail import AuditTrail

log = logging.getLogger("penstock.admin")

_FORM_BYTES = 8_192
_HEADERS = ((b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store"))


class Draw(Protocol):
    """What makes the page, with the headers that all pages carry."""

    async def __call__(
        self,
        scope: Scope,
        send: Send,
        shown: Mapping[str, Any],
        /,
        *,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None: ...


class SignIn:
    """`GET /sign-in?to=PATH`, and `POST /sign-in` with the name of a token and the token."""

    def __init__(
        self,
        *,
        tokens: Callable[[], Sequence[AdminToken]],
        is_open: bool,
        sessions: Sessions,
        throttle: Throttle,
        trail: AuditTrail,
        draw: Draw,
    ) -> None:
        """`is_open`: the port asks for no token, and there is nothing to sign in for."""
        self._tokens = tokens
        self._is_open = is_open
        self._sessions = sessions
        self._throttle = throttle
        self._trail = trail
        self._draw = draw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        to = _target(parse_qs(scope["query_string"].decode("latin-1")).get("to", [""])[0])
        if self._is_open or (scope["method"] != "POST" and self._sessions.of(scope) is not None):
            await _go(send, to)
            return
        if scope["method"] != "POST":
            await self._page(scope, send, to)
            return
        try:
            asked = await read(scope, receive, limit_bytes=_FORM_BYTES)
            form = asked.form or {}
            to = _target(form.get("to", ""))
            token = self._token(scope, form)
        except PenstockError as error:
            await self._page(scope, send, to, error)
            return
        except BrowserGone:
            return
        is_secure = _came_by_https(scope)
        session = self._sessions.begin(token, is_secure=is_secure)
        self._trail.note(
            self._trail.entry(token.name, Act.SIGNED_IN, subject=session.id, origin=visitor_of(scope).origin)
        )
        cookies = [self._sessions.cookie(session, token), self._sessions.device_cookie(is_secure=is_secure)]
        await _go(send, to, cookies)

    def _token(self, scope: Scope, form: Mapping[str, str]) -> AdminToken:
        """The token that the form names and holds. Raises Unauthenticated, RateLimited."""
        origin = visitor_of(scope).origin
        device = self._sessions.device(scope)
        # A browser in which somebody has signed in before has attempts of its own, which strangers cannot use up.
        who = f"address {network_of(origin)}" if device is None else f"device {device}"
        wait_s = self._throttle.wait_s(who)
        if wait_s:
            raise RateLimited(
                f"Too many attempts were wrong. The next one is looked at in {wait_s:.0f} s.", retry_after_s=wait_s
            )
        name = form.get("name", "")
        token = named_token(self._tokens(), name, form.get("token", ""))
        if token is not None:
            self._throttle.was_right(who)
            return token
        self._throttle.was_wrong(who)
        # What was typed may be the token itself: only a name that is one is written down.
        known = next((each.name for each in self._tokens() if each.name == name), "another name")
        self._trail.note(self._trail.entry("", Act.SIGN_IN_FAILED, subject=known, detail="the form", origin=origin))
        raise Unauthenticated("That is not the name of a token and the token. Both are as penstock.yaml has them.")

    async def _page(self, scope: Scope, send: Send, to: str, wrong: PenstockError | None = None) -> None:
        shown = {"to": to, "wrong": wrong, "is_plain": not _is_safe_to_type(scope)}
        headers = []
        if isinstance(wrong, RateLimited):
            headers.append((b"retry-after", f"{wrong.retry_after_s:.0f}".encode()))
        await self._draw(scope, send, shown, status=HTTPStatus.OK if wrong is None else wrong.status, headers=headers)


class SignOut:
    """`POST /sign-out`: the session ends, in every process within a second or so, whoever has its cookie."""

    def __init__(self, *, sessions: Sessions, trail: AuditTrail) -> None:
        self._sessions = sessions
        self._trail = trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visitor = visitor_of(scope)
        if visitor.session is not None:
            self._sessions.end(visitor.session)
            entry = self._trail.entry(visitor.name, Act.SIGNED_OUT, subject=visitor.session, origin=visitor.origin)
            self._trail.note(entry)
        await _go(send, "/sign-in", self._sessions.ended_cookies())


def _target(text: str) -> str:
    """Where to go on: a path here, or the overview."""
    parts = text.partition("?")
    return local_target(parts[0], parts[2]) if text.startswith("/") and len(text) < 2_000 else "/"


def _came_by_https(scope: Scope) -> bool:
    """Whether the browser says that its page came by https: no proxy is asked, and no page can make it say so."""
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    return bool(origins) and all(each.startswith(b"https://") for each in origins)


def _is_safe_to_type(scope: Scope) -> bool:
    """Whether nobody on the way reads what is typed, as far as it can be known before the browser says it.

    Browsers send this header only where the page came by https, or from the machine itself (W3C, Fetch Metadata).
    """
    return any(name == b"sec-fetch-site" for name, _ in scope["headers"])


async def _go(send: Send, path: str, cookies: Sequence[bytes] = ()) -> None:
    headers = [*_HEADERS, (b"location", path.encode()), *((b"set-cookie", each) for each in cookies)]
    await send_body(send, b"", status=HTTPStatus.SEE_OTHER, headers=headers)
