"""What a model answers: thinking, text, JSON, a drawing or a tool call, cut into priced pieces.

The same model, prompt and sandbox seed give the same answer. Pieces are counted one by one, so what a client has been
sent can be billed at any point of the stream.
"""

import base64
import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from router.sandbox import prose
from router.sandbox.admission import Admission
from router.sandbox.json_text import canonical, encode
from router.sandbox.offer import Offer
from router.sandbox.pelican import pelican_svg
from router.sandbox.prompt_tokens import TokenCounter
from router.sandbox.refusals import Refusal, invalid
from router.sandbox.requests import ChatRequest, Tool
from router.sandbox.schemas import Unsatisfiable, satisfying_value
from router.sandbox.seeds import repeatable

FinishReason = Literal["stop", "length", "tool_calls"]

_THINKING_WORDS = {"none": 0, "minimal": 10, "low": 30, "medium": 80, "high": 150, "xhigh": 240, "max": 320}
_TOKENS_OF_A_CALL = 4
"""What a tool call costs besides its name and arguments."""
_WORD = re.compile(r"\s*\S{1,16}|\s+")
_NAME_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text that is sent at once, and the native tokens it adds."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The function a choice calls."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. With a tool call, `body` is its arguments, led by an empty piece that pays for the call itself."""

    reasoning: tuple[Piece, ...]
    body: tuple[Piece, ...]
    tool_call: ToolCall | None
    finish_reason: FinishReason
    shows_reasoning: bool
    signature: str  # proves or hides the thinking, where the provider sends such a thing

    @property
    def tokens(self) -> int:
        """Completion tokens, thinking included."""
        return self.reasoning_tokens + sum(piece.tokens for piece in self.body)

    @property
    def reasoning_tokens(self) -> int:
        """Tokens spent on thinking, shown or not."""
        return sum(piece.tokens for piece in self.reasoning)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the answers of every model on sale."""

    count_tokens: TokenCounter
    seed: int

    def write(
        self, admission: Admission, *, empties_arguments: bool = False, breaks_json: bool = False
    ) -> tuple[Choice, ...]:
        """All the choices asked for. Raises Refusal (400) if the response format cannot be satisfied."""
        messages = canonical(admission.request.messages)
        prompt = hashlib.blake2b(messages, digest_size=16).digest()
        return tuple(
            self._choice(
                admission,
                repeatable(self.seed, admission.offer.id, prompt, index),
                empties_arguments=empties_arguments,
                breaks_json=breaks_json,
            )
            for index in range(admission.request.choices)
        )

    def _choice(
        self, admission: Admission, seed: random.Random, *, empties_arguments: bool, breaks_json: bool
    ) -> Choice:
        request, offer = admission.request, admission.offer
        reasoning = self._reasoning(admission, seed)
        room = admission.output_limit - sum(piece.tokens for piece in reasoning)
        tool = _chosen_tool(request)
        if tool is None:
            content = _content(request, offer, seed)
            if breaks_json and request.answer_format.type != "text":
                content = _half(content)
            body, is_complete = self._cut(content, offer, room)
            finish: FinishReason = "stop"
            call = None
        else:
            arguments = "" if empties_arguments else _arguments(tool, request, seed)
            if breaks_json:
                arguments = _half(arguments)
            body, is_complete = self._called(tool, arguments, offer, room)
            finish = "tool_calls"
            call = ToolCall(f"call_{seed.getrandbits(96):024x}", tool.name) if body else None
        return Choice(
            reasoning=reasoning,
            body=body,
            tool_call=call,
            finish_reason=finish if is_complete else "length",
            shows_reasoning=not request.reasoning.is_excluded,
            signature=base64.b64encode(seed.randbytes(48)).decode(),
        )

    def _reasoning(self, admission: Admission, seed: random.Random) -> tuple[Piece, ...]:
        request, reasoning = admission.request, admission.offer.reasoning
        effort = request.reasoning.effort
        if reasoning is None or effort == "none" or (effort is None and not reasoning.reasons_unasked):
            return ()
        words = _THINKING_WORDS.get(effort or reasoning.default_effort, _THINKING_WORDS["medium"])
        limit = min(request.reasoning.max_tokens or admission.output_limit, admission.output_limit)
        text = prose.thinking(request.last_user_text(), words, seed)
        pieces, _ = self._cut(text, admission.offer, limit)
        return pieces

    def _called(self, tool: Tool, arguments: str, offer: Offer, room: int) -> tuple[tuple[Piece, ...], bool]:
        price = offer.native_tokens(self.count_tokens(tool.name) + _TOKENS_OF_A_CALL)
        if price > room:
            return (), False
        pieces, is_complete = self._cut(arguments, offer, room - price)
        return (Piece("", price), *pieces), is_complete

    def _cut(self, text: str, offer: Offer, limit: int) -> tuple[tuple[Piece, ...], bool]:
        """The text in pieces of together at most `limit` native tokens, and whether all of it fitted."""
        pieces: list[Piece] = []
        counted = native = 0
        for chunk in _chunks(text, offer.temper.words_per_chunk):
            next_counted = counted + self.count_tokens(chunk)
            next_native = offer.native_tokens(next_counted)
            if next_native > limit:
                start = self._beginning(chunk, offer.counted_tokens_within(limit) - counted)
                if start:
                    tokens = offer.native_tokens(counted + self.count_tokens(start)) - native
                    pieces.append(Piece(start, tokens))
                return tuple(pieces), False
            pieces.append(Piece(chunk, next_native - native))
            counted, native = next_counted, next_native
        return tuple(pieces), True

    def _beginning(self, text: str, counted_limit: int) -> str:
        """The longest beginning of a short text that makes at most so many o200k_base tokens."""
        lengths = range(len(text) if counted_limit > 0 else 0, 0, -1)
        return next((text[:length] for length in lengths if self.count_tokens(text[:length]) <= counted_limit), "")


def _chunks(text: str, words: int) -> Iterator[str]:
    pieces = _WORD.findall(text)
    for start in range(0, len(pieces), words):
        yield "".join(pieces[start : start + words])


def _content(request: ChatRequest, offer: Offer, seed: random.Random) -> str:
    question = request.last_user_text()
    match request.answer_format.type:
        case "json_schema":
            return encode(_made(request.answer_format.schema, question, seed)).decode()
        case "json_object":
            return encode({"answer": prose.answer(question, 12, seed), "topics": prose.keywords(question)[:3]}).decode()
    lowered = question.lower()
    if "svg" in lowered and ("pelican" in lowered or "bicycle" in lowered):
        return pelican_svg(offer.temper.skill, seed)
    text = prose.answer(question, prose.wanted_words(question, offer.temper.words, seed), seed)
    return _stopped(text, request.stop) if "stop" in offer.supported_parameters else text


def _half(text: str) -> str:
    return text[: len(text) // 2 + 1]


def _stopped(text: str, stop: tuple[str, ...]) -> str:
    ends = [text.index(mark) for mark in stop if mark and mark in text]
    return text[: min(ends)] if ends else text


def _arguments(tool: Tool, request: ChatRequest, seed: random.Random) -> str:
    return encode(_made(tool.parameters, request.last_user_text(), seed)).decode()


def _made(schema: object, question: str, seed: random.Random) -> object:
    try:
        return satisfying_value(schema, seed=seed, words=prose.keywords(question))
    except Unsatisfiable as error:
        raise invalid(f"Invalid schema: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise Refusal(400, f"Invalid schema: {error}") from error


def _chosen_tool(request: ChatRequest) -> Tool | None:
    """The tool this answer calls: the one named, else the one the question speaks of, else the first if it must."""
    choice = request.tool_choice
    if not request.tools or choice.mode == "none" or request.answers_a_tool():
        return None
    if choice.name is not None:
        return next(tool for tool in request.tools if tool.name == choice.name)
    asked = _vocabulary(request.last_user_text())
    best = max(request.tools, key=lambda tool: len(asked & _vocabulary(f"{tool.name} {tool.description}")))
    is_meant = bool(asked & _vocabulary(f"{best.name} {best.description}"))
    return best if is_meant or choice.mode == "required" else None


def _vocabulary(text: str) -> frozenset[str]:
    """Words worth comparing: at least four letters, in lower case, without a plural s."""
    words = prose.keywords(" ".join(_NAME_PARTS.findall(text)))
    return frozenset(word.lower().rstrip("s") for word in words if len(word) > 3)
