"""The PromQL that is shipped: which metrics it names, whether they exist, and what Grafana makes of it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.architecture.test_metrics_are_documented import documented
from tests.deploy.prometheus_server import CHECKOUT, SHIPPED

DASHBOARDS = CHECKOUT / "deploy" / "grafana" / "dashboards"
RUNBOOKS = CHECKOUT / "docs" / "runbooks"

_HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")
_NAME = re.compile(r"(?<![\w:])penstock_\w+(?![\w:])")
_RECORDED = re.compile(r"[a-z_]+:\w+:\w+")
_STRING = re.compile(r'"[^"]*"')


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as its file has it."""

    name: str
    expr: str
    is_alert: bool
    labels: dict[str, str]
    annotations: dict[str, str]
    waits: str  # its `for`


def loaded(path: Path) -> Any:  # noqa: ANN401 - foreign YAML
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def rules() -> list[Rule]:
    """Every rule that is shipped."""
    return [
        Rule(
            name=rule.get("alert") or rule["record"],
            expr=rule["expr"],
            is_alert="alert" in rule,
            labels=rule.get("labels", {}),
            annotations=rule.get("annotations", {}),
            waits=rule.get("for", ""),
        )
        for path in sorted((SHIPPED / "rules").glob("*.yml"))
        for group in loaded(path)["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if rule.is_alert]


def existing() -> set[str]:
    """The names of all series that the product exports or the rules record, and Prometheus' own."""
    names = {"up"} | {rule.name for rule in rules() if not rule.is_alert}
    for metric in documented():
        names |= {metric.name + part for part in _HISTOGRAM_PARTS} if metric.type == "histogram" else {metric.name}
    return names


def named(expr: str) -> set[str]:
    """The metrics, and the recorded series, that an expression names."""
    bare = _STRING.sub('""', expr)
    recorded = set(_RECORDED.findall(bare))
    for name in recorded:
        bare = bare.replace(name, "")
    return set(_NAME.findall(bare)) | recorded


def dashboards() -> list[dict[str, Any]]:
    """Every dashboard that is shipped, as Grafana would read it."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))]


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """A query of a panel, and where it stands."""

    where: str
    expr: str
    is_instant: bool


def panel_queries() -> Iterator[PanelQuery]:
    for dashboard in dashboards():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                where = f"{dashboard['title']} > {panel['title']} {target['refId']}"
                yield PanelQuery(where, target["expr"], target["instant"])


def as_grafana_sends(expr: str, *, rate_interval: str, time_range: str) -> str:
    """The expression with its variables filled in, `All` chosen everywhere."""
    for name in ("job", "instance", "team", "model"):
        expr = expr.replace(f"${name}", ".+")
    return expr.replace("$__rate_interval", rate_interval).replace("$__range", time_range)
