"""A clock that moves when it is told to, on the wall and on the stopwatch alike."""

from datetime import datetime, timedelta


class MovableClock:
    """The wall clock is `now`; the stopwatch starts at zero."""

    def __init__(self, now: datetime) -> None:
        self._started = now
        self._now = now

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return (self._now - self._started).total_seconds()

    def advance(self, by: timedelta) -> None:
        self._now += by
