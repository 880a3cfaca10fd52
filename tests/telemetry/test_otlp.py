"""Entries become spans whose figures are the entry's, and a collector gets them or they are counted as lost."""

import random
from collections.abc import Callable

import msgspec
import pytest

from router.catalog.catalog import ProviderName
from router.ledger import LedgerEntry, Outcome
from router.telemetry.otlp import HEADERS, TIMEOUT_S, Collector, Spans, span_count
from router.telemetry.tracing import Finished, RequestTrace, Tracing
from router.upstream.posting import Posting
from router.wire.trace_context import trace_context
from tests.storage.entries import GPT, OPENROUTER, attempt, entry
from tests.telemetry.collector import CollectorSeen, SpanSeen, running_collector
from tests.wire.test_trace_context import PARENT, SPAN, TRACE

SPANS = Spans(
    resource={"service.name": "penstock", "service.version": "1", "service.instance.id": "i"},
    version="1",
    servers={OPENROUTER: ("openrouter.ai", 443)},
)
BEGUN_NS = 1_800_000_000_000_000_000


def begun(
    *headers: tuple[bytes, bytes], share: float = 1.0, finished: Callable[[Finished], None] = print
) -> RequestTrace:
    tracing = Tracing(
        share=share, tells_providers=True, chance=random.Random(5), now_ns=lambda: BEGUN_NS, finished=finished
    )
    return tracing.begin(headers)


def seen(booked: LedgerEntry, trace: RequestTrace) -> list[SpanSeen]:
    for number, each in enumerate(booked.attempts):
        trace.attempt(each.id, after_s=0.25 + number)
    collected = CollectorSeen("")
    collected.take(SPANS.message([(booked, trace)]))
    return collected.spans


def test_a_request_and_its_call_become_two_spans_with_the_entrys_figures() -> None:
    trace = begun((b"traceparent", PARENT), (b"tracestate", b"a=1"))

    request, call = seen(entry("req_1"), trace)

    assert (request.trace_id, request.parent_id, request.state) == (TRACE, SPAN, "a=1")
    assert (call.trace_id, call.parent_id, call.state) == (TRACE, request.span_id, "a=1")
    assert (request.start_ns, request.end_ns) == (BEGUN_NS, BEGUN_NS + 2_500_000_000)
    assert (call.start_ns, call.end_ns) == (BEGUN_NS + 250_000_000, BEGUN_NS + 2_250_000_000)
    assert (request.name, request.kind, request.is_error) == ("chat auto", 2, False)
    assert (call.name, call.kind, call.is_error) == ("chat deepseek/deepseek-v4-flash", 3, False)
    assert request.resource == {"service.name": "penstock", "service.version": "1", "service.instance.id": "i"}
    assert request.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.original.model": "auto",
        "gen_ai.request.model": "deepseek/deepseek-v4-flash",
        "gen_ai.provider.name": "openrouter",
        "gen_ai.response.model": "deepseek/deepseek-v4-flash-20260423",
        "penstock.request_id": "req_1",
        "penstock.team": "search",
        "penstock.alias": "auto",
        "penstock.policy": "balanced",
        "penstock.rule": "code",
        "penstock.outcome": "ok",
        "penstock.config": "0123456789ab",
        "penstock.attempts": 1,
        "penstock.is_stream": True,
        "penstock.cost_usd": 0.000147,
        "penstock.saved_usd": 0.010853,
        "penstock.overhead_s": 0.002,
        "penstock.first_token_s": 0.4,
    }
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openrouter",
        "gen_ai.original.model": "auto",
        "gen_ai.request.model": "deepseek/deepseek-v4-flash",
        "gen_ai.response.model": "deepseek/deepseek-v4-flash-20260423",
        "gen_ai.response.id": "gen-1",
        "gen_ai.usage.input_tokens": 1_000,
        "gen_ai.usage.output_tokens": 200,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.reasoning.output_tokens": 50,
        "server.address": "openrouter.ai",
        "server.port": 443,
        "penstock.request_id": "req_1",
        "penstock.attempt": 1,
        "penstock.outcome": "ok",
        "penstock.cost_usd": 0.000147,
        "penstock.cost_source": "reported",
    }


def test_a_request_that_failed_has_the_last_calls_error_and_one_that_was_refused_none_of_ours() -> None:
    broken = msgspec.structs.replace(attempt(outcome="upstream_timeout", model=GPT), id="req_1.2")
    failed, first, second = seen(entry("req_1", attempt(), broken, outcome=Outcome.FAILED), begun())
    refused, *_ = seen(entry("req_2", outcome=Outcome.REFUSED), begun())

    assert (failed.is_error, failed.attributes["error.type"]) == (True, "upstream_timeout")
    assert (first.is_error, second.is_error, second.attributes["error.type"]) == (False, True, "upstream_timeout")
    assert (refused.is_error, refused.attributes["error.type"]) == (False, "refused")


@pytest.mark.parametrize(
    ("profile", "operation"),
    [
        (b"{}", "chat"),
        (b'{"apis":["messages","chat/completions"]}', "chat"),
        (b'{"apis":["completions"]}', "text_completion"),
        (b'{"apis":["embeddings"]}', "embeddings"),
        (b'{"apis":["moderations"]}', "moderation"),
    ],
)
def test_what_was_asked_for_is_named_by_the_profile(profile: bytes, operation: str) -> None:
    spans = seen(msgspec.structs.replace(entry(), profile_json=profile), begun())

    assert {span.attributes["gen_ai.operation.name"] for span in spans} == {operation}


def test_what_a_provider_says_is_cut_to_a_length() -> None:
    chatty = msgspec.structs.replace(attempt(), generation_id="g" * 9_000, finish_reason="f" * 9_000)

    _, call = seen(entry("req_1", chatty), begun())

    assert call.attributes["gen_ai.response.id"] == "g" * 256
    assert call.attributes["gen_ai.response.finish_reasons"] == ["f" * 256]


def test_a_client_that_records_decides_and_of_the_others_a_share_is_recorded() -> None:
    unrecorded = (b"traceparent", PARENT[:-1] + b"0")

    assert begun((b"traceparent", PARENT), share=0.0).is_sampled
    assert not begun(unrecorded, share=1.0).is_sampled
    assert (begun(share=0.0).is_sampled, begun(share=1.0).is_sampled) == (False, True)
    tracing = Tracing(share=0.25, tells_providers=True, chance=random.Random(1), now_ns=lambda: 0, finished=print)
    assert 200 < sum(tracing.begin(()).is_sampled for _ in range(1_000)) < 300


def test_what_is_not_recorded_is_not_kept_but_providers_are_told_so() -> None:
    finished: list[Finished] = []
    trace = begun((b"traceparent", PARENT[:-1] + b"0"), finished=finished.append)

    told = trace_context(trace.attempt("req_1.1", after_s=0.0))
    trace.end(entry())

    assert finished == []
    assert trace.recorded_id is None
    assert told is not None
    assert (told.trace_id, told.is_sampled) == (TRACE, False)
    assert told.parent_id not in (SPAN, trace.span_id)


class Lost:
    def __init__(self) -> None:
        self.spans: dict[str, int] = {}

    def __call__(self, reason: str, count: int) -> None:
        self.spans[reason] = self.spans.get(reason, 0) + count


def posting(url: str, headers: dict[str, str] | None = None) -> Posting:
    return Posting(url, {**(headers or {}), **HEADERS}, is_private=None, timeout_s=TIMEOUT_S)


def delivered(collector: CollectorSeen, *, headers: dict[str, str] | None = None) -> Lost:
    lost = Lost()
    sender = Collector(SPANS, posting(collector.url, headers), lost=lost, waits_s=(0.01, 0.01))
    sent = [(entry("req_1"), begun())]
    sent[0][1].attempt("req_1.1", after_s=0.0)
    assert span_count(sent) == 2
    sender.deliver(sent)
    sender.close()
    return lost


def test_a_delivery_has_the_configured_headers_and_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-other=secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with running_collector() as collector:
        lost = delivered(collector, headers={"authorization": "Bearer t"})

    (headers,) = collector.headers
    assert (headers["authorization"], headers["content-type"]) == ("Bearer t", "application/x-protobuf")
    assert "x-other" not in headers
    assert (len(collector.spans), lost.spans) == (2, {})


@pytest.mark.parametrize(
    ("statuses", "deliveries", "lost"),
    [
        ([503, 429], 3, {}),
        ([503, 502, 504], 3, {"undelivered": 2}),
        ([401], 1, {"undelivered": 2}),
        ([302], 1, {"undelivered": 2}),
    ],
)
def test_what_passes_is_tried_again_and_what_does_not_is_lost(
    statuses: list[int], deliveries: int, lost: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    with running_collector() as collector:
        collector.statuses = list(statuses)
        found = delivered(collector)

    assert (len(collector.bodies), found.spans) == (deliveries, lost)
    assert len(caplog.records) == len(lost)


def test_what_a_collector_rejects_is_counted() -> None:
    with running_collector() as collector:
        collector.rejected = 1
        assert delivered(collector).spans == {"rejected": 1}


def test_a_collector_that_is_not_there_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with running_collector() as collector:
        pass
    lost = Lost()
    sender = Collector(SPANS, posting(collector.url), lost=lost, waits_s=())
    trace = begun()
    trace.attempt("req_1.1", after_s=0.0)

    sender.deliver([(entry(), trace)])
    sender.deliver([(entry(), trace)])
    sender.close()

    assert lost.spans == {"undelivered": 4}
    assert [record.getMessage() for record in caplog.records] == [
        "the collector of traces takes none (ConnectError); requests go on without"
    ]


def test_providers_unknown_to_the_configuration_have_no_address() -> None:
    _, call = seen(entry("req_1", attempt(provider=ProviderName("gone"))), begun())

    assert "server.address" not in call.attributes
