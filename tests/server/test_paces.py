"""OpenAI's `x-ratelimit-*` headers, by which clients pace themselves."""

import pytest

from router.limits.gate import Left, PaceLeft
from router.server.paces import pace_headers


def test_what_is_limited_is_told_as_openai_tells_it() -> None:
    told = dict(pace_headers(PaceLeft(Left(600, 599, 60.0), Left(2_000_000, 1_999_000, 0.12))))

    assert told == {
        b"x-ratelimit-limit-requests": b"600",
        b"x-ratelimit-remaining-requests": b"599",
        b"x-ratelimit-reset-requests": b"1m0s",
        b"x-ratelimit-limit-tokens": b"2000000",
        b"x-ratelimit-remaining-tokens": b"1999000",
        b"x-ratelimit-reset-tokens": b"120ms",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, b"0ms"), (-1, b"0ms"), (0.0004, b"0ms"), (0.9996, b"1s"), (1, b"1s"), (12.5, b"12.5s"), (59.9996, b"1m0s")],
)
def test_durations_are_written_as_go_writes_them(seconds: float, text: bytes) -> None:
    assert dict(pace_headers(PaceLeft(Left(1, 0, seconds), None)))[b"x-ratelimit-reset-requests"] == text


def test_what_is_not_limited_is_not_told() -> None:
    assert pace_headers(PaceLeft(None, None)) == []
