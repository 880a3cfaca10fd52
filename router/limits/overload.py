"""Whether this process is asked for more than it can do, and what it lets in then: `Overload`.

There are three signs of it, each with another answer:

- The event loop is late, or those that were let in wait for their turn (server/starting.py), and it stays so: the
  least delay of a tenth of a second is what counts (as in CoDel, RFC 8289), so that one long step of it is no sign; nor
  is a delay of a process that has nothing to do in between, which is the doing of others. From then on requests a
  second are limited, at first to half of what was worked off in the last second, until what had come before is done.
  After that the limit is what keeps the loop nearly busy. For a delay, however short, it gives way at once and for the
  moment, until that is worked off. It ends when nobody has been turned away for a while. It limits a rate and no number
  of requests under way, since those may be streams that do nothing.
- Memory, as a share of what the process may have: from 85 % on connections are closed after their answer, from 92 % on
  no more requests are under way than there were at that moment, from 95 % on nothing is let in that costs money. Each
  step ends two points below where it began.
- As many requests are under way as there may be.

What each team may have of it is worked out in shares.py. Health, metrics, the admin port, feedback and the closing of
the books are not asked about here: what is turned away is work that has not begun.
"""

import math
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Protocol

from router.limits.shares import Shares, Shed

TICK_S, _TICK_LIMITED_S = 0.02, 0.01
# To wake up takes 0.2 ms of CPU where there is nothing else to do: fifty times a second that was a hundredth of a core.
# With fewer requests under way than this it is done once a look, unless it was late.
_TICK_QUIET_S, _QUIET = 0.12, 16
_LOOK_S, _LEAST_TICKS = 0.1, 2  # of one tick that was late nobody can tell whether the delay stood
# A standing delay at which the limit begins, and the one beyond which it falls. A request is taken up some five
# times until it is answered: 0.1 s are half a second of every request's time. Where three times as many come as can be
# worked off each turn of the loop takes three times as long as the one before: with 0.2 s it began one or two seconds
# later, and whoever had come until then filled the kernel's queue. Where few are under way the delay must be longer: a
# hundred clients that wait for each other on a slow machine are all answered in the end, and come no faster than that.
_BEGINS_S, _BEGINS_OF_FEW_S, _FEW = 0.1, 1.0, 256
# Where so many more are under way than a look before; the loop, without waiting for its core, need have been busy for
# that part of the time only.
_BEGINS_GROWING_S, _GROWING, _BUSY = 0.03, 32, 0.8
# Fewer who wait to begin are no sign that more come than can be worked off: clients who open thousands of streams, 64
# at a time, wait for each other.
_LONG_LINE = 128
_GOAL_S = 0.008
_FIRST_PER_S = 100.0  # at least; a process that has just started has worked nothing off yet
_LEAST_PER_S = 2.0
# No limit falls below this part of the most that was worked off lately: what makes the loop late may be something else.
_LOWEST, _BEST_HALVES_S = 0.5, 20.0
_FULL = 0.93  # busy for that part of the time, the loop has all that it can do
# How busy the loop is to be. The rest is for what comes in bursts: at 98 % a turn of the loop took 30 ms at times, and
# whoever is turned away waits for it.
_AIM = 0.94
# But however busy it is, so much of what would fit beside those that are turned away is let in: clients that ask again
# at once take all the time that there is, and else nobody would be let in at all. So many of them cost as much as one
# that is answered, and no more than this part of the loop is reckoned for them.
_LEAST_FITTING, _TURNED_AWAY_FOR_ONE, _MOST_FOR_THEM = 0.8, 18.0, 0.5
_RECKONED_PER_S = 20.0  # with fewer, what the process does by itself would count for much
_FALL, _RISE = 0.97, 1.05  # from one look to the next
_BACK, _RISE_BACK = 0.7, 1.15  # up to that part of what would fit it rises faster
# While the loop is late fewer are let in, a tenth where it is late by that and more; should the delay stand, the
# limit falls as well. At 95 % a delay of 30 ms is else half a second in going.
_GIVES_WAY_S, _LEAST_PACE, _FALL_LATE = 0.03, 0.1, 0.01
# What came before there was a limit is worked off first, for a while at most: so many come in meanwhile, of the best.
_DRAINING, _DRAINED_S = 0.5, 2.0
_ENDS_AFTER_S = 2.0  # without anybody turned away
_MEMORY_S = 0.5  # from one look at it to the next
_WEIGHTS_S = 1.0
_RATE_S = 1.0  # over which what is worked off is smoothed


class Memory(IntEnum):
    """How short memory is."""

    ENOUGH = 0
    SHORT = 1  # no connection is kept
    SHORTER = 2  # no more requests than there are
    SHORTEST = 3  # none


_MEMORY_FROM = {Memory.SHORT: 0.85, Memory.SHORTER: 0.92, Memory.SHORTEST: 0.95}
_MEMORY_BACK = 0.02


class Starting(Protocol):
    """Those who were let in and wait for their turn to begin."""

    @property
    def waiting(self) -> int:
        """How many they are."""
        ...

    def waited_s(self) -> float:
        """How long the next of them has waited."""
        ...


class Overload:
    """Lets requests in, or does not. To be run beside the requests."""

    def __init__(
        self,
        shares: Shares,
        *,
        monotonic_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        starts: Starting,
        busy: Callable[[], tuple[float, float]],
        memory_share: Callable[[], float],
        shed: Callable[[str, str, int], None],
    ) -> None:
        """`busy` is for how many seconds the process has worked, or waited to, since it began, and its event loop alone
        has worked; `memory_share` what is used of the memory that may be used; `shed` is told of requests that were not
        let in: team, reason, how many."""
        self._shares = shares
        self._monotonic_s = monotonic_s
        self._sleep = sleep
        self._starts = starts
        self._read_memory = memory_share
        self.memory_share = 0.0  # when it was last read
        self._shed = shed
        self._most_under_way = shares.most_under_way
        self.memory = Memory.ENOUGH
        self._least_late_s = math.inf  # since the last look
        self._looked_s = self._memory_s = self._weights_s = monotonic_s()
        self._ticks = 0  # since then
        self._is_busy = False  # since the look before; a delay of a loop that is not is the doing of others
        self._ended = 0
        self._before = 0  # requests that had come then and were not over
        self._worked_off_per_s = self._best_per_s = 0.0
        self._read_busy = busy
        self._busy_s, self._loop_s = busy()
        self._shed_s = -math.inf  # when somebody was last turned away
        self._begun_s = -math.inf  # when the limit of what comes in was set
        self._bearable_per_s = 0.0  # that limit where no delay stands
        self._mean_busy = self._mean_done_per_s = 0.0  # the one by the other is what a request costs the loop
        self._is_draining = False  # what came in before that

    @property
    def is_guarded(self) -> bool:
        """Whether anybody may be turned away now."""
        return self.memory is Memory.SHORTEST or self._shares.is_limiting

    @property
    def is_shedding(self) -> bool:
        """Whether somebody has been turned away in the last seconds."""
        return self._monotonic_s() - self._shed_s < _ENDS_AFTER_S

    @property
    def is_short_of_memory(self) -> bool:
        """Whether no connection is kept, and what is freed goes back to the system."""
        return self.memory >= Memory.SHORT

    @property
    def not_ready(self) -> str | None:
        """Why no request is welcome that costs money; None while some are let in.

        Who is told so by every process sends to none: a process that turns some away is as ready as it can be.
        """
        return "This instance is short of memory." if self.memory is Memory.SHORTEST else None

    @property
    def let_in_per_s(self) -> float:
        """How many requests may begin in a second; 0: any number."""
        return self._shares.per_s or 0.0

    def enter(self, team: str) -> Shed | None:
        """Let a request of the team in, until it leaves; or the reason why not."""
        if self.memory is Memory.SHORTEST:
            return self._shares.turn_away(team, Shed.MEMORY)
        return self._shares.enter(team)

    def leave(self, team: str) -> None:
        """A request that was let in is over."""
        self._shares.leave(team)

    def turns_away(self, team: str) -> Shed | None:
        """Why a request of the team would not be let in now, counted as such; None if it might be.

        For whoever can say so before the request is read; a name that is not known to be the caller's does no harm.
        """
        if self.memory is Memory.SHORTEST:
            return self._shares.turn_away(team, Shed.MEMORY)
        return self._shares.turns_away(team)

    def promise(self, team: str) -> None:
        """A request that was not turned away, surely of the team, is on its way to `enter`."""
        self._shares.promise(team)

    async def run(self) -> None:
        while True:
            tick_s = self._next_tick_s()
            due_s = self._monotonic_s() + tick_s
            await self._sleep(tick_s)
            now_s = self._monotonic_s()
            self.tick(now_s - due_s + self._waited_s(), now_s)

    def _waited_s(self) -> float:
        """How late those are who wait to begin, where that is a sign."""
        is_sign = self._shares.per_s is not None or self._starts.waiting >= _LONG_LINE
        return self._starts.waited_s() if is_sign else 0.0

    def _next_tick_s(self) -> float:
        if self._shares.per_s is not None:
            return _TICK_LIMITED_S
        return TICK_S if self._ticks or self._shares.under_way >= _QUIET else _TICK_QUIET_S

    def tick(self, late_s: float, now_s: float) -> None:
        """The loop, or a beginning that is due, was that late just now."""
        late_s = max(late_s, 0.0)
        self._least_late_s = min(self._least_late_s, late_s)
        self._ticks += 1
        self._shares.pace = max(1.0 - late_s / _GIVES_WAY_S, _LEAST_PACE) if self._is_busy else 1.0
        since_s = now_s - self._looked_s
        if since_s < _LOOK_S or (self._ticks < _LEAST_TICKS and late_s > _GOAL_S):
            return
        self._looked_s, self._ticks = now_s, 0
        self._look(self._least_late_s, since_s, now_s)
        self._least_late_s = math.inf

    def _look(self, late_s: float, since_s: float, now_s: float) -> None:
        shares = self._shares
        if now_s - self._weights_s >= _WEIGHTS_S:
            self._weights_s = now_s
            shares.renew_weights()
        shares.look(since_s)
        if not self._starts.waiting:
            shares.forget_promises()
        ended, self._ended = shares.ended - self._ended, shares.ended
        self._worked_off_per_s += min(since_s / _RATE_S, 1.0) * (ended / since_s - self._worked_off_per_s)
        if shares.per_s is None:  # else it is the limit that says how much is worked off
            self._best_per_s *= 0.5 ** (since_s / _BEST_HALVES_S)
        self._best_per_s = max(self._best_per_s, self._worked_off_per_s)
        busy_s, loop_s = self._read_busy()
        busy, self._busy_s = (busy_s - self._busy_s) / since_s, busy_s
        self._is_busy = busy >= _BUSY
        loop_busy, self._loop_s = (loop_s - self._loop_s) / since_s, loop_s
        shed = self._tell()
        if shed:
            self._shed_s = now_s
        self._reckon(loop_busy, ended / since_s, shed / since_s, since_s)
        if now_s - self._memory_s >= _MEMORY_S:
            self._memory_s = now_s
            self.memory_share = self._read_memory()
            self._remember(self.memory_share)
        shares.limit_rate(self._next_rate(late_s, busy, loop_busy, shed / since_s, now_s))
        self._before = self._come

    def _reckon(self, loop_busy: float, ended_per_s: float, shed_per_s: float, since_s: float) -> None:
        done_per_s = ended_per_s + shed_per_s / _TURNED_AWAY_FOR_ONE
        if done_per_s < _RECKONED_PER_S:
            return
        part = min(since_s / _RATE_S, 1.0)
        self._mean_busy += part * (loop_busy - self._mean_busy)
        self._mean_done_per_s += part * (done_per_s - self._mean_done_per_s)

    def _next_rate(self, late_s: float, busy: float, loop_busy: float, shed_per_s: float, now_s: float) -> float | None:
        if self._shares.per_s is None:
            if not self._is_too_late(late_s, busy, loop_busy):
                return None
            self._begun_s, self._is_draining = now_s, True
            self._bearable_per_s = max(self._worked_off_per_s * _DRAINING, _FIRST_PER_S)
            return self._bearable_per_s
        is_late = late_s > _GOAL_S and busy >= _FULL
        if self._is_draining:
            if is_late and now_s - self._begun_s < _DRAINED_S:
                return self._bearable_per_s
            self._is_draining = False
            self._bearable_per_s = max(self._bearable_per_s, self._best_per_s * _BACK)
        elif now_s - max(self._shed_s, self._begun_s) > _ENDS_AFTER_S and not is_late:
            return None
        elif is_late:
            self._bear(1.0 - _FALL_LATE * min(late_s / _GOAL_S - 1.0, 3.0))
        else:
            fitting_per_s = self._fitting_per_s(shed_per_s)
            rise = _RISE_BACK if self._bearable_per_s < fitting_per_s * _BACK else _RISE
            is_too_low = self._bearable_per_s < fitting_per_s * _LEAST_FITTING
            self._bear(rise if is_too_low else min(max(_AIM / max(loop_busy, 0.1), _FALL), rise))
        return self._bearable_per_s

    @property
    def _come(self) -> int:
        """Requests that are under way, or wait to begin."""
        return self._shares.under_way + self._starts.waiting

    def _is_too_late(self, late_s: float, busy: float, loop_busy: float) -> bool:
        if self._come < _FEW:
            return late_s >= _BEGINS_OF_FEW_S and busy >= _FULL
        if self._come >= self._before + _GROWING:
            return late_s >= _BEGINS_GROWING_S and loop_busy >= _BUSY
        return late_s >= _BEGINS_S and busy >= _FULL

    def _fitting_per_s(self, shed_per_s: float) -> float:
        """How many requests the loop can do beside those that are turned away, by what they have cost lately."""
        if not self._mean_busy:
            return self._best_per_s
        cost_s = self._mean_busy / self._mean_done_per_s
        return (_AIM - min(shed_per_s / _TURNED_AWAY_FOR_ONE * cost_s, _MOST_FOR_THEM)) / cost_s

    def _bear(self, times: float) -> None:
        """So many times as much as before, but no less than a part of the most that was worked off lately."""
        before = self._bearable_per_s
        lowest = min(before, max(self._best_per_s * _LOWEST, _LEAST_PER_S))
        self._bearable_per_s = max(before * times, lowest)

    def _tell(self) -> int:
        """How many were turned away since the last look; `shed` is told whose."""
        turned_away = 0
        for team, reason, count in self._shares.untold():
            turned_away += count
            self._shed(team, reason.value, count)
        return turned_away

    def _remember(self, share: float) -> None:
        level = Memory.ENOUGH
        for each, begins in _MEMORY_FROM.items():
            if share >= begins - (_MEMORY_BACK if each <= self.memory else 0.0):
                level = each
        if level >= Memory.SHORTER and self.memory < Memory.SHORTER:
            self._shares.limit_under_way(min(self._most_under_way, max(self._shares.under_way, 1)), Shed.MEMORY)
        elif level < Memory.SHORTER:
            self._shares.limit_under_way(self._most_under_way)
        self.memory = level
