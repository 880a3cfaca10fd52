"""Prometheus metrics. Everything about requests is observed from one `LedgerEntry`, so that metrics and ledger agree.

Label values come from the configuration only: entries carry aliases and models that were looked up, never text of a
client. Metric names and labels are listed in docs/metrics.md, and a test holds the two together.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client import CollectorRegistry, Gauge, Info
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST as TEXT_TYPE
from prometheus_client.exposition import generate_latest as text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS_TYPE
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text
from prometheus_client.registry import Collector

from router.catalog.catalog import DeploymentId
from router.decision.eligibility import Reason
from router.ledger import FAILED_VERIFICATION, SECOND_OPINION, Attempt, DoubtfulCall, LedgerEntry, Outcome
from router.quotas import BudgetState, ScopeKind
from router.telemetry.events import EventCounter, EventHistogram
from router.telemetry.money import NanoUsdCounter
from router.units import CostSource, Usage, usd

_ANSWERED = "ok"  # the outcome of a call that was answered
_NONE = "none"  # the model or provider of a request that reached none

_DURATION_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_FIRST_TOKEN_S = (0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
_OVERHEAD_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_RATIO = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 1.0, 1.02, 1.05, 1.1, 1.25, 1.5, 2, 4, 10)
_TOKENS_PER_S = (1, 5, 10, 20, 40, 60, 80, 100, 150, 200, 400, 1000)


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is read at the moment of a scrape rather than counted."""

    in_flight: Callable[[], int]
    ledger_lag_s: Callable[[], float]
    budgets: Callable[[], list[BudgetState]]
    cache_hits: Callable[[], Mapping[DeploymentId, float]] = dict  # share of what should be in a prompt cache that was
    price_ages_s: Callable[[], Mapping[str, float]] = dict  # by provider
    breakers: Callable[[], Mapping[DeploymentId, int]] = dict  # 0 closed, 1 half-open, 2 open


class Metrics:
    """The registry of one process."""

    def __init__(self, *, version: str, config_version: str) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._held: set[tuple[str, int]] = set()  # calls counted as held that may be corrected: request and number
        self._requests = _counter(
            registry,
            "requests",
            "Requests that were decided upon, by how they ended for the client.",
            ("team", "alias", "model", "provider", "outcome"),
        )
        self._client_errors = _counter(
            registry, "client_errors", "Requests refused before a decision, by error code.", ("code",)
        )
        self._spend = _registered(
            registry,
            "penstock_spend_usd",
            "Dollars booked, by how the cost is known.",
            ("team", "model", "provider", "source"),
        )
        self._saved = _registered(
            registry,
            "penstock_saved_usd",
            "Dollars that the baseline would have cost more, where it would have.",
            ("team", "baseline"),
        )
        self._extra = _registered(
            registry,
            "penstock_extra_usd",
            "Dollars that requests cost more than at the baseline, where they did.",
            ("team", "baseline"),
        )
        self._tokens = _counter(
            registry,
            "tokens",
            "Tokens as providers report them. cached and cache_write are parts of input, reasoning is part of output.",
            ("team", "model", "kind"),
        )
        self._decisions = _counter(
            registry,
            "decisions",
            "Decisions by the policy, the rule that applied and the model that answered.",
            ("team", "policy", "rule", "model"),
        )
        self._rejections = _counter(registry, "rejections", "Candidates that a decision rejected.", ("reason",))
        self._attempts = _counter(registry, "attempts", "Calls to providers.", ("provider", "model", "outcome"))
        self._fallbacks = _counter(
            registry, "fallbacks", "Calls made because another one failed.", ("from_model", "to_model", "reason")
        )
        self._escalations = _counter(
            registry,
            "escalations",
            "Answers that failed a check of their policy, so that a better model was asked.",
            ("team", "policy", "check"),
        )
        self._missing_usage = _counter(
            registry,
            "missing_usage",
            "Answered calls whose provider told neither usage nor cost.",
            ("provider", "model"),
        )
        self._unpriced = _counter(
            registry,
            "unpriced_requests",
            "Decisions that had to leave a model out because its price is not known.",
            ("model",),
        )
        self._price_changes = _counter(
            registry, "price_changes", "Changes of a model's price at a provider.", ("model",)
        )
        self._repointed = _counter(
            registry,
            "model_repointed",
            "How often a provider has put another version behind a model's name.",
            ("model",),
        )
        self._unrated = _counter(
            registry,
            "unrated_version_answers",
            "Answers by another version of the model than its quality figures are of.",
            ("model", "provider"),
        )
        self._feedback = _counter(
            registry,
            "quality_feedback",
            "Scores of answers that clients sent, each once; a changed one again.",
            ("team", "model", "verdict"),
        )
        self._quality_events = _counter(
            registry,
            "quality_learning_events",
            "What became of corrections learned from labels: promoted, refused, silenced, fell_back, overtaken.",
            ("team", "event"),
        )
        self._labels_lost = _counter(
            registry,
            "labels_lost",
            "Labels of answers that were given up, as too many waited for the store.",
            (),
        )
        self._duration = _histogram(registry, "request_duration_seconds", "From admission to settlement.", _DURATION_S)
        self._first_token = _histogram(
            registry, "time_to_first_token_seconds", "From admission to the first byte for the client.", _FIRST_TOKEN_S
        )
        self._overhead = _histogram(
            registry, "overhead_seconds", "Ours alone: from admission to the first call to a provider.", _OVERHEAD_S
        )
        self._speed = _histogram(
            registry, "output_tokens_per_second", "Output tokens by the duration of the call.", _TOKENS_PER_S
        )
        self._estimate_ratio = _histogram(registry, "estimate_ratio", "Actual divided by expected cost.", _RATIO)
        self._count_ratio = _histogram(
            registry, "token_count_ratio", "Input tokens reported divided by input tokens counted.", _RATIO
        )
        self._shadows = _counter(
            registry,
            "shadows",
            "Copies of requests to models that are only measured, and those that were not sent.",
            ("team", "policy", "model", "outcome"),
        )
        self._shadow_duration = _histogram(
            registry,
            "shadow_duration_seconds",
            "Of answered copies, to the end of the answer.",
            _DURATION_S,
            ("model",),
        )
        self._shadow_first_token = _histogram(
            registry,
            "shadow_first_token_seconds",
            "Of answered copies, to the beginning of the answer.",
            _FIRST_TOKEN_S,
            ("model",),
        )
        Info("penstock_build", "What is running.", registry=registry).info({"version": version})
        Info("penstock_config", "The configuration in force.", registry=registry).info({"version": config_version})

    def watch(self, gauges: Gauges) -> None:
        """Read these at every scrape. To be called once, when what they read has been built."""
        in_flight = Gauge("penstock_in_flight_requests", "Requests under way.", registry=self.registry)
        in_flight.set_function(gauges.in_flight)
        lag = Gauge(
            "penstock_ledger_lag_seconds", "Age of the oldest entry not yet in the ledger.", registry=self.registry
        )
        lag.set_function(gauges.ledger_lag_s)
        self.registry.register(_BudgetCollector(gauges.budgets))
        self.registry.register(_CacheCollector(gauges.cache_hits))
        self.registry.register(_PriceAgeCollector(gauges.price_ages_s))
        self.registry.register(_BreakerCollector(gauges.breakers))

    def refused(self, code: str) -> None:
        """Count a request that never came to a decision."""
        self._client_errors.add((code,))

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

    def labels_lost(self, count: int) -> None:
        """Count labels of answers that nobody will learn from, as the store could not be written for too long."""
        self._labels_lost.add((), count)

    def observe(self, entry: LedgerEntry) -> None:
        """Count everything about one finished request, or about a copy of one."""
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

    def corrected(self, call: DoubtfulCall, cost_nano_usd: int) -> None:
        """Count a call by its record that was counted as held. Calls that an earlier process counted are left out:
        what it counted is gone with it."""
        if (call.request_id, call.number) in self._held:
            self._held.discard((call.request_id, call.number))
            self._spend.add((call.team, call.model, call.provider, CostSource.HELD), -call.held_nano_usd)
            self._spend.add((call.team, call.model, call.provider, CostSource.RECORD), cost_nano_usd)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics as text, and its content type, by what the scraper accepts."""
        if "application/openmetrics-text" in accept:
            return openmetrics_text(self.registry), OPENMETRICS_TYPE  # type: ignore[no-untyped-call]  # 0.26 has no types here
        return text(self.registry), TEXT_TYPE

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
            if attempt.source is CostSource.HELD and attempt.generation_id is not None:
                self._held.add((entry.request_id, number))
            self._attempts.add((attempt.provider, attempt.model, attempt.outcome))
            self._spend.add((entry.team, attempt.model, attempt.provider, attempt.source), attempt.cost_nano_usd)
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


class _BudgetCollector(Collector):
    """Limits, spend, holds and windows of every budget, read when scraped."""

    def __init__(self, budgets: Callable[[], list[BudgetState]]) -> None:
        self._budgets = budgets

    def collect(self) -> Iterable[Metric]:
        limit, spent, held, opened, resets = self.describe()
        for state in self._budgets():
            if state.scope.kind is ScopeKind.KEY:
                continue  # keys come and go; a label value for each would never end
            project = state.scope.name if state.scope.kind is ScopeKind.PROJECT else ""
            labels = (state.scope.team, project, state.per.value)
            limit.add_metric(labels, float(usd(state.limit_nano_usd)))
            spent.add_metric(labels, float(usd(state.spent_nano_usd)))
            held.add_metric(labels, float(usd(state.held_nano_usd)))
            opened.add_metric(labels, state.window.starts.timestamp())
            resets.add_metric(labels, state.window.ends.timestamp())
        return (limit, spent, held, opened, resets)

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


class _CacheCollector(Collector):
    """How far prompt caches keep what they promise, read when scraped."""

    def __init__(self, cache_hits: Callable[[], Mapping[DeploymentId, float]]) -> None:
        self._cache_hits = cache_hits

    def collect(self) -> Iterable[Metric]:
        (hits,) = self.describe()
        for deployment_id, share in self._cache_hits().items():
            provider, _, model = deployment_id.partition(":")
            hits.add_metric((model, provider), share)
        return (hits,)

    def describe(self) -> tuple[GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "penstock_prompt_cache_hit_ratio",
                "Cached tokens reported divided by those expected, lately.",
                labels=("model", "provider"),
            ),
        )


class _BreakerCollector(Collector):
    """Whether every deployment that was asked may be asked now, read when scraped."""

    def __init__(self, states: Callable[[], Mapping[DeploymentId, int]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        (breaker,) = self.describe()
        for deployment, state in self._states().items():
            provider, _, model = deployment.partition(":")
            breaker.add_metric((provider, model), state)
        return (breaker,)

    def describe(self) -> tuple[GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "penstock_breaker_state",
                "Whether a deployment is asked: 0 closed (it is), 1 half-open (one request tries it), 2 open.",
                labels=("provider", "model"),
            ),
        )


class _PriceAgeCollector(Collector):
    """How old the prices of every provider are that tells its own, read when scraped."""

    def __init__(self, ages_s: Callable[[], Mapping[str, float]]) -> None:
        self._ages_s = ages_s

    def collect(self) -> Iterable[Metric]:
        (age,) = self.describe()
        for provider, age_s in self._ages_s().items():
            age.add_metric((provider,), age_s)
        return (age,)

    def describe(self) -> tuple[GaugeMetricFamily]:
        return (
            GaugeMetricFamily(
                "penstock_price_age_seconds",
                "Since the provider's own list of prices was last read whole.",
                labels=("provider",),
            ),
        )


def _registered(registry: CollectorRegistry, name: str, documentation: str, labels: tuple[str, ...]) -> NanoUsdCounter:
    counter = NanoUsdCounter(name, documentation, labels)
    registry.register(counter)
    return counter


def _counter(registry: CollectorRegistry, name: str, documentation: str, labels: tuple[str, ...]) -> EventCounter:
    counter = EventCounter(f"penstock_{name}", documentation, labels)
    registry.register(counter)
    return counter


def _histogram(
    registry: CollectorRegistry,
    name: str,
    documentation: str,
    buckets: tuple[float, ...],
    labels: tuple[str, ...] = (),
) -> EventHistogram:
    histogram = EventHistogram(f"penstock_{name}", documentation, labels, buckets=buckets)
    registry.register(histogram)
    return histogram
