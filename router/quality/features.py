"""What the choice of a model may know of a request's meaning: kind of task, language, how hard it looks; no text.

One cheap pass over a bounded window of the last user message: every cue found adds its points to its kind of task, the
request's own facts (a tool loop, a JSON schema) add theirs, and the highest sum wins. What wins nothing is chat. These
are priors, not an understanding: docs/tasks.md says how often they are right, on prompts they were not tuned on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from router.catalog.catalog import Task
from router.quality.cues import (
    FACT_OPENINGS,
    LANGUAGE_CUES,
    PHRASE_CUES,
    QUANTITY_QUESTIONS,
    WHAT_OPENINGS,
    WORD_CUES,
    Cue,
)
from router.quality.difficulty import difficulty_of
from router.quality.language import Language, language_of
from router.quality.words import numbers_in, words_in
from router.wire.requests import Message, ModelRequest

# Instructions stand at the head or at the tail of a prompt, the material between them; so the time is bounded too.
HEAD_CHARS = 4096
TAIL_CHARS = 2048
SYSTEM_CHARS = 512  # of the system message, which often holds the task while the user's message is the material

# A request with this many tools is an agent's even before its first call: nobody describes them for one look-up.
MANY_TOOLS = 6
FAR_MESSAGES = 256  # how far back an agent's question is looked for: only its language is wanted
RECENT_MESSAGES = 8  # where a tool loop must show; an old one does not make today's question an agent's

SHORT_QUESTION_CHARS = 200
WORD_PROBLEM_CHARS = 1500
MANY_NUMBERS = 3
FOLLOW_UP_CHARS = 40  # "and in French?" says little; the question before it belongs to it
WINNING_POINTS = 2
JSON_SCHEMA_POINTS = 4

# System messages whose cues are remembered, some 250 bytes each: a few for each of hundreds of applications.
MOST_SYSTEM_MESSAGES = 1_024

_CUE_WORDS = frozenset(WORD_CUES)
# What wins when points are equal: the kinds with the plainer signs.
_PRECEDENCE = (Task.CHAT, Task.CODE, Task.EXTRACTION, Task.REASONING, Task.FACTS)


@dataclass(frozen=True, slots=True)
class Features:
    """What is told of a request from its text."""

    task: Task
    language: Language
    difficulty: float  # 0 to 1; see `difficulty_of` for what it is worth


_SAY_NOTHING = Features(Task.CHAT, Language.OTHER, difficulty=0.5)


_Points = tuple[tuple[Task, int], ...]


class SystemCues:
    """What system messages say of the task, for those that come again: in every request of an application.

    They are known by a digest that the caller has at hand already, the text is not kept. Messages with different texts
    must have different digests; those of different teams should, or the time that one takes tells what another sends.
    """

    def __init__(self, *, most: int = MOST_SYSTEM_MESSAGES) -> None:
        self._most = most
        self._points: dict[int, _Points] = {}

    def points(self, message: Message, digest: int) -> _Points:
        """The points of each kind of task. As for any message, if the digest is new."""
        points = self._points.get(digest)
        if points is None:
            points = self._points[digest] = _system_points(message)
            if len(self._points) > self._most:
                self._points.pop(next(iter(self._points)), None)
        return points


def features_of(request: ModelRequest, *, system: SystemCues | None = None, opening: int | None = None) -> Features:
    """The features of `request`. Deterministic; the time is bounded, whatever the text (docs/tasks.md).

    `opening` is a digest of the first message, and maybe of what stands before it, to look it up in `system`.
    """
    if not request.messages:  # the prompt is there as token ids only, which say nothing
        return _SAY_NOTHING
    text = _question(request.messages).lower()
    words = words_in(text)
    language = language_of(text, words) if text else _language_asked_in(request.messages)
    task = Task.AGENT if _is_agents(request) else _task(request, text, words, language, system, opening)
    return Features(task, language, difficulty_of(request, task, text=text, words=words))


def _language_asked_in(messages: Sequence[Message]) -> Language:
    """That of the last question, however many calls of tools came after it."""
    asked = next((each for each in reversed(messages[-FAR_MESSAGES:]) if each.role == "user"), messages[-1])
    text = _window(asked, SYSTEM_CHARS, 0).lower()
    return language_of(text, words_in(text))


def _task(
    request: ModelRequest,
    text: str,
    words: set[str],
    language: Language,
    system: SystemCues | None,
    opening: int | None,
) -> Task:
    points = dict.fromkeys(_PRECEDENCE, 0)
    for cue in _cues(text, words, language):
        points[cue.task] += cue.points
    _score_question(points, text, words, language)
    first = request.messages[0]
    if first.role in ("system", "developer"):
        known = None if system is None or opening is None else system.points(first, opening)
        for task, value in _system_points(first) if known is None else known:
            points[task] += value
    if request.response_format is not None and request.response_format.type == "json_schema":
        points[Task.EXTRACTION] += JSON_SCHEMA_POINTS
    best = max(_PRECEDENCE, key=points.__getitem__)
    return best if points[best] >= WINNING_POINTS else Task.CHAT


def _is_agents(request: ModelRequest) -> bool:
    if len(request.tools) >= MANY_TOOLS:
        return True
    return any(message.role == "tool" or message.tool_calls for message in request.messages[-RECENT_MESSAGES:])


def _cues(text: str, words: set[str], language: Language) -> list[Cue]:
    """Every word and phrase that says something, in no order."""
    found = [WORD_CUES[word] for word in _CUE_WORDS & words]
    found += PHRASE_CUES.found(text, words)
    if language in LANGUAGE_CUES:
        found += LANGUAGE_CUES[language].found(text, words)
    return found


def _score_question(points: dict[Task, int], text: str, words: set[str], language: Language) -> None:
    """Short questions ask for facts by how they begin, and for arithmetic by the numbers in them."""
    if len(text) <= SHORT_QUESTION_CHARS:
        if text.startswith(FACT_OPENINGS.get(language, ())):
            points[Task.FACTS] += 3
        elif text.startswith(WHAT_OPENINGS):
            points[Task.FACTS] += 1
    if len(text) > WORD_PROBLEM_CHARS:
        return
    numbers = numbers_in(text)
    if numbers and QUANTITY_QUESTIONS.found(text, words):
        points[Task.REASONING] += 4 if numbers >= 2 else 1
    elif numbers >= MANY_NUMBERS and text.endswith(("?", "？")):
        points[Task.REASONING] += 2


def _system_points(first: Message) -> _Points:
    """The system message's words, at half their points: it also lists what is not wanted now."""
    found: dict[Task, int] = {}
    text = _window(first, SYSTEM_CHARS, 0).lower()
    for cue in _cues(text, words_in(text), Language.EN):  # its own language is not worth a look
        found[cue.task] = found.get(cue.task, 0) + cue.points
    return tuple([(task, value // 2) for task, value in found.items()])


def _question(messages: Sequence[Message]) -> str:
    """The last user message; a very short one together with the one before."""
    asked = ""
    for message in reversed(messages[-RECENT_MESSAGES:]):
        if message.role != "user":
            continue
        asked = (
            f"{_window(message, HEAD_CHARS, TAIL_CHARS)}\n{asked}"
            if asked
            else _window(message, HEAD_CHARS, TAIL_CHARS)
        )
        if len(asked) >= FOLLOW_UP_CHARS:
            break
    return asked.strip()


def _window(message: Message, head_chars: int, tail_chars: int) -> str:
    """The head and the tail of a message's text; parts beyond the first and the last eight are left out unseen."""
    content = message.content
    if content is None:
        return ""
    if not isinstance(content, str):
        parts = content if len(content) <= 16 else [*content[:8], *content[-8:]]
        content = "\n".join(_ends(part.text, head_chars, tail_chars) for part in parts if part.text)
    return _ends(content, head_chars, tail_chars)


def _ends(text: str, head_chars: int, tail_chars: int) -> str:
    if len(text) <= head_chars + tail_chars:
        return text
    return f"{text[:head_chars]}\n{text[len(text) - tail_chars :]}"
