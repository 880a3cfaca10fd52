"""The console as an ASGI application: `Console`. Routes, what its answers carry, and which forms are taken."""

import hashlib
import mimetypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.to_thread
from starlette.types import Receive, Scope, Send

from router.audit import Act
from router.console.asking import Answer, BrowserGone, Elsewhere, Marks, Page, read, require_own
from router.console.audit import Audit
from router.console.explain import Explain
from router.console.explaining import Explaining
from router.console.feedback import Feedback
from router.console.models import Models
from router.console.off_loop import OffLoop
from router.console.overview import Overview
from router.console.rendering import STATIC, Renderer
from router.console.replay import Check, ReplayPages
from router.console.replays import Replays
from router.console.requests import OneRequest, Requests
from router.console.sources import Sources
from router.console.teams import Teams
from router.console.visiting import Visitor, visitor_of
from router.errors import PenstockError
from router.roles import Role

_Headers = Sequence[tuple[bytes, bytes]]

# Nothing from elsewhere, nothing written into a page: what a name contains can run nothing and load nothing.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_SECURITY: _Headers = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # `no-referrer` would take the Origin from our own forms as well
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_PAGE: _Headers = ((b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store"), *_SECURITY)
_UNSEEN = "0" * 16  # what stands for the digest of a part that refreshes itself, while it is worked out

_FORM_BYTES = 1 << 20  # beside a request to explain, which may be as long as the data port takes

# In the order in which they stand in every page's head.
NAVIGATION = (
    ("/", "Overview"),
    ("/requests", "Requests"),
    ("/explain", "Explain"),
    ("/replay", "Replay"),
    ("/models", "Models"),
    ("/teams", "Teams"),
    ("/feedback", "Feedback"),
    ("/audit", "Audit"),
)


@dataclass(frozen=True, slots=True)
class PageRoute:
    """A page, or what its form asks for, and who may have it."""

    path: str  # with `/*` at its end: what is below it
    needs: Role
    posts: Role | None = None  # who may send its form; None: it has none
    act: Act | None = None  # what the form is in the audit log; None: it changes nothing


ROUTES = (
    PageRoute("/", Role.VIEWER),
    PageRoute("/live", Role.VIEWER),
    PageRoute("/requests", Role.VIEWER),
    PageRoute("/requests/*", Role.VIEWER),
    PageRoute("/explain", Role.OPERATOR, posts=Role.OPERATOR),
    PageRoute("/replay", Role.VIEWER, posts=Role.OPERATOR, act=Act.REPLAY_ASKED),
    PageRoute("/replay/*", Role.VIEWER, posts=Role.OPERATOR, act=Act.REPLAY_CANCELLED),
    PageRoute("/models", Role.VIEWER),
    PageRoute("/teams", Role.VIEWER),
    PageRoute("/teams/*", Role.VIEWER),
    PageRoute("/feedback", Role.VIEWER),
    PageRoute("/audit", Role.VIEWER),
    PageRoute("/static/*", Role.ANYONE),
)
_NEEDS = {route.path: route.needs for route in ROUTES}


class Console:
    """Every page. Paths that it does not know are answered with a page that says so."""

    def __init__(
        self,
        sources: Sources,
        *,
        explaining: Explaining,
        replays: Replays,
        check: Check,
        renderer: Renderer,
        secret: bytes,
    ) -> None:
        """`check` loads a configuration and raises ConfigError; `secret` is shared by all processes that serve."""
        self._off_loop = off_loop = OffLoop()
        overview, teams = Overview(sources, off_loop), Teams(sources, off_loop)
        replay = ReplayPages(sources, replays, check, off_loop)
        self._pages: dict[str, Page] = {
            "/": overview.page,
            "/live": overview.live,
            "/requests": Requests(sources, off_loop).page,
            "/explain": Explain(sources, explaining).page,
            "/replay": replay.page,
            "/models": Models(sources, off_loop).page,
            "/teams": teams.page,
            "/feedback": Feedback(sources, off_loop).page,
            "/audit": Audit(sources, off_loop).page,
        }
        self._pages_below: dict[str, Page] = {
            "/requests/": OneRequest(sources, explaining, off_loop).page,
            "/replay/": replay.one,
            "/teams/": teams.one,
        }
        self._sources = sources
        self._marks = Marks(secret)
        self._renderer = renderer
        self._form_bytes = 3 * explaining.max_body_bytes + _FORM_BYTES  # most characters of JSON take three bytes
        self._files: dict[str, Path] | None = None  # looked for when the first is asked for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path.startswith("/static/") and method in ("GET", "HEAD"):
            if self._files is None:
                self._files = _files()
            file = self._files.get(path.removeprefix("/static/"))
            await _send_file(send, file, is_marked=bool(scope["query_string"]))
            return
        try:
            answer = await self._answered(scope, receive, path)
        except BrowserGone:
            return
        if isinstance(answer, Elsewhere):
            location = (b"location", quote(answer.path).encode())
            await _send(send, b"", HTTPStatus.SEE_OTHER, (*_PAGE, location))
            return
        page = await self._off_loop(lambda: self._rendered(answer, visitor_of(scope)))
        if answer.is_live:
            seen = hashlib.sha256(page.encode()).hexdigest()[: len(_UNSEEN)]
            if f"seen={seen}".encode() in scope["query_string"]:
                await _send(send, b"", HTTPStatus.NO_CONTENT, _PAGE)
                return
            page = page.replace(_UNSEEN, seen)
        await _send(send, b"" if method == "HEAD" else page.encode(), answer.status, _PAGE)

    async def _answered(self, scope: Scope, receive: Receive, path: str) -> Answer | Elsewhere:
        page = self._page_of(path)
        if page is None:
            return _wrong("There is nothing here.", HTTPStatus.NOT_FOUND)
        try:
            asked = await read(scope, receive, limit_bytes=self._form_bytes)
            if asked.form is not None:
                require_own(scope, asked, self._marks, self._sources.now())
            return await page(asked)
        except PenstockError as error:
            return _wrong(error.message, error.status)

    def _page_of(self, path: str) -> Page | None:
        known = self._pages.get(path)
        if known is not None:
            return known
        return next(
            (page for below, page in self._pages_below.items() if path.startswith(below) and path != below), None
        )

    async def wrong_page(self, scope: Scope, send: Send, error: PenstockError) -> None:
        """A page that says what went wrong before any page was asked."""
        visitor = visitor_of(scope)
        page = await self._off_loop(lambda: self._rendered(_wrong(error.message, error.status), visitor))
        await _send(send, page.encode(), error.status, _PAGE)

    async def sign_in_page(
        self, scope: Scope, send: Send, shown: Mapping[str, Any], *, status: int, headers: _Headers
    ) -> None:
        """The page that asks who somebody is."""
        page = await self._off_loop(lambda: self._renderer.page("sign_in.html", shown))
        await _send(send, b"" if scope["method"] == "HEAD" else page.encode(), status, (*_PAGE, *headers))

    def _rendered(self, answer: Answer, visitor: Visitor) -> str:
        sources = self._sources
        now = sources.now()
        return self._renderer.page(
            answer.template,
            {
                "navigation": [each for each in NAVIGATION if visitor.may(_NEEDS[each[0]])],
                "visitor": visitor,
                "version": sources.version,
                "config_version": sources.snapshot().version,
                "mark": self._marks.of(now, visitor.bound_to),
                "now": now,
                "seen": _UNSEEN,
                **answer.shown,
            },
        )


def _wrong(message: str, status: int) -> Answer:
    return Answer("wrong.html", {"path": "", "message": message, "status": status}, status=status)


async def _send(send: Send, body: bytes, status: int, headers: _Headers) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def _send_file(send: Send, path: Path | None, *, is_marked: bool) -> None:
    """A file that ships with the package. With the mark of its content in its address browsers keep it."""
    if path is None:
        await _send(send, b"", HTTPStatus.NOT_FOUND, _SECURITY)
        return
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"
    kept = b"public, max-age=31536000, immutable" if is_marked else b"no-cache"
    headers = ((b"content-type", f"{kind}; charset=utf-8".encode()), (b"cache-control", kept), *_SECURITY)
    content = await anyio.to_thread.run_sync(path.read_bytes)
    await _send(send, content, HTTPStatus.OK, headers)


def _files() -> dict[str, Path]:
    """By their path below `static`; no path that is asked for is ever put together with another."""
    return {each.relative_to(STATIC).as_posix(): each for each in STATIC.rglob("*") if each.is_file()}
