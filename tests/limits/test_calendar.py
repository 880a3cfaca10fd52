"""Windows as Redis is told of them, and as they are read back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from router.limits.calendar import Calendar, Span, purse_text, scope_from, scope_text
from router.limits.gate import Held
from router.quotas import Per, ScopeId, ScopeKind, Window

BERLIN = ZoneInfo("Europe/Berlin")
TEAM = ScopeId.of_team("search")
KEY = ScopeId("search", ScopeKind.KEY, "8f3a0b6c")
PROJECT = ScopeId("search", ScopeKind.PROJECT, "eu/search")
NOVEMBER = datetime(2026, 10, 31, 23, tzinfo=UTC)  # in Berlin
DECEMBER = datetime(2026, 11, 30, 23, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@pytest.mark.parametrize("scope", [TEAM, KEY, PROJECT])
def test_a_scope_is_read_back_as_it_was_written(scope: ScopeId) -> None:
    assert scope_from(scope_text(scope)) == scope


@pytest.mark.parametrize("per", Per)
def test_a_hold_names_the_window_that_carries_it(per: Per) -> None:
    span = Span.of(PROJECT, per, Window(NOVEMBER, DECEMBER))

    assert span.held() == Held(PROJECT, per, NOVEMBER)


def test_the_keys_of_a_team_have_a_purse_together_and_every_project_its_own() -> None:
    assert purse_text(KEY, Per.DAY) == purse_text(KEY._replace(name="another"), Per.DAY) == "key|search||day"
    assert purse_text(PROJECT, Per.MONTH) == f"{scope_text(PROJECT)}|month"


def test_a_window_is_worked_out_only_when_the_last_one_is_over() -> None:
    calendar = Calendar()
    november = calendar.window(Per.MONTH, NOVEMBER, BERLIN)
    assert november == Window(NOVEMBER, DECEMBER)

    assert calendar.window(Per.MONTH, NOVEMBER, BERLIN) is november
    assert calendar.window(Per.MONTH, DECEMBER - MICROSECOND, BERLIN) is november
    assert calendar.window(Per.MONTH, DECEMBER, BERLIN).starts == DECEMBER
    assert calendar.window(Per.MONTH, NOVEMBER, BERLIN) == november  # a clock that was set back


def test_windows_of_other_kinds_and_zones_are_others() -> None:
    calendar = Calendar()
    calendar.window(Per.MONTH, NOVEMBER, BERLIN)

    assert calendar.window(Per.MONTH, NOVEMBER, ZoneInfo("UTC")).ends == datetime(2026, 11, 1, tzinfo=UTC)
    assert calendar.window(Per.DAY, NOVEMBER, BERLIN).ends == NOVEMBER + timedelta(days=1)
