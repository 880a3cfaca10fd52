"""Who is asked next when a call has failed: `Failover`, for one request's candidates in their order."""

import random
from collections import deque
from collections.abc import Iterable, Sequence

from router.decision.eligibility import Candidate
from router.errors import FailureKind, UpstreamBusy, UpstreamError
from router.upstream.breaker import Availability, RetryBudget

_MOST_PASSES = 3
_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 2.0  # for a deployment that says "not now": longer, and the client is told to come back

# After these the same deployments may be asked again a little later.
_PASSING = frozenset({FailureKind.UNSENT, FailureKind.BUSY, FailureKind.BROKEN})


class Failover:
    """One pass through the candidates. Each is asked once at most."""

    def __init__(self, candidates: Sequence[Candidate], availability: Availability, retries: RetryBudget) -> None:
        self._candidates = candidates
        self._left = deque(candidates)
        self._passed_over: list[Candidate] = []  # they fail, or are being tried by another request
        self._availability = availability
        self._retries = retries
        self._least_context_tokens = 0
        self._has_asked = False

    def next(self, *, is_first_call: bool) -> Candidate | None:
        """The next to ask; None if nobody is left, or no more calls may be made. Who is named counts as being asked."""
        while self._left:
            each = self._left.popleft()
            if each.deployment.context_tokens < self._least_context_tokens:
                continue
            if not self._availability.may_be_asked(each.deployment, is_last=False):
                self._passed_over.append(each)
            elif self._may_call(each, is_first_call=is_first_call):
                return each
        if self._has_asked:
            return None
        for each in self._passed_over:  # that they fail is a guess, and there is nobody else
            if self._availability.may_be_asked(each.deployment, is_last=True):
                return each if self._may_call(each, is_first_call=is_first_call) else None
        return None

    def failed(self, candidate: Candidate, error: UpstreamError) -> None:
        """That one came to nothing: who may be asked instead depends on how."""
        if error.kind is FailureKind.CALLERS:
            self._left.clear()
        elif error.kind is FailureKind.TOO_LONG:
            self._least_context_tokens = candidate.deployment.context_tokens + 1
        else:
            # What has failed once is likelier to fail again than who was not asked, however hard it is to think.
            twins = [each for each in self._left if each.deployment.id == candidate.deployment.id]
            if twins:
                others = [each for each in self._left if each.deployment.id != candidate.deployment.id]
                self._left = deque((*others, *twins))

    def nobody(self) -> UpstreamBusy:
        """Everybody has said when to come again, and that is later."""
        left_s = self._availability.pause_left_s(each.deployment.id for each in self._candidates)
        return UpstreamBusy((each.deployment.id for each in self._candidates), retry_after_s=left_s or 1.0)

    def _may_call(self, candidate: Candidate, *, is_first_call: bool) -> bool:
        self._has_asked = True
        if is_first_call or self._retries.spend():
            return True
        self._availability.abandoned(candidate.deployment)
        self._left.clear()
        return False


def once_more(
    candidates: Sequence[Candidate], failures: Iterable[tuple[Candidate, UpstreamError]]
) -> tuple[Candidate, ...]:
    """Those that may be asked again after these failures: not who cannot serve the request, nor who may bill it."""
    left = list(candidates)
    for failed, error in failures:
        if error.kind is FailureKind.TOO_LONG:
            left = [each for each in left if each.deployment.context_tokens > failed.deployment.context_tokens]
        elif error.kind not in _PASSING or error.may_be_owed:
            left = [each for each in left if each.deployment.id != failed.deployment.id]
    return tuple(left)


def wait_s(error: UpstreamError, *, passes: int, pause_left_s: float | None, jitter: random.Random) -> float | None:
    """How long to wait before the candidates are asked once more; None if that would be in vain, or might be billed.

    At random between nothing and a time that doubles ("full jitter"), so that those who failed together do not come
    back together; and not before the first that is paused may be asked.
    """
    if passes >= _MOST_PASSES or error.kind not in _PASSING or error.may_be_owed:
        return None
    least_s = pause_left_s if error.kind is FailureKind.BUSY and pause_left_s is not None else 0.0
    if least_s > _LONGEST_WAIT_S:
        return None
    return least_s + jitter.uniform(0, _FIRST_WAIT_S * 2 ** (passes - 1))
