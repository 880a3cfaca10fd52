"""`POST /completions`, the older way to ask: a prompt in, text out. OpenRouter's shapes; its OpenAPI file lacks it."""

from collections.abc import Sequence
from dataclasses import replace

from router.sandbox.answers import Choice
from router.sandbox.billing import Charge, Tokens
from router.sandbox.chat_wire import error_body, native_finish_reason, openrouter_headers, usage
from router.sandbox.embeddings import texts_in
from router.sandbox.faults import Break, Quirk
from router.sandbox.json_text import JsonObject
from router.sandbox.orders import Order
from router.sandbox.requests import ChatRequest, chat_request, read_object
from router.sandbox.wire import DONE, LIMIT_ERROR, UPSTREAM_ERROR, Step, event

_UNKNOWN_HERE = frozenset({"prompt", "messages", "tools", "tool_choice", "response_format", "stream_options"})


def read_completion_request(body: bytes) -> ChatRequest:
    """The request in `body`. Raises Refusal (400) saying which parameter is wrong."""
    fields = read_object(body)
    prompts = [{"role": "user", "content": text} for text in texts_in(fields.get("prompt"), "prompt")]
    others = {key: value for key, value in fields.items() if key not in _UNKNOWN_HERE}
    request = chat_request(others | {"messages": prompts}, is_plain=True)
    return replace(request, choices=request.choices * len(prompts))


class CompletionDialect:
    """One order as a text completion. Thinking stands in `reasoning`, beside the text."""

    api_type = "completions"

    def __init__(self, order: Order) -> None:
        self._order = order
        self._quirk = order.fault.quirk

    def headers(self) -> dict[str, str]:
        return openrouter_headers(self._order.id)

    def opening(self) -> bytes:
        return b""

    def steps(self) -> Sequence[Step]:
        steps: list[Step] = []
        for index, choice in enumerate(self._order.choices):
            for piece in choice.reasoning:
                shown = {"text": "", "reasoning": piece.text}
                events = (self._chunk(index, shown),) if choice.shows_reasoning else ()
                steps.append(Step(index, events, piece.tokens, is_reasoning=True))
            steps += (Step(index, (self._chunk(index, {"text": p.text}),), p.tokens) for p in choice.body)
        return steps

    def worded(self, step: Step) -> bytes:
        return b"".join(map(event, step.events))

    def finishing(self) -> bytes:
        ends = (self._chunk(i, {"text": ""}, choice.finish_reason) for i, choice in enumerate(self._order.choices))
        return b"".join(map(event, ends))

    def usage(self, tokens: Tokens, cost: Charge) -> JsonObject:
        return usage(tokens, cost, self._quirk)

    def ending(self, usage: JsonObject) -> bytes:
        done = b"" if self._quirk is Quirk.NO_DONE else DONE
        if self._quirk in (Quirk.NO_USAGE, Quirk.LATE_RECORD):
            return done
        return event(self._body([]) | {"usage": usage}) + done

    def broken(self, breaks: Break, index: int) -> bytes:
        end = self._chunk(index, {"text": ""}, "error") | {"error": UPSTREAM_ERROR}
        return event(end if breaks is not Break.ERROR_CHUNK else self._body([]) | {"error": UPSTREAM_ERROR}) + DONE

    def broken_after_finish(self, usage: JsonObject) -> bytes:
        return event(self._body([]) | {"error": LIMIT_ERROR, "usage": usage}) + DONE

    def whole(self, usage: JsonObject) -> JsonObject:
        body = self._body([self._choice(index, choice) for index, choice in enumerate(self._order.choices)])
        return body if self._quirk in (Quirk.NO_USAGE, Quirk.LATE_RECORD) else body | {"usage": usage}

    def whole_broken(self) -> JsonObject:
        choice = self._order.choices[0]
        half = "".join(piece.text for piece in choice.body[: len(choice.body) // 2])
        ends = {"finish_reason": "error", "native_finish_reason": "error", "error": UPSTREAM_ERROR}
        return self._body([self._choice(0, choice) | {"text": half} | ends])

    def error_body(self) -> JsonObject:
        return error_body(self._order.id)

    def _body(self, choices: Sequence[JsonObject]) -> JsonObject:
        offer = self._order.admission.offer
        return {
            "id": self._order.id,
            "object": "text_completion",
            "created": int(self._order.created_at.timestamp()),
            "model": offer.canonical_slug if self._quirk is Quirk.VERSION_AS_MODEL else self._order.admission.model,
            "provider": offer.provider.name,
            "system_fingerprint": None,
            "choices": choices,
        }

    def _chunk(self, index: int, shown: JsonObject, finish_reason: str | None = None) -> JsonObject:
        native = native_finish_reason(self._order.admission.offer, finish_reason)
        ends = {"finish_reason": finish_reason, "native_finish_reason": native, "logprobs": None}
        return self._body([{"index": index} | shown | ends])

    def _choice(self, index: int, choice: Choice) -> JsonObject:
        thoughts = "".join(piece.text for piece in choice.reasoning) if choice.shows_reasoning else ""
        return {
            "index": index,
            "text": "".join(piece.text for piece in choice.body),
            "logprobs": None,
            "reasoning": thoughts or None,
            "finish_reason": choice.finish_reason,
            "native_finish_reason": native_finish_reason(self._order.admission.offer, choice.finish_reason),
        }
