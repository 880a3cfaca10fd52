"""Known vulnerabilities of what is locked, by pip-audit: `make audit`.

Exit 0: they were looked for, and none is known. 1: there are some. 2: no database could be reached: nothing is known.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.supply_chain.locks import LOCKS

SERVICES = ("pypi", "osv")  # pip-audit's names of pypi.org's advisories and of osv.dev
_MOST_S = 300.0


def audited(lock: Path, program: Sequence[str]) -> tuple[int, str]:
    """What to exit with, and what to say of one lock. `program` is pip-audit."""
    refusals = []
    for service in SERVICES:
        arguments = ["--requirement", str(lock), "--require-hashes", "--disable-pip", "--format", "json"]
        ended = subprocess.run(
            [*program, *arguments, "--vulnerability-service", service, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=_MOST_S,
            check=False,
        )
        try:
            dependencies = json.loads(ended.stdout)["dependencies"]
        except (ValueError, KeyError, TypeError):
            lines = ended.stderr.strip().splitlines() or [f"exit {ended.returncode}"]
            refusals.append(f"{service}: {lines[-1][:200]}")
            continue
        found = list(_vulnerabilities(dependencies))
        text = "\n".join(found) or f"{len(dependencies)} distributions, no vulnerability known to {service}"
        return (1 if found else 0), f"{lock.name}: {text}"
    return 2, f"{lock.name}: NOT LOOKED AT, no database of vulnerabilities can be reached ({'; '.join(refusals)})"


def _vulnerabilities(dependencies: Sequence[dict[str, object]]) -> Iterator[str]:
    for each in dependencies:
        known = each.get("vulns")
        for vulnerability in known if isinstance(known, list) else ():
            mended = ", ".join(vulnerability["fix_versions"]) or "no version"
            yield f"{each['name']} {each['version']}: {vulnerability['id']}, mended by {mended}"


def main() -> int:
    worst = 0
    for name in sys.argv[1:] or ["run.txt"]:
        code, told = audited(LOCKS / name, [sys.executable, "-m", "pip_audit"])
        sys.stdout.write(f"audit: {told}\n")
        worst = max(worst, code)
    return worst


if __name__ == "__main__":
    sys.exit(main())
