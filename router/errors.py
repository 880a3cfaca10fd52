"""The error tree: what went wrong, whose fault it is, and what HTTP says about it.

PenstockError                   500  server_error           internal_error
├── CallerError                 400  invalid_request_error  invalid_request
│   ├── InvalidRequest          400  invalid_request_error  invalid_request, or one that the raiser chose
│   ├── Inadmissible            400  invalid_request_error  malformed, or another of `Refusal` (server/edge.py)
│   ├── IdempotencyConflict     409  invalid_request_error  idempotency_key_reused
│   ├── IdempotencyBusy         409  invalid_request_error  idempotency_key_in_use
│   ├── NothingEligible         400  invalid_request_error  no_eligible_model
│   ├── Unauthenticated         401  authentication_error   invalid_api_key
│   │   └── TeamGone            401  authentication_error   invalid_api_key
│   ├── Forbidden               403  permission_error       forbidden
│   │   ├── OutsideKeyScope     403  permission_error       outside_key_scope
│   │   └── AddressNotAllowed   403  permission_error       address_not_allowed
│   ├── UnknownModel            404  invalid_request_error  model_not_found
│   ├── UnknownRequest          404  invalid_request_error  request_not_found
│   ├── UnknownRoute            404  invalid_request_error  unknown_route
│   ├── WrongMethod             405  invalid_request_error  method_not_allowed
│   ├── BodyTooLarge            413  invalid_request_error  body_too_large
│   ├── UnsupportedEncoding     415  invalid_request_error  unsupported_content_encoding
│   ├── BudgetExhausted         429  insufficient_quota     insufficient_quota
│   └── RateLimited             429  rate_limit_error       rate_limit_exceeded
├── UpstreamError               502  upstream_error         upstream_error
│   ├── UpstreamRefused         ...  upstream_error         upstream_STATUS; its own status follows from the provider's
│   ├── UpstreamUnreachable     502  upstream_error         upstream_unreachable
│   ├── UpstreamBroken          502  upstream_error         upstream_broken
│   └── UpstreamTimeout         504  upstream_error         upstream_timeout
├── Unavailable                 503  server_error           unavailable
│   ├── UpstreamBusy            503  server_error           upstream_busy
│   └── Overloaded              503  server_error           overloaded
├── PricingError                500  server_error           pricing_error
├── ConfigError                 500  server_error           config_error
├── BrokenArtefact              500  server_error           broken_artefact
└── BadOutcomes                 500  server_error           bad_outcomes
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar


class PenstockError(Exception):
    """Base of all our errors. `message` says what was expected, what came, and what to do."""

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"
    should_retry: bool | None = None  # the `x-should-retry` header; None leaves the SDK's own rule
    param: str | None = None
    retry_after_s: float | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def data(self) -> Mapping[str, object]:
        """Further members of the JSON error object, beside message, type, param and code."""
        return {}


class CallerError(PenstockError):
    """The request is at fault; nothing was sent, nothing is owed."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    should_retry = False


class InvalidRequest(CallerError):
    """The body, a parameter or a control header."""

    def __init__(self, message: str, *, param: str | None = None, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class Inadmissible(CallerError):
    """What came is no request, or one with more than one meaning, or came too slowly; the connection is closed."""

    code = "malformed"

    def __init__(self, message: str, *, status: int, code: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class IdempotencyConflict(CallerError):
    """The key under which a request asks to be carried out once stands for another one."""

    status = 409
    code = "idempotency_key_reused"
    param = "idempotency-key"


class IdempotencyBusy(CallerError):
    """The request under that key is still being carried out."""

    status = 409
    code = "idempotency_key_in_use"
    param = "idempotency-key"
    should_retry = True
    retry_after_s = 1.0


class NothingEligible(CallerError):
    """No candidate may serve this request; carries every rejection."""

    code = "no_eligible_model"

    def __init__(self, message: str, rejections: Sequence[Mapping[str, object]]) -> None:
        super().__init__(message)
        self.rejections = tuple(rejections)

    def data(self) -> Mapping[str, object]:
        return {"rejections": list(self.rejections)}


class Unauthenticated(CallerError):
    """No key, or not one of ours."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class TeamGone(Unauthenticated):
    """The key is one of ours, and its team is not in the configuration any more."""

    def __init__(self, team: str) -> None:
        super().__init__(f"The API key belongs to team {team!r}, which is not configured any more.")


class Forbidden(CallerError):
    """The key is good, the thing is not for it."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class OutsideKeyScope(Forbidden):
    """The key's team may do it, and the key may not; carries every rejection, where models were rejected."""

    code = "outside_key_scope"

    def __init__(
        self, message: str, *, param: str | None = None, rejections: Sequence[Mapping[str, object]] = ()
    ) -> None:
        super().__init__(message)
        self.param = param
        self.rejections = tuple(rejections)

    def data(self) -> Mapping[str, object]:
        return {"rejections": list(self.rejections)} if self.rejections else {}


class AddressNotAllowed(Forbidden):
    """The key is good, but not from where it was sent."""

    code = "address_not_allowed"


class UnknownModel(CallerError):
    """Neither an alias nor a model of this team."""

    status = 404
    code = "model_not_found"
    param = "model"


class UnknownRequest(CallerError):
    """No request of this team has that name; whether another team's has is not told."""

    status = 404
    code = "request_not_found"
    param = "request_id"


class UnknownRoute(CallerError):
    """Nothing is served at this path."""

    status = 404
    code = "unknown_route"


class WrongMethod(CallerError):
    """The path is served, but not to this method."""

    status = 405
    code = "method_not_allowed"


class BodyTooLarge(CallerError):
    """The body is longer than is accepted; the rest of it is not read."""

    status = 413
    code = "body_too_large"


class UnsupportedEncoding(CallerError):
    """The body is compressed; only plain JSON is read."""

    status = 415
    code = "unsupported_content_encoding"


class BudgetExhausted(CallerError):
    """The sum asked for does not fit, and retrying will not help before the window resets.

    `resets_in_s` is the time until the tightest window starts anew.
    """

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(
        self,
        message: str,
        *,
        asked_nano_usd: int,
        left_nano_usd: int,
        resets_in_s: float,
        may_downgrade: bool,
    ) -> None:
        super().__init__(message)
        self.may_downgrade = may_downgrade  # the budget says: try the policy's cheapest models before refusing
        self.asked_nano_usd = asked_nano_usd
        self.left_nano_usd = left_nano_usd
        self.resets_in_s = resets_in_s

    def data(self) -> Mapping[str, object]:
        return {
            "asked_nano_usd": self.asked_nano_usd,
            "left_nano_usd": self.left_nano_usd,
            "resets_in_s": round(self.resets_in_s, 3),
        }


class RateLimited(CallerError):
    """Too many requests or tokens; retrying later will help."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    should_retry = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(PenstockError):
    """We cannot serve now: draining, or overloaded."""

    status = 503
    type = "server_error"
    code = "unavailable"
    should_retry = True
    retry_after_s = 1.0


class Overloaded(Unavailable):
    """More is asked of this process than it can do; the request was not begun."""

    code = "overloaded"

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = wait_s


class FailureKind(Enum):
    """What a failed call says, and so what is to be done: about its request, its deployment, its provider."""

    UNSENT = auto()  # it never reached the provider: the same deployment or another may be asked
    BROKEN = auto()  # the deployment fails
    BUSY = auto()  # it says "not now": left alone until it says, or for a while
    ACCOUNT = auto()  # our own key or credit at the provider: all its deployments are left alone
    DECLINED = auto()  # it cannot serve this request as asked (filters, ceilings, names); others may
    TOO_LONG = auto()  # the request exceeds its window: only larger ones may
    CALLERS = auto()  # the request itself is wrong, and would be everywhere


class UpstreamBusy(Unavailable):
    """Whoever may serve the request has said when to come again, and that is later. Nothing was sent."""

    code = "upstream_busy"

    def __init__(self, deployments: Iterable[str], *, retry_after_s: float) -> None:
        super().__init__(
            "Every model that may serve this request is busy, or our credit at its provider is used up for now: "
            f"{', '.join(dict.fromkeys(deployments))}. Send the request again later."
        )
        self.retry_after_s = max(retry_after_s, 1.0)


class UpstreamError(PenstockError):
    """A provider failed. `may_be_owed`: the call may have reached it and may be billed."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"
    should_retry = True
    may_be_owed: bool = False
    kind: FailureKind = FailureKind.BROKEN

    def __init__(self, message: str, *, provider: str) -> None:
        super().__init__(message)
        self.provider = provider
        self.tried: tuple[str, ...] = ()  # every deployment that was asked, this one last

    def data(self) -> Mapping[str, object]:
        return {"tried": list(self.tried)} if self.tried else {}

    @property
    def outcome(self) -> str:
        """The name of this failure in `penstock_attempts_total{outcome}` and in the ledger."""
        return self.code


class UpstreamRefused(UpstreamError):
    """The provider answered with an error of `upstream_status`, over HTTP or in a body.

    It bills nothing for that, unless an answer had begun (`may_be_owed`).
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        upstream_status: int,
        kind: FailureKind | None = None,
        retry_after_s: float | None = None,
        may_be_owed: bool = False,
    ) -> None:
        """Without a kind it follows from the status alone."""
        super().__init__(message, provider=provider)
        self.kind = _kind_of(upstream_status) if kind is None else kind
        self.may_be_owed = may_be_owed
        self.upstream_status = upstream_status
        self.retry_after_s = retry_after_s
        self.status = _status_for(upstream_status, self.kind)
        self.code = f"upstream_{upstream_status}"
        # Otherwise the same request would be refused again.
        self.should_retry = self.kind not in (FailureKind.CALLERS, FailureKind.TOO_LONG)


class UpstreamUnreachable(UpstreamError):
    """No connection, so nothing was sent."""

    code = "upstream_unreachable"
    kind = FailureKind.UNSENT


class UpstreamBroken(UpstreamError):
    """The connection or the protocol failed after sending."""

    code = "upstream_broken"
    may_be_owed = True


class UpstreamTimeout(UpstreamError):
    """The provider took longer than we wait."""

    status = 504
    code = "upstream_timeout"
    may_be_owed = True


class PricingError(PenstockError):
    """A usage report contradicts itself, or a price is unknown."""

    code = "pricing_error"


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a configuration file; line and column count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(PenstockError):
    """A configuration that must not be served; lists every problem."""

    code = "config_error"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class BrokenArtefact(PenstockError):
    """The file of a text head: damaged, or made by another version."""

    code = "broken_artefact"


class BadOutcomes(PenstockError):
    """A file of prompts and outcomes that cannot be read, or that does not hold what is asked of it."""

    code = "bad_outcomes"


def printable(name: str) -> str:
    """A foreign name as it may stand in a line of text: what a terminal would act on, or would not show, is escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def _kind_of(upstream_status: int) -> FailureKind:
    if upstream_status in _CALLERS_FAULT:
        return FailureKind.CALLERS
    return _KINDS.get(upstream_status, FailureKind.BROKEN)


_KINDS = {
    401: FailureKind.ACCOUNT,
    402: FailureKind.DECLINED,  # often one request's limit exceeds our credit, and a cheaper one would not
    404: FailureKind.DECLINED,
    429: FailureKind.BUSY,
    529: FailureKind.BUSY,  # Anthropic's "overloaded"
}

# Statuses by which a provider says that the request itself is wrong, so that every provider would say it.
# 404 is not among them: OpenRouter says it when its own filters leave no endpoint (reference: openrouter.md §3).
_CALLERS_FAULT = frozenset({400, 403, 413, 422})


def _status_for(upstream_status: int, kind: FailureKind) -> int:
    """The caller's fault stays the caller's; a busy provider is 429 or 503; our own key, credit or slug is 502.

    Also where the provider blames the request by the status, and us by its words.
    """
    if upstream_status in _CALLERS_FAULT:
        return upstream_status if kind in (FailureKind.CALLERS, FailureKind.TOO_LONG) else 502
    if upstream_status in (408, 429):
        return upstream_status
    if upstream_status in (503, 529):
        return 503
    if upstream_status in (504, 524):
        return 504
    return 502
