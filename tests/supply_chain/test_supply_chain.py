"""What is installed with Penstock: how much, from where, and that it can be made again."""

import json
import stat
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.supply_chain.audit import audited, exit_code
from tests.supply_chain.locks import LOCKS, locked
from tests.supply_chain.runtime import PENSTOCK, runtime_set
from tests.supply_chain.sbom import EXTRAS, bill_of_materials
from tests.supply_chain.wheel import built, source_date_epoch

CHECKOUT = Path(__file__).resolve().parents[2]
FILES = sorted(LOCKS.glob("*.txt"))
EPOCH = "1796000000"

MOST_DISTRIBUTIONS = 20  # beside itself

# Code that runs whenever Python starts, in files that only development installs: measuring of subprocesses, and
# setuptools' stand-in for distutils.
CODE_AT_START = {"a1_coverage.pth": "coverage", "distutils-precedence.pth": "setuptools"}


def test_little_is_installed_with_penstock() -> None:
    brought = set(runtime_set()) - {PENSTOCK}

    assert len(brought) <= MOST_DISTRIBUTIONS, ", ".join(sorted(brought))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_locked_requirement_is_one_version_whose_files_are_known_by_their_hashes(file: Path) -> None:
    requirements = list(locked(file))

    assert requirements
    assert [each.line for each in requirements if not each.version or not each.hashes] == []


def test_what_is_installed_to_serve_is_what_is_locked() -> None:
    versions = {each.name: each.version for each in locked(LOCKS / "run.txt")}

    assert {
        name: installed.version for name, installed in runtime_set(*EXTRAS).items() if name != PENSTOCK
    }.items() <= versions.items()


def test_no_release_is_locked_before_it_is_a_week_old() -> None:
    flags = (CHECKOUT / "Makefile").read_text().partition("LOCK_FLAGS :=")[2].partition("\n\n")[0]

    assert "--uploaded-prior-to P7D" in flags


def test_nothing_that_serves_runs_code_when_python_starts() -> None:
    brought = {
        name: [str(file) for file in installed.files or () if _runs_at_start(file.name)]
        for name, installed in runtime_set(*EXTRAS, "code", "otel").items()
        if name != PENSTOCK  # which is installed for development here, by a path in a .pth file
    }

    assert {name: files for name, files in brought.items() if files} == {}


def test_no_other_file_runs_code_when_python_starts_here() -> None:
    owners = {
        Path(str(file)).name: canonicalize_name(installed.name)
        for installed in distributions()
        for file in installed.files or ()
        if file.suffix == ".pth"
    }
    running = {
        file.name: owners.get(file.name)
        for file in Path(sysconfig.get_path("purelib")).glob("*.pth")
        if any(line.startswith(("import ", "import\t")) for line in file.read_text().splitlines())
    }

    assert running.items() <= CODE_AT_START.items()


def _runs_at_start(name: str) -> bool:
    return name.endswith(".pth") or name in ("sitecustomize.py", "usercustomize.py")


def test_a_wheel_is_the_same_to_the_byte_when_it_is_built_again(tmp_path: Path) -> None:
    once, again, later = (
        built(tmp_path / name, epoch=epoch)
        for name, epoch in (("once", EPOCH), ("again", EPOCH), ("later", "1800000000"))
    )

    assert once.read_bytes() == again.read_bytes()
    assert once.read_bytes() != later.read_bytes()  # or the time would not be in it, and this show nothing


def test_a_wheel_is_dated_by_the_last_commit_unless_it_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)

    assert source_date_epoch() == EPOCH


def test_the_bill_of_materials_lists_what_serves_with_hashes_and_what_needs_what() -> None:
    bill = bill_of_materials()

    listed = {each["name"]: each for each in bill["components"]}
    refs = {each["bom-ref"] for each in listed.values()} | {bill["metadata"]["component"]["bom-ref"]}
    assert set(listed) == set(runtime_set(*EXTRAS)) - {PENSTOCK}
    assert [name for name, each in listed.items() if not each["externalReferences"][0]["hashes"]] == []
    assert [name for name, each in listed.items() if "licenses" not in each] == []
    assert {each["ref"] for each in bill["dependencies"]} == refs
    assert {ref for each in bill["dependencies"] for ref in each["dependsOn"]} < refs
    assert json.dumps(bill_of_materials()) == json.dumps(bill)


def audit_that_says(tmp_path: Path, text: str, *, code: int) -> Sequence[str]:
    """A program in the place of pip-audit."""
    program = tmp_path / "pip-audit.py"
    program.write_text(f"import sys\nsys.std{'err' if code > 1 else 'out'}.write({text!r})\nsys.exit({code})\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return [sys.executable, str(program)]


def test_an_audit_names_each_vulnerability_and_what_mends_it(tmp_path: Path) -> None:
    vulnerability = {"id": "PYSEC-2026-1", "fix_versions": ["1.2"], "aliases": [], "description": ""}
    found = {"dependencies": [{"name": "a", "version": "1.1", "vulns": [vulnerability]}], "fixes": []}

    told = audited(LOCKS / "run.txt", audit_that_says(tmp_path, json.dumps(found), code=1))

    assert told == (1, "run.txt: a 1.1: PYSEC-2026-1, mended by 1.2")


def test_an_audit_without_findings_says_how_many_distributions_were_looked_up(tmp_path: Path) -> None:
    found = {"dependencies": [{"name": "a", "version": "1.1", "vulns": []}], "fixes": []}

    told = audited(LOCKS / "run.txt", audit_that_says(tmp_path, json.dumps(found), code=0))

    assert told == (0, "run.txt: 1 distributions, no vulnerability known to pypi")


def test_an_audit_that_reaches_no_database_does_not_pass_for_one(tmp_path: Path) -> None:
    code, told = audited(LOCKS / "run.txt", audit_that_says(tmp_path, "no route to host", code=2))

    assert code == 2
    assert "NOT LOOKED AT" in told
    assert "no route to host" in told


def test_an_audit_by_a_database_that_knows_nothing_of_a_distribution_does_not_pass_for_one(tmp_path: Path) -> None:
    known, unknown = {"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found on PyPI"}
    said = json.dumps({"dependencies": [known, unknown], "fixes": []})

    code, told = audited(LOCKS / "run.txt", audit_that_says(tmp_path, said, code=0))

    assert code == 2
    assert "NOT LOOKED AT" in told
    assert "pypi: knows nothing of 1 of 2, such as b" in told


@pytest.mark.parametrize(
    ("codes", "must_look", "ends_with"),
    [({0}, True, 0), ({0, 2}, False, 0), ({0, 2}, True, 2), ({1, 2}, True, 1), ({0, 1}, False, 1)],
)
def test_a_build_without_a_way_out_goes_on_unless_it_must_look(
    codes: set[int], must_look: bool, ends_with: int
) -> None:
    assert exit_code(codes, must_look=must_look) == ends_with
