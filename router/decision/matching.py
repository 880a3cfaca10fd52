"""When a rule applies: `Match`, one condition a field. It asks the profile and, for the hour, the moment."""

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from zoneinfo import ZoneInfo

from router.catalog.catalog import Capability, Task
from router.decision.facts import RequestProfile
from router.quality.language import Language


class Modality(StrEnum):
    """What kind of input a request has."""

    TEXT = "text"  # and nothing else
    IMAGE = "image"
    AUDIO = "audio"
    FILE = "file"
    VIDEO = "video"


class Weekday(StrEnum):
    """In the order of `datetime.weekday`."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


_WEEK = tuple(Weekday)
_INPUTS = {
    Modality.IMAGE: Capability.IMAGE_INPUT,
    Modality.AUDIO: Capability.AUDIO_INPUT,
    Modality.FILE: Capability.FILE_INPUT,
    Modality.VIDEO: Capability.VIDEO_INPUT,
}
_ANY_INPUT = frozenset(_INPUTS.values())


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hours on the wall clock of a time zone, on days of the week.

    A range begins with its first minute and ends before its last; one whose end is not after its beginning lasts past
    midnight, and belongs to the day on which it began.
    """

    zone: ZoneInfo
    hours: tuple[tuple[time, time], ...] = ()  # within any of; none: the whole day
    weekdays: frozenset[Weekday] = frozenset()  # any of; none: every day

    def holds_at(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        clock, day = local.time(), local.weekday()
        if not self.hours:
            return self._has(day)
        return any(self._is_within(begins, ends, clock, day) for begins, ends in self.hours)

    def _is_within(self, begins: time, ends: time, clock: time, day: int) -> bool:
        if begins < ends:
            return begins <= clock < ends and self._has(day)
        return (clock >= begins and self._has(day)) or (clock < ends and self._has(day - 1))

    def _has(self, day: int) -> bool:
        return not self.weekdays or _WEEK[day] in self.weekdays


@dataclass(frozen=True, slots=True)
class Match:
    """When a rule applies: every condition given must hold; one not given always does."""

    input_tokens_over: int | None = None  # strictly
    input_tokens_under: int | None = None  # strictly
    tasks: frozenset[Task] = frozenset()  # any of
    needs: frozenset[Capability] = frozenset()  # all of
    aliases: frozenset[str] = frozenset()  # any of
    tags: frozenset[str] = frozenset()  # all of
    languages: frozenset[Language] = frozenset()  # any of
    modalities: frozenset[Modality] = frozenset()  # any of
    difficulty_over: float | None = None  # strictly
    difficulty_under: float | None = None  # strictly
    schedule: Schedule | None = None

    def holds_for(self, profile: RequestProfile, now: datetime) -> bool:
        return (
            (self.input_tokens_over is None or profile.input_tokens > self.input_tokens_over)
            and (self.input_tokens_under is None or profile.input_tokens < self.input_tokens_under)
            and (not self.tasks or profile.task in self.tasks)
            and (not self.needs or self.needs <= profile.needs)
            and (not self.aliases or profile.alias in self.aliases)
            and (not self.tags or self.tags <= frozenset(profile.tags))
            and (not self.languages or profile.language in self.languages)
            and (not self.modalities or any(_has_input(profile, each) for each in self.modalities))
            and (self.difficulty_over is None or profile.difficulty > self.difficulty_over)
            and (self.difficulty_under is None or profile.difficulty < self.difficulty_under)
            and (self.schedule is None or self.schedule.holds_at(now))
        )


def _has_input(profile: RequestProfile, modality: Modality) -> bool:
    if modality is Modality.TEXT:
        return not profile.needs & _ANY_INPUT
    return _INPUTS[modality] in profile.needs
