"""Money held beforehand, to go on with while Redis is out of reach: the `Slices` of one process.

A slice is an ordinary hold on the budgets of one scope. While Redis is away, calls are paid from slices; when it is
back, each of them is told of by itself, and then the slice is let go. As the sum was held all the time, nothing is
overspent by it. A slice is kept only as long as ten times as much is left besides, so that the end of a budget is not
lost to those who hold slices of it.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from router.limits.calendar import Span, Watched
from router.limits.gate import Quota
from router.quotas import OutageAllowance, ScopeId

_LEFT_BESIDES = 10  # times the slice: a judgement


def slice_prefix(process: str) -> str:
    """What the ids of that process's slices begin with, and of no other hold."""
    return f"{process}.slice."


@dataclass(slots=True)
class Slice:
    """A hold that was not made for a call."""

    id: str
    nano_usd: int
    spans: tuple[Span, ...]
    drawn: dict[str, int] = field(default_factory=dict)  # by reservation: what it holds of this, or has cost

    @property
    def left_nano_usd(self) -> int:
        return self.nano_usd - sum(self.drawn.values())

    def is_open_at(self, now_us: int) -> bool:
        """Whether no window that it is held in has ended."""
        return all(span.starts_us <= now_us < span.ends_us for span in self.spans)


class Slices:
    """By scope, at most one. Without an allowance there are none."""

    def __init__(self, allowance: OutageAllowance | None, *, process: str) -> None:
        self._allowance = allowance
        self._prefix = slice_prefix(process)
        self._of: dict[ScopeId, Slice] = {}
        self._made = 0

    @property
    def are_kept(self) -> bool:
        return self._allowance is not None

    def of(self, scope: ScopeId) -> Slice | None:
        return self._of.get(scope)

    def scopes(self) -> list[ScopeId]:
        """Whose slices there are."""
        return list(self._of)

    def can_pay_at(self, now_us: int) -> bool:
        """Whether something is left in a slice. What asks for more than that is refused all the same."""
        return any(each.is_open_at(now_us) and each.left_nano_usd > 0 for each in self._of.values())

    def covers(self, reservation_id: str) -> bool:
        """Whether that call is paid from slices."""
        return any(reservation_id in each.drawn for each in self._of.values())

    def wanted(self, watched: Sequence[Watched], left_nano_usd: int) -> int:
        """How large a slice of these budgets of one scope should be; 0 if too little is left, or none is kept."""
        if self._allowance is None or not watched:
            return 0
        size = min(self._allowance.slice_of(each.budget.limit_nano_usd) for each in watched)
        return size if left_nano_usd >= (1 + _LEFT_BESIDES) * size else 0

    def is_kept(self, kept: Slice, watched: Sequence[Watched], *, left_nano_usd: int, now_us: int) -> bool:
        """Whether a slice that nothing was drawn from is still what it should be."""
        spans = tuple(dict.fromkeys(each.span for each in watched))
        is_same = spans == kept.spans and kept.is_open_at(now_us)
        return is_same and not kept.drawn and left_nano_usd >= _LEFT_BESIDES * kept.nano_usd

    def next_id(self) -> str:
        self._made += 1
        return f"{self._prefix}{self._made}"

    def put(self, scope: ScopeId, made: Slice) -> None:
        self._of[scope] = made

    def draw(self, quota: Quota, *, reservation_id: str, nano_usd: int, now_us: int) -> tuple[Span, ...] | None:
        """Take the sum from the slices of all scopes that have budgets: the windows it is held in, or None."""
        slices = [self._of.get(scope.id) for scope in quota.scopes if scope.budgets]
        usable = [each for each in slices if each and each.is_open_at(now_us) and each.left_nano_usd >= nano_usd]
        if len(usable) < len(slices):
            return None
        for each in usable:
            each.drawn[reservation_id] = nano_usd
        return tuple(dict.fromkeys(span for each in usable for span in each.spans))

    def spent(self, reservation_id: str, nano_usd: int) -> None:
        """What a call that was drawn has cost in the end."""
        for each in self._of.values():
            if reservation_id in each.drawn:
                each.drawn[reservation_id] = nano_usd

    def let_go(self, scopes: Iterable[ScopeId]) -> list[str]:
        """Forget the slices of these scopes: their ids, which are to be settled at nothing."""
        return [self._of.pop(scope).id for scope in scopes]

    def settled(self, unconfirmed: Collection[str]) -> list[ScopeId]:
        """Scopes whose slice has been drawn from, by calls that Redis has all been told of."""
        return [
            scope
            for scope, each in self._of.items()
            if each.drawn and not any(reservation_id in unconfirmed for reservation_id in each.drawn)
        ]
