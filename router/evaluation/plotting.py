"""Cost/quality curves as PNG."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from router.evaluation.judging import ORACLE, RANDOM, TEXT, TEXT_AND_SUBJECT, RouterLine

_COLORS = {TEXT: "#1f5fa8", TEXT_AND_SUBJECT: "#0b8457", RANDOM: "#888888", ORACLE: "#bbbbbb"}
_OURS = (TEXT, TEXT_AND_SUBJECT)


def plot(
    lines: Sequence[RouterLine], path: Path, *, title: str, without: Sequence[str] = (ORACLE,), has_gap: bool = True
) -> None:
    """Writes the curves of routers: share of strong calls across, mean score up; APGR where there is a gap for sure."""
    figure = Figure(figsize=(5.2, 3.4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    first = lines[0].curve
    for quality, name in ((first.cheap_quality, "always cheap"), (first.strong_quality, "always strong")):
        axes.axhline(quality, color="#cccccc", linewidth=0.8)
        axes.annotate(name, (100, quality), ha="right", va="bottom", fontsize=7, color="#888888")
    for line in lines:
        if line.name not in without:
            is_told = has_gap and not isnan(line.curve.apgr)
            label = f"{line.name} ({line.curve.apgr:.3f})" if is_told else line.name
            shares = [100 * share for share in line.curve.strong_share]
            axes.plot(
                shares,
                line.curve.quality,
                label=label,
                color=_COLORS.get(line.name),
                linewidth=2.0 if line.name in _OURS else 1.2,
                linestyle=":" if line.name == RANDOM else "-",
            )
    axes.set(xlabel="strong calls, %", ylabel="mean score", title=title)
    axes.title.set_fontsize(9)
    axes.legend(fontsize=7, title="APGR" if has_gap else None, title_fontsize=7)
    figure.savefig(path, format="png", metadata={"Software": None})  # the same bytes for the same curves
