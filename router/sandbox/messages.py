"""`POST /messages`: Anthropic's API as OpenRouter serves it, its streams with `event:` lines and `[DONE]` at the end.

Shapes follow OpenRouter's OpenAPI file of 2026-08; no traffic of this endpoint has been recorded. What the file leaves
open is the sandbox's choice: the id is the generation's, as in OpenRouter's other answers; a stream tells its cost in
the usage of `message_delta`, where the counts are final; an error that came with status 200 stands beside the content.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from router.sandbox.answers import Choice
from router.sandbox.billing import Charge, Tokens
from router.sandbox.chat_wire import openrouter_headers
from router.sandbox.faults import Break, Quirk
from router.sandbox.json_text import JsonObject, decode, encode
from router.sandbox.orders import Order
from router.sandbox.refusals import Refusal, invalid
from router.sandbox.requests import ChatRequest, chat_request, read_object
from router.sandbox.wire import DONE, Step, money_told

_PASSED_ON = ("model", "models", "max_tokens", "provider", "stream", "temperature", "top_p", "top_k", "cache_control")
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_ERROR: JsonObject = {
    "type": "api_error",
    "message": "Provider returned error",
    "error_type": "provider_unavailable",
}
_LIMIT_ERROR: JsonObject = {"type": "invalid_request_error", "message": "Token limit reached"}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    524: "timeout_error",
    529: "overloaded_error",
}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_ANY_INPUT = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
"""What tools take whose schema only Anthropic knows."""


def read_messages_request(body: bytes) -> ChatRequest:
    """The request in `body`. Raises Refusal (400) saying which parameter is wrong."""
    fields = read_object(body)
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("Invalid request: messages is required")
    asked = {key: fields[key] for key in _PASSED_ON if key in fields}
    asked["messages"] = [*_system(fields.get("system")), *(each for m in messages for each in _messages(m))]
    if fields.get("stop_sequences"):
        asked["stop"] = fields["stop_sequences"]
    if fields.get("tools"):
        asked["tools"] = [_tool(tool) for tool in fields["tools"]]
    if fields.get("tool_choice") is not None and fields.get("tools"):
        asked["tool_choice"] = _tool_choice(fields["tool_choice"])
    config = fields.get("output_config") or {}
    if not isinstance(config, dict):
        raise invalid("Invalid request: output_config must be an object")
    if (reasoning := _reasoning(fields.get("thinking"), config.get("effort"))) is not None:
        asked["reasoning"] = reasoning
    match config.get("format"):
        case {"type": "json_schema", "schema": schema}:
            asked["response_format"] = {"type": "json_schema", "json_schema": {"schema": schema}}
    return chat_request(asked)


def error_envelope(refusal: Refusal) -> JsonObject:
    """A refusal in Anthropic's shape; what OpenRouter says beside it stands outside the error."""
    error: JsonObject = {"type": _ERROR_TYPES.get(refusal.status, "api_error"), "message": refusal.message}
    metadata = dict(refusal.metadata or {})
    if refusal.error is not None:
        error |= {key: value for key, value in refusal.error.items() if key != "message"}
    elif "error_type" in metadata:
        error["error_type"] = metadata.pop("error_type")
    envelope: JsonObject = {"type": "error", "error": error, "request_id": None}
    return envelope | {"metadata": metadata} if metadata else envelope


class MessagesDialect:
    """One order as a message. Its blocks are thinking, then text or the use of a tool."""

    api_type = "completions"  # the file has no word of its own for it

    def __init__(self, order: Order) -> None:
        self._order = order
        self._choice = order.choices[0]
        self._offer = order.admission.offer
        self._quirk = order.fault.quirk

    def headers(self) -> dict[str, str]:
        return openrouter_headers(self._order.id)

    def opening(self) -> bytes:
        usage = self._counts(self._order.tokens(completion=0, reasoning=0))
        return named_event({"type": "message_start", "message": self._message([], None) | {"usage": usage}})

    def steps(self) -> Sequence[Step]:
        choice, thinking = self._choice, self._thinking_blocks(self._choice)
        steps = list(self._thinking_steps(choice, thinking))
        index = len(thinking)
        opening = _start(index, self._body_block(choice, ""))
        if choice.tool_call is None:
            steps.append(Step(0, (opening,), 0))
            deltas = [(piece, {"type": "text_delta", "text": piece.text}) for piece in choice.body]
        else:
            first, *arguments = choice.body
            steps.append(Step(0, (opening,), first.tokens))
            deltas = [(piece, {"type": "input_json_delta", "partial_json": piece.text}) for piece in arguments]
        for piece, delta in deltas:
            steps.append(Step(0, (_added(index, delta),), piece.tokens))
        return steps

    def worded(self, step: Step) -> bytes:
        return b"".join(map(named_event, step.events))

    def finishing(self) -> bytes:
        return named_event(_stop(len(self._thinking_blocks(self._choice))))

    def usage(self, tokens: Tokens, cost: Charge) -> JsonObject:
        return self._counts(tokens) | money_told(cost, self._quirk, prompt="prompt", completion="completions")

    def ending(self, usage: JsonObject) -> bytes:
        end = self._delta(None if self._lacks_usage else usage) + named_event({"type": "message_stop"})
        return end if self._quirk is Quirk.NO_DONE else end + DONE

    def broken(self, breaks: Break, index: int) -> bytes:
        error = named_event({"type": "error", "error": _ERROR})
        return error if breaks in (Break.ERROR_CHUNK_FINISHING, Break.ERROR_CHUNK_TEXT_CODE) else error + DONE

    def broken_after_finish(self, usage: JsonObject) -> bytes:
        return self._delta(usage) + named_event({"type": "error", "error": _LIMIT_ERROR}) + DONE

    def whole(self, usage: JsonObject) -> JsonObject:
        choice = self._choice
        content = [*self._thinking_blocks(choice), self._body_block(choice, "".join(p.text for p in choice.body))]
        return self._message(content, self._stop_reason) | ({} if self._lacks_usage else {"usage": usage})

    def whole_broken(self) -> JsonObject:
        half = "".join(piece.text for piece in self._choice.body[: len(self._choice.body) // 2])
        content = [self._body_block(replace(self._choice, tool_call=None), half)]
        usage = self._counts(self._order.tokens(completion=0, reasoning=0))
        return self._message(content, None) | {"usage": usage, "error": _ERROR}

    def error_body(self) -> JsonObject:
        return {"type": "error", "error": _ERROR, "request_id": self._order.id}

    # ----- parts

    @property
    def _lacks_usage(self) -> bool:
        return self._quirk in (Quirk.NO_USAGE, Quirk.LATE_RECORD)

    @property
    def _stop_reason(self) -> str | None:
        return None if self._quirk is Quirk.NO_COMPLETION else _STOP_REASONS[self._choice.finish_reason]

    def _message(self, content: Sequence[JsonObject], stop_reason: str | None) -> JsonObject:
        """A message without its usage."""
        is_version = self._quirk is Quirk.VERSION_AS_MODEL
        return {
            "id": self._order.id,
            "type": "message",
            "role": "assistant",
            "container": None,
            "content": content,
            "model": self._offer.canonical_slug if is_version else self._order.admission.model,
            "stop_reason": stop_reason,
            "stop_details": None,
            "stop_sequence": None,
            "provider": self._offer.provider.name,
        }

    def _delta(self, usage: JsonObject | None) -> bytes:
        """The event that says why it ended. Without a usage the counts are those of the start, as null."""
        ends = {"container": None, "stop_details": None, "stop_reason": self._stop_reason, "stop_sequence": None}
        told = {key: value for key, value in (usage or {}).items() if key not in ("inference_geo", "service_tier")}
        event = {"type": "message_delta", "delta": ends}
        return named_event(event if usage is None else event | {"usage": told})

    def _counts(self, tokens: Tokens) -> JsonObject:
        """Tokens as Anthropic counts them: those read from the cache and written to it are not in the input."""
        thinking = tokens.completion + 1 if self._quirk is Quirk.MUCH_REASONING else tokens.reasoning
        written = {"ephemeral_5m_input_tokens": tokens.cache_write, "ephemeral_1h_input_tokens": 0}
        return {
            "input_tokens": max(tokens.prompt - tokens.cached - tokens.cache_write, 0),
            "output_tokens": tokens.completion,
            "output_tokens_details": {"thinking_tokens": thinking} if thinking else None,
            "cache_creation_input_tokens": tokens.cache_write,
            "cache_read_input_tokens": tokens.cached,
            "cache_creation": written if tokens.cache_write else None,
            "inference_geo": None,
            "server_tool_use": None,
            "service_tier": "standard",
        }

    def _thinking_blocks(self, choice: Choice) -> list[JsonObject]:
        if not choice.reasoning or not choice.shows_reasoning or self._offer.reasoning is None:
            return []
        if self._offer.reasoning.style == "encrypted":
            return [{"type": "redacted_thinking", "data": choice.signature}]
        signature = choice.signature if self._offer.reasoning.style == "signed" else ""
        thoughts = "".join(piece.text for piece in choice.reasoning)
        return [{"type": "thinking", "thinking": thoughts, "signature": signature}]

    def _thinking_steps(self, choice: Choice, blocks: Sequence[JsonObject]) -> Iterator[Step]:
        if not blocks or blocks[0]["type"] == "redacted_thinking":
            for piece in choice.reasoning:
                yield Step(0, (), piece.tokens, is_reasoning=True)
            for block in blocks:
                yield Step(0, (_start(0, block), _stop(0)), 0, is_reasoning=True)
            return
        yield Step(0, (_start(0, blocks[0] | {"thinking": "", "signature": ""}),), 0, is_reasoning=True)
        for piece in choice.reasoning:
            delta = {"type": "thinking_delta", "thinking": piece.text}
            yield Step(0, (_added(0, delta),), piece.tokens, is_reasoning=True)
        signature = blocks[0]["signature"]
        proof = (_added(0, {"type": "signature_delta", "signature": signature}),) if signature else ()
        yield Step(0, (*proof, _stop(0)), 0, is_reasoning=True)

    def _body_block(self, choice: Choice, text: str) -> JsonObject:
        call = choice.tool_call
        if call is None:
            return {"type": "text", "text": text, "citations": None}
        block = {"type": "tool_use", "id": call.id, "name": call.name, "caller": {"type": "direct"}}
        return block | {"input": _input(text)}


def named_event(event: JsonObject) -> bytes:
    """One server-sent event under its name."""
    return b"event: %b\ndata: %b\n\n" % (str(event["type"]).encode(), encode(event))


def _start(index: int, block: JsonObject) -> JsonObject:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _added(index: int, delta: JsonObject) -> JsonObject:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def _stop(index: int) -> JsonObject:
    return {"type": "content_block_stop", "index": index}


def _input(text: str) -> object:
    """The arguments as an object; what was cut off cannot be one."""
    try:
        return decode(text)
    except ValueError:
        return {}


# ----- requests


def _system(value: object) -> list[JsonObject]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [{"role": "system", "content": value}]
    return [{"role": "system", "content": [_part(block) for block in _blocks(value)]}]


def _messages(value: object) -> Iterator[JsonObject]:
    match value:
        case {"role": "user" | "assistant" | "system" as role, "content": str(text)}:
            yield {"role": role, "content": text}
        case {"role": "assistant", "content": list(blocks)}:
            yield _assistants(_blocks(blocks))
        case {"role": "user" | "system" as role, "content": list(blocks)}:
            read = _blocks(blocks)
            yield from (_result(block) for block in read if block.get("type") == "tool_result")
            said = [_part(block) for block in read if block.get("type") != "tool_result"]
            if said:
                yield {"role": role, "content": said}
        case _:
            raise invalid("Invalid request: messages must have a role of user or assistant, and content")


def _assistants(blocks: Sequence[JsonObject]) -> JsonObject:
    calls = [
        {
            "id": block.get("id"),
            "type": "function",
            "function": {"name": block.get("name"), "arguments": encode(block.get("input") or {}).decode()},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    thoughts = ("thinking", "redacted_thinking")
    said = [_part(block) for block in blocks if block.get("type") not in ("tool_use", *thoughts)]
    message: JsonObject = {"role": "assistant", "content": said or None}
    return message | {"tool_calls": calls} if calls else message


def _result(block: JsonObject) -> JsonObject:
    content = block.get("content")
    parts = [_part(each) for each in _blocks(content)] if isinstance(content, list) else content or ""
    if "cache_control" in block:
        parts = parts if isinstance(parts, list) else [{"type": "text", "text": parts}]
        parts = [*parts[:-1], parts[-1] | {"cache_control": block["cache_control"]}] if parts else parts
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": parts}


def _part(block: JsonObject) -> JsonObject:
    match block:
        case {"type": "image", "source": {"type": "base64", "media_type": str(kind), "data": str(data)}}:
            part: JsonObject = {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            part = {"type": "image_url", "image_url": {"url": url}}
        case {"type": "document", "source": {"type": "text", "data": str(text)}}:
            part = {"type": "text", "text": text}
        case {"type": "document"}:
            part = {"type": "file", "file": block.get("source")}
        case {"type": "text", "text": str(text)}:
            part = {"type": "text", "text": text}
        case _:
            part = {"type": "text", "text": encode(block).decode()}
    return part | {"cache_control": block["cache_control"]} if "cache_control" in block else part


def _blocks(value: object) -> list[JsonObject]:
    if not isinstance(value, list) or not all(isinstance(block, dict) for block in value):
        raise invalid("Invalid request: content must be a string or an array of blocks")
    return value


def _tool(value: object) -> JsonObject:
    match value:
        case {"name": str(name), "input_schema": dict(schema), **more}:
            function: JsonObject = {"name": name, "description": more.get("description") or "", "parameters": schema}
        case {"name": str(name), "type": str()}:
            function = {"name": name, "description": "", "parameters": _ANY_INPUT}
        case _:
            raise invalid("Invalid request: tools must have a name and an input_schema")
    tool: JsonObject = {"type": "function", "function": function}
    return tool


def _tool_choice(value: object) -> object:
    match value:
        case {"type": "auto" | "none" as kind}:
            return kind
        case {"type": "any"}:
            return "required"
        case {"type": "tool", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}
    raise invalid("Invalid request: tool_choice must be auto, any, none or name a tool")


def _reasoning(thinking: object, effort: object) -> Mapping[str, object] | None:
    if effort is not None and effort not in _EFFORTS:
        raise invalid(f"Invalid request: output_config.effort must be one of {', '.join(_EFFORTS)}")
    match thinking:
        case None:
            return None
        case {"type": "disabled"}:
            return {"effort": "none"}
        case {"type": "enabled", "budget_tokens": int(budget), **more}:
            return {"max_tokens": budget, "exclude": more.get("display") == "omitted"}
        case {"type": "adaptive", **more}:
            return {"effort": effort or "medium", "exclude": more.get("display") == "omitted"}
    raise invalid("Invalid request: thinking must be enabled with budget_tokens, adaptive or disabled")
