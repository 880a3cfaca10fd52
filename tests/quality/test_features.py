"""The kind of task is told from requests in several languages, from any text, at a bounded cost."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Task
from router.quality.features import HEAD_CHARS, MANY_TOOLS, TAIL_CHARS, task_of
from router.wire.requests import ChatReader, ChatRequest

_READER = ChatReader()
_CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
_TOOL_LOOP: list[dict[str, Any]] = [
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
]


class LabelledPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of prompts.jsonl."""

    task: Task
    text: str
    system: str | None = None
    tools: int = 0
    tool_loop: bool = False
    json_schema: bool = False

    def request(self) -> ChatRequest:
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": self.text})
        return _request(
            messages + (_TOOL_LOOP if self.tool_loop else []),
            {
                "tools": [{"type": "function", "function": {"name": f"tool_{number}"}} for number in range(self.tools)],
                "response_format": {"type": "json_schema" if self.json_schema else "text"},
            },
        )


def _request(messages: list[dict[str, Any]], members: dict[str, Any] | None = None) -> ChatRequest:
    return _READER.read(msgspec.json.encode({"model": "auto", "messages": messages, **(members or {})}))


def _asking(text: str) -> ChatRequest:
    return _request([{"role": "user", "content": text}])


def _labelled_prompts() -> list[LabelledPrompt]:
    lines = Path(__file__).with_name("prompts.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=LabelledPrompt) for line in lines]


def _confusion_table(told: Counter[tuple[Task, Task]]) -> str:
    head = f"{'label / told':14}" + "".join(f"{task:>12}" for task in Task)
    rows = [f"{label:14}" + "".join(f"{told[label, task]:>12}" for task in Task) for label in Task]
    return "\n".join(["", head, *rows])


def test_at_least_four_labelled_prompts_in_five_are_told_right() -> None:
    prompts = _labelled_prompts()
    told = Counter((prompt.task, task_of(prompt.request())) for prompt in prompts)

    right = sum(told[task, task] for task in Task)

    assert len(prompts) >= 120
    assert right / len(prompts) >= 0.8, _confusion_table(told)


@pytest.mark.parametrize("task", Task)
def test_no_kind_of_task_is_told_right_less_than_two_times_in_three(task: Task) -> None:
    prompts = [prompt for prompt in _labelled_prompts() if prompt.task is task]

    assert len(prompts) >= 7
    wrong = [prompt.text for prompt in prompts if task_of(prompt.request()) is not task]
    assert len(wrong) <= len(prompts) / 3, wrong


def test_what_has_no_cue_is_chat() -> None:
    assert task_of(_asking("The old bridge looks lovely in the evening light.")) is Task.CHAT
    assert task_of(_asking("")) is Task.CHAT
    assert task_of(_request([{"role": "assistant", "content": "def f(): ..."}])) is Task.CHAT


def test_a_follow_up_is_read_with_the_question_before_it() -> None:
    messages = [
        {"role": "user", "content": "Write a Python function that reverses a list."},
        {"role": "assistant", "content": "Here you are."},
        {"role": "user", "content": "And the other way?"},
    ]

    assert task_of(_request(messages)) is Task.CODE


def test_many_tools_make_an_agent_and_a_few_unused_ones_do_not() -> None:
    def offering(tools: int) -> ChatRequest:
        return LabelledPrompt(task=Task.FACTS, text="Who wrote Faust?", tools=tools).request()

    assert task_of(offering(MANY_TOOLS - 1)) is Task.FACTS
    assert task_of(offering(MANY_TOOLS)) is Task.AGENT


def test_a_tool_loop_long_past_does_not_make_todays_question_an_agents() -> None:
    since: list[dict[str, Any]] = [{"role": role, "content": "Lovely weather."} for role in ("assistant", "user") * 4]
    asked: list[dict[str, Any]] = [{"role": "user", "content": "Look it up."}, *_TOOL_LOOP]

    assert task_of(_request(asked)) is Task.AGENT
    assert task_of(_request(asked + since)) is Task.CHAT


def test_instructions_at_the_head_or_the_tail_of_a_long_prompt_are_seen() -> None:
    material = "The evening was calm and the boats lay still. " * 2000
    instruction = "Extract all names and return them as JSON."

    assert task_of(_asking(f"{instruction}\n{material}")) is Task.EXTRACTION
    assert task_of(_asking(f"{material}\n{instruction}")) is Task.EXTRACTION
    assert task_of(_asking(material)) is Task.CHAT


def test_text_in_parts_counts_like_text() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "Write a Python function that draws this."},
    ]

    assert task_of(_request([{"role": "user", "content": parts}])) is Task.CODE


@given(text=st.text(max_size=9000))
def test_any_text_has_one_kind_and_always_the_same(text: str) -> None:
    request = _asking(text)

    assert task_of(request) is task_of(request)


@pytest.mark.parametrize(
    "text",
    ["a" * 9000, "1" * 9000, "1," * 4500, "```" * 3000, "的" * 9000, "\n" * 9000, "$x^" * 3000, "how many 1 2 " * 700],
    ids=["letters", "digits", "numbers", "fences", "han", "lines", "math", "questions"],
)
def test_no_text_takes_long(text: str) -> None:
    request = _asking(text * 100)

    fastest_s = min(_seconds_for(request) for _ in range(20))

    assert fastest_s < 0.002  # 0.4 ms and less on an idle core; the rest is room for slower machines
    assert len(text) > HEAD_CHARS + TAIL_CHARS


def _seconds_for(request: ChatRequest) -> float:
    before = time.perf_counter()
    task_of(request)
    return time.perf_counter() - before
