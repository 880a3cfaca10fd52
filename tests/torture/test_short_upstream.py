"""The short versions of what providers, clients and restarts do to requests; the long ones: docs/reliability.md."""

import asyncio
from pathlib import Path

import pytest

from tests.torture import aborts, dead_model, readers, refusing_models, restarts, upstream_faults
from tests.torture.__main__ import SEED, Experiment
from tests.torture.result import as_table
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun


@pytest.mark.parametrize("experiment", [aborts, readers], ids=["aborts", "readers"])
def test_clients_that_give_up_or_read_slowly_leave_nothing(experiment: Experiment, tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    result = asyncio.run(experiment.run(setting, "pytest tests/torture"))

    assert not result.missed, as_table([result])


@pytest.mark.parametrize("experiment", [dead_model, refusing_models], ids=["dead model", "refusing models"])
def test_a_model_that_fails_is_left_alone_and_nobody_is_asked_too_often(experiment: Experiment, tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    result = asyncio.run(experiment.run(setting, "pytest tests/torture"))

    assert not result.missed, as_table([result])


def test_a_provider_that_breaks_in_any_way_at_any_point_ends_in_one_error_and_leaves_nothing(tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    result = asyncio.run(upstream_faults.run(setting, "pytest tests/torture"))

    assert not result.missed, as_table([result])


def test_no_client_notices_restarts_behind_a_load_balancer(tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="shared", directory=tmp_path)

    try:
        result = asyncio.run(restarts.run(setting, "pytest tests/torture"))
    except CannotRun as reason:
        pytest.skip(str(reason))

    assert not result.missed, as_table([result])
