"""How a client is answered in the API by which it asked, whichever API the provider was asked by: `Dialect`, `Editor`.

`ChatDialect` is the one for chat completions. Every provider is asked for a chat by chat completions, so that it
translates nothing.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from router.apis import Api
from router.errors import PenstockError
from router.wire.answers import Answer, answers_in, answers_in_events
from router.wire.events import on_one_line
from router.wire.replies import Bill, ReplyReader, error_body
from router.wire.requests import ModelRequest
from router.wire.streams import DONE, StreamEditor, error_event


class Editor(Protocol):
    """One stream on its way: the provider's bytes in, the client's events out, and what its end is booked by.

    `feed` everything that arrives, then call `end`; both give bytes for the client. Afterwards, and at any time before,
    the attributes say what has been seen.
    """

    @property
    def bill(self) -> Bill | None: ...

    @property
    def error(self) -> bytes | None:
        """The provider's error object, as received."""
        ...

    @property
    def finish_reason(self) -> str | None: ...

    @property
    def generation_id(self) -> str | None: ...

    @property
    def served_model(self) -> str | None: ...

    @property
    def serving_provider(self) -> str | None: ...

    @property
    def has_begun(self) -> bool:
        """Something of the answer itself has been seen: from here on nobody else is asked."""
        ...

    @property
    def has_failed(self) -> bool:
        """With an error of the provider's, or with an event that nobody can read."""
        ...

    @property
    def is_done(self) -> bool:
        """The provider has said that nothing follows."""
        ...

    @property
    def is_complete(self) -> bool:
        """The answer reached its end."""
        ...

    def feed(self, data: bytes, /) -> bytes:
        """What the client may have now. Raises EventTooLong."""
        ...

    def end(self) -> bytes:
        """What the client still has to get once the provider has closed a complete stream well."""
        ...

    def broken(self, error: PenstockError, *, request_id: str) -> bytes:
        """The last event of a stream that broke off."""
        ...


class Dialect(Protocol):
    """One API of the clients."""

    def editor(self, request: ModelRequest, spoken: Api, input_tokens: int = 0, /) -> Editor:
        """For one stream of a provider that is asked by `spoken`.

        `input_tokens` are those expected: a translated stream may have to say them before the provider does.
        """
        ...

    def whole(self, body: bytes, request: ModelRequest, spoken: Api, /) -> bytes:
        """A whole answer by `spoken`, in UTF-8, as the client gets it. Raises ValueError if it is no such answer."""
        ...

    def as_stream(self, body: bytes, /) -> bytes:
        """A whole answer, as the client gets it, as the events of a stream, with its end, for one who was promised a
        stream. Raises ValueError if it has a shape that cannot be told so."""
        ...

    def said(self, body: bytes, /) -> Sequence[Answer]:
        """What a whole answer, as the client gets it, says."""
        ...

    def said_in_events(self, events: bytes, /) -> Sequence[Answer]:
        """What the events of a stream, as the client gets them, say together."""
        ...

    def error_body(self, error: PenstockError, *, request_id: str) -> bytes: ...

    def error_event(self, error: PenstockError, *, request_id: str) -> bytes:
        """An error in place of a stream's first event, where the head has been sent already."""
        ...


class InOpenAIsWords:
    """How errors are told to clients of OpenAI's APIs."""

    def error_body(self, error: PenstockError, *, request_id: str) -> bytes:
        return error_body(error, request_id=request_id)

    def error_event(self, error: PenstockError, *, request_id: str) -> bytes:
        return error_event(error_body(error, request_id=request_id))


class ChatDialect(InOpenAIsWords):
    """Chat completions."""

    def __init__(self, reader: ReplyReader) -> None:
        self._reader = reader

    def editor(self, request: ModelRequest, _: Api, __: int = 0) -> Editor:
        return StreamEditor(self._reader, shows_usage=request.includes_usage, choices=request.choices)

    def whole(self, body: bytes, _: ModelRequest, __: Api) -> bytes:
        return with_arguments(body) if b'"arguments":""' in body or b'"arguments": ""' in body else body

    def as_stream(self, body: bytes) -> bytes:
        """Its usage stays in it."""
        try:
            answer = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
            choices = msgspec.json.decode(answer["choices"], type=list[dict[str, msgspec.Raw]])
            chunk = {**answer, "object": "chat.completion.chunk", "choices": [_as_delta(choice) for choice in choices]}
        except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):  # not ours to judge
            return b"data: " + on_one_line(body) + b"\n\n" + DONE
        return b"data: " + on_one_line(msgspec.json.encode(chunk)) + b"\n\n" + DONE

    def said(self, body: bytes) -> Sequence[Answer]:
        return answers_in(body)

    def said_in_events(self, events: bytes) -> Sequence[Answer]:
        return answers_in_events(events)


def with_arguments(body: bytes) -> bytes:
    """A whole answer whose calls of tools without arguments say `{}`, as no JSON parser takes the nothing that some
    providers send; the rest of it as it came."""
    try:
        answer = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        choices = msgspec.json.decode(answer["choices"], type=list[dict[str, msgspec.Raw]])
        complete = [choice for choice in choices if bytes(choice.get("finish_reason", b"")) in _COMPLETE]
        if not complete:
            return body
        for choice in complete:
            message = msgspec.json.decode(choice["message"], type=dict[str, msgspec.Raw])
            calls = msgspec.json.decode(message["tool_calls"], type=list[dict[str, msgspec.Raw]])
            message["tool_calls"] = _encoded([_with_arguments(call) for call in calls])
            choice["message"] = _encoded(message)
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):  # not ours to judge
        return body
    return msgspec.json.encode({**answer, "choices": choices})


_COMPLETE = frozenset({b'"stop"', b'"tool_calls"'})  # after any other reason, arguments may have been cut off


def _with_arguments(call: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    function = msgspec.json.decode(call.get("function", b"null"), type=dict[str, msgspec.Raw] | None)
    if function is None or bytes(function.get("arguments", b"")) != b'""':
        return call
    return {**call, "function": _encoded({**function, "arguments": "{}"})}


def _encoded(data: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(data))


def _as_delta(choice: dict[str, msgspec.Raw]) -> dict[str, object]:
    """A choice as one delta, its tool calls numbered as in a stream."""
    message: dict[str, object] = msgspec.json.decode(choice["message"], type=dict[str, object])
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls) if isinstance(call, dict)]
    return {**{name: value for name, value in choice.items() if name != "message"}, "delta": message}
