"""One generation on its way to the client, streamed or whole, until it is on the bill.

The bill is written before the last bytes are sent, so whoever has read a whole answer finds it on the bill. A client
that hangs up mid-stream stops the charge only with the providers that stop; the others generate, and bill, to the end.
An answer that is not streamed is always billed in full.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

import anyio
from anyio.lowlevel import checkpoint

from router.sandbox import wire
from router.sandbox.admission import Admission
from router.sandbox.answers import Choice
from router.sandbox.billing import NOTHING, Bill, Charge, Generation, Tokens, charge
from router.sandbox.connection import Connection
from router.sandbox.faults import Bills, Break, Fault
from router.sandbox.json_text import JsonObject
from router.sandbox.prompt_cache import CacheUse, Clock

_COMMENT_EVERY_S = 0.5
"""How often OpenRouter says that it is still there while the first token is being waited for (simulated time)."""
_COMMENT_EVERY_STEPS = 16
_CHECKPOINT_EVERY_STEPS = 4
"""Without delays, how many chunks are written before other requests get their turn."""

_UPSTREAM_ERROR: JsonObject = {
    "code": 502,
    "message": "Provider returned error",
    "metadata": {"error_type": "provider_unavailable"},
}


@dataclass(frozen=True, slots=True)
class Order:
    """A generation that has been accepted: everything about it that is known before its first token."""

    id: str
    admission: Admission
    cache_use: CacheUse
    choices: tuple[Choice, ...]
    fault: Fault
    created_at: datetime

    @property
    def head(self) -> wire.Head:
        """What each of its chunks repeats."""
        return wire.Head(self.id, int(self.created_at.timestamp()), self.admission.model, self.admission.offer)

    def tokens(self, *, completion: int, reasoning: int) -> Tokens:
        """What it consumed once so much has been generated."""
        return Tokens(
            prompt=self.admission.prompt_tokens,
            cached=self.cache_use.read_tokens,
            cache_write=self.cache_use.write_tokens,
            completion=completion,
            reasoning=reasoning,
        )

    def all_tokens(self) -> Tokens:
        """What it consumes when it comes to its end."""
        return self.tokens(
            completion=sum(choice.tokens for choice in self.choices),
            reasoning=sum(choice.reasoning_tokens for choice in self.choices),
        )


class Serving:
    """Carries one order to one client. `run` is called once."""

    def __init__(self, order: Order, *, connection: Connection, bill: Bill, clock: Clock, time_scale: float) -> None:
        self._order = order
        self._head = order.head
        self._connection = connection
        self._bill = bill
        self._clock = clock
        self._time_scale = time_scale
        self._completion_tokens = 0
        self._reasoning_tokens = 0
        self._first_token_s = 0.0

    async def run(self) -> None:
        """Answers the client and puts the generation on the bill."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._connection.watch)
            await self._serve()
            tasks.cancel_scope.cancel()

    async def _serve(self) -> None:
        match self._order.fault.breaks:
            case Break.DROP_BEFORE_HEADERS:
                await self._connection.drop()
            case Break.STALL_BEFORE_HEADERS:
                await self._connection.wait_until_gone()
            case Break.ERROR_BODY:
                error = _UPSTREAM_ERROR | {"message": "Upstream error: Service temporarily overloaded", "code": 503}
                await self._connection.respond(200, {"id": self._order.id, "error": error}, self._headers())
            case _ if self._order.admission.request.is_stream:
                await self._stream()
            case _:
                await self._answer_whole()

    # ----- streamed

    async def _stream(self) -> None:
        await self._connection.start(200, self._headers() | {"content-type": "text/event-stream"})
        await self._wait_for_first_token()
        is_complete = await self._stream_steps()
        if not is_complete:
            return
        for index, choice in enumerate(self._order.choices):
            await self._connection.write(wire.event(wire.finish(self._head, index, choice)))
        if self._order.fault.breaks is Break.ERROR_AFTER_FINISH:
            await self._stream_error_after_finish()
            return
        await self._stream_ending()

    async def _stream_steps(self) -> bool:
        """Sends the deltas. False when the stream has ended before its time; it has been settled then."""
        offer = self._order.admission.offer
        steps = [step for index, choice in enumerate(self._order.choices) for step in wire.steps(choice, index, offer)]
        breaks_at = len(steps) // 2 if self._order.fault.breaks is not Break.ERROR_AFTER_FINISH else -1
        for number, step in enumerate(steps):
            if self._order.fault.breaks is not None and number == breaks_at:
                await self._break_stream(self._order.fault.breaks, step.index)
                return False
            await self._take_time(step, number)
            if self._connection.is_gone and offer.provider.cancel_stops_billing:
                self._settle("generated")
                return False
            self._completion_tokens += step.tokens
            self._reasoning_tokens += step.tokens if step.is_reasoning else 0
            if step.delta is not None:
                await self._connection.write(wire.event(self._head.delta(step.index, step.delta)))
        return True

    async def _break_stream(self, breaks: Break, index: int) -> None:
        match breaks:
            case Break.STALL:
                await self._connection.wait_until_gone()
                self._settle("generated" if self._order.admission.offer.provider.cancel_stops_billing else "all")
            case Break.DROP:
                self._settle(self._order.fault.bills_streamed)
                await self._connection.drop()
            case Break.ERROR_CHUNK:
                self._settle(self._order.fault.bills_streamed)
                await self._connection.write(wire.event(self._head.chunk([]) | {"error": _UPSTREAM_ERROR}))
                await self._connection.finish(wire.DONE)
            case Break.ERROR_CHUNK_FINISHING:
                self._settle(self._order.fault.bills_streamed)
                chunk = self._head.delta(index, {"content": ""}, "error")
                await self._connection.finish(wire.event(chunk | {"error": _UPSTREAM_ERROR}))
            case Break.CHOICE_ERROR:
                self._settle(self._order.fault.bills_streamed)
                chunk = self._head.delta(index, {"content": "", "role": "assistant"}, "error")
                chunk["choices"][0]["error"] = _UPSTREAM_ERROR
                await self._connection.write(wire.event(chunk))
                await self._connection.finish(wire.DONE)
            case Break.ERROR_BODY | Break.ERROR_AFTER_FINISH | Break.DROP_BEFORE_HEADERS | Break.STALL_BEFORE_HEADERS:
                raise AssertionError(f"{breaks} does not happen halfway")
            case _:
                assert_never(breaks)

    async def _stream_error_after_finish(self) -> None:
        usage = self._settle(self._order.fault.bills_streamed)
        error = {"code": 400, "message": "Token limit reached"}
        chunk = self._head.delta(0, {"role": "assistant", "content": ""})
        await self._connection.write(wire.event(chunk | {"error": error, "usage": usage}))
        await self._connection.finish(wire.DONE)

    async def _stream_ending(self) -> None:
        fault = self._order.fault
        usage = self._settle(fault.bills_streamed)
        if fault.usage_shape is not None:
            last = self._order.choices[0]
            chunk = wire.usage_chunk(self._head, usage, shape=fault.usage_shape, last=last)
            await self._connection.write(wire.event(chunk))
        await self._connection.finish(wire.DONE if fault.has_done else b"")

    async def _wait_for_first_token(self) -> None:
        wait_s = self._order.admission.offer.temper.time_to_first_token_s
        await self._connection.write(wire.COMMENT)
        while wait_s > 0:
            await self._sleep(min(wait_s, _COMMENT_EVERY_S))
            wait_s -= _COMMENT_EVERY_S
            if wait_s > 0:
                await self._connection.write(wire.COMMENT)
        self._first_token_s = self._elapsed_s()

    async def _take_time(self, step: wire.Step, number: int) -> None:
        if self._time_scale > 0:
            await self._sleep(step.tokens / self._order.admission.offer.temper.tokens_per_s)
        elif number % _CHECKPOINT_EVERY_STEPS == 0:
            await checkpoint()
        if number % _COMMENT_EVERY_STEPS == _COMMENT_EVERY_STEPS - 1:
            await self._connection.write(wire.COMMENT)

    # ----- not streamed

    async def _answer_whole(self) -> None:
        fault, offer = self._order.fault, self._order.admission.offer
        tokens = self._order.all_tokens()
        if fault.breaks is Break.STALL:
            await self._connection.wait_until_gone()
        await anyio.sleep(offer.temper.time_to_first_token_s * self._time_scale)
        self._first_token_s = self._elapsed_s()
        await anyio.sleep(tokens.completion / offer.temper.tokens_per_s * self._time_scale)
        self._completion_tokens, self._reasoning_tokens = tokens.completion, tokens.reasoning
        usage = self._settle(fault.bills_whole)
        if fault.breaks is Break.DROP:
            await self._connection.drop()
        elif fault.breaks is not Break.STALL:
            await self._connection.respond(200, self._whole_body(usage), self._headers())

    def _whole_body(self, usage: JsonObject) -> JsonObject:
        fault, offer = self._order.fault, self._order.admission.offer
        if fault.breaks is None:
            choices = [wire.message_choice(choice, i, offer) for i, choice in enumerate(self._order.choices)]
            body = self._head.body(choices)
            return body if fault.usage_shape is None else body | {"usage": usage}
        choice = self._order.choices[0]
        partial = replace(choice, body=choice.body[: len(choice.body) // 2], tool_call=None)
        broken = wire.message_choice(partial, 0, offer)
        return self._head.body(
            [broken | {"finish_reason": "error", "native_finish_reason": "error", "error": _UPSTREAM_ERROR}]
        )

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
                native_finish_reason=wire.native_finish_reason(offer, finish_reason),
                created_at=order.created_at,
                first_token_s=self._first_token_s,
                duration_s=self._elapsed_s(),
            )
        )
        return wire.usage(tokens, cost if order.fault.has_cost else None)

    def _charge(self, tokens: Tokens) -> Charge:
        admission = self._order.admission
        return charge(tokens, admission.offer.rates_for(tokens.prompt), images=admission.size.media)

    def _headers(self) -> dict[str, str]:
        return {
            "cache-control": "no-cache",
            "x-generation-id": self._order.id,
            "access-control-allow-origin": "*",
            "access-control-expose-headers": "X-Generation-Id,X-Provider-Name,cf-ray",
            "cf-ray": f"{self._order.id[-16:].encode().hex()[:16]}-SBX",
        }

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
    return order.choices[0].finish_reason if bills == "all" else "error"
