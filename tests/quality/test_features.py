"""Kind of task and language are told from requests in many languages, from any text, at a bounded cost.

Half of the labelled prompts are held out: their cues were not looked for, and their mistakes were not looked at, while
the cues were chosen. The table in docs/tasks.md is printed by `python -m tests.benchmarks.features`.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.catalog.catalog import Task
from router.quality.features import HEAD_CHARS, MANY_TOOLS, TAIL_CHARS, SystemCues, features_of
from router.quality.language import Language
from router.tokens.count import TOKEN_BYTES, TokenCounter
from router.wire.requests import ChatReader, ModelRequest

_READER = ChatReader()
_CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
_TOOL_LOOP: list[dict[str, Any]] = [
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "done"},
]


class LabelledPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of prompts.jsonl."""

    task: Task
    language: Language
    text: str
    held_out: bool = False  # not looked at while the cues were chosen
    system: str | None = None
    tools: int = 0
    tool_loop: bool = False
    json_schema: bool = False

    def request(self) -> ModelRequest:
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": self.text})
        return _request(
            messages + (_TOOL_LOOP if self.tool_loop else []),
            {
                "tools": [{"type": "function", "function": {"name": f"tool_{number}"}} for number in range(self.tools)],
                "response_format": {"type": "json_schema" if self.json_schema else "text"},
            },
        )


def _request(messages: list[dict[str, Any]], members: dict[str, Any] | None = None) -> ModelRequest:
    return _READER.read(msgspec.json.encode({"model": "auto", "messages": messages, **(members or {})}))


def asking(text: str) -> ModelRequest:
    return _request([{"role": "user", "content": text}])


def task_of(request: ModelRequest) -> Task:
    return features_of(request).task


def labelled_prompts() -> list[LabelledPrompt]:
    lines = Path(__file__).with_name("prompts.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=LabelledPrompt) for line in lines]


@dataclass(frozen=True, slots=True)
class Told:
    """How often one kind of label was told right, and what it was taken for."""

    pairs: Counter[tuple[str, str]]  # label and what was told

    @property
    def share_right(self) -> float:
        return sum(count for (label, told), count in self.pairs.items() if label == told) / self.pairs.total()

    def table(self) -> str:
        names = sorted({name for pair in self.pairs for name in pair})
        width = max(map(len, names)) + 2
        head = f"{'label / told':14}" + "".join(f"{name:>{width}}" for name in names)
        return "\n".join(
            [
                head,
                *(
                    f"{label:14}" + "".join(f"{self.pairs[label, told] or '.':>{width}}" for told in names)
                    for label in names
                ),
            ]
        )


def told_tasks(*, held_out: bool) -> Told:
    prompts = [prompt for prompt in labelled_prompts() if prompt.held_out is held_out]
    return Told(Counter((prompt.task.value, task_of(prompt.request()).value) for prompt in prompts))


def told_languages(*, held_out: bool) -> Told:
    prompts = [prompt for prompt in labelled_prompts() if prompt.held_out is held_out]
    return Told(Counter((prompt.language.value, features_of(prompt.request()).language.value) for prompt in prompts))


def test_there_are_three_hundred_labelled_prompts_in_many_languages() -> None:
    prompts = labelled_prompts()

    assert len(prompts) >= 300
    assert len({prompt.language for prompt in prompts}) >= 20
    assert sum(prompt.held_out for prompt in prompts) >= 150


def test_the_kind_of_task_is_told_right_four_times_in_five_on_prompts_never_looked_at() -> None:
    assert told_tasks(held_out=True).share_right >= 0.8, told_tasks(held_out=True).table()
    assert told_tasks(held_out=False).share_right >= 0.9, told_tasks(held_out=False).table()


def test_the_language_is_told_right_nineteen_times_in_twenty_on_prompts_never_looked_at() -> None:
    assert told_languages(held_out=True).share_right >= 0.95, told_languages(held_out=True).table()
    assert told_languages(held_out=False).share_right >= 0.95, told_languages(held_out=False).table()


@pytest.mark.parametrize("task", Task)
def test_no_kind_of_task_is_told_right_less_than_two_times_in_three(task: Task) -> None:
    prompts = [prompt for prompt in labelled_prompts() if prompt.task is task]

    assert len(prompts) >= 7
    wrong = [prompt.text for prompt in prompts if task_of(prompt.request()) is not task]
    assert len(wrong) <= len(prompts) / 3, wrong


def test_what_has_no_cue_is_chat() -> None:
    assert task_of(asking("The old bridge looks lovely in the evening light.")) is Task.CHAT
    assert task_of(asking("")) is Task.CHAT
    assert task_of(_request([{"role": "assistant", "content": "def f(): ..."}])) is Task.CHAT


def test_a_follow_up_is_read_with_the_question_before_it() -> None:
    messages = [
        {"role": "user", "content": "Write a Python function that reverses a list."},
        {"role": "assistant", "content": "Here you are."},
        {"role": "user", "content": "And the other way?"},
    ]

    assert task_of(_request(messages)) is Task.CODE


def test_many_tools_make_an_agent_and_a_few_unused_ones_do_not() -> None:
    def offering(tools: int) -> ModelRequest:
        return LabelledPrompt(task=Task.FACTS, language=Language.EN, text="Who wrote Faust?", tools=tools).request()

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

    assert task_of(asking(f"{instruction}\n{material}")) is Task.EXTRACTION
    assert task_of(asking(f"{material}\n{instruction}")) is Task.EXTRACTION
    assert task_of(asking(material)) is Task.CHAT


def test_text_in_parts_counts_like_text() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "Write a Python function that draws this."},
    ]

    assert task_of(_request([{"role": "user", "content": parts}])) is Task.CODE


@given(text=st.text(max_size=9000))
def test_any_text_has_one_kind_one_language_and_a_difficulty_and_always_the_same(text: str) -> None:
    features = features_of(asking(text))

    assert features == features_of(asking(text))
    assert 0 <= features.difficulty <= 1


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", Language.OTHER),
        ("12 + 7", Language.EN),
        ("fix it", Language.EN),
        ("for x in items: print(x)", Language.EN),
        ("Straße", Language.DE),
        ("これは何ですか", Language.JA),
        ("广告の力量真的很大我们都知道", Language.ZH),
        ("Translate 你好 into English for me, please", Language.EN),
        ("请解释这段代码: for item in queue: item.run()", Language.ZH),
        ("Що це таке?", Language.UK),
        ("Что это такое?", Language.RU),
        ("یہ کیا ہے؟", Language.UR),
        ("ᐃᓄᒃᑎᑐᑦ", Language.OTHER),
    ],
)
def test_short_and_mixed_texts_have_a_language(text: str, language: Language) -> None:
    assert features_of(asking(text)).language is language


def test_an_agents_language_is_that_of_the_question_behind_its_tool_loop() -> None:
    asked: list[dict[str, Any]] = [{"role": "user", "content": "Prüfe bitte meinen Kalender."}, *(_TOOL_LOOP * 8)]

    assert features_of(_request(asked)).language is Language.DE


def test_conditions_steps_length_turns_and_asking_for_thought_make_a_request_look_harder() -> None:
    def difficulty(text: str, *, turns: int = 1, **members: object) -> float:
        messages = [{"role": "user", "content": text}] * turns
        return features_of(_request(messages, members)).difficulty

    plain = "Write a Python function that sorts names."

    assert difficulty("Hi!") < difficulty(plain)
    assert difficulty(plain) < difficulty(f"{plain} It must never copy and must be exactly stable, without recursion.")
    assert difficulty(plain) < difficulty(f"{plain}\n1. Add types.\n2. Add tests.\n3. Explain it.")
    assert difficulty(plain) < difficulty(plain + " It is for a phone book." * 40)
    assert difficulty(plain) < difficulty(plain, turns=20)
    assert difficulty(plain) < difficulty(plain, reasoning={"effort": "high"})


@pytest.mark.parametrize(
    "text",
    ["a" * 9000, "1" * 9000, "1," * 4500, "```" * 3000, "的" * 9000, "\n" * 9000, "$x^" * 3000, "how many 1 2 " * 700],
    ids=["letters", "digits", "numbers", "fences", "han", "lines", "math", "questions"],
)
def test_no_text_takes_long(text: str) -> None:
    request = asking(text * 100)

    fastest_s = min(_seconds_for(request) for _ in range(20))

    assert fastest_s < 0.002  # 0.4 ms and less on an idle core; the rest is room for slower machines
    assert len(text) > HEAD_CHARS + TAIL_CHARS


def _seconds_for(request: ModelRequest) -> float:
    before = time.perf_counter()
    features_of(request)
    return time.perf_counter() - before


_SYSTEM_TEXTS = st.one_of(
    st.sampled_from(["You write Python.", "Extract the fields as JSON.", "Prove it step by step.", "Be kind."]),
    st.text(max_size=40),
)
_SYSTEM_CONTENTS = st.one_of(
    _SYSTEM_TEXTS, st.lists(_SYSTEM_TEXTS.map(lambda text: {"type": "text", "text": text}), max_size=3)
)
_ROLES = st.sampled_from(["system", "developer", "user"])
_TOOLS = st.sampled_from([{}, {"tools": [{"type": "function", "function": {"name": "look_up"}}]}])
_REMEMBERED = st.tuples(_ROLES, _SYSTEM_CONTENTS, st.sampled_from(["Hello", "What is it?"]), _TOOLS)


@given(st.lists(_REMEMBERED, max_size=12), st.integers(1, 4))
def test_remembered_system_messages_say_what_they_say_when_they_are_read(
    asked: list[tuple[str, Any, str, dict[str, Any]]], most: int
) -> None:
    counter, system = TokenCounter(_Bytes()), SystemCues(most=most)

    for role, content, question, members in [*asked, *asked]:
        messages = [{"role": role, "content": content}, {"role": "user", "content": question}]
        request = _request(messages, members)
        opening = counter.count_now(request, scope="search").opening

        assert features_of(request, system=system, opening=opening) == features_of(request)


class _Bytes:
    """A vocabulary of single bytes: only the digests are wanted here."""

    def encode_flat(self, text: str, /) -> bytes:
        return text.encode(errors="replace") * TOKEN_BYTES
