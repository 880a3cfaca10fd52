"""A page takes no longer on a longer ledger: `make bench-console` says so of a million entries, this of a few."""

from pathlib import Path

from tests.benchmarks.console import BOUND_MS, filled, measured, shipped


def test_no_page_takes_longer_than_a_look(tmp_path: Path) -> None:
    snapshot = shipped(tmp_path)
    filled(snapshot, 12_000)

    took_ms = measured(snapshot)

    # A million entries take at most a third longer; the rest of the bound is for a machine that is busy.
    assert [page for page, each in took_ms.items() if each > BOUND_MS] == []
