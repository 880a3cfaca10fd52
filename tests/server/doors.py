"""An admin port for tests: routes, tokens and a log in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from router.audit import Act, Chain, Entry, Head, Row
from router.config.snapshot import AdminToken
from router.console.visiting import visitor_of
from router.errors import PenstockError
from router.keys import Secret
from router.roles import Role
from router.server.admin_port import AdminPort, AdminRoute
from router.server.replies import send_error, send_json
from router.server.sessions import Sessions
from router.server.signing_in import SignIn, SignOut
from router.server.throttle import Throttle
from router.storage.audit_trail import AuditTrail, HeadFile

VIEWER, OPERATOR, OWNER = (
    AdminToken(name, role, Secret(f"the token of {name}"), f"${name}")
    for name, role in (("grafana", Role.VIEWER), ("anna", Role.OPERATOR), ("admin", Role.OWNER))
)
TOKENS = (VIEWER, OPERATOR, OWNER)


class LogInMemory:
    """An audit store."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def append_audit(self, entry: Entry, chain: Chain, *, is_news: bool = False) -> Row | None:
        last = next((row.entry for row in reversed(self.rows) if row.entry.act == entry.act), None)
        if is_news and last is not None and (last.actor, last.detail) == (entry.actor, entry.detail):
            return None
        head = Head(self.rows[-1].number, self.rows[-1].mac) if self.rows else Head()
        self.rows.append(chain.next(head, entry))
        return self.rows[-1]

    def audit_after(self, number: int, limit: int) -> list[Row]:
        return [row for row in self.rows if row.number > number][:limit]

    def audit_before(self, number: int, *, since: str, limit: int) -> list[Row]:
        return [row for row in reversed(self.rows) if row.number < number and row.entry.at >= since][:limit]

    def audit_of(self, act: Act, *, since: str) -> list[Row]:
        return [row for row in self.rows if row.entry.act == act and row.entry.at >= since]


@dataclass
class House:
    """What an admin port is made of, with clocks that stand still until they are moved."""

    directory: Path
    tokens: Sequence[AdminToken] = TOKENS
    now: datetime = datetime(2026, 11, 30, 12, tzinfo=UTC)
    log: LogInMemory = field(default_factory=LogInMemory)
    drawn: list[Mapping[str, object]] = field(default_factory=list)
    ids: int = 0

    def __post_init__(self) -> None:
        self.trail = self.new_trail()
        self.sessions = self.new_sessions()
        self.throttle = Throttle(monotonic_s=self._monotonic_s)

    def new_trail(self) -> AuditTrail:
        return AuditTrail(self.log, Chain(b"p"), head_file=HeadFile(self.directory / "head"), now=lambda: self.now)

    def new_sessions(self, secret: bytes = b"pepper") -> Sessions:
        return Sessions(secret, tokens=lambda: self.tokens, now=lambda: self.now, new_id=self._new_id)

    def _monotonic_s(self) -> float:
        return self.now.timestamp()

    def _new_id(self) -> str:
        self.ids += 1
        return f"id{self.ids}"

    def later(self, **of: float) -> None:
        self.now += timedelta(**of)

    def port(self, routes: Sequence[AdminRoute], *, is_open: bool = False, is_local: bool = False) -> AdminPort:
        return AdminPort(
            routes,
            tokens=lambda: self.tokens,
            is_open=is_open,
            is_local=is_local,
            sessions=self.sessions,
            throttle=self.throttle,
            trail=self.trail,
            wrong_page=wrong_page,
        )

    def signing_in(self, *, is_open: bool = False) -> list[AdminRoute]:
        sign_in = SignIn(
            tokens=lambda: self.tokens,
            is_open=is_open,
            sessions=self.sessions,
            throttle=self.throttle,
            trail=self.trail,
            draw=self.draw,
        )
        sign_out = SignOut(sessions=self.sessions, trail=self.trail)
        return [
            AdminRoute("GET", "/sign-in", Role.ANYONE, sign_in),
            AdminRoute("POST", "/sign-in", Role.ANYONE, sign_in, Act.SIGNED_IN, writes_itself=True),
            AdminRoute("POST", "/sign-out", Role.VIEWER, sign_out, Act.SIGNED_OUT, writes_itself=True),
        ]

    async def draw(
        self,
        scope: Scope,
        send: Send,
        shown: Mapping[str, object],
        *,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
    ) -> None:
        self.drawn.append(shown)
        wrong = shown["wrong"]
        said = wrong.message if isinstance(wrong, PenstockError) else ""
        await send_json(send, {"page": "sign in", "said": said, "to": shown["to"]}, status=status, headers=headers)

    def cookie(self, token: AdminToken, *, is_secure: bool = False) -> tuple[str, str]:
        """The header of a browser in which somebody has just signed in."""
        made = self.sessions.cookie(self.sessions.begin(token, is_secure=is_secure), token)
        return ("cookie", made.decode().partition(";")[0])

    @property
    def acts(self) -> list[tuple[str, str]]:
        return [(row.entry.actor, str(row.entry.act)) for row in self.log.rows]


async def wrong_page(scope: Scope, send: Send, error: PenstockError) -> None:
    await send_error(send, error, headers=[(b"x-page", b"wrong")])


async def reached(scope: Scope, receive: Receive, send: Send) -> None:
    visitor = visitor_of(scope)
    await send_json(send, {"reached": scope["path"], "by": visitor.name, "role": visitor.role.word})


def answering(name: str) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send_json(send, {"reached": name})

    return app


def bearer(token: AdminToken) -> tuple[str, str]:
    assert token.secret is not None
    return ("authorization", f"Bearer {token.secret.reveal()}")
