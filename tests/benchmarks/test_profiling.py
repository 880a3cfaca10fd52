"""The profile in small: the product under load, sampled, adds up to what the process used."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks.profiling import profiled

PY_SPY = Path(sys.executable).with_name("py-spy")


@pytest.mark.skipif(not PY_SPY.exists(), reason="py-spy is not installed; make bench-profile does it")
def test_the_stages_of_a_profile_add_up_to_the_process_s_clock(tmp_path: Path) -> None:
    profile = profiled("request", tmp_path, seconds=1)

    assert profile.adds_up
    assert {"HTTP with clients", "counting tokens", "ledger (SQLite)"} <= set(profile.by_stage)
    assert (tmp_path / "request.svg").read_text().startswith("<?xml")
