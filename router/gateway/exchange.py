"""One request from admission to settlement: `Exchange`.

The response object in `server` enters it as a context manager. Leaving it settles every hold and books the request,
exactly once, shielded from cancellation, whoever hung up and wherever it broke.
"""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

import anyio

from router.decision.eligibility import Candidate
from router.decision.explain import profile_as_data
from router.errors import BudgetExhausted, CallerError, PenstockError, UpstreamBroken, UpstreamError
from router.gateway.call import Call
from router.gateway.dispatch import Gateway
from router.gateway.planning import Plan
from router.gateway.settlement import baseline_nano_usd
from router.keys import Caller
from router.ledger import LedgerEntry, Outcome
from router.limits.gate import Admission, Quota
from router.units import nano_usd
from router.upstream.client import UpstreamReply
from router.upstream.openrouter import cancel_stops_billing
from router.upstream.outgoing import outgoing_body
from router.wire.controls import Controls
from router.wire.requests import ChatRequest
from router.wire.responses import error_body
from router.wire.streams import EventTooLong, StreamEditor, error_event

_MOST_CALLS = 4  # providers asked for one request before it fails: a judgement; each costs the client its waiting time
# Calls that broke off after they were sent may each be billed, so a second one ends the request.
_MOST_IN_DOUBT = 2

# A provider that bills to the end although the client is gone is read to the end, for its usage chunk, this long.
_DRAIN_S = 120.0
# After [DONE] the provider only has to end the message; its connection is worth that little wait.
_TRAILER_S = 1.0


class Exchange:
    """A request under way. `open` it; then it has a `body`, or a `stream` to relay."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        caller: Caller,
        request: ChatRequest,
        controls: Controls,
        request_id: str,
        received_s: float,
    ) -> None:
        self.request = request
        self.request_id = request_id
        self.client_is_gone = False
        self.body: bytes | None = None  # of a whole answer
        self._gateway = gateway
        self._caller = caller
        self._controls = controls
        self._received_s = received_s
        self._plan: Plan | None = None
        self._admission: Admission | None = None
        self._calls: list[Call] = []
        self._refusal: PenstockError | None = None
        self._cut: UpstreamError | None = None
        self._first_byte_s: float | None = None
        # Of a streamed answer:
        self._editor: StreamEditor | None = None
        self._reply: UpstreamReply | None = None
        self._chunks: AsyncGenerator[bytes] | None = None
        self._begun: bytes = b""

    async def __aenter__(self) -> Self:
        self._gateway.in_flight += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._close()
            finally:
                self._gateway.in_flight -= 1

    @property
    def plan(self) -> Plan | None:
        return self._plan

    @property
    def answered(self) -> Call | None:
        """The call whose answer the client gets."""
        return next((call for call in self._calls if call.is_answered), None)

    @property
    def cost_nano_usd(self) -> int | None:
        """What the request cost, or None while a call is not settled."""
        charges = [call.charge for call in self._calls]
        return sum(charge.nano_usd for charge in charges if charge) if all(charges) else None

    @property
    def saved_nano_usd(self) -> int | None:
        """What the baseline would have cost more; None if that is not known."""
        cost, baseline = self.cost_nano_usd, self._baseline_nano_usd()
        return None if cost is None or baseline is None else baseline - cost

    async def plan_only(self) -> Plan:
        """The decision for a dry run: nothing is held, sent or booked."""
        plan = await self._gateway.planner.plan(self._caller.team, self.request, self._controls)
        plan.require_choice()
        return plan

    async def open(self) -> None:
        """Decide, hold, send, until a provider has answered: wholly, or with the beginning of a stream.

        Raises CallerError (nothing was sent) or UpstreamError (nobody answered; failed calls are booked all the same).
        """
        plan = self._plan = await self._gateway.planner.plan(self._caller.team, self.request, self._controls)
        try:
            plan.require_choice()
            quota = self._gateway.quotas[self._caller.team]
            self._admission = await self._gateway.gate.admit(quota, tokens=_tokens_expected(plan))
            await self._ask_candidates(quota, plan)
        except PenstockError as error:
            self._refusal = error
            raise

    async def stream(self) -> AsyncGenerator[bytes]:
        """The answer's events for the client; ends with `[DONE]`, or with an error event if it broke off."""
        assert self._editor is not None
        assert self._chunks is not None
        yield self._begun
        try:
            while not self._editor.is_done and self._editor.error is None:
                chunk = await anext(self._chunks, None)
                if chunk is None:
                    break
                events = self._editor.feed(chunk)
                if events:
                    yield events
        except (UpstreamError, EventTooLong) as error:
            self._cut = self._broken_off(error)
        if self._cut is None and not self._editor.is_complete:
            self._cut = self._broken_off(None)
        if self._cut is None:
            yield self._editor.end()
        else:
            yield error_event(error_body(self._cut, request_id=self.request_id))

    async def _ask_candidates(self, quota: Quota, plan: Plan) -> None:
        try:
            await self._ask_in_order(quota, plan.decision.ranked)
        except BudgetExhausted as error:
            if not error.may_downgrade:
                raise
            plan = self._plan = self._gateway.planner.downgraded(plan, self._controls)
            await self._ask_in_order(quota, plan.decision.ranked)

    async def _ask_in_order(self, quota: Quota, candidates: tuple[Candidate, ...]) -> None:
        """Ask one after the other until one answers. What does not fit the budget is passed over for a cheaper one."""
        denied: BudgetExhausted | None = None
        failed: UpstreamError | None = None
        for candidate in candidates:
            body = outgoing_body(self.request, candidate.deployment, candidate.estimate)
            try:
                call = await self._held(quota, candidate)
            except BudgetExhausted as error:
                denied = denied or error
                continue
            try:
                await self._send(call, body)
                return
            except UpstreamError as error:
                call.error = failed = error
                call.ended_s = self._gateway.monotonic_s()
                if error.is_callers_fault or self._has_tried_enough():
                    break
        if failed is not None:
            failed.tried = tuple(call.candidate.deployment.id for call in self._calls)
            raise failed
        assert denied is not None  # the candidates are not empty: `require_choice` saw to it
        raise denied

    def _has_tried_enough(self) -> bool:
        in_doubt = sum(1 for call in self._calls if call.error is not None and call.error.may_be_owed)
        return len(self._calls) >= _MOST_CALLS or in_doubt >= _MOST_IN_DOUBT

    async def _held(self, quota: Quota, candidate: Candidate) -> Call:
        reservation = await self._gateway.gate.reserve(
            quota,
            reservation_id=f"{self.request_id}.{len(self._calls) + 1}",
            nano_usd=candidate.estimate.worst_nano_usd,
        )
        call = Call(candidate, reservation, started_s=self._gateway.monotonic_s())
        self._calls.append(call)
        return call

    async def _send(self, call: Call, body: bytes) -> None:
        is_stream = self.request.is_stream
        call.is_sent = True
        reply = await self._gateway.client.chat(call.candidate.deployment, body, is_stream=is_stream)
        call.generation_id = reply.generation_id
        if is_stream and reply.is_stream:
            await self._begin_stream(call, reply)
        else:
            await self._read_whole(call, reply)
        call.is_answered = True
        self._first_byte_s = self._gateway.monotonic_s()

    async def _read_whole(self, call: Call, reply: UpstreamReply) -> None:
        provider = call.candidate.deployment.provider.name
        async with aclosing(reply):
            body = await reply.body()
        facts = self._gateway.reader.facts(body)
        if facts is None:
            raise UpstreamBroken(f"{provider} answered with something other than a completion.", provider=provider)
        call.generation_id = call.generation_id or facts.generation_id
        call.served_model = facts.model
        call.bill = facts.bill
        if facts.error is not None:
            raise self._gateway.reader.error(facts.error, provider=provider)
        if not facts.choices:
            raise UpstreamBroken(f"{provider} answered without any choice.", provider=provider)
        call.ended_s = self._gateway.monotonic_s()
        self.body = body

    async def _begin_stream(self, call: Call, reply: UpstreamReply) -> None:
        """Read until the answer itself begins, so that a provider that fails before can still be replaced."""
        provider = call.candidate.deployment.provider.name
        editor = StreamEditor(
            self._gateway.reader, shows_usage=self.request.includes_usage, choices=self.request.choices
        )
        begun: list[bytes] = []
        async with AsyncExitStack() as undo:
            await undo.enter_async_context(aclosing(reply))
            chunks = reply.chunks()
            await undo.enter_async_context(aclosing(chunks))
            async for chunk in chunks:
                begun.append(_fed(editor, chunk, provider))
                if editor.has_begun or editor.error is not None:
                    break
            call.generation_id = call.generation_id or editor.generation_id
            call.bill = editor.bill
            if not editor.has_begun:
                if editor.error is not None:
                    raise self._gateway.reader.error(editor.error, provider=provider)
                raise UpstreamBroken(f"{provider} ended the stream before it began.", provider=provider)
            undo.pop_all()
        self._editor, self._reply, self._chunks, self._begun = editor, reply, chunks, b"".join(begun)

    def _broken_off(self, error: UpstreamError | EventTooLong | None) -> UpstreamError:
        """Why the stream broke off, as the client is told."""
        assert self._editor is not None
        assert self.answered is not None
        provider = self.answered.candidate.deployment.provider.name
        if isinstance(error, UpstreamError):
            return error
        if self._editor.error is not None:
            return self._gateway.reader.error(self._editor.error, provider=provider)
        if isinstance(error, EventTooLong):
            return UpstreamBroken(f"{provider} sent an event that does not end.", provider=provider)
        return UpstreamBroken(f"{provider} ended the stream before the answer was complete.", provider=provider)

    # Settling. From here on nothing is raised: whatever is not known is booked at the sum held.

    async def settle_told(self) -> None:
        """Settle the calls whose cost has been told; what must be asked for waits until the client has its answer."""
        assert self._plan is not None
        for call in self._calls:
            if call.charge is None:
                charge = call.charge_told(self._plan.conditions.now)
                if charge is not None:
                    call.charge = charge
                    await self._gateway.gate.settle(call.reservation, nano_usd=charge.nano_usd)

    async def _close(self) -> None:
        if self._plan is None:
            return
        await self._finish_stream()
        now_s = self._gateway.monotonic_s()
        for call in self._calls:
            call.ended_s = now_s if call.ended_s is None else call.ended_s
        await self.settle_told()
        for call in self._calls:
            if call.charge is None:
                call.charge = await call.charge_recorded(self._gateway.client, self._gateway.sleep)
                await self._gateway.gate.settle(call.reservation, nano_usd=call.charge.nano_usd)
        if self._admission is not None:
            await self._gateway.gate.leave(self._admission, tokens=self._tokens_used(self._admission))
        self._gateway.books.book(self._entry(self._plan, ended_s=now_s))

    async def _finish_stream(self) -> None:
        """Read what the bill needs, by the provider's rule for streams that are given up, and let the connection go."""
        editor, reply, chunks, call = self._editor, self._reply, self._chunks, self.answered
        if editor is None or reply is None or chunks is None or call is None:
            return
        gives_up = not editor.is_done and self._cut is None and cancel_stops_billing(editor.serving_provider)
        if not gives_up:
            with anyio.move_on_after(_TRAILER_S if editor.is_done or self._cut else _DRAIN_S):
                await self._drain(editor, chunks)
        await chunks.aclose()
        try:
            await reply.aclose()
        except UpstreamError as error:
            self._cut = self._cut or error
        call.generation_id = call.generation_id or editor.generation_id
        call.served_model = editor.served_model
        call.bill = editor.bill
        call.error = self._cut

    async def _drain(self, editor: StreamEditor, chunks: AsyncGenerator[bytes]) -> None:
        try:
            async for chunk in chunks:
                editor.feed(chunk)
        except (UpstreamError, EventTooLong) as error:
            self._cut = self._cut or self._broken_off(error)

    def _tokens_used(self, admission: Admission) -> int:
        """What providers reported for all calls; what was expected if one that may have used some did not say."""
        if any(call.bill is None and call.charge is not None and call.charge.nano_usd for call in self._calls):
            return admission.tokens
        usages = [call.bill.usage for call in self._calls if call.bill is not None]
        return sum(usage.input_tokens + usage.output_tokens for usage in usages)

    def _outcome(self) -> Outcome:
        if self._refusal is not None:
            return Outcome.REFUSED if isinstance(self._refusal, CallerError) else Outcome.FAILED
        if self.answered is None:
            return Outcome.FAILED
        if self._cut is not None:
            return Outcome.CUT
        return Outcome.CLIENT_GONE if self.client_is_gone else Outcome.OK

    def _baseline_nano_usd(self) -> int | None:
        if self._plan is None:
            return None
        attempts = tuple(call.attempt() for call in self._calls if call.charge is not None)
        return baseline_nano_usd(
            attempts, self._plan.team.baseline, self._gateway.catalog, at=self._plan.conditions.now
        )

    def _entry(self, plan: Plan, *, ended_s: float) -> LedgerEntry:
        answered = self.answered
        estimate = answered.candidate.estimate if answered else None
        sent_s = self._calls[0].started_s if self._calls else ended_s
        return LedgerEntry(
            request_id=self.request_id,
            at=plan.conditions.now,
            team=self._caller.team,
            key_id=self._caller.key_id,
            alias=self.request.model,
            policy=plan.decision.policy,
            rule=plan.decision.terms.rule,
            outcome=self._outcome(),
            attempts=tuple(call.attempt() for call in self._calls),
            rejected=tuple((each.model, each.reason.value) for each in plan.decision.rejected),
            profile_json=self._gateway.encode(profile_as_data(plan.profile)),
            counted_input_tokens=estimate.input_tokens if estimate else 0,
            expected_nano_usd=nano_usd(estimate.expected_usd) if estimate else 0,
            baseline=plan.team.baseline,
            baseline_nano_usd=self._baseline_nano_usd(),
            config_version=self._gateway.config_version,
            is_stream=self.request.is_stream,
            overhead_s=sent_s - self._received_s,
            first_token_s=None if self._first_byte_s is None else self._first_byte_s - self._received_s,
            duration_s=ended_s - self._received_s,
            tags=plan.profile.tags,
        )


def _fed(editor: StreamEditor, chunk: bytes, provider: str) -> bytes:
    try:
        return editor.feed(chunk)
    except EventTooLong as error:
        raise UpstreamBroken(f"{provider} sent an event that does not end.", provider=provider) from error


def _tokens_expected(plan: Plan) -> int:
    """What a request counts for against `tokens_per_minute` until it is over and has told what it used.

    Not its limit: one that was put in for the client's sake is far above what answers use, and would let sixty
    requests fill two million tokens.
    """
    assert plan.decision.chosen is not None
    estimate = plan.decision.chosen.estimate
    return estimate.input_tokens + estimate.output_tokens
