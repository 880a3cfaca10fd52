"""The gate of many processes: counters in Redis or Valkey; every step is one call that succeeds or changes nothing.

What Redis says is believed only while it is one and the same server process that has seen every step (an *epoch*). When
it is empty, restarted or replaced, nothing with a budget or a limit is let in until the counters are rebuilt: spent
from the ledger, held from the processes themselves. When it cannot be reached, nothing with a budget or a limit is let
in either, unless this process holds a slice of the budgets concerned; settlements wait here until they can be
delivered.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from router.errors import BudgetExhausted, PenstockError, Unavailable
from router.limits.asking import Functions, NoAnswer, Reply
from router.limits.calendar import Calendar, Span, Watched, from_us, purse_text, scope_text, to_us
from router.limits.deliveries import Deliveries
from router.limits.gate import Admission, Left, OwnBudgets, PaceLeft, Quota, Reservation, Scope, least, no_own_budgets
from router.limits.holdings import Correction, Departure, Hold, Holdings, UnderWay
from router.limits.link import Link
from router.limits.paces import Paces
from router.limits.rebuild import Peers, Rebuild, SpendingBooks
from router.limits.refusals import exhausted, never_fits, tokens_used_up, too_many_requests, too_many_under_way
from router.limits.slices import Slice, Slices, slice_prefix
from router.quotas import Budget, BudgetState, OutageAllowance, Per, ScopeId, ScopeKind, window

_log = logging.getLogger("penstock.redis")

_LEASE_US = 60_000_000
_LEAD_US = 30_000_000  # who leads a rebuilding and is not heard of for so long is replaced
# A process that lived when Redis was lost is waited for so long: as long as a lease, after which nobody can tell a
# machine that is cut off from one that burnt.
_PEER_PATIENCE_S = 60.0
_RENEW_S = 10.0
_REFRESH_S = 1.0
_PRUNE_S = 10.0
_PROVIDE_S = 1.0
_BEAT_S = 0.5  # well within the quarantine, so that every living process registers what it holds
_BEAT_UNTIL_OPEN_S = 0.2
_SLOW_S = 5.0  # for calls in the background that carry much
# Each failure of these has its reason, and mends it: a window has ended, the ledger's sums of one were not known.
_TRIES = 8

# Exact in the doubles that Lua reckons with; no budget comes near it, so a hold of more is refused by any.
_MOST_NANO_USD = 2**53


@dataclass(frozen=True, slots=True)
class Orphan:
    """A hold whose process has not been heard of for longer than its lease. It stays counted until it is resolved."""

    reservation_id: str
    held_nano_usd: int
    ended_s: float  # seconds since its lease ended


class RedisGate:
    """Holds and limits of every scope, shared by all processes that use the same Redis.

    `run` must be running for as long as the gate is used; `aclose` comes after.
    """

    outlives_process = True
    waits = True

    def __init__(
        self,
        functions: Functions,
        books: SpendingBooks,
        *,
        quotas: Iterable[Quota],
        monotonic_s: Callable[[], float],
        new_id: Callable[[], str],
        process: str,
        quarantine_s: float = 3.0,
        allowance: OutageAllowance | None = None,
        own_budgets: OwnBudgets = no_own_budgets,
    ) -> None:
        """`quotas` hold every scope that is known beforehand, and one with an empty name for those that are not.

        `process` is a name that no other process ever has. With an `allowance`, an outage can be survived for a while.
        """
        self._link = Link(functions, monotonic_s=monotonic_s)
        self._peers = Peers(functions, monotonic_s=monotonic_s, patience_s=_PEER_PATIENCE_S)
        self._rebuild = Rebuild(functions, books)
        self._quotas = tuple(quotas)
        self._own_budgets = own_budgets
        self._configured: dict[ScopeId, Quota] = {}  # once another configuration has come: what it has of each scope
        self._new_id = new_id
        self._process = process
        self._quarantine_s = quarantine_s
        self._calendar = Calendar()
        self._holdings = Holdings()
        self._deliveries = Deliveries(self._link, self._holdings, self._rebuild)
        self._slices = Slices(allowance, process=process)
        self._paces = Paces(monotonic_s)  # while Redis is away
        self._admissions = 0
        self._scopes: dict[ScopeId, Quota] = {}  # with budgets, seen so far; each in a quota of its own
        self._purses: set[str] = set()  # that this process counts
        self._untracked: set[str] = set()  # of these, what Redis does not know yet
        self._standings: dict[Span, tuple[int, int]] = {}  # spent and held
        self._book_the_dead: Callable[[], Awaitable[Collection[str]]] = _nobody_is_dead
        self._due_s = dict.fromkeys((self.renew, self.refresh, self._prune, self._provide), 0.0)
        for quota in self._quotas:
            self._see(quota)

    def reconfigured(self, quotas: Iterable[Quota]) -> None:
        """These are the budgets from now on. What was counted stays, and so do the purses that Redis was told of.

        What was spent in windows of new budgets Redis asks for when they are first used, as after any start.
        """
        self._quotas = tuple(quotas)
        seen, self._scopes = self._scopes, {}
        self._configured = {scope.id: Quota((scope,), quota.zone) for quota in self._quotas for scope in quota.scopes}
        for quota in self._quotas:
            self._see(quota)
        for scope in seen:
            its = self._configured.get(scope.as_configured)
            if scope.kind is ScopeKind.KEY and its is not None and (budgets := self._in_force(scope)):
                self._scopes[scope] = Quota((replace(its.scopes[0], id=scope, budgets=budgets),), its.zone)
        for slice_id in self._slices.let_go([each for each in self._slices.scopes() if each not in self._scopes]):
            self._holdings.to_settle[slice_id] = 0

    # What requests ask

    @property
    def is_open(self) -> bool:
        """Whether budgets and limits can be checked; False while Redis is away or its counters are rebuilt."""
        return self._link.is_open

    @property
    def can_pay(self) -> bool:
        """Whether a request with a budget may be let in: budgets can be checked, or slices are held for an outage."""
        link = self._link
        return link.is_open or (not link.is_answered and self._slices.can_pay_at(to_us(link.clock.now())))

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        limited = [scope for scope in quota.scopes if _is_limited(scope)]
        if not limited:
            return Admission(tuple(scope.id for scope in quota.scopes), tokens)
        try:
            return await self._admit(quota, limited, tokens)
        except Unavailable:
            if not self._slices.are_kept:
                raise
            # Each process counts by itself then: what limits guard is pace, not money.
            return self._paces.admit(quota, tokens=tokens)

    async def _admit(self, quota: Quota, limited: list[Scope], tokens: int) -> Admission:
        self._admissions += 1
        under_way = UnderWay(f"{self._process}.{self._admissions}", tuple(scope_text(scope.id) for scope in limited))
        told = [
            "" if item is None else item
            for scope in limited
            for item in (
                scope_text(scope.id),
                scope.limits.concurrent,
                scope.limits.requests_per_minute,
                scope.limits.tokens_per_minute,
            )
        ]
        epoch = self._link.require_open()
        try:
            reply = await self._link.ask("admit", epoch, under_way.id, tokens, _LEASE_US, *told)
        except (Unavailable, asyncio.CancelledError):
            self._holdings.departures[under_way.id] = Departure(under_way, tokens, 0)  # it may have been counted
            raise
        if reply[0] != "ok":
            raise self._rate_refusal(reply, limited, tokens)
        admission = Admission(tuple(scope.id for scope in quota.scopes), tokens, _left(limited, reply[2:]))
        self._holdings.under_way[admission] = under_way
        self._link.register_again_if_changed(epoch)
        return admission

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        under_way = self._holdings.under_way.pop(admission, None)
        if under_way is None:
            self._paces.leave(admission, tokens=tokens)
            return
        self._holdings.departures[under_way.id] = Departure(under_way, admission.tokens, tokens)
        if self._link.is_open:
            await self._deliveries.depart([under_way.id])

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        if not any(scope.budgets for scope in quota.scopes):
            return Reservation(reservation_id, nano_usd, ())
        known = self._holdings.holds.get(reservation_id)
        if known is not None:
            return known.reservation
        self._see(quota)
        try:
            if self._untracked:
                await self._track()
            for _ in range(_TRIES):
                watched = list(self._calendar.watched(quota, self._link.clock.now()))
                reservation = await self._reserve(watched, reservation_id, nano_usd)
                if reservation is not None:
                    return reservation
            raise self._link.unavailable()
        except Unavailable:
            # While counters are rebuilt nothing may begin that is not registered, and may be in the ledger by then.
            drawn = None if self._link.is_answered else self._draw(quota, reservation_id, nano_usd)
            if drawn is None:
                raise
            return drawn

    def still_holds(self, reservation: Reservation) -> bool:
        """Redis loses nothing for good as long as every process is heard within the quarantine."""
        hold = self._holdings.holds.get(reservation.id)
        if hold is None:
            return not reservation.windows
        last_s = max(hold.made_s, self._link.heard_s)
        return self._link.monotonic_s() - last_s <= self._quarantine_s or self._slices.covers(reservation.id)

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        """Never fails: what Redis does not confirm now is told it again in the background, until it does."""
        holdings = self._holdings
        if reservation.id in holdings.holds and reservation.id not in holdings.to_settle:
            holdings.to_settle[reservation.id] = nano_usd
            self._slices.spent(reservation.id, nano_usd)
            if self._link.is_open:
                await self._deliveries.settle([reservation.id])

    async def correct(self, quota: Quota, *, at: datetime, nano_usd: int) -> None:
        """The ledger must have been corrected before: counters that are rebuilt take the correction from there."""
        spans = _spans(quota, at)
        if spans:
            correction_id = self._new_id()
            self._holdings.corrections[correction_id] = Correction(spans, nano_usd)
            if self._link.is_open:
                await self._deliveries.correct(correction_id)

    def states(self) -> list[BudgetState]:
        """As of a second ago; nothing is asked."""
        now = self._link.clock.now()
        states: list[BudgetState] = []
        for each in self._tightest(now):
            spent, held = self._standings.get(each.span, (0, 0))
            limit = each.budget.limit_nano_usd
            states.append(BudgetState(each.scope, each.budget.per, limit, spent, held, each.window))
        return states

    # What the reconciler asks

    async def orphans(self, *, limit: int = 1_000) -> list[Orphan]:
        """Holds whose lease has ended, longest ago first. Raises Unavailable."""
        self._link.require_open()
        reply = (await self._link.ask("orphans", limit))[1:]
        return [
            Orphan(str(reply[at]), int(reply[at + 1]), int(reply[at + 2]) / 1_000_000) for at in range(0, len(reply), 3)
        ]

    async def resolve(self, reservation_id: str, *, nano_usd: int) -> None:
        """Raises Unavailable if Redis cannot be asked now; then it is to be tried again."""
        await self._must("settle", reservation_id, nano_usd)

    async def adopt(self, quota: Quota, *, reservation_id: str, at: datetime, nano_usd: int) -> None:
        """Never fails, as `settle`."""
        spans = _spans(quota, at)
        if spans:
            self._holdings.adoptions[reservation_id] = Correction(spans, nano_usd)
            if self._link.is_open:
                await self._deliveries.adopt(reservation_id)

    async def bury(self, process: str) -> None:
        """Raises as `resolve`."""
        await self._must("bury", process, slice_prefix(process))

    async def _must(self, function: str, *arguments: str | int) -> None:
        reply = await self._link.ask(function, self._link.require_open(), *arguments)
        if reply[0] != "ok":
            raise self._link.attach_again()

    # In the background

    async def run(self, book_the_dead: Callable[[], Awaitable[Collection[str]]]) -> None:
        """Keep in touch with Redis: leases, undelivered settlements, states, and rebuilding what it has lost.

        `book_the_dead` puts into the ledger what dead processes have left, before counters are rebuilt from it, and
        names them.
        """
        self._book_the_dead = book_the_dead
        while True:
            await self.beat()
            await self._link.wait(_BEAT_S if self._link.is_open else _BEAT_UNTIL_OPEN_S)

    async def aclose(self) -> None:
        """Deliver what can be delivered at once, and close the connections. Holds that are left become orphans."""
        for slice_id in self._slices.let_go(self._slices.scopes()):
            self._holdings.to_settle[slice_id] = 0
        await self.beat()
        if not self._holdings.holds:
            with suppress(NoAnswer):
                await self._link.functions.call("farewell", self._process)
        await self._link.functions.aclose()

    async def beat(self) -> None:
        """One round of `run`."""
        try:
            while await self._attach():
                pass
            if self._link.is_open:
                await self._deliveries.catch_up()
                await self._do_what_is_due()
        except NoAnswer as error:
            self._link.lost(error)
        except PenstockError as error:
            _log.warning("the budgets in Redis cannot be compared with the ledger (%s)", error.code)

    async def _do_what_is_due(self) -> None:
        for step, every_s in (
            (self.renew, _RENEW_S),
            (self.refresh, _REFRESH_S),
            (self._provide, _PROVIDE_S),
            (self._prune, _PRUNE_S),
        ):
            now_s = self._link.monotonic_s()
            if self._link.is_open and now_s >= self._due_s[step]:
                self._due_s[step] = now_s + every_s
                await step()

    async def renew(self) -> None:
        """Tell Redis that this process lives, and all that it holds. Raises NoAnswer."""
        holds = list(self._holdings.holds)
        under_way = [item for each in self._holdings.under_way.values() for s in each.scopes for item in (s, each.id)]
        if holds or under_way:
            await self._link.functions.call("renew", _LEASE_US, len(holds), *holds, *under_way, timeout_s=_SLOW_S)

    async def refresh(self) -> None:
        """Ask Redis where every known budget stands, for `states`. Raises NoAnswer."""
        for _ in range(_TRIES):
            spans = [each.span for each in self._tightest(self._link.clock.now())]
            if not spans or self._link.epoch is None:
                return
            told = [item for span in spans for item in span]
            reply = await self._link.functions.call("standing", self._link.epoch, *told, timeout_s=_SLOW_S)
            if reply[0] == "ok":
                sums = [int(each) for each in reply[2:]]
                self._standings = dict(zip(spans, zip(sums[::2], sums[1::2], strict=True), strict=True))
                return
            if reply[0] != "clock":
                self._link.attach_again()
                return
            self._link.clock.set(int(reply[1]))

    # One hold

    async def _reserve(self, watched: list[Watched], reservation_id: str, nano_usd: int) -> Reservation | None:
        """The hold; None if windows have ended meanwhile."""
        epoch = self._link.require_open()
        asked_s = self._link.monotonic_s()
        told = [item for each in watched for item in (*each.span, each.budget.limit_nano_usd)]
        try:
            reply = await self._link.ask(
                "reserve", epoch, reservation_id, min(nano_usd, _MOST_NANO_USD), _LEASE_US, *told
            )
        except (Unavailable, asyncio.CancelledError):
            # Redis may have set it aside, or still do so when it wakes: settled at nothing, it is gone and stays away.
            self._holdings.to_settle[reservation_id] = 0
            raise
        match reply[0]:
            case "ok":
                spans = tuple(dict.fromkeys(each.span for each in watched))
                windows = tuple(span.held() for span in spans)
                reservation = Reservation(reservation_id, nano_usd, windows, held_at=from_us(int(reply[1])))
                self._holdings.holds[reservation_id] = Hold(reservation, spans, asked_s)
                self._link.register_again_if_changed(epoch)
                return reservation
            case "clock":
                self._link.clock.set(int(reply[1]))
                return None
            case "exhausted":
                tightest = watched[int(reply[1])]
                raise exhausted(
                    tightest.scope,
                    tightest.budget,
                    asked_nano_usd=nano_usd,
                    left_nano_usd=int(reply[2]),
                    ends=tightest.window.ends,
                    now=from_us(int(reply[3])),
                )
            case "sums":
                await self._tell_sums_now(epoch, from_us(int(reply[1])), after_us=int(reply[2]))
                return None
            case "held" | "settled":
                raise Unavailable(f"The reservation {reservation_id} was made before. Send the request again.")
            case _:
                raise self._link.attach_again()

    def _draw(self, quota: Quota, reservation_id: str, nano_usd: int) -> Reservation | None:
        """Pay from what was set aside for an outage; None if that does not reach."""
        now = self._link.clock.now()
        spans = self._slices.draw(quota, reservation_id=reservation_id, nano_usd=nano_usd, now_us=to_us(now))
        if spans is None:
            return None
        # Should Redis have made the hold after all, and only its answer be late, then that one is settled.
        self._holdings.to_settle.pop(reservation_id, None)
        reservation = Reservation(reservation_id, nano_usd, tuple(span.held() for span in spans), held_at=now)
        self._holdings.holds[reservation_id] = Hold(reservation, spans, self._link.monotonic_s())
        return reservation

    async def _track(self) -> None:
        """Tell Redis of purses that were not known beforehand. Raises Unavailable."""
        fresh = set(self._untracked)
        await self._must("track", self._process, *fresh)
        self._untracked -= fresh

    async def _tell_sums_now(self, epoch: str, starts: datetime, *, after_us: int) -> None:
        """For a budget that was not known when this process began; the others are told in the background."""
        try:
            await self._rebuild.tell_sums(epoch, starts, after_us=after_us)
        except NoAnswer as error:
            raise self._link.unavailable() from error

    def _rate_refusal(self, reply: Reply, limited: list[Scope], tokens: int) -> PenstockError:
        if reply[0] not in ("concurrent", "requests", "tokens", "never"):
            return self._link.attach_again()
        scope, count, retry_after_s = limited[int(reply[1])], int(reply[2]), int(reply[3]) / 1_000_000
        refusals: dict[str, Callable[[], PenstockError]] = {
            "concurrent": lambda: too_many_under_way(scope, count),
            "requests": lambda: too_many_requests(scope, count, retry_after_s=retry_after_s),
            "tokens": lambda: tokens_used_up(scope, used=count, asked=tokens, retry_after_s=retry_after_s),
            "never": lambda: never_fits(scope, asked=tokens),
        }
        return refusals[str(reply[0])]()

    # Epochs

    async def _attach(self) -> bool:
        """Find out what Redis knows and tell it what it does not; True if something has changed by that.

        Raises NoAnswer, or a PenstockError if the ledger cannot be read.
        """
        link, asked_s = self._link, self._link.monotonic_s()
        reply = await link.functions.call("beat", self._process, _LEAD_US, _LEASE_US)
        link.is_answered = True
        state, epoch, now_us, leads, opens_in_us, *living = reply
        link.clock.set(int(now_us))
        if state == "lost":
            link.is_open = False
            await self._begin()
            return True
        if epoch != link.epoch:
            return await self._register(str(epoch), dead=await self._book_the_dead())
        if state == "open":
            if not link.is_open:
                await self._tell_untold(str(epoch))
            link.opened(str(epoch), asked_s)
            self._peers.seen(map(str, living))
            return False
        link.is_open = False
        if not leads:
            await self._begin()  # does nothing while the leader lives
            return False
        if int(opens_in_us) > 0 or await self._peers.are_awaited(str(epoch)):
            return False
        return await self._rebuild.open(str(epoch), {each.window.starts for each in self._windows(link.clock.now())})

    async def _begin(self) -> None:
        quarantine_us = round(self._quarantine_s * 1_000_000)
        await self._link.functions.call("begin", self._process, self._new_id(), quarantine_us, _LEAD_US)

    async def _register(self, epoch: str, *, dead: Iterable[str], is_compared: bool = False) -> bool:
        """Tell Redis all that this process holds; True if it has taken it."""
        self._link.is_open = False
        purses = set(self._purses)
        told = self._holdings.told_again(purses)
        corrections, adoptions = list(self._holdings.corrections), list(self._holdings.adoptions)
        reply = await self._link.functions.call(
            "register", epoch, _LEASE_US, int(is_compared), told, self._process, *dead, timeout_s=_SLOW_S
        )
        match reply[0]:
            case "rebuilding" | "open":
                self._holdings.registered(corrections=corrections, adoptions=adoptions, is_late=reply[0] == "open")
                self._link.epoch = epoch
                self._untracked -= purses
                return True
            case "compare":
                await self._prune()
                return await self._register(epoch, dead=dead, is_compared=True)
            case "sums":
                await self._rebuild.tell_sums(epoch, from_us(int(reply[1])), after_us=int(reply[2]))
                return await self._register(epoch, dead=dead, is_compared=is_compared)
            case _:
                return False

    async def _tell_untold(self, epoch: str) -> None:
        """Tell what the ledger says of windows that only this process knows, as after a change of configuration."""
        spans = dict.fromkeys(each.span for each in self._windows(self._link.clock.now()))
        reply = await self._link.functions.call("untold", epoch, *(item for span in spans for item in span))
        if reply[0] != "ok":
            return
        for starts_us in dict.fromkeys(reply[2:]):
            await self._rebuild.tell_sums(epoch, from_us(int(starts_us)), after_us=int(reply[1]))

    def _windows(self, now: datetime) -> Iterator[Watched]:
        """Of every purse that is known, the window that is open."""
        for quota in (*self._quotas, *self._scopes.values()):
            yield from self._calendar.watched(quota, now)

    # What is set aside for an outage

    async def _provide(self) -> None:
        """Hold a slice of every budget that has enough left, and let go of those that are not what they should be."""
        if not self._slices.are_kept:
            return
        now = self._link.clock.now()
        done_with = set(self._slices.settled(self._holdings.holds))
        for scope, quota in self._scopes.items():
            watched = list(self._calendar.watched(quota, now))
            left = self._left_nano_usd(watched)
            kept = self._slices.of(scope)
            if kept is not None:
                if not kept.drawn and not self._slices.is_kept(kept, watched, left_nano_usd=left, now_us=to_us(now)):
                    done_with.add(scope)
            elif size := self._slices.wanted(watched, left):
                await self._hold_slice(scope, watched, size)
        for slice_id in self._slices.let_go(done_with):
            self._holdings.to_settle[slice_id] = 0
        if done_with:
            self._link.wake()

    async def _hold_slice(self, scope: ScopeId, watched: list[Watched], nano_usd: int) -> None:
        slice_id = self._slices.next_id()
        try:
            reservation = await self._reserve(watched, slice_id, nano_usd)
        except (BudgetExhausted, Unavailable):
            return
        if reservation is not None:
            self._slices.put(scope, Slice(slice_id, nano_usd, self._holdings.holds[slice_id].spans))

    def _left_nano_usd(self, watched: Iterable[Watched]) -> int:
        """What the tightest of the budgets had left a second ago, besides what is held."""
        return min(
            (each.budget.limit_nano_usd - sum(self._standings.get(each.span, (0, 0))) for each in watched), default=0
        )

    # What is known without asking

    async def _prune(self) -> None:
        """Forget the settlements that the ledger has. Raises a PenstockError if it cannot be read."""
        booked = await self._rebuild.booked(tuple(self._holdings.recent))
        self._holdings.forget_booked(booked, now_s=self._link.monotonic_s())

    def _see(self, quota: Quota) -> None:
        for scope in quota.scopes:
            known = self._scopes.get(scope.id)
            if not scope.budgets or (known is not None and known.scopes[0].budgets == scope.budgets):
                continue
            purses = {purse_text(scope.id, budget.per) for budget in scope.budgets}
            self._untracked |= purses - self._purses
            self._purses |= purses
            if scope.id.name and self._is_configured(scope):
                self._scopes[scope.id] = Quota((scope,), quota.zone)

    def _is_configured(self, scope: Scope) -> bool:
        """Whether it is as in the configuration in force, and not as in one that a request began under.

        Before another one has come, everything is.
        """
        return not self._configured or self._in_force(scope.id) == scope.budgets

    def _in_force(self, scope: ScopeId) -> tuple[Budget, ...] | None:
        """Its budgets as they are configured, those of its own record included; None if it is configured no more."""
        its = self._configured.get(scope.as_configured)
        if its is None:
            return None
        own = self._own_budgets(scope.name) if scope.kind is ScopeKind.KEY and scope.name else ()
        return (*its.scopes[0].budgets, *own)

    def _tightest(self, now: datetime) -> list[Watched]:
        """Of every known scope and window the smallest budget."""
        tightest: dict[tuple[ScopeId, Per], Watched] = {}
        for quota in self._scopes.values():
            for each in self._calendar.watched(quota, now):
                known = tightest.setdefault((each.scope, each.budget.per), each)
                if each.budget.limit_nano_usd < known.budget.limit_nano_usd:
                    tightest[each.scope, each.budget.per] = each
        return list(tightest.values())


def _is_limited(scope: Scope) -> bool:
    limits = scope.limits
    return not (limits.concurrent is None and limits.requests_per_minute is None and limits.tokens_per_minute is None)


def _left(limited: list[Scope], counts: Reply) -> PaceLeft | None:
    """What is left by the counts of requests and tokens of each scope; None from a script that does not tell them."""
    if len(counts) != 2 * len(limited):
        return None
    requests: Left | None = None
    tokens: Left | None = None
    for scope, made, used in zip(limited, counts[::2], counts[1::2], strict=True):
        requests = least(requests, scope.limits.requests_per_minute, int(made))
        tokens = least(tokens, scope.limits.tokens_per_minute, int(used))
    return PaceLeft(requests, tokens)


def _spans(quota: Quota, at: datetime) -> tuple[Span, ...]:
    """The windows of the quota's budgets that hold that moment."""
    return tuple(
        dict.fromkeys(
            Span.of(scope.id, budget.per, window(budget.per, at, quota.zone))
            for scope in quota.scopes
            for budget in scope.budgets
        )
    )


async def _nobody_is_dead() -> Collection[str]:
    """Where `run` is not running, as in tests."""
    return ()
