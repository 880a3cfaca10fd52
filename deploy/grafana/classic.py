"""Dashboards as Grafana's classic JSON (schema 39, Grafana 10 and newer); where a panel stands is reckoned here."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.grafana.parts import Dashboard, Panel, Query, Row

COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

_LABELS_OF = {
    "job": "label_values(penstock_build_info, job)",
    "instance": 'label_values(penstock_build_info{job=~"$job"}, instance)',
    "team": 'label_values(penstock_requests_total{job=~"$job"}, team)',
    "model": 'label_values(penstock_attempts_total{job=~"$job"}, model)',
}


def as_data(dashboard: Dashboard) -> dict[str, Any]:
    """The classic model of a dashboard, schema 39."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["penstock"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one crosshair for all panels
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [
            {
                "title": "Penstock",
                "type": "dashboards",
                "tags": ["penstock"],
                "asDropdown": True,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "templating": {"list": [_datasource(), *(_variable(name) for name in _LABELS_OF)]},
        "annotations": {"list": []},
        "panels": list(_panels(dashboard.rows)),
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "current": {},
        "hide": 0,
    }


def _variable(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.title(),
        "type": "query",
        "datasource": DATASOURCE,
        "definition": _LABELS_OF[name],
        "query": {"query": _LABELS_OF[name], "refId": f"variable-{name}"},
        "refresh": 2,  # when the time changes
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "sort": 1,
        "hide": 0,
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Every row's title over its panels, from left to right and then below."""
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
            "panels": [],
        }
        top += 1
        left = tallest = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            yield _panel(panel, number, {"h": panel.height, "w": panel.width, "x": left, "y": top})
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.kind in ("stat", "bargauge", "state-timeline") else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in panel.thresholds],
        },
        "mappings": [
            {"type": "value", "options": {value: {"text": text, "color": color, "index": index}}}
            for index, (value, text, color) in enumerate(panel.mappings)
        ],
        "custom": _custom(panel),
    }
    limits = {"min": panel.least, "max": panel.most} if panel.kind != "table" else {}
    defaults |= {name: limit for name, limit in limits.items() if limit is not None}
    data = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, chr(ord("A") + at)) for at, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": defaults, "overrides": _overrides(panel)},
        "options": _options(panel),
    }
    if panel.kind == "table":
        data["transformations"] = _transformations(panel)
    return data


def _target(panel: Panel, query: Query, letter: str) -> dict[str, Any]:
    is_instant = panel.kind in ("stat", "bargauge", "table")
    target: dict[str, Any] = {
        "refId": letter,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": is_instant,
        "range": not is_instant,
    }
    if panel.kind == "table":
        target["format"] = "table"
    return target


def _custom(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        has_line = len(panel.thresholds) > 1
        return {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 25 if panel.is_stacked else 8,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.is_stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if has_line else "off"},
        }
    return {"fillOpacity": 80, "lineWidth": 0} if panel.kind == "state-timeline" else {}


def _options(panel: Panel) -> dict[str, Any]:
    reduced = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "stat":
        return {**reduced, "colorMode": "value", "graphMode": "none", "textMode": "auto"}
    if panel.kind == "bargauge":
        return {**reduced, "orientation": "horizontal", "displayMode": "basic"}
    if panel.kind == "state-timeline":
        return {"mergeValues": True, "showValue": "never", "legend": {"displayMode": "list", "placement": "bottom"}}
    return {"showHeader": True, "cellHeight": "sm"}


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    """Each column of a table in its own unit."""
    return [
        {
            "matcher": {"id": "byName", "options": title},
            "properties": [{"id": "unit", "value": unit}],
        }
        for title, unit in panel.columns
    ]


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    """One line for all queries' values of the same labels, without the time, under the columns' titles."""
    names = (
        ["Value"] if len(panel.columns) == 1 else [f"Value #{chr(ord('A') + at)}" for at in range(len(panel.columns))]
    )
    return [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "renameByName": {name: title for name, (title, _) in zip(names, panel.columns, strict=True)},
            },
        },
    ]


def text_of(dashboard: Dashboard) -> str:
    """The file of a dashboard."""
    return json.dumps(as_data(dashboard), indent=2, ensure_ascii=False) + "\n"
