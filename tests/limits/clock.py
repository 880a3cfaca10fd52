"""A clock that moves when it is told to, on the wall and on the stopwatch alike."""

from datetime import datetime, timedelta

from tests.limits.redis_server import RedisServer


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


class SharedClock(MovableClock):
    """The same, and the server's clock with it."""

    def __init__(self, now: datetime, server: RedisServer) -> None:
        super().__init__(now)
        self._server = server
        server.use_test_clock()  # anew, for the time of the library never goes back
        server.set_clock(now)

    def advance(self, by: timedelta) -> None:
        super().advance(by)
        self._server.set_clock(self.now())
