"""Whatever the sandbox can do to a call by Anthropic's API: the ledger is the bill, and no stream ends as if it were
whole that is not."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from router.sandbox.faults import Fault
from tests.e2e.conftest import Proxy, Sandbox, running_proxy, running_sandbox
from tests.e2e.every_fault import every_play, without_rate_limits
from tests.waiting import eventually


@pytest.fixture(params=["native", "translated"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Proxy, Sandbox]]:
    """A proxy and a sandbox that nobody else asks."""

    def edited(config: Path) -> None:
        without_rate_limits(config)
        if request.param == "translated":
            main = config / "penstock.yaml"
            speaks = "    kind: openrouter\n    apis: [chat/completions]\n"
            main.write_text(main.read_text().replace("    kind: openrouter\n", speaks, 1))

    with running_sandbox(tmp_path / "log") as sandbox, running_proxy(tmp_path, sandbox.base_url, edit=edited) as proxy:
        yield proxy, sandbox


def test_the_ledger_agrees_with_the_bill_after_every_fault(served: tuple[Proxy, Sandbox]) -> None:
    proxy, sandbox = served
    plays = list(every_play())

    with ThreadPoolExecutor(8) as workers:
        answers = list(workers.map(lambda play: _play(proxy, *play), plays))

    assert sum(answer is not None for answer in answers) > 100
    wrong = [(play[0].name, why) for play, answer in zip(plays, answers, strict=True) if (why := _fault_of(answer))]
    assert wrong == []
    eventually(lambda: proxy.spend_nano_usd() == sandbox.bill_nano_usd() > 0, within_s=60)


def _play(proxy: Proxy, fault: Fault, is_stream: bool) -> httpx2.Response | None:
    """One call that meets the fault; None if no HTTP answer came of it."""
    text = f"[sandbox:fault={fault.name}] Tell me about penstocks."
    body = {
        "model": "deepseek/deepseek-v4-pro",
        "messages": [{"role": "user", "content": text}],
        "stream": is_stream,
        "max_tokens": 300,
    }
    try:
        return proxy.http.post(f"{proxy.base_url}/messages", json=body, headers={"x-api-key": proxy.keys["research"]})
    except httpx2.TransportError:
        return None


def _fault_of(answer: httpx2.Response | None) -> str | None:
    """What an SDK would stumble over: an error is one, and a stream ends once, well or with an error."""
    if answer is None:
        return None
    if not answer.headers["content-type"].startswith("text/event-stream"):
        kind = answer.json()["type"]
        return None if (kind == "message") == (answer.status_code == 200) else f"{answer.status_code} {kind}"
    names = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    ends = Counter(name for name in names if name in ("message_stop", "error"))
    if ends.total() != 1 or names[-1] not in ends or "[DONE]" in answer.text:
        return answer.text[-300:]
    return None
