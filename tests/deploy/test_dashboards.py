"""The shipped dashboards, by the rules of Grafana's dashboard-linter and some of our own.

https://github.com/grafana/dashboard-linter, as of 2026-11: template-*, panel-*, target-*. Its program needs a newer Go
than Debian has, so its rules are said again here.
"""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.__main__ import DASHBOARDS, DIRECTORY
from deploy.grafana.classic import text_of
from tests.deploy.expressions import as_grafana_sends, dashboards, existing, loaded, named, panel_queries
from tests.deploy.prometheus_server import CHECKOUT
from tests.deploy.test_rules import promtool

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SHIPPED = dashboards()
_SELECTOR = re.compile(r"(?<![\w:])(penstock_\w+|up|job\w*:\w+:\w+)\b(\{[^}]*\})?")
_RATES = re.compile(r"\b(rate|irate|deriv)\([^[]*\[([^\]]*)\]")


def by_name(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (found,) = [item for item in items if item["name"] == name]
    return found


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel but the titles of rows, with where it stands."""
    for dashboard in SHIPPED:
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield f"{dashboard['title']} > {panel['title']}", panel


def test_the_files_are_what_their_source_says() -> None:
    """If not: python -m deploy.grafana."""
    written = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.iterdir()}

    assert written == {f"{dashboard.uid}.json": text_of(dashboard) for dashboard in DASHBOARDS}


def test_a_dashboard_has_a_fixed_name_and_is_no_copy_that_somebody_edits() -> None:
    assert [each["uid"] for each in SHIPPED] == ["penstock-routing", "penstock-service", "penstock-spend"]
    assert all(each.get("id") is None and each["editable"] is False for each in SHIPPED)
    assert all(39 <= each["schemaVersion"] <= 42 for each in SHIPPED)
    assert all(each["description"] and each["tags"] == ["penstock"] for each in SHIPPED)


@pytest.mark.parametrize("dashboard", SHIPPED, ids=lambda each: each["uid"])
def test_the_source_of_the_data_and_what_is_shown_can_be_chosen(dashboard: dict[str, Any]) -> None:
    variables = dashboard["templating"]["list"]

    source = by_name(variables, "datasource")
    assert (source["type"], source["query"], source["label"]) == ("datasource", "prometheus", "Data source")
    for name in ("job", "instance", "team", "model"):
        variable = by_name(variables, name)
        assert (variable["type"], variable["label"]) == ("query", name.title())
        assert variable["datasource"] == SOURCE
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["refresh"] == 2  # when the time changes
        assert named(variable["definition"]) <= existing()
    assert len(variables) == 5


@pytest.mark.parametrize(("where", "panel"), list(panels()), ids=lambda each: each if isinstance(each, str) else "")
def test_a_panel_says_what_it_shows_in_which_unit(where: str, panel: dict[str, Any]) -> None:
    assert not where.endswith("> ")
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE
    assert panel["targets"]
    assert all(target["datasource"] == SOURCE for target in panel["targets"])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None


@pytest.mark.parametrize("dashboard", SHIPPED, ids=lambda each: each["uid"])
def test_panels_stand_side_by_side_under_the_title_of_their_row(dashboard: dict[str, Any]) -> None:
    places = [(panel["title"], panel["gridPos"]) for panel in dashboard["panels"]]

    assert dashboard["panels"][0]["type"] == "row"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
    assert [title for title, at in places if at["x"] < 0 or at["x"] + at["w"] > 24] == []
    assert [
        (one, other)
        for (one, a), (other, b) in combinations(places, 2)
        if all(a[start] < b[start] + b[size] and b[start] < a[start] + a[size] for start, size in ("xw", "yh"))
    ] == []
    # No row is left with a hole at its right end.
    widths: dict[int, int] = {}
    for _, at in places:
        widths[at["y"]] = widths.get(at["y"], 0) + at["w"]
    assert set(widths.values()) == {24}


def test_queries_name_only_series_that_exist_and_choose_among_them() -> None:
    known = existing()
    for query in panel_queries():
        assert named(query.expr) <= known, query.where
        for name, selector in _SELECTOR.findall(query.expr):
            assert 'job=~"$job"' in selector, query.where
            # What rules record is added up over instances.
            assert ":" in name or 'instance=~"$instance"' in selector, query.where


def test_counters_are_read_as_rates_over_the_interval_that_grafana_works_out() -> None:
    for query in panel_queries():
        assert {interval for _, interval in _RATES.findall(query.expr)} <= {"$__rate_interval"}, query.where
        for at in re.finditer(r"penstock_\w+_total\b", query.expr):
            before = query.expr[: at.start()]
            # Sums held may be corrected, so theirs is no real counter: delta(), deriv(), or what stands there now.
            is_held = 'source="held"' in query.expr[at.start() :].partition("}")[0]
            functions = ("delta(", "deriv(", "sum(") if is_held else ("rate(", "increase(")
            assert before.endswith(functions), query.where


def test_promtool_can_read_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel_{number}", "expr": as_grafana_sends(query.expr, rate_interval="1m", time_range="6h")}
        for number, query in enumerate(panel_queries())
    ]
    file = tmp_path / "panels.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    checked = promtool("check", "rules", str(file))

    assert checked.returncode == 0, checked.stderr


def test_provisioning_names_the_source_and_where_the_dashboards_are() -> None:
    provisioning = CHECKOUT / "deploy" / "grafana" / "provisioning"

    (source,) = loaded(provisioning / "datasources" / "prometheus.yml")["datasources"]
    (provider,) = loaded(provisioning / "dashboards" / "penstock.yml")["providers"]

    assert (source["type"], source["uid"], source["jsonData"]) == ("prometheus", "prometheus", {"timeInterval": "15s"})
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
    assert provider["options"]["path"].startswith("/")
