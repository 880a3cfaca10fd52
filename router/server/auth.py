"""Who calls: `KeyRing` knows the keys, `RequireKey` lets nobody past without one, but to a short public list."""

import logging
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from threading import Lock

import anyio
import anyio.to_thread
import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from router.errors import (
    AddressNotAllowed,
    CallerError,
    InvalidRequest,
    PenstockError,
    TeamGone,
    Unauthenticated,
    Unavailable,
)
from router.keys import (
    ApiKey,
    Caller,
    KeyId,
    KeyStore,
    Match,
    Network,
    PresentedKey,
    TeamName,
    digest,
    matches,
    mint,
    parse,
)
from router.quotas import Budget
from router.server.addresses import source_address
from router.server.replies import one_header, refuse
from router.storage.errors import StoreUnavailable

log = logging.getLogger("penstock.keys")

CALLER = "penstock.caller"  # where the caller of a request stands in its ASGI scope
_NOT_ADMITTED = "penstock.not_admitted"  # where it stands why nobody is, of one that was asked about early

# How often the store is asked whether any key has changed. What was created or revoked elsewhere counts here after that
# at most, and the time to read all keys.
_LOOK_S = 0.4
_READ_ANYWAY_S = 60.0  # for whoever changes a row by hand
# While the store cannot be read the keys known stay valid, or every outage of it would be one of everything. A
# revocation must not go unread for ever: after a day (a judgement) nobody is let in. `penstock_keys_age_seconds` and
# its alert tell of it from the first minute.
_STALE_S = 24 * 3600.0
_FORMER_TOLD_S = 3600.0  # how often the log says of one key that its former secret is still in use

_NOBODY = KeyId("nobody")  # nobody can present it


class KeyFault(StrEnum):
    """Why a request was not let in: the label of `penstock_authentication_failures_total`."""

    MISSING = "missing"
    MALFORMED = "malformed"  # no key of ours could look so, or two keys were sent
    UNKNOWN = "unknown"  # nobody's id, or not its secret
    REVOKED = "revoked"
    EXPIRED = "expired"  # the key, or the secret that was changed
    NETWORK = "network"
    TEAM_GONE = "team_gone"
    STALE = "stale"  # the keys could not be read for too long


class _Entry(msgspec.Struct, frozen=True):
    """A key, and whom it makes the caller: made once, not for each request."""

    key: ApiKey
    caller: Caller


class _Known:
    """Keys by id. To find one takes about as long as to find none.

    A look-up that finds something takes some ns longer than one that does not, and a key that was not used lately is
    farther away than what is always compared. Enough samples tell both. So every id, known or not, has one look-up that
    finds and one that does not; and one that is unknown is compared with a key that its hash has chosen, the same each
    time.
    """

    def __init__(self, entries: Mapping[KeyId, _Entry]) -> None:
        self.entries = dict(entries)
        # Copies, so that finding one of them compares the text as well.
        self._others = [KeyId(f"{each} "[:-1]) for each in entries]
        self._absent = [KeyId(f"{each}-") for each in entries]

    def find(self, key_id: KeyId) -> tuple[_Entry | None, _Entry]:
        """The key, and what to compare a secret with, which is another key where there is none of that id."""
        found = self.entries.get(key_id)
        instead = (self._others if found is None else self._absent)[hash(key_id) % len(self._others)]
        other = self.entries.get(instead)
        entry = other if found is None else found
        assert entry is not None
        return found, entry


def _untold(_: str) -> None:
    """Nobody counts."""


class KeyRing:
    """The keys of the store, in memory. Looking one up costs an HMAC, never a read of the store."""

    def __init__(
        self,
        store: KeyStore,
        *,
        pepper: bytes,
        teams: Callable[[], Container[TeamName]],
        now: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        trusted_proxies: Callable[[], Sequence[Network]] = tuple,
        failed: Callable[[KeyFault], None] = _untold,
        outdated: Callable[[TeamName], None] = _untold,
    ) -> None:
        """`teams` and `trusted_proxies` are those of the configuration in force. `failed` counts who is not let in,
        `outdated` requests with a secret that was changed and is good for a while yet."""
        self._store = store
        self._pepper = pepper
        self._teams = teams
        self._now = now
        self._monotonic_s = monotonic_s
        self._trusted_proxies = trusted_proxies
        self._failed = failed
        self._outdated = outdated
        self._sure_s = monotonic_s()  # what is known was so in the store then
        self._read_s = self._sure_s
        self._version: tuple[int, ...] = ()
        self._is_away = False  # the log says that the store cannot be read
        self._former_told_s: dict[KeyId, float] = {}
        nobody = ApiKey(_NOBODY, TeamName(""), "", digest=b"\0" * 32, created_at=now())
        self._lent: dict[KeyId, _Entry] = {_NOBODY: _entry(nobody)}  # and so there is always one to compare with
        self._known = _Known(self._lent)
        self._changing = Lock()

    @property
    def age_s(self) -> float:
        """How long ago it was last certain that what is known here is what the store has."""
        return self._monotonic_s() - self._sure_s

    def caller_of(self, scope: Scope) -> Caller:
        """Who sends the request. Raises as `caller`, and AddressNotAllowed."""
        try:
            authorization, api_key = one_header(scope, b"authorization"), one_header(scope, b"x-api-key")
        except InvalidRequest as error:  # it was sent twice
            raise self._fault(KeyFault.MALFORMED, error) from None
        found = self.caller(authorization, api_key)
        if found.scope.networks:
            address = source_address(scope, self._trusted_proxies())
            if not found.scope.reaches(address):
                raise self._fault(
                    KeyFault.NETWORK,
                    AddressNotAllowed(
                        f"This API key may not be used from {address or 'an unknown address'}. Ask your team's owner "
                        "for a key that may, or, behind a proxy, the operator to name it under trusted_proxies."
                    ),
                )
        return found

    def admit(self, scope: Scope) -> TeamName | None:
        """The team that sends the request; None if nobody is let in with it. What was found stays in the scope: a
        request is judged, and counted, once."""
        try:
            caller = scope[CALLER] = self.caller_of(scope)
        except (CallerError, Unavailable) as error:
            scope[_NOT_ADMITTED] = error.with_traceback(None)
            return None
        return caller.team

    def caller(self, authorization: str | None, api_key: str | None = None) -> Caller:
        """Who holds the key in an Authorization header, or in x-api-key as Anthropic's clients send it, wherever he is.

        Raises Unauthenticated, InvalidRequest where the two are different keys, and Unavailable where the store could
        not be read for a day.
        """
        if authorization is None and api_key is None:
            raise self._fault(
                KeyFault.MISSING,
                Unauthenticated("No API key was sent. Send `Authorization: Bearer psk_…`, or `x-api-key: psk_…`."),
            )
        scheme, _, text = (f"Bearer {api_key}" if authorization is None else authorization).partition(" ")
        if api_key is not None and (scheme.lower(), text.strip()) != ("bearer", api_key.strip()):
            raise self._fault(
                KeyFault.MALFORMED,
                InvalidRequest(
                    "The headers Authorization and x-api-key were both sent, and differ. Send one of them: an agent "
                    "may take both from its environment (ANTHROPIC_AUTH_TOKEN and ANTHROPIC_API_KEY).",
                    code="invalid_header",
                ),
            )
        presented = parse(text.strip()) if scheme.lower() == "bearer" else None
        if presented is None:
            raise self._fault(
                KeyFault.MALFORMED,
                Unauthenticated(
                    "The API key is not one of this gateway's: they begin with `psk_` and are sent as "
                    "`Authorization: Bearer psk_…`. Check for typos and missing ends."
                ),
            )
        return self._caller_with(presented)

    def _caller_with(self, presented: PresentedKey) -> Caller:
        found, entry = self._known.find(presented.id)
        now = self._now()
        match = matches(presented, entry.key, self._pepper, now)
        if match is Match.NONE or found is None:
            raise self._fault(
                KeyFault.UNKNOWN, Unauthenticated("The API key is unknown. Ask your team's owner for another.")
            )
        key = found.key
        if not key.is_valid_at(now):
            raise self._invalid(key)
        if key.team not in self._teams():
            raise self._fault(KeyFault.TEAM_GONE, TeamGone(key.team))
        if self._monotonic_s() - self._sure_s > _STALE_S:
            raise self._fault(
                KeyFault.STALE,
                Unavailable("API keys could not be checked for a day, as the store cannot be read. Try again later."),
            )
        if match is Match.FORMER:
            self._tell_former(key)
        return found.caller

    def _invalid(self, key: ApiKey) -> PenstockError:
        """Said to whoever has the right secret, and to nobody else."""
        if key.revoked_at is not None or key.scope is None:
            error = Unauthenticated(f"The API key {key.id} is revoked. Ask your team's owner for another.")
            return self._fault(KeyFault.REVOKED, error)
        error = Unauthenticated(f"The API key {key.id} has expired. Ask your team's owner for another.")
        return self._fault(KeyFault.EXPIRED, error)

    def _tell_former(self, key: ApiKey) -> None:
        assert key.former is not None
        self._outdated(key.team)
        now_s = self._monotonic_s()
        if now_s >= self._former_told_s.get(key.id, float("-inf")) + _FORMER_TOLD_S:
            self._former_told_s[key.id] = now_s
            log.warning(
                "key %s of team %s is still used with its former secret, which ends at %s",
                key.id,
                key.team,
                key.former.until.isoformat(timespec="minutes"),
            )

    def _fault(self, fault: KeyFault, error: PenstockError) -> PenstockError:
        self._failed(fault)
        return error

    # Budgets of keys

    def budgets_of(self, key_id: str) -> tuple[Budget, ...]:
        """What the key may spend by its own record."""
        entry = self._known.entries.get(KeyId(key_id))
        return () if entry is None else entry.caller.scope.budgets

    def budgeted(self) -> Iterable[tuple[TeamName, KeyId]]:
        """The keys that have budgets of their own, and may spend them yet."""
        now = self._now()
        return [
            (each.key.team, each.key.id)
            for each in self._known.entries.values()
            if each.caller.scope.budgets and each.key.is_valid_at(now)
        ]

    # What the store has

    def refresh(self) -> None:
        """Read the store. Blocks. Raises StoreUnavailable."""
        asked_s = self._monotonic_s()
        version = self._store.keys_version()  # first: what changes from now on is read again
        stored = {key.id: _entry(key) for key in self._store.all()}
        with self._changing:
            self._known = _Known({**stored, **self._lent})
        self._version = version
        self._read_s = self._sure_s = asked_s

    def look(self) -> None:
        """Read the store if anything has changed there. Blocks. Raises StoreUnavailable."""
        asked_s = self._monotonic_s()
        if asked_s < self._read_s + _READ_ANYWAY_S and self._store.keys_version() == self._version:
            self._sure_s = asked_s
        else:
            self.refresh()

    async def keep_fresh(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await anyio.sleep(_LOOK_S)
            try:
                await anyio.to_thread.run_sync(self.look)
            except StoreUnavailable as error:
                if not self._is_away:
                    self._is_away = True
                    log.warning("keys cannot be read (%s); those known stay valid for a day", type(error).__name__)
            else:
                if self._is_away:
                    self._is_away = False
                    log.warning("keys can be read again")

    def lend(self, team: TeamName, random_bytes: Callable[[int], bytes]) -> PresentedKey:
        """A key that is valid until this process ends and is stored nowhere."""
        key = mint(random_bytes)
        record = ApiKey(id=key.id, team=team, name="this run", digest=digest(key, self._pepper), created_at=self._now())
        with self._changing:
            self._lent[key.id] = _entry(record)
            self._known = _Known({**self._known.entries, **self._lent})
        return key


def _entry(key: ApiKey) -> _Entry:
    # Of a scope that cannot be read nothing follows: such a key is valid for nobody.
    return _Entry(key, Caller(key.team, key.id) if key.scope is None else Caller(key.team, key.id, key.scope))


class RequireKey:
    """Plain ASGI middleware: every path needs a key, except the public ones, so that forgetting one is safe."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing, public: frozenset[str], refused: Callable[[str], None]) -> None:
        self._app = app
        self._keys = keys
        self._public = public
        self._refused = refused

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # Who calls is known already of a request that was asked about before it was taken up (shedding.py).
        if (
            scope["type"] == "http"
            and scope["path"] not in self._public
            and CALLER not in scope
            and (_NOT_ADMITTED in scope or self._keys.admit(scope) is None)
        ):
            error: PenstockError = scope[_NOT_ADMITTED]
            self._refused(error.code)
            return refuse(scope, send, error)
        return self._app(scope, receive, send)
