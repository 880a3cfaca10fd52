"""What a refusal says: the same words whichever gate refuses."""

from datetime import datetime

from router.errors import BudgetExhausted
from router.limits.gate import Left, PaceLeft, Scope, TooFast, TooManyTokens, TooManyUnderWay
from router.quotas import Budget, ScopeId, ScopeKind, WhenSpent
from router.units import usd_text


def who(scope: ScopeId) -> str:
    """A scope as messages name it: `team search`, `key 8f3a0b6cd1e2f495 of team search`."""
    if scope.kind is ScopeKind.TEAM:
        return f"team {scope.team}"
    return f"{scope.kind.value} {scope.name} of team {scope.team}"


def exhausted(
    scope: ScopeId, budget: Budget, *, asked_nano_usd: int, left_nano_usd: int, ends: datetime, now: datetime
) -> BudgetExhausted:
    """The budget with the least left is `budget`, and what was asked exceeds that."""
    left = max(left_nano_usd, 0)
    return BudgetExhausted(
        f"This request may cost ${usd_text(asked_nano_usd)} and {who(scope)} has ${usd_text(left)} left of its "
        f"${usd_text(budget.limit_nano_usd)} per {budget.per}; the window ends at {ends.isoformat()}. "
        "Send a smaller `max_tokens`, or ask the team's owner to raise the budget.",
        asked_nano_usd=asked_nano_usd,
        left_nano_usd=left,
        resets_in_s=(ends - now).total_seconds(),
        may_downgrade=budget.when_spent is WhenSpent.DOWNGRADE,
    )


def too_many_under_way(scope: Scope, under_way: int) -> TooManyUnderWay:
    return TooManyUnderWay(
        f"{_capitalised(scope)} has {under_way} requests under way and may have {scope.limits.concurrent}. "
        "Wait for one to end.",
        retry_after_s=1.0,  # a guess: nobody knows when one will end
        scope=scope,
    )


def too_many_requests(scope: Scope, requests: int, *, retry_after_s: float) -> TooFast:
    return TooFast(
        f"{_capitalised(scope)} made {requests} requests within a minute and may make "
        f"{scope.limits.requests_per_minute}. Slow down.",
        retry_after_s=retry_after_s,
        left=PaceLeft(_left(scope.limits.requests_per_minute, requests, retry_after_s), None),
    )


def tokens_used_up(scope: Scope, *, used: int, asked: int, retry_after_s: float) -> TooFast:
    return TooFast(
        f"{_capitalised(scope)} used {used} tokens within a minute; {asked} more exceed its "
        f"{scope.limits.tokens_per_minute}. Slow down.",
        retry_after_s=retry_after_s,
        left=PaceLeft(None, _left(scope.limits.tokens_per_minute, used, retry_after_s)),
    )


def _left(limit: int | None, used: int, reset_s: float) -> Left | None:
    return None if limit is None else Left(limit, max(limit - used, 0), reset_s)


def never_fits(scope: Scope, *, asked: int) -> TooManyTokens:
    return TooManyTokens(
        f"This request may use {asked} tokens and {who(scope.id)} may use {scope.limits.tokens_per_minute} per "
        "minute, so waiting does not help. Send a smaller `max_tokens` or prompt, or ask the team's owner to raise the "
        "limit."
    )


def _capitalised(scope: Scope) -> str:
    text = who(scope.id)
    return text[0].upper() + text[1:]
