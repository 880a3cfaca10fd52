"""How commands answer: aligned tables and explanations for people, JSON and CSV for programs."""

import csv
import io
from collections.abc import Mapping, Sequence

import msgspec

from router.decision.decide import Decision
from router.decision.explain import candidates_told, notes, qualities_told, rejections_told, summary
from router.decision.facts import RequestProfile


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in aligned columns; columns of figures are aligned right."""
    if not rows:
        return "nothing found"
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    figures = [all(_is_figure(row[column]) for row in rows) for column in range(len(headings))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_figure else cell.ljust(width)
            for cell, width, is_figure in zip(row, widths, figures, strict=True)
        ).rstrip()
        for row in (headings, *rows)
    )


def explanation(decision: Decision, profile: RequestProfile) -> str:
    """The decision for a terminal: a line on the terms and one on the request, the eligible, the rejected."""
    candidates, rejected = candidates_told(decision), rejections_told(decision.rejected)
    parts = [
        "\n".join(summary(decision, profile)),
        table(candidates.headings, candidates.rows) if candidates.rows else "nobody may serve this request",
    ]
    if (qualities := qualities_told(decision)).rows:
        parts.append(table(qualities.headings, qualities.rows))
    if told := notes(decision):
        parts.append("\n".join(told))
    if rejected.rows:
        parts.append("rejected:\n" + table(rejected.headings, rejected.rows))
    return "\n\n".join(parts)


def counted(number: int, what: str) -> str:
    """`1 team`, `2 teams`; only for words whose plural ends in a plain s."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_json(data: object) -> str:
    return msgspec.json.format(msgspec.json.encode(data)).decode()


def as_csv(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as CSV with a line of headings; nothing for no rows."""
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _is_figure(cell: str) -> bool:
    return cell.replace(".", "").replace(",", "").replace("-", "").isdigit()
