"""The report adds up: every entry stands in it, and nothing is lost between then and now."""

import pytest

from router.catalog.catalog import DeploymentId, ModelName
from router.keys import TeamName
from router.replay.judge import Error, Judged, NotJudged
from router.replay.report import Report
from tests.replacing import replace

SEARCH = TeamName("search")
FLASH, OPUS = ModelName("maker/flash"), ModelName("maker/opus")
KEPT = Judged(
    team=SEARCH,
    then=DeploymentId("cloud:maker/flash"),
    now=DeploymentId("cloud:maker/flash"),
    spent=((FLASH, 1_000),),
    would_spend=((FLASH, 1_000),),
    is_same=True,
    error=None,
    quality_then=0.7,
    quality_now=0.7,
)
MOVED = replace(
    KEPT,
    then=DeploymentId("cloud:maker/opus"),
    spent=((OPUS, 500), (OPUS, 99_500)),
    would_spend=((FLASH, 2_000),),
    is_same=False,
    error=Error(common_nano_usd=100.0, single_nano_usd=0.0, cause=(OPUS, FLASH)),
    quality_then=0.9,
)
UNKNOWN = NotJudged(SEARCH, 7, "alias_gone", "fast", is_same=None)


def reported(*verdicts: Judged | NotJudged) -> Report:
    report = Report()
    for verdict in verdicts:
        report.add(verdict)
    return report


def test_a_report_as_data() -> None:
    moved = {
        "requests": 1,
        "then_nano_usd": 100_000,
        "then_usd": "0.0001",
        "now_nano_usd": 2_000,
        "now_usd": "0.000002",
        "saved_nano_usd": 98_000,
        "saved_usd": "0.000098",
        "quality_then": 0.9,
        "quality_now": 0.7,
        "quality_known_of": 1,
    }
    both = {
        "requests": 2,
        "then_nano_usd": 101_000,
        "then_usd": "0.000101",
        "now_nano_usd": 3_000,
        "now_usd": "0.000003",
        "saved_nano_usd": 98_000,
        "saved_usd": "0.000098",
        "quality_then": 0.8,
        "quality_now": 0.7,
        "quality_known_of": 2,
    }

    assert reported(KEPT, MOVED, UNKNOWN).as_data() == {
        "format": 1,
        "requests": 3,
        "then_nano_usd": 101_007,
        "then_usd": "0.000101007",
        "decided_again": 2,
        "decided_the_same": 1,
        "judged": {
            **both,
            "now_low_nano_usd": 2_800,
            "now_low_usd": "0.0000028",
            "now_high_nano_usd": 3_200,
            "now_high_usd": "0.0000032",
            "estimated": {"requests": 1, "now_nano_usd": 2_000, "now_usd": "0.000002"},
        },
        "not_judged": [
            {
                "reason": "alias_gone",
                "requests": 1,
                "then_nano_usd": 7,
                "then_usd": "0.000000007",
                "about": {"fast": 1},
            }
        ],
        "teams": [{"team": "search", **both}],
        "models": [
            {
                "model": "maker/opus",
                "calls_then": 2,
                "then_nano_usd": 100_000,
                "then_usd": "0.0001",
                "calls_now": 0,
                "now_nano_usd": 0,
                "now_usd": "0.00",
            },
            {
                "model": "maker/flash",
                "calls_then": 1,
                "then_nano_usd": 1_000,
                "then_usd": "0.000001",
                "calls_now": 2,
                "now_nano_usd": 3_000,
                "now_usd": "0.000003",
            },
        ],
        "routes": [{"team": "search", "from": "cloud:maker/opus", "to": "cloud:maker/flash", **moved}],
    }


def test_the_order_of_the_verdicts_does_not_matter() -> None:
    assert reported(KEPT, MOVED, UNKNOWN).as_data() == reported(UNKNOWN, MOVED, KEPT).as_data()


@pytest.mark.parametrize(("causes", "margin"), [(1, 2 * 100 * 4), (4, 2 * 100 * 2)])
def test_what_errs_for_one_cause_adds_up_and_what_errs_for_several_cancels_out(causes: int, margin: int) -> None:
    each = [
        replace(
            MOVED,
            would_spend=((FLASH, 10_000),),
            error=Error(100.0, 0.0, cause=(ModelName(str(number % causes)), FLASH)),
        )
        for number in range(4)
    ]

    judged = reported(*each).as_data()["judged"]

    assert judged["now_high_nano_usd"] - judged["now_nano_usd"] == margin


def test_the_low_end_is_never_less_than_what_is_booked() -> None:
    wild = replace(MOVED, error=Error(10**9, 0.0, cause=(OPUS, FLASH)))

    assert reported(KEPT, wild).as_data()["judged"]["now_low_nano_usd"] == 1_000


def test_names_that_nobody_can_count_do_not_make_the_report_grow() -> None:
    report = reported(*(replace(UNKNOWN, about=f"alias {number}") for number in range(1_000)))

    (reason,) = report.as_data()["not_judged"]
    assert len(reason["about"]) == 21
    assert (reason["requests"], reason["about"]["others"]) == (1_000, 980)


def test_an_empty_report_divides_nothing_by_nothing() -> None:
    data = Report().as_data()

    assert (data["requests"], data["judged"]["quality_now"], data["judged"]["now_usd"]) == (0, None, "0.00")
