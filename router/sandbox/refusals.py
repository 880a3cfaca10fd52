"""Refusals: the errors a server answers with before anything is generated. None of them is billed."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from router.sandbox.json_text import JsonObject

ROUTING_HELP = (
    "To learn more about provider routing, visit: https://openrouter.ai/docs/guides/routing/provider-selection"
)
"""How OpenRouter ends what it says about its filters."""

USER_ID = "user_2sandboxSandboxSandboxSand"
"""The account id OpenRouter puts beside an error."""


class Refusal(Exception):
    """The request is answered with an error and nothing is owed for it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        metadata: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
        error: JsonObject | None = None,
        content: bytes | None = None,
        after_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.metadata = metadata
        self.headers = {} if headers is None else dict(headers)
        self.error = error  # the `error` object, where it is not the usual one
        self.content = content  # an HTML page instead of JSON
        self.after_s = after_s  # real seconds before it is said

    def body(self) -> JsonObject:
        """OpenRouter's error envelope; `code` is the HTTP status as a number."""
        if self.error is not None:
            return {"error": self.error, "user_id": USER_ID}
        error: JsonObject = {"message": self.message, "code": self.status}
        if self.metadata is not None:
            error["metadata"] = self.metadata
        return {"error": error, "user_id": USER_ID}


def invalid(message: str) -> Refusal:
    """400: a parameter is wrong."""
    return Refusal(400, message, metadata={"error_type": "invalid_request"})


def figure_of(value: object, *, refused_as: str) -> Decimal:
    """A number from JSON that is not below zero. Raises Refusal (400); `refused_as` is said of one that is."""
    try:
        figure = Decimal(str(value))
    except InvalidOperation:
        raise invalid(f"{value!r} is no number") from None
    if not figure.is_finite() or figure < 0:
        raise invalid(refused_as)
    return figure


def unauthenticated(message: str) -> Refusal:
    """401: no key, or a key nobody has."""
    return Refusal(401, message)


def not_found(message: str) -> Refusal:
    """404: no such thing."""
    return Refusal(404, message)


def no_endpoints(
    message: str,
    *,
    step: str,
    requested_providers: Sequence[str] | None = None,
    available_providers: Sequence[str] | None = None,
) -> Refusal:
    """404: the model exists, but `step` of OpenRouter's routing filtered its only endpoint out."""
    funnel = [{"step": "Initial Endpoints", "endpoint_count": 1}, {"step": step, "endpoint_count": 0}]
    metadata: JsonObject = {"failed_routing_step": step, "routing_funnel": funnel}
    if requested_providers is not None:
        metadata |= {"requested_providers": requested_providers, "available_providers": available_providers}
    return Refusal(404, message, metadata=metadata)
