"""What a response says, for verification, from a whole one or from a stream's events as the client gets them.

Permissive, like wire/answers.py: what has an unexpected type is taken for absent, and so fails the check it is for.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from router.wire.answers import Answer, Called
from router.wire.events import payload_of
from router.wire.foreign import as_object, as_objects, as_text, decoded
from router.wire.responses_api.replies import ResponsesReplyReader
from router.wire.responses_api.tools import CUSTOM_INPUT, chat_name

_ENDS = ("response.completed", "response.incomplete")


def answers_in_response(body: bytes, replies: ResponsesReplyReader) -> tuple[Answer, ...]:
    """The one answer of a whole response; none if it is not one."""
    facts, response = replies.facts(body), as_object(decoded(body))
    if facts is None or not facts.choices:
        return ()
    return (_answer(as_objects(response.get("output")), facts.finish_reason),)


def answers_in_responses_events(events: bytes, replies: ResponsesReplyReader) -> tuple[Answer, ...]:
    """The one answer of a stream: the items that are done in it, and how it ended."""
    items: list[dict[str, Any]] = []
    finish_reason = None
    for each in events.split(b"\n\n"):
        payload = payload_of(each)
        told = {} if payload is None else as_object(decoded(payload))
        if told.get("type") == "response.output_item.done":
            items.extend(as_objects([told.get("item")]))
        elif told.get("type") in _ENDS and payload is not None:
            response = msgspec.json.decode(payload, type=dict[str, msgspec.Raw]).get("response", b"null")
            facts = replies.facts(bytes(response))
            finish_reason = None if facts is None else facts.finish_reason
            items = items or as_objects(as_object(told.get("response")).get("output"))
    return (_answer(items, finish_reason),) if items or finish_reason is not None else ()


def _answer(items: Sequence[dict[str, Any]], finish_reason: str | None) -> Answer:
    text: list[str] = []
    refusal: list[str] = []
    calls: list[Called] = []
    for item in items:
        match item.get("type"):
            case "message":
                parts = as_objects(item.get("content"))
                text.extend(_text(part.get("text")) for part in parts if part.get("type") == "output_text")
                refusal.extend(_text(part.get("refusal")) for part in parts)
            case "function_call":
                calls.append(Called(_name(item), _text(item.get("arguments"))))
            case "custom_tool_call":
                calls.append(Called(_name(item), msgspec.json.encode({CUSTOM_INPUT: item.get("input")}).decode()))
            case str(kind) if kind.endswith("_call") and kind != "image_generation_call":
                calls.append(Called(kind, _text(item.get("arguments"))))
    return Answer(
        text="".join(text) or None,
        calls=tuple(calls),
        finish_reason=finish_reason,
        refusal="".join(refusal) or None,
        has_media=any(item.get("type") == "image_generation_call" for item in items),
    )


def _name(item: dict[str, Any]) -> str:
    """What the request's tools are called where their parameters are looked up."""
    return chat_name(_text(item.get("name")), _text(item.get("namespace")) or None)


def _text(value: object) -> str:
    return as_text(value) or ""
