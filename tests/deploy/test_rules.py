"""The shipped rules: valid, named as is usual, each alert tried both ways, about metrics that exist, with a runbook."""

import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from tests.deploy.expressions import Rule, alerts, existing, loaded, named, rules
from tests.deploy.prometheus_server import SHIPPED, needed

CASES = sorted((SHIPPED / "tests").glob("*.yml"))


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([needed("promtool"), *arguments], capture_output=True, text=True, check=False)


def test_promtool_finds_nothing_wrong_with_the_configuration_and_the_rules() -> None:
    rule_files = sorted(str(path) for path in (SHIPPED / "rules").glob("*.yml"))

    # The admin token's file is not here, hence the syntax alone.
    configuration = promtool("check", "config", "--syntax-only", str(SHIPPED / "prometheus.yml"))
    checked = promtool("check", "rules", *rule_files)

    assert configuration.returncode == 0, configuration.stderr
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("cases", CASES, ids=lambda path: path.stem)
def test_alerts_sound_when_they_should_and_not_when_they_should_not(cases: Path) -> None:
    tested = promtool("test", "rules", str(cases))

    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case_in_which_it_sounds_and_one_in_which_it_does_not() -> None:
    sounds: defaultdict[str, set[bool]] = defaultdict(set)
    for path in CASES:
        for test in loaded(path)["tests"]:
            for case in test.get("alert_rule_test", []):
                sounds[case["alertname"]].add(bool(case.get("exp_alerts")))

    assert sounds == {alert.name: {True, False} for alert in alerts()}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_where_to_read_on(alert: Rule) -> None:
    assert alert.name.startswith("Penstock")
    assert alert.labels.keys() == {"severity"}
    assert alert.labels["severity"] in {"critical", "warning"}
    assert alert.annotations.keys() == {"summary", "description", "runbook_url"}
    assert alert.annotations["runbook_url"] == f"https://docs.penstock.example/runbooks/{alert.name}"
    assert "$value" in alert.annotations["description"] or alert.name in {
        "PenstockAuditBroken",
        "PenstockBreakerOpen",
        "PenstockInstanceDown",
        "PenstockReloadFailed",
        "PenstockUnpricedModel",
    }


def test_recorded_series_are_named_level_metric_operation() -> None:
    recorded = [rule.name for rule in rules() if not rule.is_alert]

    assert [name for name in recorded if not re.fullmatch(r"job(_[a-z]+)*:penstock_[a-z0-9_]+:[a-z0-9_]+", name)] == []
    assert len(set(recorded)) == len(recorded)


def test_rules_name_only_series_that_exist() -> None:
    unknown = {rule.name: named(rule.expr) - existing() for rule in rules()}

    assert {name: series for name, series in unknown.items() if series} == {}
