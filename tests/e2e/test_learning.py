"""What a running proxy learns from the sandbox's answers, seen in its own metrics, and what of it a restart keeps."""

import json
import random
from pathlib import Path

import pytest

from tests.e2e.conftest import Proxy, running_proxy, running_sandbox

_WORDS = (
    *("tram", "harbour", "city", "council", "budget", "report", "morning", "letter", "garden", "music", "winter"),
    *("bridge", "price", "answer", "school", "doctor", "river", "teacher", "market", "village", "engine", "summer"),
    *("kitchen", "window", "paper", "number", "story", "friend", "history", "question"),
)


def test_after_two_hundred_requests_costs_and_counts_are_what_was_expected(tmp_path: Path) -> None:
    with running_sandbox(tmp_path / "sandbox.log") as sandbox, running_proxy(tmp_path, sandbox.base_url) as proxy:
        chance = random.Random(7)
        before = _expected(proxy, chance)
        _ask(proxy, chance, 200)
        middle = _ratios(proxy)
        _ask(proxy, chance, 100)
        end = _ratios(proxy)

        cost, count = (_between(middle[name], end[name]) for name in ("estimate_ratio", "token_count_ratio"))
        assert cost == pytest.approx(1, abs=0.1)
        assert count == pytest.approx(1, abs=0.02)
        assert abs(cost - 1) < abs(_between((0, 0), middle["estimate_ratio"]) - 1)
        after = _expected(proxy, chance)
        assert after != pytest.approx(before, rel=0.1)
        state = tmp_path / "state"

    # It has stopped and written down what it learned: the command knows it, and so does the next process.
    assert (state / "penstock.sqlite").exists()
    told = json.loads(proxy.command("explain", "--team", "search", "--json", stdin=json.dumps(_body(chance)).encode()))
    assert told["candidates"][0]["output_tokens"] == pytest.approx(after, rel=0.5)
    assert told["candidates"][0]["output_tokens"] != 350


def _ask(proxy: Proxy, chance: random.Random, times: int) -> None:
    for _ in range(times):
        assert proxy.chat("search", _body(chance)).status_code == 200


def _body(chance: random.Random) -> dict[str, object]:
    """An everyday question, of words of its own, so that no prompt cache knows it."""
    text = "Write to my neighbour about " + " and ".join(chance.choices(_WORDS, k=chance.randint(10, 200)))
    return {"model": "auto", "messages": [{"role": "user", "content": text}]}


def _expected(proxy: Proxy, chance: random.Random) -> int:
    told = proxy.chat("search", _body(chance), x_penstock_dry_run="1").json()
    tokens: int = told["candidates"][0]["output_tokens"]
    return tokens


def _ratios(proxy: Proxy) -> dict[str, tuple[float, float]]:
    """Sum and count of each histogram."""
    lines = dict(line.rsplit(" ", 1) for line in proxy.metrics().splitlines() if not line.startswith("#"))
    return {
        name: (float(lines[f"penstock_{name}_sum"]), float(lines[f"penstock_{name}_count"]))
        for name in ("estimate_ratio", "token_count_ratio")
    }


def _between(earlier: tuple[float, float], later: tuple[float, float]) -> float:
    """The mean of what was observed between two readings."""
    return (later[0] - earlier[0]) / (later[1] - earlier[1])
