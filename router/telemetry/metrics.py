"""Prometheus metrics. Everything about requests is observed from one `LedgerEntry`, so that metrics and ledger agree.

Label values come from the configuration only: entries carry aliases and models that were looked up, never text of a
client. Metric names and labels are listed in docs/metrics.md, and a test holds the two together.

All of them together have at most `MOST_SERIES` series, however large the configuration is: each metric has a `Bound` of
its own, so that none takes the room of another.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as TEXT_TYPE
from prometheus_client.exposition import generate_latest as text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS_TYPE
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text
from prometheus_client.registry import Collector

from router.catalog.catalog import DeploymentId
from router.decision.eligibility import Reason
from router.ledger import FAILED_VERIFICATION, SECOND_OPINION, Attempt, LedgerEntry, Outcome
from router.quotas import BudgetState, ScopeKind
from router.telemetry.events import EventCounter, EventHistogram
from router.telemetry.figures import Bound, Figures, Labels, OwnFigures
from router.telemetry.gauges import Merge, OneGauge, Shape, WorkerGauge, within
from router.telemetry.loop_lag import TICK_S
from router.telemetry.money import NanoUsdCounter
from router.units import CostSource, Usage, usd

_ANSWERED = "ok"  # the outcome of a call that was answered
_NONE = "none"  # the model or provider of a request that reached none

_DURATION_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_FIRST_TOKEN_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
_OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25, 1.5, 2, 4, 10)
_TOKENS_PER_S = (1, 5, 10, 20, 40, 60, 80, 100, 150, 200, 400, 1000)

MOST_SERIES = 2_000  # in all; asked for by the product. The bounds below were chosen to add up to less
_MOST_BUDGETS = 60  # of which each is five series

_REQUESTS = Bound(220, kept=("outcome",), folded=len(Outcome))
_SPEND = Bound(420, kept=("source",), folded=len(CostSource))
_AGAINST_BASELINE = Bound(90)
_TOKENS = Bound(200, kept=("kind",), folded=5)
_DECISIONS = Bound(130)
_ATTEMPTS = Bound(100)
_FALLBACKS = Bound(50)
_ESCALATIONS = Bound(40)
_FEEDBACK = Bound(50, kept=("verdict",), folded=3)
_QUALITY_EVENTS = Bound(40, kept=("event",), folded=5)
_SHADOWS = Bound(40)
_SHADOW_TIMES = Bound(3)  # of which each is 15 series
_SHED = Bound(40, kept=("reason",), folded=3)
_CODES = Bound(50)
_REASONS = Bound(20)
_BY_MODEL = Bound(20)
_BY_DEPLOYMENT = Bound(25)
_BY_PROVIDER = Bound(10)
_ALONE = Bound(1)
_SPANS_LOST = Bound(3)  # the reasons
_KEY_FAULTS = Bound(8)  # the reasons
_TEAMS = Bound(20)
_PROMPTS_LOST = Bound(3)  # the same


def _no_bytes() -> int:
    return 0


def _no_lag_s() -> float:
    return 0.0


def _is_intact() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read at the moment of a scrape rather than counted."""

    in_flight: Callable[[], int]
    ledger_lag_s: Callable[[], float]
    budgets: Callable[[], list[BudgetState]]
    cache_hits: Callable[[], Mapping[DeploymentId, float]] = dict  # share of what should be in a prompt cache that was
    price_ages_s: Callable[[], Mapping[str, float]] = dict  # by provider
    breakers: Callable[[], Mapping[DeploymentId, int]] = dict  # 0 closed, 1 half-open, 2 open
    journal_bytes: Callable[[], int] = _no_bytes
    loop_lag_s: Callable[[], float] = _no_lag_s
    keys_age_s: Callable[[], float] = _no_lag_s
    audit_head: Callable[[], int] = _no_bytes  # the number of the audit log's last row
    audit_is_intact: Callable[[], bool] = _is_intact
    queued: Callable[[], int] = _no_bytes  # requests that wait until their team has fewer under way
    memory_share: Callable[[], float] = _no_lag_s  # of what the process may have
    let_in_per_s: Callable[[], float] = _no_lag_s  # what may begin; 0: no limit


class Metrics:
    """The registry of one process; what it exports is of all workers together."""

    def __init__(self, *, version: str, config_version: str, figures: Figures | None = None) -> None:
        """`figures` are where counters keep their numbers; without any, they are this process's own."""
        self.registry = CollectorRegistry()
        self._config_version = config_version  # of the configuration in force
        self._config_at_s = 0.0  # when that was taken up, in Unix time
        self._figures = figures or OwnFigures()
        self._worker_gauges: list[WorkerGauge] = []
        self._requests = self._counter(
            "requests",
            "Requests that were decided upon, by how they ended for the client.",
            ("team", "alias", "model", "provider", "outcome"),
            _REQUESTS,
        )
        self._client_errors = self._counter(
            "client_errors", "Requests refused before a decision, by error code.", ("code",), _CODES
        )
        self._key_faults = self._counter(
            "authentication_failures", "Requests that were not let in, by reason.", ("reason",), _KEY_FAULTS
        )
        self._former_secrets = self._counter(
            "former_secret_requests",
            "Requests with the secret of a key that was changed, and that is good for a while yet.",
            ("team",),
            _TEAMS,
        )
        self._connections_refused = self._counter(
            "connections_refused", "Connections closed for what came over them, or did not.", ("reason",), _REASONS
        )
        self._shed = self._counter(
            "shed",
            "Requests that were not let in, as more was asked than this process can do.",
            ("team", "reason"),
            _SHED,
        )
        self._spend = self._money(
            "spend_usd", "Dollars booked, by how the cost is known.", ("team", "model", "provider", "source"), _SPEND
        )
        self._saved = self._money(
            "saved_usd",
            "Dollars that the baseline would have cost more, where it would have.",
            ("team", "baseline"),
            _AGAINST_BASELINE,
        )
        self._extra = self._money(
            "extra_usd",
            "Dollars that requests cost more than at the baseline, where they did.",
            ("team", "baseline"),
            _AGAINST_BASELINE,
        )
        self._tokens = self._counter(
            "tokens",
            "Tokens as providers report them. cached and cache_write are parts of input, reasoning is part of output.",
            ("team", "model", "kind"),
            _TOKENS,
        )
        self._decisions = self._counter(
            "decisions",
            "Decisions by the policy, the rule that applied and the model that answered.",
            ("team", "policy", "rule", "model"),
            _DECISIONS,
        )
        self._rejections = self._counter("rejections", "Candidates that a decision rejected.", ("reason",), _BY_MODEL)
        self._attempts = self._counter("attempts", "Calls to providers.", ("provider", "model", "outcome"), _ATTEMPTS)
        self._fallbacks = self._counter(
            "fallbacks", "Calls made because another one failed.", ("from_model", "to_model", "reason"), _FALLBACKS
        )
        self._escalations = self._counter(
            "escalations",
            "Answers that failed a check of their policy, so that a better model was asked.",
            ("team", "policy", "check"),
            _ESCALATIONS,
        )
        self._missing_usage = self._counter(
            "missing_usage",
            "Answered calls whose provider told neither usage nor cost.",
            ("provider", "model"),
            _BY_DEPLOYMENT,
        )
        self._unpriced = self._counter(
            "unpriced_requests",
            "Decisions that had to leave a model out because its price is not known.",
            ("model",),
            _BY_MODEL,
        )
        self._price_changes = self._counter(
            "price_changes", "Changes of a model's price at a provider.", ("model",), _BY_MODEL
        )
        self._repointed = self._counter(
            "model_repointed",
            "How often a provider has put another version behind a model's name.",
            ("model",),
            _BY_MODEL,
        )
        self._unrated = self._counter(
            "unrated_version_answers",
            "Answers by another version of the model than its quality figures are of.",
            ("model", "provider"),
            _BY_DEPLOYMENT,
        )
        self._feedback = self._counter(
            "quality_feedback",
            "Scores of answers that clients sent, each once; a changed one again.",
            ("team", "model", "verdict"),
            _FEEDBACK,
        )
        self._quality_events = self._counter(
            "quality_learning_events",
            "What became of corrections learned from labels: promoted, refused, silenced, fell_back, overtaken.",
            ("team", "event"),
            _QUALITY_EVENTS,
        )
        self._labels_lost = self._counter(
            "labels_lost", "Labels of answers that were given up, as too many waited for the store.", (), _ALONE
        )
        self._reload_failures = self._counter(
            "config_reload_failures",
            "Changed configurations that could not be put into force, so that the one before stayed.",
            (),
            _ALONE,
        )
        self._reload_failures.add((), 0)  # there from the start on, so that the first failure is an increase
        self._spans_lost = self._counter(
            "spans_lost", "Spans of requests and calls that no collector got, by reason.", ("reason",), _SPANS_LOST
        )
        self._log_lines_lost = self._counter(
            "log_lines_lost", "Requests that are not in the log, as it was written too slowly.", (), _ALONE
        )
        self._prompts_kept = self._counter(
            "prompts_kept", "Requests kept with their answers, of teams that opt in.", (), _ALONE
        )
        self._prompts_lost = self._counter(
            "prompts_lost", "Requests that should have been kept, and are not, by reason.", ("reason",), _PROMPTS_LOST
        )
        self._duration = self._histogram("request_duration_seconds", "From admission to settlement.", _DURATION_S)
        self._first_token = self._histogram(
            "time_to_first_token_seconds", "From admission to the first byte for the client.", _FIRST_TOKEN_S
        )
        self._overhead = self._histogram(
            "overhead_seconds", "Ours alone: from admission to the first call to a provider.", _OVERHEAD_S
        )
        self._speed = self._histogram(
            "output_tokens_per_second", "Output tokens by the duration of the call.", _TOKENS_PER_S
        )
        self._estimate_ratio = self._histogram("estimate_ratio", "Actual divided by expected cost.", _RATIO)
        self._count_ratio = self._histogram(
            "token_count_ratio", "Input tokens reported divided by input tokens counted.", _RATIO
        )
        self._shadows = self._counter(
            "shadows",
            "Copies of requests to models that are only measured, and those that were not sent.",
            ("team", "policy", "model", "outcome"),
            _SHADOWS,
        )
        self._shadow_duration = self._histogram(
            "shadow_duration_seconds", "Of answered copies, to the end of the answer.", _DURATION_S, ("model",)
        )
        self._shadow_first_token = self._histogram(
            "shadow_first_token_seconds",
            "Of answered copies, to the beginning of the answer.",
            _FIRST_TOKEN_S,
            ("model",),
        )
        self.registry.register(_VersionCollector("penstock_build", "What is running.", lambda: version))
        self.registry.register(
            _VersionCollector("penstock_config", "The configuration in force.", lambda: self._config_version)
        )
        self.registry.register(_RestartCollector(self._figures))
        self.registry.register(
            OneGauge(Shape("workers", "Processes that serve together."), lambda: self._figures.workers)
        )

    def watch(self, gauges: Gauges) -> None:
        """Read these at every scrape. To be called once, when what they read has been built."""
        self._gauge(
            Shape("in_flight_requests", "Requests under way."), lambda: {(): gauges.in_flight()}, merge=Merge.SUM
        )
        self._gauge(
            Shape(
                "config_last_reload_success_timestamp_seconds",
                "When the files of the configuration in force were last read.",
            ),
            lambda: {(): self._config_at_s},
            merge=Merge.MIN,
        )
        self._gauge(
            Shape("ledger_lag_seconds", "Age of the oldest entry not yet in the ledger."),
            lambda: {(): gauges.ledger_lag_s()},
            merge=Merge.MAX,
        )
        self._gauge(
            Shape("ledger_journal_bytes", "What is in the journal and not in the ledger for sure."),
            lambda: {(): gauges.journal_bytes()},
            merge=Merge.SUM,
        )
        self._gauge(
            Shape("loop_lag_seconds", "How late the event loop was at worst, in the last 15 seconds."),
            lambda: {(): max(gauges.loop_lag_s(), *(each_s - TICK_S for each_s in self._figures.silences_s()), 0.0)},
            merge=Merge.MAX,
        )
        self._gauge(
            Shape("keys_age_seconds", "Since it was last certain that the keys known are those of the store."),
            lambda: {(): gauges.keys_age_s()},
            merge=Merge.MAX,
        )
        self._gauge(
            Shape("audit_head_sequence", "The number of the audit log's last row; it never falls."),
            lambda: {(): gauges.audit_head()},
            merge=Merge.MAX,
        )
        self._gauge(
            Shape("audit_intact", "0: rows of the audit log that were there are not, or are others."),
            lambda: {(): float(gauges.audit_is_intact())},
            merge=Merge.MIN,
        )
        self._gauge(
            Shape("queued_requests", "Requests that wait until their team has fewer under way."),
            lambda: {(): gauges.queued()},
            merge=Merge.SUM,
        )
        self._gauge(
            Shape("memory_share", "Memory that the process has, of what it may have."),
            lambda: {(): gauges.memory_share()},
            merge=Merge.MAX,
        )
        self._gauge(
            Shape("let_in_per_second", "Requests a second that may begin while the process is saturated; 0: no limit."),
            lambda: {(): gauges.let_in_per_s()},
            merge=Merge.SUM,
        )
        self.registry.register(_BudgetCollector(gauges.budgets))
        self._gauge(
            Shape(
                "prompt_cache_hit_ratio",
                "Cached tokens reported divided by those expected, lately.",
                ("model", "provider"),
            ),
            lambda: {_model_and_provider(each): share for each, share in gauges.cache_hits().items()},
            merge=Merge.MEAN,
            bound=_BY_DEPLOYMENT,
        )
        self._gauge(
            Shape("price_age_seconds", "Since the provider's own list of prices was last read whole.", ("provider",)),
            lambda: {(provider,): age_s for provider, age_s in gauges.price_ages_s().items()},
            merge=Merge.MAX,
            bound=_BY_PROVIDER,
        )
        self._gauge(
            Shape(
                "breaker_state",
                "Whether a deployment is asked: 0 closed (it is), 1 half-open (one request tries it), 2 open.",
                ("model", "provider"),
            ),
            lambda: {_model_and_provider(each): state for each, state in gauges.breakers().items()},
            merge=Merge.MAX,
            bound=_BY_DEPLOYMENT,
        )

    @property
    def workers(self) -> int:
        """Processes that serve together, this one included."""
        return self._figures.workers

    def publish(self) -> None:
        """Let the other workers see this one's gauges, and that it lives. To be called now and then."""
        self._figures.beat()
        for gauge in self._worker_gauges:
            gauge.publish()

    def reload_failed(self) -> None:
        """Count that the configuration was changed, or asked to be read again (SIGHUP), and that what is there now
        cannot be put into force: it has errors, or cannot be read. Once for each try; the one before stays."""
        self._reload_failures.add(())

    def config_in_force(self, version: str, *, at: datetime) -> None:
        """Another configuration was taken up."""
        self._config_version = version
        self._config_at_s = at.timestamp()

    def refused(self, code: str) -> None:
        """Count a request that never came to a decision."""
        self._client_errors.add((code,))

    def not_let_in(self, reason: str) -> None:
        """Count a request without a key that is good here and now."""
        self._key_faults.add((reason,))

    def former_secret_used(self, team: str) -> None:
        """Count a request with a secret that was changed."""
        self._former_secrets.add((team,))

    def connection_refused(self, reason: str) -> None:
        self._connections_refused.add((reason,))

    def shed(self, team: str, reason: str, requests: int) -> None:
        """Count requests that were not let in."""
        self._shed.add((team, reason), requests)

    def price_changed(self, model: str) -> None:
        self._price_changes.add((model,))

    def repointed(self, model: str) -> None:
        self._repointed.add((model,))

    def unrated_version_answered(self, model: str, provider: str) -> None:
        """Count an answer by another version of the model than its figures of quality are of."""
        self._unrated.add((model, provider))

    def quality_fed_back(self, team: str, model: str, verdict: str) -> None:
        """Count a score that a client sent."""
        self._feedback.add((team, model, verdict))

    def quality_learning(self, team: str, event: str) -> None:
        """Count that what was learned of a team's answers may speak now, or may not."""
        self._quality_events.add((team, event))

    def spans_lost(self, reason: str, count: int) -> None:
        """Count spans that no collector got: `queue_full`, `undelivered`, or `rejected` by it."""
        self._spans_lost.add((reason,), count)

    def prompts_kept(self, count: int) -> None:
        """Count requests that are kept with their answers."""
        self._prompts_kept.add((), count)

    def prompts_lost(self, reason: str, count: int) -> None:
        """Count those that are not: `queue_full`, `no_key`, `unwritable`."""
        self._prompts_lost.add((reason,), count)

    def log_lines_lost(self, count: int) -> None:
        """Count requests that were to be logged, and for which the log was too slow."""
        self._log_lines_lost.add((), count)

    def labels_lost(self, count: int) -> None:
        """Count labels of answers that nobody will learn from, as the store could not be written for too long."""
        self._labels_lost.add((), count)

    def observe(self, entry: LedgerEntry) -> None:
        """Count everything about one finished request of this process, or about a copy of one."""
        self._observe(entry)
        self._figures.commit(entry.request_id)

    def observe_left(self, entry: LedgerEntry) -> None:
        """The same for a request that a dead process has left, and that nobody has counted (`has_counted`)."""
        self._observe(entry)
        self._figures.commit()

    def has_counted(self, process: str, request_id: str, is_last: bool, /) -> bool:
        """Whether a dead worker, by the name of its journal, has counted a request that it had written down as done:
        the last such request there, or an earlier one."""
        return self._figures.has_counted(process, request_id, is_last)

    def held(self) -> list[str]:
        """The calls (`request id.number`) counted as held whose cost may still be told, oldest first."""
        return self._figures.held()

    def corrected(self, call_id: str, cost_nano_usd: int) -> None:
        """Count a call by its record that was counted as held. Calls that somebody else counted are left out: whoever
        has counted one hears of it himself, or what he counted is gone with him."""
        noted = self._figures.release(call_id)
        if noted is None:
            return
        place, held_nano_usd = noted
        self._spend.move(place, held_nano_usd, into=("source", CostSource.RECORD), counted_as=cost_nano_usd)
        self._figures.commit()

    def _observe(self, entry: LedgerEntry) -> None:
        if entry.outcome is Outcome.SHADOW:
            self._observe_shadow(entry)
            return
        served = entry.served_by
        model = served.model if served else _NONE
        provider = served.provider if served else _NONE
        self._requests.add((entry.team, entry.alias, model, provider, entry.outcome))
        self._decisions.add((entry.team, entry.policy, entry.rule or _NONE, model))
        for _, reason in entry.rejected:
            self._rejections.add((reason,))
        for unpriced in {model for model, reason in entry.rejected if reason == Reason.UNPRICED}:
            self._unpriced.add((unpriced,))  # once per decision, at however many providers it has no price
        self._observe_attempts(entry)
        self._observe_savings(entry)
        if served is not None:
            self._observe_answer(entry, served)

    def shadow_skipped(self, team: str, policy: str, model: str, why: str) -> None:
        """Count a copy that was not sent: nobody may serve it, its budget is spent, or too many were waiting."""
        self._shadows.add((team, policy, model, why))

    def taken(self) -> "Scrape":
        """Every figure as it is now."""
        return Scrape(tuple(self.registry.collect()))

    def _observe_shadow(self, entry: LedgerEntry) -> None:
        """What it used and cost counts as everything does; what came of it, and how long it took, on its own."""
        self._observe_attempts(entry)
        if not entry.attempts:
            return
        last = entry.attempts[-1]
        self._shadows.add((entry.team, entry.policy, last.model, last.outcome))
        if last.outcome == _ANSWERED:
            self._shadow_duration.observe(entry.duration_s, (last.model,))
            if entry.first_token_s is not None:
                self._shadow_first_token.observe(entry.first_token_s, (last.model,))

    def _observe_attempts(self, entry: LedgerEntry) -> None:
        for number, attempt in enumerate(entry.attempts, start=1):
            self._attempts.add((attempt.provider, attempt.model, attempt.outcome))
            place = self._spend.add(
                (entry.team, attempt.model, attempt.provider, attempt.source), attempt.cost_nano_usd
            )
            if attempt.source is CostSource.HELD and attempt.generation_id is not None:
                self._figures.hold(f"{entry.request_id}.{number}", place, attempt.cost_nano_usd)
            if attempt.usage is not None:
                self._observe_tokens(entry, attempt.model, attempt.usage)
        # Nobody was asked for a second opinion because another had failed.
        attempts = [each for each in entry.attempts if each.outcome != SECOND_OPINION]
        for failed, following in pairwise(attempts):
            if failed.outcome == FAILED_VERIFICATION:
                self._fallbacks.add((failed.model, following.model, "verification"))
                self._escalations.add((entry.team, entry.policy, failed.verification or _NONE))
            else:
                self._fallbacks.add((failed.model, following.model, failed.outcome))

    def _observe_tokens(self, entry: LedgerEntry, model: str, usage: Usage) -> None:
        for kind, tokens in (
            ("input", usage.input_tokens),
            ("cached", usage.cached_tokens),
            ("cache_write", usage.cache_write_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if tokens:
                self._tokens.add((entry.team, model, kind), tokens)

    def _observe_savings(self, entry: LedgerEntry) -> None:
        if entry.baseline is None or entry.baseline_nano_usd is None:
            return
        saved = entry.baseline_nano_usd - entry.cost_nano_usd
        counter = self._saved if saved >= 0 else self._extra
        counter.add((entry.team, entry.baseline), abs(saved))

    def _observe_answer(self, entry: LedgerEntry, served: Attempt) -> None:
        if entry.trace_id is not None:
            self._observe_traced(entry, entry.trace_id)
        else:
            self._duration.observe(entry.duration_s)
            self._overhead.observe(entry.overhead_s)
            if entry.first_token_s is not None:
                self._first_token.observe(entry.first_token_s)
        if entry.expected_nano_usd and served.source is not CostSource.HELD:
            self._estimate_ratio.observe(served.cost_nano_usd / entry.expected_nano_usd)
        if served.usage is None:
            self._missing_usage.add((served.provider, served.model))
            return
        if entry.counted_input_tokens and served.usage.input_tokens:
            self._count_ratio.observe(served.usage.input_tokens / entry.counted_input_tokens)
        if served.usage.output_tokens and served.duration_s > 0:
            self._speed.observe(served.usage.output_tokens / served.duration_s)

    def _observe_traced(self, entry: LedgerEntry, trace_id: str) -> None:
        """Latencies with the trace in which one can see what they were made of."""
        trace, ended_s = {"trace_id": trace_id}, entry.at.timestamp() + entry.duration_s
        for histogram, figure_s in (
            (self._duration, entry.duration_s),
            (self._overhead, entry.overhead_s),
            (self._first_token, entry.first_token_s),
        ):
            if figure_s is not None:
                histogram.observe(figure_s, (), Exemplar(trace, figure_s, ended_s))

    def _counter(self, name: str, documentation: str, labels: tuple[str, ...], bound: Bound) -> EventCounter:
        counter = EventCounter(self._figures, f"penstock_{name}", documentation, labels, bound=bound)
        self.registry.register(counter)
        return counter

    def _money(self, name: str, documentation: str, labels: tuple[str, ...], bound: Bound) -> NanoUsdCounter:
        counter = NanoUsdCounter(self._figures, f"penstock_{name}", documentation, labels, bound=bound)
        self.registry.register(counter)
        return counter

    def _histogram(
        self, name: str, documentation: str, buckets: tuple[float, ...], labels: tuple[str, ...] = ()
    ) -> EventHistogram:
        bound = _SHADOW_TIMES if labels else _ALONE
        histogram = EventHistogram(
            self._figures, f"penstock_{name}", documentation, labels, buckets=buckets, bound=bound
        )
        self.registry.register(histogram)
        return histogram

    def _gauge(
        self, shape: Shape, read: Callable[[], Mapping[Labels, float]], *, merge: Merge, bound: Bound = _ALONE
    ) -> None:
        gauge = WorkerGauge(self._figures, shape, read, merge=merge, bound=bound)
        self.registry.register(gauge)
        self._worker_gauges.append(gauge)


class Scrape(Collector):
    """The figures of one moment. To write them down takes 10 to 25 ms for 2,000 series, and can be done in a thread."""

    def __init__(self, families: tuple[Metric, ...]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families

    def text(self, accept: str) -> tuple[bytes, str]:
        """The metrics as text, and its content type, by what the scraper accepts."""
        if "application/openmetrics-text" in accept:
            return openmetrics_text(self), OPENMETRICS_TYPE  # type: ignore[no-untyped-call]  # 0.26 has no types here
        return text(self), TEXT_TYPE


class _BudgetCollector(Collector):
    """Limits, spend, holds and windows of every budget, read when scraped: the same for all workers, which share them.

    Of budgets that are more than fit, the last are summed up under `other`.
    """

    def __init__(self, budgets: Callable[[], list[BudgetState]]) -> None:
        self._budgets = budgets

    def collect(self) -> Iterable[Metric]:
        *sums, opened, resets = families = self.describe()
        # Keys come and go; a label value for each would never end.
        states = [state for state in self._budgets() if state.scope.kind is not ScopeKind.KEY]
        readings = (
            (_budget_labels(state), (state.limit_nano_usd, state.spent_nano_usd, state.held_nano_usd))
            for state in states
        )
        named = within(readings, _MOST_BUDGETS)
        for labels, figures in named.items():
            for family, nano_usd in zip(sums, figures, strict=True):
                family.add_metric(labels, float(usd(nano_usd)))
        for state in states:
            labels = _budget_labels(state)
            if labels in named:  # those summed up have no window in common
                opened.add_metric(labels, state.window.starts.timestamp())
                resets.add_metric(labels, state.window.ends.timestamp())
        return families

    def describe(self) -> tuple[GaugeMetricFamily, ...]:
        return tuple(
            GaugeMetricFamily(f"penstock_budget_{name}", documentation, labels=("team", "project", "per"))
            for name, documentation in (
                ("limit_usd", "What a budget allows per window."),
                ("spent_usd", "Settled in the current window."),
                ("held_usd", "Set aside for calls under way."),
                ("opened_timestamp_seconds", "When the current window began, in Unix time."),
                ("resets_timestamp_seconds", "When the current window ends, in Unix time."),
            )
        )


def _budget_labels(state: BudgetState) -> Labels:
    project = state.scope.name if state.scope.kind is ScopeKind.PROJECT else ""
    return (state.scope.team, project, state.per.value)


class _VersionCollector(Collector):
    """A version as a label, of a metric that is always 1."""

    def __init__(self, name: str, documentation: str, version: Callable[[], str]) -> None:
        self._name = name
        self._documentation = documentation
        self._version = version

    def collect(self) -> Iterable[InfoMetricFamily]:
        (family,) = self.describe()
        family.add_metric((), {"version": self._version()})
        return (family,)

    def describe(self) -> tuple[InfoMetricFamily]:
        return (InfoMetricFamily(self._name, self._documentation),)


class _RestartCollector(Collector):
    """How often a worker had to be started again, as the parent has counted."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[CounterMetricFamily]:
        (family,) = self.describe()
        family.add_metric((), float(self._figures.restarts))
        return (family,)

    def describe(self) -> tuple[CounterMetricFamily]:
        return (
            CounterMetricFamily(
                "penstock_worker_restarts", "Workers started in the place of one that had died.", labels=()
            ),
        )


def _model_and_provider(deployment: DeploymentId) -> Labels:
    provider, _, model = deployment.partition(":")
    return model, provider
