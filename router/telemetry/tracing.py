"""Which trace a request belongs to, and the ids of its spans. The spans themselves are made of its ledger entry.

Ids are drawn before anything is sent, as providers are told them; they travel beside the entry (`RequestTrace`), and
everything else about a span is read from the entry when it is booked (`telemetry/otlp.py`). So no figure of a trace can
differ from that of the ledger, and what was never booked has no trace.
"""

import random
from collections.abc import Callable

from router.ledger import LedgerEntry
from router.wire.trace_context import Headers, TraceContext, trace_context, trace_headers

NO_HEADERS: Headers = ()


class RequestTrace:
    """The trace of one request while it is under way, and when it is booked."""

    __slots__ = (
        "_draw_span_id",
        "_finished",
        "_tells_providers",
        "attempts",
        "begun_ns",
        "is_sampled",
        "parent",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        parent: TraceContext | None,
        *,
        trace_id: str,
        is_sampled: bool,
        begun_ns: int,
        draw_span_id: Callable[[], str],
        finished: Callable[[tuple[LedgerEntry, "RequestTrace"]], None],
        tells_providers: bool,
    ) -> None:
        self.parent = parent  # as the client told it
        self.trace_id = trace_id
        self.is_sampled = is_sampled
        self.begun_ns = begun_ns  # since 1970
        self.span_id = draw_span_id()  # of the request itself
        self.attempts: dict[str, tuple[str, float]] = {}  # by the call's id: its span, and when it began, in seconds
        self._draw_span_id = draw_span_id
        self._finished = finished
        self._tells_providers = tells_providers

    @property
    def recorded_id(self) -> str | None:
        """The trace's id if one can look it up; None if it is not recorded."""
        return self.trace_id if self.is_sampled else None

    def attempt(self, call_id: str, *, after_s: float) -> Headers:
        """A call begins, so long after the request came; the headers that tell its provider of it."""
        span_id = self._draw_span_id()
        self.attempts[call_id] = (span_id, after_s)
        if not self._tells_providers:
            return NO_HEADERS
        state = b"" if self.parent is None else self.parent.state
        return trace_headers(self.trace_id, span_id, is_sampled=self.is_sampled, state=state)

    def end(self, entry: LedgerEntry) -> None:
        """The request is booked."""
        if self.is_sampled:
            self._finished((entry, self))


Finished = tuple[LedgerEntry, RequestTrace]


class Tracing:
    """Begins the traces of requests."""

    def __init__(
        self,
        *,
        share: float,
        tells_providers: bool,
        chance: random.Random,
        now_ns: Callable[[], int],
        finished: Callable[[Finished], None],
    ) -> None:
        """`share` of the requests that come without a trace is recorded; of the others what their client says."""
        self._share = share
        self._tells_providers = tells_providers
        self._chance = chance
        self._now_ns = now_ns
        self._finished = finished

    def begin(self, headers: Headers) -> RequestTrace:
        """The trace of a request with these headers: its client's, else one of its own."""
        parent = trace_context(headers)
        return RequestTrace(
            parent,
            trace_id=f"{self._chance.getrandbits(128) or 1:032x}" if parent is None else parent.trace_id,
            is_sampled=self._chance.random() < self._share if parent is None else parent.is_sampled,
            begun_ns=self._now_ns(),
            draw_span_id=self._span_id,
            finished=self._finished,
            tells_providers=self._tells_providers,
        )

    def _span_id(self) -> str:
        return f"{self._chance.getrandbits(64) or 1:016x}"  # zero is no id
