"""Who waits for the requests of his own team to end: `Queues`, in front of a gate.

A team may have `queue` requests wait, for `queue_s` at most, instead of being refused at once where `concurrent` are
under way. They come in the order in which they came; who comes while others wait goes behind them. Each process has
queues of its own: among several it is each one's first who tries.
"""

from collections import deque

import anyio

from router.limits.gate import Admission, Gate, Quota, Scope, TooManyUnderWay
from router.limits.refusals import too_many_under_way
from router.quotas import ScopeId

_LOOK_S = 0.25  # between two tries of a first in line whom nobody has called: another process's request may have ended


class Queues:
    """Lets requests in as its gate does, once they can be."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._lines: dict[ScopeId, deque[_Waiting]] = {}  # only such as somebody stands in
        self.waiting = 0

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        """As `Gate.admit`, if need be after a while."""
        if self._lines:
            for scope in quota.scopes:
                if scope.id in self._lines:
                    return await self._wait(scope, quota, tokens)
        try:
            return await self._gate.admit(quota, tokens=tokens)
        except TooManyUnderWay as refusal:
            if not refusal.scope.limits.queue:
                raise
            return await self._wait(refusal.scope, quota, tokens)

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        """As `Gate.leave`; then it is the turn of whoever waits for it."""
        await self._gate.leave(admission, tokens=tokens)
        if self._lines:
            for scope in admission.scopes:
                self._call_first(scope)

    async def _wait(self, scope: Scope, quota: Quota, tokens: int) -> Admission:
        line = self._lines.get(scope.id) or deque()
        if len(line) >= scope.limits.queue:
            raise too_many_under_way(scope, scope.limits.concurrent or 0)
        self._lines[scope.id] = line
        me = _Waiting()
        line.append(me)
        self.waiting += 1
        try:
            with anyio.move_on_after(scope.limits.queue_s):
                while True:
                    await me.called()
                    if line[0] is me:
                        try:
                            return await self._gate.admit(quota, tokens=tokens)
                        except TooManyUnderWay:
                            continue
        finally:
            self.waiting -= 1
            line.remove(me)
            if not line:
                del self._lines[scope.id]
            self._call_first(scope.id)  # there may be room for more than one
        raise too_many_under_way(scope, scope.limits.concurrent or 0)

    def _call_first(self, scope: ScopeId) -> None:
        line = self._lines.get(scope)
        if line:
            line[0].call()


class _Waiting:
    """A place in a line."""

    def __init__(self) -> None:
        self._call = anyio.Event()

    def call(self) -> None:
        self._call.set()

    async def called(self) -> None:
        """Returns when called, or after a while."""
        with anyio.move_on_after(_LOOK_S):
            await self._call.wait()
        self._call = anyio.Event()
