"""docs/metrics.md lists exactly the metrics there are, with their types and labels."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from router.catalog.catalog import DeploymentId
from router.decision.eligibility import Reason
from router.ledger import FAILED_VERIFICATION, Outcome
from router.quotas import BudgetState, Per, ScopeId, Window
from router.server.auth import KeyFault
from router.telemetry.metrics import Gauges, Metrics
from router.units import CostSource
from tests.storage.entries import GPT, attempt, entry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

# | `name` | type | `label`, `label` | meaning |
_ROW = re.compile(r"\| `(\w+)` \| (\w+) \|([^|]*)\| (\S[^|]*) \|")


@dataclass(frozen=True, slots=True)
class Described:
    """A metric as Prometheus sees it."""

    name: str
    type: str
    labels: frozenset[str]


def documented() -> list[Described]:
    _, _, table = PAGE.read_text(encoding="utf-8").partition("| Name | Type | Labels | Meaning |\n|---|---|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    found = [match for row in rows if (match := _ROW.fullmatch(row))]
    assert len(found) == len(rows), "a row of the table does not read: name, type, labels, meaning"
    return [Described(row[1], row[2], frozenset(re.findall(r"`(\w+)`", row[3]))) for row in found]


def exported() -> list[Described]:
    """Every metric with its labels, from the text of a process in which everything has happened once."""
    text, _ = eventful().taken().text("text/plain")
    return [
        Described(
            family.name + ("_total" if family.type == "counter" else ""),
            family.type,
            frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
        )
        for family in text_string_to_metric_families(text.decode())
    ]


def eventful() -> Metrics:
    today = Window(datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, tzinfo=UTC))
    state = BudgetState(ScopeId.of_team("search"), Per.DAY, 1, spent_nano_usd=0, held_nano_usd=0, window=today)
    metrics = Metrics(version="0.1.0", config_version="0123456789ab")
    hits = {DeploymentId("openrouter:openai/gpt-5.5"): 0.9}
    metrics.watch(
        Gauges(
            in_flight=lambda: 0,
            ledger_lag_s=lambda: 0.0,
            budgets=lambda: [state],
            cache_hits=lambda: hits,
            price_ages_s=lambda: {"openrouter": 1.0},
            breakers=lambda: {DeploymentId("openrouter:openai/gpt-5.5"): 2},
        )
    )
    metrics.price_changed(GPT)
    metrics.repointed(GPT)
    metrics.quality_fed_back("search", GPT, "good")
    metrics.quality_learning("search", "promoted")
    metrics.labels_lost(1)
    metrics.shed("search", "memory", 1)
    metrics.spans_lost("undelivered", 1)
    metrics.prompts_kept(1)
    metrics.prompts_lost("unwritable", 1)
    metrics.log_lines_lost(1)
    metrics.unrated_version_answered(GPT, "openrouter")
    metrics.refused("invalid_api_key")
    metrics.not_let_in("unknown")
    metrics.former_secret_used("search")
    metrics.connection_refused("slow_head")
    metrics.observe(entry("saved", rejected=((GPT, Reason.UNPRICED),)))
    metrics.observe(entry("dearer", baseline_nano_usd=0))
    metrics.observe(entry("fell_back", attempt(outcome="upstream_503"), attempt(usage=None)))
    metrics.observe(entry("escalated", attempt(outcome=FAILED_VERIFICATION, verification="regex"), attempt()))
    metrics.observe(entry("copy", outcome=Outcome.SHADOW))
    return metrics


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other() -> None:
    assert sorted(documented(), key=lambda each: each.name) == sorted(exported(), key=lambda each: each.name)


def test_every_value_that_we_choose_for_a_label_is_explained() -> None:
    page = PAGE.read_text(encoding="utf-8")

    chosen = [value.value for values in (Outcome, CostSource, Reason, Per, KeyFault) for value in values]
    assert [value for value in chosen if f"`{value}`" not in page] == []


def test_every_metric_of_the_examples_exists() -> None:
    examples = "".join(re.findall(r"```promql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))

    named = set(re.findall(r"penstock_\w+", examples))
    assert named
    assert named <= {each.name for each in exported()}
