"""The conversations of the routing simulation: seeded, interleaved in time, the same for every way of routing them.

A conversation belongs to one of a few applications, whose system prompt and tools all its conversations share. Its
turns grow one prompt: either the model has called a tool and gets the result back, or it has answered and its user says
the next thing, after a pause. What the model "said" is written beforehand, so that every way of routing is asked
exactly the same requests; what it is billed for is what the sandbox's model really answers to each.
"""

import json
import random
from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.benchmarks.prompts import WORDS

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
QUESTIONS = Path(__file__).parents[1] / "quality" / "prompts.jsonl"


@dataclass(frozen=True, slots=True)
class Workload:
    """What the conversations are like. Every share and length is this benchmark's choice."""

    name: str
    conversations: int = 500
    turns: int = 20
    hours: float = 4.0  # conversations begin evenly over these
    applications: int = 6
    tools: int = 4  # of each application
    system_words: int = 900
    work_share: float = 0.5  # of the user's messages that set the model to work with its tools
    steps: float = 3.0  # tool calls that such work takes, on average
    result_words: int = 1_000  # median of what a tool returns; one in ten is five times as long
    answer_words: int = 150  # median of what the model says to its user
    # Kinds of the user's other messages, with their weights.
    kinds: tuple[tuple[str, int], ...] = (("code", 4), ("chat", 3), ("reasoning", 1), ("facts", 1), ("extraction", 1))
    step_s: float = 8.0  # median time a tool takes
    pause_s: float = 45.0  # median time a user takes
    long_pause_share: float = 0.08  # of a user's pauses: 6 to 40 minutes, beyond what a provider remembers
    seed: int = 4


@dataclass(frozen=True, slots=True)
class Turn:
    """One request: the first `messages` of its conversation, sent at `at`."""

    at: datetime
    conversation: int
    messages: int


@dataclass(frozen=True, slots=True)
class Conversations:
    turns: tuple[Turn, ...]  # in order of time
    heads: tuple[bytes, ...]  # of each conversation: its tools, as members of a JSON object
    messages: tuple[tuple[bytes, ...], ...]  # of each conversation, as JSON

    def body(self, turn: Turn, *, model: str) -> bytes:
        """The request as a client sends it."""
        said = b",".join(self.messages[turn.conversation][: turn.messages])
        return b'{"model":%b,"max_tokens":4096,%b"messages":[%b]}' % (
            json.dumps(model).encode(),
            self.heads[turn.conversation],
            said,
        )


def conversations(workload: Workload) -> Conversations:
    """The conversations of a workload; the same for the same workload."""
    rng = random.Random(workload.seed)
    applications = [_application(workload, rng) for _ in range(workload.applications)]
    questions = _questions()
    turns: list[Turn] = []
    heads: list[bytes] = []
    messages: list[tuple[bytes, ...]] = []
    for number in range(workload.conversations):
        head, system = rng.choice(applications)
        said: list[dict[str, object]] = [system]
        at = START + timedelta(hours=workload.hours * number / workload.conversations)
        for after_s, new in _turns(workload, questions, number, rng):
            at += timedelta(seconds=after_s)
            said.extend(new)
            insort(turns, Turn(at, number, len(said)), key=lambda turn: turn.at)
        heads.append(head)
        messages.append(tuple(json.dumps(message).encode() for message in said))
    return Conversations(tuple(turns), tuple(heads), tuple(messages))


def _turns(
    workload: Workload, questions: Mapping[str, list[str]], number: int, rng: random.Random
) -> Iterator[tuple[float, list[dict[str, object]]]]:
    """The seconds before each turn, and the messages that are new in it."""
    steps_left = 0
    for turn in range(workload.turns):
        if steps_left:
            steps_left -= 1
            yield _around(workload.step_s, rng), _tool_step(f"call_{number}_{turn}", workload, rng)
            continue
        is_work = rng.random() < workload.work_share
        if is_work:
            steps_left = max(1, round(rng.expovariate(1 / workload.steps)))
        kind = "agent" if is_work else rng.choices(*zip(*workload.kinds, strict=True))[0]
        question: dict[str, object] = {
            "role": "user",
            "content": f"{rng.choice(questions[kind])} (item {number}-{turn})",
        }
        answer: dict[str, object] = {"role": "assistant", "content": _text(_length(workload.answer_words, rng), rng)}
        is_long = rng.random() < workload.long_pause_share
        pause_s = rng.uniform(360, 2400) if is_long else min(_around(workload.pause_s, rng), 240.0)
        yield (pause_s, [answer, question]) if turn else (0.0, [question])


def _tool_step(call_id: str, workload: Workload, rng: random.Random) -> list[dict[str, object]]:
    words = _length(workload.result_words, rng) * (5 if rng.random() < 0.1 else 1)
    function = {"name": f"tool_{rng.randrange(workload.tools)}", "arguments": json.dumps({"query": _text(6, rng)})}
    return [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": _text(words, rng)},
    ]


def _application(workload: Workload, rng: random.Random) -> tuple[bytes, dict[str, object]]:
    tools = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{number}",
                "description": _text(60, rng),
                "parameters": {
                    "type": "object",
                    "properties": {"query": {"type": "string", "description": _text(20, rng)}},
                },
            },
        }
        for number in range(workload.tools)
    ]
    return b'"tools":%b,' % json.dumps(tools).encode(), {
        "role": "system",
        "content": f"You are an assistant. {_text(workload.system_words, rng)}",
    }


def _questions() -> dict[str, list[str]]:
    """The labelled questions of the tests, by kind."""
    by_kind: dict[str, list[str]] = {}
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        labelled = json.loads(line)
        by_kind.setdefault(labelled["task"], []).append(labelled["text"])
    return by_kind


def _text(words: int, rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def _length(median: float, rng: random.Random) -> int:
    return max(1, round(_around(median, rng)))


def _around(median: float, rng: random.Random) -> float:
    """A figure whose median is `median`; one in six is more than twice as much."""
    return median * rng.lognormvariate(0, 0.7)
