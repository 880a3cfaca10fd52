"""`/v1/completions`, the older way to ask: a text to be continued. What is asked, and how its client is answered."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.answers import Answer, choices_in
from router.wire.dialect import Editor, InOpenAIsWords
from router.wire.events import on_one_line
from router.wire.foreign import as_text
from router.wire.prompts import PromptReader
from router.wire.replies import ReplyReader
from router.wire.requests import (
    MOST_CHOICES,
    MOST_OUTPUT_TOKENS,
    ChatReader,
    Message,
    ModelRequest,
    Part,
    explained,
    in_range,
)
from router.wire.streams import DONE, StreamEditor

# What OpenAI's API gives an answer where the client sets no limit (its API reference, 2026); vLLM has the same.
DEFAULT_MAX_TOKENS = 16
_UNTRANSLATABLE = "a text is to be continued, and a chat answers"


class _Body(Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    stream: bool | None = None


class CompletionReader:
    """Reads requests for completions."""

    def __init__(self, chats: ChatReader) -> None:
        self._reader = PromptReader(chats)
        self._body = msgspec.json.Decoder(_Body)

    def read(self, body: bytes) -> ModelRequest:
        """The request in `body`. Raises InvalidRequest naming the member at fault and what was expected there."""
        members = self._reader.members(body)
        prompts = self._reader.prompts(members, "prompt")
        typed = self._typed(body)
        answers = 1 if typed.n is None else in_range("n", typed.n, MOST_CHOICES)
        written = 1 if typed.best_of is None else in_range("best_of", typed.best_of, MOST_CHOICES)
        if typed.suffix and len(prompts.messages) != 1:
            raise _unbounded("suffix", "it is taken with one prompt, as text; send several one by one")
        if typed.stream and written > answers:
            raise _unbounded("best_of", "the best of several answers is known only when all are there; do not stream")
        request = self._reader.request(
            Api.COMPLETIONS,
            members,
            prompts,
            without=("prompt", "n", "best_of"),
            untranslatable=_UNTRANSLATABLE,
            body_bytes=len(body),
            choices_per_prompt=max(answers, written),
            max_output_tokens=_limit(typed),
        )
        return replace(request, echoes_prompt=bool(typed.echo), messages=_with_suffix(request.messages, typed.suffix))

    def _typed(self, body: bytes) -> _Body:
        try:
            return self._body.decode(body)
        except msgspec.ValidationError as error:
            raise explained(error) from error


class CompletionDialect(InOpenAIsWords):
    """Text completions, as they come from providers that speak the same."""

    def __init__(self, reader: ReplyReader) -> None:
        self._reader = reader

    def editor(self, request: ModelRequest, _: Api, __: int = 0) -> Editor:
        return StreamEditor(self._reader, shows_usage=request.includes_usage, choices=request.choices, has_roles=False)

    def whole(self, body: bytes, _: ModelRequest, __: Api) -> bytes:
        return body

    def as_stream(self, body: bytes) -> bytes:
        """A whole answer has the shape of a chunk."""
        return b"data: " + on_one_line(body) + b"\n\n" + DONE

    def said(self, body: bytes) -> Sequence[Answer]:
        return tuple(Answer(text=as_text(each.get("text")), finish_reason=_reason(each)) for each in choices_in(body))

    def said_in_events(self, events: bytes) -> Sequence[Answer]:
        texts: dict[int, list[str]] = {}
        reasons: dict[int, str | None] = {}
        for event in events.split(b"\n\n"):
            for choice in choices_in(event.removeprefix(b"data:")):
                index = choice.get("index")
                at = index if isinstance(index, int) else 0
                texts.setdefault(at, []).append(as_text(choice.get("text")) or "")
                reasons[at] = _reason(choice) or reasons.get(at)
        return tuple(Answer(text="".join(texts[at]) or None, finish_reason=reasons[at]) for at in sorted(texts))


def _limit(typed: _Body) -> int:
    """0 is a limit: with `echo` and `logprobs` it asks how likely the prompt is."""
    for name, value in (("max_tokens", typed.max_tokens), ("max_completion_tokens", typed.max_completion_tokens)):
        if value is not None:
            return in_range(name, value, MOST_OUTPUT_TOKENS, least=0)
    return DEFAULT_MAX_TOKENS


def _unbounded(name: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"`{name}` is not accepted here: {reason}.", param=name, code="unsupported_parameter")


def _with_suffix(messages: Sequence[Message], suffix: str | None) -> Sequence[Message]:
    """What is to stand behind the answer is read by the model too, as a part of the one prompt."""
    if not suffix:
        return messages
    (message,) = messages
    prompt = message.content if isinstance(message.content, str) else ""
    return (Message(role="user", content=[Part(type="text", text=prompt), Part(type="text", text=suffix)]),)


def _reason(choice: dict[str, Any]) -> str | None:
    return as_text(choice.get("finish_reason"))
