"""The bytes of an answer: OpenRouter's completion body, its stream chunks, its three shapes of the usage chunk.

Shapes follow recorded traffic of 2026-03 to 2026-10: `role` on every delta, `native_finish_reason` beside
`finish_reason`, comment lines before the first chunk, and a usage chunk whether or not one was asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from router.sandbox.answers import Choice, Piece
from router.sandbox.billing import Charge, Tokens
from router.sandbox.json_text import JsonObject, encode
from router.sandbox.offer import Offer

COMMENT = b": OPENROUTER PROCESSING\n\n"
DONE = b"data: [DONE]\n\n"

UsageShape = Literal["a", "b", "c"]
"""a: a chunk with an empty delta (2025-11); b: no choices (since 2026-03); c: the finish chunk again (2026-07)."""


@dataclass(frozen=True, slots=True)
class Head:
    """What every chunk of one generation repeats."""

    id: str
    created: int
    model: str
    offer: Offer

    def chunk(self, choices: Sequence[JsonObject]) -> JsonObject:
        """A stream chunk with these choices."""
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "provider": self.offer.provider.name,
            "choices": choices,
        }

    def delta(self, index: int, delta: JsonObject, finish_reason: str | None = None) -> JsonObject:
        """A stream chunk with one delta."""
        choice = {
            "index": index,
            "delta": delta,
            "finish_reason": finish_reason,
            "native_finish_reason": native_finish_reason(self.offer, finish_reason),
        }
        return self.chunk([choice])

    def body(self, choices: Sequence[JsonObject]) -> JsonObject:
        """A completion that is not streamed, without its usage."""
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "provider": self.offer.provider.name,
            "system_fingerprint": None,
            "service_tier": "default",
            "choices": choices,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One delta of a stream and what it adds to the bill; thinking that is not shown has no delta."""

    index: int
    delta: JsonObject | None
    tokens: int
    is_reasoning: bool = False


def event(chunk: JsonObject) -> bytes:
    """One server-sent event."""
    return b"data: %b\n\n" % encode(chunk)


def steps(choice: Choice, index: int, offer: Offer) -> Iterator[Step]:
    """The deltas of one choice in order, without the chunk that finishes it."""
    for piece in choice.reasoning:
        delta = _thinking_delta(piece, offer) if choice.shows_reasoning else None
        yield Step(index, delta, piece.tokens, is_reasoning=True)
    if choice.reasoning and choice.shows_reasoning and (proof := _proof(choice, offer)) is not None:
        delta = {"role": "assistant", "content": "", "reasoning": None, "reasoning_details": [proof]}
        yield Step(index, delta, 0, is_reasoning=True)
    if choice.tool_call is not None:
        yield from _call_steps(choice, index)
        return
    for piece in choice.body:
        yield Step(index, {"content": piece.text, "role": "assistant"}, piece.tokens)


def finish(head: Head, index: int, choice: Choice) -> JsonObject:
    """The chunk that finishes a choice."""
    return head.delta(index, {"content": "", "role": "assistant"}, choice.finish_reason)


def usage_chunk(head: Head, usage: JsonObject, *, shape: UsageShape, last: Choice) -> JsonObject:
    """The chunk that carries the usage."""
    match shape:
        case "a":
            return head.delta(0, {"role": "assistant", "content": ""}) | {"usage": usage}
        case "b":
            return head.chunk([]) | {"usage": usage}
        case "c":
            return finish(head, 0, last) | {"service_tier": "default", "usage": usage}


def usage(tokens: Tokens, cost: Charge | None) -> JsonObject:
    """The usage object; without a `cost` it has token counts only, as OpenRouter's had until 2025-11."""
    counts: JsonObject = {
        "prompt_tokens": tokens.prompt,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt + tokens.completion,
    }
    if cost is not None:
        counts["cost"] = cost.total_usd
        counts["is_byok"] = False
    counts["prompt_tokens_details"] = {
        "cached_tokens": tokens.cached,
        "cache_write_tokens": tokens.cache_write,
        "audio_tokens": 0,
        "video_tokens": 0,
    }
    if cost is not None:
        counts["cost_details"] = {
            "upstream_inference_cost": cost.total_usd,
            "upstream_inference_prompt_cost": cost.prompt_usd,
            "upstream_inference_completions_cost": cost.completion_usd,
        }
    counts["completion_tokens_details"] = {"reasoning_tokens": tokens.reasoning, "image_tokens": 0, "audio_tokens": 0}
    return counts


def message_choice(choice: Choice, index: int, offer: Offer) -> JsonObject:
    """A choice of a completion that is not streamed."""
    return {
        "index": index,
        "logprobs": None,
        "finish_reason": choice.finish_reason,
        "native_finish_reason": native_finish_reason(offer, choice.finish_reason),
        "message": _message(choice, offer),
    }


def native_finish_reason(offer: Offer, finish_reason: str | None) -> str | None:
    """The provider's own word for a finish reason."""
    match finish_reason:
        case "stop":
            return offer.provider.native_stop
        case "length":
            return offer.provider.native_length
    return finish_reason


def _call_steps(choice: Choice, index: int) -> Iterator[Step]:
    call = choice.tool_call
    assert call is not None
    opening, *arguments = choice.body
    named = {"index": 0, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield Step(index, {"content": None, "role": "assistant", "tool_calls": [named]}, opening.tokens)
    # A call without arguments still gets one delta with an empty string (wire, 2026-03).
    for piece in arguments or [Piece("", 0)]:
        part = {"index": 0, "function": {"arguments": piece.text}}
        yield Step(index, {"content": None, "role": "assistant", "tool_calls": [part]}, piece.tokens)


def _message(choice: Choice, offer: Offer) -> JsonObject:
    body = "".join(piece.text for piece in choice.body)
    thoughts = "".join(piece.text for piece in choice.reasoning) if choice.shows_reasoning else ""
    call = choice.tool_call
    message: JsonObject = {
        "role": "assistant",
        "content": body if call is None else None,
        "refusal": None,
        "reasoning": thoughts or None,
    }
    if call is not None:
        function = {"name": call.name, "arguments": body}
        message["tool_calls"] = [{"type": "function", "index": 0, "id": call.id, "function": function}]
    if thoughts:
        message["reasoning_details"] = _details(thoughts, choice, offer)
    return message


def _thinking_delta(piece: Piece, offer: Offer) -> JsonObject:
    detail = _thought(piece.text, offer)
    return {"role": "assistant", "content": "", "reasoning": piece.text, "reasoning_details": [detail]}


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
