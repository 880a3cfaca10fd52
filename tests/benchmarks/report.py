"""The benchmark's answer: medians with their spread over the rounds, as an aligned table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tests.benchmarks.long_prompts import Seen
from tests.benchmarks.rounds import PRODUCT, YARDSTICK, Round
from tests.benchmarks.rows import ROWS, Row

TOLERATED_FAILURE_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class ReportedRow:
    """One row, all contestants."""

    title: str
    unit: str
    figures: dict[str, Spread | None]  # by contestant
    ratios_to_nginx: dict[str, Spread | None]  # paired within each round, then the median; nginx itself left out
    judged_by: str
    target: float | None
    stretch: float | None
    verdict: str  # of penstock: stretch, met, missed, or empty when there is nothing to judge


def reported_rows(rounds: Sequence[Round], contestants: Sequence[str]) -> tuple[ReportedRow, ...]:
    """Every row over all rounds."""
    return tuple(_reported(row, rounds, contestants) for row in ROWS)


def problems(rounds: Sequence[Round]) -> tuple[str, ...]:
    """Why the figures must not be believed: scenarios nobody answered, or with too many failures over all rounds."""
    found: list[str] = []
    for name, contestant in rounds[0].contestants.items():
        for scenario in contestant.measurements:
            measured = [one_round.contestants[name].measurements[scenario] for one_round in rounds]
            successes = sum(measurement.load.successes for measurement in measured)
            failures = sum(measurement.failures for measurement in measured)
            if not successes or failures > TOLERATED_FAILURE_SHARE * (successes + failures):
                kinds = [dict(m.load.failures, answered_without_upstream=m.answered_without_upstream) for m in measured]
                found.append(f"{name}, {scenario}: {successes} answered, {failures} failed: {kinds}")
        for one_round in rounds:
            beside = one_round.contestants[name].beside
            if beside is not None:
                found += [f"{name}, {problem}" for seen in (beside.calm, beside.beside) for problem in _problems(seen)]
    return tuple(found)


def _problems(seen: Seen) -> list[str]:
    """The same of what others saw beside long prompts, where not one may fail."""
    loads = {"1 KB load": seen.others} | ({"long prompts": seen.long} if seen.long else {})
    found = [
        f"{what}: {load.successes} answered, failed: {load.failures}"
        for what, load in loads.items()
        if load.failures or not load.successes
    ]
    if seen.probes.failures or not seen.probes.probes:
        found.append(f"probes: {seen.probes.probes} answered, {seen.probes.failures} failed")
    return found


def as_json(rows: Sequence[ReportedRow], rounds: Sequence[Round], notes: Sequence[str]) -> dict[str, object]:
    """Everything, raw measurements included."""
    raw = [asdict(one_round) for one_round in rounds]
    return {"notes": list(notes), "rows": [asdict(row) for row in rows], "problems": problems(rounds), "rounds": raw}


def noise(rounds: Sequence[Round]) -> list[str]:
    """How far the machine itself moved: figures that would not move on a quiet one."""
    cpu = _spread([one.spin.cpu_ms for one in rounds])
    wall = _spread([one.spin.wall_ms for one in rounds])
    notes = [
        "machine noise: the same pure-Python work on the proxy's core took "
        f"{_figure_text(cpu)} ms of CPU and {_figure_text(wall)} ms of time"
    ]
    if YARDSTICK in rounds[0].contestants:
        own = _spread(ROWS[0].figures(rounds, YARDSTICK))
        notes.append(f"machine noise: {YARDSTICK}'s own {ROWS[0].title}: {_figure_text(own)} {ROWS[0].unit}")
    return notes


def as_table(rows: Sequence[ReportedRow], contestants: Sequence[str]) -> str:
    """The rows for people: median (lowest…highest), with the ratio to nginx behind each contestant but nginx.

    Rows that nothing was measured for are left out.
    """
    cells = [_header(contestants), *(_cells(row, contestants) for row in rows if any(row.figures.values()))]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _reported(row: Row, rounds: Sequence[Round], contestants: Sequence[str]) -> ReportedRow:
    values = {name: row.figures(rounds, name) for name in contestants}
    figures = {name: _spread(series) for name, series in values.items()}
    ratios: dict[str, Spread | None] = {}
    if row.judged_by == "ratio to nginx" and YARDSTICK in values:
        for name in contestants:
            if name != YARDSTICK:
                pairs = zip(values[name], values[YARDSTICK], strict=True)
                ratios[name] = _spread([own / yardstick if own and yardstick else None for own, yardstick in pairs])
    judged = ratios.get(PRODUCT) if row.judged_by == "ratio to nginx" else figures.get(PRODUCT)
    return ReportedRow(
        title=row.title,
        unit=row.unit,
        figures=figures,
        ratios_to_nginx=ratios,
        judged_by=row.judged_by,
        target=row.target,
        stretch=row.stretch,
        verdict=_verdict(judged, row),
    )


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def _verdict(judged: Spread | None, row: Row) -> str:
    if judged is None or row.target is None:
        return ""
    if row.stretch is not None and judged.median <= row.stretch:
        return "stretch"
    return "met" if judged.median <= row.target else "missed"


def _header(contestants: Sequence[str]) -> list[str]:
    cells = ["median (lowest…highest round)", ""]
    for name in contestants:
        cells += [name] if name == YARDSTICK else [name, f"/ {YARDSTICK}"]
    return [*cells, "target", PRODUCT]


def _cells(row: ReportedRow, contestants: Sequence[str]) -> list[str]:
    cells = [row.title, row.unit]
    for name in contestants:
        cells.append(_figure_text(row.figures[name]))
        if name != YARDSTICK:
            cells.append(_figure_text(row.ratios_to_nginx.get(name), suffix="x"))
    return [*cells, _target_text(row), row.verdict]


def _figure_text(spread: Spread | None, *, suffix: str = "") -> str:
    if spread is None:
        return ""
    return f"{_number(spread.median)}{suffix} ({_number(spread.lowest)}…{_number(spread.highest)})"


def _target_text(row: ReportedRow) -> str:
    if row.target is None:
        return ""
    unit = "x" if row.judged_by == "ratio to nginx" or row.unit == "x" else f" {row.unit}"
    stretch = "" if row.stretch is None else f" ({row.stretch:g}{unit})"
    return f"≤ {row.target:g}{unit}{stretch}"


def _number(value: float) -> str:
    """Three digits, more or less."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
