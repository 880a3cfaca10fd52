"""The short versions of six experiments, on SQLite; the long ones are in docs/reliability.md."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.torture import bound, clock, crash, crowd, cuts, laws
from tests.torture.__main__ import SEED, Experiment
from tests.torture.result import as_table
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun


@pytest.mark.parametrize(
    "experiment",
    [crash, crowd, cuts, clock, laws, bound],
    ids=["crash", "crowd", "cuts", "clock", "laws", "bound"],
)
def test_the_books_agree_with_the_bill_under_torture(experiment: Experiment, tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    try:
        result = asyncio.run(experiment.run(setting, "pytest tests/torture"))
    except CannotRun as reason:
        if os.environ.get("CI") == "true":  # noqa: TID251 - CI has all that is needed
            raise
        pytest.skip(str(reason))

    assert not result.missed, as_table([result])
