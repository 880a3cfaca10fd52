"""The gate of many processes: counters in Redis or Valkey; every step is one call that succeeds or changes nothing.

What Redis says is believed only while it is one and the same server process that has seen every step (an *epoch*). When
it is empty, restarted or replaced, nothing with a budget or a limit is let in until the counters are rebuilt: spent
from the ledger, held from the processes themselves. When it cannot be reached, nothing with a budget or a limit is let
in either; settlements wait here until they can be delivered.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import anyio

from router.errors import PenstockError, Unavailable
from router.limits.calendar import Calendar, ServerClock, Span, Watched, from_us, scope_text, to_us
from router.limits.functions import BudgetFunctions, NoAnswer, Reply
from router.limits.gate import Admission, Quota, Reservation, Scope
from router.limits.holdings import Correction, Departure, Hold, Holdings, UnderWay
from router.limits.rebuild import Rebuild, SpendingBooks
from router.limits.refusals import exhausted, never_fits, tokens_used_up, too_many_requests, too_many_under_way
from router.quotas import BudgetState, Per, ScopeId, window

_log = logging.getLogger(__name__)

_LEASE_US = 60_000_000
_LEAD_US = 30_000_000  # who leads a rebuilding and is not heard of for so long is replaced
_RENEW_S = 10.0
_REFRESH_S = 1.0
_PRUNE_S = 10.0
_BEAT_S = 0.5  # well within the quarantine, so that every living process registers what it holds
_BEAT_UNTIL_OPEN_S = 0.2
_BATCH = 200
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

    def __init__(
        self,
        functions: BudgetFunctions,
        books: SpendingBooks,
        *,
        quotas: Iterable[Quota],
        monotonic_s: Callable[[], float],
        new_id: Callable[[], str],
        quarantine_s: float = 3.0,
    ) -> None:
        """`quotas` hold every scope that is known beforehand, and one with an empty name for those that are not."""
        self._functions = functions
        self._rebuild = Rebuild(functions, books)
        self._quotas = tuple(quotas)
        self._monotonic_s = monotonic_s
        self._new_id = new_id
        self._process = new_id()
        self._quarantine_us = round(quarantine_s * 1_000_000)
        self._clock = ServerClock(monotonic_s)
        self._calendar = Calendar()
        self._holdings = Holdings()
        self._epoch: str | None = None  # in which everything that this process holds is registered
        self._is_open = False
        self._woken = anyio.Event()
        self._admissions = 0
        self._scopes: dict[ScopeId, Quota] = {}  # with budgets, seen so far; each in a quota of its own
        self._standings: dict[Span, tuple[int, int]] = {}  # spent and held
        self._untold: set[datetime] = set()  # starts of windows that Redis wants the ledger's sums of
        self._due_s = dict.fromkeys((self.renew, self.refresh, self._prune), 0.0)
        for quota in self._quotas:
            self._see(quota)

    # What requests ask

    @property
    def is_open(self) -> bool:
        """Whether budgets and limits can be checked; False while Redis is away or its counters are rebuilt."""
        return self._is_open

    async def admit(self, quota: Quota, *, tokens: int) -> Admission:
        limited = [scope for scope in quota.scopes if _is_limited(scope)]
        admission = Admission(tuple(scope.id for scope in quota.scopes), tokens)
        if not limited:
            return admission
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
        epoch = self._require_open()
        try:
            reply = await self._ask("admit", epoch, under_way.id, tokens, _LEASE_US, *told)
        except (Unavailable, asyncio.CancelledError):
            self._holdings.departures[under_way.id] = Departure(under_way, tokens, 0)  # it may have been counted
            raise
        if reply[0] != "ok":
            raise self._rate_refusal(reply, limited, tokens)
        self._holdings.under_way[admission] = under_way
        self._register_again_if_changed(epoch)
        return admission

    async def leave(self, admission: Admission, *, tokens: int) -> None:
        under_way = self._holdings.under_way.pop(admission, None)
        if under_way is not None:
            self._holdings.departures[under_way.id] = Departure(under_way, admission.tokens, tokens)
            if self._is_open:
                await self._depart([under_way.id])

    async def reserve(self, quota: Quota, *, reservation_id: str, nano_usd: int) -> Reservation:
        if not any(scope.budgets for scope in quota.scopes):
            return Reservation(reservation_id, nano_usd, ())
        known = self._holdings.holds.get(reservation_id)
        if known is not None:
            return known.reservation
        self._see(quota)
        for _ in range(_TRIES):
            watched = list(self._calendar.watched(quota, self._clock.now()))
            reservation = await self._reserve(watched, reservation_id, nano_usd)
            if reservation is not None:
                return reservation
        raise self._unavailable()

    async def settle(self, reservation: Reservation, *, nano_usd: int) -> None:
        """Never fails: what Redis does not confirm now is told it again in the background, until it does."""
        holdings = self._holdings
        if reservation.id in holdings.holds and reservation.id not in holdings.to_settle:
            holdings.to_settle[reservation.id] = nano_usd
            if self._is_open:
                await self._settle([reservation.id])

    async def correct(self, quota: Quota, *, at: datetime, nano_usd: int) -> None:
        """The ledger must have been corrected before: counters that are rebuilt take the correction from there."""
        spans = {
            Span.of(scope.id, budget.per, window(budget.per, at, quota.zone))
            for scope in quota.scopes
            for budget in scope.budgets
        }
        if spans:
            correction_id = self._new_id()
            self._holdings.corrections[correction_id] = Correction(tuple(spans), nano_usd)
            if self._is_open:
                await self._correct(correction_id)

    def states(self) -> list[BudgetState]:
        """As of a second ago; nothing is asked."""
        now = self._clock.now()
        return [
            BudgetState(
                each.scope, each.budget.per, each.budget.limit_nano_usd, *self._standings.get(each.span, (0, 0))
            )
            for each in self._tightest(now)
        ]

    # What the reconciler asks

    async def orphans(self, *, limit: int = 1_000) -> list[Orphan]:
        """Holds whose lease has ended, longest ago first. Raises Unavailable."""
        self._require_open()
        reply = (await self._ask("orphans", limit))[1:]
        return [
            Orphan(str(reply[at]), int(reply[at + 1]), int(reply[at + 2]) / 1_000_000) for at in range(0, len(reply), 3)
        ]

    async def resolve(self, reservation_id: str, *, nano_usd: int) -> None:
        """Raises Unavailable if Redis cannot be asked now; then it is to be tried again."""
        reply = await self._ask("settle", self._require_open(), reservation_id, nano_usd)
        if reply[0] != "ok":
            raise self._attach_again()

    # In the background

    async def run(self) -> None:
        """Keep in touch with Redis: leases, undelivered settlements, states, and rebuilding what it has lost."""
        while True:
            await self.beat()
            with anyio.move_on_after(_BEAT_S if self._is_open else _BEAT_UNTIL_OPEN_S):
                await self._woken.wait()
            self._woken = anyio.Event()

    async def aclose(self) -> None:
        """Deliver what can be delivered at once, and close the connections. Holds that are left become orphans."""
        await self.beat()
        await self._functions.aclose()

    async def beat(self) -> None:
        """One round of `run`."""
        try:
            while await self._attach():
                pass
            if self._is_open:
                await self._catch_up()
        except NoAnswer as error:
            if self._is_open:
                _log.warning("Redis does not answer: %s", error)
            self._is_open = False
        except PenstockError as error:
            _log.warning("the budgets in Redis cannot be compared with the ledger: %s", error.message)

    async def renew(self) -> None:
        """Tell Redis that this process lives, and all that it holds. Raises NoAnswer."""
        holds = list(self._holdings.holds)
        under_way = [item for each in self._holdings.under_way.values() for s in each.scopes for item in (s, each.id)]
        if holds or under_way:
            await self._functions.call("renew", _LEASE_US, len(holds), *holds, *under_way, timeout_s=_SLOW_S)

    async def refresh(self) -> None:
        """Ask Redis where every known budget stands, for `states`. Raises NoAnswer."""
        for _ in range(_TRIES):
            spans = [each.span for each in self._tightest(self._clock.now())]
            if not spans or self._epoch is None:
                return
            told = [item for span in spans for item in span]
            reply = await self._functions.call("standing", self._epoch, *told, timeout_s=_SLOW_S)
            if reply[0] == "ok":
                sums = [int(each) for each in reply[2:]]
                self._standings = dict(zip(spans, zip(sums[::2], sums[1::2], strict=True), strict=True))
                return
            if reply[0] != "clock":
                self._attach_again()
                return
            self._clock.set(int(reply[1]))

    # One hold

    async def _reserve(self, watched: list[Watched], reservation_id: str, nano_usd: int) -> Reservation | None:
        """The hold; None if windows have ended meanwhile."""
        epoch = self._require_open()
        told = [item for each in watched for item in (*each.span, each.budget.limit_nano_usd)]
        try:
            reply = await self._ask("reserve", epoch, reservation_id, min(nano_usd, _MOST_NANO_USD), _LEASE_US, *told)
        except (Unavailable, asyncio.CancelledError):
            # Redis may have set it aside, or still do so when it wakes: settled at nothing, it is gone and stays away.
            self._holdings.to_settle[reservation_id] = 0
            raise
        match reply[0]:
            case "ok":
                spans = tuple(dict.fromkeys(each.span for each in watched))
                reservation = Reservation(reservation_id, nano_usd, tuple(span.held() for span in spans))
                self._holdings.holds[reservation_id] = Hold(reservation, spans)
                self._register_again_if_changed(epoch)
                return reservation
            case "clock":
                self._clock.set(int(reply[1]))
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
                await self._tell_sums_now(epoch, from_us(int(reply[1])))
                return None
            case "held" | "settled":
                raise Unavailable(f"The reservation {reservation_id} was made before. Send the request again.")
            case _:
                raise self._attach_again()

    async def _tell_sums_now(self, epoch: str, starts: datetime) -> None:
        """For a budget that was not known when this process began; the others are told in the background."""
        try:
            await self._rebuild.tell_sums(epoch, starts)
        except NoAnswer as error:
            raise self._unavailable() from error

    def _rate_refusal(self, reply: Reply, limited: list[Scope], tokens: int) -> PenstockError:
        if reply[0] not in ("concurrent", "requests", "tokens", "never"):
            return self._attach_again()
        scope, count, retry_after_s = limited[int(reply[1])], int(reply[2]), int(reply[3]) / 1_000_000
        refusals: dict[str, Callable[[], PenstockError]] = {
            "concurrent": lambda: too_many_under_way(scope, count),
            "requests": lambda: too_many_requests(scope, count, retry_after_s=retry_after_s),
            "tokens": lambda: tokens_used_up(scope, used=count, asked=tokens, retry_after_s=retry_after_s),
            "never": lambda: never_fits(scope, asked=tokens),
        }
        return refusals[str(reply[0])]()

    # Whether Redis can be asked

    def _require_open(self) -> str:
        """The epoch. Raises Unavailable at once while Redis is away: it is the background that tries again."""
        if not self._is_open or self._epoch is None:
            raise self._unavailable()
        return self._epoch

    async def _ask(self, function: str, *arguments: str | int) -> Reply:
        try:
            return await self._functions.call(function, *arguments)
        except NoAnswer as error:
            if self._is_open:
                _log.warning("Redis does not answer: %s", error)
            self._is_open = False
            self._wake()
            raise self._unavailable() from error

    def _attach_again(self) -> Unavailable:
        """Redis is not in the epoch that this process knows: nothing is asked before the background has seen to it."""
        self._is_open = False
        self._wake()
        return self._unavailable()

    def _register_again_if_changed(self, epoch: str) -> None:
        """The answer came when the next epoch had begun already: what it gave is not registered there."""
        if self._epoch != epoch:
            self._epoch = None
            self._attach_again()

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            "Budgets and limits cannot be checked now, so nothing that has any is let through. Try again soon."
        )

    def _wake(self) -> None:
        self._woken.set()

    # Epochs

    async def _attach(self) -> bool:
        """Find out what Redis knows and tell it what it does not; True if something has changed by that.

        Raises NoAnswer, or a PenstockError if the ledger cannot be read.
        """
        state, epoch, now_us, leads, opens_at_us = await self._functions.call("beat", self._process, _LEAD_US)
        self._clock.set(int(now_us))
        if state == "lost":
            self._is_open = False
            await self._begin()
            return True
        if epoch != self._epoch:
            return await self._register(str(epoch))
        if state == "open":
            if not self._is_open:
                await self._tell_untold(str(epoch))
            self._is_open = True
            return False
        self._is_open = False
        if not leads:
            await self._begin()  # does nothing while the leader lives
            return False
        return int(now_us) >= int(opens_at_us) and await self._rebuild.open(epoch, self._window_starts())

    async def _begin(self) -> None:
        await self._functions.call("begin", self._process, self._new_id(), self._quarantine_us, _LEAD_US)

    async def _register(self, epoch: str, *, is_compared: bool = False) -> bool:
        """Tell Redis all that this process holds; True if it has taken it."""
        self._is_open = False
        told = self._holdings.told_again()
        corrections = list(self._holdings.corrections)
        reply = await self._functions.call("register", epoch, _LEASE_US, int(is_compared), told, timeout_s=_SLOW_S)
        match reply[0]:
            case "rebuilding" | "open":
                for each in corrections:  # the ledger has them
                    self._holdings.corrections.pop(each, None)
                self._epoch = epoch
                return True
            case "compare":
                await self._prune()
                return await self._register(epoch, is_compared=True)
            case "sums":
                await self._rebuild.tell_sums(epoch, from_us(int(reply[1])))
                return await self._register(epoch, is_compared=is_compared)
            case _:
                return False

    async def _tell_untold(self, epoch: str) -> None:
        """Tell what the ledger says of windows that only this process knows, as after a change of configuration."""
        reply = await self._functions.call("untold", epoch, *(to_us(starts) for starts in self._window_starts()))
        for starts_us in reply[1:]:
            await self._rebuild.tell_sums(epoch, from_us(int(starts_us)))

    def _window_starts(self) -> set[datetime]:
        now = self._clock.now()
        starts = {each.window.starts for quota in self._quotas for each in self._calendar.watched(quota, now)}
        return starts | {each.window.starts for each in self._tightest(now)}

    # What is still to be told

    async def _catch_up(self) -> None:
        holdings = self._holdings
        while self._is_open and holdings.to_settle:
            await self._settle(list(islice(holdings.to_settle, _BATCH)))
        for each in list(holdings.corrections):
            await self._correct(each)
        await self._depart(list(holdings.departures))
        for starts in list(self._untold):
            await self._rebuild.tell_sums(self._require_open(), starts)
            self._untold.discard(starts)
        for step, every_s in ((self.renew, _RENEW_S), (self.refresh, _REFRESH_S), (self._prune, _PRUNE_S)):
            now_s = self._monotonic_s()
            if self._is_open and now_s >= self._due_s[step]:
                self._due_s[step] = now_s + every_s
                await step()

    async def _settle(self, reservation_ids: list[str]) -> None:
        told = [item for each in reservation_ids for item in (each, self._holdings.to_settle[each])]
        with suppress(Unavailable):
            reply = await self._ask("settle", self._require_open(), *told)
            if reply[0] != "ok":
                self._attach_again()
                return
            for reservation_id, outcome in zip(reservation_ids, reply[1:], strict=True):
                self._holdings.settled(reservation_id, is_known=outcome != "unknown", now_s=self._monotonic_s())

    async def _correct(self, correction_id: str) -> None:
        correction = self._holdings.corrections.get(correction_id)
        if correction is None:  # delivered meanwhile
            return
        told = [item for span in correction.spans for item in span]
        with suppress(Unavailable):
            reply = await self._ask("correct", self._require_open(), correction_id, correction.nano_usd, *told)
            if reply[0] in ("ok", "again"):
                self._holdings.corrections.pop(correction_id, None)
            elif reply[0] == "sums":
                self._untold.add(from_us(int(reply[1])))
                self._wake()
            else:
                self._attach_again()

    async def _depart(self, ids: list[str]) -> None:
        for each in ids:
            departure = self._holdings.departures.get(each)
            if departure is None:  # delivered meanwhile
                continue
            with suppress(Unavailable):
                await self._ask(
                    "leave", each, departure.expected_tokens, departure.used_tokens, *departure.under_way.scopes
                )
                self._holdings.departures.pop(each, None)
            if not self._is_open:
                return

    async def _prune(self) -> None:
        """Forget the settlements that the ledger has. Raises a PenstockError if it cannot be read."""
        booked = await self._rebuild.booked(tuple(self._holdings.recent))
        self._holdings.forget_booked(booked, now_s=self._monotonic_s())

    # Metrics

    def _see(self, quota: Quota) -> None:
        for scope in quota.scopes:
            if scope.budgets and scope.id.name:
                self._scopes[scope.id] = Quota((scope,), quota.zone)

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
