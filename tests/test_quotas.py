"""Budget windows: calendar edges, clocks that change, and that every moment lies in exactly one window of a kind."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.quotas import NO_LIMITS, Limits, OutageAllowance, Per, Window, window

BERLIN = ZoneInfo("Europe/Berlin")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")
ZONES = (
    ZoneInfo("UTC"),
    BERLIN,
    SAO_PAULO,
    ZoneInfo("America/New_York"),
    ZoneInfo("America/Havana"),  # its clocks go from one o'clock back to midnight
    ZoneInfo("Africa/Cairo"),  # from midnight back to eleven, and in spring there is no midnight
    ZoneInfo("Asia/Kathmandu"),  # 5:45 ahead of UTC
    ZoneInfo("Australia/Lord_Howe"),  # changes its clocks by half an hour
    ZoneInfo("Pacific/Apia"),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def between(starts: str, ends: str) -> Window:
    return Window(utc(starts), utc(ends))


@pytest.mark.parametrize(
    ("per", "expected"),
    [
        (Per.MINUTE, between("2026-11-23T18:34:00", "2026-11-23T18:35:00")),
        (Per.HOUR, between("2026-11-23T18:00:00", "2026-11-23T19:00:00")),
        (Per.DAY, between("2026-11-22T23:00:00", "2026-11-23T23:00:00")),  # midnight in Berlin
        (Per.WEEK, between("2026-11-22T23:00:00", "2026-11-29T23:00:00")),  # Monday the 23rd
        (Per.MONTH, between("2026-10-31T23:00:00", "2026-11-30T23:00:00")),
    ],
)
def test_a_window_has_the_edges_of_the_teams_calendar(per: Per, expected: Window) -> None:
    assert window(per, utc("2026-11-23T18:34:28.123456"), BERLIN) == expected


@pytest.mark.parametrize("per", list(Per))
def test_a_window_is_given_in_utc_whatever_zone_the_moment_is_in(per: Per) -> None:
    now = utc("2026-11-23T18:34:28")

    assert window(per, now.astimezone(SAO_PAULO), BERLIN) == window(per, now, BERLIN)
    assert window(per, now.astimezone(SAO_PAULO), BERLIN).starts.tzinfo is UTC


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-28T22:59:59", between("2026-03-27T23:00:00", "2026-03-28T23:00:00")),
        ("2026-03-28T23:00:00", between("2026-03-28T23:00:00", "2026-03-29T22:00:00")),  # 23 hours
        ("2026-03-29T21:59:59", between("2026-03-28T23:00:00", "2026-03-29T22:00:00")),
        ("2026-03-29T22:00:00", between("2026-03-29T22:00:00", "2026-03-30T22:00:00")),
        ("2026-10-24T22:00:00", between("2026-10-24T22:00:00", "2026-10-25T23:00:00")),  # 25 hours
        ("2026-10-25T22:59:59", between("2026-10-24T22:00:00", "2026-10-25T23:00:00")),
        ("2026-10-25T23:00:00", between("2026-10-25T23:00:00", "2026-10-26T23:00:00")),
    ],
)
def test_a_day_in_berlin_ends_at_midnight_also_when_clocks_change(now: str, expected: Window) -> None:
    assert window(Per.DAY, utc(now), BERLIN) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-29T00:59:59", between("2026-03-29T00:00:00", "2026-03-29T01:00:00")),  # 1:59:59
        ("2026-03-29T01:00:00", between("2026-03-29T01:00:00", "2026-03-29T02:00:00")),  # 3:00, there is no two o'clock
        ("2026-10-25T00:59:59", between("2026-10-25T00:00:00", "2026-10-25T01:00:00")),  # 2:59:59
        ("2026-10-25T01:00:00", between("2026-10-25T01:00:00", "2026-10-25T02:00:00")),  # 2:00 again
    ],
)
def test_the_hour_that_is_repeated_in_autumn_is_two_windows(now: str, expected: Window) -> None:
    assert window(Per.HOUR, utc(now), BERLIN) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-10-03T15:15:00", between("2026-10-03T14:30:00", "2026-10-03T15:30:00")),  # 1:45
        ("2026-10-03T15:45:00", between("2026-10-03T15:30:00", "2026-10-03T16:00:00")),  # 2:45; there is no 2:15
        ("2026-04-04T14:45:00", between("2026-04-04T14:00:00", "2026-04-04T15:00:00")),  # 1:45
        ("2026-04-04T15:15:00", between("2026-04-04T15:00:00", "2026-04-04T15:30:00")),  # 1:45 again
    ],
)
def test_an_hour_that_begins_with_the_change_by_half_an_hour_lasts_half_an_hour(now: str, expected: Window) -> None:
    """It overlapped with the hour before it."""
    assert window(Per.HOUR, utc(now), ZoneInfo("Australia/Lord_Howe")) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        # Summer time began at midnight of 4 November 2018, so that day began at one o'clock, 3:00 UTC.
        ("2018-11-04T02:59:59", between("2018-11-03T03:00:00", "2018-11-04T03:00:00")),
        ("2018-11-04T03:00:00", between("2018-11-04T03:00:00", "2018-11-05T02:00:00")),
        # It ended at midnight of 18 February 2018, so that the 17th had 25 hours.
        ("2018-02-18T02:59:59", between("2018-02-17T02:00:00", "2018-02-18T03:00:00")),
        ("2018-02-18T03:00:00", between("2018-02-18T03:00:00", "2018-02-19T03:00:00")),
        # Since 2019 the clocks of Brazil do not change.
        ("2026-11-01T03:00:00", between("2026-11-01T03:00:00", "2026-11-02T03:00:00")),
    ],
)
def test_a_day_in_sao_paulo_begins_when_its_date_does_though_there_may_be_no_midnight(
    now: str, expected: Window
) -> None:
    assert window(Per.DAY, utc(now), SAO_PAULO) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-01-31T23:59:59", between("2026-01-01T00:00:00", "2026-02-01T00:00:00")),
        ("2026-02-28T23:59:59", between("2026-02-01T00:00:00", "2026-03-01T00:00:00")),
        ("2028-02-29T12:00:00", between("2028-02-01T00:00:00", "2028-03-01T00:00:00")),
        ("2026-04-30T23:59:59", between("2026-04-01T00:00:00", "2026-05-01T00:00:00")),
        ("2026-12-31T23:59:59", between("2026-12-01T00:00:00", "2027-01-01T00:00:00")),
        ("2027-01-01T00:00:00", between("2027-01-01T00:00:00", "2027-02-01T00:00:00")),
    ],
)
def test_a_month_ends_with_its_last_day(now: str, expected: Window) -> None:
    assert window(Per.MONTH, utc(now), ZoneInfo("UTC")) == expected


def test_a_month_in_berlin_is_an_hour_short_in_march_and_long_in_october() -> None:
    march = window(Per.MONTH, utc("2026-03-15T12:00:00"), BERLIN)
    october = window(Per.MONTH, utc("2026-10-15T12:00:00"), BERLIN)

    assert march.ends - march.starts == timedelta(days=31, hours=-1)
    assert october.ends - october.starts == timedelta(days=31, hours=1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-22T23:59:59", between("2026-11-16T00:00:00", "2026-11-23T00:00:00")),  # a Sunday
        ("2026-11-23T00:00:00", between("2026-11-23T00:00:00", "2026-11-30T00:00:00")),  # a Monday
        ("2027-01-01T00:00:00", between("2026-12-28T00:00:00", "2027-01-04T00:00:00")),  # over the turn of the year
    ],
)
def test_a_week_starts_on_monday(now: str, expected: Window) -> None:
    assert window(Per.WEEK, utc(now), ZoneInfo("UTC")) == expected


moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  made aware
pers, zones = st.sampled_from(Per), st.sampled_from(ZONES)


@given(pers, moments, zones)
def test_the_window_of_a_moment_holds_it(per: Per, now: datetime, zone: ZoneInfo) -> None:
    found = window(per, now, zone)

    assert found.starts <= now < found.ends


@given(pers, moments, zones)
def test_windows_of_one_kind_meet_without_gap_or_overlap(per: Per, now: datetime, zone: ZoneInfo) -> None:
    found = window(per, now, zone)
    last_moment = found.ends - timedelta(microseconds=1)

    assert window(per, found.starts, zone) == window(per, last_moment, zone) == found
    assert window(per, found.ends, zone).starts == found.ends
    assert window(per, found.starts - timedelta(microseconds=1), zone).ends == found.starts


@pytest.mark.parametrize("first_day", ["2026-03-01", "2026-10-01"])
@pytest.mark.parametrize("zone", ZONES, ids=str)
@pytest.mark.parametrize("per", [Per.HOUR, Per.DAY, Per.WEEK, Per.MONTH])
def test_windows_follow_each_other_through_every_change_of_clocks(per: Per, zone: ZoneInfo, first_day: str) -> None:
    """A drawn moment rarely meets one of the two changes a year; all of 2026 lie in these two times two months."""
    half_hours = [utc(first_day) + timedelta(minutes=30) * number for number in range(2 * 24 * 61)]

    found = list(dict.fromkeys(window(per, now, zone) for now in half_hours))

    assert all(earlier.ends == later.starts for earlier, later in pairwise(found))


@pytest.mark.parametrize(("limit", "size"), [(0, 0), (49, 0), (50, 1), (5_049, 100), (5_050, 101), (10**6, 300)])
def test_what_is_set_aside_of_a_budget_is_a_share_rounded_down_and_never_more_than_allowed(
    limit: int, size: int
) -> None:
    of = OutageAllowance(per_mille=20, at_most_nano_usd=300).slice_of(limit)

    assert (of, type(of)) == (size, int)


def test_no_limits_limit_nothing() -> None:
    assert Limits(requests_per_minute=None, tokens_per_minute=None, concurrent=None) == NO_LIMITS
