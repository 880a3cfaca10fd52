"""How fast every scope goes, counted in this process: what the last minute saw, and what is under way."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from router.limits.gate import MINUTE_S, Admission, Left, PaceLeft, Quota, Scope, least
from router.limits.refusals import never_fits, tokens_used_up, too_many_requests, too_many_under_way
from router.quotas import ScopeId


@dataclass(slots=True)
class _Admitted:
    """A request of the last minute: at first what it was expected to use, in the end what it used."""

    at_s: float
    tokens: int


@dataclass(slots=True)
class _Pace:
    """What a scope did in the last minute, and is doing now."""

    admitted: deque[_Admitted] = field(default_factory=deque)  # oldest first
    tokens: int = 0  # of all that is in `admitted`
    under_way: dict[Admission, _Admitted] = field(default_factory=dict)

    def forget_until(self, until_s: float) -> None:
        while self.admitted and self.admitted[0].at_s <= until_s:
            self.tokens -= self.admitted.popleft().tokens

    def enter(self, admission: Admission, at_s: float) -> None:
        admitted = _Admitted(at_s, admission.tokens)
        self.under_way[admission] = admitted
        self.admitted.append(admitted)
        self.tokens += admission.tokens

    def leave(self, admission: Admission, tokens: int) -> None:
        admitted = self.under_way.pop(admission, None)
        if admitted is None:
            return
        if self.admitted and admitted.at_s >= self.admitted[0].at_s:  # still of the last minute
            self.tokens += tokens - admitted.tokens
        admitted.tokens = tokens


class Paces:
    """The pace of every scope seen so far. No method awaits anything, so each is atomic on the event loop."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._paces: dict[ScopeId, _Pace] = {}

    def admit(self, quota: Quota, *, tokens: int) -> Admission:
        """As `Gate.admit`."""
        now_s = self._monotonic_s()
        paces = [(scope, self._pace(scope.id)) for scope in quota.scopes]
        for scope, pace in paces:
            pace.forget_until(now_s - MINUTE_S)
            _check_concurrent(scope, pace)
            _check_requests(scope, pace, now_s)
            _check_tokens(scope, pace, now_s, tokens=tokens)
        requests_left: Left | None = None
        tokens_left: Left | None = None
        for scope, pace in paces:
            requests_left = least(requests_left, scope.limits.requests_per_minute, len(pace.admitted) + 1)
            tokens_left = least(tokens_left, scope.limits.tokens_per_minute, pace.tokens + tokens)
        left = PaceLeft(requests_left, tokens_left)
        admission = Admission(tuple([scope.id for scope in quota.scopes]), tokens, left)
        for _, pace in paces:
            pace.enter(admission, now_s)
        return admission

    def leave(self, admission: Admission, *, tokens: int) -> None:
        """As `Gate.leave`; one that was not admitted here changes nothing."""
        until_s = self._monotonic_s() - MINUTE_S
        for scope in admission.scopes:
            pace = self._pace(scope)
            pace.forget_until(until_s)
            pace.leave(admission, tokens)

    def _pace(self, scope: ScopeId) -> _Pace:
        pace = self._paces.get(scope)
        if pace is None:
            pace = self._paces[scope] = _Pace()
        return pace


def _check_concurrent(scope: Scope, pace: _Pace) -> None:
    limit = scope.limits.concurrent
    if limit is not None and len(pace.under_way) >= limit:
        raise too_many_under_way(scope, len(pace.under_way))


def _check_requests(scope: Scope, pace: _Pace, now_s: float) -> None:
    limit = scope.limits.requests_per_minute
    if limit is not None and len(pace.admitted) >= limit:
        retry_after_s = pace.admitted[0].at_s + MINUTE_S - now_s
        raise too_many_requests(scope, len(pace.admitted), retry_after_s=retry_after_s)


def _check_tokens(scope: Scope, pace: _Pace, now_s: float, *, tokens: int) -> None:
    limit = scope.limits.tokens_per_minute
    if limit is None or pace.tokens + tokens <= limit:
        return
    if tokens > limit:
        raise never_fits(scope, asked=tokens)
    retry_after_s = _room_at_s(pace, tokens, limit) - now_s
    raise tokens_used_up(scope, used=pace.tokens, asked=tokens, retry_after_s=retry_after_s)


def _room_at_s(pace: _Pace, tokens: int, limit: int) -> float:
    """When enough of the last minute's tokens are a minute old for `tokens`, at most `limit`, to fit."""
    used = pace.tokens
    at_s = 0.0
    for admitted in pace.admitted:
        if used + tokens <= limit:
            break
        used -= admitted.tokens
        at_s = admitted.at_s + MINUTE_S
    return at_s
