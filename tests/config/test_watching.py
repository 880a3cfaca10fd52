"""What makes a fingerprint change, and what does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from router.config.watching import fingerprint


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "teams").mkdir()
    for name in ("penstock.yaml", "models.yaml", "teams/search.yaml"):
        (tmp_path / name).write_text("a: 1\n")
    return tmp_path


def rename_over(path: Path) -> None:
    beside = path.with_suffix(".tmp")
    beside.write_text(path.read_text())
    beside.rename(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is written": lambda d: (d / "penstock.yaml").write_text("a: 2\n"),
    "a file is written to the same length": lambda d: (d / "models.yaml").write_text("b: 1\n"),
    "a file is renamed over another": lambda d: rename_over(d / "teams" / "search.yaml"),
    "a team comes": lambda d: (d / "teams" / "ads.yaml").write_text("a: 1\n"),
    "a team comes with the wrong ending": lambda d: (d / "teams" / "ads.yml").write_text("a: 1\n"),
    "a team goes": lambda d: (d / "teams" / "search.yaml").unlink(),
    "the main file goes": lambda d: (d / "penstock.yaml").unlink(),
    "a secret is written": lambda d: (d / "key").write_text("sk-or-1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(directory: Path, change: str) -> None:
    before = fingerprint(directory, [directory / "key"])

    CHANGES[change](directory)

    assert fingerprint(directory, [directory / "key"]) != before


def test_what_editors_leave_beside_is_no_change(directory: Path) -> None:
    before = fingerprint(directory)

    for name in (".search.yaml.swp", ".#search.yaml", "search.yaml~", "4913"):
        (directory / "teams" / name).write_text("")

    assert fingerprint(directory) == before


def test_a_directory_that_is_not_there_has_a_fingerprint_too(tmp_path: Path) -> None:
    assert fingerprint(tmp_path / "none") == fingerprint(tmp_path / "none")
