"""The tokens that open the admin port, compared in constant time: `token_sent`, `named_token`."""

import base64
import hashlib
import hmac
from collections.abc import Iterable

from router.config.snapshot import AdminToken


def token_sent(tokens: Iterable[AdminToken], authorization: str) -> AdminToken | None:
    """The token in an Authorization header: `Bearer TOKEN`, or as the password of Basic with any name."""
    scheme, _, sent = authorization.partition(" ")
    if scheme.lower() == "basic":
        sent = _password(sent)
    elif scheme.lower() != "bearer":
        sent = ""
    return _matching(tokens, sent.strip())


def named_token(tokens: Iterable[AdminToken], name: str, sent: str) -> AdminToken | None:
    """The token of that name, if it is what was sent."""
    found = _matching(tokens, sent.strip())
    is_its_name = hmac.compare_digest(name.encode(), found.name.encode() if found else b"")
    return found if is_its_name else None


def _matching(tokens: Iterable[AdminToken], sent: str) -> AdminToken | None:
    """All are looked at, whichever it is: how long that takes tells neither which one was near nor how long it is."""
    digest = hashlib.sha256(sent.encode()).digest()
    found = None
    for token in tokens:
        if token.secret is None:
            continue
        is_it = hmac.compare_digest(digest, hashlib.sha256(token.secret.reveal().encode()).digest())
        found = token if is_it else found
    return found


def _password(credentials: str) -> str:
    """The password of Basic credentials; empty if they are none."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, no UTF-8, or a letter that is not ASCII
        return ""
