"""OpenAI's `x-ratelimit-*` headers: what is left of a team's limits per minute, by which clients pace themselves.

Names, and durations such as `1s` and `6m0s`, are those of OpenAI's guide on rate limits (November 2026). A minute here
slides: what is used comes back a minute later, so that all of it is there again after a minute.
"""

from router.limits.gate import Left, PaceLeft
from router.server.replies import Headers

_REQUESTS = (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests")
_TOKENS = (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens")


def pace_headers(left: PaceLeft) -> list[tuple[bytes, bytes]]:
    """For whatever is limited; nothing for what is not."""
    headers: list[tuple[bytes, bytes]] = []
    if left.requests is not None:
        headers += _told(_REQUESTS, left.requests)
    if left.tokens is not None:
        headers += _told(_TOKENS, left.tokens)
    return headers


def _told(names: tuple[bytes, bytes, bytes], left: Left) -> Headers:
    values = (b"%d" % left.limit, b"%d" % left.left, _duration(left.reset_s))
    return tuple(zip(names, values, strict=True))


def _duration(seconds: float) -> bytes:
    """As Go writes one, which is how OpenAI does: `120ms`, `12.5s`, `1m0s`."""
    milliseconds = max(round(seconds * 1000), 0)
    if milliseconds < 1000:
        return b"%dms" % milliseconds
    minutes, rest = divmod(milliseconds, 60_000)
    whole, part = divmod(rest, 1000)
    fraction = f".{part:03}".rstrip("0").encode() if part else b""
    return b"%s%d%ss" % (b"%dm" % minutes if minutes else b"", whole, fraction)
