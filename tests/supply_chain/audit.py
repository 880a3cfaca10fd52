"""Known vulnerabilities of what is locked, by pip-audit: `make audit`.

Exit 0: none is known, or no database could be reached, which is said. 1: there are some. With `--must-look`, 2: no
database could be reached.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from tests.supply_chain.locks import LOCKS

MUST_LOOK = "--must-look"
SERVICES = ("pypi", "osv")  # pip-audit's names of pypi.org's advisories and of osv.dev
_MOST_S = 300.0
_NOT_LOOKED_AT = 2


def audited(lock: Path, program: Sequence[str]) -> tuple[int, str]:
    """0, 1 or 2 as above, and what to say of one lock. `program` is pip-audit."""
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
        if found := list(_vulnerabilities(dependencies)):
            return 1, f"{lock.name}: " + "\n".join(found)
        unknown = [each["name"] for each in dependencies if "skip_reason" in each]
        if not unknown:
            return 0, f"{lock.name}: {len(dependencies)} distributions, no vulnerability known to {service}"
        # pip-audit passes over what an index has no advisories for, all of it if need be, and calls that no finding.
        refusals.append(f"{service}: knows nothing of {len(unknown)} of {len(dependencies)}, such as {unknown[0]}")
    return (
        _NOT_LOOKED_AT,
        f"{lock.name}: NOT LOOKED AT, no database that knows all of it can be reached ({'; '.join(refusals)})",
    )


def _vulnerabilities(dependencies: Sequence[dict[str, object]]) -> Iterator[str]:
    for each in dependencies:
        known = each.get("vulns")
        for vulnerability in known if isinstance(known, list) else ():
            mended = ", ".join(vulnerability["fix_versions"]) or "no version"
            yield f"{each['name']} {each['version']}: {vulnerability['id']}, mended by {mended}"


def main() -> int:
    names = [name for name in sys.argv[1:] if name != MUST_LOOK]
    codes = set()
    for name in names or ["run.txt"]:
        code, told = audited(LOCKS / name, [sys.executable, "-m", "pip_audit"])
        sys.stdout.write(f"audit: {told}\n")
        codes.add(code)
    return exit_code(codes, must_look=MUST_LOOK in sys.argv)


def exit_code(codes: Set[int], *, must_look: bool) -> int:
    """Of all locks: a vulnerability outweighs that some could not be looked at."""
    if 1 in codes:
        return 1
    return _NOT_LOOKED_AT if must_look and _NOT_LOOKED_AT in codes else 0


if __name__ == "__main__":
    sys.exit(main())
