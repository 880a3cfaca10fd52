"""One generation on its way to the client, streamed or whole, until it is on the bill.

The bill is written before the last bytes are sent, so whoever has read a whole answer finds it on the bill. A client
that hangs up mid-stream stops the charge only with the providers that stop; the others generate, and bill, to the end.
An answer that is not streamed is always billed in full.
"""

from typing import assert_never

import anyio
from anyio.lowlevel import checkpoint

from router.sandbox.billing import NOTHING, Bill, Charge, Generation, Tokens, charge
from router.sandbox.chat_wire import native_finish_reason
from router.sandbox.connection import Connection
from router.sandbox.faults import Bills, Break, Quirk, Spoil
from router.sandbox.json_text import JsonObject
from router.sandbox.orders import Order
from router.sandbox.prompt_cache import Clock
from router.sandbox.spoiling import Spoiling
from router.sandbox.wire import Dialect, Step, StreamDialect

_COMMENT_EVERY_S = 0.5
"""How often OpenRouter says that it is still there while the first token is being waited for (simulated time)."""
_COMMENT_EVERY_STEPS = 16
_CHECKPOINT_EVERY_STEPS = 4
"""Without delays, how many chunks are written before other requests get their turn."""
_MANY_COMMENTS = 17
"""As many as came before one recorded answer (wire, 2025-11)."""
_EMPTY_COMMENT = b": \n\n"
"""As seen on `/responses` (wire, 2026-08)."""


class Serving:
    """Carries one order to one client. `run` is called once."""

    def __init__(
        self, order: Order, dialect: Dialect, *, connection: Connection, bill: Bill, clock: Clock, time_scale: float
    ) -> None:
        self._order = order
        self._dialect = dialect
        self._connection = connection
        self._bill = bill
        self._clock = clock
        self._time_scale = time_scale
        self._completion_tokens = 0
        self._reasoning_tokens = 0
        self._first_token_s = 0.0

    async def run(self) -> None:
        """Answers the client and puts the generation on the bill."""
        self._connection.spoil(Spoiling(self._order.fault))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._connection.watch)
            await self._serve()
            tasks.cancel_scope.cancel()

    async def _serve(self) -> None:
        match self._order.fault.breaks:
            case Break.DROP_BEFORE_HEADERS:
                await self._connection.drop()
            case Break.RESET_BEFORE_HEADERS:
                await self._connection.reset()
            case Break.STALL_BEFORE_HEADERS:
                await self._connection.wait_until_gone()
            case Break.ERROR_BODY:
                await self._connection.respond(200, self._dialect.error_body(), self._dialect.headers())
            case _ if self._order.admission.request.is_stream and isinstance(self._dialect, StreamDialect):
                await self._stream(self._dialect)
            case _:
                await self._answer_whole()

    # ----- streamed

    async def _stream(self, dialect: StreamDialect) -> None:
        headers = dict(dialect.headers()) | {"content-type": "text/event-stream"}
        await self._connection.start(200, headers)
        await self._wait_for_first_token()
        await self._connection.write(dialect.opening())
        is_complete = await self._stream_steps(dialect)
        if not is_complete:
            return
        await self._connection.write(dialect.finishing())
        usage = self._settle(self._order.fault.bills_streamed)
        is_broken = self._order.fault.breaks is Break.ERROR_AFTER_FINISH
        last = dialect.broken_after_finish(usage) if is_broken else dialect.ending(usage)
        await self._connection.finish(last)

    async def _stream_steps(self, dialect: StreamDialect) -> bool:
        """Sends the deltas. False when the stream has ended before its time; it has been settled then."""
        breaks = self._order.fault.breaks
        steps = dialect.steps()
        breaks_at = -1 if breaks in (None, Break.ERROR_AFTER_FINISH) else len(steps) // 2
        for number, step in enumerate(steps):
            if breaks is not None and number == breaks_at:
                await self._break_stream(dialect, breaks, step.index)
                return False
            await self._take_time(step, number)
            if self._connection.is_gone and self._is_stopped_by_a_hang_up:
                self._settle("generated")
                return False
            self._completion_tokens += step.tokens
            self._reasoning_tokens += step.tokens if step.is_reasoning else 0
            await self._connection.write(dialect.worded(step))
        return True

    async def _break_stream(self, dialect: StreamDialect, breaks: Break, index: int) -> None:
        match breaks:
            case Break.STALL:
                await self._connection.wait_until_gone()
                self._settle("generated" if self._order.admission.offer.provider.cancel_stops_billing else "all")
            case Break.DROP:
                self._settle(self._order.fault.bills_streamed)
                await self._connection.drop()
            case Break.RESET:
                self._settle(self._order.fault.bills_streamed)
                await self._connection.reset()
            case Break.ENDS_EARLY:
                self._settle(self._order.fault.bills_streamed)
                await self._connection.finish()
            case Break.ERROR_CHUNK | Break.ERROR_CHUNK_FINISHING | Break.ERROR_CHUNK_TEXT_CODE | Break.CHOICE_ERROR:
                self._settle(self._order.fault.bills_streamed)
                await self._connection.finish(dialect.broken(breaks, index))
            case (
                Break.ERROR_BODY
                | Break.ERROR_AFTER_FINISH
                | Break.DROP_BEFORE_HEADERS
                | Break.RESET_BEFORE_HEADERS
                | Break.STALL_BEFORE_HEADERS
            ):
                raise AssertionError(f"{breaks} does not happen halfway")
            case _:
                assert_never(breaks)

    async def _wait_for_first_token(self) -> None:
        wait_s, comment = self._order.pace.time_to_first_token_s, self._order.manners.comment
        comments = _MANY_COMMENTS if self._order.fault.quirk is Quirk.MANY_COMMENTS else 1
        for _ in range(comments):
            await self._connection.write(comment)
        while wait_s > 0:
            await self._sleep(min(wait_s, _COMMENT_EVERY_S))
            wait_s -= _COMMENT_EVERY_S
            if wait_s > 0:
                await self._connection.write(comment)
        self._first_token_s = self._elapsed_s()

    async def _take_time(self, step: Step, number: int) -> None:
        if self._time_scale > 0:
            await self._sleep(step.tokens / self._order.pace.tokens_per_s)
        elif number % _CHECKPOINT_EVERY_STEPS == 0:
            await checkpoint()
        if self._order.fault.quirk is Quirk.MANY_COMMENTS:
            await self._connection.write(_EMPTY_COMMENT)
        elif number % _COMMENT_EVERY_STEPS == _COMMENT_EVERY_STEPS - 1:
            await self._connection.write(self._order.manners.comment)

    @property
    def _is_stopped_by_a_hang_up(self) -> bool:
        """A client that was told of fewer bytes than come has not hung up on anything: it believes it has it all."""
        is_misled = self._order.fault.spoils is Spoil.LENGTH_TOO_SHORT
        return self._order.admission.offer.provider.cancel_stops_billing and not is_misled

    # ----- not streamed

    async def _answer_whole(self) -> None:
        fault, pace = self._order.fault, self._order.pace
        tokens = self._order.all_tokens()
        if fault.breaks is Break.STALL:
            await self._connection.wait_until_gone()
        await anyio.sleep(pace.time_to_first_token_s * self._time_scale)
        self._first_token_s = self._elapsed_s()
        await anyio.sleep(tokens.completion / pace.tokens_per_s * self._time_scale)
        self._completion_tokens, self._reasoning_tokens = tokens.completion, tokens.reasoning
        usage = self._settle(fault.bills_whole)
        match fault.breaks:
            case Break.DROP:
                await self._connection.drop()
            case Break.RESET:
                await self._connection.reset()
            case Break.STALL:
                pass
            case None | Break.ENDS_EARLY:
                await self._connection.respond(200, self._dialect.whole(usage), self._dialect.headers())
            case _:
                await self._connection.respond(200, self._dialect.whole_broken(), self._dialect.headers())

    # ----- both

    def _settle(self, bills: Bills) -> JsonObject:
        """Puts the generation on the bill and returns its usage object."""
        order = self._order
        generated = order.tokens(completion=self._completion_tokens, reasoning=self._reasoning_tokens)
        tokens = order.all_tokens() if bills == "all" else generated
        offer = order.admission.offer
        cost = NOTHING if bills == "nothing" else self._charge(tokens)
        is_cancelled = self._connection.is_gone
        finish_reason = _finish_reason(order, bills, is_cancelled=is_cancelled)
        self._bill.add(
            Generation(
                id=order.id,
                model=offer.id,
                provider=offer.provider.name,
                is_streamed=order.admission.request.is_stream,
                is_cancelled=is_cancelled,
                tokens=tokens,
                charge=cost,
                finish_reason=finish_reason,
                native_finish_reason=native_finish_reason(offer, finish_reason),
                created_at=order.created_at,
                first_token_s=self._first_token_s,
                duration_s=self._elapsed_s(),
                server=order.manners.name,
                api_type=self._dialect.api_type,
                missing_reads=order.fault.number if order.fault.quirk is Quirk.LATE_RECORD else 0,
            )
        )
        return self._dialect.usage(tokens, cost)

    def _charge(self, tokens: Tokens) -> Charge:
        admission = self._order.admission
        return charge(tokens, admission.offer.rates_for(tokens.prompt), images=admission.size.media)

    def _elapsed_s(self) -> float:
        return (self._clock() - self._order.created_at).total_seconds()

    async def _sleep(self, simulated_s: float) -> None:
        """Simulated time passes; a provider that stops on hang-up is woken by it."""
        seconds = simulated_s * self._time_scale
        if seconds <= 0:
            return
        if not self._order.admission.offer.provider.cancel_stops_billing:
            await anyio.sleep(seconds)
            return
        with anyio.move_on_after(seconds):
            await self._connection.wait_until_gone()


def _finish_reason(order: Order, bills: Bills, *, is_cancelled: bool) -> str | None:
    if is_cancelled:
        return None
    if bills != "all":
        return "error"
    return order.choices[0].finish_reason if order.choices else "stop"
