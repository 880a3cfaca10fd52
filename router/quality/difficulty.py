"""How hard a request looks: a prior from counts, until a trained head takes its place.

What it is: a handful of signs that usually come with work that small models get wrong (a kind of task that needs
several steps, many conditions at once, much material, many turns), added up with weights chosen by hand. What it is
not: a probability. It is not calibrated and knows nothing of the subject: a one-line theorem looks easy. It is for
rules such as "hard-looking code goes to the better model", and it keeps its order and its range when it is replaced.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from router.catalog.catalog import Task
from router.wire.requests import ModelRequest

# Where each kind of task starts: how far small and large models are apart on it (models.yaml), by rough judgement.
_START: Mapping[Task, float] = MappingProxyType(
    {
        Task.CHAT: 0.10,
        Task.SUMMARY: 0.10,
        Task.TRANSLATION: 0.10,
        Task.CLASSIFICATION: 0.15,
        Task.EXTRACTION: 0.15,
        Task.WRITING: 0.15,
        Task.TOOL_CALL: 0.20,
        Task.FACTS: 0.25,
        Task.VISION: 0.25,
        Task.LONG_CONTEXT: 0.35,
        Task.AGENT: 0.40,
        Task.CODE: 0.40,
        Task.MATH: 0.40,
        Task.REASONING: 0.45,
    }
)

# Words by which a prompt adds a condition, or asks for more than a first thought.
_CONDITION_WORDS = (
    "must only exactly least most without except unless each every both never always ensure avoid between either "
    "neither constraint constraints requirements optimal optimize prove justify rigorous edge concurrency "
    "concurrent invariant complexity thread deadlock architecture tradeoffs "
    "muss müssen nur genau mindestens höchstens ohne außer jede jeder jedes beide niemals immer beweise begründe "
    "doit doivent seulement exactement moins sans sauf chaque jamais toujours prouve justifie "
    "debe deben solo exactamente menos excepto cada nunca siempre demuestra justifica "
    "deve devono apenas soltanto esattamente senza tranne sempre mai dimostra "
    "должен только ровно минимум без кроме каждый никогда всегда докажи обоснуй "
    "moet alleen precies minstens zonder behalve elke nooit altijd bewijs musi tylko dokładnie bez każdy zawsze"
)
CONDITIONS = frozenset(_CONDITION_WORDS.split())
_STEPS = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s", re.MULTILINE)  # items of a list: several things are asked
_HAS_SIGNS = frozenset({Task.REASONING, Task.MATH, Task.CODE})
_HARD_COMMANDS = ("\\frac", "\\int", "\\sum")
_HARD_SIGNS = ("^{", "o(n", "n log")
_HARD_FOREIGN_SIGNS = ("∀", "∃", "≤")

_MOST_CONDITIONS = 8
_MOST_STEPS = 8
_MOST_SIGNS = 3
_LONG_CHARS = 6_000  # of the window that is looked at
_MANY_MESSAGES = 40


def difficulty_of(request: ModelRequest, task: Task, *, text: str, words: set[str]) -> float:
    """0 (looks easy) to 1, in steps of a hundredth: how hard `request` looks. See the file's head for its worth."""
    points = _START[task]
    points += 0.20 * (min(len(CONDITIONS & words), _MOST_CONDITIONS) / _MOST_CONDITIONS)
    if "\n" in text:
        points += 0.15 * (min(len(_STEPS.findall(text)), _MOST_STEPS) / _MOST_STEPS)
    if task in _HAS_SIGNS:
        points += 0.10 * (min(_signs_in(text), _MOST_SIGNS) / _MOST_SIGNS)
    points += 0.15 * (min(len(text), _LONG_CHARS) / _LONG_CHARS)
    points += 0.10 * (min(len(request.messages), _MANY_MESSAGES) / _MANY_MESSAGES)
    if request.asks_reasoning:
        points += 0.10
    if request.response_format is not None and request.response_format.type == "json_schema":
        points += 0.05
    return round(min(points, 1.0), 2)


def _signs_in(text: str) -> int:
    """How many of the signs are there; those that cannot be are not looked for."""
    found = sum([sign in text for sign in _HARD_SIGNS])
    if "\\" in text:
        found += sum([command in text for command in _HARD_COMMANDS])
    if not text.isascii():
        found += sum([sign in text for sign in _HARD_FOREIGN_SIGNS])
    return found
