"""The error tree is what its docstring draws, and each error knows its HTTP status, its fault and what may be owed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from router import errors
from router.errors import (
    BodyTooLarge,
    BudgetExhausted,
    ConfigError,
    FailureKind,
    InvalidRequest,
    NothingEligible,
    PenstockError,
    Problem,
    RateLimited,
    Unavailable,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An error as the docstring draws it; where its status depends on the provider's, it is None."""

    name: str
    parent: str | None
    status: int | None
    type: str
    code: str


def drawn() -> Iterator[Drawn]:
    line = re.compile(r"(?P<branch>[│├└─ ]*)(?P<name>\w+) +(?P<status>\d{3}|\.{3}) +(?P<type>\w+) +(?P<code>\w+)")
    above: list[str] = []
    for match in filter(None, map(line.match, (errors.__doc__ or "").splitlines())):
        depth = len(match["branch"]) // 4
        del above[depth:]
        status = int(match["status"]) if match["status"].isdigit() else None
        yield Drawn(match["name"], above[-1] if above else None, status, match["type"], match["code"])
        above.append(match["name"])


def real(error: type[PenstockError], parent: str | None = None) -> Iterator[Drawn]:
    depends = error is UpstreamRefused
    code = "upstream_STATUS" if depends else error.code
    yield Drawn(error.__name__, parent, None if depends else error.status, error.type, code)
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:  # rooms may draw branches of their own
            yield from real(child, error.__name__)


def test_the_docstring_draws_every_error_with_its_parent_status_type_and_code() -> None:
    """Three errors were missing from it once."""
    by_name = {each.name: each for each in drawn()}

    assert by_name == {each.name: each for each in real(PenstockError)}
    assert len(by_name) == len(list(drawn())) > 20


def test_every_error_says_what_happened() -> None:
    assert [each.name for each in drawn() if not getattr(errors, each.name).__doc__] == []


def test_an_error_is_its_message() -> None:
    error = BodyTooLarge("The body has 9 bytes; 8 are accepted.")

    assert str(error) == error.message == "The body has 9 bytes; 8 are accepted."
    assert (error.data(), error.param, error.retry_after_s) == ({}, None, None)


def test_an_invalid_request_names_its_parameter() -> None:
    error = InvalidRequest("Expected a number.", param="temperature", code="invalid_type")

    assert (error.status, error.param, error.code) == (400, "temperature", "invalid_type")


def test_where_nobody_may_serve_every_rejection_is_told() -> None:
    rejection = {"deployment": "cloud:flash", "reason": "unpriced"}

    assert NothingEligible("Nobody.", [rejection]).data() == {"rejections": [rejection]}


def test_a_spent_budget_tells_its_figures_and_not_to_retry() -> None:
    error = BudgetExhausted("Spent.", asked_nano_usd=500, left_nano_usd=20, resets_in_s=12.34567, may_downgrade=True)

    assert error.data() == {"asked_nano_usd": 500, "left_nano_usd": 20, "resets_in_s": 12.346}
    assert (error.status, error.code, error.should_retry, error.may_downgrade) == (
        429,
        "insufficient_quota",
        False,
        True,
    )


def test_who_was_too_fast_is_told_when_to_come_back() -> None:
    error = RateLimited("Slow down.", retry_after_s=2.5)

    assert (error.status, error.should_retry, error.retry_after_s) == (429, True, 2.5)


def test_while_we_cannot_serve_a_retry_in_a_second_is_welcome() -> None:
    error = Unavailable("Draining.")

    assert (error.status, error.should_retry, error.retry_after_s) == (503, True, 1.0)


@pytest.mark.parametrize(
    ("upstream_status", "status"),
    [
        (400, 400),  # the request's fault stays the request's
        (403, 403),
        (413, 413),
        (422, 422),
        (408, 408),  # busy
        (429, 429),
        (503, 503),
        (529, 503),
        (504, 504),
        (524, 504),
        (401, 502),  # our key, our credit, our slug
        (402, 502),
        (404, 502),
        (500, 502),
        (502, 502),
        (200, 502),  # an error in the body of a reply that began well
    ],
)
def test_a_providers_status_is_given_on_only_where_it_speaks_of_the_request(upstream_status: int, status: int) -> None:
    error = UpstreamRefused("No.", provider="cloud", upstream_status=upstream_status, retry_after_s=3.0)

    assert (error.status, error.code, error.outcome) == (
        status,
        f"upstream_{upstream_status}",
        f"upstream_{upstream_status}",
    )
    assert (error.retry_after_s, error.provider) == (3.0, "cloud")


@pytest.mark.parametrize("upstream_status", [400, 403, 413, 422])
def test_a_request_that_every_provider_would_refuse_is_not_to_be_retried(upstream_status: int) -> None:
    """Clients were told to retry it, and the SDKs did."""
    error = UpstreamRefused("No.", provider="cloud", upstream_status=upstream_status)

    assert (error.kind, error.should_retry) == (FailureKind.CALLERS, False)


@pytest.mark.parametrize("upstream_status", [401, 402, 404, 408, 429, 500, 502, 503, 504, 524, 529])
def test_a_refusal_that_may_pass_is_to_be_retried(upstream_status: int) -> None:
    error = UpstreamRefused("No.", provider="cloud", upstream_status=upstream_status)

    assert error.kind is not FailureKind.CALLERS
    assert error.should_retry


@pytest.mark.parametrize(
    ("error", "may_be_owed"),
    [
        (UpstreamRefused("", provider="cloud", upstream_status=500), False),
        (UpstreamUnreachable("", provider="cloud"), False),
        (UpstreamBroken("", provider="cloud"), True),
        (UpstreamTimeout("", provider="cloud"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_a_call_that_was_sent_and_not_answered_may_be_owed(error: UpstreamError, *, may_be_owed: bool) -> None:
    assert error.may_be_owed is may_be_owed


def test_an_upstream_error_tells_who_was_tried() -> None:
    error = UpstreamBroken("Cut off.", provider="cloud")

    assert error.data() == {}
    assert error.kind is FailureKind.BROKEN
    error.tried = ("local:flash", "cloud:flash")
    assert error.data() == {"tried": ["local:flash", "cloud:flash"]}


def test_a_configuration_error_lists_every_problem_with_its_place() -> None:
    error = ConfigError([Problem("teams/a.yaml", 3, 7, "unknown key"), Problem("models.yaml", 1, 1, "empty")])

    assert str(error) == "teams/a.yaml:3:7: unknown key\nmodels.yaml:1:1: empty"
    assert len(error.problems) == 2
