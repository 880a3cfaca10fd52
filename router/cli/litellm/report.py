"""The report on a conversion: a table for people, Markdown to be kept beside the files, data for programs."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.cli.litellm.conversion import Conversion
from router.cli.litellm.findings import Finding, Path, Verdict, spelled
from router.cli.output import counted, table

_SHOWN = 3  # places that are named where many keys came to the same
_TITLES = {
    Verdict.CONVERTED: "Converted",
    Verdict.APPROXIMATED: "Approximated: what is different",
    Verdict.NO_EQUAL: "No equal: what to do instead",
}


@dataclass(frozen=True, slots=True)
class Row:
    """Keys that came to the same."""

    keys: str
    verdict: Verdict
    what: str


def rows(findings: Sequence[Finding]) -> list[Row]:
    """One for each verdict and what became of it; the same key of many deployments is told once."""
    together: dict[tuple[str, Verdict, str], list[Path]] = {}
    for finding in findings:
        together.setdefault((_pattern(finding.path), finding.verdict, finding.what), []).append(finding.path)
    return [Row(_keys(paths), verdict, what) for (_, verdict, what), paths in together.items()]


def _pattern(path: Path) -> str:
    """The key of a list's entry without its number."""
    return ".".join("[]" if isinstance(key, int) else key for key in path)


def _keys(paths: Sequence[Path]) -> str:
    if len(paths) <= _SHOWN:
        return ", ".join(map(spelled, paths))
    return f"{spelled(paths[0])} and {len(paths) - 1} more"


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    return {verdict.value: sum(each.verdict == verdict for each in findings) for verdict in Verdict}


def as_table(conversion: Conversion) -> str:
    ordered = [row for verdict in Verdict for row in rows(conversion.findings) if row.verdict == verdict]
    return table(("KEY", "BECAME", "WHAT"), [(row.keys, row.verdict.value, row.what) for row in ordered])


def as_data(conversion: Conversion, *, directory: str, team: str) -> dict[str, object]:
    return {
        "directory": directory,
        "team": team,
        "counts": counts(conversion.findings),
        "to_do": list(conversion.to_do),
        "findings": [
            {"key": each.key, "verdict": each.verdict.value, "what": each.what} for each in conversion.findings
        ],
    }


def as_markdown(conversion: Conversion, *, source: str, team: str) -> str:
    """IMPORT.md."""
    told = counts(conversion.findings)
    total = counted(len(conversion.findings), "key")
    parts = [
        f"# {_cell(source)} as a Penstock configuration",
        f"Made by `penstock import-litellm`, for team {team}. Of {total}: {told['converted']} converted, "
        f"{told['approximated']} approximated, {told['no equal']} without an equal. Values of the config are not "
        "repeated here, but for names and sums. How the two differ, and how to move: docs/migrate-from-litellm.md of "
        "Penstock.",
        "## To do",
        "\n".join(
            f"- [ ] {_cell(each)}"
            for each in (*conversion.to_do, "make keys: `penstock keys create --team " + team + "`")
        ),
    ]
    every = rows(conversion.findings)
    for verdict, title in _TITLES.items():
        of_it = [row for row in every if row.verdict == verdict]
        if of_it:
            parts.append(f"## {title}")
            lines = [f"| {_cell(row.keys)} | {_cell(row.what)} |" for row in of_it]
            parts.append("\n".join(["| key | what |", "|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    """A text that ends no cell of a table, and is no HTML."""
    for sign in "\\|<":
        text = text.replace(sign, f"\\{sign}")
    return text
