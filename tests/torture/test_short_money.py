"""The short versions of five experiments with money, on SQLite; the long ones are in docs/reliability.md."""

import asyncio
from pathlib import Path

import pytest

from tests.torture import bound, crash, crowd, cuts, laws
from tests.torture.__main__ import SEED, Experiment
from tests.torture.result import as_table
from tests.torture.setting import Setting


@pytest.mark.parametrize(
    "experiment",
    [crash, crowd, cuts, laws, bound],
    ids=["crash", "crowd", "cuts", "laws", "bound"],
)
def test_the_books_agree_with_the_bill_under_torture(experiment: Experiment, tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    result = asyncio.run(experiment.run(setting, "pytest tests/torture"))

    assert not result.missed, as_table([result])
