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
from router.quality.features import (
    HEAD_CHARS,
    LONG_CONTEXT_TOKENS,
    MANY_TOOLS,
    TAIL_CHARS,
    Features,
    SystemCues,
    features_of,
    question_of,
)
from router.quality.language import Language
from router.tokens.count import TOKEN_BYTES, TokenCounter
from router.wire.requests import ChatReader, ModelRequest

_READER = ChatReader()
_CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
_IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
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
    tool_names: list[str] = []
    tool_loop: bool = False
    json_schema: bool = False
    images: int = 0
    input_tokens: int = 0  # counted in the whole request, of which the text is what stands at its end

    def request(self) -> ModelRequest:
        names = self.tool_names or [f"tool_{number}" for number in range(self.tools)]
        messages: list[dict[str, Any]] = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": [*[_IMAGE] * self.images, _text(self.text)]})
        return _request(
            messages + (_TOOL_LOOP if self.tool_loop else []),
            {
                "tools": [{"type": "function", "function": {"name": name}} for name in names],
                "response_format": {"type": "json_schema" if self.json_schema else "text"},
            },
        )

    def features(self) -> Features:
        return features_of(self.request(), input_tokens=self.input_tokens)


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


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

    def recall(self, label: str) -> float:
        """The share of that label's prompts that were told right; 0 if there are none."""
        return self.pairs[label, label] / max(1, sum(count for (each, _), count in self.pairs.items() if each == label))

    def table(self) -> str:
        names = sorted({name for pair in self.pairs for name in pair})
        width = 8  # fourteen kinds in one line of a terminal: their names are cut
        head = f"{'label / told':16}" + "".join(f"{name[: width - 1]:>{width}}" for name in names) + "  right"
        return "\n".join(
            [
                head,
                *(
                    f"{label:16}"
                    + "".join(f"{self.pairs[label, told] or '.':>{width}}" for told in names)
                    + f"{self.recall(label):>7.0%}"
                    for label in names
                ),
            ]
        )


def told_tasks(*, held_out: bool) -> Told:
    prompts = [prompt for prompt in labelled_prompts() if prompt.held_out is held_out]
    return Told(Counter((prompt.task.value, prompt.features().task.value) for prompt in prompts))


def told_languages(*, held_out: bool) -> Told:
    prompts = [prompt for prompt in labelled_prompts() if prompt.held_out is held_out]
    return Told(Counter((prompt.language.value, prompt.features().language.value) for prompt in prompts))


def test_there_are_four_hundred_labelled_prompts_in_many_languages() -> None:
    prompts = labelled_prompts()

    assert len(prompts) >= 400
    assert len({prompt.language for prompt in prompts}) >= 20
    assert sum(prompt.held_out for prompt in prompts) >= 200


@pytest.mark.parametrize("task", Task)
def test_every_kind_of_task_has_prompts_in_several_languages_and_some_never_looked_at(task: Task) -> None:
    prompts = [prompt for prompt in labelled_prompts() if prompt.task is task]

    assert len(prompts) >= 20
    assert len({prompt.language for prompt in prompts}) >= 5
    assert sum(prompt.held_out for prompt in prompts) >= 8


def test_the_kind_of_task_is_told_right_six_times_in_seven_on_prompts_never_looked_at() -> None:
    assert told_tasks(held_out=True).share_right >= 0.86, told_tasks(held_out=True).table()
    assert told_tasks(held_out=False).share_right >= 0.95, told_tasks(held_out=False).table()


def test_the_language_is_told_right_nineteen_times_in_twenty_on_prompts_never_looked_at() -> None:
    assert told_languages(held_out=True).share_right >= 0.95, told_languages(held_out=True).table()
    assert told_languages(held_out=False).share_right >= 0.95, told_languages(held_out=False).table()


@pytest.mark.parametrize("task", Task)
@pytest.mark.parametrize("held_out", [False, True])
def test_no_kind_of_task_is_told_right_less_than_two_times_in_three(task: Task, held_out: bool) -> None:
    told = told_tasks(held_out=held_out)

    assert told.recall(task) >= 2 / 3, told.table()


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


def _offering(*names: str, text: str, **members: object) -> ModelRequest:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return _request([{"role": "user", "content": text}], {"tools": tools, **members})


def test_many_tools_make_an_agent_and_a_few_unused_ones_do_not() -> None:
    def offering(tools: int) -> ModelRequest:
        return _offering(*[f"tool_{number}" for number in range(tools)], text="Who wrote Faust?")

    assert task_of(offering(MANY_TOOLS - 1)) is Task.FACTS
    assert task_of(offering(MANY_TOOLS)) is Task.AGENT


def test_a_few_tools_make_a_tool_call_of_what_nothing_else_claims() -> None:
    plain = "The old bridge looks lovely in the evening light."

    assert task_of(_offering("look_up", text=plain)) is Task.TOOL_CALL
    assert task_of(_request([{"role": "user", "content": plain}], {"functions": [{"name": "f"}]})) is Task.TOOL_CALL
    assert task_of(asking(plain)) is Task.CHAT


@pytest.mark.parametrize("name", ["capital_of", "capitalOf", "CapitalOf", "capital-of", "get_capital", "capital2"])
def test_a_tool_that_the_question_names_is_wanted(name: str) -> None:
    question = "Which capital has more rain?"  # else a question for a fact

    assert task_of(_offering("look_up", text=question)) is Task.FACTS
    assert task_of(_offering(name, text=f"{question} Today or tomorrow?")) is Task.TOOL_CALL


@pytest.mark.parametrize("choice", ["required", "any", {"type": "function", "function": {"name": "look_up"}}])
def test_a_call_that_the_client_insists_on_is_a_tool_call(choice: object) -> None:
    question = "Who wrote Faust?"

    assert task_of(_offering("look_up", text=question, tool_choice=choice)) is Task.TOOL_CALL


@pytest.mark.parametrize("choice", ["auto", "none", None, {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}])
def test_a_call_that_is_left_to_the_model_is_not_insisted_on(choice: object) -> None:
    assert task_of(_offering("look_up", text="Who wrote Faust?", tool_choice=choice)) is Task.FACTS


def test_where_no_call_is_allowed_tools_say_nothing() -> None:
    plain = "The old bridge looks lovely in the evening light."

    assert task_of(_offering("bridge_weather", text=plain, tool_choice="none")) is Task.CHAT


def test_short_words_in_a_tools_name_say_nothing() -> None:
    assert task_of(_offering("how_old", text="How old is the Pope?")) is Task.FACTS


def test_pictures_in_the_question_make_it_one_about_pictures_whatever_it_says() -> None:
    shown: list[dict[str, Any]] = [
        {"role": "user", "content": [_IMAGE, _text("Write a Python function for this plot.")]}
    ]
    answered: dict[str, Any] = {"role": "assistant", "content": "Here you are."}
    later = {"role": "user", "content": "Thanks! Now please summarize the main points of our talk in one sentence."}

    assert task_of(_request(shown)) is Task.VISION
    assert task_of(_request([*shown, answered, {"role": "user", "content": "And the axis?"}])) is Task.VISION
    assert task_of(_request([*shown, answered, later])) is Task.SUMMARY
    assert task_of(_request([*shown, *_TOOL_LOOP])) is Task.AGENT


@pytest.mark.parametrize(
    ("input_tokens", "task"),
    [(0, Task.SUMMARY), (LONG_CONTEXT_TOKENS - 1, Task.SUMMARY), (LONG_CONTEXT_TOKENS, Task.LONG_CONTEXT)],
)
def test_very_much_input_is_a_kind_of_its_own(input_tokens: int, task: Task) -> None:
    request = asking("Summarize these minutes.")

    assert features_of(request, input_tokens=input_tokens).task is task


def test_an_agent_stays_an_agent_however_much_it_has_read() -> None:
    request = _request([{"role": "user", "content": "Look it up."}, *_TOOL_LOOP])

    assert features_of(request, input_tokens=LONG_CONTEXT_TOKENS).task is Task.AGENT


def test_a_json_schema_speaks_for_extraction_unless_a_label_is_asked_for() -> None:
    schema = {"response_format": {"type": "json_schema"}}

    def told(text: str) -> Task:
        return task_of(_request([{"role": "user", "content": text}], schema))

    assert told("Two blue shirts to Oslo, and a pair of socks.") is Task.EXTRACTION
    assert told("Is it spam? You have won two blue shirts!") is Task.CLASSIFICATION
    assert told("Extract the order: two blue shirts to Oslo.") is Task.EXTRACTION


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


_LETTER = (
    "Dear Anna, thank you for your letter. The weather is lovely and we want to write a story about the trip. "
    "I feel that the invoice over 45 euros was wrong, so please cancel the order.\n"
)
_CLAUSE = (
    "The tenant shall pay the rent on the first day of each month. The landlord must, except in cases of force "
    "majeure, repair the roof. "
)
_PROGRAM = (
    "import docker\ndef deploy(client, tag):\n    # run the python script\n    return client.run(tag, detach=True)\n\n"
)
_MANUAL = (
    "The service is written in Python with FastAPI and Django, tested by pytest, and kept in git.\n"
    "It runs in Docker on Kubernetes behind nginx, with PostgreSQL, Kafka, GraphQL and Terraform, and CSS by webpack.\n"
    "Questions go to the team, which is in the office on weekdays until five.\n"
)


@pytest.mark.parametrize(
    ("instruction", "task"),
    [
        ("Summarize the following text in five sentences.", Task.SUMMARY),
        ("Translate the text below into Spanish.", Task.TRANSLATION),
        ("Extract all names and dates as JSON.", Task.EXTRACTION),
        ("Classify the text as formal or informal. One word.", Task.CLASSIFICATION),
        ("Rewrite this text in a more formal tone.", Task.WRITING),
    ],
)
@pytest.mark.parametrize(
    "material", [_LETTER, _CLAUSE, _PROGRAM, _MANUAL], ids=["letter", "contract", "program", "manual"]
)
@pytest.mark.parametrize("times", [8, 300])
def test_what_is_to_be_done_with_a_long_text_matters_more_than_what_it_is_about(
    instruction: str, task: Task, material: str, times: int
) -> None:
    assert task_of(asking(f"{instruction}\n\n{material * times}")) is task


def test_a_long_program_to_be_mended_is_code() -> None:
    assert task_of(asking(f"Fix the bug in this Python code.\n\n{_PROGRAM * 8}")) is Task.CODE
    assert task_of(asking(_PROGRAM * 8)) is Task.CODE


def test_text_in_parts_counts_like_text() -> None:
    parts = [_text("Write a Python function"), _text("that draws a house.")]

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


_WORDS = sorted({word for prompt in labelled_prompts() for word in prompt.text.split() if word.isascii()})
_PROMPTS = st.one_of(
    st.sampled_from([prompt.text for prompt in labelled_prompts()]),
    st.lists(st.sampled_from(_WORDS), max_size=60).map(" ".join),
    st.text(st.characters(max_codepoint=127), max_size=80),
)


@given(_PROMPTS, _TOOLS)
def test_a_question_of_plain_words_has_the_features_of_any_other_text(text: str, members: dict[str, Any]) -> None:
    request = _request([{"role": "user", "content": text}], members)
    question = question_of(request.messages)

    assert features_of(request, question=question._replace(plain=None)) == features_of(request, question=question)


class _Bytes:
    """A vocabulary of single bytes: only the digests are wanted here."""

    def encode_flat(self, text: str, /) -> bytes:
        return text.encode(errors="replace") * TOKEN_BYTES
