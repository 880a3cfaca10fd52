"""Request headers that we act on: our own, `x-penstock-*`, by which a client may ask more of one request than the
policy of its team does, OpenRouter's `x-session-id`, and `cache-control` as it is for requests (RFC 9111, 5.2.1).

A control that is unknown or malformed is an error, never ignored: a ceiling that was misspelt would be no ceiling.
"""

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import msgspec

from router.errors import InvalidRequest

_PREFIX = b"x-penstock-"
_PREFIX_BYTES = len(_PREFIX)
_OTHERS = frozenset({b"x-session-id", b"cache-control"})
_MOST_SESSION_CHARS = 256  # OpenRouter's limit (openrouter.md §1.1)
_TAG = re.compile(r"[A-Za-z0-9_.:/=-]{1,64}")
_MOST_TAGS = 8
_LEAST_USD = Decimal("1e-9")  # what is booked; 1e-999999 is a megabyte when written out
_MOST_MS = 86_400_000  # a day
_MOST_USD = 1_000_000  # a larger ceiling is none, and figures without bound do not fit the arithmetic behind it

# OpenRouter's words for it, weakest first (openrouter.md §1.1).
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


class Controls(msgspec.Struct, frozen=True, gc=False):
    max_cost_usd: Decimal | None = None
    min_quality: float | None = None
    max_latency_ms: int | None = None
    max_effort: str | None = None
    policy: str | None = None
    tags: tuple[str, ...] = ()
    is_dry_run: bool = False
    session_id: str | None = None  # the client's name for the conversation
    no_cache: bool = False  # an answer that was given before will not do
    no_store: bool = False  # nor may this one be kept


NO_CONTROLS = Controls()


def controls_from(headers: Iterable[tuple[bytes, bytes]]) -> Controls:
    """The controls among raw headers (names in lower case). Raises InvalidRequest naming the header at fault."""
    found = [header for header in headers if header[0][:_PREFIX_BYTES] == _PREFIX or header[0] in _OTHERS]
    if not found:
        return NO_CONTROLS
    given: dict[str, str] = {}
    directives: set[str] = set()
    for raw_name, raw_value in found:
        name = raw_name.decode("latin-1")
        if raw_name == b"cache-control":  # a list, which may come in several headers
            directives.update(each.strip().lower() for each in raw_value.decode("latin-1").split(","))
            continue
        if name in given:
            raise _invalid(name, "it was sent twice; send it once")
        given[name] = raw_value.decode("latin-1").strip()
    controls = Controls(
        max_cost_usd=_dollars(given.pop("x-penstock-max-cost-usd", None)),
        min_quality=_probability(given.pop("x-penstock-min-quality", None)),
        max_latency_ms=_milliseconds(given.pop("x-penstock-max-latency-ms", None)),
        max_effort=_effort(given.pop("x-penstock-max-effort", None)),
        policy=_policy(given.pop("x-penstock-policy", None)),
        tags=_tags(given.pop("x-penstock-tags", None)),
        is_dry_run=_flag(given.pop("x-penstock-dry-run", None)),
        session_id=_session(given.pop("x-session-id", None)),
        no_cache=not directives.isdisjoint(("no-cache", "no-store", "max-age=0")),
        no_store="no-store" in directives,
    )
    for name in given:
        raise _invalid(
            name,
            "it is not a control; known are x-penstock-max-cost-usd, -min-quality, -max-latency-ms, -max-effort, "
            "-policy, -tags and -dry-run",
        )
    return controls


def _dollars(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not _LEAST_USD <= amount <= _MOST_USD:
        raise _invalid(
            "x-penstock-max-cost-usd", f"expected dollars above 0, up to {_MOST_USD}, such as 0.05, got {text[:40]!r}"
        )
    return amount


def _probability(text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"[01](\.\d{1,9})?|\.\d{1,9}", text) or not 0 <= float(text) <= 1:
        raise _invalid("x-penstock-min-quality", f"expected a probability from 0 to 1 such as 0.9, got {text[:40]!r}")
    return float(text)


def _milliseconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,8}", text) or not 1 <= int(text) <= _MOST_MS:
        raise _invalid(
            "x-penstock-max-latency-ms",
            f"expected whole milliseconds from 1 to {_MOST_MS} such as 2000, got {text[:40]!r}",
        )
    return int(text)


def _effort(text: str | None) -> str | None:
    if text is not None and text not in _EFFORTS:
        raise _invalid("x-penstock-max-effort", f"expected one of {', '.join(_EFFORTS)}, got {text[:40]!r}")
    return text


def _policy(text: str | None) -> str | None:
    if text == "":
        raise _invalid("x-penstock-policy", "expected the name of a policy of your team, got nothing")
    return text


def _tags(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    tags = tuple(dict.fromkeys(tag.strip() for tag in text.split(",")))  # one named twice is charged once
    if len(tags) > _MOST_TAGS or not all(_TAG.fullmatch(tag) for tag in tags):
        raise _invalid(
            "x-penstock-tags",
            f"expected up to {_MOST_TAGS} tags separated by commas, each of 1 to 64 letters, digits or _.:/=-",
        )
    return tags


def _session(text: str | None) -> str | None:
    if text is not None and len(text) > _MOST_SESSION_CHARS:
        raise _invalid("x-session-id", f"expected at most {_MOST_SESSION_CHARS} characters, got {len(text)}")
    return text or None


def _flag(text: str | None) -> bool:
    if text not in (None, "0", "1"):
        raise _invalid("x-penstock-dry-run", f"expected 0 or 1, got {text[:40]!r}")
    return text == "1"


def _invalid(name: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"Header {name[:60]}: {what}.", param=name[:60], code="invalid_control")
