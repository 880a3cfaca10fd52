"""What mutmut found out, module by module, read from what `mutmut results` prints."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

# A name is that of the module, of the changed function with a mark before it, and a number.
_RESULT = re.compile(r"\s*(?P<mutant>(?P<module>[\w.]+?)\.x[ǁ_]\S+__mutmut_\d+): (?P<status>.+)")

KILLED = "killed"
TIMEOUT = "timeout"
SURVIVED = "survived"
NO_TESTS = "no tests"
NOT_CHECKED = frozenset({"not checked", "check was interrupted by user"})


@dataclass(frozen=True, slots=True)
class Row:
    """One module. Whatever was neither killed nor ran out of time counts against the score."""

    module: str
    statuses: Counter[str]

    @property
    def mutants(self) -> int:
        return self.statuses.total()

    @property
    def killed(self) -> int:
        return self.statuses[KILLED]

    @property
    def timeouts(self) -> int:
        return self.statuses[TIMEOUT]

    @property
    def survived(self) -> int:
        """Those that the tests let pass, and those that no test reached."""
        return self.statuses[SURVIVED] + self.statuses[NO_TESTS]

    @property
    def others(self) -> int:
        """Crashes of the interpreter and exit codes that mutmut does not know."""
        return self.mutants - self.killed - self.timeouts - self.survived

    @property
    def percent(self) -> float:
        """The score; 100 where there was nothing to change."""
        return 100 * (self.killed + self.timeouts) / self.mutants if self.mutants else 100.0


def rows(results: str, modules: Iterable[str]) -> list[Row]:
    """A row for each module, in that order, from the lines of `mutmut results --all true`."""
    statuses: dict[str, Counter[str]] = {module: Counter() for module in modules}
    for line in results.splitlines():
        found = _RESULT.fullmatch(line)
        if found is not None and found["module"] in statuses:
            statuses[found["module"]][found["status"]] += 1
    return [Row(module, counted) for module, counted in statuses.items()]


def timed_out(results: str) -> list[str]:
    """The names of mutants whose tests did not end in time."""
    found = (_RESULT.fullmatch(line) for line in results.splitlines())
    return [each["mutant"] for each in found if each is not None and each["status"] == TIMEOUT]


def total(each: Iterable[Row]) -> Row:
    return Row("total", sum((row.statuses for row in each), Counter()))


def unfinished(row: Row) -> int:
    """Mutants that were not tried, so that there is no score yet."""
    return sum(row.statuses[status] for status in NOT_CHECKED)


def table(each: Iterable[Row]) -> str:
    """The rows and their total, in Markdown."""
    lines = ["| module | mutants | killed | survived | timeouts | others | score |", "|---|" + "---:|" * 6]
    shown = list(each)
    for row in (*shown, total(shown)):
        score = f"{row.percent:.1f} %" if row.mutants else "–"
        figures = (row.mutants, row.killed, row.survived, row.timeouts, row.others, score)
        lines.append(f"| {row.module} | " + " | ".join(str(figure) for figure in figures) + " |")
    return "\n".join(lines)
