"""`POST /responses`: OpenAI's newer way to ask, as OpenRouter serves it: stateless, its streams without `event:` lines.

Bodies and events follow recordings of 2026-08; failures follow OpenRouter's documentation of that month.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from router.sandbox.answers import Choice, Piece
from router.sandbox.billing import Charge, Tokens
from router.sandbox.chat_wire import openrouter_headers
from router.sandbox.faults import Break, Quirk
from router.sandbox.json_text import JsonObject
from router.sandbox.orders import Order
from router.sandbox.refusals import invalid
from router.sandbox.requests import ChatRequest, chat_request, read_object
from router.sandbox.wire import DONE, Step, event, money_told

_PASSED_ON = ("model", "models", "provider", "stream", "temperature", "top_p", "reasoning", "cache_control")
_PARTS = {"input_text": "text", "output_text": "text", "text": "text"}
_NEVER_CALLED = frozenset({"custom", "local_shell", "shell", "apply_patch", "computer_use_preview"})
_ERROR = {"code": "server_error", "message": "Provider returned error"}


def read_responses_request(body: bytes) -> ChatRequest:
    """The request in `body`. Raises Refusal (400) saying which parameter is wrong."""
    fields = read_object(body)
    if fields.get("previous_response_id") is not None:
        raise invalid("Invalid request parameters: `previous_response_id` is not supported: this API is stateless")
    messages = [*_instructions(fields.get("instructions")), *_messages(fields.get("input"))]
    asked = {key: fields[key] for key in _PASSED_ON if key in fields}
    if fields.get("max_output_tokens") is not None:
        asked["max_tokens"] = fields["max_output_tokens"]
    if fields.get("tools"):
        asked["tools"] = [*_functions(fields["tools"])]
    if "tool_choice" in fields:
        asked["tool_choice"] = _tool_choice(fields["tool_choice"])
    match fields.get("text"):
        case {"format": {"type": "json_schema", "schema": schema}}:
            asked["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
        case {"format": {"type": "json_object"}}:
            asked["response_format"] = {"type": "json_object"}
    request = chat_request(asked | {"messages": messages})
    return replace(request, responses=fields)


class ResponsesDialect:
    """One order as a response. There is one choice; its items are thinking, then a message or a function call."""

    api_type = "responses"

    def __init__(self, order: Order) -> None:
        self._order = order
        self._choice = order.choices[0]
        self._fields = order.admission.request.responses or {}
        self._quirk = order.fault.quirk
        self._sequence_number = 0

    def headers(self) -> dict[str, str]:
        return openrouter_headers(self._order.id)

    def opening(self) -> bytes:
        started = self._response("in_progress", []) | {"usage": None}
        return self._worded(
            {"type": "response.created", "response": started}, {"type": "response.in_progress", "response": started}
        )

    def steps(self) -> Sequence[Step]:
        choice, steps = self._choice, list[Step]()
        if choice.reasoning:
            steps += self._thinking(choice)
        item = self._item(choice, "in_progress", body=())
        index = len(self._items(choice, "completed")) - 1
        added = ({"type": "response.output_item.added", "output_index": index, "item": item},)
        place = {"output_index": index, "item_id": item["id"]}
        if choice.tool_call is not None:
            opening, *arguments = choice.body
            steps.append(Step(0, added, opening.tokens))
            for piece in arguments:
                delta = {"type": "response.function_call_arguments.delta", **place, "delta": piece.text}
                steps.append(Step(0, (delta,), piece.tokens))
            return steps
        place["content_index"] = 0
        part = {"type": "response.content_part.added", **place, "part": _part("")}
        steps.append(Step(0, (*added, part), 0))
        for piece in choice.body:
            delta = {"type": "response.output_text.delta", **place, "delta": piece.text, "logprobs": []}
            steps.append(Step(0, (delta,), piece.tokens))
        return steps

    def worded(self, step: Step) -> bytes:
        return self._worded(*step.events)

    def finishing(self) -> bytes:
        choice, status = self._choice, _status(self._choice)
        item, index = self._item(choice, status, body=choice.body), len(self._items(choice, status)) - 1
        place = {"output_index": index, "item_id": item["id"]}
        text = "".join(piece.text for piece in choice.body)
        done: JsonObject = {"type": "response.output_item.done", "output_index": index, "item": item}
        if choice.tool_call is not None:
            said = {"type": "response.function_call_arguments.done", **place, "name": item["name"], "arguments": text}
            return self._worded(said, done)
        place["content_index"] = 0
        said = {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
        return self._worded(said, {"type": "response.content_part.done", **place, "part": _part(text)}, done)

    def usage(self, tokens: Tokens, cost: Charge) -> JsonObject:
        counts: JsonObject = {
            "input_tokens": tokens.prompt,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.completion,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.prompt + tokens.completion,
        }
        if tokens.cache_write:
            counts["input_tokens_details"]["cache_write_tokens"] = tokens.cache_write
        return counts | money_told(cost, self._quirk, prompt="input", completion="output")

    def ending(self, usage: JsonObject) -> bytes:
        response = self.whole(usage)
        end = self._worded({"type": f"response.{response['status']}", "response": response})
        return end if self._quirk is Quirk.NO_DONE else end + DONE

    def broken(self, breaks: Break, index: int) -> bytes:
        if breaks is Break.ERROR_CHUNK:
            return self._worded({"type": "error", **_ERROR, "param": None}) + DONE
        return self._worded({"type": "response.failed", "response": self.whole_broken()}) + DONE

    def broken_after_finish(self, usage: JsonObject) -> bytes:
        return self._worded({"type": "response.failed", "response": self.whole_broken() | {"usage": usage}}) + DONE

    def whole(self, usage: JsonObject) -> JsonObject:
        response = self._response(_status(self._choice), self._items(self._choice, _status(self._choice)))
        lacks_usage = self._quirk in (Quirk.NO_USAGE, Quirk.LATE_RECORD)
        return response if lacks_usage else response | {"usage": usage}

    def whole_broken(self) -> JsonObject:
        half = replace(self._choice, body=self._choice.body[: len(self._choice.body) // 2], tool_call=None)
        failed = {"error": _ERROR, "error_type": "provider_unavailable"}
        return self._response("failed", self._items(half, "incomplete")) | failed

    def error_body(self) -> JsonObject:
        return self._response("failed", []) | {"error": _ERROR, "error_type": "provider_overloaded"}

    # ----- events

    def _worded(self, *events: JsonObject) -> bytes:
        """The events with their numbers."""
        data = b""
        for each in events:
            data += event(each | {"sequence_number": self._sequence_number})
            self._sequence_number += 1
        return data

    def _thinking(self, choice: Choice) -> Iterator[Step]:
        """Thinking is shown as it comes, or comes encrypted when it has ended."""
        item = self._reasoning(choice, "in_progress", thoughts=())
        yield Step(0, ({"type": "response.output_item.added", "output_index": 0, "item": item},), 0, is_reasoning=True)
        place = {"output_index": 0, "item_id": item["id"], "content_index": 0}
        for piece in choice.reasoning:
            delta = {"type": "response.reasoning_text.delta", **place, "delta": piece.text}
            yield Step(0, (delta,) if self._shows_thoughts(choice) else (), piece.tokens, is_reasoning=True)
        whole = self._reasoning(choice, "completed", thoughts=choice.reasoning)
        ends: list[JsonObject] = []
        if self._shows_thoughts(choice):
            text = "".join(piece.text for piece in choice.reasoning)
            ends.append({"type": "response.reasoning_text.done", **place, "text": text})
        ends.append({"type": "response.output_item.done", "output_index": 0, "item": whole})
        yield Step(0, tuple(ends), 0, is_reasoning=True)

    # ----- items

    def _items(self, choice: Choice, status: str) -> list[JsonObject]:
        thinking = [self._reasoning(choice, "completed", thoughts=choice.reasoning)] if choice.reasoning else []
        return [*thinking, self._item(choice, status, body=choice.body)]

    def _item(self, choice: Choice, status: str, *, body: Sequence[Piece]) -> JsonObject:
        text = "".join(piece.text for piece in body)
        key = self._order.id[-11:].lower()
        call = choice.tool_call
        if call is None:
            content = [_part(text)] if status != "in_progress" else []
            return {
                "id": f"msg_tmp_{key}",
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": content,
            }
        return {
            "id": f"fc_tmp_{key}",
            "type": "function_call",
            "status": status,
            "call_id": call.id,
            "name": call.name,
            "arguments": text,
        }

    def _reasoning(self, choice: Choice, status: str, *, thoughts: Sequence[Piece]) -> JsonObject:
        offer = self._order.admission.offer
        assert offer.reasoning is not None
        item: JsonObject = {"id": f"rs_tmp_{self._order.id[-11:].lower()}", "type": "reasoning", "status": status}
        item["summary"] = []
        if not thoughts:
            return item
        if self._shows_thoughts(choice):
            item["content"] = [{"type": "reasoning_text", "text": "".join(piece.text for piece in thoughts)}]
        if offer.reasoning.style == "encrypted":
            item["encrypted_content"] = choice.signature
        if offer.reasoning.style == "signed":
            item["signature"] = choice.signature
        return item | {"format": offer.reasoning.detail_format}

    def _shows_thoughts(self, choice: Choice) -> bool:
        offer = self._order.admission.offer
        return choice.shows_reasoning and offer.reasoning is not None and offer.reasoning.style != "encrypted"

    def _response(self, status: str, output: list[JsonObject]) -> JsonObject:
        order, fields = self._order, self._fields
        created_at = int(order.created_at.timestamp())
        offer = order.admission.offer
        return {
            "id": order.id,
            "object": "response",
            "created_at": created_at,
            "model": offer.canonical_slug if self._quirk is Quirk.VERSION_AS_MODEL else order.admission.model,
            "status": status,
            "completed_at": created_at if status == "completed" else None,
            "output": output,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "tools": fields.get("tools") or [],
            "tool_choice": fields.get("tool_choice") or "auto",
            "parallel_tool_calls": True,
            "max_output_tokens": fields.get("max_output_tokens"),
            "temperature": _or(fields.get("temperature"), 1),
            "top_p": _or(fields.get("top_p"), 1),
            "presence_penalty": 0,
            "frequency_penalty": 0,
            "top_logprobs": 0,
            "max_tool_calls": None,
            "metadata": fields.get("metadata") or {},
            "background": False,
            "previous_response_id": None,
            "service_tier": "auto",
            "truncation": "disabled",
            "store": False,
            "instructions": fields.get("instructions"),
            "text": fields.get("text") or {"format": {"type": "text"}},
            "reasoning": fields.get("reasoning"),
            "safety_identifier": None,
            "prompt_cache_key": fields.get("prompt_cache_key"),
            "prompt_cache_options": None,
        }


def _or(value: object, default: int) -> object:
    return default if value is None else value


def _part(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _status(choice: Choice) -> str:
    return "incomplete" if choice.finish_reason == "length" else "completed"


def _instructions(value: object) -> list[JsonObject]:
    if value is None:
        return []
    if not isinstance(value, str):
        raise invalid("Invalid request parameters: `instructions` must be a string")
    return [{"role": "system", "content": value}]


def _messages(value: object) -> Iterator[JsonObject]:
    if isinstance(value, str):
        yield {"role": "user", "content": value}
    elif isinstance(value, list) and value:
        yield from filter(None, map(_message, value))
    else:
        raise invalid("Invalid request parameters: `input` must be a string or an array of at least one item")


def _message(item: object) -> JsonObject | None:
    match item:
        case {"type": "reasoning"}:
            return None
        case {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}:
            call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case {"type": "function_call_output", "call_id": call_id, "output": output}:
            return {"role": "tool", "tool_call_id": call_id, "content": _content(output)}
        case {"role": str(role), "content": content}:
            return {"role": role, "content": _content(content)}
    raise invalid("Invalid request parameters: `input` holds an item that is not understood")


def _content(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [_content_part(part) for part in value]


def _content_part(part: object) -> object:
    match part:
        case {"type": str(kind), "text": str(text)} if kind in _PARTS:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url)}:
            return {"type": "image_url", "image_url": {"url": url}}
        case {"type": "input_file", **file}:
            return {"type": "file", "file": file}
    return part


def _functions(tools: object) -> Iterator[JsonObject]:
    """The functions among the tools, those of a namespace too. A client's other tools are taken, and never called."""
    for tool in tools if isinstance(tools, list) else ():
        match tool:
            case {"type": "function", "name": str(name), **function}:
                yield {"type": "function", "function": function | {"name": name}}
            case {"type": "namespace", "tools": inside}:
                yield from _functions(inside)
            case {"type": str(kind)} if kind in _NEVER_CALLED:
                continue
            case _:
                raise invalid("Invalid request parameters: the sandbox knows tools only that run at the client")


def _tool_choice(value: object) -> object:
    match value:
        case {"type": "function", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}
    return value
