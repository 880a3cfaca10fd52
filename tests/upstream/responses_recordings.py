"""What OpenRouter sends at /responses, in the shapes that have been captured (2026-08) or documented (failures).

Written by hand after the captures (llm-openrouter's cassettes; docs/reference/openrouter.md §5): members, their order,
nulls, comments as there; ids, texts and figures our own.
"""

import json
from typing import Any

from tests.upstream.recordings import DONE, Recording

ID = "gen-1785880000-AbCdEfGhIjKlMnOpQrSt"
COMMENT = b": \n\n"
USAGE = {
    "input_tokens": 17,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 21,
    "cost": 0.0000825,
    "is_byok": False,
    "cost_details": {"upstream_inference_cost": 0.0000825},
}
FAILURE = {"code": "server_error", "message": "Provider returned error"}
SEALED = "gAAAAABo" + "q7Zt-_" * 190


def response(status: str, output: list[Any], **members: object) -> dict[str, Any]:
    return {
        "id": ID,
        "object": "response",
        "created_at": 1785880000,
        "model": "openai/gpt-5.4",
        "status": status,
        "completed_at": 1785880001 if status == "completed" else None,
        "output": output,
        "error": None,
        "incomplete_details": None,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_output_tokens": None,
        "temperature": 1,
        "top_p": 1,
        "metadata": {},
        "background": False,
        "previous_response_id": None,
        "service_tier": "auto",
        "truncation": "disabled",
        "store": False,
        "instructions": None,
        "text": {"format": {"type": "text"}},
        "usage": None,
        **members,
    }


def stream(*events: dict[str, Any], done: bytes = DONE) -> bytes:
    """As OpenRouter writes it: data lines only, numbered, the type first and the number last."""
    numbered = ({**each, "sequence_number": number} for number, each in enumerate(events))
    lines = (json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() for each in numbered)
    return COMMENT + b"".join(b"data: %b\n\n" % line for line in lines) + done


BEGUN = [
    {"type": "response.created", "response": response("in_progress", [])},
    {"type": "response.in_progress", "response": response("in_progress", [])},
]


def part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def message(text: str, *, status: str = "completed") -> dict[str, Any]:
    content = [part(text)] if text else []
    return {"id": "msg_tmp_1", "type": "message", "status": status, "role": "assistant", "content": content}


def saying(words: list[str], *, index: int = 0) -> list[dict[str, Any]]:
    text, place = "".join(words), {"output_index": index, "item_id": "msg_tmp_1", "content_index": 0}
    added = message("", status="in_progress")
    return [
        {"type": "response.output_item.added", "output_index": index, "item": added},
        {"type": "response.content_part.added", **place, "part": part("")},
        *({"type": "response.output_text.delta", **place, "delta": word, "logprobs": []} for word in words),
        {"type": "response.output_text.done", **place, "text": text, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": part(text)},
        {"type": "response.output_item.done", "output_index": index, "item": message(text)},
    ]


def ending(output: list[Any], status: str = "completed", **members: object) -> dict[str, Any]:
    return {"type": f"response.{status}", "response": response(status, output, usage=USAGE, **members)}


_WORDS = ["Tea", " isn", "’t", " coffee", " 茶", "\n\ndata: [DONE]\n\n"]
_SAID = message("".join(_WORDS))
_CALL = {"id": "fc_tmp_1", "type": "function_call", "call_id": "call_1", "name": "tea", "arguments": '{"cups":2}'}
_THOUGHT = {"id": "rs_1", "type": "reasoning", "status": "completed", "summary": [], "encrypted_content": SEALED}

PLAIN = stream(*BEGUN, *saying(_WORDS), ending([_SAID]))
REASONED = stream(
    *BEGUN,
    {"type": "response.output_item.added", "output_index": 0, "item": {**_THOUGHT, "status": "in_progress"}},
    {"type": "response.output_item.done", "output_index": 0, "item": _THOUGHT},
    *saying(_WORDS, index=1),
    ending([_THOUGHT, _SAID]),
)
CALLED = stream(
    *BEGUN,
    {"type": "response.output_item.added", "output_index": 0, "item": {**_CALL, "arguments": ""}},
    {
        "type": "response.function_call_arguments.delta",
        "output_index": 0,
        "item_id": "fc_tmp_1",
        "delta": '{"cups":2}',
    },
    {
        "type": "response.function_call_arguments.done",
        "output_index": 0,
        "item_id": "fc_tmp_1",
        "name": "tea",
        "arguments": '{"cups":2}',
    },
    {"type": "response.output_item.done", "output_index": 0, "item": {**_CALL, "status": "completed"}},
    ending([{**_CALL, "status": "completed"}]),
)
CUT = stream(*BEGUN, *saying(_WORDS), ending([_SAID], "incomplete", incomplete_details={"reason": "max_output_tokens"}))
FAILED = stream(
    *BEGUN,
    *saying(_WORDS)[:4],
    ending([], "failed", error=FAILURE, error_type="provider_unavailable"),
)
ERROR_EVENT = stream(*BEGUN, *saying(_WORDS)[:4], {"type": "error", **FAILURE, "param": None})

GOOD = {"plain": PLAIN, "reasoned": REASONED, "called": CALLED, "cut": CUT}
BAD = {"failed": FAILED, "error event": ERROR_EVENT}
RESPONSES_RECORDINGS = [Recording(name, body) for name, body in {**GOOD, **BAD}.items()]
