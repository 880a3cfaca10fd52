"""What a browser asks, and what it is answered: `Asked`, `Answer`, `Form`; where forms may come from.

A form that changes something is taken only if the browser says that our own page sent it, and if it holds the mark that
our pages put into their forms.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.types import Receive, Scope

from router.console.visiting import NOBODY, Visitor, visitor_of
from router.errors import CallerError, InvalidRequest

_MOST_FIELDS = 20
_MOST_QUERY_BYTES = 8_192
MARK = "mark"  # the field of a form that holds ours


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a page. Of a field that is sent several times the first counts; empty ones are left out."""

    path: str
    query: Mapping[str, str]
    form: Mapping[str, str] | None  # None: nothing was posted
    is_fragment: bool  # a script asks for a part of the page
    visitor: Visitor = NOBODY  # who asks


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, as the template and what it shows."""

    template: str
    shown: Mapping[str, Any] = field(default_factory=dict)
    status: int = HTTPStatus.OK
    is_live: bool = False  # a part that asks for itself again, and is only sent if it has changed


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """The page to go to."""

    path: str


Page = Callable[[Asked], Awaitable[Answer | Elsewhere]]  # raises PenstockError, which is shown in a page of its own


class NotOurs(CallerError):
    """A form that none of our pages has sent."""

    status = HTTPStatus.FORBIDDEN
    code = "foreign_form"


class TooLong(CallerError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"


class BrowserGone(Exception):
    """Nobody is left to answer."""


class Marks:
    """What our forms are known by: a digest of the day, and of whom they are for, under a secret of all processes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hmac.digest(secret, b"penstock console forms", hashlib.sha256)

    def of(self, now: datetime, bound_to: str) -> str:
        """Good until the end of the day after, for who it was made for."""
        return hmac.digest(self._secret, f"{now:%Y-%m-%d} {bound_to}".encode(), hashlib.sha256).hex()

    def is_ours(self, mark: str, now: datetime, bound_to: str) -> bool:
        days = (now, now - timedelta(days=1))
        return any(hmac.compare_digest(mark.encode(), self.of(day, bound_to).encode()) for day in days)


def is_from_elsewhere(scope: Scope) -> bool:
    """Whether the browser says that another page than one of this host has sent the request."""
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if origin is not None and _host_of(origin) != headers.get(b"host", ""):
        return True
    return site is not None and site not in ("same-origin", "none")


def _host_of(origin: str) -> str | None:
    """Host and port; None of what is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:  # a bracket that nothing closes
        return None


def require_own(scope: Scope, asked: Asked, marks: Marks, now: datetime) -> None:
    """Raises NotOurs unless one of our pages, made for who asks, has sent the form."""
    assert asked.form is not None
    mark = asked.form.get(MARK, "")
    if is_from_elsewhere(scope) or not marks.is_ours(mark, now, asked.visitor.bound_to):
        raise NotOurs("This form was not sent by a page of this console, or the page is days old. Load it again.")


async def read(scope: Scope, receive: Receive, *, limit_bytes: int) -> Asked:
    """Raises InvalidRequest, TooLong, BrowserGone."""
    query = scope["query_string"]
    if len(query) > _MOST_QUERY_BYTES:
        raise InvalidRequest(f"The query is longer than {_MOST_QUERY_BYTES} bytes.")
    form = None
    if scope["method"] == "POST":
        form = _fields(await _body(receive, limit_bytes))
    return Asked(
        path=scope["path"],
        query=_fields(query),
        form=form,
        is_fragment=any(name == b"hx-request" for name, _ in scope["headers"]),
        visitor=visitor_of(scope),
    )


async def _body(receive: Receive, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BrowserGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit_bytes:
            raise TooLong(f"The form is larger than {limit_bytes} bytes, which is the most that is taken.")
        if not message.get("more_body", False):
            return b"".join(parts)


def _fields(text: bytes) -> dict[str, str]:
    try:
        fields = parse_qs(text.decode("latin-1"), max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise InvalidRequest(f"The form has more than {_MOST_FIELDS} fields; use the page's own.") from error
    return {name: values[0].strip() for name, values in fields.items() if values[0].strip()}
