"""A provider that answers whatever it is asked, at once and well, by every API, and notes what it was asked.

It bills next to nothing, so that its bill never says what a request may have cost: that is reckoned from the notes.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

_WORDS = "A gate that lets just enough water through."
_NANO_USD = 1
_INPUT_TOKENS, _OUTPUT_TOKENS = 5, 9
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


class NotWellFormed(Exception):
    """A body that two readers may read differently, or that none reads."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call as it came."""

    api: str  # its path below the base URL
    model: str
    limit: int | None  # of output tokens, for each answer
    answers: int  # how many of them are asked for
    members: frozenset[str]
    nano_usd: int  # what it is billed
    is_stream: bool


@dataclass(slots=True)
class ObligingUpstream:
    """Served by `lying_upstream.py`, which asks it wherever there is no reason to lie."""

    asked: dict[str, Asked] = field(default_factory=dict)  # by the name of the generation
    faults: list[str] = field(default_factory=list)  # bodies that no provider could be sent
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def answer(self, path: str, body: bytes) -> bytes:
        """The whole message, head and all."""
        generation = f"gen-{next(self.numbers)}"
        api = path.removeprefix("/api/v1/").removeprefix("/v1/")
        try:
            members = _strictly_read(body)
        except NotWellFormed as error:
            self.faults.append(f"{api}: {error}: {body[:300]!r}")
            return _message(b'{"error":{"code":400,"message":"no JSON"}}', status="400 Bad Request")
        self.asked[generation] = asked = _asked(api, members)
        parts = _PARTS[api](generation, members, asked)
        content = _stream(api, parts) if asked.is_stream else _json(parts[0])
        kind = "text/event-stream" if asked.is_stream else "application/json"
        return _message(content, kind=kind, generation=generation)


def _strictly_read(body: bytes) -> dict[str, Any]:
    """Raises NotWellFormed, also for members that come twice and for figures that JSON does not have."""

    def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            twice = sorted({name for name, _ in pairs if [each for each, _ in pairs].count(name) > 1})
            raise NotWellFormed(f"members come twice: {twice!r:.100}")
        return members

    def refused(name: str) -> float:
        raise NotWellFormed(f"{name} is no figure of JSON")

    # Whole numbers as Decimal, since int() takes no more than 4,300 digits; and not as texts, which prompts may be.
    try:
        read = json.loads(body.decode(), object_pairs_hook=members_of, parse_constant=refused, parse_int=Decimal)
    except (ValueError, RecursionError) as error:
        raise NotWellFormed(f"{type(error).__name__}") from error
    if not isinstance(read, dict):
        raise NotWellFormed("no object")
    return read


def _asked(api: str, members: Mapping[str, Any]) -> Asked:
    limits = [given for name in _LIMITS if (given := _figure(members.get(name))) is not None]
    answers = max([1, *(given for name in ("n", "best_of") if (given := _figure(members.get(name))) is not None)])
    if api == "completions":
        answers *= _prompts(members.get("prompt"))
    return Asked(
        api=api,
        model=str(members.get("model")),
        limit=max(limits) if limits else None,
        answers=answers,
        members=frozenset(members),
        nano_usd=_NANO_USD,
        is_stream=members.get("stream") is True,
    )


def _figure(given: object) -> int | None:
    """A provider that has no use for a member, as embeddings have none for a limit, minds no text there."""
    return int(given) if isinstance(given, Decimal | float) else None


def _prompts(given: object) -> int:
    """How many they are: the ids of tokens are one together, and so is a text; an array of either is as many."""
    if not isinstance(given, list) or all(isinstance(each, Decimal) for each in given):
        return 1
    return len(given)


def _cost(asked: Asked) -> float:
    return asked.nano_usd / 10**9


def answer_parts(api: str, generation: str, members: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What it answers: the events of a stream, or the whole as the only one."""
    return _PARTS[api](generation, members, _asked(api, {**members, "n": None, "best_of": None, "prompt": None}))


def _chat(generation: str, _: Mapping[str, Any], asked: Asked) -> list[dict[str, Any]]:
    usage = {
        "prompt_tokens": _INPUT_TOKENS,
        "completion_tokens": _OUTPUT_TOKENS,
        "total_tokens": _INPUT_TOKENS + _OUTPUT_TOKENS,
        "cost": _cost(asked),
    }
    is_text = asked.api == "completions"
    kind = "text_completion" if is_text else "chat.completion"
    head = {"id": generation, "object": kind, "created": 1, "model": asked.model, "provider": "Azure"}
    ended: dict[str, object] = {"index": 0, "finish_reason": "stop"}
    if not asked.is_stream:
        said = {"text": _WORDS} if is_text else {"message": {"role": "assistant", "content": _WORDS}}
        return [{**head, "choices": [{**ended, **said}], "usage": usage}]
    piece = {"text": _WORDS} if is_text else {"delta": {"role": "assistant", "content": _WORDS}}
    return [{**head, "choices": [{**ended, **piece}]}, {**head, "choices": [], "usage": usage}]


def _responses(generation: str, _: Mapping[str, Any], asked: Asked) -> list[dict[str, Any]]:
    part = {"type": "output_text", "text": _WORDS, "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    usage = {
        "input_tokens": _INPUT_TOKENS,
        "output_tokens": _OUTPUT_TOKENS,
        "total_tokens": _INPUT_TOKENS + _OUTPUT_TOKENS,
        "cost": _cost(asked),
    }
    head = {"id": generation, "object": "response", "created_at": 1, "model": asked.model, "error": None}
    whole = {**head, "status": "completed", "output": [item], "usage": usage}
    if not asked.is_stream:
        return [whole]
    place = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": _WORDS},
        {"type": "response.output_text.done", **place, "text": _WORDS},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": whole},
    ]
    return [{**each, "sequence_number": number} for number, each in enumerate(events)]


def _messages(generation: str, _: Mapping[str, Any], asked: Asked) -> list[dict[str, Any]]:
    usage = {"input_tokens": _INPUT_TOKENS, "output_tokens": _OUTPUT_TOKENS, "cost": _cost(asked)}
    head = {"id": generation, "type": "message", "role": "assistant", "model": asked.model}
    block = {"type": "text", "text": _WORDS}
    if not asked.is_stream:
        return [{**head, "content": [block], "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}]
    begun: dict[str, object] = {
        **head,
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": _INPUT_TOKENS, "output_tokens": 0},
    }
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {**block, "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": _WORDS}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


def _embeddings(generation: str, members: Mapping[str, Any], asked: Asked) -> list[dict[str, Any]]:
    vector: object = "AACAPwAAAAA=" if members.get("encoding_format") == "base64" else [1.0, 0.0]
    usage = {"prompt_tokens": _INPUT_TOKENS, "total_tokens": _INPUT_TOKENS, "cost": _cost(asked)}
    data = [{"object": "embedding", "index": 0, "embedding": vector}]
    return [{"id": generation, "object": "list", "model": asked.model, "data": data, "usage": usage}]


def _moderations(generation: str, _: Mapping[str, Any], asked: Asked) -> list[dict[str, Any]]:
    return [{"id": generation, "model": asked.model, "results": [{"flagged": False, "categories": {}}]}]


_PARTS: Mapping[str, Callable[[str, Mapping[str, Any], Asked], list[dict[str, Any]]]] = {
    "chat/completions": _chat,
    "completions": _chat,
    "responses": _responses,
    "messages": _messages,
    "embeddings": _embeddings,
    "moderations": _moderations,
}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _stream(api: str, parts: Sequence[Mapping[str, object]]) -> bytes:
    if api == "messages":
        return b"".join(b"event: %b\ndata: %b\n\n" % (str(each["type"]).encode(), _json(each)) for each in parts)
    return b"".join(b"data: %b\n\n" % _json(each) for each in parts) + b"data: [DONE]\n\n"


def _message(
    content: bytes, *, status: str = "200 OK", kind: str = "application/json", generation: str | None = None
) -> bytes:
    named = "" if generation is None else f"x-generation-id: {generation}\r\n"
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{named}content-length: {len(content)}\r\n\r\n"
    return head.encode() + content
