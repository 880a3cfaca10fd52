"""l: all models of a provider refuse everything for a minute, and it is asked hardly more often than clients ask us."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.torture.books import LedgerReader, is_settled
from tests.torture.load import Answer, Ask, at_a_rate, chat, counted, p99_s, send
from tests.torture.moody_upstream import RETRY_AFTER_S, Asked, Mood, moody_upstream
from tests.torture.plant import running_plant
from tests.torture.result import Figure, Result, at_least, at_most, none, told
from tests.torture.setting import Setting

TITLE = "all models refuse everything"

_PER_S = 100.0
_SHARE, _RESERVE = 1.2, 3  # of calls for each request, and to begin with
_UNDER_WAY_S = 0.25  # calls that left before the refusal was read
_SETTLED_WITHIN_S = 30.0
_MODELS = ("deepseek/deepseek-v4-flash", "deepseek/deepseek-v4-pro", "openai/gpt-5.4")

_TEAM = f"""
team: three
time_zone: UTC
budgets:
  - {{limit_usd: 100000, per: month}}
aliases:
  auto: {{policy: three}}
policies:
  three:
    candidates: [{", ".join(_MODELS)}]
    objective: cheapest
"""


@dataclass(frozen=True, slots=True)
class _Case:
    mood: Mood
    has_breakers: bool

    @property
    def name(self) -> str:
        return self.mood if self.has_breakers else f"{self.mood}, breakers: false"


_CASES = (_Case("503", True), _Case("503", False), _Case("429", True), _Case("429 without a time", True))


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    figures: list[Figure] = []
    for number, case in enumerate(_CASES[1:3] if setting.is_short else _CASES):
        figures += await _tried(setting, f"l{number}", case)
    return Result("l", TITLE, command, tuple(figures), time.monotonic() - started_s)


async def _tried(setting: Setting, name: str, case: _Case) -> list[Figure]:
    count = round(_PER_S * setting.scaled(60, 3))
    answers: list[Answer] = []
    async with moody_upstream() as upstream:
        upstream.moods.update(dict.fromkeys(_MODELS, case.mood))
        with running_plant(
            setting,
            name=name,
            teams={"three": _TEAM},
            time_scale=0,
            upstream_port=upstream.port,
            has_breakers=case.has_breakers,
            replicas=1,
        ) as plant:
            key, port = plant.keys["three"][0], plant.replicas[0].port
            asks = [
                Ask(key, chat("auto", f"Rain, number {number}?", is_stream=number % 2 == 0, max_tokens=50))
                for number in range(count)
            ]

            async def one(number: int) -> None:
                answers.append(await send(asks[number], port))

            asking_s = time.monotonic()
            await at_a_rate(count, per_s=_PER_S, work=one)
            asking_s = time.monotonic() - asking_s
            await asyncio.to_thread(is_settled, plant, within_s=_SETTLED_WITHIN_S)
            ledger_nano_usd = sum(call.cost_nano_usd for call in LedgerReader(plant).calls())
    refused = [each for each in answers if each.status in (429, 502, 503)]
    return [
        told(f"{case.name}: requests; a second", f"{count:,}; {count / asking_s:.0f}"),
        told("  their ends", counted(answers)),
        at_least("  refused in OpenAI's shape", sum(map(_is_told, refused)), count),
        at_most("  calls at the provider", len(upstream.asked), _SHARE * count + _RESERVE),
        none(
            "  errors that do not say which models were asked, or are busy", sum(not _names(each) for each in refused)
        ),
        none("  calls before the Retry-After was over", _too_early(upstream.asked)),
        told("  refused within (p99), s", round(p99_s(answers), 2)),
        none("  in the ledger, nano-USD", ledger_nano_usd),
    ]


def _is_told(answer: Answer) -> bool:
    """With a code and a word on whether to try again."""
    return bool(answer.error().get("code")) and b"\r\nx-should-retry: " in answer.head.lower()


def _names(answer: Answer) -> bool:
    error = answer.error()
    return bool(error.get("tried")) or any(model in error["message"] for model in _MODELS)


def _too_early(asked: Sequence[Asked]) -> int:
    """Calls of a model that had said when to come again, and left before."""
    early = 0
    closed_s: dict[str, float] = {}
    for call in asked:
        told_s = closed_s.get(call.model)
        if told_s is None or call.at_s >= told_s + RETRY_AFTER_S:
            if call.mood == "429":
                closed_s[call.model] = call.at_s
        else:
            early += call.at_s > told_s + _UNDER_WAY_S
    return early
