"""Both ports of one server on real sockets, in this process, with every kind of credentials: `served`, `Client`."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode

from router.assembly.clock import utc_now
from router.assembly.house import House, assemble
from router.config.loader import load
from router.config.snapshot import AdminToken, Snapshot
from router.console.asking import MARK, Marks
from router.keys import ApiKey, KeyId, TeamName, digest, mint, written
from router.server.listen import bound, port_of, serving
from router.server.sessions import Sessions
from router.storage.pepper import pepper as pepper_of
from router.storage.sqlite import SqliteStore
from tests.torture.plant import CHECKOUT

TEAM, OTHER_TEAM = "search", "research"  # of the shipped configuration
_ROLES = ("viewer", "operator", "owner")

Header = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes


class Client:
    """A connection that is kept as long as the server keeps it. What is sent is exactly what is given."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, target: str, headers: Sequence[Header] = (), body: bytes = b"", *, host: str = "localhost"
    ) -> Response:
        lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
        if body or method == "POST":
            lines.append(f"content-length: {len(body)}")
        sent = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        writer.write(sent)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        status = int(head.split()[1])
        if method == "HEAD" or status in (204, 304):
            content = b""
        elif "content-length" in fields:
            content = await reader.readexactly(int(fields["content-length"]))
        else:  # nothing here is streamed, but for what ends with the connection
            content = await reader.read()
        if fields.get("connection") == "close" or "content-length" not in fields:
            self.close()
        return Response(status, content)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass(frozen=True, slots=True)
class Served:
    """A server, and what can be sent to it."""

    house: House
    snapshot: Snapshot
    store: SqliteStore
    pepper: bytes
    keys: Mapping[str, str]  # texts, by what is wrong with them
    tokens: Mapping[str, AdminToken]  # by role
    data: Client
    admin: Client
    sessions: Sessions = field(repr=False)

    def form(self, credentials: "Credentials", **fields: str) -> bytes:
        """A form as a page would send it that was made for these credentials."""
        mark = Marks(self.pepper).of(utc_now(), credentials.bound_to)
        return urlencode({**fields, MARK: mark}).encode()

    def text_of(self, role: str) -> str:
        """A token of that role."""
        secret = self.tokens[role].secret
        assert secret is not None
        return secret.reveal()

    def token(self, role: str) -> "Credentials":
        return Credentials(f"token of a {role}", [_bearer(self.text_of(role))], role, self.tokens[role].name)

    def session(self, role: str) -> "Credentials":
        """The cookie of somebody who has just signed in."""
        token = self.tokens[role]
        session = self.sessions.begin(token, is_secure=False)
        cookie = self.sessions.cookie(session, token).decode().partition(";")[0]
        return Credentials(f"session of a {role}", [("cookie", cookie)], role, f"session {session.id}", is_cookie=True)

    def key(self, kind: str) -> "Credentials":
        return Credentials(f"{kind} key", [_bearer(self.keys[kind])])


@dataclass(frozen=True, slots=True)
class Credentials:
    name: str
    headers: Sequence[Header]
    role: str | None = None  # on the admin port
    bound_to: str = ""
    is_cookie: bool = False


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[Served]:
    """The shipped configuration with a token for each role."""
    config, state = directory / "config", directory / "state"
    shutil.copytree(CHECKOUT / "config", config)
    texts = {role: secrets.token_hex(24) for role in _ROLES}
    lines = "".join(f"    - {{name: a-{role}, role: {role}, token_env: T_{role.upper()}}}\n" for role in _ROLES)
    main = config / "penstock.yaml"
    main.write_text(main.read_text().replace("  token_env: PENSTOCK_ADMIN_TOKEN\n", f"  tokens:\n{lines}"))
    environment = {f"T_{role.upper()}": text for role, text in texts.items()}
    snapshot = load(config, environment={**environment, "STATE_DIRECTORY": str(state), "OPENROUTER_API_KEY": "none"})
    pepper = pepper_of(state / "pepper", secrets.token_bytes)
    with ExitStack() as open_sockets, closing(SqliteStore(state / "penstock.sqlite")) as store:
        keys = {**_keys(store, pepper), "malformed": "psk_nonsense"}
        house = assemble(snapshot)
        tokens = {token.role.word: token for token in snapshot.settings.admin_tokens}
        listeners = [open_sockets.enter_context(bound("127.0.0.1", 0)) for _ in range(2)]
        data, admin = (Client(port_of(each)) for each in listeners)
        sessions = Sessions(
            pepper, tokens=lambda: snapshot.settings.admin_tokens, now=utc_now, new_id=lambda: secrets.token_hex(8)
        )
        async with serving(house.data, listeners[0]), serving(house.admin, listeners[1]):
            while (await data.ask("GET", "/readyz")).status != 200:  # noqa: ASYNC110 - over HTTP, as anybody would
                await asyncio.sleep(0.02)
            try:
                yield Served(house, snapshot, store, pepper, keys, tokens, data, admin, sessions)
            finally:
                data.close()
                admin.close()


def _keys(store: SqliteStore, pepper: bytes) -> dict[str, str]:
    now = utc_now()
    texts = {}
    for kind, team in {"valid": TEAM, "other team's": OTHER_TEAM, "revoked": TEAM, "expired": TEAM}.items():
        key = mint(secrets.token_bytes)
        expires_at = now - timedelta(days=1) if kind == "expired" else None
        made = now - timedelta(days=2)
        store.add(ApiKey(key.id, TeamName(team), kind, digest(key, pepper), created_at=made, expires_at=expires_at))
        if kind == "revoked":
            store.revoke(KeyId(key.id), now - timedelta(hours=1))
        texts[kind] = written(key)
    return texts


def _bearer(text: str) -> Header:
    return ("authorization", f"Bearer {text}")
