"""Which deployments may be asked now: `Availability`, with a breaker and a pause for each; and `RetryBudget`.

A deployment that fails is left alone for a while, then tried by one request; one that says "not now" is left alone as
long as it says. The first is our own guess, so that it never leaves a request with nobody to ask; the second is not.
"""

import logging
import random
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from types import TracebackType

from router.catalog.catalog import Deployment, DeploymentId, ProviderName
from router.errors import FailureKind, UpstreamError

log = logging.getLogger("penstock.upstream")

_MOST_IN_A_ROW = 5
_LEAST_ASKED = 20  # a share of fewer says nothing
_WINDOW_S = 10
_OPEN_S = 5.0  # doubled each time it fails again
_LONGEST_OPEN_S = 60.0
_FORGIVEN_S = 60.0  # after so long without failing, the next opening is a first one, and so is the next pause
_PROBE_S = 60.0  # a probe that is not heard of for so long has come to nothing

_PAUSE_S = 1.0  # of one that says "not now" and not until when; doubled each time it says so again
_LONGEST_PAUSE_S = 30.0
_LONGEST_TOLD_S = 3600.0  # a slip in a Retry-After must not take a deployment away for ever
_ACCOUNT_PAUSE_S = 60.0  # our own key or credit: nothing changes until somebody looks at it


class BreakerState(IntEnum):
    """The value of `penstock_breaker_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(slots=True)
class _Breaker:
    in_a_row: int = 0
    cut_in_a_row: int = 0  # streams, each of which had begun, and so had counted as answered
    seconds: "deque[_Second]" = field(default_factory=deque)
    opened: int = 0  # times, without having been forgiven
    open_until_s: float | None = None  # None: closed
    probe_until_s: float | None = None  # one request is trying it
    closed_at_s: float = float("-inf")

    def state(self, now_s: float) -> BreakerState:
        if self.open_until_s is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_s < self.open_until_s else BreakerState.HALF_OPEN

    def is_probed(self, now_s: float) -> bool:
        return self.probe_until_s is not None and now_s < self.probe_until_s

    def count(self, now_s: float, *, is_failure: bool) -> None:
        """One more outcome, and those older than the window forgotten."""
        second = int(now_s)
        while self.seconds and self.seconds[0].second <= second - _WINDOW_S:
            self.seconds.popleft()
        if not self.seconds or self.seconds[-1].second != second:
            self.seconds.append(_Second(second))
        self.seconds[-1].asked += 1
        self.seconds[-1].failed += is_failure
        self.in_a_row = self.in_a_row + 1 if is_failure else 0

    def is_to_open(self) -> bool:
        asked = sum(each.asked for each in self.seconds)
        failed = sum(each.failed for each in self.seconds)
        return max(self.in_a_row, self.cut_in_a_row) >= _MOST_IN_A_ROW or (
            asked >= _LEAST_ASKED and 2 * failed >= asked
        )

    def open(self, now_s: float) -> float:
        """For how long."""
        if self.open_until_s is None and now_s - self.closed_at_s > _FORGIVEN_S:
            self.opened = 0
        self.opened += 1
        self.in_a_row, self.cut_in_a_row, self.probe_until_s = 0, 0, None
        self.seconds.clear()
        length_s: float = min(_OPEN_S * 2 ** min(self.opened - 1, 10), _LONGEST_OPEN_S)
        self.open_until_s = now_s + length_s
        return length_s

    def close(self, now_s: float) -> None:
        self.open_until_s = self.probe_until_s = None
        self.closed_at_s = now_s


@dataclass(slots=True)
class _Second:
    second: int
    asked: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Pause:
    until_s: float
    length_s: float
    why: str


class Availability:
    """What the answers of this process's own calls say about each deployment. Nothing here waits."""

    def __init__(
        self,
        deployments: Iterable[Deployment],
        *,
        monotonic_s: Callable[[], float],
        jitter: random.Random,
        is_kept: bool = True,
    ) -> None:
        """If it is not kept, everybody may be asked at any time, whatever was answered before."""
        self._is_kept = is_kept
        self._deployments = {each.id: each for each in deployments}
        self._monotonic_s = monotonic_s
        self._jitter = jitter
        self._breakers: defaultdict[DeploymentId, _Breaker] = defaultdict(_Breaker)
        self._open: set[DeploymentId] = set()  # not closed
        self._pauses: dict[DeploymentId | ProviderName, _Pause] = {}

    def reconfigured(
        self, deployments: Iterable[Deployment], *, changed: Collection[ProviderName], is_kept: bool
    ) -> None:
        """These are configured now. What is known of the same deployments stays, but for providers that `changed`."""
        before, self._deployments = self._deployments, {each.id: each for each in deployments}
        self._is_kept = is_kept
        for name in changed:
            self._pauses.pop(name, None)
        for each, deployment in before.items():
            now = self._deployments.get(each)
            if now is not None and now.upstream_model == deployment.upstream_model and now.provider.name not in changed:
                continue
            self._breakers.pop(each, None)
            self._open.discard(each)
            self._pauses.pop(each, None)

    # What decisions ask

    def paused(self) -> Mapping[DeploymentId, str]:
        """Who has said that it is not to be asked now, and what it said."""
        if not self._pauses:
            return _NOBODY
        now_s = self._monotonic_s()
        found: dict[DeploymentId, str] = {}
        for whose, pause in list(self._pauses.items()):
            if pause.until_s + _FORGIVEN_S <= now_s:
                del self._pauses[whose]  # long enough ago that the next pause is a first one
            if pause.until_s > now_s:
                text = f"{pause.why} It is left alone for {pause.until_s - now_s:.0f} s more"
                found.update(
                    (each, text) for each, its in self._deployments.items() if whose in (each, its.provider.name)
                )
        return found

    def broken(self) -> Mapping[DeploymentId, str]:
        """Who has failed too often lately, and is not to be tried just now."""
        if not self._open:
            return _NOBODY
        now_s = self._monotonic_s()
        return {
            each: "it failed too often lately and is being tried again"
            if self._breakers[each].state(now_s) is BreakerState.HALF_OPEN
            else f"it failed too often lately and is tried again in {self._left_s(each, now_s):.0f} s"
            for each in self._open
            if self._breakers[each].state(now_s) is BreakerState.OPEN or self._breakers[each].is_probed(now_s)
        }

    def pause_left_s(self, deployments: Iterable[DeploymentId]) -> float | None:
        """How long until the first of those that are paused may be asked; None if none is."""
        now_s = self._monotonic_s()
        left_s = [left for each in deployments if (left := self._pause_left_s(each, now_s)) > 0]
        return min(left_s, default=None)

    # What calls ask and tell

    def asking(self, deployment: Deployment) -> "Asking":
        """A call there: an UpstreamError says how it failed, another error nothing about the deployment, and the end
        in order that it answers."""
        return Asking(self, deployment)

    def may_be_asked(self, deployment: Deployment, *, is_last: bool) -> bool:
        """Whether a call may leave now; of a deployment that is tried again, only one at a time may.

        Where there is nobody else, a breaker's guess does not count, and a pause does.
        """
        now_s = self._monotonic_s()
        if self._pauses and self._pause_left_s(deployment.id, now_s) > 0:
            return False
        if deployment.id not in self._open:
            return True
        breaker = self._breakers[deployment.id]
        if breaker.state(now_s) is BreakerState.OPEN or breaker.is_probed(now_s):
            return is_last
        breaker.probe_until_s = now_s + _PROBE_S
        return True

    def succeeded(self, deployment: Deployment) -> None:
        now_s = self._monotonic_s()
        breaker = self._breakers[deployment.id]
        breaker.count(now_s, is_failure=False)
        pause = self._pauses.get(deployment.id) if self._pauses else None
        if pause is not None and pause.until_s <= now_s:  # else this call is older than its "not now"
            del self._pauses[deployment.id]
        if deployment.id in self._open:
            breaker.close(now_s)
            self._open.discard(deployment.id)
            log.warning("%s answers again", deployment.id)

    def failed(self, deployment: Deployment, error: UpstreamError) -> None:
        """A call has come to nothing: what that says depends on how."""
        if not self._is_kept:
            return
        match error.kind:
            case FailureKind.BUSY:
                self._pause(deployment.id, error.retry_after_s, _PAUSE_S, error.message)
            case FailureKind.ACCOUNT:
                self._pause(deployment.provider.name, error.retry_after_s, _ACCOUNT_PAUSE_S, error.message)
            case FailureKind.UNSENT | FailureKind.BROKEN:
                self._count_failure(deployment.id)
            case FailureKind.CALLERS | FailureKind.TOO_LONG | FailureKind.DECLINED:
                self.succeeded(deployment)  # it works: it is the request that does not fit it
        if error.kind in (FailureKind.BUSY, FailureKind.ACCOUNT):
            self._breakers[deployment.id].probe_until_s = None

    def cut(self, deployment: Deployment, error: UpstreamError) -> None:
        """A stream from there that had begun, which `asking` took for an answer, has broken off."""
        if error.kind is FailureKind.BROKEN:
            self._breakers[deployment.id].cut_in_a_row += 1
        self.failed(deployment, error)

    def completed(self, deployment: Deployment) -> None:
        """A stream from there has come to its end."""
        self._breakers[deployment.id].cut_in_a_row = 0

    def abandoned(self, deployment: Deployment) -> None:
        """A call ended without saying anything about its deployment: another may try it."""
        if deployment.id in self._open:
            self._breakers[deployment.id].probe_until_s = None

    def states(self) -> Mapping[DeploymentId, BreakerState]:
        """Of every deployment that was ever asked; for metrics."""
        now_s = self._monotonic_s()
        return {each: breaker.state(now_s) for each, breaker in self._breakers.items()}

    def _count_failure(self, deployment: DeploymentId) -> None:
        now_s = self._monotonic_s()
        breaker = self._breakers[deployment]
        breaker.count(now_s, is_failure=True)
        if breaker.state(now_s) is BreakerState.OPEN:
            return  # a call from before it opened, or one that had nobody else to ask
        if deployment in self._open or breaker.is_to_open():
            length_s = breaker.open(now_s)
            self._open.add(deployment)
            log.warning("%s fails too often: it is left alone for %.0f s", deployment, length_s)

    def _pause(self, whose: DeploymentId | ProviderName, told_s: float | None, first_s: float, why: str) -> None:
        """As long as it says, an hour at most; else at random within a time that doubles each time it says so again, so
        that not all come back at once. Who says "in a second" each second is left alone for that time as well: each
        request that learns it costs a retry."""
        now_s = self._monotonic_s()
        known = self._pauses.get(whose)
        is_again = known is not None and known.until_s <= now_s
        if known is None:
            length_s = first_s
        elif is_again:
            length_s = min(2 * known.length_s, max(_LONGEST_PAUSE_S, first_s))
        else:  # many were asked before the first of them answered
            length_s = known.length_s
        wait_s = length_s * (0.5 + 0.5 * self._jitter.random())
        if told_s:
            wait_s = min(max(told_s, wait_s if is_again else 0.0), _LONGEST_TOLD_S)
        until_s = now_s + wait_s
        if known is None or until_s > known.until_s:
            self._pauses[whose] = _Pause(until_s, length_s, why)

    def _pause_left_s(self, deployment: DeploymentId, now_s: float) -> float:
        provider = ProviderName(deployment.partition(":")[0])  # it may be configured no more
        pauses = (self._pauses.get(deployment), self._pauses.get(provider))
        return max((pause.until_s - now_s for pause in pauses if pause is not None), default=0.0)

    def _left_s(self, deployment: DeploymentId, now_s: float) -> float:
        return max((self._breakers[deployment].open_until_s or now_s) - now_s, 0.0)


class Asking:
    """The context of one call."""

    __slots__ = ("_availability", "_deployment")

    def __init__(self, availability: Availability, deployment: Deployment) -> None:
        self._availability = availability
        self._deployment = deployment

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._availability.succeeded(self._deployment)
        elif isinstance(error, UpstreamError):
            self._availability.failed(self._deployment, error)
        else:
            self._availability.abandoned(self._deployment)


_NOBODY: Mapping[DeploymentId, str] = {}


class RetryBudget:
    """How many calls beyond the first of each request may be made: a fifth of the requests, and a few to begin with.

    Without it, providers that all fail would be asked several times as much as when they work.
    """

    _SHARE = 0.2
    _RESERVE = 3.0
    _QUIET_S = 1.0  # without a request; under a flood nothing but the share is earned
    _REFILL_PER_S = 0.1  # while it is quiet, so that three failures do not leave a gateway with nothing for hours
    _MOST = 100.0

    def __init__(self, *, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._left = self._RESERVE
        self._last_request_s = monotonic_s()

    def earn(self) -> None:
        """A request has come."""
        now_s = self._monotonic_s()
        quiet_s = now_s - self._last_request_s
        self._last_request_s = now_s
        if quiet_s >= self._QUIET_S and self._left < self._RESERVE:
            self._left = min(self._left + quiet_s * self._REFILL_PER_S, self._RESERVE)
        self._left = min(self._left + self._SHARE, self._MOST)

    def spend(self) -> bool:
        """Whether one more call may be made; then it counts."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
