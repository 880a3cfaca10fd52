"""Every metric is made from ledger entries, adds up to them, and can be read by what reads Prometheus metrics."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from router.catalog.catalog import DeploymentId, ModelName, arm_of
from router.config.loader import load
from router.ledger import FAILED_VERIFICATION, Attempt, LedgerEntry, Outcome
from router.quotas import BudgetState, Per, ScopeId, Window
from router.telemetry.metrics import MOST_SERIES, Gauges, Metrics
from router.units import CostSource
from tests.replacing import replace
from tests.storage.entries import AT, FLASH, GPT, attempt, entries, entry

NOVEMBER = Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CONFIG = Path(__file__).resolve().parents[2] / "config"


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def total(metrics: Metrics, name: str, **labels: str) -> float:
    """The sum over every sample of that name that carries these labels, as PromQL's sum() gives it."""
    return sum(
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


# What is counted


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.CLIENT_GONE, Outcome.CUT])
def test_an_answered_request_is_counted_at_the_model_that_answered(metrics: Metrics, outcome: Outcome) -> None:
    metrics.observe(entry(outcome=outcome))

    answered = {"team": "search", "alias": "auto", "model": FLASH, "provider": "openrouter"}
    assert value(metrics, "penstock_requests_total", **answered, outcome=outcome.value) == 1
    assert value(metrics, "penstock_decisions_total", team="search", policy="balanced", rule="code", model=FLASH) == 1
    assert value(metrics, "penstock_request_duration_seconds_count") == 1
    assert value(metrics, "penstock_request_duration_seconds_sum") == 2.5
    assert value(metrics, "penstock_overhead_seconds_sum") == 0.002
    assert value(metrics, "penstock_time_to_first_token_seconds_sum") == 0.4
    assert value(metrics, "penstock_output_tokens_per_second_sum") == 100
    assert value(metrics, "penstock_estimate_ratio_sum") == 147_000 / 150_000
    assert value(metrics, "penstock_token_count_ratio_sum") == 1_000 / 980


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
def test_a_request_nobody_answered_is_counted_without_a_model(metrics: Metrics, outcome: Outcome) -> None:
    metrics.observe(replace(entry(outcome=outcome), attempts=(), rule=None))

    nobody = {"model": "none", "provider": "none"}
    assert value(metrics, "penstock_requests_total", team="search", alias="auto", outcome=outcome.value, **nobody) == 1
    assert value(metrics, "penstock_decisions_total", team="search", policy="balanced", rule="none", model="none") == 1
    assert value(metrics, "penstock_request_duration_seconds_count") == 0


def test_a_call_that_failed_and_its_replacement_are_both_counted_and_paid(metrics: Metrics) -> None:
    failed = attempt(model=GPT, outcome="upstream_timeout", usage=None, cost_nano_usd=500, source=CostSource.HELD)
    metrics.observe(entry("req_1", failed, attempt(cost_nano_usd=70)))

    assert value(metrics, "penstock_attempts_total", provider="openrouter", model=GPT, outcome="upstream_timeout") == 1
    assert value(metrics, "penstock_attempts_total", provider="openrouter", model=FLASH, outcome="ok") == 1
    assert value(metrics, "penstock_fallbacks_total", from_model=GPT, to_model=FLASH, reason="upstream_timeout") == 1
    assert total(metrics, "penstock_spend_usd_total", model=GPT, source="held") == 500e-9
    assert total(metrics, "penstock_spend_usd_total", model=FLASH, source="reported") == 70e-9


def test_an_answer_that_failed_a_check_is_an_escalation_once_a_better_model_was_asked(metrics: Metrics) -> None:
    failed = attempt(outcome=FAILED_VERIFICATION, verification="json_schema")
    metrics.observe(entry("req_1", failed, attempt(model=GPT, verification="passed")))
    metrics.observe(entry("req_2", failed))

    assert value(metrics, "penstock_escalations_total", team="search", policy="balanced", check="json_schema") == 1
    assert value(metrics, "penstock_fallbacks_total", from_model=FLASH, to_model=GPT, reason="verification") == 1
    assert total(metrics, "penstock_attempts_total", outcome=FAILED_VERIFICATION) == 2
    assert total(metrics, "penstock_requests_total", model=GPT) == 1
    assert total(metrics, "penstock_requests_total", model=FLASH) == 1


def test_a_request_whose_better_model_failed_altogether_counts_for_the_one_that_answered(metrics: Metrics) -> None:
    failed = attempt(outcome=FAILED_VERIFICATION, verification="regex")
    metrics.observe(entry("req_1", failed, attempt(model=GPT, outcome="upstream_503", usage=None, cost_nano_usd=0)))

    assert total(metrics, "penstock_requests_total", model=FLASH) == 1
    assert total(metrics, "penstock_requests_total", model=GPT) == 0


def test_tokens_are_counted_by_kind_and_parts_stay_parts(metrics: Metrics) -> None:
    metrics.observe(entry())

    assert {
        kind: value(metrics, "penstock_tokens_total", team="search", model=FLASH, kind=kind)
        for kind in ("input", "cached", "cache_write", "output", "reasoning")
    } == {"input": 1_000, "cached": 100, "cache_write": None, "output": 200, "reasoning": 50}


def test_what_was_saved_and_what_was_spent_above_the_baseline_are_apart(metrics: Metrics) -> None:
    metrics.observe(entry("req_1", attempt(cost_nano_usd=100), baseline_nano_usd=1_100))
    metrics.observe(entry("req_2", attempt(cost_nano_usd=100), baseline_nano_usd=40))
    metrics.observe(entry("req_3", attempt(cost_nano_usd=100), baseline_nano_usd=None))

    assert value(metrics, "penstock_saved_usd_total", team="search", baseline=GPT) == 1_000e-9
    assert value(metrics, "penstock_extra_usd_total", team="search", baseline=GPT) == 60e-9


def test_an_answer_without_usage_is_counted_as_such(metrics: Metrics) -> None:
    metrics.observe(entry("req_1", attempt(usage=None, source=CostSource.HELD)))

    assert value(metrics, "penstock_missing_usage_total", provider="openrouter", model=FLASH) == 1
    assert value(metrics, "penstock_estimate_ratio_count") == 0  # a sum held says nothing about the estimate
    assert value(metrics, "penstock_token_count_ratio_count") == 0


def test_a_model_without_a_price_is_counted_once_per_decision_at_however_many_providers(metrics: Metrics) -> None:
    metrics.observe(entry(rejected=((GPT, "unpriced"), (GPT, "unpriced"), (FLASH, "below_quality"))))

    assert value(metrics, "penstock_unpriced_requests_total", model=GPT) == 1
    assert value(metrics, "penstock_rejections_total", reason="unpriced") == 2
    assert value(metrics, "penstock_rejections_total", reason="below_quality") == 1


def test_a_request_refused_before_a_decision_is_counted_by_its_error(metrics: Metrics) -> None:
    metrics.refused("invalid_api_key")

    assert value(metrics, "penstock_client_errors_total", code="invalid_api_key") == 1


def test_gauges_are_read_when_they_are_scraped() -> None:
    states = [
        BudgetState(
            ScopeId.of_team("search"),
            Per.MONTH,
            limit_nano_usd=10**9,
            spent_nano_usd=1,
            held_nano_usd=20,
            window=NOVEMBER,
        )
    ]
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    in_flight = [1]
    metrics.watch(Gauges(in_flight=lambda: in_flight[0], ledger_lag_s=lambda: 2.5, budgets=lambda: states))

    in_flight[0] = 7
    states.append(
        BudgetState(
            ScopeId.of_team("ads"), Per.DAY, limit_nano_usd=0, spent_nano_usd=0, held_nano_usd=0, window=NOVEMBER
        )
    )

    assert value(metrics, "penstock_in_flight_requests") == 7
    assert value(metrics, "penstock_ledger_lag_seconds") == 2.5
    assert value(metrics, "penstock_budget_limit_usd", team="search", project="", per="month") == 1
    assert value(metrics, "penstock_budget_spent_usd", team="search", project="", per="month") == 1e-9
    assert value(metrics, "penstock_budget_held_usd", team="search", project="", per="month") == 2e-8
    assert value(metrics, "penstock_budget_opened_timestamp_seconds", team="search", project="", per="month") == (
        1_793_491_200  # date -u -d 2026-11-01 +%s
    )
    assert value(metrics, "penstock_budget_resets_timestamp_seconds", team="search", project="", per="month") == (
        1_796_083_200
    )
    assert value(metrics, "penstock_budget_limit_usd", team="ads", project="", per="day") == 0


def test_what_prompt_caches_keep_of_what_they_promise_is_read_at_the_scrape() -> None:
    hits = {DeploymentId("openrouter:openai/gpt-5.5"): 0.25}
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    metrics.watch(Gauges(in_flight=int, ledger_lag_s=float, budgets=list, cache_hits=lambda: hits))

    hits[DeploymentId("deepseek:deepseek/deepseek-v4-flash")] = 1.0

    ratio = "penstock_prompt_cache_hit_ratio"
    assert value(metrics, ratio, provider="openrouter", model="openai/gpt-5.5") == 0.25
    assert value(metrics, ratio, provider="deepseek", model="deepseek/deepseek-v4-flash") == 1


# Laws


@settings(deadline=None)
@given(st.lists(entries, max_size=10))
def test_metrics_add_up_to_the_entries(observed: list[LedgerEntry]) -> None:
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")

    for each in observed:
        metrics.observe(each)

    calls = [call for each in observed for call in each.attempts]
    requests = [each for each in observed if each.outcome is not Outcome.SHADOW]
    copies = [each for each in observed if each.outcome is Outcome.SHADOW and each.attempts]
    assert total(metrics, "penstock_requests_total") == len(requests)
    assert total(metrics, "penstock_decisions_total") == len(requests)
    assert total(metrics, "penstock_shadows_total") == len(copies)
    assert total(metrics, "penstock_attempts_total") == len(calls)
    assert total(metrics, "penstock_rejections_total") == sum(len(each.rejected) for each in requests)
    assert spent_nano_usd(metrics) == {
        key: sum(call.cost_nano_usd for each in observed for call in each.attempts if booked(each, call) == key)
        for key in {booked(each, call) for each in observed for call in each.attempts}
    }
    for kind in ("input", "output", "cached", "cache_write", "reasoning"):
        counted = sum(getattr(call.usage, f"{kind}_tokens") for call in calls if call.usage)
        assert total(metrics, "penstock_tokens_total", kind=kind) == counted
    answered = [each for each in observed if each.served_by is not None]
    assert value(metrics, "penstock_request_duration_seconds_count") == len(answered)


def booked(each: LedgerEntry, call: Attempt) -> tuple[str, str, str, str]:
    return each.team, call.model, call.provider, call.source.value


def spent_nano_usd(metrics: Metrics) -> dict[tuple[str, ...], int]:
    """Read back from the exported floats: below 2**53 nano-dollars, nine million dollars, they are exact."""
    return {
        tuple(sample.labels[label] for label in ("team", "model", "provider", "source")): round(sample.value * 10**9)
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "penstock_spend_usd_total"
    }


@settings(deadline=None)
@given(st.lists(entries, max_size=5))
def test_no_label_value_comes_from_anywhere_but_the_entry(observed: list[LedgerEntry]) -> None:
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    for each in observed:
        metrics.observe(each)

    known = {text for each in observed for text in words(each)}
    fixed = {"none", "input", "output", "cached", "cache_write", "reasoning", "0.1.0", "0123456789ab"}
    for family in metrics.registry.collect():
        for sample in family.samples:
            for label, text in sample.labels.items():
                assert label == "le" or text in known | fixed


def words(each: LedgerEntry) -> Iterable[str]:
    """What the entry says that may stand in a label: nothing a client or a provider wrote freely."""
    yield from (each.team, each.alias, each.policy, each.outcome.value)
    yield from (each.rule or "none", each.baseline or "none")
    for call in each.attempts:
        yield from (call.model, call.provider, call.outcome, call.source.value)
    for model, reason in each.rejected:
        yield from (model, reason)


# Exposition


@pytest.fixture
def busy(metrics: Metrics) -> Metrics:
    """Metrics in which every series there can be has a value, with labels that need escaping."""
    odd = ModelName('odd/"quoted\\model\n')
    for outcome in Outcome:
        metrics.observe(entry(outcome=outcome, rejected=((odd, "unpriced"),)))
    metrics.observe(entry("req_2", attempt(model=odd, outcome="upstream_503", usage=None), attempt(usage=None)))
    metrics.observe(entry(baseline_nano_usd=1))
    metrics.refused("invalid_request")
    return metrics


def test_prometheus_text_is_read_back_as_what_the_registry_holds(busy: Metrics) -> None:
    text, content_type = busy.taken().text("text/plain")

    assert content_type.startswith("text/plain; version=")
    assert samples(text_families(text.decode())) == samples(busy.registry.collect())


def test_openmetrics_text_is_read_back_as_what_the_registry_holds(busy: Metrics) -> None:
    text, content_type = busy.taken().text(f"{OPENMETRICS},text/plain;q=0.5")

    assert content_type.startswith("application/openmetrics-text; version=")
    families = openmetrics_families(text.decode())  # type: ignore[no-untyped-call]  # 0.26 has no types here
    assert samples(families) == samples(busy.registry.collect())


def samples(families: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def test_no_series_says_when_it_was_created(busy: Metrics) -> None:
    for accept in ("text/plain", OPENMETRICS):
        text, _ = busy.taken().text(accept)

        assert b"_created" not in text


def test_two_processes_of_metrics_do_not_share_their_counts(metrics: Metrics) -> None:
    other = Metrics(version="0.1.0", config_version="0123456789ab")
    metrics.observe(entry())

    assert total(other, "penstock_requests_total") == 0


def test_promtool_finds_nothing_wrong_with_the_metrics(busy: Metrics) -> None:
    text, _ = busy.taken().text("text/plain")

    assert promtool("check", "metrics", given=text) == (0, b"")


def test_openmetrics_with_exemplars_is_what_prometheus_reads(busy: Metrics, tmp_path: Path) -> None:
    """`promtool check metrics` reads the other format only; what imports a history has Prometheus's own parser."""
    busy.observe(replace(entry(), trace_id=TRACE))
    text, _ = busy.taken().text(OPENMETRICS)
    samples = tmp_path / "samples"
    samples.write_text("\n".join(map(_with_time, text.decode().split("\n"))))

    code, said = promtool("tsdb", "create-blocks-from", "openmetrics", str(samples), str(tmp_path / "blocks"))

    assert code == 0, said
    assert len(list(tmp_path.glob("blocks/*/meta.json"))) == 1


def promtool(*arguments: str, given: bytes = b"") -> tuple[int, bytes]:
    """Its exit code, and what it says."""
    if shutil.which("promtool") is None:
        assert os.environ.get("CI") != "true", "CI must have promtool installed"  # noqa: TID251 - CI says so
        pytest.skip("promtool is not installed (Debian: prometheus)")
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _with_time(line: str) -> str:
    """A history has a time with every sample."""
    if not line or line.startswith("#"):
        return line
    sample, mark, exemplar = line.partition(" # {")
    return f"{sample} {AT.timestamp()}{mark}{exemplar}"


# Exemplars


def test_latencies_show_the_trace_of_a_request_that_fell_into_each_bucket(metrics: Metrics) -> None:
    metrics.observe(entry("req_0"))
    metrics.observe(replace(entry("req_1"), trace_id="0" * 31 + "1"))
    metrics.observe(replace(entry("req_2"), trace_id=TRACE))
    metrics.observe(entry("req_3"))
    metrics.observe(replace(entry("req_4"), trace_id="0" * 31 + "2", duration_s=90.0))

    text = metrics.taken().text(OPENMETRICS)[0].decode()

    at_2 = f'{{trace_id="{TRACE}"}} 2.5 {AT.timestamp() + 2.5}'
    slow, ended_s = f'{{trace_id="{"0" * 31}2"}}', AT.timestamp() + 90
    for line in (
        f'penstock_request_duration_seconds_bucket{{le="2.5"}} 4.0 # {at_2}',
        'penstock_request_duration_seconds_bucket{le="5.0"} 4.0',
        f'penstock_request_duration_seconds_bucket{{le="120.0"}} 5.0 # {slow} 90.0 {ended_s}',
        f'penstock_time_to_first_token_seconds_bucket{{le="0.5"}} 5.0 # {slow} 0.4 {ended_s}',
        f'penstock_overhead_seconds_bucket{{le="0.0025"}} 5.0 # {slow} 0.002 {ended_s}',
    ):
        assert line in text.splitlines()
    assert text.count(TRACE) == 1
    assert "trace_id" not in metrics.taken().text("text/plain")[0].decode()


def test_the_exemplars_of_a_scrape_are_read_by_the_librarys_parser(metrics: Metrics) -> None:
    metrics.observe(replace(entry(), trace_id=TRACE))

    families = openmetrics_families(metrics.taken().text(OPENMETRICS)[0].decode())  # type: ignore[no-untyped-call]  # as above

    traces = {
        family.name: sample.exemplar.labels["trace_id"]
        for family in families
        for sample in family.samples
        if sample.exemplar
    }
    assert traces == {
        "penstock_request_duration_seconds": TRACE,
        "penstock_time_to_first_token_seconds": TRACE,
        "penstock_overhead_seconds": TRACE,
    }


# How many series there are


def series(metrics: Metrics) -> int:
    return sum(len(family.samples) for family in metrics.registry.collect())


def test_a_hundred_teams_with_twenty_models_each_have_no_more_series_than_a_scrape_may_have() -> None:
    """And what was spent is exact: in sum by team for most, by source for all, and in all."""
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    teams, models = [f"team-{number}" for number in range(100)], [ModelName(f"m/{number}") for number in range(20)]
    metrics.watch(crowded_gauges(teams, models))

    spent = 0
    for team in teams:
        for number, model in enumerate(models):
            for outcome in Outcome:
                cost = len(team) * 1_000 + number
                call = attempt(model=model, cost_nano_usd=cost, outcome=f"upstream_{500 + number}")
                answer = attempt(model=model, cost_nano_usd=1, source=CostSource.HELD, usage=None)
                metrics.observe(
                    entry(
                        f"{team}-{model}-{outcome}",
                        call,
                        answer,
                        team=team,
                        alias=f"alias-{number}",
                        outcome=outcome,
                        rejected=tuple((other, "unpriced") for other in models),
                        baseline=model,
                    )
                )
                spent += cost + 1
            metrics.quality_fed_back(team, model, "good")
            metrics.shed(team, "memory", 1)
            metrics.quality_learning(team, "promoted")
            metrics.price_changed(model)
            metrics.repointed(model)
            metrics.shadow_skipped(team, "balanced", model, "dropped")
    for status in range(100, 600):
        metrics.refused(f"code_{status}")

    assert 1_000 < series(metrics) <= MOST_SERIES
    assert sum(spent_nano_usd(metrics).values()) == spent
    assert total(metrics, "penstock_spend_usd_total", source="held") == pytest.approx(100 * 20 * len(Outcome) * 1e-9)
    teams_told = {labels[0] for labels in spent_nano_usd(metrics)}
    assert len(teams_told) > 60


def crowded_gauges(teams: list[str], models: list[ModelName]) -> Gauges:
    deployments = [DeploymentId(f"provider-{number % 20}:{model}") for number, model in enumerate(models * 5)]
    return Gauges(
        in_flight=int,
        ledger_lag_s=float,
        budgets=lambda: [
            BudgetState(
                ScopeId.of_team(team), per, limit_nano_usd=10**9, spent_nano_usd=1, held_nano_usd=2, window=NOVEMBER
            )
            for team in teams
            for per in Per
        ],
        cache_hits=lambda: dict.fromkeys(deployments, 0.5),
        price_ages_s=lambda: {f"provider-{number}": 1.0 for number in range(50)},
        breakers=lambda: dict.fromkeys(deployments, 2),
    )


def test_budgets_that_are_too_many_are_summed_up(metrics: Metrics) -> None:
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    metrics.watch(crowded_gauges([f"team-{number}" for number in range(100)], []))

    states = 100 * len(Per)
    assert total(metrics, "penstock_budget_limit_usd") == states
    assert value(metrics, "penstock_budget_limit_usd", team="other", project="other", per="other") == states - 59
    assert value(metrics, "penstock_budget_spent_usd", team="team-0", project="", per="day") == 1e-9


def test_under_the_shipped_configuration_every_model_has_its_own_series_of_dollars() -> None:
    """Whatever its teams ask, by whichever alias, and however it ends."""
    snapshot = load(CONFIG, environment={})
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    for team in snapshot.teams.values():
        models = {arm_of(each).model for policy in team.policies.values() for each in policy.candidates}
        for alias, model, outcome, source in product(team.aliases, models, Outcome, CostSource):
            call = attempt(model=model, source=source)
            metrics.observe(entry("req_1", call, team=team.name, alias=alias, outcome=outcome))

    assert len(spent_nano_usd(metrics)) > 30
    assert not [labels for labels in spent_nano_usd(metrics) if "other" in labels]
    assert series(metrics) <= MOST_SERIES
