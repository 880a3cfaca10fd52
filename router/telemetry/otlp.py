"""Ledger entries as OpenTelemetry spans, and how a collector gets them: OTLP over HTTP, protobuf (OTLP 1.x).

Only this module knows OpenTelemetry's package, which is the extra `penstock[otel]`; it is imported where traces are
configured. Why the wire format and not the SDK: docs/decisions/0012-traces-without-the-sdk.md.

The names of attributes are the GenAI conventions as released packages have them (opentelemetry-semantic-conventions
0.66b2, read 2026-11-23), `gen_ai.original.model` is Envoy AI Gateway's; our own begin with `penstock.`.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Protocol

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from router.apis import Api
from router.catalog.catalog import ProviderName
from router.ledger import FAILED_VERIFICATION, SECOND_OPINION, Attempt, LedgerEntry, Outcome
from router.telemetry.tracing import Finished, RequestTrace
from router.units import NANO_USD_PER_USD

log = logging.getLogger("penstock.traces")

Attribute = str | int | float | bool | Sequence[str] | None  # None: it is left out

_OPERATIONS = {Api.COMPLETIONS: "text_completion", Api.EMBEDDINGS: "embeddings", Api.MODERATIONS: "moderation"}
_CHAT = "chat"  # however it is spelt

# How a call may end that is no failure of its provider.
_NO_ERROR = frozenset({"ok", FAILED_VERIFICATION, SECOND_OPINION, "abandoned"})
# Ours or a provider's failure. What we refused is the client's, and no error of a server (OTel, HTTP spans).
_FAILURES = frozenset({Outcome.FAILED, Outcome.CUT})

_SAMPLED, _KNOWS_REMOTE, _IS_REMOTE = 0x001, 0x100, 0x200  # of a span's flags; the last two are about its parent
_LONGEST_TEXT = 256  # of what a provider says; its ids have some forty characters
_NANO = 1_000_000_000

TIMEOUT_S = 10.0  # OTLP's own default for one delivery
HEADERS: Mapping[str, str] = {"content-type": "application/x-protobuf"}  # of each
_WAITS_S = (1.0, 2.0, 4.0)  # before a delivery is tried again
_PASSING = frozenset(  # OTLP 1.x, "retryable response codes"
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class _Attributes(Protocol):
    """Those of a message; protobuf's own type for them is not public."""

    def add(self) -> KeyValue: ...


class _Profile(msgspec.Struct):
    """What a span tells of the request's profile, as the entry keeps it."""

    apis: tuple[Api, ...] = (Api.CHAT,)  # the client's own first


class Spans:
    """Makes spans of entries."""

    def __init__(
        self,
        *,
        resource: Mapping[str, str],
        version: str,
        servers: Mapping[ProviderName, tuple[str, int]],
    ) -> None:
        """`resource` says who tells; `servers` where providers are, host and port."""
        self._resource = Resource()
        _fill(self._resource.attributes, resource)
        self._scope = InstrumentationScope(name="penstock", version=version)
        self._servers = servers
        self._profiles = msgspec.json.Decoder(_Profile)

    def message(self, finished: Sequence[Finished]) -> bytes:
        """The spans of these requests as a collector takes them: of each, its own, then one for each call.

        Messages are filled where they stand: making them first and having them copied costs twice as much.
        """
        request = ExportTraceServiceRequest()
        spans = request.resource_spans.add(resource=self._resource).scope_spans.add(scope=self._scope).spans
        for entry, trace in finished:
            operation = _OPERATIONS.get(self._profiles.decode(entry.profile_json).apis[0], _CHAT)
            self._fill_request(spans.add(), entry, trace, operation)
            for number in range(1, 1 + len(entry.attempts)):
                self._fill_call(spans.add(), entry, trace, operation, number)
        message: bytes = request.SerializeToString()
        return message

    def _fill_request(self, span: Span, entry: LedgerEntry, trace: RequestTrace, operation: str) -> None:
        _identify(span, trace, trace.span_id, None if trace.parent is None else trace.parent.parent_id)
        _time(span, trace.begun_ns, entry.duration_s)
        span.name = f"{operation} {entry.alias}"
        span.kind = Span.SPAN_KIND_SERVER
        if trace.parent is not None:
            span.flags |= _IS_REMOTE
        if entry.outcome in _FAILURES:
            span.status.code = Status.STATUS_CODE_ERROR
        _fill(span.attributes, _of_request(entry, operation))

    def _fill_call(self, span: Span, entry: LedgerEntry, trace: RequestTrace, operation: str, number: int) -> None:
        attempt = entry.attempts[number - 1]
        span_id, after_s = trace.attempts[attempt.id]
        _identify(span, trace, span_id, trace.span_id)
        _time(span, trace.begun_ns + _ns(after_s), attempt.duration_s)
        span.name = f"{operation} {attempt.model}"
        span.kind = Span.SPAN_KIND_CLIENT
        if attempt.outcome not in _NO_ERROR:
            span.status.code = Status.STATUS_CODE_ERROR
        server = self._servers.get(attempt.provider)
        _fill(span.attributes, _of_call(entry, attempt, operation, number=number, server=server))


def _identify(span: Span, trace: RequestTrace, span_id: str, parent_id: str | None) -> None:
    span.trace_id = bytes.fromhex(trace.trace_id)
    span.span_id = bytes.fromhex(span_id)
    span.flags = _SAMPLED | _KNOWS_REMOTE
    if parent_id is not None:
        span.parent_span_id = bytes.fromhex(parent_id)
    if trace.parent is not None and trace.parent.state:
        span.trace_state = trace.parent.state.decode("ascii")


def _time(span: Span, begun_ns: int, duration_s: float) -> None:
    span.start_time_unix_nano = begun_ns
    span.end_time_unix_nano = begun_ns + _ns(duration_s)


def _of_request(entry: LedgerEntry, operation: str) -> Mapping[str, Attribute]:
    answered = entry.served_by
    shown = answered or (entry.attempts[-1] if entry.attempts else None)
    saved = None if entry.baseline_nano_usd is None else entry.baseline_nano_usd - entry.cost_nano_usd
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.original.model": entry.alias,
        "gen_ai.request.model": None if shown is None else shown.model,
        "gen_ai.provider.name": None if shown is None else shown.provider,
        "gen_ai.response.model": None if answered is None else _told(answered.served_model),
        "error.type": _why(entry, shown),
        "penstock.request_id": entry.request_id,
        "penstock.team": entry.team,
        "penstock.alias": entry.alias,
        "penstock.policy": entry.policy,
        "penstock.rule": entry.rule,
        "penstock.outcome": entry.outcome.value,
        "penstock.config": entry.config_version,
        "penstock.attempts": len(entry.attempts),
        "penstock.is_stream": entry.is_stream,
        "penstock.cost_usd": entry.cost_nano_usd / NANO_USD_PER_USD,
        "penstock.saved_usd": None if saved is None else saved / NANO_USD_PER_USD,
        "penstock.overhead_s": entry.overhead_s,
        "penstock.first_token_s": entry.first_token_s,
    }


def _of_call(
    entry: LedgerEntry, attempt: Attempt, operation: str, *, number: int, server: tuple[str, int] | None
) -> Mapping[str, Attribute]:
    usage = attempt.usage
    host, port = server or (None, None)
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": attempt.provider,
        "gen_ai.original.model": entry.alias,
        "gen_ai.request.model": attempt.model,
        "gen_ai.response.model": _told(attempt.served_model),
        "gen_ai.response.id": _told(attempt.generation_id),
        "gen_ai.response.finish_reasons": _reasons(attempt.finish_reason),
        "gen_ai.usage.input_tokens": None if usage is None else usage.input_tokens,
        "gen_ai.usage.output_tokens": None if usage is None else usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": None if usage is None else usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": None if usage is None else usage.reasoning_tokens,
        "server.address": host,
        "server.port": port,
        "error.type": None if attempt.outcome in _NO_ERROR else attempt.outcome,
        "penstock.request_id": entry.request_id,
        "penstock.attempt": number,
        "penstock.outcome": attempt.outcome,
        "penstock.verification": attempt.verification,
        "penstock.effort": None if attempt.effort is None else attempt.effort.value,
        "penstock.cost_usd": attempt.cost_nano_usd / NANO_USD_PER_USD,
        "penstock.cost_source": attempt.source.value,
        "penstock.first_token_s": attempt.first_token_s,
    }


class Post(Protocol):
    """What carries a message to the collector. Used by one thread at a time."""

    def __call__(self, message: bytes, /) -> tuple[int, bytes]:
        """The status of the answer, and what it says. Raises OSError, which names what went wrong."""
        ...

    def close(self) -> None: ...


class Collector:
    """Delivers spans to one collector. To be used by one thread, but for `stop`."""

    def __init__(
        self,
        spans: Spans,
        post: Post,
        *,
        lost: Callable[[str, int], None],
        waits_s: Sequence[float] = _WAITS_S,
    ) -> None:
        """`post` sends HEADERS with each message, and gives up after TIMEOUT_S.

        `lost` is told how many spans did not arrive, and why: `undelivered`, `rejected`.
        """
        self._spans = spans
        self._post = post
        self._lost = lost
        self._waits_s = waits_s
        self._stopping = threading.Event()
        self._is_out_of_reach = False

    def deliver(self, finished: Sequence[Finished]) -> None:
        """Have the collector take these, or tell how many were lost. What passes is tried again, for some 40 s."""
        message = self._spans.message(finished)
        problem = self._sent(message)
        for wait_s in self._waits_s:
            if problem is None or not problem.may_pass or self._stopping.wait(wait_s):
                break
            problem = self._sent(message)
        if problem is not None:
            self._lost("undelivered", span_count(finished))
        self._tell(problem)

    def stop(self) -> None:
        """Nothing is tried again from now on."""
        self._stopping.set()

    def close(self) -> None:
        self._post.close()

    def _sent(self, message: bytes) -> "_Problem | None":
        try:
            status, said = self._post(message)
        except OSError as error:
            return _Problem(str(error), may_pass=True)
        if status // 100 != HTTPStatus.OK // 100:
            return _Problem(f"status {status}", may_pass=status in _PASSING)
        try:
            rejected = ExportTraceServiceResponse.FromString(said).partial_success.rejected_spans
        except DecodeError:  # whatever it says, it took them
            return None
        if rejected:
            self._lost("rejected", rejected)
        return None

    def _tell(self, problem: "_Problem | None") -> None:
        """Once when it begins and once when it is over. Nothing that a collector says is repeated."""
        if problem is not None and not self._is_out_of_reach:
            log.warning("the collector of traces takes none (%s); requests go on without", problem.what)
        elif problem is None and self._is_out_of_reach:
            log.warning("the collector of traces takes them again")
        self._is_out_of_reach = problem is not None


class _Problem(msgspec.Struct, frozen=True):
    what: str
    may_pass: bool


def span_count(finished: Sequence[Finished]) -> int:
    """How many spans these are."""
    return sum(1 + len(entry.attempts) for entry, _ in finished)


def _why(entry: LedgerEntry, shown: Attempt | None) -> str | None:
    """What went wrong with the request: the code of its last call's error where there is one."""
    if entry.outcome is Outcome.REFUSED:
        return entry.outcome.value
    if entry.outcome not in _FAILURES:
        return None
    return entry.outcome.value if shown is None or shown.outcome in _NO_ERROR else shown.outcome


def _reasons(finish_reason: str | None) -> Sequence[str] | None:
    told = _told(finish_reason)
    return None if told is None else (told,)


def _told(text: str | None) -> str | None:
    """What a provider said, of a length that any backend takes."""
    return None if text is None else text[:_LONGEST_TEXT]


def _ns(seconds: float) -> int:
    return round(seconds * _NANO)


def _fill(attributes: _Attributes, given: Mapping[str, Attribute]) -> None:
    """Add these to the attributes of a message."""
    for key, value in given.items():
        if value is None:
            continue
        added = attributes.add()
        added.key = key
        its: AnyValue = added.value
        match value:
            case str():
                its.string_value = value
            case bool():  # before int, of which it is one
                its.bool_value = value
            case int():
                its.int_value = value
            case float():
                its.double_value = value
            case _:
                for each in value:
                    its.array_value.values.add().string_value = each
