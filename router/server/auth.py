"""Who calls: `KeyRing` knows the keys, `RequireKey` lets nobody past without one, but to a short public list."""

import logging
from collections.abc import Awaitable, Callable, Container, Mapping
from datetime import datetime

import anyio
import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from router.errors import InvalidRequest, TeamGone, Unauthenticated
from router.keys import ApiKey, Caller, KeyId, KeyStore, PresentedKey, TeamName, digest, matches, mint, parse
from router.server.replies import one_header, refuse
from router.storage.errors import StoreUnavailable

log = logging.getLogger("penstock.keys")

CALLER = "penstock.caller"  # where the caller of a request stands in its ASGI scope

_REFRESH_S = 1.0  # how long a key that was created or revoked elsewhere may go unnoticed


class KeyRing:
    """The keys of the store, in memory. Looking one up costs an HMAC, never a read of the store."""

    def __init__(
        self, store: KeyStore, *, pepper: bytes, teams: Callable[[], Container[TeamName]], now: Callable[[], datetime]
    ) -> None:
        """`teams` are those of the configuration in force."""
        self._store = store
        self._pepper = pepper
        self._teams = teams
        self._now = now
        self._stored: Mapping[KeyId, ApiKey] = {}
        self._passing: dict[KeyId, ApiKey] = {}
        # What an unknown id is compared with, so that it takes as long as a known one.
        self._nobody = ApiKey(KeyId(""), TeamName(""), "", digest=b"\0" * 32, created_at=now())

    def caller(self, authorization: str | None, api_key: str | None = None) -> Caller:
        """Who holds the key in an Authorization header, or in x-api-key as Anthropic's clients send it.

        Raises Unauthenticated, and InvalidRequest where the two are different keys.
        """
        if authorization is None and api_key is None:
            raise Unauthenticated("No API key was sent. Send `Authorization: Bearer psk_…`, or `x-api-key: psk_…`.")
        scheme, _, text = (f"Bearer {api_key}" if authorization is None else authorization).partition(" ")
        if api_key is not None and (scheme.lower(), text.strip()) != ("bearer", api_key.strip()):
            raise InvalidRequest(
                "The headers Authorization and x-api-key were both sent, and differ. Send one of them: an agent may "
                "take both from its environment (ANTHROPIC_AUTH_TOKEN and ANTHROPIC_API_KEY).",
                code="invalid_header",
            )
        presented = parse(text.strip()) if scheme.lower() == "bearer" else None
        if presented is None:
            raise Unauthenticated(
                "The API key is not one of this gateway's: they begin with `psk_` and are sent as "
                "`Authorization: Bearer psk_…`. Check for typos and missing ends."
            )
        known = self._passing.get(presented.id) or self._stored.get(presented.id)
        is_right = matches(presented, known or self._nobody, self._pepper)
        if known is None or not is_right or not known.is_valid_at(self._now()):
            raise Unauthenticated("The API key is unknown, expired or revoked. Ask your team's owner for another.")
        if known.team not in self._teams():
            raise TeamGone(known.team)
        return Caller(team=known.team, key_id=known.id)

    def refresh(self) -> None:
        """Read the store. Blocks."""
        self._stored = {key.id: key for key in self._store.all()}

    async def keep_fresh(self) -> None:
        """Read the store again and again, until cancelled."""
        while True:
            await anyio.sleep(_REFRESH_S)
            try:
                await anyio.to_thread.run_sync(self.refresh)
            except StoreUnavailable as error:
                log.warning("keys could not be read (%s); those known stay valid", type(error).__name__)

    def lend(self, team: TeamName, random_bytes: Callable[[int], bytes]) -> PresentedKey:
        """A key that is valid until this process ends and is stored nowhere."""
        key = mint(random_bytes)
        self._passing[key.id] = ApiKey(
            id=key.id, team=team, name="this run", digest=digest(key, self._pepper), created_at=self._now()
        )
        return key


class RequireKey:
    """Plain ASGI middleware: every path needs a key, except the public ones, so that forgetting one is safe."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing, public: frozenset[str], refused: Callable[[str], None]) -> None:
        self._app = app
        self._keys = keys
        self._public = public
        self._refused = refused

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["path"] not in self._public:
            try:
                scope[CALLER] = self._keys.caller(one_header(scope, b"authorization"), one_header(scope, b"x-api-key"))
            except (Unauthenticated, InvalidRequest) as error:
                self._refused(error.code)
                return refuse(scope, send, error)
        return self._app(scope, receive, send)
