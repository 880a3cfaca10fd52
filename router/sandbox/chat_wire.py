"""The bytes of a chat completion: the body, the stream's chunks, the three shapes of the usage chunk.

OpenRouter's shapes follow recorded traffic of 2026-03 to 2026-10: `role` on every delta, `native_finish_reason` beside
`finish_reason`, comment lines before the first chunk, and a usage chunk whether or not one was asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from router.sandbox.answers import Choice, Piece
from router.sandbox.billing import Charge, Tokens
from router.sandbox.faults import Break, Quirk
from router.sandbox.json_text import JsonObject
from router.sandbox.offer import Offer
from router.sandbox.orders import Order
from router.sandbox.wire import DONE, LIMIT_ERROR, UPSTREAM_ERROR, Step, event

_CITATION: JsonObject = {
    "type": "url_citation",
    "url_citation": {
        "url": "https://example.com/penstock",
        "title": "Penstock",
        "content": "A penstock is a sluice.",
        "start_index": 0,
        "end_index": 23,
    },
}
_CITATIONS = (_CITATION, _CITATION | {"url_citation": _CITATION["url_citation"] | {"title": "Penstock, again"}})


class ChatDialect:
    """One order as a chat completion, in the manners of the server that gives it."""

    api_type = "completions"

    def __init__(self, order: Order) -> None:
        self._order = order
        self._manners = order.manners
        self._offer = order.admission.offer
        self._quirk = order.fault.quirk
        self._choices = order.choices

    def headers(self) -> dict[str, str]:
        return openrouter_headers(self._order.id) if self._manners.names_provider else {"cache-control": "no-cache"}

    def opening(self) -> bytes:
        if self._manners.repeats_role:
            return b""
        deltas = ({"role": "assistant", "content": ""} for _ in self._choices)
        return b"".join(event(self._delta(index, delta)) for index, delta in enumerate(deltas))

    def steps(self) -> Sequence[Step]:
        steps = [step for index, choice in enumerate(self._choices) for step in self._choice_steps(choice, index)]
        if self._quirk is Quirk.ANNOTATIONS:
            deltas = ({"role": "assistant", "content": "", "annotations": [citation]} for citation in _CITATIONS)
            steps += [Step(0, (self._delta(0, delta),), 0) for delta in deltas]
        return steps

    def worded(self, step: Step) -> bytes:
        return b"".join(map(event, step.events))

    def finishing(self) -> bytes:
        if self._manners.usage_goes == "on-finish":
            return b""  # the usage stands on the finish chunk, so that is sent with the ending
        return b"".join(event(self._finish(index, choice)) for index, choice in enumerate(self._choices))

    def usage(self, tokens: Tokens, cost: Charge) -> JsonObject:
        match self._manners.name:
            case "openrouter":
                return usage(tokens, cost, self._quirk)
            case "deepseek":
                return _deepseek_usage(tokens)
            case "local":
                return _local_usage(tokens)

    def ending(self, usage: JsonObject) -> bytes:
        done = b"" if self._quirk is Quirk.NO_DONE else DONE
        if self._manners.usage_goes == "on-finish":
            *first, last = (self._finish(index, choice) for index, choice in enumerate(self._choices))
            return b"".join(map(event, (*first, last if self._lacks_usage else last | {"usage": usage}))) + done
        if self._lacks_usage:
            return done
        return event(self._usage_chunk(usage)) + done

    def broken(self, breaks: Break, index: int) -> bytes:
        if not self._manners.names_provider:
            error = {"message": "Internal server error", "type": "InternalServerError", "param": None, "code": 500}
            return event({"error": error}) + DONE
        match breaks:
            case Break.ERROR_CHUNK:
                return event(self._chunk([]) | {"error": UPSTREAM_ERROR}) + DONE
            case Break.ERROR_CHUNK_FINISHING | Break.ERROR_CHUNK_TEXT_CODE:
                error = UPSTREAM_ERROR if breaks is Break.ERROR_CHUNK_FINISHING else _ERROR_WITH_A_WORD
                return event(self._delta(index, {"content": ""}, "error") | {"error": error})
        chunk = self._delta(index, {"content": "", "role": "assistant"}, "error")
        chunk["choices"][0]["error"] = UPSTREAM_ERROR
        return event(chunk) + DONE

    def broken_after_finish(self, usage: JsonObject) -> bytes:
        chunk = self._delta(0, {"role": "assistant", "content": ""})
        return event(chunk | {"error": LIMIT_ERROR, "usage": usage}) + DONE

    def whole(self, usage: JsonObject) -> JsonObject:
        body = self._body([self._message_choice(choice, index) for index, choice in enumerate(self._choices)])
        return body if self._quirk in (Quirk.NO_USAGE, Quirk.LATE_RECORD) else body | {"usage": usage}

    def whole_broken(self) -> JsonObject:
        choice = self._choices[0]
        partial = replace(choice, body=choice.body[: len(choice.body) // 2], tool_call=None)
        ends = {"finish_reason": "error", "native_finish_reason": "error", "error": UPSTREAM_ERROR}
        return self._body([self._message_choice(partial, 0) | ends])

    def error_body(self) -> JsonObject:
        return error_body(self._order.id)

    @property
    def _lacks_usage(self) -> bool:
        is_unasked = self._manners.usage_goes == "if-asked" and not self._order.admission.request.wants_usage
        return is_unasked or self._quirk in (Quirk.NO_USAGE, Quirk.LATE_RECORD)

    # ----- chunks

    def _chunk(self, choices: Sequence[JsonObject]) -> JsonObject:
        """A stream chunk with these choices."""
        chunk: JsonObject = {
            "id": self._order.id,
            "object": "chat.completion.chunk",
            "created": int(self._order.created_at.timestamp()),
            "model": self._model,
        }
        if self._manners.names_provider:
            chunk["provider"] = self._offer.provider.name
        elif self._manners.name == "deepseek":
            chunk["system_fingerprint"] = _DEEPSEEK_FINGERPRINT
        return chunk | {"choices": choices}

    def _delta(self, index: int, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
        """A stream chunk with one delta."""
        choice: JsonObject = {"index": index, "delta": delta, "finish_reason": finish_reason}
        if self._manners.names_provider:
            choice["native_finish_reason"] = native_finish_reason(self._offer, finish_reason)
        if self._quirk is Quirk.OLD_CHUNKS or not self._manners.names_provider:
            choice["logprobs"] = None
        if self._quirk is Quirk.OLD_CHUNKS:
            delta.setdefault("reasoning", None)
            delta.setdefault("reasoning_details", [])
        return self._chunk([choice])

    def _finish(self, index: int, choice: Choice) -> JsonObject:
        """The chunk that finishes a choice."""
        delta = {"content": "", "role": "assistant"} if self._manners.repeats_role else {"content": ""}
        return self._delta(index, delta, None if self._quirk is Quirk.NO_COMPLETION else choice.finish_reason)

    def _usage_chunk(self, usage: JsonObject) -> JsonObject:
        """The chunk that carries the usage: with an empty delta (2025-11), with no choices (since 2026-03), or as the
        finish chunk sent again (2026-07)."""
        match self._quirk:
            case Quirk.USAGE_SHAPE_A:
                return self._delta(0, {"role": "assistant", "content": ""}) | {"usage": usage}
            case Quirk.USAGE_SHAPE_C:
                return self._finish(0, self._choices[0]) | {"service_tier": "default", "usage": usage}
        return self._chunk([]) | {"usage": usage}

    def _choice_steps(self, choice: Choice, index: int) -> Iterator[Step]:
        """The deltas of one choice in order, without the chunk that finishes it."""
        for piece in choice.reasoning:
            shown = (self._delta(index, self._thinking(piece)),) if choice.shows_reasoning else ()
            yield Step(index, shown, piece.tokens, is_reasoning=True)
        if choice.reasoning and choice.shows_reasoning and (proof := self._proof(choice)) is not None:
            delta = {"role": "assistant", "content": "", "reasoning": None, "reasoning_details": [proof]}
            yield Step(index, (self._delta(index, delta),), 0, is_reasoning=True)
        for piece, delta in self._body_deltas(choice):
            whole = delta | {"role": "assistant"} if self._manners.repeats_role else delta
            yield Step(index, (self._delta(index, whole),), piece.tokens)

    def _body_deltas(self, choice: Choice) -> Iterator[tuple[Piece, JsonObject]]:
        if choice.tool_call is None:
            yield from ((piece, {"content": piece.text}) for piece in choice.body)
            return
        call = choice.tool_call
        opening, *arguments = choice.body
        named = {"index": 0, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield opening, {"content": None, "tool_calls": [named]}
        # A call without arguments still gets one delta with an empty string (wire, 2026-03).
        for piece in arguments or [Piece("", 0)]:
            yield piece, {"content": None, "tool_calls": [{"index": 0, "function": {"arguments": piece.text}}]}

    def _thinking(self, piece: Piece) -> JsonObject:
        if not self._manners.names_provider:
            return {"content": None, self._manners.reasoning_key: piece.text}
        detail = _thought(piece.text, self._offer)
        return {"role": "assistant", "content": "", "reasoning": piece.text, "reasoning_details": [detail]}

    def _proof(self, choice: Choice) -> JsonObject | None:
        return _proof(choice, self._offer) if self._manners.names_provider else None

    # ----- whole bodies

    def _body(self, choices: Sequence[JsonObject]) -> JsonObject:
        """A completion that is not streamed, without its usage."""
        body: JsonObject = {
            "id": self._order.id,
            "object": "chat.completion",
            "created": int(self._order.created_at.timestamp()),
            "model": self._model,
        }
        if self._manners.names_provider:
            body["provider"] = self._offer.provider.name
        body["system_fingerprint"] = _DEEPSEEK_FINGERPRINT if self._manners.name == "deepseek" else None
        if self._manners.names_provider:
            body["service_tier"] = "default"
        return body | {"choices": choices}

    def _message_choice(self, choice: Choice, index: int) -> JsonObject:
        finish_reason = None if self._quirk is Quirk.NO_COMPLETION else choice.finish_reason
        body: JsonObject = {"index": index, "logprobs": None, "finish_reason": finish_reason}
        if self._manners.names_provider:
            body["native_finish_reason"] = native_finish_reason(self._offer, finish_reason)
        return body | {"message": self._message(choice)}

    def _message(self, choice: Choice) -> JsonObject:
        body = "".join(piece.text for piece in choice.body)
        thoughts = "".join(piece.text for piece in choice.reasoning) if choice.shows_reasoning else ""
        call = choice.tool_call
        message: JsonObject = {"role": "assistant", "content": body if call is None else None}
        if self._manners.names_provider:
            message["refusal"] = None
        if self._manners.names_provider or thoughts:
            message[self._manners.reasoning_key] = thoughts or None
        if call is not None:
            function = {"name": call.name, "arguments": body}
            message["tool_calls"] = [{"type": "function", "index": 0, "id": call.id, "function": function}]
        if thoughts and self._manners.names_provider:
            message["reasoning_details"] = _details(thoughts, choice, self._offer)
        if self._quirk is Quirk.ANNOTATIONS:
            message["annotations"] = list(_CITATIONS)
        return message

    @property
    def _model(self) -> str:
        is_version = self._quirk is Quirk.VERSION_AS_MODEL
        return self._offer.canonical_slug if is_version else self._order.admission.model


_ERROR_WITH_A_WORD: JsonObject = {"code": "server_error", "message": "Provider disconnected unexpectedly"}
"""As OpenRouter's page on streaming has it, where its page on errors has a number (2026-08)."""
_DEEPSEEK_FINGERPRINT = "fp_sandbox_fp8_kvcache"


def openrouter_headers(generation_id: str) -> dict[str, str]:
    """The headers OpenRouter adds to an answer (wire, 2026-08)."""
    return {
        "cache-control": "no-cache",
        "x-generation-id": generation_id,
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "X-Generation-Id,X-Provider-Name,cf-ray",
        "cf-ray": f"{generation_id[-16:].encode().hex()[:16]}-SBX",
    }


def error_body(generation_id: str) -> JsonObject:
    """The error that comes with status 200 (wire, 2026-09)."""
    error = UPSTREAM_ERROR | {
        "message": "Upstream error: Service temporarily overloaded",
        "code": 503,
        "metadata": {"error_type": "provider_overloaded"},
    }
    return {"id": generation_id, "error": error}


def usage(tokens: Tokens, cost: Charge, quirk: Quirk | None = None) -> JsonObject:
    """OpenRouter's usage object; without a cost it has token counts only, as it had until 2025-11."""
    has_cost = quirk is not Quirk.NO_COST
    counts: JsonObject = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
    }
    if has_cost:
        counts["cost"] = cost.total_usd
    if has_cost and quirk is not Quirk.NO_BYOK:
        counts["is_byok"] = False
    counts["prompt_tokens_details"] = {
        "cached_tokens": tokens.cached,
        "cache_write_tokens": tokens.cache_write,
        "audio_tokens": 0,
        "video_tokens": 0,
    }
    if has_cost:
        counts["cost_details"] = {
            "upstream_inference_cost": cost.total_usd,
            "upstream_inference_prompt_cost": cost.prompt_usd,
            "upstream_inference_completions_cost": cost.completion_usd,
        }
    reasoning = tokens.completion + 1 if quirk is Quirk.MUCH_REASONING else tokens.reasoning
    counts["completion_tokens_details"] = {"reasoning_tokens": reasoning, "image_tokens": 0, "audio_tokens": 0}
    return counts


def native_finish_reason(offer: Offer, finish_reason: str | None) -> str | None:
    """The provider's own word for a finish reason."""
    match finish_reason:
        case "stop":
            return offer.provider.native_stop
        case "length":
            return offer.provider.native_length
    return finish_reason


def _deepseek_usage(tokens: Tokens) -> JsonObject:
    counts: JsonObject = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
    }
    if tokens.reasoning:
        counts["completion_tokens_details"] = {"reasoning_tokens": tokens.reasoning}
    counts["prompt_cache_hit_tokens"] = tokens.cached
    counts["prompt_cache_miss_tokens"] = tokens.prompt - tokens.cached
    return counts


def _local_usage(tokens: Tokens) -> JsonObject:
    return {
        "prompt_tokens": tokens.prompt,
        "total_tokens": tokens.prompt + tokens.completion,
        "completion_tokens": tokens.completion,
        "prompt_tokens_details": None,
    }


def _thought(text: str, offer: Offer) -> JsonObject:
    assert offer.reasoning is not None
    if offer.reasoning.style == "encrypted":
        return {"type": "reasoning.summary", "summary": text, "format": offer.reasoning.detail_format, "index": 0}
    return {"type": "reasoning.text", "text": text, "format": offer.reasoning.detail_format, "index": 0}


def _proof(choice: Choice, offer: Offer) -> JsonObject | None:
    assert offer.reasoning is not None
    detail_format = offer.reasoning.detail_format
    match offer.reasoning.style:
        case "open":
            return None
        case "signed":
            return {
                "type": "reasoning.text",
                "text": "",
                "signature": choice.signature,
                "format": detail_format,
                "index": 0,
            }
        case "encrypted":
            return {"type": "reasoning.encrypted", "data": choice.signature, "format": detail_format, "index": 0}


def _details(thoughts: str, choice: Choice, offer: Offer) -> list[JsonObject]:
    thought, proof = _thought(thoughts, offer), _proof(choice, offer)
    if proof is None:
        return [thought]
    if "signature" in proof:
        return [thought | {"signature": proof["signature"]}]
    return [thought, proof]
