"""What providers answer: usage, cost, who served it, and errors in all the shapes they come in.

Reading is permissive: a field of an unexpected type is treated as absent, because a bill must not depend on a
provider's cosmetics. Field names follow OpenRouter (captures of 2025-11 to 2026-10) and DeepSeek's own API.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from router.errors import FailureKind, PenstockError, UpstreamRefused
from router.units import Usage, nano_usd
from router.wire.foreign import UNREADABLE

_Fields = TypeVar("_Fields", bound=Struct)


class InputDetails(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: Decimal | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek's own API (api-docs.deepseek.com, 2026)


class _InnerHeaders(Struct):
    retry_after: str | int | None = field(name="Retry-After", default=None)


class _Metadata(Struct):
    """What OpenRouter says beside an error (captures of 2025-11 to 2026-10)."""

    raw: Raw | UnsetType = UNSET  # the error of the provider behind it: text, JSON within text, or an object
    reason: str | None = None
    reasons: list[str] | None = None  # of a moderator
    limit_source: str | None = None
    headers: _InnerHeaders | None = None


class _Availability(Struct):
    retry_after: float | None = None


class _Error(Struct):
    message: str | None = None
    code: int | str | None = None
    http_status: int | None = None  # the availability object has it in place of `code` (openrouter.md §3)
    metadata: _Metadata | None = None
    availability: _Availability | None = None


class ReplyChoice(Struct):
    index: int = 0
    finish_reason: str | None = None
    error: Raw | UnsetType = UNSET


class _Reply(Struct):
    id: str | None = None
    model: str | None = None
    provider: str | None = None
    choices: list[ReplyChoice] | None = None
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Given(Struct):
    """An answer in which no model has written anything: vectors (`data`) or judgements (`results`)."""

    id: str | None = None
    model: str | None = None
    provider: str | None = None
    data: Raw | UnsetType = UNSET
    results: Raw | UnsetType = UNSET
    usage: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class Bill(msgspec.Struct, frozen=True, gc=False):
    """What a reply says about its own cost."""

    usage: Usage
    cost_usd: Decimal | None  # the provider's own figure, or None if it gave none that makes sense

    @property
    def nano_usd(self) -> int | None:
        return None if self.cost_usd is None else nano_usd(self.cost_usd)


class ReplyFacts(msgspec.Struct, frozen=True, gc=False):
    """What we act on in a body or in one chunk of a stream."""

    generation_id: str | None
    model: str | None
    provider: str | None
    choices: Sequence[ReplyChoice]
    bill: Bill | None
    error: bytes | None  # the error object as received, top-level or of the first choice that has one

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended: `length` if that cut any choice off, else the last choice's reason."""
        reasons = [choice.finish_reason for choice in self.choices if choice.finish_reason]
        return short_name("length" if "length" in reasons else reasons[-1]) if reasons else None


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
                input_tokens=plausible_tokens(self.native_tokens_prompt) or 0,
                output_tokens=plausible_tokens(self.native_tokens_completion) or 0,
                cached_tokens=plausible_tokens(self.native_tokens_cached) or 0,
                reasoning_tokens=plausible_tokens(self.native_tokens_reasoning) or 0,
            ),
            cost_usd=plausible_cost(self.total_cost),
        )


class _RecordEnvelope(Struct):
    data: GenerationRecord


class ReplyReader:
    """Reads replies; holds the decoders, which are costly to make and safe to share."""

    def __init__(self, hide: Callable[[str], str] = str) -> None:
        """`hide` takes what is ours out of what providers say in errors, which our callers get to read."""
        self._hide = hide
        self._reply = msgspec.json.Decoder(_Reply)
        self._given = msgspec.json.Decoder(_Given)
        self._usage = msgspec.json.Decoder(_Usage)
        self._error = msgspec.json.Decoder(_Error)
        self._envelope = msgspec.json.Decoder(dict[str, Raw])
        self._record = msgspec.json.Decoder(_RecordEnvelope)

    def facts(self, body: bytes) -> ReplyFacts | None:
        """What the body or chunk says, or None if it is not a JSON object."""
        reply = read_object(self._reply, body, _Reply)
        if reply is None:
            return None
        choices = reply.choices or ()
        errors = (reply.error, *(choice.error for choice in choices))
        return ReplyFacts(
            generation_id=short_name(reply.id),
            model=short_name(reply.model),
            provider=short_name(reply.provider),
            choices=choices,
            bill=self._bill(reply.usage),
            error=next((bytes(error) for error in errors if error is not UNSET and bytes(error) not in FALSY), None),
        )

    def given(self, body: bytes) -> ReplyFacts | None:
        """The same of embeddings and moderations: one choice if there is anything in the answer, and no output."""
        given = read_object(self._given, body, _Given)
        if given is None:
            return None
        has_content = any(_has_entries(each) for each in (given.data, given.results))
        return ReplyFacts(
            generation_id=short_name(given.id),
            model=short_name(given.model),
            provider=short_name(given.provider),
            choices=(ReplyChoice(),) if has_content else (),
            bill=self._bill(given.usage, has_output=False),
            error=None if given.error is UNSET or bytes(given.error) in FALSY else bytes(given.error),
        )

    def record(self, body: bytes) -> Bill | None:
        """The bill in a generation record, or None if the body is not one."""
        try:
            return self._record.decode(body).data.bill()
        except UNREADABLE:
            return None

    def refusal(
        self, body: bytes, *, status: int, provider: str, retry_after_s: float | None = None
    ) -> UpstreamRefused:
        """The error that an HTTP response of `status` with this body stands for.

        A body without an `error` member is read as the error itself: vLLM before 0.10.1 wrote it so (vllm#22099).
        """
        try:
            envelope = self._envelope.decode(body)
            error = bytes(envelope.get("error", body))
            if "metadata" in envelope and "error" in envelope:  # where OpenRouter has it on /messages
                error = msgspec.json.encode({"metadata": envelope["metadata"], **self._envelope.decode(error)})
        except UNREADABLE:
            error = body
        return self.error(error, provider=provider, status=status, retry_after_s=retry_after_s)

    def error(
        self,
        error: bytes,
        *,
        provider: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        has_begun: bool = False,
    ) -> UpstreamRefused:
        """The error in an `error` object or text. `status` is that of the response if it was not 200.

        If an answer `has_begun` before the error came, the provider may bill what it made of it.
        """
        read = read_object(self._error, error, _Error) or _Error(message=_text(error))
        upstream_status = status or _status(read)
        kind = _kind(read, upstream_status)
        return UpstreamRefused(
            _message(read, upstream_status, kind, provider, self._hide),
            provider=provider,
            upstream_status=upstream_status,
            kind=kind,
            retry_after_s=_retry_after_s(read) if retry_after_s is None else retry_after_s,
            may_be_owed=has_begun,
        )

    def _bill(self, usage: Raw | UnsetType, *, has_output: bool = True) -> Bill | None:
        read = None if usage is UNSET else read_object(self._usage, bytes(usage), _Usage)
        if read is None:
            return None
        input_tokens, output_tokens = plausible_tokens(read.prompt_tokens), plausible_tokens(read.completion_tokens)
        if output_tokens is None and not has_output:
            output_tokens = 0
        if input_tokens is None or output_tokens is None:
            return None
        inputs = read.prompt_tokens_details or InputDetails()
        outputs = read.completion_tokens_details or OutputDetails()
        cached = inputs.cached_tokens if inputs.cached_tokens is not None else read.prompt_cache_hit_tokens
        return Bill(
            usage=Usage(
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cached_tokens=plausible_tokens(cached) or 0,
                cache_write_tokens=plausible_tokens(inputs.cache_write_tokens) or 0,
                reasoning_tokens=plausible_tokens(outputs.reasoning_tokens) or 0,
            ),
            cost_usd=plausible_cost(read.cost),
        )


def read_object(decoder: msgspec.json.Decoder[_Fields], body: bytes, kind: type[_Fields]) -> _Fields | None:
    """The object in `body`, without the members that have a type we do not expect; None if it is no object."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        return _read_by_member(body, kind)
    except UNREADABLE:
        return None


def _read_by_member(body: bytes, kind: type[_Fields]) -> _Fields | None:
    """The slow way, for the rare body that has one member of a type we do not expect."""
    try:
        members = msgspec.json.decode(body, type=dict[str, Raw])
    except UNREADABLE:
        return None
    good: dict[str, object] = {}
    for member in msgspec.structs.fields(kind):
        if member.encode_name in members:
            try:
                good[member.name] = msgspec.json.decode(members[member.encode_name], type=member.type)
            except UNREADABLE:
                continue
    return kind(**good)


def _text(error: bytes) -> str | None:
    try:
        return msgspec.json.decode(error, type=str)
    except UNREADABLE:
        return None


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
}
_KEY_IS_SPENT = "the limit of our key there is reached"
# Keys and names of accounts within other texts: OpenAI's 429 names the organization that was too fast, and its errors
# quote the beginning and the end of a key (2023 to 2026). A name is told from a word by a digit in it.
_OURS = re.compile(
    r"\b(?:sk|gsk|xai|pplx)-[\w*.-]{4,}|\bgsk_\w{8,}|\bAIza[\w-]{8,}|\b(?:org|proj|user|acct)[-_](?=\w*[0-9])\w{6,}"
)
_MOST_USD = 1_000_000  # for a single call; a larger figure is a provider's mistake, and is not believed
_STATUS = re.compile("[45][0-9]{2}")
_SECONDS = re.compile("[0-9]{1,6}")
_MOST_SECONDS = 10**6
# OpenRouter and vLLM say "maximum context length is N tokens", llama.cpp "exceeds the available context size",
# Anthropic "prompt is too long", Google "... exceeds the maximum number of tokens" (2025-11 to 2026-10).
_TOO_LONG = re.compile(
    "maximum context length|context[_ ]length[_ ]exceeded|available context size|prompt is too long"
    "|exceeds the maximum number of tokens",
    re.IGNORECASE,
)
_NO_MODEL = re.compile("is not a valid model ID", re.IGNORECASE)
_KEY_LIMIT = re.compile("key limit exceeded", re.IGNORECASE)
_MOST_TOKENS = 1_000_000_000  # the same for tokens
_NAME_LENGTH = 200
_GLANCE = 64  # bytes
_MESSAGE_LENGTH = 600  # characters of a provider's message that we pass on

# An `error` that means there is none; the OpenAI SDKs test its truth too.
FALSY = frozenset({b"null", b"false", b'""', b"{}", b"[]", b"0"})


def _has_entries(pieces: Raw | UnsetType) -> bool:
    """Whether it is an array with something in it. It may have megabytes, of which nothing is copied."""
    if pieces is UNSET:
        return False
    beginning = bytes(memoryview(pieces)[:_GLANCE])
    return beginning.startswith(b"[") and not beginning[1:].lstrip().startswith(b"]")


def short_name(name: str | None) -> str | None:
    """A name as it is kept: the longest real ones have some eighty characters, and a provider may send megabytes."""
    return None if name is None else name[:_NAME_LENGTH]


def plausible_cost(cost_usd: Decimal | None) -> Decimal | None:
    """A cost that can be booked: not negative, not NaN, and below what an integer column holds."""
    if cost_usd is None or not cost_usd.is_finite() or not 0 <= cost_usd < _MOST_USD:
        return None
    return cost_usd


def plausible_tokens(count: int | None) -> int | None:
    """A count that can be booked, or None."""
    return count if count is not None and 0 <= count < _MOST_TOKENS else None


def _status(error: _Error) -> int:
    for code in (error.code, error.http_status):
        if isinstance(code, int) and 400 <= code <= 599:
            return code
        if isinstance(code, str) and _STATUS.fullmatch(code):
            return int(code)
    return 502


def _kind(error: _Error, status: int) -> FailureKind | None:
    """What the text says beyond the status; None if nothing."""
    metadata = error.metadata or _Metadata()
    raw = "" if metadata.raw is UNSET else bytes(metadata.raw).decode(errors="replace")
    text = f"{error.message or ''} {raw}"
    if status in (400, 413, 422) and (error.code == "context_length_exceeded" or _TOO_LONG.search(text)):
        return FailureKind.TOO_LONG
    if status == 400 and _NO_MODEL.search(text):
        return FailureKind.DECLINED  # our name for the model is out of date: no fault of the caller
    if status in (400, 403) and error.availability is not None:
        return FailureKind.DECLINED  # it is not to be had there (its region, its name): others may be
    if status == 402 and metadata.reason == "in_flight_budget_exhausted":
        return FailureKind.BUSY  # a dearer request than our credit has room for now; a cheaper model's may fit
    if status == 403 and not metadata.reasons and (metadata.limit_source or _KEY_LIMIT.search(text)):
        return FailureKind.ACCOUNT
    return None


def _retry_after_s(error: _Error) -> float | None:
    """When to come again, where no header says so."""
    told: str | float | None = error.availability.retry_after if error.availability else None
    if told is None and error.metadata is not None and error.metadata.headers is not None:
        told = error.metadata.headers.retry_after
    if isinstance(told, str):
        told = float(told) if _SECONDS.fullmatch(told) else None
    return float(told) if told is not None and 0 <= told < _MOST_SECONDS else None


def _message(error: _Error, status: int, kind: FailureKind | None, provider: str, hide: Callable[[str], str]) -> str:
    ours = _KEY_IS_SPENT if kind is FailureKind.ACCOUNT else _OUR_ACCOUNT.get(status)
    if ours is not None:
        return f"{provider} answered {status}: {ours}. Ask the operator of this gateway to look at it."
    text = _OURS.sub("***", hide((error.message or "no message")[: 2 * _MESSAGE_LENGTH]))[:_MESSAGE_LENGTH]
    return f"{provider} answered {status}: {text}"
