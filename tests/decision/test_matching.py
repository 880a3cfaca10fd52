"""When a rule applies: each condition at its edges, and the wall clock of a team's own zone."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from router.catalog.catalog import Capability
from router.decision.facts import RequestProfile
from router.decision.matching import Match, Modality, Schedule, Weekday
from router.quality.language import Language
from tests.decision.builders import CHAT, NOON
from tests.replacing import replace

BERLIN = ZoneInfo("Europe/Berlin")
SEEING = replace(CHAT, needs=frozenset({Capability.IMAGE_INPUT, Capability.TOOLS}))
GERMAN = replace(CHAT, language=Language.DE)
HARD = replace(CHAT, difficulty=0.75)


@pytest.mark.parametrize(
    ("match", "profile", "holds"),
    [
        pytest.param(Match(), CHAT, True, id="nothing asked"),
        pytest.param(Match(languages=frozenset({Language.DE, Language.FR})), GERMAN, True, id="one of the languages"),
        pytest.param(Match(languages=frozenset({Language.FR})), GERMAN, False, id="another language"),
        pytest.param(Match(modalities=frozenset({Modality.IMAGE})), SEEING, True, id="with an image"),
        pytest.param(Match(modalities=frozenset({Modality.IMAGE})), CHAT, False, id="without an image"),
        pytest.param(Match(modalities=frozenset({Modality.AUDIO, Modality.IMAGE})), SEEING, True, id="one of the two"),
        pytest.param(Match(modalities=frozenset({Modality.TEXT})), CHAT, True, id="text alone"),
        pytest.param(Match(modalities=frozenset({Modality.TEXT})), SEEING, False, id="text with an image is not text"),
        pytest.param(Match(difficulty_over=0.74), HARD, True, id="harder"),
        pytest.param(Match(difficulty_over=0.75), HARD, False, id="exactly so hard is not harder"),
        pytest.param(Match(difficulty_under=0.76), HARD, True, id="easier"),
        pytest.param(Match(difficulty_under=0.75), HARD, False, id="exactly so hard is not easier"),
        pytest.param(Match(difficulty_over=0.5, difficulty_under=0.8), HARD, True, id="between"),
    ],
)
def test_a_condition_at_its_edges(match: Match, profile: RequestProfile, holds: bool) -> None:
    assert match.holds_for(profile, NOON.now) is holds


OFFICE = Schedule(BERLIN, hours=((time(8), time(18)),))
NIGHT = Schedule(BERLIN, hours=((time(22), time(6)),))
FRIDAY_NIGHT = replace(NIGHT, weekdays=frozenset({Weekday.FRIDAY}))
WEEKEND = Schedule(BERLIN, weekdays=frozenset({Weekday.SATURDAY, Weekday.SUNDAY}))
UNTIL_MIDNIGHT = Schedule(BERLIN, hours=((time(18), time(0)),))


@pytest.mark.parametrize(
    ("schedule", "local", "holds"),
    [
        pytest.param(OFFICE, "2026-11-23T07:59:59", False, id="before"),
        pytest.param(OFFICE, "2026-11-23T08:00:00", True, id="with its first second"),
        pytest.param(OFFICE, "2026-11-23T17:59:59", True, id="until the last second"),
        pytest.param(OFFICE, "2026-11-23T18:00:00", False, id="no longer"),
        pytest.param(OFFICE, "2026-07-23T08:00:00", True, id="in summer time too"),
        pytest.param(NIGHT, "2026-11-23T21:59:59", False, id="before the night"),
        pytest.param(NIGHT, "2026-11-23T22:00:00", True, id="the night begins"),
        pytest.param(NIGHT, "2026-11-24T05:59:59", True, id="past midnight"),
        pytest.param(NIGHT, "2026-11-24T06:00:00", False, id="in the morning"),
        pytest.param(FRIDAY_NIGHT, "2026-11-27T23:00:00", True, id="Friday evening"),
        pytest.param(FRIDAY_NIGHT, "2026-11-28T05:00:00", True, id="Saturday morning is Friday's night"),
        pytest.param(FRIDAY_NIGHT, "2026-11-27T05:00:00", False, id="Friday morning is Thursday's night"),
        pytest.param(FRIDAY_NIGHT, "2026-11-28T23:00:00", False, id="Saturday evening"),
        pytest.param(WEEKEND, "2026-11-27T23:59:59", False, id="not yet the weekend"),
        pytest.param(WEEKEND, "2026-11-28T00:00:00", True, id="the weekend begins"),
        pytest.param(UNTIL_MIDNIGHT, "2026-11-23T23:59:59", True, id="up to midnight"),
        pytest.param(UNTIL_MIDNIGHT, "2026-11-24T00:00:00", False, id="and no further"),
    ],
)
def test_hours_and_days_are_those_of_the_teams_wall_clock(schedule: Schedule, local: str, holds: bool) -> None:
    now = datetime.fromisoformat(local).replace(tzinfo=BERLIN).astimezone(UTC)

    assert Match(schedule=schedule).holds_for(CHAT, now) is holds


def test_several_ranges_of_hours_are_alternatives() -> None:
    twice = Schedule(BERLIN, hours=((time(8), time(9)), (time(17), time(18))))

    held = [hour for hour in range(24) if twice.holds_at(datetime(2026, 11, 23, hour, 30, tzinfo=BERLIN))]

    assert held == [8, 17]
