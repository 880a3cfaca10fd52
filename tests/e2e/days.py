"""A day of the sandbox: the same requests each time, to servers of their own, so that two days can be compared."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Proxy, running_proxy, running_sandbox

REQUESTS = 400
_TOPICS = (
    "What should I call my cat, which is as grey as the Danube in November?",
    "Fix this function so that it is safe under concurrency:\n```python\ndef transfer(a, b, x):\n    a.total -= x\n```",
    "Who was the third president of Austria?",
    "Prove that the square root of two is irrational.",
    "Extract all dates as JSON from: born 3 May 1912, died 9 June 1989.",
    "Write an essay on dams, in detail, and compare the Danube with the Rhine.",
    "Summarise in one sentence why rivers freeze from above.",
)


def usual(config: Path) -> None:
    """Rooms for a day's requests within a minute, and both teams choosing among the same models."""
    for path in (config / "teams").glob("*.yaml"):
        text = path.read_text()
        for limit in ("requests_per_minute: 600", "requests_per_minute: 120"):
            text = text.replace(limit, "requests_per_minute: 100000")
        for limit in ("tokens_per_minute: 2000000", "tokens_per_minute: 4000000"):
            text = text.replace(limit, "tokens_per_minute: 1000000000")
        path.write_text(text)


def make_cheaper(config: Path) -> None:
    """Less is good enough for the research team."""
    path = config / "teams" / "research.yaml"
    text = path.read_text()
    assert "quality: {at_least: 0.95, of: best_candidate}" in text
    text = text.replace("quality: {at_least: 0.95, of: best_candidate}", "quality: {at_least: 0.8, of: best_candidate}")
    assert "        when: {task: code}\n        objective: best" in text
    path.write_text(
        text.replace(
            "        when: {task: code}\n        objective: best",
            "        when: {task: code}\n        objective: cheapest",
        )
    )


@contextmanager
def a_day(directory: Path, *, edit: Callable[[Path], None]) -> Iterator[Proxy]:
    """The same requests every time, to a proxy and a sandbox that know of no other day."""
    directory.mkdir()
    with (
        running_sandbox(directory / "sandbox.log", "--seed", "7") as sandbox,
        running_proxy(directory, sandbox.base_url, edit=edit) as proxy,
    ):
        for team, body, headers in requests():
            proxy.chat(team, body, **headers)
        yield proxy


def requests() -> Iterator[tuple[str, dict[str, Any], dict[str, str]]]:
    chance = random.Random(20261125)
    for number in range(REQUESTS):
        body: dict[str, Any] = {
            "model": chance.choice(("auto", "auto", "auto", "auto", "auto", "pro" if number % 2 else "opus")),
            "messages": [
                {"role": "user", "content": f"{chance.choice(_TOPICS)} ({number})" * chance.choice((1, 1, 9))}
            ],
        }
        team = ("search", "research")[number % 2]
        if chance.random() < 0.3:
            body["max_tokens"] = chance.choice((40, 500, 5_000))
        if chance.random() < 0.1:
            body["tools"] = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
        if chance.random() < 0.1:
            body["reasoning"] = {"effort": "high"}
        headers = {"x_penstock_min_quality": "0.85"} if chance.random() < 0.05 else {}
        yield team, body, headers


@dataclass(frozen=True, slots=True)
class TwoDays:
    """A day, what replay says of it, and the same day really run under the other configuration."""

    spent_nano_usd: int
    same: dict[str, Any]  # replayed under its own configuration
    cheaper: dict[str, Any]  # under the cheaper one
    really_nano_usd: int


def two_days(directory: Path) -> TwoDays:
    other = directory / "cheaper"
    with a_day(directory / "then", edit=usual) as proxy:
        spent = proxy.spend_nano_usd()
        shutil.copytree(proxy.config, other)
        make_cheaper(other)
        same, cheaper = replayed(proxy, proxy.config), replayed(proxy, other)
    with a_day(directory / "now", edit=both) as proxy:
        return TwoDays(spent, same, cheaper, proxy.spend_nano_usd())


def replayed(proxy: Proxy, against: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(proxy.command("replay", "--against", str(against), "--json"))
    return report


def both(config: Path) -> None:
    usual(config)
    make_cheaper(config)
