"""What tells others of finished requests: traces for a collector, and lines of the log. Both are off by default."""

import logging
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from urllib.parse import urlsplit

from router.config.snapshot import Settings
from router.ledger import LedgerEntry
from router.telemetry.background import Background
from router.telemetry.metrics import Metrics
from router.telemetry.requests_log import log_requests
from router.telemetry.tracing import Finished, RequestTrace, Tracing
from router.upstream.address import DEFAULT_PORTS
from router.upstream.posting import Posting
from router.wire.trace_context import Headers

_MOST_WAITING = 10_000  # requests, a few KB each: half a minute at full load
_FLUSH_S = 5.0  # what a stop allows a collector, and the log, for the last of them

log = logging.getLogger("penstock.traces")


def _nothing() -> None:
    """There is nobody to start or to stop."""


@dataclass(frozen=True, slots=True)
class Traced:
    """Traces of requests. `start` and `stop` block."""

    begin: Callable[[Headers], RequestTrace] | None = None  # None: there are none
    start: Callable[[], None] = _nothing
    stop: Callable[[], None] = _nothing


@dataclass(frozen=True, slots=True)
class Logged:
    """Lines of the log for requests. `start` and `stop` block."""

    observe: Callable[[LedgerEntry], None] | None = None  # None: there are none
    start: Callable[[], None] = _nothing
    stop: Callable[[], None] = _nothing


def make_traces(settings: Settings, metrics: Metrics, *, version: str, instance: str) -> Traced:
    """Traces of requests as configured. Without them OpenTelemetry's package is not loaded."""
    traces = settings.traces
    if traces is None or traces.endpoint is None:
        return Traced()
    otlp = import_module("router.telemetry.otlp")  # by name: it needs penstock[otel]
    collector = otlp.Collector(
        otlp.Spans(
            resource={**traces.resource, "service.version": version, "service.instance.id": instance},
            version=version,
            servers={name: _server(access.provider.base_url) for name, access in settings.providers.items()},
        ),
        Posting(
            traces.endpoint,
            {**{name: value.reveal() for name, value in traces.headers.items()}, **otlp.HEADERS},
            is_private=traces.is_private,
            timeout_s=otlp.TIMEOUT_S,
        ),
        lost=metrics.spans_lost,
    )

    def lost(finished: Finished) -> None:
        metrics.spans_lost("queue_full", otlp.span_count([finished]))

    background: Background[Finished] = Background(
        collector.deliver, name="traces", most_waiting=_MOST_WAITING, lost=lost
    )

    def stop() -> None:
        collector.stop()
        left = background.close(_FLUSH_S)
        if left:
            metrics.spans_lost("undelivered", otlp.span_count(left))
            log.warning("the traces of %d requests could not be delivered before the stop", len(left))
        else:
            collector.close()

    tracing = Tracing(
        share=traces.sample_share,
        tells_providers=traces.to_providers,
        chance=random.Random(secrets.randbits(256)),  # noqa: S311 - of ids, which are no secret
        now_ns=time.time_ns,
        finished=background.put,
    )
    return Traced(tracing.begin, background.start, stop)


def make_requests_log(settings: Settings, metrics: Metrics) -> Logged:
    """A line for each request, if that is configured and the level lets it through."""
    if not settings.logs.requests or settings.logs.level not in ("debug", "info"):
        return Logged()

    def lost(_: LedgerEntry) -> None:
        metrics.log_lines_lost(1)

    background: Background[LedgerEntry] = Background(
        log_requests, name="requests-log", most_waiting=_MOST_WAITING, lost=lost
    )

    def stop() -> None:
        metrics.log_lines_lost(len(background.close(_FLUSH_S)))

    return Logged(background.put, background.start, stop)


def _server(base_url: str) -> tuple[str, int]:
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
