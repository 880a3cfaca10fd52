"""What a dashboard is made of, and the expressions that several of them use."""

from collections.abc import Sequence
from dataclasses import dataclass

ALL = 'job=~"$job", instance=~"$instance"'
TEAM = f'{ALL}, team=~"$team"'
MODEL = f'{ALL}, model=~"$model"'
TEAM_MODEL = f'{TEAM}, model=~"$model"'
RECORDED = 'job=~"$job", team=~"$team"'  # by rules/penstock-recording.yml; instances are added up there

GREEN, YELLOW, RED = "green", "yellow", "red"
Thresholds = Sequence[tuple[float | None, str]]  # from that value on; the first from anywhere on
NEUTRAL: Thresholds = ((None, GREEN),)


@dataclass(frozen=True, slots=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `kind` is Grafana's name of it."""

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    thresholds: Thresholds = NEUTRAL
    least: float | None = 0
    most: float | None = None
    is_stacked: bool = False
    mappings: Sequence[tuple[str, str, str]] = ()  # value, what is shown for it, color
    columns: Sequence[tuple[str, str]] = ()  # of a table, a query each: title and unit


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    description: str
    rows: Sequence[Row]


def total(metric: str, labels: str) -> str:
    """How much a counter has grown over the range shown, zero if it is not there."""
    return f"(sum(increase({metric}{{{labels}}}[$__range])) or vector(0))"


def mean(histogram: str) -> str:
    """Of what was observed lately."""
    rates = [f"sum(rate({histogram}_{part}{{{ALL}}}[$__rate_interval]))" for part in ("sum", "count")]
    return " / ".join(rates)


def quantile(share: float, histogram: str, by: str = "le", labels: str = ALL) -> str:
    return f"histogram_quantile({share:g}, sum by ({by}) (rate({histogram}_bucket{{{labels}}}[$__rate_interval])))"


def spread(histogram: str, *shares: float) -> tuple[Query, ...]:
    return tuple(Query(quantile(share, histogram), f"p{share * 100:g}") for share in shares)
