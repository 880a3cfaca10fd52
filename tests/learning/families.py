"""Five families of models that count tokens in ways of their own, sent the same mixed traffic, and what is learned.

The prompts are the labelled ones of tests/quality, in thirty languages, put together to conversations; every third has
tools. One family counts with cl100k_base in earnest, a vocabulary that the learner does not know of; the others make
so many tokens of ours as measured for their language (openrouter.md §8), give or take a hundredth, and put a template
and a tool prompt of their own on top.

`python -m tests.learning.families` prints how far off the counts are, before and after.
"""

import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

from splintr import Tokenizer

from router.catalog.catalog import ModelName
from router.decision.explain import profile_as_data
from router.decision.facts import RequestProfile
from router.gateway.profile import profile_of
from router.keys import TeamName
from router.learning.experience import LearnedExperience
from router.ledger import LedgerEntry
from router.tokens.count import TokenCounter
from router.tokens.vocabulary import load_encoding
from router.units import Usage
from router.wire.controls import NO_CONTROLS
from router.wire.requests import ChatReader
from tests.decision.builders import model
from tests.replacing import replace
from tests.storage.entries import attempt, entry

_CORPUS = Path(__file__).parents[1] / "quality" / "prompts.jsonl"
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "description": "Finds an order by its number, or by the customer's name.",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "string"}, "customer": {"type": "string", "description": "or part"}},
                "required": ["number"],
            },
        },
    }
]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as we see it, and what is in it."""

    profile: RequestProfile
    language: str
    texts: tuple[str, ...]
    has_tools: bool


@dataclass(frozen=True, slots=True)
class Family:
    """How a provider counts."""

    name: str
    token_ratio: float  # what the catalog says
    tokens_of_text: Callable[[Sent, random.Random], float]
    per_message: int
    template: int
    tool_prompt: int

    def reported(self, sent: Sent, chance: random.Random) -> int:
        overhead = self.template + self.per_message * len(sent.texts) + self.tool_prompt * sent.has_tools
        return round(self.tokens_of_text(sent, chance) + overhead)


def families() -> tuple[Family, ...]:
    """The first counts as OpenAI does; cl100k_base is nobody's today and stands for any vocabulary we do not have."""
    ours, foreign = load_encoding("o200k_base"), load_encoding("cl100k_base")
    deepseek = {"en": 1.03, "zh": 0.92, "ja": 0.99, "ko": 1.16, "ru": 1.12, "ar": 1.19, "hi": 1.48, "tr": 1.32}
    gemini = {"en": 1.07, "zh": 1.02, "ja": 0.86, "ko": 1.18, "ru": 1.08, "ar": 1.16, "hi": 1.16, "tr": 1.05}
    claude = {"en": 1.22, "zh": 1.34, "ja": 1.52, "ko": 1.79, "ru": 1.86, "ar": 2.65, "hi": 2.86, "tr": 1.61}
    return (
        Family("openai", 1.0, _counted(ours), per_message=4, template=3, tool_prompt=90),
        Family("foreign vocabulary", 1.0, _counted(foreign), per_message=5, template=7, tool_prompt=346),
        Family("deepseek", 1.04, _scaled(ours, deepseek, 1.17), per_message=1, template=3, tool_prompt=142),
        Family("gemini", 1.08, _scaled(ours, gemini, 1.07), per_message=0, template=0, tool_prompt=20),
        Family("claude", 1.15, _scaled(ours, claude, 1.44), per_message=2, template=6, tool_prompt=549),
    )


def traffic(count: int, *, seed: int) -> list[Sent]:
    """So many requests, counted by the counter that production uses."""
    chance = random.Random(seed)
    prompts = _prompts()
    languages = [language for language, texts in prompts.items() for _ in texts]
    counter, reader = TokenCounter(load_encoding("o200k_base")), ChatReader()
    requests = []
    for _ in range(count):
        language = chance.choice(languages)
        texts = tuple(
            "\n".join(chance.choices(prompts[language], k=chance.randint(1, 6))) for _ in range(chance.randint(2, 16))
        )
        has_tools = chance.random() < 1 / 3
        body: dict[str, object] = {"model": "auto", "messages": [{"role": "user", "content": text} for text in texts]}
        if has_tools:
            body["tools"] = _TOOLS
        request = reader.read(json.dumps(body, ensure_ascii=False).encode())
        profile = profile_of(request, counter.count_now(request), NO_CONTROLS, team=TeamName("search"))
        requests.append(Sent(profile, language, texts, has_tools))
    return requests


def errors(family: Family, *, lessons: int, seed: int) -> list[float]:
    """How far off the counts of a hundred requests are, after so many others: |expected - reported| / reported."""
    what = model(family.name, token_ratio=family.token_ratio)
    experience = LearnedExperience({what.name: family.token_ratio})
    chance = random.Random(f"{seed} {family.name}")
    requests = traffic(lessons + 100, seed=seed)
    for sent in requests[:lessons]:
        experience.observe(answered(sent.profile, what.name, input_tokens=family.reported(sent, chance)))
    off = []
    for sent in requests[lessons:]:
        reported = family.reported(sent, chance)
        expected = sent.profile.input_tokens * experience.input_ratio(what, sent.profile)
        off.append(abs(expected - reported) / reported)
    return off


def answered(profile: RequestProfile, name: ModelName, *, input_tokens: int) -> LedgerEntry:
    """The entry of a request that the model answered with a hundred tokens."""
    call = attempt(model=name, usage=Usage(input_tokens=input_tokens, output_tokens=100))
    return replace(entry("req_1", call), profile_json=json.dumps(profile_as_data(profile)).encode())


@cache
def _prompts() -> Mapping[str, list[str]]:
    prompts: dict[str, list[str]] = {}
    for line in _CORPUS.read_text().splitlines():
        row = json.loads(line)
        prompts.setdefault(row["language"], []).append(row["text"])
    return prompts


def _counted(encoding: Tokenizer) -> Callable[[Sent, random.Random], float]:
    return lambda sent, _: sum(len(encoding.encode_ordinary(text)) for text in sent.texts)


def _scaled(
    encoding: Tokenizer, by_language: Mapping[str, float], otherwise: float
) -> Callable[[Sent, random.Random], float]:
    def tokens(sent: Sent, chance: random.Random) -> float:
        ours = sum(len(encoding.encode_ordinary(text)) for text in sent.texts)
        return ours * by_language.get(sent.language, otherwise) * chance.gauss(1, 0.01)

    return tokens


def main() -> None:
    sys.stdout.write(f"{'family':20} median error of the input tokens expected, after so many requests\n")
    sys.stdout.write(f"{'':20} {'none':>8} {'20':>8} {'50':>8} {'200':>8} {'1000':>8}\n")
    for family in families():
        figures = [median(errors(family, lessons=lessons, seed=7)) for lessons in (0, 20, 50, 200, 1_000)]
        sys.stdout.write(f"{family.name:20} " + " ".join(f"{figure:8.2%}" for figure in figures) + "\n")


if __name__ == "__main__":
    main()
