"""Sessions of browsers on the admin port, in signed cookies: `Sessions`.

A cookie holds who signed in, when, and when he was last seen, under an HMAC whose key is made of the pepper and of the
token he signed in with: with the token, or its role in the configuration, goes the session, and every process that
shares the pepper knows it. The server remembers only who has signed out.

The cookie of a browser that came by https is `__Host-penstock`: it is sent to this host alone, by https alone, and no
other host or page can put one in its place. By which scheme it came the browser says itself, in the `Origin` of the
form that it signs in with; headers that a proxy may add, or forget, are not looked at.
"""

import base64
import binascii
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterable
from datetime import datetime

import msgspec
from starlette.types import Scope

from router.config.snapshot import AdminToken

IDLE_S = 30 * 60
LONGEST_S = 12 * 3600
_RENEWED_S = 60  # a cookie is not written anew for every page
_DEVICE_S = 90 * 86_400
_MOST_BYTES = 600  # of a cookie

_NAMES = {True: "__Host-penstock", False: "penstock-session"}
_DEVICES = {True: "__Host-penstock-device", False: "penstock-device"}


class Session(msgspec.Struct, frozen=True):
    """Of one browser."""

    token: str  # the name of the one it signed in with
    id: str
    began_s: int  # Unix time
    seen_s: int
    is_secure: bool  # it came by https


class Sessions:
    """Makes, reads and ends them. Safe to share between threads."""

    def __init__(
        self,
        secret: bytes,
        *,
        tokens: Callable[[], Iterable[AdminToken]],
        now: Callable[[], datetime],
        new_id: Callable[[], str],
    ) -> None:
        """`secret` is the pepper, `tokens` those of the configuration in force."""
        self._key = hmac.digest(secret, b"penstock console sessions", hashlib.sha256)
        self._device_key = hmac.digest(secret, b"penstock console devices", hashlib.sha256)
        self._tokens = tokens
        self._now = now
        self._new_id = new_id
        self._guard = threading.Lock()  # of what follows
        self._signed_out: dict[str, int] = {}  # ids, and when they are of no more use in any case

    def begin(self, token: AdminToken, *, is_secure: bool) -> Session:
        now_s = int(self._now().timestamp())
        return Session(token.name, self._new_id(), now_s, now_s, is_secure)

    def end(self, session_id: str) -> None:
        """From now on its cookie opens nothing in this process."""
        now_s = int(self._now().timestamp())
        with self._guard:
            kept = {each: until_s for each, until_s in self._signed_out.items() if until_s > now_s}
            self._signed_out = {**kept, session_id: now_s + LONGEST_S}

    def of(self, scope: Scope) -> tuple[Session, AdminToken] | None:
        """The session whose cookie came with a request, and its token as it is configured now."""
        for is_secure in (True, False):
            text = _cookie(scope, _NAMES[is_secure])
            found = None if text is None else self._read(text)
            if found is not None and found[0].is_secure is is_secure:
                return found
        return None

    def cookie(self, session: Session, token: AdminToken) -> bytes:
        """What sets it."""
        value = _signed(msgspec.msgpack.encode(session), self._key_of(token))
        return _set(_NAMES[session.is_secure], value, is_secure=session.is_secure)

    def renewed(self, session: Session) -> Session | None:
        """The session as somebody who was seen now has it; None if it says so already, to a minute."""
        now_s = int(self._now().timestamp())
        return msgspec.structs.replace(session, seen_s=now_s) if now_s - session.seen_s >= _RENEWED_S else None

    def ended_cookies(self) -> list[bytes]:
        """What takes the cookies of a session away."""
        return [_set(name, "", is_secure=is_secure, max_age_s=0) for is_secure, name in _NAMES.items()]

    def device(self, scope: Scope) -> str | None:
        """The mark of a browser in which somebody has signed in before."""
        for name in _DEVICES.values():
            content = _verified(_cookie(scope, name) or "", self._device_key)
            if content is not None:
                return content.decode("ascii", "replace")
        return None

    def device_cookie(self, *, is_secure: bool) -> bytes:
        value = _signed(self._new_id().encode(), self._device_key)
        return _set(_DEVICES[is_secure], value, is_secure=is_secure, max_age_s=_DEVICE_S)

    def _read(self, text: str) -> tuple[Session, AdminToken] | None:
        try:
            session = msgspec.msgpack.decode(_content(text), type=Session)
        except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError):
            return None
        token = next((each for each in self._tokens() if each.name == session.token and each.secret), None)
        if token is None or _verified(text, self._key_of(token)) is None:
            return None
        now_s = self._now().timestamp()
        is_fresh = now_s < session.seen_s + IDLE_S and now_s < session.began_s + LONGEST_S
        with self._guard:
            return (session, token) if is_fresh and session.id not in self._signed_out else None

    def _key_of(self, token: AdminToken) -> bytes:
        assert token.secret is not None
        its = f"{token.name}\n{token.role.word}\n{token.secret.reveal()}"
        return hmac.digest(self._key, its.encode(), hashlib.sha256)


def _signed(content: bytes, key: bytes) -> str:
    mac = hmac.digest(key, content, hashlib.sha256)
    return f"{base64.urlsafe_b64encode(content).decode()}.{base64.urlsafe_b64encode(mac).decode()}".replace("=", "")


def _content(text: str) -> bytes:
    """What a signed text says, true or not. Raises binascii.Error."""
    return _decoded(text.partition(".")[0])


def _verified(text: str, key: bytes) -> bytes | None:
    """What it says, if it was signed with the key."""
    try:
        content, mac = _content(text), _decoded(text.partition(".")[2])
    except (binascii.Error, UnicodeError):
        return None
    return content if hmac.compare_digest(mac, hmac.digest(key, content, hashlib.sha256)) else None


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _cookie(scope: Scope, name: str) -> str | None:
    """The cookie of that name; None if there is none, or several: it is not known who has put them there."""
    found = None
    for header, value in scope["headers"]:
        if header != b"cookie":
            continue
        for pair in value.decode("latin-1").split(";"):
            its_name, _, text = pair.strip().partition("=")
            if its_name == name:
                if found is not None or len(text) > _MOST_BYTES or not text.isascii():
                    return None
                found = text
    return found


def _set(name: str, value: str, *, is_secure: bool, max_age_s: int | None = None) -> bytes:
    age = "" if max_age_s is None else f"; Max-Age={max_age_s}"
    secure = "; Secure" if is_secure else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}".encode()
