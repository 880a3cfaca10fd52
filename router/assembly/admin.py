"""The admin port: its door, the table of its routes, the audit log behind it."""

import hashlib
import hmac
import os
import pwd
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from starlette.types import ASGIApp

from router.assembly.clock import utc_now
from router.assembly.stores import open_pepper
from router.audit import SYSTEM, Act, Chain
from router.config.snapshot import AdminToken, Settings, Snapshot, UnixSocket
from router.console.app import ROUTES, Console
from router.console.visiting import Visitor
from router.gateway.reload import Standing
from router.roles import Role
from router.server.admin_port import SIGN_IN, AdminPort, AdminRoute
from router.server.app import Live, Ready
from router.server.sessions import LONGEST_S, Sessions
from router.server.signing_in import SignIn, SignOut
from router.server.throttle import Throttle
from router.storage.audit_trail import HEAD_FILE, AuditTrail, HeadFile
from router.storage.store import Store

_VIEW, _OPERATE = Role.VIEWER, Role.OPERATOR


def make_trail(settings: Settings, store: Store, pepper: bytes, *, process: str) -> AuditTrail:
    """The audit log, as a process or command writes it. `process` is its origin where no connection is."""
    return AuditTrail(store, Chain(pepper), head_file=head_file(settings.state_dir), now=utc_now, process=process)


def command_trail(settings: Settings, store: Store) -> AuditTrail:
    """The same for a command, whose origin is this machine."""
    return make_trail(settings, store, open_pepper(settings), process=f"command on {socket.gethostname()}")


def write_down(settings: Settings, store: Store, act: Act, subject: str, detail: str) -> None:
    """What a command is about to do is in the audit log first: an act that nobody knows of is the worse mistake."""
    trail = command_trail(settings, store)
    trail.write(trail.entry(os_user(), act, subject=subject, detail=detail))
    trail.look()


def os_user() -> str:
    """Who runs a command, as the audit log has him."""
    try:
        return f"os:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"os:{os.getuid()}"


def head_file(state: Path) -> HeadFile:
    return HeadFile(state / HEAD_FILE)


def fingerprint(token: AdminToken, pepper: bytes) -> str:
    """What tells one token from another and says nothing of either."""
    its = "" if token.secret is None else token.secret.reveal()
    return hmac.digest(pepper, b"penstock admin token\0" + its.encode(), hashlib.sha256).hex()[:8]


class Told:
    """What the audit log is told of the configuration. Nothing here blocks."""

    def __init__(self, trail: AuditTrail, pepper: bytes) -> None:
        self._trail = trail
        self._pepper = pepper

    def in_force(self, snapshot: Snapshot) -> None:
        """It was taken up; several processes that do so say it once."""
        tokens = snapshot.settings.admin_tokens
        named = ", ".join(
            f"{token.name} ({token.role.word}, {fingerprint(token, self._pepper)})"
            for token in tokens
            if token.secret is not None
        )
        entry = self._trail.entry(
            SYSTEM, Act.CONFIG_IN_FORCE, subject=snapshot.version, detail=f"admin tokens: {named or 'none'}"
        )
        self._trail.note(entry, is_news=True)

    def refused(self, standing: Standing) -> None:
        """Files could not be put into force."""
        detail = standing.problems[0] if standing.problems else ""
        entry = self._trail.entry(SYSTEM, Act.RELOAD_REFUSED, subject=standing.version, detail=detail)
        self._trail.note(entry, is_news=True)

    def reloaded(self, visitor: Visitor, standing: Standing) -> None:
        """Somebody had them read."""
        is_refused = standing.failed_at is not None
        self._trail.note(
            self._trail.entry(
                visitor.name,
                Act.RELOAD_REFUSED if is_refused else Act.RELOAD_APPLIED,
                subject=standing.version,
                detail=standing.problems[0] if standing.problems else "",
                origin=visitor.origin,
            )
        )

    def learned(self, team: str, what: str) -> None:
        """What labels teach of a team's answers speaks now, or does not."""
        self._trail.note(self._trail.entry(SYSTEM, Act.QUALITY_LEARNED, subject=team, detail=what))

    def noted(self, visitor: Visitor, act: Act, subject: str, detail: str) -> None:
        self._trail.note(self._trail.entry(visitor.name, act, subject=subject, detail=detail, origin=visitor.origin))


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What is asked for by programs, by path."""

    read: Mapping[str, ASGIApp]  # GET, by whoever may look
    explained: Mapping[str, ASGIApp]  # GET or POST; changes nothing
    ordered: Mapping[str, tuple[Act, ASGIApp]]  # POST: has something done


def make_admin_port(
    snapshot: Snapshot,
    *,
    tokens: Callable[[], Sequence[AdminToken]],
    endpoints: Endpoints,
    console: Console,
    not_ready: Callable[[], str | None],
    about: Callable[[], Mapping[str, object]],
    trail: AuditTrail,
    pepper: bytes,
) -> AdminPort:
    """`tokens` are those of the configuration in force. Raises UnguardedRoute."""
    is_open = not snapshot.settings.asks_for_a_token
    sessions = Sessions(pepper, tokens=tokens, now=utc_now, new_id=lambda: secrets.token_hex(8))
    throttle = Throttle(monotonic_s=time.monotonic)
    back = timedelta(seconds=LONGEST_S)
    trail.follow(Act.SIGNED_OUT, lambda row: sessions.end(row.entry.subject), back=back)
    sign_in = SignIn(
        tokens=tokens, is_open=is_open, sessions=sessions, throttle=throttle, trail=trail, draw=console.sign_in_page
    )
    routes = [
        *_health(Live(), Ready(not_ready, about=about)),
        *(AdminRoute("GET", path, _VIEW, app) for path, app in endpoints.read.items()),
        *(AdminRoute("GET", path, _OPERATE, app) for path, app in endpoints.explained.items()),
        *(
            AdminRoute("POST", path, _OPERATE, app, changes_nothing=True, takes_cookies=False)
            for path, app in endpoints.explained.items()
        ),
        *(
            AdminRoute("POST", path, _OPERATE, app, act, takes_cookies=False)
            for path, (act, app) in endpoints.ordered.items()
        ),
        AdminRoute("GET", SIGN_IN, Role.ANYONE, sign_in),
        AdminRoute("HEAD", SIGN_IN, Role.ANYONE, sign_in),
        AdminRoute("POST", SIGN_IN, Role.ANYONE, sign_in, Act.SIGNED_IN, writes_itself=True),
        AdminRoute(
            "POST", "/sign-out", _VIEW, SignOut(sessions=sessions, trail=trail), Act.SIGNED_OUT, writes_itself=True
        ),
        *_pages(console),
    ]
    return AdminPort(
        routes,
        tokens=tokens,
        is_open=is_open,
        is_local=isinstance(snapshot.settings.admin, UnixSocket),
        sessions=sessions,
        throttle=throttle,
        trail=trail,
        wrong_page=console.wrong_page,
    )


def _health(live: ASGIApp, ready: ASGIApp) -> list[AdminRoute]:
    """What probes ask, who have no token."""
    paths = {"/livez": live, "/healthz": live, "/readyz": ready}
    return [AdminRoute(method, path, Role.ANYONE, app) for path, app in paths.items() for method in ("GET", "HEAD")]


def _pages(console: Console) -> list[AdminRoute]:
    routes = []
    for page in ROUTES:
        routes += [AdminRoute(method, page.path, page.needs, console) for method in ("GET", "HEAD")]
        if page.posts is not None:
            routes.append(
                AdminRoute("POST", page.path, page.posts, console, page.act, changes_nothing=page.act is None)
            )
    return routes
