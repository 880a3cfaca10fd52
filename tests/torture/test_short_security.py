"""The short versions of what strangers and crowds may try; the long ones: `make torture-security`."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.torture import audited, canaries, egress, framing, fuzz, keys, liars, matrix, odd_bytes, overload, tenants
from tests.torture.__main__ import SEED, Experiment
from tests.torture.result import Result, as_table
from tests.torture.setting import Setting
from tests.torture.stores import CannotRun


@pytest.mark.parametrize(
    "experiment",
    [
        egress,  # nothing that is said makes the proxy connect to where it is not configured to
        keys,  # guessing keys teaches nothing, and a revoked one ends within a second
        matrix,  # every route is closed to whoever may not use it, however it is asked for
        audited,  # no change of the audit log is unseen, and no act is missing from it
        canaries,  # secrets, prompts and answers are seen by nobody but those who sent them
        framing,  # what can be read in two ways is read in none
        overload,  # a crowd takes nobody's share
        tenants,  # whatever connections are shared, nobody gets or pays for anything of another team's
    ],
    ids=lambda experiment: experiment.__name__.rpartition(".")[2],
)
def test_nobody_gets_in_and_nothing_gets_out(experiment: Experiment, tmp_path: Path) -> None:
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    try:
        result = asyncio.run(experiment.run(setting, "pytest tests/torture"))
    except CannotRun as reason:
        if os.environ.get("CI") == "true":  # noqa: TID251 - told by .ci/run
            raise
        pytest.skip(str(reason))

    assert not result.missed, as_table([result])


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a request with a fault, which is told below
def test_neither_odd_requests_nor_bytes_nor_lies_of_a_provider_make_it_fail_hang_or_book_wrongly(
    tmp_path: Path,
) -> None:
    """All three in front of one proxy, which takes longer to start than they do."""
    setting = Setting(SEED, is_short=True, stores="sqlite", directory=tmp_path)

    with fuzz.standing(setting) as stand:
        figures = fuzz.fuzzed(setting, stand)
        figures += asyncio.run(odd_bytes.tormented(setting, stand))
        figures += liars.lied_to(setting, stand)
        figures += fuzz.at_the_end(stand, but=liars.TOLD_SO)

    result = Result("fuzz, bytes, liars", "together", "pytest tests/torture", tuple(figures), 0.0)
    assert not result.missed, as_table([result])
