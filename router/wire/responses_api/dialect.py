"""How a client of the Responses API is answered: `ResponsesDialect`."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from router.apis import Api
from router.errors import PenstockError
from router.wire.answers import Answer
from router.wire.dialect import Editor
from router.wire.replies import ReplyReader, error_body
from router.wire.requests import ModelRequest
from router.wire.responses_api.events import error_events, event
from router.wire.responses_api.mending import with_all_counts
from router.wire.responses_api.native import NativeEditor
from router.wire.responses_api.replies import ResponsesReplyReader
from router.wire.responses_api.said import answers_in_response, answers_in_responses_events
from router.wire.responses_api.translated import ChatAnswer, TranslatedEditor, response_of
from router.wire.streams import StreamEditor


class ResponsesDialect:
    """From providers that speak the Responses API, and from those that speak chat completions."""

    def __init__(self, chats: ReplyReader, replies: ResponsesReplyReader) -> None:
        self._chats = chats
        self._replies = replies
        self._answers = msgspec.json.Decoder(ChatAnswer)

    def editor(self, request: ModelRequest, spoken: Api, _: int = 0) -> Editor:
        if spoken is Api.RESPONSES:
            return NativeEditor(self._replies)
        return TranslatedEditor(StreamEditor(self._chats, shows_usage=True, choices=1), request, self._answers)

    def whole(self, body: bytes, request: ModelRequest, spoken: Api) -> bytes:
        return with_all_counts(body) if spoken is Api.RESPONSES else response_of(self._answers.decode(body), request)

    def as_stream(self, body: bytes) -> bytes:
        """Each item of it as one that is added, said and done at once. Without an end clients would wait for one, so
        that what is no response is not passed on as it is."""
        try:
            response = msgspec.json.decode(body, type=dict[str, Raw])
            items = msgspec.json.decode(response["output"], type=list[dict[str, Raw]])
            status = msgspec.json.decode(response["status"], type=str)
            told = [part for index, item in enumerate(items) for part in _told(index, item)]
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError) as error:
            raise ValueError("no response that a stream could tell") from error
        started: dict[str, Any] = {**response, "status": "in_progress", "output": [], "usage": None}
        begun = [("response.created", {"response": started}), ("response.in_progress", {"response": started})]
        ended = (f"response.{status}", {"response": response})
        return b"".join(event(kind, number, **each) for number, (kind, each) in enumerate([*begun, *told, ended]))

    def said(self, body: bytes) -> Sequence[Answer]:
        return answers_in_response(body, self._replies)

    def said_in_events(self, events: bytes) -> Sequence[Answer]:
        return answers_in_responses_events(events, self._replies)

    def error_body(self, error: PenstockError, *, request_id: str) -> bytes:
        return error_body(error, request_id=request_id)

    def error_event(self, error: PenstockError, *, request_id: str) -> bytes:
        return error_events(error, request_id=request_id, sequence_number=0)


def _told(index: int, item: dict[str, Raw]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of one finished item. Of kinds that have no deltas it is added and done."""
    kind = msgspec.json.decode(item["type"], type=str)
    place: dict[str, Any] = {"output_index": index, "item_id": item.get("id", "")}
    added: dict[str, Any] = {**item, "status": "in_progress"}
    said: list[tuple[str, dict[str, Any]]] = []
    if kind == "message":
        added["content"] = []
        parts = msgspec.json.decode(item["content"], type=list[dict[str, Raw]])
        said = [each for at, part in enumerate(parts) for each in _part(part, {**place, "content_index": at})]
    elif kind == "function_call":
        added["arguments"] = ""
        said = [
            ("response.function_call_arguments.delta", {**place, "delta": item["arguments"]}),
            ("response.function_call_arguments.done", {**place, "name": item["name"], "arguments": item["arguments"]}),
        ]
    elif kind == "custom_tool_call":
        added["input"] = ""
        said = [
            ("response.custom_tool_call_input.delta", {**place, "delta": item["input"]}),
            ("response.custom_tool_call_input.done", {**place, "input": item["input"]}),
        ]
    yield "response.output_item.added", {"output_index": index, "item": added}
    yield from said
    yield "response.output_item.done", {"output_index": index, "item": item}


def _part(part: dict[str, Raw], place: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    if msgspec.json.decode(part["type"], type=str) == "refusal":
        yield "response.content_part.added", {**place, "part": {**part, "refusal": ""}}
        yield "response.refusal.delta", {**place, "delta": part["refusal"]}
        yield "response.refusal.done", {**place, "refusal": part["refusal"]}
    elif "text" in part:
        yield "response.content_part.added", {**place, "part": {**part, "text": "", "annotations": []}}
        yield "response.output_text.delta", {**place, "delta": part["text"], "logprobs": []}
        yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**place, "part": part}
