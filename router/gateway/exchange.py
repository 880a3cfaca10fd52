"""One request from admission to settlement: `Exchange`.

The response object in `server` enters it as a context manager. Leaving it settles every hold and books the request,
exactly once, shielded from cancellation, whoever hung up and wherever it broke.
"""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, suppress
from itertools import count
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from router.apis import Api
from router.catalog.catalog import ProviderName
from router.decision.eligibility import Candidate
from router.decision.recorded import profile_json
from router.errors import (
    BudgetExhausted,
    CallerError,
    PenstockError,
    Unavailable,
    UpstreamBroken,
    UpstreamBusy,
    UpstreamError,
    UpstreamTimeout,
)
from router.gateway.answer import StreamedAnswer, Take, takes_nothing
from router.gateway.cache import Recall, Remembered
from router.gateway.call import Call, last_usage
from router.gateway.dispatch import Gateway
from router.gateway.escalation import better_candidates, has_better, must_pass, second_opinions
from router.gateway.failover import Failover, once_more, wait_s
from router.gateway.planning import Plan
from router.gateway.prompts import Kept
from router.gateway.settlement import baseline_nano_usd
from router.keys import Caller
from router.ledger import Attempt, LedgerEntry, Outcome
from router.limits.gate import Admission, PaceLeft, Quota, TooFast
from router.quality.verify import Verdict, Verifier
from router.storage.journal import End, Head, Intent, JournalUnwritable, Sent
from router.telemetry.tracing import RequestTrace
from router.tokens.prefix import session_id
from router.units import Usage, nano_usd
from router.upstream.client import MAX_BODY_BYTES, UpstreamReply
from router.upstream.orders import Orders
from router.upstream.outgoing import outgoing_body, spoken_to
from router.wire.answers import Answer
from router.wire.controls import Controls
from router.wire.dialect import Dialect
from router.wire.events import is_utf8
from router.wire.requests import ModelRequest

_MOST_CALLS = 4  # providers asked for one request before it fails: a judgement; each costs the client its waiting time
# Calls that broke off after they were sent may each be billed, so a second one ends the request.
_MOST_IN_DOUBT = 2
_LAST_CALL_S = 600.0  # no call begins later: estimates hold for the prices of a quarter of an hour
_PIECE_BYTES = 64 * 1024
_INLINE_BODY_BYTES = 256 * 1024  # longer answers are put into the client's form in a thread
_BLANK_LINE = b"\n\n"  # ends an event


class Exchange:
    """A request under way. `open` it; then it has a `body`, or a `stream` to relay."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        caller: Caller,
        request: ModelRequest,
        controls: Controls,
        request_id: str,
        received_s: float,
        trace_id: str | None = None,  # of the trace that the client's request belongs to
        trace: RequestTrace | None = None,  # None: nobody records traces
        shadow: Plan | None = None,  # this is a copy, planned already, that nobody waits for (gateway/shadow.py)
    ) -> None:
        self.request = request
        self.request_id = request_id
        self.client_is_gone = False  # before it had everything
        self.is_cut_off = False  # by us, as this process stops
        self.body: bytes | None = None  # of a whole answer
        self.recall: Recall | None = None  # the cache's part in it
        self._gateway = gateway
        self._caller = caller
        self._controls = controls
        self._received_s = received_s
        self._trace_id = trace_id
        self._trace = trace
        self._shadow = shadow
        self._plan: Plan | None = None
        self._admission: Admission | None = None
        self._calls: list[Call] = []
        self._refusal: PenstockError | None = None
        self._first_byte_s: float | None = None
        self._stream: StreamedAnswer | None = None
        self._collecting: StreamedAnswer | None = None  # one that is verified, while it is collected
        self._collected: bytes | None = None  # the events of a stream that is verified before the client gets it
        self._kept: Kept | None = None  # what is to be kept of it, where its team opts in
        self._is_replayed = False  # all of these have been handed over
        self._verdict: Verdict | None = None
        self._recorded: tuple[Plan, bytes, bytes] | None = None  # a plan, its profile and its conditions as JSON
        self._at_baseline: tuple[Usage, int | None] | None = None  # what was used, and what that would have cost

    async def __aenter__(self) -> Self:
        self._gateway.in_flight += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._closes_at_once:
                await self._close()
            else:
                with anyio.CancelScope(shield=True):
                    await self._close()
        finally:
            self._gateway.in_flight -= 1

    @property
    def _closes_at_once(self) -> bool:
        """Whether nothing is waited for to close the books: then no cancellation can come in between, and a shield, a
        fiftieth of the whole request, is not needed."""
        if self._gateway.gate.waits or self._stream is not None or self.recall is not None:
            return False
        return None not in [call.charge for call in self._calls]

    @property
    def dialect(self) -> Dialect:
        """How its client is talked to."""
        return self._gateway.dialects[self.request.api]

    @property
    def config_version(self) -> str:
        """Of the configuration it is carried under, whatever is in force by now."""
        return self._gateway.config_version

    @property
    def comment_every_s(self) -> float:
        """How often who waits for the first event of a stream gets a comment."""
        return self._gateway.snapshot.settings.streams.comment_every_s

    @property
    def plan(self) -> Plan | None:
        return self._plan

    @property
    def pace_left(self) -> PaceLeft | None:
        """What is left of the limits per minute; None if none was asked, or nobody told."""
        if self._admission is not None:
            return self._admission.left
        return self._refusal.left if isinstance(self._refusal, TooFast) else None

    @property
    def answered(self) -> Call | None:
        """The call whose answer the client gets."""
        for call in self._calls:  # asked many times a request: a generator would cost three times as much
            if call.is_answered:
                return call
        return None

    @property
    def found(self) -> Remembered | None:
        """The answer as it was given before, if that is what the client gets."""
        return None if self.recall is None else self.recall.found

    @property
    def verdict(self) -> Verdict | None:
        """What the policy's checks say of the answer; None if it was not verified."""
        return self._verdict

    @property
    def cost_nano_usd(self) -> int | None:
        """What the request cost, or None while a call is not settled."""
        total = 0
        for call in self._calls:
            if call.charge is None:
                return None
            total += call.charge.nano_usd
        return total

    @property
    def saved_nano_usd(self) -> int | None:
        """What the baseline would have cost more; None if that is not known."""
        cost, baseline = self.cost_nano_usd, self._baseline_nano_usd()
        return None if cost is None or baseline is None else baseline - cost

    async def plan_only(self) -> Plan:
        """The decision for a dry run: nothing is held, sent or booked."""
        plan = await self._planned()
        plan.require_choice()
        return plan

    async def _planned(self) -> Plan:
        caller = self._caller
        return await self._gateway.planner.plan(caller.team, self.request, self._controls, scope=caller.scope)

    async def open(self) -> None:
        """Decide, hold, send, until a provider has answered: wholly, or with the beginning of a stream.

        Raises CallerError (nothing was sent) or UpstreamError (nobody answered; failed calls are booked all the same).
        """
        plan = self._plan = self._shadow or await self._planned()
        prompts = self._gateway.prompts
        if plan.team.prompts is not None and prompts is not None and self._shadow is None:
            self._kept = prompts.of(plan.team, self.request, self.request_id)
        try:
            plan.require_choice()
            self._gateway.retries.earn()
            quota = self._gateway.quotas.of(self._caller, plan.profile.tags)
            self._admission = await self._gateway.queues.admit(quota, tokens=_tokens_expected(plan))
            if await self._was_answered_before(plan):
                return
            await self._ask_candidates(quota, plan)
            await self._verify(quota)
        except PenstockError as error:
            self._refusal = error
            raise

    async def _was_answered_before(self, plan: Plan) -> bool:
        """Whether the team's cache has the answer; then it is this one's."""
        if self._shadow is not None:
            return False
        self.recall = self._gateway.cache.recall(plan.team, self.request, self._controls, self._caller.scope)
        found = None if self.recall is None else await self.recall.look()
        if found is None:
            return False
        if self.request.is_stream:
            self._collected = found.content
        else:
            self.body = found.content
        self._first_byte_s = self._gateway.monotonic_s()
        return True

    def stream(self, take: Take = takes_nothing) -> AsyncGenerator[bytes]:
        """The answer's events for the client; ends with `[DONE]`, or with an error event if it broke off.

        What comes may be offered to `take` first: only what that leaves is yielded.
        """
        if self._collected is not None:
            return self._replay(self._collected)
        assert self._stream is not None
        if self._kept is not None:
            take = self._kept.noting(take)
        if self.recall is None:
            events = self._stream.events(request_id=self.request_id, take=take)
        else:
            events = self.recall.noting(self._stream.events(request_id=self.request_id))
        return events if self._kept is None else self._kept.noted(events)

    def error_event(self, error: PenstockError) -> bytes:
        """The last event for a client that has been promised a stream."""
        if self._stream is not None:
            return self._stream.broken(error, request_id=self.request_id)
        return self.dialect.error_event(error, request_id=self.request_id)

    @property
    def has_ended(self) -> bool:
        """The last event of the stream has been handed over: nothing may follow it."""
        return self._is_replayed or (self._stream is not None and self._stream.has_ended)

    async def _replay(self, events: bytes) -> AsyncGenerator[bytes]:
        """A stream that was collected, in pieces that no client's buffer minds, each of whole events."""
        start = 0
        while start < len(events):
            blank = events.rfind(_BLANK_LINE, start, start + _PIECE_BYTES)
            if blank < 0:
                blank = events.find(_BLANK_LINE, start)
            end = len(events) if blank < 0 else blank + len(_BLANK_LINE)
            self._is_replayed = end == len(events)
            yield events[start:end]
            start = end

    async def give_up(self) -> None:
        """Nobody gets the rest of a stream: it is closed now if that stops its bill."""
        stream = self._stream or self._collecting
        if stream is not None:
            await stream.give_up()

    async def _ask_candidates(self, quota: Quota, plan: Plan) -> None:
        """Ask in the order of the decision; then, where budget and policy say so, cheaper models; then shorter answers.

        Raises what the last of these was refused with.
        """
        try:
            return await self._ask_in_order(quota, plan.decision.ranked)
        except BudgetExhausted as error:
            denied = error
        if denied.may_downgrade:
            plan = self._plan = self._gateway.planner.downgraded(plan)
            try:
                return await self._ask_in_order(quota, plan.decision.ranked)
            except BudgetExhausted as error:
                denied = error
        shorter = plan.shortened(left_nano_usd=denied.left_nano_usd)
        if not shorter:
            raise denied
        return await self._ask_in_order(quota, shorter)

    async def _ask_in_order(self, quota: Quota, candidates: tuple[Candidate, ...]) -> None:
        """Ask one after the other until one answers; those that fail in a way that passes, again a little later."""
        availability, jitter = self._gateway.availability, self._gateway.jitter
        failed: UpstreamError | None = None
        for passes in count(1):
            try:
                await self._ask_each_once(quota, candidates)
            except UpstreamError as error:
                failed = error
            except UpstreamBusy:
                if failed is None:
                    raise
                raise failed from None  # nobody could be asked once more: what was answered says more
            else:
                return
            candidates = once_more(candidates, self._failures())
            left_s = availability.pause_left_s(each.deployment.id for each in candidates)
            pause_s = wait_s(failed, passes=passes, pause_left_s=left_s, jitter=jitter)
            if pause_s is None or not candidates or self._has_tried_enough():
                raise failed
            await self._gateway.sleep(pause_s)
            if self._has_tried_enough():  # its client has gone meanwhile
                raise failed

    async def _ask_each_once(self, quota: Quota, candidates: tuple[Candidate, ...]) -> None:
        """What does not fit the budget is passed over for a cheaper one, and so is what does not fit the request's
        ceiling any more after calls that failed and may be billed."""
        assert self._plan is not None
        failover = Failover(candidates, self._gateway.availability, self._gateway.retries)
        denied: BudgetExhausted | None = None
        failed: UpstreamError | None = None
        while (each := failover.next(is_first_call=not self._calls)) is not None:
            candidate = self._plan.within_ceiling(each, spent_nano_usd=self._spent_nano_usd())
            if candidate is None:
                self._gateway.availability.abandoned(each.deployment)
                continue
            try:
                return await self._ask(quota, candidate)
            except BudgetExhausted as error:
                denied = denied or error
            except UpstreamError as error:
                failed = error
                failover.failed(candidate, error)
                if self._has_tried_enough():
                    break
        if failed is not None:
            failed.tried = tuple(call.candidate.deployment.id for call in self._calls)
            raise failed
        raise denied or failover.nobody()

    async def _ask(self, quota: Quota, candidate: Candidate) -> None:
        """Hold, send, and wait for the answer or its beginning; a call that failed is settled as far as that is known.

        Raises BudgetExhausted or Unavailable (nothing was sent), or UpstreamError.
        """
        with self._gateway.availability.asking(candidate.deployment):
            body = self._body_for(candidate)
            call = await self._held(quota, candidate)
            try:
                await self._send(call, body)
            except UpstreamError as error:
                call.error = error
                await self._end(call)
                raise

    def _body_for(self, candidate: Candidate) -> bytes:
        assert self._plan is not None
        conversation = self._controls.session_id or session_id(self.request, self._plan.profile.prefix)
        orders = Orders(candidate.effort, self._plan.decision.terms.data, conversation)
        return outgoing_body(self.request, candidate.deployment, candidate.estimate, orders=orders)

    async def _verify(self, quota: Quota) -> None:
        """Put the answer to the policy's checks, and as long as it fails one, ask a better model, as often as allowed.

        Raises nothing: if there is nobody better, or no money for them, the client gets the last answer all the same.
        """
        assert self._plan is not None
        terms = self._plan.decision.terms
        checks = terms.checks_for(self._plan.profile)
        if not checks or self.client_is_gone:  # half an answer says nothing of its model
            return
        verifier = Verifier(checks, self.request, self._gateway.parsers)
        for left in range(terms.max_escalations, -1, -1):
            call = self.answered
            assert call is not None
            said = self._said()
            verdict = verifier.verdict(said)
            is_first = verifier.wants_second_opinion and left == terms.max_escalations
            if is_first and verdict.failed is None and has_better(self._plan, call.candidate):
                await self._end(call)
                verdict = verifier.compared(verdict, said, await self._second_opinion(quota, self._plan, call))
            call.verdict = self._verdict = verdict
            is_good = verdict.passed if must_pass(self._plan, call.candidate) else verdict.failed is None
            if is_good or not left:
                return
            await self._end(call)
            if not await self._ask_better(quota, self._plan, call):
                return

    def _said(self) -> Sequence[Answer]:
        """What the answer that there is says."""
        dialect, events = self.dialect, self._collected
        return dialect.said(self.body or b"") if events is None else dialect.said_in_events(events)

    async def _second_opinion(self, quota: Quota, plan: Plan, first: Call) -> Sequence[Answer]:
        """What another cheap model says to the same, booked like every call; nothing if none could be asked.

        The client's answer stays the first.
        """
        kept = (self.body, self._collected, self._first_byte_s)
        opinions = second_opinions(
            plan,
            on=first.candidate,
            asked=[call.candidate.id for call in self._calls],
            spent_nano_usd=self._spent_nano_usd(),
        )
        opinion = await self._ask_first(quota, opinions)
        if opinion is None:
            return ()
        opinion.is_answered, opinion.is_opinion = False, True
        said = self._said()
        self.body, self._collected, self._first_byte_s = kept
        await self._end(opinion)
        return said

    async def _ask_better(self, quota: Quota, plan: Plan, failed: Call) -> bool:
        """Whether a better model has given another answer in place of one that failed a check."""
        better = better_candidates(
            plan,
            than=failed.candidate,
            asked=[call.candidate.id for call in self._calls],
            spent_nano_usd=self._spent_nano_usd(),
        )
        if await self._ask_first(quota, better) is None:
            return False
        failed.is_answered = False
        return True

    async def _ask_first(self, quota: Quota, candidates: Iterable[Candidate]) -> Call | None:
        """The call of the first of these that answers, beside an answer that there is; None if nobody does."""
        for candidate in candidates:
            if self._has_tried_enough():
                return None
            if not self._gateway.availability.may_be_asked(candidate.deployment, is_last=False):
                continue
            try:
                await self._ask(quota, candidate)
            except (BudgetExhausted, UpstreamError):
                continue
            except PenstockError:  # the journal cannot be written, or the counters are closed
                return None
            else:
                return self._calls[-1]
        return None

    def _failures(self) -> list[tuple[Candidate, UpstreamError]]:
        return [(call.candidate, call.error) for call in self._calls if call.error is not None]

    def _has_tried_enough(self) -> bool:
        in_doubt = sum(1 for call in self._calls if call.error is not None and call.error.may_be_owed)
        is_old = self._gateway.monotonic_s() - self._received_s > _LAST_CALL_S
        return self.client_is_gone or is_old or len(self._calls) >= _MOST_CALLS or in_doubt >= _MOST_IN_DOUBT

    def _spent_nano_usd(self) -> int:
        """What the calls so far have cost, or may have."""
        return sum([call.charge_so_far().nano_usd for call in self._calls])

    async def _held(self, quota: Quota, candidate: Candidate) -> Call:
        call_id = f"{self.request_id}.{len(self._calls) + 1}"
        if self._gateway.gate.outlives_process:  # else nobody has to let go of a hold for a call that never left
            self._gateway.journal.write(Intent(call_id), request_id=self.request_id)
        reservation = await self._gateway.gate.reserve(
            quota, reservation_id=call_id, nano_usd=candidate.estimate.worst_nano_usd
        )
        call = Call(candidate, reservation, started_s=self._gateway.monotonic_s())
        if self._trace is not None:
            call.trace_headers = self._trace.attempt(call_id, after_s=call.started_s - self._received_s)
        self._calls.append(call)
        return call

    async def _send(self, call: Call, body: bytes) -> None:
        is_stream = self.request.is_stream
        await self._gateway.journal_durably(Sent(self._entry_if_lost(call)), request_id=self.request_id)
        if not self._gateway.gate.still_holds(call.reservation):
            raise Unavailable("This process was held up, and the money may not be set aside any more. Send it again.")
        call.is_sent = True
        provider = call.candidate.deployment.provider.name
        spoken = spoken_to(self.request, call.candidate.deployment)
        if is_stream:
            # As anyio.fail_after, at half its price.
            with anyio.CancelScope(deadline=anyio.current_time() + self._patience_s(provider)) as patience:
                reply = await self._gateway.client.ask(
                    call.candidate.deployment, spoken, body, is_stream=True, more_headers=call.trace_headers
                )
                self._name_generation(call, reply.generation_id)
                if reply.is_stream:
                    await self._begin_stream(call, reply, spoken, patience)
                else:
                    await self._read_whole(call, reply, spoken)
            if patience.cancelled_caught:
                raise UpstreamTimeout(f"{provider} did not answer in time.", provider=provider)
        else:
            reply = await self._gateway.client.ask(
                call.candidate.deployment, spoken, body, is_stream=False, more_headers=call.trace_headers
            )
            self._name_generation(call, reply.generation_id)
            await self._read_whole(call, reply, spoken)
        call.is_answered = True
        self._first_byte_s = self._gateway.monotonic_s()

    def _patience_s(self, provider: ProviderName) -> float:
        """How long until a stream has begun."""
        assert self._plan is not None
        first_token_s = self._plan.policy.first_token_timeout_s
        patience_s = self._gateway.client.patience_s(provider, is_stream=True)
        return patience_s if first_token_s is None else min(patience_s, first_token_s)

    async def _read_whole(self, call: Call, reply: UpstreamReply, spoken: Api) -> None:
        provider = call.candidate.deployment.provider.name
        try:  # as aclosing
            body = await reply.body()
        finally:
            await reply.aclose()
        facts = self._gateway.facts[spoken](body)
        if facts is None:
            raise UpstreamBroken(f"{provider} answered with something other than a completion.", provider=provider)
        self._name_generation(call, facts.generation_id)
        call.served_model = facts.model
        call.finish_reason = facts.finish_reason
        call.bill = facts.bill
        if facts.error is not None:
            raise self._gateway.reader.error(facts.error, provider=provider, has_begun=bool(facts.choices))
        if not facts.choices:
            raise UpstreamBroken(f"{provider} answered without any choice.", provider=provider)
        call.ended_s = self._gateway.monotonic_s()
        try:
            self.body, self._collected = await self._as_asked(body, spoken), None
        except ValueError as error:  # it was answered, and so it may be billed
            what = "answered with something that cannot be read"
            raise UpstreamBroken(f"{provider} {what}.", provider=provider) from error

    async def _as_asked(self, body: bytes, spoken: Api) -> bytes:
        """A whole answer as the client gets it. Megabytes take milliseconds, which belong to other requests.

        Raises ValueError if no client could read it.
        """
        if len(body) <= _INLINE_BODY_BYTES:
            return self._in_form(body, spoken)
        return await anyio.to_thread.run_sync(self._in_form, body, spoken)

    def _in_form(self, body: bytes, spoken: Api) -> bytes:
        if not is_utf8(body):  # a decoder does not look into the strings that it skips
            raise ValueError("not UTF-8")
        whole = self.dialect.whole(body, self.request, spoken)
        if self.request.is_stream:
            self.dialect.as_stream(whole)  # now somebody else can still be asked, and when it is sent, nobody
        return whole

    @property
    def _collects(self) -> bool:
        """Whether a streamed answer is verified, and therefore collected, before the client gets it."""
        assert self._plan is not None
        return self.request.is_stream and bool(self._plan.decision.terms.checks_for(self._plan.profile))

    async def _begin_stream(self, call: Call, reply: UpstreamReply, spoken: Api, patience: anyio.CancelScope) -> None:
        provider = call.candidate.deployment.provider.name
        editor = self.dialect.editor(self.request, spoken, call.candidate.estimate.input_tokens)
        stream = StreamedAnswer(
            reply, editor, provider=provider, reader=self._gateway.reader, drains=self._gateway.drains
        )
        try:
            await stream.begin()
        finally:
            self._name_generation(call, stream.generation_id)
            call.bill = stream.bill
        call.first_token_s = self._gateway.monotonic_s() - call.started_s
        if self._collects:
            whole_s = self._gateway.client.patience_s(provider, is_stream=False)
            patience.deadline = max(patience.deadline, anyio.current_time() - call.first_token_s + whole_s)
            self._collecting = stream
            try:
                self._collected, self.body = await self._all_of(call, stream), None
            finally:
                self._collecting = None
        else:
            self._stream = stream

    async def _all_of(self, call: Call, stream: StreamedAnswer) -> bytes:
        """The whole stream as the client will get it. Raises UpstreamError if it breaks off; it may be owed then."""
        provider = call.candidate.deployment.provider.name
        events: list[bytes] = []
        size = 0
        try:
            async with aclosing(stream.events(request_id=self.request_id)) as chunks:
                async for chunk in chunks:
                    events.append(chunk)
                    size += len(chunk)
                    if size > MAX_BODY_BYTES:
                        raise UpstreamBroken(f"{provider} sent more than {MAX_BODY_BYTES} bytes.", provider=provider)
        finally:
            with anyio.CancelScope(shield=True):
                await stream.finish()
            self._name_generation(call, stream.generation_id)
            call.served_model, call.bill = stream.served_model, stream.bill
            call.finish_reason = stream.finish_reason
            call.ended_s = self._gateway.monotonic_s()
        if stream.cut is not None:
            # Whatever the error says of itself: an answer had begun, and some providers bill what they have sent.
            raise UpstreamBroken(stream.cut.message, provider=provider) from stream.cut
        return b"".join(events)

    def _name_generation(self, call: Call, generation_id: str | None) -> None:
        """Remember what the provider calls this call: by that name its record can be asked for."""
        if call.generation_id is not None or generation_id is None:
            return
        call.generation_id = generation_id
        try:  # noqa: SIM105 - suppress costs a microsecond, and this is done for each request
            self._gateway.journal.write(Head(call.id, generation_id), request_id=self.request_id)
        except JournalUnwritable:  # the call is under way: all that can be lost is a way to ask about it
            pass

    async def _end(self, call: Call) -> None:
        """The call has failed, and another may follow: what is known of its cost is settled now."""
        call.ended_s = self._gateway.monotonic_s()
        await self.settle_told()
        if call.charge is not None:
            with suppress(JournalUnwritable):  # the entry of the whole request repeats it
                self._gateway.journal.write(End(call.attempt()), request_id=self.request_id)

    # Settling. From here on nothing is raised: whatever is not known is booked at the sum held.

    async def settle_told(self) -> None:
        """Settle the calls whose cost has been told; what must be asked for waits until the client has its answer."""
        assert self._plan is not None
        for call in self._calls:
            if call.charge is None:
                profile = self._plan.profile
                charge = call.charge_told(
                    self._plan.conditions.now, images=profile.images, one_hour_cache=profile.asks_one_hour_cache
                )
                if charge is not None:
                    call.charge = charge
                    await self._gateway.gate.settle(call.reservation, nano_usd=charge.nano_usd)

    async def _close(self) -> None:
        """Settle and book. Whatever should be raised on the way, no hold, slot or entry is left behind."""
        if self._plan is None:
            return
        try:
            await self._finish_stream()
            await self.settle_told()
            await self._settle_in_doubt()
        finally:
            now_s = self._gateway.monotonic_s()
            for call in self._calls:
                call.ended_s = now_s if call.ended_s is None else call.ended_s
                if call.charge is None:
                    call.charge = call.charge_held()
                    await self._gateway.gate.settle(call.reservation, nano_usd=call.charge.nano_usd)
            if self._admission is not None:
                await self._gateway.queues.leave(self._admission, tokens=self._tokens_used(self._admission))
            outcome = self._outcome()
            if self._calls or self._shadow is None:  # a copy that was never sent is no request of anybody's
                entry = self._entry(self._plan, outcome, ended_s=now_s)
                self._gateway.books.book(entry, self._plan.profile)
                if self._trace is not None:
                    self._trace.end(entry)
                if self._kept is not None and entry.outcome is not Outcome.REFUSED:
                    self._keep(self._kept)
        if outcome is Outcome.OK:
            await self._keep_for_others()
            self._gateway.copy_to_shadow(self._gateway, self._plan, self.request, self._caller, self.request_id)

    def _keep(self, kept: Kept) -> None:
        """Have what was asked and answered kept, as the team wants it. A stream was noted as it was relayed."""
        assert self._plan is not None
        assert self._gateway.prompts is not None
        whole = self.body if self._collected is None else self._collected
        if whole is not None and self._stream is None:
            kept.note(whole)
        self._gateway.prompts.put(kept, self._plan.conditions.now)

    async def _keep_for_others(self) -> None:
        """Have the team's cache keep the answer, if it may."""
        if self.recall is None:
            return
        answered, plan = self.answered, self._plan
        if answered is None or plan is None or answered.charge is None:
            return
        if self._verdict is not None and self._verdict.failed is not None:
            return
        if self._verdict is not None and must_pass(plan, answered.candidate) and not self._verdict.passed:
            return
        if plan.is_downgraded or answered.candidate not in plan.decision.ranked:
            return  # money was short: a better or longer answer is to be had when it is not
        its, worth = answered.candidate.deployment, self._baseline_nano_usd()
        measured_by = (its.model.name, answered.charge.nano_usd)
        if worth is not None and plan.baseline is not None:
            measured_by = (plan.baseline, worth)
        kept = self._collected
        if kept is None and self.body is not None:  # the provider may have answered whole who wanted a stream
            kept = self.dialect.as_stream(self.body) if self.request.is_stream else self.body
        await self.recall.keep(
            kept,
            finish_reason=answered.finish_reason,
            request_id=self.request_id,
            served_by=(its.model.name, its.provider.name),
            baseline=measured_by,
        )

    async def _settle_in_doubt(self) -> None:
        for call in self._calls:
            if call.charge is None:
                call.ended_s = call.ended_s or self._gateway.monotonic_s()  # asking for the record is not its duration
                call.charge = await call.charge_recorded(self._gateway.client, self._gateway.sleep)
                await self._gateway.gate.settle(call.reservation, nano_usd=call.charge.nano_usd)

    async def _finish_stream(self) -> None:
        stream = self._stream
        if stream is None:
            return
        call = self.answered
        if call is None:
            return
        await stream.finish()
        self._name_generation(call, stream.generation_id)
        call.served_model = stream.served_model
        call.finish_reason = stream.finish_reason
        call.bill = stream.bill
        call.error = stream.cut
        if stream.cut is not None:
            self._gateway.availability.cut(call.candidate.deployment, stream.cut)
        elif stream.has_ended:
            self._gateway.availability.completed(call.candidate.deployment)

    def _tokens_used(self, admission: Admission) -> int:
        """What providers reported for all calls; what was expected if one that may have used some did not say."""
        used = 0
        for call in self._calls:
            if call.bill is not None:
                used += call.bill.usage.input_tokens + call.bill.usage.output_tokens
            elif call.charge is not None and call.charge.nano_usd:
                return admission.tokens
        return used

    def _outcome(self) -> Outcome:
        if self._shadow is not None:
            return Outcome.SHADOW
        if self._refusal is not None:
            return Outcome.REFUSED if isinstance(self._refusal, CallerError) else Outcome.FAILED
        if self.found is not None:
            return Outcome.CLIENT_GONE if self.client_is_gone else Outcome.CACHED
        if self.answered is None:
            return Outcome.FAILED
        if self.is_cut_off or (self._stream is not None and self._stream.cut is not None):
            return Outcome.CUT
        return Outcome.CLIENT_GONE if self.client_is_gone else Outcome.OK

    def _baseline_nano_usd(self) -> int | None:
        if self.found is not None:
            return self.found.baseline_nano_usd
        if self._plan is None:
            return None
        used, plan = last_usage(self._calls), self._plan
        if used is None:
            return None
        if self._at_baseline is None or self._at_baseline[0] is not used[1]:  # the client's header asks, and the books
            worth = baseline_nano_usd(used[1], used[0], plan.baseline, plan.catalog, at=plan.conditions.now)
            self._at_baseline = (used[1], worth)
        return self._at_baseline[1]

    def _entry_if_lost(self, call: Call) -> LedgerEntry:
        """What is to be booked if this process dies while the call is under way: the sum held."""
        assert self._plan is not None
        now_s = self._gateway.monotonic_s()
        outcome = Outcome.LOST if self._shadow is None else Outcome.SHADOW
        return self._entry_of(self._plan, outcome, (call.attempt_if_lost(now_s),), ended_s=now_s)

    def _entry(self, plan: Plan, outcome: Outcome, *, ended_s: float) -> LedgerEntry:
        attempts = tuple([call.attempt() for call in self._calls if call.charge is not None])
        return self._entry_of(plan, outcome, attempts, ended_s=ended_s)

    def _entry_of(self, plan: Plan, outcome: Outcome, attempts: tuple[Attempt, ...], *, ended_s: float) -> LedgerEntry:
        answered = self.answered
        estimate = answered.candidate.estimate if answered else None
        sent_s = self._calls[0].started_s if self._calls else ended_s
        if self._recorded is None or self._recorded[0] is not plan:  # before each call, and in the end
            self._recorded = (plan, profile_json(plan.profile), self._gateway.encode(plan.record()))
        _, profile, conditions = self._recorded
        return LedgerEntry(
            request_id=self.request_id,
            at=plan.conditions.now,
            team=self._caller.team,
            key_id=self._caller.key_id,
            alias=self.request.model,
            policy=plan.decision.policy,
            rule=plan.decision.terms.rule,
            outcome=outcome,
            attempts=attempts,
            rejected=tuple([(each.model, str(each.reason)) for each in plan.decision.rejected]),
            profile_json=profile,
            counted_input_tokens=estimate.input_tokens if estimate else 0,
            expected_nano_usd=nano_usd(estimate.expected_usd) if estimate else 0,
            baseline=plan.baseline if self.found is None else self.found.baseline,
            baseline_nano_usd=self._baseline_nano_usd(),
            config_version=self._gateway.config_version,
            is_stream=self.request.is_stream,
            overhead_s=sent_s - self._received_s,
            first_token_s=None if self._first_byte_s is None else self._first_byte_s - self._received_s,
            duration_s=ended_s - self._received_s,
            tags=plan.profile.tags,
            conditions_json=conditions,
            trace_id=self._trace_id,
        )


def _tokens_expected(plan: Plan) -> int:
    """What a request counts for against `tokens_per_minute` until it is over and has told what it used.

    Not its limit: one that was put in for the client's sake is far above what answers use, and would let sixty
    requests fill two million tokens.
    """
    assert plan.decision.chosen is not None
    estimate = plan.decision.chosen.estimate
    return estimate.input_tokens + estimate.output_tokens
