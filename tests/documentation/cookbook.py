"""What each recipe of docs/cookbook saves: one day of requests at a dear model, replayed under each recipe.

`make cookbook` writes the table and the recipes themselves into docs/cookbook.md. The day: every labelled prompt of
tests/quality that needs no tools or pictures, forty of them again as JSON with a schema, and thirty conversations of
six turns with a system message of some 6 KB; a fifth of the prompts is tagged `batch`. All of it is asked of GPT-5.4 at
the sandbox, at the prices in force, and decided again by `penstock replay`.
"""

import json
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import Any

from tests.e2e.conftest import CHECKOUT, Proxy, running_proxy, running_sandbox

RECIPES = CHECKOUT / "docs" / "cookbook"
PAGE = CHECKOUT / "docs" / "cookbook.md"
BASELINE = "openai/gpt-5.4"

_PROMPTS = CHECKOUT / "tests" / "quality" / "prompts.jsonl"
_NEED_MORE = frozenset({"agent", "vision", "tool_call", "long_context"})
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "found",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"items": {"type": "array", "items": {"type": "string"}}},
            "required": ["items"],
            "additionalProperties": False,
        },
    },
}
_CONVERSATIONS, _TURNS = 30, 6
_FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)
_RECIPES = re.compile(r"(?<=<!-- recipes -->\n).*?(?=<!-- end of recipes -->)", re.DOTALL)

Body = dict[str, Any]


def day() -> Iterator[Sequence[tuple[Body, str]]]:
    """Conversations, most of one turn: bodies and their tags. Each turn waits for the one before."""
    chance = random.Random(20261130)
    prompts = [json.loads(line) for line in _PROMPTS.read_text(encoding="utf-8").splitlines()]
    texts = [each["text"] for each in prompts if each["task"] not in _NEED_MORE]
    for text in texts:
        yield [(_asked(text), "batch" if chance.random() < 0.2 else "web")]
    for text in chance.sample([each["text"] for each in prompts if each["task"] == "extraction"], 40):
        yield [({**_asked(text), "response_format": _SCHEMA}, "web")]
    for number in range(_CONVERSATIONS):
        rules = " ".join(chance.sample(texts, 40))[:6_000]
        messages = [{"role": "system", "content": f"You are assistant {number} of an archive. {rules}"}]
        turns: list[tuple[Body, str]] = []
        for text in chance.sample(texts, _TURNS):
            messages = [*messages, {"role": "user", "content": text}]
            turns.append(({"model": "auto", "messages": messages}, "web"))
            messages = [*messages, {"role": "assistant", "content": f"As to that: {text[:200]}"}]
        yield turns


def _asked(text: str) -> Body:
    return {"model": "auto", "messages": [{"role": "user", "content": text}]}


def under(recipe: Path, target: Path) -> Path:
    """The shipped configuration with the recipe as its only team."""
    shutil.copytree(CHECKOUT / "config", target)
    for team in (target / "teams").iterdir():
        team.unlink()
    shutil.copyfile(recipe, target / "teams" / "search.yaml")
    return target


def _all_at_the_baseline(config: Path) -> None:
    for team in (config / "teams").iterdir():
        team.unlink()
    text = f"team: search\nbaseline: {BASELINE}\naliases:\n  auto: {{model: {BASELINE}}}\n"
    (config / "teams" / "search.yaml").write_text(text, encoding="utf-8")


def _live(proxy: Proxy) -> int:
    """Ask the whole day; how many requests it had."""

    def talk(turns: Sequence[tuple[Body, str]]) -> int:
        for body, tag in turns:
            proxy.chat("search", body, x_penstock_tags=tag).raise_for_status()
        return len(turns)

    with ThreadPoolExecutor(4) as threads:
        return sum(threads.map(talk, list(day())))


def measured() -> str:
    """The table, with what the day cost above it."""
    lines = ["| recipe | dollars | saved | predicted quality |", "|---|---|---|---|"]
    with (
        tempfile.TemporaryDirectory() as place,
        running_sandbox(Path(place) / "sandbox.log", "--seed", "7") as sandbox,
        running_proxy(Path(place), sandbox.base_url, edit=_all_at_the_baseline) as proxy,
    ):
        requests = _live(proxy)
        reports: dict[str, dict[str, Any]] = {}
        for recipe in sorted(RECIPES.glob("*.yaml")):
            against = under(recipe, Path(place) / recipe.stem)
            reports[recipe.stem] = json.loads(proxy.command("replay", "--against", str(against), "--json"))
    then = next(iter(reports.values()))
    for name, report in sorted(reports.items(), key=lambda item: item[1]["judged"]["now_nano_usd"]):
        judged = report["judged"]
        share = judged["saved_nano_usd"] / judged["then_nano_usd"]
        lines.append(
            f"| [{name}](#{name}) | {judged['now_nano_usd'] / 1e9:.3f} | {share:.0%} | {judged['quality_now']:.3f} |"
        )
    cost, quality = then["judged"]["then_nano_usd"] / 1e9, then["judged"]["quality_then"]
    head = f"{requests} requests, all at {BASELINE}: ${cost:.3f}, predicted quality {quality:.3f}."
    return f"\n{head}\n\n" + "\n".join(lines) + "\n\n"


def with_recipes(page: str) -> str:
    """The page with every recipe as its file has it; what the file begins with is what is said of it."""
    return _RECIPES.sub(lambda _: "".join(map(_told, sorted(RECIPES.glob("*.yaml")))), page)


def _told(recipe: Path) -> str:
    lines = recipe.read_text(encoding="utf-8").splitlines()
    about = list(takewhile(lambda line: line.startswith("#"), lines))
    said = "\n".join(line.removeprefix("#").strip() for line in about)
    content = "\n".join(lines[len(about) :])
    return f"\n## {recipe.stem}\n\n{said}\n\n```yaml\n{content}\n```\n"


def main() -> None:
    """With `--text` only the recipes are written anew, not what they save."""
    page = with_recipes(PAGE.read_text(encoding="utf-8"))
    if "--text" not in sys.argv:
        table = measured()
        page = _FIGURES.sub(lambda _: table, page)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
