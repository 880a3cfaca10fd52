"""When the guard against slow creep speaks up."""

import json

from tests.benchmarks.guard import JUDGED, RECORDED, crept_up
from tests.benchmarks.rows import ROWS

RECORD = {"request": 8.0, "stream": 2.0}


def test_a_quarter_above_the_recorded_ratio_is_still_let_through() -> None:
    assert crept_up({"request": 10.0, "stream": 2.5}, RECORD) == {}


def test_more_than_a_quarter_above_the_recorded_ratio_is_named() -> None:
    assert crept_up({"request": 10.01, "stream": 2.5}, RECORD) == {
        "request": "request: 10.01 x nginx, 25% above the recorded 8.00"
    }


def test_a_figure_that_was_never_recorded_is_named() -> None:
    assert list(crept_up({"chunk": 1.0}, RECORD)) == ["chunk"]


def test_what_is_recorded_is_what_the_report_calls_it() -> None:
    recorded = set(json.loads(RECORDED.read_text())["ratios"])

    assert set(JUDGED) <= recorded <= {row.title for row in ROWS}
