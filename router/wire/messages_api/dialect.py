"""How clients of Anthropic's Messages API are answered: `MessagesDialect`."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from router.apis import Api
from router.errors import PenstockError
from router.wire.answers import Answer, Called
from router.wire.dialect import Editor
from router.wire.events import payload_of
from router.wire.foreign import as_object, as_objects, decoded
from router.wire.messages_api import errors
from router.wire.messages_api.replies import FINISHES, MessageReader
from router.wire.messages_api.streams import MessagesEditor
from router.wire.messages_api.translated_streams import TranslatedEditor
from router.wire.messages_api.translation import events_of, message_of
from router.wire.replies import ReplyReader
from router.wire.requests import ModelRequest
from router.wire.streams import StreamEditor


class MessagesDialect:
    """The Messages API, whether the provider is asked by it or by chat completions."""

    def __init__(self, chats: ReplyReader, messages: MessageReader) -> None:
        self._chats = chats
        self._messages = messages

    def editor(self, request: ModelRequest, spoken: Api, input_tokens: int = 0) -> Editor:
        if spoken is Api.MESSAGES:
            return MessagesEditor(self._messages)
        chat = StreamEditor(self._chats, shows_usage=False, choices=1)
        return TranslatedEditor(chat, stop_sequences=_stop_sequences(request), input_tokens=input_tokens)

    def whole(self, body: bytes, request: ModelRequest, spoken: Api) -> bytes:
        if spoken is Api.MESSAGES:
            return body
        facts = self._chats.facts(body)
        bill = None if facts is None else facts.bill
        return msgspec.json.encode(message_of(body, bill=bill, stop_sequences=_stop_sequences(request)))

    def as_stream(self, body: bytes) -> bytes:
        try:
            return b"".join(events_of(msgspec.json.decode(body, type=dict[str, Raw])))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error

    def said(self, body: bytes) -> Sequence[Answer]:
        message = as_object(decoded(body))
        return (_answer(message, as_objects(message["content"])),) if "content" in message else ()

    def said_in_events(self, events: bytes) -> Sequence[Answer]:
        told: dict[str, Any] = {}
        blocks: dict[int, dict[str, Any]] = {}
        for event in _payloads(events):
            match event:
                case {"type": "content_block_start", "index": int(index), "content_block": dict(block)}:
                    blocks[index] = {**block, "written": []}
                case {"type": "content_block_delta", "index": int(index), "delta": dict(delta)} if index in blocks:
                    written = delta.get("text") or delta.get("partial_json") or ""
                    blocks[index]["written"].append(written if isinstance(written, str) else "")
                case {"type": "message_delta", "delta": dict(delta)}:
                    told.update(delta)
        whole = [_put_together(blocks[index]) for index in sorted(blocks)]
        return (_answer(told, whole),) if whole or told else ()

    def error_body(self, error: PenstockError, *, request_id: str) -> bytes:
        return errors.error_body(error, request_id)

    def error_event(self, error: PenstockError, *, request_id: str) -> bytes:
        return errors.error_event(error, request_id=request_id)


def _stop_sequences(request: ModelRequest) -> Sequence[str]:
    given = request.members.get("stop")
    return [] if given is None else msgspec.json.decode(given, type=list[str])


def _payloads(events: bytes) -> Iterator[object]:
    for event in events.split(b"\n\n"):
        payload = payload_of(event)
        if payload is not None:
            yield decoded(payload)


def _put_together(block: dict[str, Any]) -> dict[str, Any]:
    written = "".join(block["written"])
    if block.get("type") == "tool_use":
        return {**block, "arguments": written}
    return {**block, "text": f"{block.get('text') or ''}{written}"}


def _answer(told: dict[str, Any], blocks: list[dict[str, Any]]) -> Answer:
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    reason = told.get("stop_reason")
    text = "".join(texts) or None
    is_refusal = reason == "refusal"
    return Answer(
        text=None if is_refusal else text,
        calls=tuple(Called(str(call.get("name") or ""), _arguments(call)) for call in calls),
        finish_reason=FINISHES.get(reason, reason) if isinstance(reason, str) else None,
        refusal=text if is_refusal else None,
    )


def _arguments(call: dict[str, Any]) -> str:
    """As the model wrote them, in a stream; a whole message has them as an object."""
    written = call.get("arguments")
    return written if isinstance(written, str) else msgspec.json.encode(call.get("input")).decode()
