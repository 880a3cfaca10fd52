"""What providers answer: usage, cost, who served it, and errors in all the shapes they come in.

Reading is permissive: a field of an unexpected type is treated as absent, because a bill must not depend on a
provider's cosmetics. Field names follow OpenRouter (captures of 2025-11 to 2026-10) and DeepSeek's own API.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from router.errors import PenstockError, UpstreamRefused
from router.units import Usage, nano_usd


class _InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    cost: Decimal | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek's own API (api-docs.deepseek.com, 2026)


class _ErrorMetadata(Struct):
    error_type: str | None = None
    raw: Raw | UnsetType = UNSET


class _Error(Struct):
    message: str | None = None
    code: int | str | None = None
    http_status: int | None = None  # the availability object has it in place of `code` (openrouter.md §3)
    metadata: _ErrorMetadata | None = None


class _Choice(Struct):
    index: int = 0
    finish_reason: str | None = None
    error: Raw | UnsetType = UNSET


class _Reply(Struct):
    id: str | None = None
    model: str | None = None
    provider: str | None = None
    choices: list[_Choice] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Bill:
    """What a reply says about its own cost."""

    usage: Usage
    cost_usd: Decimal | None  # the provider's own figure, or None if it gave none that makes sense

    @property
    def nano_usd(self) -> int | None:
        return None if self.cost_usd is None else nano_usd(self.cost_usd)


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What we act on in a body or in one chunk of a stream."""

    generation_id: str | None
    model: str | None
    provider: str | None
    choices: Sequence[_Choice]
    bill: Bill | None
    error: bytes | None  # the error object as received, top-level or of the first choice that has one


class GenerationRecord(Struct):
    """The provider's own record of a call (OpenRouter `GET /generation`), fetched after a reply that told no cost."""

    total_cost: Decimal
    native_tokens_prompt: int | None = None
    native_tokens_completion: int | None = None
    native_tokens_reasoning: int | None = None
    native_tokens_cached: int | None = None

    def bill(self) -> Bill:
        return Bill(
            usage=Usage(
                input_tokens=self.native_tokens_prompt or 0,
                output_tokens=self.native_tokens_completion or 0,
                cached_tokens=self.native_tokens_cached or 0,
                reasoning_tokens=self.native_tokens_reasoning or 0,
            ),
            cost_usd=_plausible(self.total_cost),
        )


class _RecordEnvelope(Struct):
    data: GenerationRecord


class ReplyReader:
    """Reads replies; holds the decoders, which are costly to make and safe to share."""

    def __init__(self) -> None:
        self._reply = msgspec.json.Decoder(_Reply)
        self._usage = msgspec.json.Decoder(_Usage)
        self._error = msgspec.json.Decoder(_Error)
        self._envelope = msgspec.json.Decoder(dict[str, Raw])
        self._record = msgspec.json.Decoder(_RecordEnvelope)

    def facts(self, body: bytes) -> ReplyFacts | None:
        """What the body or chunk says, or None if it is not a JSON object of the expected kind."""
        try:
            reply = self._reply.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        choices = reply.choices or ()
        errors = (reply.error, *(choice.error for choice in choices))
        return ReplyFacts(
            generation_id=reply.id,
            model=reply.model,
            provider=reply.provider,
            choices=choices,
            bill=self._bill(reply.usage),
            error=next((bytes(error) for error in errors if error is not UNSET and bytes(error) != b"null"), None),
        )

    def record(self, body: bytes) -> Bill | None:
        """The bill in a generation record, or None if the body is not one."""
        try:
            return self._record.decode(body).data.bill()
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def refusal(
        self, body: bytes, *, status: int, provider: str, retry_after_s: float | None = None
    ) -> UpstreamRefused:
        """The error that an HTTP response of `status` with this body stands for."""
        try:
            error = self._envelope.decode(body).get("error")
        except (msgspec.DecodeError, UnicodeDecodeError):
            error = None
        return self.error(
            b"{}" if error is None else bytes(error), provider=provider, status=status, retry_after_s=retry_after_s
        )

    def error(
        self, error: bytes, *, provider: str, status: int | None = None, retry_after_s: float | None = None
    ) -> UpstreamRefused:
        """The error in an `error` object. `status` is that of the response if it was not 200."""
        try:
            read = self._error.decode(error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            read = _Error()
        upstream_status = status or _status(read)
        return UpstreamRefused(
            _message(read, upstream_status, provider),
            provider=provider,
            upstream_status=upstream_status,
            retry_after_s=retry_after_s,
        )

    def _bill(self, usage: Raw | UnsetType) -> Bill | None:
        if usage is UNSET:
            return None
        try:
            read = self._usage.decode(usage)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if read.prompt_tokens < 0 or read.completion_tokens < 0:
            return None
        inputs = read.prompt_tokens_details or _InputDetails()
        outputs = read.completion_tokens_details or _OutputDetails()
        cached = inputs.cached_tokens if inputs.cached_tokens is not None else read.prompt_cache_hit_tokens
        return Bill(
            usage=Usage(
                input_tokens=read.prompt_tokens,
                output_tokens=read.completion_tokens,
                cached_tokens=max(cached or 0, 0),
                cache_write_tokens=max(inputs.cache_write_tokens or 0, 0),
                reasoning_tokens=max(outputs.reasoning_tokens or 0, 0),
            ),
            cost_usd=_plausible(read.cost),
        )


def error_body(error: PenstockError, *, request_id: str | None = None) -> bytes:
    """The error as OpenAI writes it: one `error` object with a string `code`."""
    return msgspec.json.encode(
        {
            "error": {
                "message": error.message,
                "type": error.type,
                "param": error.param,
                "code": error.code,
                **error.data(),
                **({"request_id": request_id} if request_id else {}),
            }
        }
    )


# Statuses whose text speaks of our own account with the provider: not for our callers' eyes.
_OUR_ACCOUNT = {
    401: "it refused our key",
    402: "our credit there does not cover the request",
    403: None,  # moderation: the caller should read the reason
}
_MOST_USD = 1_000_000  # for a single call; a larger figure is a provider's mistake, and is not believed
_MESSAGE_LENGTH = 600  # characters of a provider's message that we pass on


def _plausible(cost_usd: Decimal | None) -> Decimal | None:
    """A cost that can be booked: not negative, not NaN, and below what an integer column holds."""
    if cost_usd is None or not cost_usd.is_finite() or not 0 <= cost_usd < _MOST_USD:
        return None
    return cost_usd


def _status(error: _Error) -> int:
    for code in (error.code, error.http_status):
        if isinstance(code, int) and 400 <= code <= 599:
            return code
        if isinstance(code, str) and code.isdigit() and 400 <= int(code) <= 599:
            return int(code)
    return 502


def _message(error: _Error, status: int, provider: str) -> str:
    ours = _OUR_ACCOUNT.get(status)
    if ours is not None:
        return f"{provider} answered {status}: {ours}. Ask the operator of this gateway to look at it."
    text = (error.message or "no message")[:_MESSAGE_LENGTH]
    return f"{provider} answered {status}: {text}"
