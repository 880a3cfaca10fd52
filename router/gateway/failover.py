"""Who is asked next when a call has failed: `Failover`, for one request's candidates in their order."""

from collections import deque
from collections.abc import Sequence

from router.decision.eligibility import Candidate
from router.errors import FailureKind, Unavailable, UpstreamError
from router.gateway.health import Health, RetryBudget

# After these the same deployments may be asked again a little later.
_PASSING = frozenset({FailureKind.UNSENT, FailureKind.BUSY, FailureKind.BROKEN})


class Failover:
    """One pass through the candidates. Each is asked once at most."""

    def __init__(self, candidates: Sequence[Candidate], health: Health, retries: RetryBudget) -> None:
        self._candidates = candidates
        self._left = deque(candidates)
        self._passed_over: list[Candidate] = []  # they fail, or are being tried by another request
        self._health = health
        self._retries = retries
        self._least_context_tokens = 0
        self._has_asked = False

    def next(self, *, is_first_call: bool) -> Candidate | None:
        """The next to ask; None if nobody is left, or no more calls may be made. Who is named counts as being asked."""
        while self._left:
            each = self._left.popleft()
            if each.deployment.context_tokens < self._least_context_tokens:
                continue
            if not self._health.may_be_asked(each.deployment, is_last=False):
                self._passed_over.append(each)
            elif self._may_call(each, is_first_call=is_first_call):
                return each
        if self._has_asked:
            return None
        for each in self._passed_over:  # that they fail is a guess, and there is nobody else
            if self._health.may_be_asked(each.deployment, is_last=True):
                return each if self._may_call(each, is_first_call=is_first_call) else None
        return None

    def failed(self, candidate: Candidate, error: UpstreamError) -> None:
        """That one came to nothing."""
        self._health.failed(candidate.deployment, error)
        if error.kind is FailureKind.CALLERS:
            self._left.clear()
        elif error.kind is FailureKind.TOO_LONG:
            self._least_context_tokens = candidate.deployment.context_tokens + 1

    def nobody(self) -> Unavailable:
        """Everybody has said when to come again, and that is later."""
        left_s = self._health.pause_left_s(each.deployment for each in self._candidates)
        error = Unavailable(
            "Every model that may serve this request is busy, or our credit at its provider is used up for now: "
            f"{', '.join(dict.fromkeys(each.deployment.id for each in self._candidates))}. Try again later."
        )
        error.code = "upstream_busy"
        error.retry_after_s = 1.0 if left_s is None else max(left_s, 1.0)
        return error

    def _may_call(self, candidate: Candidate, *, is_first_call: bool) -> bool:
        self._has_asked = True
        if is_first_call or self._retries.spend():
            return True
        self._health.abandoned(candidate.deployment)
        self._left.clear()
        return False


def may_pass(error: BaseException) -> bool:
    """Whether the same request may be answered a little later, and nothing can be owed for the call that failed."""
    return isinstance(error, UpstreamError) and error.kind in _PASSING and not error.may_be_owed
