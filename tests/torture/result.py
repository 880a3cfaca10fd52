"""What an experiment found: `Result`, made of `Figure`s, each beside what is required of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

Measured = int | float | str


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    measured: Measured
    required: str  # empty: nothing is, the figure is told for its own sake
    is_met: bool


@dataclass(frozen=True, slots=True)
class Result:
    experiment: str  # its letter
    title: str
    command: str  # that repeats it
    figures: tuple[Figure, ...]
    duration_s: float
    left_out: str = ""  # why it was not run; then there are no figures

    @property
    def has_passed(self) -> bool:
        return all(figure.is_met for figure in self.figures)

    @property
    def missed(self) -> tuple[Figure, ...]:
        return tuple(figure for figure in self.figures if not figure.is_met)


def none(name: str, measured: int) -> Figure:
    """A count, or a sum, that has to be zero."""
    return Figure(name, measured, "0", measured == 0)


def equal(name: str, measured: int, required: int) -> Figure:
    return Figure(name, measured, str(required), measured == required)


def at_most(name: str, measured: float, limit: float) -> Figure:
    return Figure(name, round(measured, 3), f"≤ {limit:g}", measured <= limit)


def at_least(name: str, measured: float, least: float) -> Figure:
    """For figures without which an experiment would have shown nothing."""
    return Figure(name, round(measured, 3), f"≥ {least:g}", measured >= least)


def told(name: str, measured: Measured) -> Figure:
    return Figure(name, measured, "", is_met=True)


def as_table(results: Sequence[Result]) -> str:
    """Every figure on a line of its own, for people."""
    lines: list[str] = []
    for result in results:
        verdict = "left out" if result.left_out else "passed" if result.has_passed else "MISSED"
        lines += ["", f"{result.experiment}  {result.title}: {verdict} ({result.duration_s:.0f} s)"]
        lines.append(f"   {result.left_out or result.command}")
        lines += [
            f"   {'  ' if figure.is_met else '✗ '}{figure.name:<62}{_written(figure.measured):>20}  {figure.required}"
            for figure in result.figures
        ]
    return "\n".join(lines[1:])


def as_markdown(results: Sequence[Result]) -> str:
    """The same as docs/reliability.md has it: what was left out or missed is not left out here."""
    lines: list[str] = []
    for result in results:
        lines += [f"`{result.command}` ({result.duration_s:,.0f} s)", "", "| | measured | required |", "|---|---|---|"]
        lines += [
            f"| {figure.name.strip()}{'' if figure.is_met else ' **MISSED**'} | {_written(figure.measured)} "
            f"| {figure.required} |"
            for figure in result.figures
        ]
        lines += [result.left_out, ""]
    return "\n".join(lines)


def as_data(results: Sequence[Result]) -> list[dict[str, object]]:
    return [{**asdict(result), "has_passed": result.has_passed} for result in results]


def _written(measured: Measured) -> str:
    return f"{measured:,}" if isinstance(measured, int | float) else measured
