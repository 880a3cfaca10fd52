"""What a provider answers by the Responses API: the bill, the error and the end of a response, whole or in a stream.

Reading is permissive, as of chats: a field of an unexpected type is treated as absent.
"""

from decimal import Decimal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.units import Usage
from router.wire.foreign import UNREADABLE
from router.wire.replies import (
    FALSY,
    Bill,
    InputDetails,
    OutputDetails,
    ReplyChoice,
    ReplyFacts,
    plausible_cost,
    plausible_tokens,
    read_object,
    short_name,
)

# How a response ended, in the words of a chat, which is what is kept of every answer.
_BY_REASON = {"max_output_tokens": "length", "content_filter": "content_filter"}
REASONS = {word: reason for reason, word in _BY_REASON.items()}

# The HTTP status that each kind of error would have had: OpenAI's codes (openai-python 3.54, ResponseError) and
# OpenRouter's `error_type` (its documentation, 2026-08; openrouter.md §3).
_STATUS = {
    "rate_limit_exceeded": 429,
    "invalid_prompt": 400,
    "invalid_request": 400,
    "context_length_exceeded": 400,
    "max_tokens_exceeded": 400,
    "token_limit_exceeded": 400,
    "string_too_long": 400,
    "content_policy_violation": 403,
    "authentication": 401,
    "payment_required": 402,
    "permission_denied": 403,
    "not_found": 404,
    "server_error": 500,
    "server": 500,
    "provider_unavailable": 502,
    "provider_overloaded": 503,
    "timeout": 504,
    "vector_store_timeout": 504,
}
_GOOD = frozenset({"completed", "incomplete"})
_UNDER_WAY = frozenset({"in_progress", "queued"})


class _Usage(Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: Decimal | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class _Why(Struct):
    reason: str | None = None


class _Type(Struct):
    type: str | None = None


class _Response(Struct):
    id: str | None = None
    model: str | None = None
    provider: str | None = None
    status: str | None = None
    output: list[_Type] | None = None
    incomplete_details: _Why | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    error_type: str | None = None


class StreamEvent(Struct):
    """What we act on in an event of a stream."""

    type: str | None = None
    sequence_number: int | None = None
    response: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    error_type: str | None = None

    @property
    def is_plain(self) -> bool:
        """It carries neither a response nor an error."""
        return self.response is UNSET and self.error is UNSET


class ResponsesReplyReader:
    """Reads responses; holds the decoders, which are costly to make and safe to share."""

    def __init__(self) -> None:
        self._response = msgspec.json.Decoder(_Response)
        self._usage = msgspec.json.Decoder(_Usage)
        self._event = msgspec.json.Decoder(StreamEvent)

    def event(self, payload: bytes) -> StreamEvent | None:
        """An event of a stream, or None if it is not a JSON object."""
        return read_object(self._event, payload, StreamEvent)

    def facts(self, body: bytes) -> ReplyFacts | None:
        """What a `response` object says, or None if it is not a JSON object. It is one choice, unless it is under way,
        has failed without a word, or has neither an output nor an end, as an answer of another API."""
        response = read_object(self._response, body, _Response)
        if response is None:
            return None
        output = response.output or ()
        error = _error(response)
        is_response = response.output is not None or response.status in _GOOD
        has_ended = is_response and response.status not in _UNDER_WAY and (error is None or bool(output))
        return ReplyFacts(
            generation_id=short_name(response.id),
            model=short_name(response.model),
            provider=short_name(response.provider),
            choices=(ReplyChoice(finish_reason=_finish_reason(response)),) if has_ended else (),
            bill=self._bill(response.usage),
            error=error,
        )

    def _bill(self, usage: Raw | UnsetType) -> Bill | None:
        read = None if usage is UNSET else read_object(self._usage, bytes(usage), _Usage)
        if read is None:
            return None
        input_tokens, output_tokens = plausible_tokens(read.input_tokens), plausible_tokens(read.output_tokens)
        if input_tokens is None or output_tokens is None:
            return None
        inputs = read.input_tokens_details or InputDetails()
        outputs = read.output_tokens_details or OutputDetails()
        return Bill(
            usage=Usage(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cached_tokens=plausible_tokens(inputs.cached_tokens) or 0,
                cache_write_tokens=plausible_tokens(inputs.cache_write_tokens) or 0,
                reasoning_tokens=plausible_tokens(outputs.reasoning_tokens) or 0,
            ),
            cost_usd=plausible_cost(read.cost),
        )


def error_with_status(error: bytes, error_type: str | None = None) -> bytes:
    """An error object with the HTTP status beside it that it would have had: its code is a word here."""
    try:
        members = msgspec.json.decode(error, type=dict[str, Raw])
        code = msgspec.json.decode(members.get("code", b"null"))
    except UNREADABLE:
        return error
    status = _STATUS.get(error_type or "") or (_STATUS.get(code) if isinstance(code, str) else None)
    return error if status is None else msgspec.json.encode({"http_status": status, **members})


def _error(response: _Response) -> bytes | None:
    if response.error is not UNSET and bytes(response.error) not in FALSY:
        return error_with_status(bytes(response.error), response.error_type)
    if response.status is None or response.status in _GOOD or response.status in _UNDER_WAY:
        return None
    failed = {"code": response.status, "message": f"the response ended as {short_name(response.status)}"}
    return error_with_status(msgspec.json.encode(failed), response.error_type)


def _finish_reason(response: _Response) -> str:
    if response.status == "incomplete":
        reason = response.incomplete_details.reason if response.incomplete_details is not None else None
        return _BY_REASON.get(reason or "", "length")
    calls = any((each.type or "").endswith("_call") for each in response.output or ())
    return "tool_calls" if calls else "stop"
