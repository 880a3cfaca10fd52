"""The beginnings of a prompt, as digests: what provider caches go by, without any of its text.

A chain of blake2b over the prompt in the order in which providers read it: tools and answer schema, then one message
after the other. At the end of each stands a mark with the digest of everything up to there. Every process makes the
same marks of the same prompt.

What is hashed of a message is what a model gets to see of it, in one form however it was written: role, name, text,
pictures and files, thoughts, the names and arguments of tool calls. Members that are null, empty or absent are the
same, since client libraries write an assistant's message back in any of these ways, and so are a text and a single
part with that text. Left out are `cache_control`, which clients move from turn to turn, and what no chat template
shows: `refusal`, `annotations`, ids of tool calls, members we do not know. Tools and schemas are taken as the bytes
that came: nobody rewrites those between two turns.
"""

from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from router.decision.facts import FIRST_MARKS, LAST_MARKS, PrefixMark
from router.wire.requests import Message, ModelRequest, Part, is_given

_MOST_BREAKPOINTS = 4  # what Anthropic takes (openrouter.md §6)


def session_id(request: ModelRequest, prefix: Sequence[PrefixMark]) -> str | None:
    """A name for the conversation, the same in each of its turns: after the digest at the end of its first question.
    None for a prompt without marks, which belongs to none.

    OpenRouter's own rule takes the first system and the first other message (openrouter.md §6), and waits for a first
    cache hit before it keeps to one provider; with a name it does so at once.
    """
    if not prefix:
        return None
    position = _first_question(request.messages) + (1 if _has_root(request) else 0)
    # Of the first marks none is ever missing, however long the conversation gets.
    mark = prefix[min(position, FIRST_MARKS - 1, len(prefix) - 1)]
    return f"penstock-{mark.digest:016x}"


class PromptPrefix:
    """The marks of one prompt in the making. Costs 2 us a KB beside the counting, in the same thread."""

    __slots__ = ("_breakpoints", "_caches_all", "_first", "_last", "_marked", "_messages_left", "_state", "opening")

    def __init__(self, request: ModelRequest, *, roots: "Roots", scope: str) -> None:
        """`scope` goes into every digest: what one team has sent must not be found out by another team's guess."""
        tools = bytes(request.members["tools"]) if request.tools else None
        schema = _schema(request)
        if tools is None and schema is None:
            self._state = roots.plain(scope)
        else:
            self._state = _state_of((scope, tools, schema))
        if request.functions is not None:
            self._add(bytes(request.functions))
        self._first: list[PrefixMark] = []
        self._marked: deque[PrefixMark] = deque(maxlen=_MOST_BREAKPOINTS)  # between the first and the last
        self._last: list[PrefixMark] = []
        self._breakpoints: deque[int] = deque(maxlen=_MOST_BREAKPOINTS)
        self._messages_left = len(request.messages)
        self._caches_all = request.caches_prompt
        self.opening: int | None = None  # the digest at the end of the first message

    def root_ends(self, tokens: int, *, is_breakpoint: bool) -> None:
        """Tools and schema end after that many tokens; without any there is nothing to mark."""
        if tokens:
            self._mark(tokens, is_breakpoint=is_breakpoint)

    def message_ends(self, message: Message, tokens: int) -> None:
        """The next message ends after that many tokens, counted from the beginning of the prompt."""
        content, calls = message.content, message.tool_calls
        self._add(
            (
                message.role,
                message.name or None,
                (content or None) if isinstance(content, str) else _content(content),
                message.reasoning_content or message.reasoning or None,
                [(call.function.name, call.function.arguments) for call in calls if call.function] if calls else [],
            )
        )
        if message.images:
            self._add([_part(part) for part in message.images])
        self._messages_left -= 1
        is_marked = isinstance(content, list) and any(is_given(part.cache_control) for part in content)
        self._mark(tokens, is_breakpoint=is_marked or (self._caches_all and self._messages_left == 0))
        if self.opening is None:
            self.opening = self._first[-1].digest  # of the first marks none is ever missing

    def marks(self) -> tuple[PrefixMark, ...]:
        """At most first, last and as many as providers take breakpoints, whatever the client marks."""
        return (*self._first, *self._marked, *self._last)

    def breakpoints(self) -> tuple[int, ...]:
        """Tokens up to the last places up to which the client asks its prompt to be cached, shortest first."""
        return tuple(self._breakpoints)

    def _mark(self, tokens: int, *, is_breakpoint: bool) -> None:
        if is_breakpoint:
            self._breakpoints.append(tokens)
        is_first, is_last = len(self._first) < FIRST_MARKS, self._messages_left < LAST_MARKS
        if is_first or is_last or is_breakpoint:
            kept = self._first if is_first else self._last if is_last else self._marked
            kept.append(PrefixMark(int.from_bytes(self._state.copy().digest()), tokens))

    def _add(self, value: object) -> None:
        self._state.update(_written(value))


class Roots:
    """How prompts begin that have neither tools nor schema, as most do: a copy costs a third of beginning anew."""

    def __init__(self) -> None:
        self._plain: dict[str, blake2b] = {}  # as many as there are scopes: teams of the configuration

    def plain(self, scope: str) -> blake2b:
        """A state of one's own, after the beginning of such a prompt."""
        state = self._plain.get(scope)
        if state is None:
            state = self._plain[scope] = _state_of((scope, None, None))
        return state.copy()


def _state_of(root: object) -> blake2b:
    return blake2b(_written(root), digest_size=8)


def _written(value: object) -> bytes:
    """msgpack says where each string ends, so that no two prompts are written alike."""
    return msgspec.msgpack.encode(value)


def _first_question(messages: Sequence[Message]) -> int:
    """Where the first message stands that is no instruction; 0 if there is none."""
    for at, message in enumerate(messages):
        if message.role not in ("system", "developer"):
            return at
    return 0


def _has_root(request: ModelRequest) -> bool:
    return bool(request.tools) or request.functions is not None or _schema(request) is not None


def _schema(request: ModelRequest) -> bytes | None:
    return _raw(request.response_format.json_schema) if request.response_format is not None else None


def _content(content: list[Part] | None) -> object:
    if not content:
        return None
    if len(content) == 1 and _is_text(content[0]):
        return content[0].text or None
    return [_part(part) for part in content]


def _part(part: Part) -> tuple[Any, ...]:
    if _is_text(part):
        return (part.text,)
    picture = (part.image_url.url, part.image_url.detail) if part.image_url is not None else None
    others = (part.input_audio, part.video_url, part.input_video, part.file)
    return (part.type, part.text, picture, *map(_raw, others))


def _is_text(part: Part) -> bool:
    return part.type == "text" and part.image_url is None


def _raw(member: Any) -> bytes | None:  # noqa: ANN401 - msgspec's Raw, or that it is not there
    return bytes(member) if is_given(member) else None
