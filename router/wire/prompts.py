"""Requests whose prompts have no frame of a chat: texts, or the ids of tokens, to be completed, embedded or judged.

What such a request says beside its prompts (`provider`, `stream`, whatever could not be bounded) is read, and refused,
as that of a chat request. Its own members are kept as they came, and are what is sent.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from router.apis import Api
from router.errors import InvalidRequest
from router.wire.requests import ChatReader, Message, ModelRequest, Original, Part, is_given

MOST_PROMPTS = 2_048  # inputs of one request for embeddings (OpenAI's API reference, 2026)


class _Content(Struct):
    """An input of several parts, as OpenRouter has it for embeddings (its OpenAPI file, 2026-08)."""

    content: list[Part]


@dataclass(frozen=True, slots=True)
class Prompts:
    """What a model is asked about, side by side."""

    messages: Sequence[Message] = ()  # one for each prompt that came as text or parts
    token_ids: Sequence[int] = ()  # of each of the others, how many ids it has

    def __len__(self) -> int:
        return len(self.messages) + len(self.token_ids)


class PromptReader:
    """Reads the members and prompts of such requests; holds the decoders."""

    def __init__(self, chats: ChatReader) -> None:
        self._chats = chats
        self._prompts = msgspec.json.Decoder(str | list[Raw])
        self._prompt = msgspec.json.Decoder(str | _Content)
        self._judged = msgspec.json.Decoder(str | list[str | Part])

    def members(self, body: bytes) -> dict[str, Raw]:
        """The top-level members. Raises InvalidRequest."""
        return self._chats.members(body)

    def prompts(self, members: Mapping[str, Raw], name: str) -> Prompts:
        """A text, an array of texts, the ids of tokens, or an array of these. Raises InvalidRequest."""
        given = bytes(_required(members, name))
        ids = _ids_in(given)
        if ids:
            return Prompts(token_ids=(ids,))
        try:
            read = self._prompts.decode(given)
            if isinstance(read, str):
                return Prompts(messages=(_message(name, read),))
            return self._several(name, read)
        except msgspec.DecodeError as error:
            raise _mistyped(name, "a text, an array of texts, token ids or arrays of token ids") from error

    def _several(self, name: str, read: Sequence[Raw]) -> Prompts:
        if not read:
            raise _empty(name)
        if len(read) > MOST_PROMPTS:
            raise InvalidRequest(
                f"`{name}` has {len(read)} entries; at most {MOST_PROMPTS} are taken in one request.",
                param=name,
                code="array_above_max_length",
            )
        messages: list[Message] = []
        token_ids: list[int] = []
        for each in map(bytes, read):
            ids = _ids_in(each)
            if ids is None:
                prompt = self._prompt.decode(each)
                messages.append(
                    _message(name, prompt) if isinstance(prompt, str) else Message(role="user", content=prompt.content)
                )
            elif ids:
                token_ids.append(ids)
            else:
                raise _empty(name)
        return Prompts(messages, token_ids)

    def judged(self, members: Mapping[str, Raw], name: str) -> Prompts:
        """A text, an array of texts, or the parts of one message (moderations). Raises InvalidRequest."""
        given = _required(members, name)
        try:
            read = self._judged.decode(given)
        except msgspec.DecodeError as error:
            raise _mistyped(name, "a text, an array of texts, or an array of parts") from error
        if isinstance(read, str):
            return Prompts(messages=(_message(name, read),))
        if not read:
            raise _empty(name)
        parts = [each for each in read if isinstance(each, Part)]
        if parts:
            if len(parts) != len(read):
                raise _mistyped(name, "texts or parts, not both")
            return Prompts(messages=(Message(role="user", content=parts),))
        return Prompts(messages=tuple(_message(name, each) for each in read if isinstance(each, str)))

    def request(
        self,
        api: Api,
        members: Mapping[str, Raw],
        prompts: Prompts,
        *,
        without: Collection[str],
        untranslatable: str,
        body_bytes: int,
        choices_per_prompt: int = 1,
        max_output_tokens: int = 0,
        model: str | None = None,
    ) -> ModelRequest:
        """The request. Raises InvalidRequest for what is wrong with its other members.

        `without` are those that a chat request has not, or has with another meaning. `model` is what counts where the
        request names none.
        """
        beside = {name: value for name, value in members.items() if name not in without and name not in _CHATS_OWN}
        if model is not None and not is_given(members.get("model")):
            beside["model"] = Raw(msgspec.json.encode(model))
        read = self._chats.read(msgspec.json.encode({**beside, "messages": _PLACEHOLDER}))
        return replace(
            read,
            messages=prompts.messages,
            token_ids=prompts.token_ids,
            is_plain=True,
            choices=len(prompts) * choices_per_prompt,
            max_output_tokens=max_output_tokens,
            members=members,
            body_bytes=body_bytes,
            original=Original(api, members, untranslatable),
        )


def refuse_stream(request: ModelRequest, what: str) -> None:
    """Raises InvalidRequest if a stream is asked for of `what` comes whole."""
    if request.is_stream:
        raise InvalidRequest(
            f"`stream` is not accepted: {what} come whole; leave it out.", param="stream", code="unsupported_parameter"
        )


_PLACEHOLDER = Raw(b'[{"role":"user","content":"-"}]')
_CHATS_OWN = frozenset({"messages", "max_tokens", "max_completion_tokens"})


# How an array of whole numbers begins, and all that it is written with, but for its brackets and commas.
_BEGINNING = re.compile(rb"\[\s*([-\d\]])")
_FIGURES_AND_BLANKS = b"0123456789- \t\r\n"


def _ids_in(array: bytes) -> int | None:
    """How many ids there are in valid JSON that is an array of ids and of nothing else; None if it is not.

    Counted by their commas: hundreds of thousands of numbers that nobody looks at need not be made.
    """
    beginning = _BEGINNING.match(array)
    if beginning is None:
        return None
    left = array.translate(None, _FIGURES_AND_BLANKS)
    commas = len(left) - 2
    if left != b"[%b]" % (b"," * commas):
        return None
    return commas + 1 if beginning[1] != b"]" else 0


def _message(name: str, text: str) -> Message:
    if not text:
        raise InvalidRequest(f"`{name}` has an empty text; send at least one character.", param=name, code="empty_text")
    return Message(role="user", content=text)


def _required(members: Mapping[str, Raw], name: str) -> Raw:
    given = members.get(name)
    if given is None or not is_given(given):
        raise InvalidRequest(f"Object missing required field `{name}`.", param=name, code="invalid_type")
    return given


def _empty(name: str) -> InvalidRequest:
    return InvalidRequest(f"`{name}` has an empty array; send at least one entry.", param=name, code="empty_array")


def _mistyped(name: str, expected: str) -> InvalidRequest:
    return InvalidRequest(f"`{name}` must be {expected}.", param=name, code="invalid_type")
