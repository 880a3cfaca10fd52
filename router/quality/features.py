"""What the choice of a model may know of a request's meaning: kind of task, language, how hard it looks; no text.

Three kinds of task are plain facts of the request: an agent's (a tool loop, many tools), one about pictures, one with
very much input. The others take one cheap pass over a bounded window of the last user message: every cue found adds its
points to its kind, the request's own facts (a JSON schema, a few tools) add theirs, and the highest sum wins. What wins
nothing is chat. These are priors, not an understanding: docs/tasks.md says how often they are right, on prompts they
were not tuned on.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from router.catalog.catalog import Task
from router.quality.cues import (
    FACT_OPENINGS,
    INSTRUCTION_PHRASES,
    INSTRUCTION_WORDS,
    LANGUAGE_CUES,
    QUANTITY_PHRASES,
    QUANTITY_SIGNS,
    QUANTITY_WORDS,
    TOPIC_PHRASES,
    TOPIC_WORDS,
    WHAT_OPENINGS,
    Cue,
)
from router.quality.difficulty import CONDITIONS, difficulty_of
from router.quality.language import SMALL, Language, language_of, language_of_plain
from router.quality.words import Vocabulary, numbers_in, plain_words, words_in
from router.wire.requests import Message, ModelRequest

# Instructions stand at the head or at the tail of a prompt, the material between them; so the time is bounded too.
HEAD_CHARS = 4096
TAIL_CHARS = 2048
SYSTEM_CHARS = 512  # of the system message, which often holds the task while the user's message is the material

# Of that window, where words that instruct are looked for; a shorter one is looked at whole.
INSTRUCTION_HEAD_CHARS = 384
INSTRUCTION_TAIL_CHARS = 192
# In a longer one the material has more room to speak than the instruction, which stands in the first or the last line
# and mostly begins it: there cues count so many times, and what the rest is about is only worth so much.
LINE_CHARS = 144  # of a line, and one without an end in sight
LEAD_CHARS = 40
LINE_WEIGHT = 2
LEAD_WEIGHT = 4
MOST_MATERIAL_POINTS = 8

# A request with this many tools is an agent's even before its first call: nobody describes them for one look-up.
MANY_TOOLS = 6
FAR_MESSAGES = 256  # how far back an agent's question is looked for: only its language is wanted
RECENT_MESSAGES = 8  # where a tool loop must show; an old one does not make today's question an agent's

# From here on a request is about the length of its input, whatever it asks. Our judgement: well above some dozens of
# pages, and below a window of 128,000 tokens, though each model's own count is up to 1.5 times ours.
LONG_CONTEXT_TOKENS = 100_000

SHORT_QUESTION_CHARS = 200
WORD_PROBLEM_CHARS = 1500
MANY_NUMBERS = 3
FOLLOW_UP_CHARS = 40  # "and in French?" says little; the question before it belongs to it
WINNING_POINTS = 2
WINNING_POINTS_OF_LONG = 3
JSON_SCHEMA_POINTS = 4
TOOLS_POINTS = 2  # for a few tools that are offered,
NAMED_TOOL_POINTS = 3  # for a word of the question in the name of one,
FORCED_TOOL_POINTS = 6  # for a call that the client insists on

# System messages whose cues are remembered, some 250 bytes each: a few for each of hundreds of applications.
MOST_SYSTEM_MESSAGES = 1_024

_TOPICS = frozenset(TOPIC_WORDS)
_INSTRUCTIONS = frozenset(INSTRUCTION_WORDS)
# All that is looked for in English without tools: stems of other languages, and names of tools, are not in it.
_VOCABULARY = Vocabulary(
    TOPIC_WORDS,
    INSTRUCTION_WORDS,
    TOPIC_PHRASES.words,
    INSTRUCTION_PHRASES.words,
    QUANTITY_WORDS,
    QUANTITY_PHRASES.words,
    CONDITIONS,
    SMALL,
)
_PICTURES = frozenset({"image_url", "video_url", "input_video"})
_NAME_WORD = re.compile(r"[A-Z]?[^\W_A-Z\d]+")  # of `get_weather`, `getWeather` or `get-weather`
_MUST_CALL = (b'"required"', b'"any"')  # `tool_choice`; an object names a tool, unless it leaves the choice open
_LEFT_OPEN = b'"auto"'
_NO_CALL = b'"none"'
_NAME_LETTERS = 4  # of a word in a tool's name that says something: not `get`, `set`, `to`
_NAME_CHARS = 64  # of a tool's name, as OpenAI allows

# What wins when points are equal: the kinds with the plainer signs.
_PRECEDENCE = (
    Task.TRANSLATION,
    Task.SUMMARY,
    Task.CODE,
    Task.CLASSIFICATION,
    Task.EXTRACTION,
    Task.WRITING,
    Task.MATH,
    Task.CHAT,
    Task.REASONING,
    Task.FACTS,
    Task.TOOL_CALL,
)


class Question(NamedTuple):
    """What is asked: the last user message, together with the one before if it is very short."""

    messages: Sequence[Message]
    text: str  # theirs; a long one loses its middle
    plain: Sequence[bytes] | None  # its `plain_words`


class Features(msgspec.Struct, frozen=True, gc=False):
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


def question_of(messages: Sequence[Message]) -> Question:
    """The question at the end of a conversation."""
    asked = _asked(messages)
    text = "\n".join([_window(message, HEAD_CHARS, TAIL_CHARS) for message in asked]).strip()
    return Question(asked, text, plain_words(text))


def features_of(
    request: ModelRequest,
    *,
    input_tokens: int = 0,
    system: SystemCues | None = None,
    opening: int | None = None,
    question: Question | None = None,
) -> Features:
    """The features of `request`. Deterministic; the time is bounded, whatever the text (docs/tasks.md).

    `input_tokens` have been counted in it; 0: not counted. `opening` is a digest of the first message, and maybe of
    what stands before it, to look it up in `system`. `question` is the request's, where it has been looked for.
    """
    if not request.messages:  # the prompt is there as token ids only, which say nothing
        return _SAY_NOTHING
    asked, text, plain = question or question_of(request.messages)
    text = text.lower()
    words, language = _words_and_language(request, text, plain)
    if _is_agents(request):
        task = Task.AGENT
    elif _show_pictures(asked):
        task = Task.VISION
    elif input_tokens >= LONG_CONTEXT_TOKENS:
        task = Task.LONG_CONTEXT
    else:
        task = _task(request, text, words, language, system, opening)
    return Features(task, language, difficulty_of(request, task, text=text, words=words))


def _words_and_language(request: ModelRequest, text: str, plain: Sequence[bytes] | None) -> tuple[set[str], Language]:
    """The distinct words of the question, or all of them that anybody will look for; and its language."""
    if plain and not request.tools:
        words = _VOCABULARY.among(plain)
        language = language_of_plain(words, has_words=True)
        if language is Language.EN:
            return words, language
    words = words_in(text)
    return words, language_of(text, words) if text else _language_asked_in(request.messages)


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
    is_long = len(text) > INSTRUCTION_HEAD_CHARS + INSTRUCTION_TAIL_CHARS
    if is_long:
        _score_long(points, text, words, language)
    else:
        topics, instructions = _cues(text, text, words, language)
        for cue in topics + instructions:
            points[cue.task] += cue.points
    _score_question(points, text, words, language)
    first = request.messages[0]
    if first.role in ("system", "developer"):
        known = None if system is None or opening is None else system.points(first, opening)
        for task, value in _system_points(first) if known is None else known:
            points[task] += value
    if request.response_format is not None and request.response_format.type == "json_schema":
        points[Task.EXTRACTION] += JSON_SCHEMA_POINTS
        if points[Task.CLASSIFICATION] >= WINNING_POINTS:
            points[Task.CLASSIFICATION] += JSON_SCHEMA_POINTS
    if request.tools or request.functions is not None:
        points[Task.TOOL_CALL] += _tool_points(request, words)
    else:
        points[Task.TOOL_CALL] = 0
    best = max(_PRECEDENCE, key=points.__getitem__)
    return best if points[best] >= (WINNING_POINTS_OF_LONG if is_long else WINNING_POINTS) else Task.CHAT


def _score_long(points: dict[Task, int], text: str, words: set[str], language: Language) -> None:
    """Cues count by where they stand: at the beginning of the first or the last line, in these, or anywhere."""
    ends = _ends(text, INSTRUCTION_HEAD_CHARS, INSTRUCTION_TAIL_CHARS)
    first = ends[:LINE_CHARS].partition("\n")[0]
    _, is_whole, last = ends[-LINE_CHARS:].rpartition("\n")
    if not is_whole:  # the tail of a long line is not where an instruction begins
        last = ""
    lines, leads = f"{first}\n{last}", f"{first[:LEAD_CHARS]}\n{last[:LEAD_CHARS]}"
    topics, instructions = _cues(text, ends, words, language)
    in_lines: list[Cue] = []
    for cue in topics:
        if cue.text in lines:
            in_lines.append(cue)
        else:
            points[cue.task] = min(points[cue.task] + cue.points, MOST_MATERIAL_POINTS)
    for cue in in_lines:  # after all that is bounded
        points[cue.task] += cue.points * LINE_WEIGHT
    for cue in instructions:
        weight = 1 if cue.text not in lines else LEAD_WEIGHT if cue.text in leads else LINE_WEIGHT
        points[cue.task] += cue.points * weight


def _tool_points(request: ModelRequest, words: set[str]) -> int:
    """How much the tools themselves speak for a call: that there are some, and whether one is named or insisted on."""
    choice = bytes(request.members.get("tool_choice", b""))
    if choice == _NO_CALL:
        return 0
    points = TOOLS_POINTS
    if choice in _MUST_CALL or (choice.startswith(b"{") and _LEFT_OPEN not in choice):
        points += FORCED_TOOL_POINTS
    named = [tool.function.name[:_NAME_CHARS] for tool in request.tools if tool.function is not None]
    parts = [part.lower() for name in named for part in _NAME_WORD.findall(name) if len(part) >= _NAME_LETTERS]
    if not words.isdisjoint(parts):
        points += NAMED_TOOL_POINTS
    return points


def _show_pictures(messages: Sequence[Message]) -> bool:
    for message in messages:
        if isinstance(message.content, list) and any(part.type in _PICTURES for part in message.content):
            return True
    return False


def _is_agents(request: ModelRequest) -> bool:
    if len(request.tools) >= MANY_TOOLS:
        return True
    for message in request.messages[-RECENT_MESSAGES:]:  # noqa: SIM110 - a generator costs as much as all the rest
        if message.role == "tool" or message.tool_calls:
            return True
    return False


def _cues(text: str, ends: str, words: set[str], language: Language) -> tuple[list[Cue], list[Cue]]:
    """Every word and phrase that tells what a text is about, and those that tell what is to be done; in no order."""
    topics = [TOPIC_WORDS[word] for word in _TOPICS & words]
    topics += TOPIC_PHRASES.found(text, words)
    instructions = [INSTRUCTION_WORDS[word] for word in _INSTRUCTIONS & words if word in ends]
    instructions += INSTRUCTION_PHRASES.found(ends, words)
    if language in LANGUAGE_CUES:
        more_topics, more_instructions = LANGUAGE_CUES[language].found(text, ends, words)
        topics += more_topics
        instructions += more_instructions
    return topics, instructions


def _score_question(points: dict[Task, int], text: str, words: set[str], language: Language) -> None:
    """Short questions ask for facts by how they begin, and for arithmetic by the numbers in them."""
    if len(text) <= SHORT_QUESTION_CHARS and "\n" not in text:  # below which the material would begin
        if text.startswith(FACT_OPENINGS.get(language, ())):
            points[Task.FACTS] += 3
        elif text.startswith(WHAT_OPENINGS):
            points[Task.FACTS] += 1
    if len(text) > WORD_PROBLEM_CHARS:
        return
    asks_quantity, asks = _asks_quantity(text, words), "?" in text or "？" in text
    if not (asks_quantity or asks):
        return
    numbers = numbers_in(text)
    if numbers and asks_quantity:
        points[Task.MATH] += 4 if numbers >= 2 else 2
    elif numbers >= MANY_NUMBERS and asks:
        points[Task.MATH] += 2


def _asks_quantity(text: str, words: set[str]) -> bool:
    if not QUANTITY_WORDS.isdisjoint(words) or QUANTITY_PHRASES.found(text, words):
        return True
    return not text.isascii() and any(sign in text for sign in QUANTITY_SIGNS)


def _system_points(first: Message) -> _Points:
    """The system message's words, at half their points: it also lists what is not wanted now."""
    text = _window(first, SYSTEM_CHARS, 0).lower()
    words = words_in(text)
    topics, instructions = _cues(text, text, words, Language.EN)
    return _halved(topics + instructions)


def _halved(cues: Iterable[Cue]) -> _Points:
    found: dict[Task, int] = {}
    for cue in cues:
        found[cue.task] = found.get(cue.task, 0) + cue.points
    return tuple([(task, value // 2) for task, value in found.items()])


def _asked(messages: Sequence[Message]) -> list[Message]:
    """The last user message; a very short one together with the one before."""
    asked: list[Message] = []
    chars = 0
    for message in reversed(messages[-RECENT_MESSAGES:]):
        if message.role != "user":
            continue
        asked.insert(0, message)
        chars += _chars(message)
        if chars >= FOLLOW_UP_CHARS:
            break
    return asked


def _chars(message: Message) -> int:
    """The length of a message's text; of several parts, those that the window shows."""
    content = message.content
    return len(content) if isinstance(content, str) else len(_window(message, FOLLOW_UP_CHARS, 0))


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
