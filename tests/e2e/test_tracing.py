"""Traces of real traffic, as a collector gets them: a span for the request, one for each call, the client's trace."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Proxy, Sandbox, running_proxy
from tests.e2e.test_failover import Provider, candidates, overloaded
from tests.e2e.test_streams import RECORD, SERVED_BY_DEEPINFRA, end, event, raw_request
from tests.e2e.test_verify import BAD_FLASH, FLASH, JSON_WANTED, PRO, QUESTION, _with_policies
from tests.telemetry.collector import CollectorSeen, SpanSeen, running_collector
from tests.waiting import eventually

_BODY: dict[str, object] = {
    "model": "auto",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "canary-in-the-prompt"}],
}
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
_STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
_WITHIN_S = 20


class TracedProvider(Provider):
    """Remembers the heads that it was sent as well."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[bytes] = []

    def _speak(self, connection: socket.socket) -> None:
        head = connection.recv(65536, socket.MSG_PEEK).partition(b"\r\n\r\n")[0]
        if head.startswith(b"POST "):
            self.heads.append(head)
        if b"/generation?" not in head:
            super()._speak(connection)
            return
        with connection:  # what a call cost that was cut off
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(RECORD))
            connection.sendall(RECORD)

    def told(self, name: bytes) -> list[str | None]:
        """The header of that name of each call."""
        return [
            next((line.partition(b": ")[2].decode() for line in head.split(b"\r\n") if line.startswith(name)), None)
            for head in self.heads
        ]


@dataclass(frozen=True, slots=True)
class Traced:
    proxy: Proxy
    provider: TracedProvider
    collector: CollectorSeen

    def spans(self, trace_id: str, *, calls: int) -> list[SpanSeen]:
        """The spans of the trace once they have come: the request's, then its calls'."""
        eventually(lambda: len(self.collector.of(trace_id)) == 1 + calls, within_s=_WITHIN_S)
        return self.collector.of(trace_id)

    def spans_of_request(self, request_id: str, *, calls: int) -> list[SpanSeen]:
        """The same of a request whose trace nobody named."""
        eventually(lambda: len(self.collector.by_request(request_id)) == 1 + calls, within_s=_WITHIN_S)
        return self.collector.by_request(request_id)


def with_traces(config: Path, collector: CollectorSeen) -> None:
    main = config / "penstock.yaml"
    text = main.read_text().replace("breakers: true", "breakers: false")
    main.write_text(f"{text}\ntraces: {{endpoint: '{collector.url}', headers_env: TRACE_HEADERS}}\n")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    provider = TracedProvider()
    with (
        running_collector() as collector,
        running_proxy(
            tmp_path_factory.mktemp("traced"),
            provider.base_url,
            edit=lambda config: with_traces(config, collector),
            TRACE_HEADERS="authorization=Bearer%20of-the-collector",
            OTEL_SERVICE_NAME="gateway",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        ) as proxy,
    ):
        yield Traced(proxy, provider, collector)
    provider.close()


@pytest.fixture
def traced(running: Traced) -> Traced:
    running.provider.refusals.clear()
    running.provider.heads.clear()
    return running


def trace() -> tuple[str, str, str]:
    """A client's trace, its span, and the header that tells of them."""
    trace_id, span_id = secrets.token_hex(16), secrets.token_hex(8)
    return trace_id, span_id, f"00-{trace_id}-{span_id}-01"


def test_spans_continue_the_clients_trace_and_the_provider_continues_them(traced: Traced) -> None:
    trace_id, span_id, parent = trace()

    reply = traced.proxy.chat("search", _BODY, traceparent=parent, tracestate=_STATE)

    request, call = traced.spans(trace_id, calls=1)
    assert (request.kind, call.kind) == (2, 3)
    assert (request.parent_id, call.parent_id) == (span_id, request.span_id)
    assert traced.provider.told(b"traceparent") == [f"00-{trace_id}-{call.span_id}-01"]
    assert traced.provider.told(b"tracestate") == [_STATE]
    assert (request.state, call.state) == (_STATE, _STATE)
    assert request.start_ns <= call.start_ns <= call.end_ns <= request.end_ns
    assert request.attributes["penstock.request_id"] == reply.headers["x-request-id"]
    assert request.attributes["penstock.config"] == reply.headers["x-penstock-config"]
    assert call.attributes["gen_ai.response.id"] == "gen-1"
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert call.attributes["gen_ai.usage.input_tokens"] == 9
    assert call.attributes["server.port"] == int(traced.provider.base_url.rpartition(":")[2])
    assert f"{request.attributes['penstock.cost_usd']:.9f}".rstrip("0") == reply.headers["x-penstock-cost-usd"]
    assert (
        call.resource.items()
        >= {
            "service.name": "gateway",
            "deployment.environment.name": "test",
        }.items()
    )
    assert {"service.version", "service.instance.id"} <= call.resource.keys()
    assert {headers["authorization"] for headers in traced.collector.headers} == {"Bearer of-the-collector"}


def test_a_request_without_a_trace_or_with_a_malformed_one_begins_its_own(traced: Traced) -> None:
    replies = [
        traced.proxy.chat("search", _BODY),
        traced.proxy.chat("search", _BODY, traceparent="00-not-a-trace-01", tracestate=_STATE),
    ]

    for number, reply in enumerate(replies):
        request_id = reply.headers["x-request-id"]
        request, call = traced.spans_of_request(request_id, calls=1)
        assert (request.parent_id, request.state) == ("", "")
        assert traced.provider.told(b"traceparent")[number] == f"00-{call.trace_id}-{call.span_id}-01"
        assert traced.provider.told(b"tracestate")[number] is None


def test_a_client_that_does_not_record_has_no_spans_and_its_provider_is_told_so(traced: Traced) -> None:
    trace_id, _, parent = trace()
    traced.proxy.chat("search", _BODY, traceparent=parent.removesuffix("1") + "0")
    recorded_id, _, recorded = trace()
    traced.proxy.chat("search", _BODY, traceparent=recorded)

    traced.spans(recorded_id, calls=1)  # what was before it would have come by now
    assert traced.collector.of(trace_id) == []
    told = traced.provider.told(b"traceparent")[0] or ""
    assert told.startswith(f"00-{trace_id}-")
    assert told.endswith("-00")


def test_a_fallback_has_a_span_for_each_call_and_each_provider_is_told_its_own(traced: Traced) -> None:
    first, second, *_ = candidates(traced.proxy)
    traced.provider.heads.clear()
    traced.provider.refusals[first] = overloaded
    trace_id, _, parent = trace()

    reply = traced.proxy.chat("search", _BODY, traceparent=parent)

    request, failed, answered = traced.spans(trace_id, calls=2)
    assert reply.headers["x-penstock-model"] == second
    assert [failed.attributes["gen_ai.request.model"], answered.attributes["gen_ai.request.model"]] == [first, second]
    assert (failed.is_error, answered.is_error, request.is_error) == (True, False, False)
    assert failed.attributes["error.type"] == failed.attributes["penstock.outcome"] == "upstream_500"
    assert {failed.parent_id, answered.parent_id} == {request.span_id}
    assert traced.provider.told(b"traceparent") == [
        f"00-{trace_id}-{failed.span_id}-01",
        f"00-{trace_id}-{answered.span_id}-01",
    ]
    assert request.attributes["gen_ai.request.model"] == second
    assert request.attributes["gen_ai.original.model"] == "auto"


def test_a_request_that_nobody_answered_is_an_error(traced: Traced) -> None:
    traced.provider.refusals = dict.fromkeys(candidates(traced.proxy), overloaded)
    trace_id, _, parent = trace()

    assert traced.proxy.chat("search", _BODY, traceparent=parent).status_code >= 500

    eventually(lambda: bool(traced.collector.of(trace_id)), within_s=_WITHIN_S)
    request, *calls = traced.collector.of(trace_id)
    assert (request.is_error, request.attributes["penstock.outcome"]) == (True, "failed")
    assert request.attributes["error.type"] == "upstream_500"
    assert len(calls) == request.attributes["penstock.attempts"]
    assert all(call.is_error for call in calls)


def test_a_stream_and_one_whose_client_hangs_up_are_traced_alike(traced: Traced) -> None:
    def streams(connection: socket.socket) -> None:
        connection.sendall(_STREAM_HEAD + event("tea") + end())

    def never_ends(connection: socket.socket) -> None:
        connection.sendall(_STREAM_HEAD + event("tea", by=SERVED_BY_DEEPINFRA))
        with suppress(OSError):
            connection.recv(1)

    body = {**_BODY, "stream": True}
    asked = candidates(traced.proxy)
    trace_id, _, parent = trace()
    traced.provider.refusals = dict.fromkeys(asked, streams)
    assert "[DONE]" in traced.proxy.chat("search", body, traceparent=parent).text

    request, call = traced.spans(trace_id, calls=1)
    assert (request.attributes["penstock.outcome"], request.attributes["penstock.is_stream"]) == ("ok", True)
    assert call.attributes["gen_ai.usage.output_tokens"] == 2
    assert 0 < float(str(call.attributes["penstock.first_token_s"])) < _WITHIN_S

    traced.provider.refusals = dict.fromkeys(asked, never_ends)
    seen = len(traced.collector.spans)
    connection = raw_request(traced.proxy, body)
    assert connection.recv(65536)
    connection.close()

    eventually(lambda: len(traced.collector.spans) == seen + 2, within_s=60)
    gone = traced.collector.spans[seen]
    assert (gone.attributes["penstock.outcome"], gone.is_error) == ("client_gone", False)


def test_spans_agree_with_the_ledger_and_hold_nothing_of_prompt_key_or_headers(traced: Traced) -> None:
    traced.provider.refusals[candidates(traced.proxy)[0]] = overloaded
    spent, counted = traced.proxy.spend_nano_usd(), spend_counted(traced.proxy)

    reply = traced.proxy.chat("search", _BODY, x_penstock_tags="canary-in-a-tag", user_agent="canary-in-a-header")

    request, *calls = traced.spans_of_request(reply.headers["x-request-id"], calls=2)
    cost = nano_usd(request)
    assert cost == sum(nano_usd(call) for call in calls) > 0
    assert cost == round(float(reply.headers["x-penstock-cost-usd"]) * 1e9)
    assert cost == round((spend_counted(traced.proxy) - counted) * 1e9)
    eventually(lambda: traced.proxy.spend_nano_usd() == spent + cost, within_s=30)
    sent = b"".join(traced.collector.bodies)
    for secret in (b"canary", b"sk-or-test", traced.proxy.keys["search"].split("_")[2].encode()):
        assert secret not in sent


def test_an_escalation_is_two_calls_of_which_the_first_is_no_error(own_sandbox: Sandbox, tmp_path: Path) -> None:
    def edit(config: Path) -> None:
        _with_policies(config)
        with_traces(config, collector)

    with running_collector() as collector, running_proxy(tmp_path, own_sandbox.base_url, edit=edit) as proxy:
        trace_id, _, parent = trace()
        content = [{"role": "user", "content": BAD_FLASH + QUESTION}]
        proxy.chat(
            "search", {"model": "checked", "messages": content, "response_format": JSON_WANTED}, traceparent=parent
        )
        eventually(lambda: len(collector.of(trace_id)) == 3, within_s=_WITHIN_S)
        request, first, second = collector.of(trace_id)

    assert [first.attributes["gen_ai.request.model"], second.attributes["gen_ai.request.model"]] == [FLASH, PRO]
    assert first.attributes["penstock.outcome"] == "failed_verification"
    assert first.attributes["penstock.verification"] == "json_schema"
    assert not any(span.is_error for span in (request, first, second))


def test_a_dead_collector_costs_requests_nothing_and_a_stop_little_and_what_is_lost_is_counted(
    tmp_path: Path,
) -> None:
    provider = Provider()
    with running_collector() as collector:
        pass  # its port is closed again
    with running_proxy(tmp_path, provider.base_url, edit=lambda config: with_traces(config, collector)) as proxy:
        for _ in range(5):
            assert proxy.chat("search", _BODY).status_code == 200
        eventually(lambda: lost(proxy) == 10.0, within_s=30)
        assert proxy.chat("search", _BODY).status_code == 200
        proxy.process.send_signal(signal.SIGTERM)

        assert proxy.process.wait(20) == 0
    provider.close()
    lines = [json.loads(line) for line in (tmp_path / "proxy.log").read_text().splitlines()]
    assert [line["event"] for line in lines if line["logger"] == "penstock.traces"] == [
        "the collector of traces takes none (ConnectError); requests go on without"
    ]


def nano_usd(span: SpanSeen) -> int:
    return round(float(str(span.attributes["penstock.cost_usd"])) * 1e9)


def spend_counted(proxy: Proxy) -> float:
    lines = [line for line in proxy.metrics().splitlines() if line.startswith("penstock_spend_usd_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def lost(proxy: Proxy) -> float:
    mark = 'penstock_spans_lost_total{reason="undelivered"} '
    return sum(float(line.removeprefix(mark)) for line in proxy.metrics().splitlines() if line.startswith(mark))


def test_what_was_traced_last_is_delivered_before_the_process_ends(tmp_path: Path) -> None:
    provider = Provider()
    with running_collector() as collector:
        with running_proxy(tmp_path, provider.base_url, edit=lambda config: with_traces(config, collector)) as proxy:
            proxy.chat("search", _BODY)
        assert len(collector.spans) == 2
    provider.close()


def test_without_traces_nothing_is_passed_on_and_opentelemetry_is_not_loaded(tmp_path: Path) -> None:
    provider = TracedProvider()
    with running_proxy(tmp_path, provider.base_url) as proxy:
        _, _, parent = trace()
        assert proxy.chat("search", _BODY, traceparent=parent, tracestate=_STATE).status_code == 200
        mapped = Path(f"/proc/{proxy.process.pid}/maps").read_text()
    provider.close()

    assert provider.told(b"traceparent") == [None]
    assert provider.told(b"tracestate") == [None]
    assert "google/_upb" not in mapped


def test_where_the_package_is_missing_the_check_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"  # as if it were not there
        "from router.cli.main import main; main()"
    )
    config = tmp_path / "config"
    with running_collector() as collector:
        pass
    subprocess.run(["cp", "-r", "config", str(config)], check=True)
    with_traces(config, collector)

    checked = subprocess.run(
        [sys.executable, "-c", program, "check", str(config)],
        env=dict(os.environ),  # noqa: TID251 - a test's child inherits its surroundings
        capture_output=True,
        check=False,
    )

    assert checked.returncode == 1
    assert b"pip install 'penstock[otel]'" in checked.stderr
