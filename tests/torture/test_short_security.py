"""The short versions of what strangers may try; the long ones: docs/egress.md."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.torture import audited, egress, keys, matrix
from tests.torture.__main__ import SEED
from tests.torture.result import as_table
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun


def test_nothing_that_is_said_makes_the_proxy_connect_to_where_it_is_not_configured_to(tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    try:
        result = asyncio.run(egress.run(setting, "pytest tests/torture"))
    except CannotRun as reason:
        if os.environ.get("CI") == "true":  # noqa: TID251 - told by .ci/run
            raise
        pytest.skip(str(reason))

    assert not result.missed, as_table([result])


def test_guessing_keys_teaches_nothing_and_a_revoked_one_ends_within_a_second(tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    result = asyncio.run(keys.run(setting, "pytest tests/torture"))

    assert not result.missed, as_table([result])


def test_every_route_is_closed_to_whoever_may_not_use_it_however_it_is_asked_for(tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    result = asyncio.run(matrix.run(setting, "pytest tests/torture"))

    assert not result.missed, as_table([result])


def test_no_change_of_the_audit_log_is_unseen_and_no_act_is_missing_from_it(tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    result = asyncio.run(audited.run(setting, "pytest tests/torture"))

    assert not result.missed, as_table([result])
