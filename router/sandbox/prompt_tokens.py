"""How many tokens a prompt has, per message and for any model on sale.

Text is counted once, in o200k_base, and turned into each model's own tokens by its measured ratio. Message overhead is
what OpenAI's cookbook gives (3 a message, 1 more for a name, 3 to prime the reply); for the other families the same
figures are the sandbox's choice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import anyio.to_thread

from router.sandbox.json_text import JsonObject, encode
from router.sandbox.offer import Modality, Offer
from router.sandbox.requests import ChatRequest, parts_of, text_of

TokenCounter = Callable[[str], int]
"""Tokens of a text in o200k_base."""

_TOKENS_PER_MESSAGE = 3
_TOKENS_PER_NAME = 1
_TOKENS_OF_PRIMING = 3
_INLINE_CHARACTERS = 20_000
"""Longer prompts are counted in a thread: this much takes o200k_base about a millisecond."""

_MEDIA: dict[str, Modality] = {"image_url": "image", "file": "file"}


@dataclass(frozen=True, slots=True)
class TextSize:
    """The size of a text, before anyone knows which model will read it."""

    counted_tokens: int
    utf8_bytes: int

    def native_tokens(self, offer: Offer) -> int:
        """Tokens for this model: no tokenizer makes more tokens than there are bytes."""
        return min(offer.native_tokens(self.counted_tokens), self.utf8_bytes)


@dataclass(frozen=True, slots=True)
class MessageSize:
    """The size of one message."""

    text: TextSize
    media: int  # image and file parts
    frame_tokens: int

    def native_tokens(self, offer: Offer) -> int:
        """Tokens this message adds to the prompt of this model."""
        return self.text.native_tokens(offer) + self.frame_tokens + self.media * offer.temper.image_tokens


@dataclass(frozen=True, slots=True)
class PromptSize:
    """The size of a prompt: its tools and each of its messages."""

    tools: TextSize | None
    messages: tuple[MessageSize, ...]
    priming_tokens: int = _TOKENS_OF_PRIMING

    @property
    def media(self) -> int:
        """Image and file parts of all messages."""
        return sum(message.media for message in self.messages)

    def tools_tokens(self, offer: Offer) -> int:
        """Tokens the tool definitions cost; they stand before the first message."""
        return 0 if self.tools is None else self.tools.native_tokens(offer) + offer.temper.tools_tokens

    def native_tokens(self, offer: Offer) -> int:
        """`prompt_tokens` as this model will report it."""
        messages = sum(message.native_tokens(offer) for message in self.messages)
        return self.tools_tokens(offer) + messages + self.priming_tokens


async def measure(request: ChatRequest, count_tokens: TokenCounter) -> PromptSize:
    """The size of the request's prompt; long prompts are counted off the event loop."""
    texts = [_counted_text(message) for message in request.messages]
    tools = encode([tool.source for tool in request.tools]).decode() if request.tools else None
    if sum(map(len, texts)) + len(tools or "") > _INLINE_CHARACTERS:
        return await anyio.to_thread.run_sync(_measure, request, texts, tools, count_tokens)
    return _measure(request, texts, tools, count_tokens)


def media_of(message: JsonObject) -> tuple[Modality | str, ...]:
    """What the message carries besides text, by modality; an unknown part is named by its own type."""
    types = [str(part.get("type")) for part in parts_of(message)]
    return tuple(_MEDIA.get(part_type, part_type) for part_type in types if part_type != "text")


def _measure(request: ChatRequest, texts: list[str], tools: str | None, count_tokens: TokenCounter) -> PromptSize:
    def size(text: str) -> TextSize:
        return TextSize(count_tokens(text), len(text.encode("utf-8", "replace")))

    return PromptSize(
        tools=None if tools is None else size(tools),
        messages=tuple(
            MessageSize(
                size(text),
                media=len(media_of(message)),
                frame_tokens=_frame(request, message),
            )
            for message, text in zip(request.messages, texts, strict=True)
        ),
        priming_tokens=0 if request.is_plain else _TOKENS_OF_PRIMING,
    )


def _frame(request: ChatRequest, message: JsonObject) -> int:
    if request.is_plain:
        return 0
    return _TOKENS_PER_MESSAGE + _TOKENS_PER_NAME * isinstance(message.get("name"), str)


def _counted_text(message: JsonObject) -> str:
    calls = message.get("tool_calls")
    text = text_of(message)
    return text if not calls else f"{text}\n{encode(calls).decode()}"
